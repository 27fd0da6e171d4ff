"""A comparison on the console: the verdict first, then each task with a heat map of differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from mlbench.collection.languages import KINDS, Setting
from mlbench.compare.document import Check, Comparison, TaskComparison
from mlbench.reports.colours import ColourScale
from mlbench.reports.comparison.content import (
    LINES_LEGEND,
    SIGNIFICANT,
    DifferenceText,
    both_sides,
    by_language,
    check_title,
    check_value,
    difference_grid,
    failures,
    headline,
    how,
    labels,
    languages_of,
    legend,
    not_compared,
    other_aggregates,
    other_measures,
    power,
    setting_of,
    setting_title,
    sides,
    single_settings,
    summary,
    title,
    verdict,
    verdict_counts,
    worst,
)
from mlbench.reports.console import FittedTable, Flow
from mlbench.reports.formatting import ABSENT, SHORT, decimal, harmless, heading, p_text
from mlbench.reports.heat_map import HeatMap

_PARTS = {"thousandths": 1000, "hundredths": 100}


@dataclass(frozen=True)
class DifferenceMap(HeatMap):
    """The differences of a grid as whole numbers of a `unit`, red where worse and blue where better.

    Those in `significant`, pairs of a row and a column, have a mark. Without colour the signs tell. It is coarser where
    that makes room, and where there is none, or no cross-lingual setting, no map.
    """

    significant: frozenset[tuple[str, str]] = frozenset()
    unit: Literal["thousandths", "hundredths"] = "thousandths"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend, in hundredths where thousandths would be cut into more blocks."""
        coarse = replace(self, unit="hundredths")
        fine, coarser = (len(list(each._blocks(options.max_width))) for each in (self, coarse))
        yield from super(DifferenceMap, coarse if coarser < fine else self).__rich_console__(console, options)

    @property
    def _title(self) -> str:
        return f"difference of {heading(self.grid.measure)} in {self.unit}: queries (rows) by documents (columns)"

    def _scale(self) -> ColourScale:
        return ColourScale.around_zero(self.grid.values)

    def _text(self, row: str, column: str) -> str:
        mark = SIGNIFICANT if (row, column) in self.significant else " "
        return f"{whole(self.grid.value(row, column), _PARTS[self.unit])}{mark}"

    def _end(self, value: float) -> str:
        return decimal(value)

    def _instead(self) -> Iterator[RenderableType]:
        if self.grid.crosses:
            yield Text("the heat map of differences needs a wider terminal", "dim")

    @cached_property
    def _narrowest(self) -> int:
        return 2 + max((len(whole(value, _PARTS[self.unit])) for value in self.grid.values), default=0)


def whole(value: float | None, parts: int = 1000) -> str:
    """Write a difference as a whole number of thousandths, or of other parts: `-21` for -.021; None is `·`."""
    if value is None:
        return ABSENT
    number = round(parts * value)
    return f"{number:+d}" if number else "0"


_MOST_FAILURES = 20
_STYLES = {
    "better": "green",
    "not_significant": "dim",
    "worse": "bold red",
    "passed": "bold green",
    "failed": "bold red",
}


def comparison_console(comparison: Comparison, *, every_setting: bool = False) -> RenderableType:
    """Return the report of a comparison: verdict and failed lines, then differences, power and provenance by task.

    With `every_setting` all settings, measures, bias scores and lines of the gate are there. It fits itself to the
    width of the console that prints it, and says everything without colour.
    """
    comparison = harmless(comparison)
    parts = list(_verdict(comparison, every=every_setting))
    for task in comparison.tasks:
        named = [] if both_sides(comparison) else [sides(task)]
        parts += [Text(), *_task(task, comparison.gate.level, named, every=every_setting)]
    notes = not_compared(comparison)
    return Group(*parts, *([Text()] if notes else []), *(Flow([Text(note, "yellow")]) for note in notes))


def _verdict(comparison: Comparison, *, every: bool) -> Iterator[RenderableType]:
    word, both = verdict(comparison), both_sides(comparison)
    yield Flow(
        [Text.assemble((word, _STYLES[word]), f": {headline(comparison)}"), *([Text(both)] if both else [])], "; "
    )
    told = [f"{task}: {sentence}" for task, sentence in failures(comparison.every_check)]
    if told:
        yield _bullets(told if every else told[:_MOST_FAILURES])
    if len(told) > _MOST_FAILURES and not every:
        yield Text(f"and {len(told) - _MOST_FAILURES:,} more: see --all", "dim")


