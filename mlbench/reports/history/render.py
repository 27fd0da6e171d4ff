"""A history on the console, and as one SVG file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from mlbench.collection.languages import KINDS, Kind
from mlbench.reports.console import GAP, FittedTable, Flow, cell_width
from mlbench.reports.formatting import (
    ABSENT,
    SHORT,
    Quantity,
    count,
    harmless,
    heading,
    quick_look,
    signed,
    spoken,
)
from mlbench.reports.history.content import (
    SCORES,
    Checkpoint,
    History,
    HistoryFigure,
    ResultSeries,
    quantities,
)
from mlbench.reports.svg import HEIGHT, LINE, WIDTH, Chart, ChartAxis, ChartSeries, Mark, chart_svg

BEST = "*"
"""The mark of a value that none of its series is better than."""
_ORDERS = {"steps": "training steps", "time": "time", "name": "name"}
_DIGEST = 8
_NARROWEST = 12
# Its intervals are the widest, and missed least.
_LONG = "rank_distance"
_LEGEND = (
    f"{BEST} best of the series, own language preference nearest to .500",
    "whether a change is significant: mlbench compare",
)


def history_report(found: History) -> RenderableType:
    """Return a table of every series, with intervals and what changed.

    It fits itself to the width of the console that prints it. Without series it is empty.
    """
    parts: list[RenderableType] = []
    for series in found.series:
        parts += [*([Text()] if parts else []), *_series(series, found)]
    return Group(*parts)


def order_title(series: ResultSeries) -> str:
    """Say in which order the checkpoints of a series stand."""
    return _ORDERS[series.order]


def notes(series: ResultSeries, found: History) -> list[str]:
    """Return what must be known of the data of a series; usually nothing."""
    partial = [f"partial: {', '.join(series.languages)}"] if series.partial else []
    limit = [] if series.limit is None else [quick_look(series.limit)]
    alike = sum(each.task == series.task for each in found.series)
    other = f"data {series.fingerprint[:_DIGEST]}, one of {alike} that are not comparable"
    return [*partial, *limit, *([other] if alike > 1 else [])]


def how(series: ResultSeries) -> str:
    """Say how intervals were made, as far as all documents agree."""
    confidence = "" if series.confidence is None else f"{100 * series.confidence:g} % "
    resamples = "" if series.resamples is None else f": {count(series.resamples, 'resample')}"
    return f"{confidence}intervals are those of the documents{resamples}"


def when(checkpoint: Checkpoint) -> str:
    """Write when a run finished, to the minute; what is no time stands as it is."""
    try:
        return datetime.fromisoformat(checkpoint.finished_at).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return checkpoint.finished_at


def figure_text(quantity: Quantity, figure: HistoryFigure) -> tuple[str, str]:
    """Write a value and its interval, which is empty where there is none."""
    bounds = figure.interval
    if figure.value is None or bounds is None:
        return quantity.write(figure.value), ""
    low, high = (quantity.write(bound, beside=figure.value) for bound in (bounds.low, bounds.high))
    return quantity.write(figure.value), f"[{low}, {high}]"


def _series(series: ResultSeries, found: History) -> Iterator[RenderableType]:
    head = Text.assemble((series.task, "bold"), f" (version {series.version})")
    size = Text(f"{count(len(series.checkpoints), 'checkpoint')} by {order_title(series)}")
    yield Flow([head, size, *(Text(note, "yellow") for note in notes(series, found))], "; ")
    yield _Values(series)
    legend = [how(series)]
    if len(series.checkpoints) > 1:
        legend = [*_LEGEND, how(series)]
        yield Text()
        yield Text("change from the checkpoint before, and from the best of all before", "bold")
        yield FittedTable(
            _named(series) | _changes(series), narrowest=_NARROWEST, late=[*_late(series)], unnamed=_late(series)
        )
    yield Flow([Text(part, "dim") for part in legend], "; ")


@dataclass(frozen=True)
class _Values:
    """Values with their intervals beside them, below them where the terminal is narrow, and at last fewer of them."""

    series: ResultSeries

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the first layout that fits, and what the last one leaves out."""
        named, late = _named(self.series), _late(self.series)
        first = _NARROWEST + sum(_width(each) for each in list(named.items())[1:] if each[0] not in late)
        layouts = [self._columns(" "), self._columns("\n"), self._columns("\n", without=(_LONG,))]
        fitting = [each for each in layouts if first + sum(map(_width, each.items())) <= options.max_width]
        shown = fitting[0] if fitting else layouts[-1]
        yield FittedTable(named | shown, narrowest=_NARROWEST, late=late, left=[*shown, *late])
        if shown is layouts[-1] != layouts[1]:
            yield Flow([Text(f"no room for intervals of {Quantity(_LONG, None).title}", "dim")])

    def _columns(self, between: str, without: Sequence[str] = ()) -> dict[str, list[Text]]:
        columns = {}
        for name, kind in quantities(self.series):
            quantity = Quantity(name, kind)
            figures = [checkpoint.figure(name, kind) for checkpoint in self.series.checkpoints]
            if name in without:
                figures = [figure.model_copy(update={"interval": None}) for figure in figures]
            columns[_stacked(quantity)] = [_value(quantity, figure, between) for figure in figures]
        return columns


