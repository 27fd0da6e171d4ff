"""A history as one SVG file: for each series, quality across languages and language bias by checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mlbench.languages import KINDS, Kind
from mlbench.report.chart_svg import HEIGHT, LINE, WIDTH, Axis, Chart, Mark, chart_svg
from mlbench.report.chart_svg import Series as Drawn
from mlbench.report.harmless import harmless
from mlbench.report.history import SCORES, Checkpoint, History, Series, quantities
from mlbench.report.history_table import figure_text, notes, order_title
from mlbench.report.notation import SHORT, count, heading, spoken
from mlbench.report.sweep_rows import Quantity

_COLUMNS = 2
_MARGIN, _HEAD = 20, 36
# How many names of checkpoints find room beside the panels, and how long each may be.
_MOST_NAMES, _LONGEST_NAME = 16, 52
# An image in a page has the reader's choice of light or dark, but no style of the page.
_STYLE = (
    "svg{color:#1b1b1f}.paper{fill:#ffffff}@media(prefers-color-scheme:dark){svg{color:#e6e6ea}.paper{fill:#16161a}}"
)
_FONT = "system-ui, sans-serif"


@dataclass(frozen=True)
class _Panel:
    """An `<svg>` element and how high it is."""

    svg: str
    height: int


def history_svg(found: History) -> str:
    """Return an SVG document with the panels of every series, light or dark as the reader prefers.

    It needs no other file; a history without series gives an empty page. Everything from results is escaped.
    """
    found = harmless(found)
    parts, top = list[str](), _MARGIN
    for series in found.series:
        title = escape(_title(series, found))
        parts.append(
            f'<text x="{_MARGIN}" y="{top + 16}" font-size="15" font-weight="600" fill="currentColor">{title}</text>'
        )
        top += _HEAD
        panels = _panels(series)
        for row in (panels[start : start + _COLUMNS] for start in range(0, len(panels), _COLUMNS)):
            for column, panel in enumerate(row):
                parts.append(panel.svg.replace("<svg ", f'<svg x="{_MARGIN + WIDTH * column}" y="{top}" ', 1))
            top += max(panel.height for panel in row) + _MARGIN
    width = 2 * _MARGIN + _COLUMNS * WIDTH
    named = escape("; ".join(_title(series, found) for series in found.series))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
        f' role="img" aria-label="{named}" color="#1b1b1f" font-family="{_FONT}"><style>{_STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _title(series: Series, found: History) -> str:
    size = f"{count(len(series.checkpoints), 'checkpoint')} by {order_title(series)}"
    return "; ".join([f"{series.task} (version {series.version}), {size}", *notes(series, found)])


def _panels(series: Series) -> list[_Panel]:
    """Return a chart of the measure by kind, one for each bias score, and the names behind the numbers of an axis."""
    known = quantities(series)
    kinds = [key for key in known if key[1] is not None]
    panels = [_chart(series, heading(series.measure), kinds, 0)] if kinds else []
    for key in known:
        if key[1] is None:
            panels.append(_chart(series, spoken(key[0]), [key], len(KINDS) + SCORES.index(key[0])))
    return panels if series.order == "steps" else [*panels, _names(series)]


def _chart(series: Series, title: str, shown: Sequence[tuple[str, Kind | None]], first: int) -> _Panel:
    lines, described = [], []
    for name, kind in shown:
        marks = list(_marks(series, name, kind))
        described += [mark.exact for mark in marks]
        lines.append(Drawn(SHORT[kind] if kind else "", tuple(marks)))
    chart = Chart(_axis(series), Axis(title), tuple(lines), f"{title}: {'; '.join(described)}", first)
    return _Panel(chart_svg(chart), HEIGHT + LINE * sum(bool(line.name) for line in lines))


def _axis(series: Series) -> Axis:
    places = sorted({_across(series, checkpoint, place) for place, checkpoint in enumerate(series.checkpoints, 1)})
    title = order_title(series) if series.order == "steps" else f"checkpoint, by {order_title(series)}"
    return Axis(title, tuple((at, f"{at:,.0f}") for at in places))


def _marks(series: Series, name: str, kind: Kind | None) -> Iterator[Mark]:
    quantity = Quantity(name, kind)
    for place, checkpoint in enumerate(series.checkpoints, 1):
        figure = checkpoint.figure(name, kind)
        if figure.value is None:
            continue
        value, bounds = figure_text(quantity, figure)
        exact = f"{checkpoint.name}, {quantity.title}: {value}{f' {bounds}' if bounds else ''}"
        yield Mark(_across(series, checkpoint, place), figure.value, exact, interval=figure.interval)


def _across(series: Series, checkpoint: Checkpoint, place: int) -> float:
    return float(checkpoint.steps or 0) if series.order == "steps" else float(place)


def _names(series: Series) -> _Panel:
    """Return what the numbers on the axis stand for."""
    names = [f"{place}  {_cut(checkpoint.name)}" for place, checkpoint in enumerate(series.checkpoints, 1)]
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"and {len(names) - _MOST_NAMES + 1} more"]
    lines = [
        f'<text x="{_MARGIN}" y="{15 + LINE * row}">{escape(text)}</text>'
        for row, text in enumerate(["checkpoints", *names])
    ]
    height = LINE * (len(lines) + 1)
    return _Panel(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' style="font: 13px {_FONT}" fill="currentColor">{"".join(lines)}</svg>',
        height,
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
