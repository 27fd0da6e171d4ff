"""Several results side by side: a row for each, a column for each number that people compare."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import neg
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mlbench.collection.languages import KINDS, Kind
from mlbench.errors import UnknownName
from mlbench.reports.console import Flow, cell_width, fit, plain_table
from mlbench.reports.formatting import SHORT, decimal, heading, spoken, task_label, written
from mlbench.results import Result
from mlbench.statistics.captions import CAPTION_SCORES

_NO_PREFERENCE = 0.5
# Recall as the hybrid-batch paper reports it (arXiv 2408.10536, section 4).
_RECALL: tuple[tuple[str, Kind], ...] = (("R@1", "monolingual"), ("R@1", "cross_lingual"), ("R@10", "multilingual"))
# The distance from the best there is; no entry: as high as possible.
_LOSS: dict[str, Callable[[float], float]] = {
    "own_language_preference": lambda value: abs(value - _NO_PREFERENCE),
    "rank_distance": lambda value: value,
    "rank_distance_median": lambda value: value,
}
# Cosines of another model have another scale: none of these is better for being higher.
_ON_A_SCALE_OF_ITS_OWN = frozenset({"clip_score", "ref_clip_score"})


@dataclass(frozen=True, slots=True)
class ScoreCell:
    """One number as it is written; `best` says that none of the same task is better, among several."""

    text: str
    best: bool


@dataclass(frozen=True)
class ScoreColumn:
    """The numbers of one kind, in the order of the results; columns of one `group` stand together."""

    group: str
    title: str
    cells: tuple[ScoreCell, ...]


@dataclass(frozen=True)
class ScoreTable:
    """Results in the order given, as rows of names and columns of numbers; columns without any value are left out."""

    retrievers: tuple[str, ...]
    tasks: tuple[str, ...]
    columns: tuple[ScoreColumn, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table without the columns that find no room, then a line that explains it."""
        columns = {"retriever": list(map(Text, self.retrievers)), "task": list(map(Text, self.tasks))}
        names = set(columns)
        for column in self.columns:
            columns[_stacked(column)] = [Text(f"{cell.text}{'*' if cell.best else ' '}") for cell in column.cells]
        widths = {title: max(cell_width(cells), *map(len, title.split())) for title, cells in columns.items()}
        # Long names take several lines, so that there is room for numbers.
        widths |= {
            name: min(widths[name], max(_NAME_WIDTH, (options.max_width - _ROOM_FOR_NUMBERS) // 2)) for name in names
        }
        # Scores of bias must be read beside those of quality, recall is missed least.
        urgent = dict(sorted(widths.items(), key=lambda column: column[0].startswith("R@")))
        shown = fit(urgent, options.max_width)
        table = plain_table()
        for title in columns:
            if title in shown:
                justify: Literal["left", "right"] = "left" if title in names else "right"
                width = widths[title] if title in names else None
                table.add_column(
                    title,
                    justify=justify,
                    no_wrap=title not in names,
                    max_width=width,
                    vertical="bottom",
                    overflow="fold",
                )
        for row in zip(*(cells for title, cells in columns.items() if title in shown), strict=True):
            table.add_row(*row)
        yield table
        parts = [f"*: {BEST}"] if any(cell.best for column in self.columns for cell in column.cells) else []
        missing = [title.replace("\n", " ") for title in columns if title not in shown]
        parts += [f"no room for {', '.join(missing)}: see a wider terminal"] if missing else []
        yield Flow([Text(part, "dim") for part in [MEANS, *parts]], "; ", indent=0)


_NAME_WIDTH = 16
_ROOM_FOR_NUMBERS = 40
MEANS = "macro means over the settings of a kind"
BEST = "the best of a task, own language preference nearest to .500"
"""What the mark of a cell says."""


def compare(results: Sequence[Result], *, measure: str | None = None) -> ScoreTable:
    """Set results side by side by `measure`, by default the primary one of each task, recall and bias scores.

    Raises `UnknownName` for a measure that no result has.
    """
    if measure is not None and not any(measure in result.task.measures for result in results):
        raise UnknownName("measure of these results", measure, {m for r in results for m in r.task.measures})
    columns = [_column(results, quantity) for quantity in _quantities(results, measure)]
    return ScoreTable(
        retrievers=tuple(result.retriever.spec for result in results),
        tasks=tuple(task_label(result) for result in results),
        columns=tuple(column for column in columns if column is not None),
    )


@dataclass(frozen=True)
class _Quantity:
    """What a column shows: a macro mean of `name` over a kind of settings, or without a kind a score of that name."""

    name: str
    kind: Kind | None

    @property
    def titles(self) -> tuple[str, str]:
        if self.kind is not None:
            return heading(self.name), SHORT[self.kind]
        named = {"rank_distance": ("rank_distance", "mean"), "rank_distance_median": ("rank_distance", "median")}
        return named.get(self.name, (spoken(self.name) if self.name in CAPTION_SCORES else self.name, ""))

    def value(self, result: Result) -> float | None:
        if self.name in CAPTION_SCORES:
            return getattr(result.image_text.mean, self.name) if result.image_text else None
        if self.kind is None:
            score = result.bias.score(self.name) if result.bias else None
            return score.value if score else None
        # Each row shows the primary measure of its own task under its own name.
        aggregate = result.aggregate(self.kind)
        return aggregate.measures.get(self.name) if aggregate else None

    def write(self, value: float | None) -> str:
        return written(self.name, value) if self.kind is None else decimal(value)


def _stacked(column: ScoreColumn) -> str:
    """Write each word of a title on its own line, so that the column is as narrow as its numbers."""
    return "\n".join(f"{spoken(column.group)} {column.title}".split())


def _quantities(results: Sequence[Result], measure: str | None) -> Iterator[_Quantity]:
    shown = dict.fromkeys([measure] if measure else [result.task.primary_measure for result in results])
    pairs = [(name, kind) for name in shown for kind in KINDS]
    for name, kind in dict.fromkeys([*pairs, *_RECALL]):
        yield _Quantity(name, kind)
    for name in (*CAPTION_SCORES, *_LOSS):
        yield _Quantity(name, None)


def _column(results: Sequence[Result], quantity: _Quantity) -> ScoreColumn | None:
    values = [quantity.value(result) for result in results]
    if all(value is None for value in values):
        return None
    group, title = quantity.titles
    cells = [
        ScoreCell(quantity.write(value), value is not None and _is_best(place, results, values, quantity))
        for place, value in enumerate(values)
    ]
    return ScoreColumn(group, title, tuple(cells))


def _is_best(place: int, results: Sequence[Result], values: Sequence[float | None], quantity: _Quantity) -> bool:
    """Whether no comparable result looks better; a result that nothing can be compared with is not the best."""
    rivals = [
        value
        for result, value in zip(results, values, strict=True)
        if value is not None and result.task.fingerprint == results[place].task.fingerprint
    ]
    own = values[place]
    if len(rivals) < 2 or own is None or quantity.name in _ON_A_SCALE_OF_ITS_OWN:
        return False
    if quantity.name in _LOSS and _cut_short(results, place):
        return False
    loss = _LOSS.get(quantity.name, neg)
    best = min(rivals, key=loss)
    return loss(own) == loss(best) or quantity.write(own) == quantity.write(best)


def _cut_short(results: Sequence[Result], place: int) -> bool:
    """Whether a list of the same task ends before its pool does: distances of ranks then depend on its depth."""
    return any(
        (setting.unretrieved_share or 0) > 0
        for result in results
        if result.task.fingerprint == results[place].task.fingerprint
        for setting in result.settings
    )
