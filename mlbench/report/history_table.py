"""A history on the console: a table of values and one of changes for each series."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from mlbench.report.differences import signed
from mlbench.report.history import Checkpoint, Figure, History, Series, quantities
from mlbench.report.notation import ABSENT, count, quick_look
from mlbench.report.sweep_rows import Quantity
from mlbench.report.width import GAP, FittedTable, Flow, cell_width

BEST = "*"
"""The mark of a value that none of its series is better than."""

_ORDERS = {"steps": "training steps", "time": "time", "name": "name"}
_DIGEST = 8
_NARROWEST = 12
# Its intervals are the widest, and missed least.
_LONG = "rank_distance"
_LEGEND = (
    f"{BEST} best of the series, own language preference nearest to .500",
    "whether a change is more than topics explain: mlbench compare",
)


def history_report(found: History) -> RenderableType:
    """Return a table of every series, with intervals and what changed.

    It fits itself to the width of the console that prints it. Without series it is empty.
    """
    parts: list[RenderableType] = []
    for series in found.series:
        parts += [*([Text()] if parts else []), *_series(series, found)]
    return Group(*parts)


def order_title(series: Series) -> str:
    """Say in which order the checkpoints of a series stand."""
    return _ORDERS[series.order]


def notes(series: Series, found: History) -> list[str]:
    """Return what must be known of the data of a series; usually nothing."""
    partial = [f"partial: {', '.join(series.languages)}"] if series.partial else []
    limit = [] if series.limit is None else [quick_look(series.limit)]
    alike = sum(each.task == series.task for each in found.series)
    other = f"data {series.fingerprint[:_DIGEST]}, one of {alike} that are not comparable"
    return [*partial, *limit, *([other] if alike > 1 else [])]


def how(series: Series) -> str:
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


def figure_text(quantity: Quantity, figure: Figure) -> tuple[str, str]:
    """Write a value and its interval, which is empty where there is none."""
    bounds = figure.interval
    if figure.value is None or bounds is None:
        return quantity.write(figure.value), ""
    low, high = (quantity.write(bound, beside=figure.value) for bound in (bounds.low, bounds.high))
    return quantity.write(figure.value), f"[{low}, {high}]"


def _series(series: Series, found: History) -> Iterator[RenderableType]:
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

    series: Series

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


def _value(quantity: Quantity, figure: Figure, between: str) -> Text:
    value, bounds = figure_text(quantity, figure)
    # A blank keeps intervals below each other.
    mark = BEST if figure.best else " " if between == " " else ""
    return Text.assemble(
        (f"{value}{mark}", "bold" if figure.best else ""), (f"{between}{bounds}" if bounds else "", "dim")
    )


def _changes(series: Series) -> dict[str, list[Text]]:
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


def _change(quantity: Quantity, figure: Figure, field: str) -> str:
    change = figure.from_previous if field == "from_previous" else figure.from_best
    return ABSENT if change is None else signed(quantity, change, beside=figure.value)


def _named(series: Series) -> dict[str, list[Text]]:
    """Return the columns that tell checkpoints apart."""
    columns = {"checkpoint": [Text(checkpoint.name) for checkpoint in series.checkpoints]}
    if series.order == "steps":
        columns["steps"] = [Text(f"{checkpoint.steps:,}") for checkpoint in series.checkpoints]
    else:
        columns["finished"] = [Text(when(checkpoint)) for checkpoint in series.checkpoints]
    return columns


def _late(series: Series) -> list[str]:
    return [] if series.order == "steps" else ["finished"]


def _stacked(quantity: Quantity) -> str:
    """Write a title on two lines, the last word below."""
    return "\n".join(quantity.title.rsplit(" ", 1))
