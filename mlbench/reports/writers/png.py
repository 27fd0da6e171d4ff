"""The heat map of a report as a PNG figure, for slides and papers."""

import io
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlbench.errors import MissingExtra, UserError
from mlbench.reports.colours import css
from mlbench.reports.formatting import two_digits, visible
from mlbench.reports.language_map import language_order
from mlbench.reports.report import Block, HeatColumn, HeatMap, LanguageMap, Report, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 200
_CELL, _WIDE_CELL = 0.42, 0.95
"""Inches."""
_TITLE_AT = 0.98
"""Where a title stands, as a share of the height."""
_LIFT = 0.4
"""How much higher it stands above titles of two lines, in inches."""
_PAIR = 0.035
_LEAST_NAMED = 5
"""How many languages a family has at least that is named beside a map of many."""


def write_png(report: Report) -> bytes:
    """Return the first heat map of the report, in the colours of the HTML page.

    The same report gives the same bytes with the same version of matplotlib. Raises `MissingExtra` without matplotlib,
    and `UserError` for a report without a heat map.
    """
    shown = next(_heat_maps(report.blocks), None)
    if shown is None:
        raise UserError("PNG has the heat map of a report, and this one has none: choose another format")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("PNG figures", "plot") from error
    if isinstance(shown, HeatMap):
        size, wide = _size(shown)
    else:
        size, wide = (2 + len(shown.languages) * _PAIR,) * 2, False
    buffer = io.BytesIO()
    # The user's own settings would make other figures of the same result.
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        # A letter that the font does not have is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=size, dpi=_DPI)
        FigureCanvasAgg(figure)
        if isinstance(shown, HeatMap):
            _draw(figure.add_subplot(), shown)
        else:
            _draw_languages(figure, shown)
        title = visible(report.title) + "\n" + visible(shown.title.partition(":")[0])
        above = _TITLE_AT + (_LIFT if wide else 0.0) / figure.get_figheight()
        figure.suptitle(title, fontsize=9, parse_math=False, y=above)
        figure.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    return buffer.getvalue()


def _heat_maps(blocks: Sequence[Block]) -> Iterator[HeatMap | LanguageMap]:
    for block in blocks:
        if isinstance(block, LanguageMap) or (isinstance(block, HeatMap) and block.scales):
            yield block
        if isinstance(block, Section):
            yield from _heat_maps(block.blocks)


def _size(shown: HeatMap) -> tuple[tuple[float, float], bool]:
    """Return width and height in inches, and whether titles of columns have two lines."""
    rows = sum(not row.of_means for row in shown.rows)
    columns = _drawn(shown)
    wide = any(shown.columns[place].short for place in columns)
    return (1.4 + len(columns) * (_WIDE_CELL if wide else _CELL), 1.3 + rows * _CELL), wide


def _drawn(shown: HeatMap) -> list[int]:
    return [place for place, column in enumerate(shown.columns) if not column.of_means]


def _draw_languages(figure: "Figure", shown: LanguageMap) -> None:
    """Draw the first layer with its scale, and the names of the larger families."""
    from matplotlib.colors import LinearSegmentedColormap

    axes = figure.add_subplot()
    layer, (order, groups) = shown.layers[0], language_order(shown)
    stops = np.array(layer.scale.stops) / 255
    image = axes.imshow(
        layer.values[np.ix_(order, order)],
        cmap=LinearSegmentedColormap.from_list(layer.name, stops.tolist()),
        vmin=layer.scale.low,
        vmax=layer.scale.high,
        interpolation="nearest",
    )
    ends = np.cumsum([number for _, number in groups])
    for end in ends[[number >= _LEAST_NAMED for _, number in groups]]:
        axes.axvline(end - 0.5, color="white", linewidth=0.5)
        axes.axhline(end - 0.5, color="white", linewidth=0.5)
    named = [
        (end - number / 2, name) for end, (name, number) in zip(ends, groups, strict=True) if number >= _LEAST_NAMED
    ]
    places, names = [place for place, _ in named], [visible(name) for _, name in named]
    axes.set_yticks(places, names, fontsize=8, parse_math=False)
    axes.set_xticks(places, names, fontsize=8, parse_math=False, rotation=90)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlabel("documents", fontsize=8)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("queries", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label(layer.name, fontsize=8)


def _draw(axes: "Axes", shown: HeatMap) -> None:
    columns = _drawn(shown)
    rows = [row for row in shown.rows if not row.of_means]
    colours = np.full((len(rows), len(columns), 3), 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, place in enumerate(columns):
            value, scale, ink = row.cells[place].value, shown.scales[shown.columns[place].unit], "black"
            if value is not None:
                colours[y, x], ink = scale.colour(value), css(scale.ink(value))
            text = two_digits(value) if shown.columns[place].short else row.cells[place].text
            axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=7)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    titles = [_title(shown.columns[place]) for place in columns]
    axes.set_xticks(range(len(columns)), titles, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(rows)), [visible(row.label) for row in rows], fontsize=8, parse_math=False)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlabel(shown.axes[1], fontsize=8)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel(shown.axes[0], fontsize=8)
    for x in range(1, len(columns)):
        if shown.columns[columns[x]].apart:
            axes.axvline(x - 0.5, color="white", linewidth=3)


def _title(column: HeatColumn) -> str:
    return visible(f"{column.group}\n{column.title}" if column.short else column.title)
