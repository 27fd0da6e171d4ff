"""A map of every pair of many languages: for pages as data of a script that draws it, elsewhere as a picture."""

import json
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.language_info import LEVELS, LanguageInfo
from mlbench.reports.colours import css
from mlbench.reports.formatting import visible
from mlbench.reports.heat_map import legend_svg
from mlbench.reports.language_groups import GROUPING_NAMES, groups_of
from mlbench.reports.report import LanguageMap, MapLayer

_ASSETS: Final = files("mlbench.reports").joinpath("assets")
SCRIPT: Final = _ASSETS.joinpath("language-map.js")
STYLE: Final = _ASSETS.joinpath("language-map.css")
"""The files that pages draw a map with: `SCRIPT` defines `languageMap(place, data)`."""
# Draws each map of a page in the place before its data.
_DRAW: Final = """
for (const data of document.querySelectorAll("script.language-map")) {
  languageMap(data.previousElementSibling.previousElementSibling, JSON.parse(data.textContent));
}
"""
_UNIT: Final = 1000
_CELL: Final = 4
"""How large a value is in a picture, in pixels."""
_MARGIN: Final = 110


def script() -> str:
    """Return the script of a page that draws all maps in it."""
    return SCRIPT.read_text(encoding="utf-8") + _DRAW


def language_map_json(shown: LanguageMap) -> str:
    """Return the data that the script draws a map from, as JSON that cannot end the element that it stands in."""
    data = {
        "title": shown.title,
        "file": "-".join("".join(c if c.isalnum() else " " for c in shown.title).split()),
        "unit": _UNIT,
        "legend": shown.legend,
        **language_data(shown.languages),
        "layers": [_layer(each) for each in shown.layers],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def language_data(languages: Sequence[LanguageInfo]) -> dict[str, list[list[str]] | list[str]]:
    """Return what the script knows of languages: names and groups of each, and what these are called."""
    return {
        "languages": [
            [visible(text) for text in (each.tag, each.name, each.own_name, each.resources, each.script, each.family)]
            for each in languages
        ],
        "groupings": list(GROUPING_NAMES.values()),
        "levels": list(LEVELS),
    }


def _layer(layer: MapLayer) -> dict[str, object]:
    arrays = {"values": layer.values, "low": layer.low, "high": layer.high, "pool": layer.pool}
    return {
        "name": layer.name,
        "signed": layer.signed,
        "scale": [layer.scale.low, layer.scale.high],
        "stops": layer.scale.stops,
        **{name: _whole(values) for name, values in arrays.items() if values is not None},
        **({} if layer.marked is None else {"marked": np.flatnonzero(layer.marked).tolist()}),
    }


def _whole(values: NDArray[np.float64]) -> list[int | None]:
    """Return numbers in whole units, row by row; None for NaN."""
    found: list[int | None] = np.rint(np.nan_to_num(values.ravel()) * _UNIT).astype(np.int64).tolist()
    for place in np.flatnonzero(np.isnan(values.ravel())):
        found[place] = None
    return found


def language_order(shown: LanguageMap) -> tuple[NDArray[np.intp], list[tuple[str, int]]]:
    """Return the order of a picture's languages, and its groups as (family, number of languages).

    Families stand by their size, and languages in them by their means, the highest first.
    """
    values = shown.layers[0].values.copy()
    np.fill_diagonal(values, np.nan)
    both = np.concatenate([values, values.T], axis=1)
    known = ~np.isnan(both)
    means = np.nansum(both, axis=1) / np.maximum(known.sum(axis=1), 1)
    groups = groups_of(shown.languages, "family")
    order = [place for places in groups.values() for place in sorted(places, key=lambda place: -means[place])]
    return np.array(order, dtype=np.intp), [(name, len(places)) for name, places in groups.items()]


def language_map_svg(shown: LanguageMap) -> str:
    """Return an `<svg>` element of the first layer: a square for each pair, and the names of families beside them."""
    order, groups = language_order(shown)
    layer = shown.layers[0]
    values = layer.values[np.ix_(order, order)]
    by_colour: dict[str, list[str]] = defaultdict(list)
    for row, column in zip(*np.nonzero(~np.isnan(values)), strict=True):
        # Two digits are all that can be told apart, so that squares of one colour can share a path.
        colour = css(layer.scale.colour(round(float(values[row, column]), 2)))
        by_colour[colour].append(f"M{column} {row}h1v1h-1z")
    side = len(order) * _CELL
    size = f'width="{side + _MARGIN}" height="{side + 50}" viewBox="0 0 {side + _MARGIN} {side + 50}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(visible(shown.words))}"'
        ' style="font: 11px system-ui, sans-serif" fill="currentColor">',
        f'<text x="{_MARGIN}" y="12">documents: the same order as queries (rows)</text>',
        f'<g transform="translate({_MARGIN} 20) scale({_CELL})" shape-rendering="crispEdges">',
        *(f'<path fill="{colour}" d="{"".join(squares)}"/>' for colour, squares in sorted(by_colour.items())),
        "</g>",
    ]
    start = 0
    for name, count in groups:
        y = 20 + start * _CELL
        if count * _CELL >= 12:
            parts.append(
                f'<text x="{_MARGIN - 6}" y="{y + count * _CELL / 2 + 4:g}" text-anchor="end">{escape(name)}</text>'
            )
        if start:
            x = _MARGIN + start * _CELL
            parts.append(f'<path stroke="currentColor" stroke-width=".5" d="M{_MARGIN} {y}h{side}M{x} 20v{side}"/>')
        start += count
    return "".join([*parts, *legend_svg(layer.scale, _MARGIN, side + 30), "</svg>"])