def _task(task: TaskComparison, level: float, named: Sequence[str], *, every: bool) -> Iterator[RenderableType]:
    head = Text.assemble((task.task, "bold"), f" (version {task.version})")
    yield Flow([head, *map(Text, named), *(Text(label, "yellow") for label in labels(task))], "; ")
    yield _table("", summary(task))
    if every and (others := other_aggregates(task)):
        yield from _titled("other measures and bias scores, which are not tested", _table("", others))
    yield from _languages(task)
    yield Flow([Text(legend(level), "dim")])
    yield from _settings(task, every=every)
    shown = difference_grid(task)
    if shown.grid.crosses:
        yield Text()
        yield DifferenceMap(shown.grid, shown.significant)
    if every and task.checks:
        yield from _titled("lines of the gate", _checks(task.checks))
        yield Flow([Text(LINES_LEGEND, "dim")])
    yield Text()
    yield from (Flow([Text(sentence)]) for sentence in power(task))
    yield Flow([Text(part, "dim") for part in how(task)])


def _bullets(sentences: Sequence[str]) -> Table:
    listed = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        listed.add_row(Text("-", _STYLES["failed"]), sentence)
    return listed


def _titled(words: str, table: RenderableType) -> Iterator[RenderableType]:
    yield Text()
    yield Text(words, "bold")
    yield table


def _languages(task: TaskComparison) -> Iterator[RenderableType]:
    rows = by_language(task)
    if not rows:
        return
    columns: dict[str, list[Text]] = {"language": [Text(language) for language in rows]}
    tests: list[str] = []
    for kind in KINDS:
        cells = [found.get(kind) for found in rows.values()]
        if any(cells):
            columns[SHORT[kind]] = _marked(cells)
            columns[f"{SHORT[kind]} p"] = [Text(cell.p if cell else "") for cell in cells]
            tests.append(f"{SHORT[kind]} p")
    yield from _titled(
        f"difference of {heading(task.tests.primary_measure)} by {languages_of(task)}",
        FittedTable(columns, late=tests, unnamed=tests, narrowest=8),
    )


def _settings(task: TaskComparison, *, every: bool) -> Iterator[RenderableType]:
    rows = single_settings(task) if every else worst(task)
    if told := verdict_counts(task):
        yield Text()
        yield Flow([Text(part) for part in told], "; ")
    if not rows:
        return
    measure = heading(task.tests.primary_measure)
    words = f"{measure} of all settings" if every else f"settings that lose most {measure}"
    others = other_measures(task) if every else {}
    beside = {heading(name): _beside(found, rows) for name, found in others.items()}
    yield from _titled(words, _table("setting", rows, beside))


def _beside(found: Mapping[Setting, DifferenceText], rows: Sequence[DifferenceText]) -> list[Text]:
    each = [found.get(setting_of(row.line)) for row in rows]
    return [Text(difference.difference if difference else "") for difference in each]


def _table(
    first: str, rows: Sequence[DifferenceText], beside: Mapping[str, Sequence[Text]] | None = None
) -> FittedTable:
    """Return a table of differences with their tests; what stands `beside` is the first to find no room."""
    named = setting_title if first == "setting" else title
    columns = {
        first: [Text(named(row.line)) for row in rows],
        "base": [Text(row.base) for row in rows],
        "candidate": [Text(row.candidate) for row in rows],
        "difference": [
            Text.assemble(row.difference, (f" {row.interval}" if row.interval else "", "dim")) for row in rows
        ],
        "p": [Text(row.p) for row in rows],
        "verdict": [Text(row.verdict_text, _STYLES.get(row.verdict or "", "")) for row in rows],
    }
    more = dict(beside or {})
    return FittedTable(columns | more, late=["p", "base", *more], left=["difference", "verdict"])


def _marked(cells: Sequence[DifferenceText | None]) -> list[Text]:
    """Return differences with their marks, and intervals that begin below each other."""
    wide = max((len(cell.interval) for cell in cells if cell), default=0)
    return [_mark(cell, wide) if cell else Text() for cell in cells]


def _mark(cell: DifferenceText, wide: int) -> Text:
    style = _STYLES[cell.verdict] if cell.verdict in ("better", "worse") else ""
    blank = "" if style else " "
    return Text.assemble((cell.marked, style), blank, (f" {cell.interval:<{wide}}" if wide else "", "dim"))


def _checks(checks: Sequence[Check]) -> FittedTable:
    columns = {
        "line": [Text(check_title(check)) for check in checks],
        "base": [Text(check_value(check, check.base)) for check in checks],
        "candidate": [Text(check_value(check, check.candidate)) for check in checks],
        "p": [Text("" if check.p is None else p_text(check.p)) for check in checks],
        "would\nfind": [
            Text("" if check.detectable is None else check_value(check, check.detectable)) for check in checks
        ],
        "": [
            Text("passed" if check.passed else "failed", "dim" if check.passed else _STYLES["failed"])
            for check in checks
        ],
    }
    return FittedTable(columns, late=["candidate", "base"], left=[""], narrowest=56)