def _width(column: tuple[str, Sequence[Text]]) -> int:
    """Return how much room a column takes, with the gap before it."""
    title, cells = column
    lines = [line for cell in cells for line in cell.split("\n")]
    return GAP + max(cell_width(lines), *map(len, title.split("\n")))


def _value(quantity: Quantity, figure: HistoryFigure, between: str) -> Text:
    value, bounds = figure_text(quantity, figure)
    # A blank keeps intervals below each other.
    mark = BEST if figure.best else " " if between == " " else ""
    return Text.assemble(
        (f"{value}{mark}", "bold" if figure.best else ""), (f"{between}{bounds}" if bounds else "", "dim")
    )


def _changes(series: ResultSeries) -> dict[str, list[Text]]:
    columns = {}
    for name, kind in quantities(series):
        quantity = Quantity(name, kind)
        figures = [checkpoint.figure(name, kind) for checkpoint in series.checkpoints]
        texts = [[_change(quantity, figure, each) for figure in figures] for each in ("from_previous", "from_best")]
        widths = [max(map(len, each)) for each in texts]
        columns[_stacked(quantity)] = [
            Text(" ".join(text.rjust(width) for text, width in zip(each, widths, strict=True)))
            for each in zip(*texts, strict=True)
        ]
    return columns


def _change(quantity: Quantity, figure: HistoryFigure, field: str) -> str:
    change = figure.from_previous if field == "from_previous" else figure.from_best
    return ABSENT if change is None else signed(quantity, change, beside=figure.value)


def _named(series: ResultSeries) -> dict[str, list[Text]]:
    """Return the columns that tell checkpoints apart."""
    columns = {"checkpoint": [Text(checkpoint.name) for checkpoint in series.checkpoints]}
    if series.order == "steps":
        columns["steps"] = [Text(f"{checkpoint.steps:,}") for checkpoint in series.checkpoints]
    else:
        columns["finished"] = [Text(when(checkpoint)) for checkpoint in series.checkpoints]
    return columns


def _late(series: ResultSeries) -> list[str]:
    return [] if series.order == "steps" else ["finished"]


def _stacked(quantity: Quantity) -> str:
    """Write a title on two lines, the last word below."""
    return "\n".join(quantity.title.rsplit(" ", 1))


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


def _title(series: ResultSeries, found: History) -> str:
    size = f"{count(len(series.checkpoints), 'checkpoint')} by {order_title(series)}"
    return "; ".join([f"{series.task} (version {series.version}), {size}", *notes(series, found)])


def _panels(series: ResultSeries) -> list[_Panel]:
    """Return a chart of the measure by kind, one for each bias score, and the names behind the numbers of an axis."""
    known = quantities(series)
    kinds = [key for key in known if key[1] is not None]
    panels = [_chart(series, heading(series.measure), kinds, 0)] if kinds else []
    for key in known:
        if key[1] is None:
            panels.append(_chart(series, spoken(key[0]), [key], len(KINDS) + SCORES.index(key[0])))
    return panels if series.order == "steps" else [*panels, _names(series)]


def _chart(series: ResultSeries, title: str, shown: Sequence[tuple[str, Kind | None]], first: int) -> _Panel:
    lines, described = [], []
    for name, kind in shown:
        marks = list(_marks(series, name, kind))
        described += [mark.exact for mark in marks]
        lines.append(ChartSeries(SHORT[kind] if kind else "", tuple(marks)))
    chart = Chart(_axis(series), ChartAxis(title), tuple(lines), f"{title}: {'; '.join(described)}", first)
    return _Panel(chart_svg(chart), HEIGHT + LINE * sum(bool(line.name) for line in lines))


def _axis(series: ResultSeries) -> ChartAxis:
    places = sorted({_across(series, checkpoint, place) for place, checkpoint in enumerate(series.checkpoints, 1)})
    title = order_title(series) if series.order == "steps" else f"checkpoint, by {order_title(series)}"
    return ChartAxis(title, tuple((at, f"{at:,.0f}") for at in places))


def _marks(series: ResultSeries, name: str, kind: Kind | None) -> Iterator[Mark]:
    quantity = Quantity(name, kind)
    for place, checkpoint in enumerate(series.checkpoints, 1):
        figure = checkpoint.figure(name, kind)
        if figure.value is None:
            continue
        value, bounds = figure_text(quantity, figure)
        exact = f"{checkpoint.name}, {quantity.title}: {value}{f' {bounds}' if bounds else ''}"
        yield Mark(_across(series, checkpoint, place), figure.value, exact, interval=figure.interval)


def _across(series: ResultSeries, checkpoint: Checkpoint, place: int) -> float:
    return float(checkpoint.steps or 0) if series.order == "steps" else float(place)


def _names(series: ResultSeries) -> _Panel:
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
