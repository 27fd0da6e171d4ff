"""A sweep on the console."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from mlbench.compare.sweep import ArmPair, Sweep, TaskSweep
from mlbench.reports.console import Flow, cell_width, fit, plain_table
from mlbench.reports.formatting import ABSENT, Quantity
from mlbench.reports.sweep.content import (
    LEGEND,
    SIGNIFICANT,
    DifferenceCell,
    FigureCell,
    arm_notes,
    base_pairs,
    by_language,
    claims,
    confounding,
    difference_cell,
    differences,
    figure_cell,
    header,
    how,
    quantities,
)

_WIDEST_NAME = 26
# Of the columns that find no room, these are missed least.
_LAST = ("rank_distance_median", "max_rank_norm")


def sweep_report(sweep: Sweep) -> RenderableType:
    """Return all figures, the differences from the base arm and what is best, for each task.

    It fits itself to the width of the console that prints it, and has no colour where that has none.
    """
    parts: list[RenderableType] = [Flow([Text(sweep.recipe, "bold"), *map(Text, header(sweep))], "; ")]
    for task in sweep.tasks:
        parts += [Text(), *_task(sweep, task)]
    return Group(*parts)


def _task(sweep: Sweep, task: TaskSweep) -> Iterator[RenderableType]:
    yield Text.assemble((task.name, "bold"), (f" (version {task.version})", "dim"))
    arms = [sweep.arm(row.arm) for row in task.rows]
    names = {arm.name: _name(arm.name, arm_notes(sweep, arm)) for arm in arms}
    yield _Columns("arm", list(names.values()), _figure_columns(task, quantities(task)))
    legend = list(LEGEND) if task.claims else []
    legend += [confounding()] if any(arm.confounded for arm in arms) else []
    yield Flow([Text(part, "dim") for part in legend], "; ")
    pairs = base_pairs(sweep, task)
    if pairs:
        yield Text()
        yield Text(f"difference from {sweep.base} ({differences(sweep, ranges=False)})")
        candidates = [_name(pair.candidate, []) for pair in pairs]
        yield _Columns("arm", candidates, _difference_columns(quantities(task), pairs))
    for title, columns in by_language(task).items():
        yield Text()
        yield Text(title)
        yield _Columns("arm", [_name(row.arm, []) for row in task.rows], _figure_columns(task, columns))
        if pairs:
            yield Text(f"difference from {sweep.base}")
            yield _Columns("arm", [_name(pair.candidate, []) for pair in pairs], _difference_columns(columns, pairs))
    if len(task.pairs) > len(pairs):
        yield Text("all pairs of arms are in the document and on the page", "dim")
    if task.claims:
        yield Text()
        yield from (Flow([Text(claim)]) for claim in claims(task))
    yield Flow([Text(part, "dim") for part in how(task, sweep)])


@dataclass(frozen=True)
class _Columns:
    """A table whose cells have several lines: only the first where there is no room, and no column without any."""

    first: str
    names: Sequence[Text]
    columns: Mapping[Quantity, Sequence[Text]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, then what found no room."""
        titles = {quantity: "\n".join(quantity.title.split()) for quantity in self.columns}
        names = min(_WIDEST_NAME, max(len(self.first), *(_width(name) for name in self.names)))
        columns: Mapping[Quantity, Sequence[Text]] = self.columns
        shown = self._fitting(columns, titles, names, options.max_width)
        missing = []
        if len(shown) <= len(titles):
            columns = {quantity: [cell.split("\n")[0] for cell in cells] for quantity, cells in columns.items()}
            shown = self._fitting(columns, titles, names, options.max_width)
            missing = ["intervals"]
        missing += [title.replace("\n", " ") for title in titles.values() if title not in shown]
        table = plain_table()
        table.add_column(self.first, max_width=names, overflow="fold", vertical="top")
        for title in titles.values():
            if title in shown:
                table.add_column(title, justify="right", no_wrap=True, vertical="top")
        for place, name in enumerate(self.names):
            cells = [columns[quantity][place] for quantity, title in titles.items() if title in shown]
            table.add_row(name, *cells)
        yield table
        if missing:
            yield Flow([Text(f"no room for {', '.join(missing)}: see a wider terminal or --json", "dim")])

    def _fitting(
        self, columns: Mapping[Quantity, Sequence[Text]], titles: Mapping[Quantity, str], names: int, room: int
    ) -> frozenset[str]:
        """Choose the titles of the columns that fit beside the names, whose own title is empty."""
        widths = {
            title: max(*map(len, title.split("\n")), *(_width(cell) for cell in columns[quantity]))
            for quantity, title in titles.items()
        }
        late = {title for quantity, title in titles.items() if quantity.name in _LAST}
        return fit({"": names} | dict(sorted(widths.items(), key=lambda column: column[0] in late)), room)


def _figure_columns(task: TaskSweep, columns: Sequence[Quantity]) -> dict[Quantity, list[Text]]:
    return {quantity: [_figure_text(figure_cell(task, row.arm, quantity)) for row in task.rows] for quantity in columns}


def _figure_text(cell: FigureCell) -> Text:
    # A blank keeps numbers with and without a mark below each other.
    style = "bold" if cell.mark else ""
    lines: list[tuple[str, str]] = [(f"{cell.value}{cell.mark or ' '}", style)]
    lines += [(f"{each} ", "dim") for each in (cell.interval, cell.spread) if each]
    return _lines(lines)


def _difference_columns(columns: Sequence[Quantity], pairs: Sequence[ArmPair]) -> dict[Quantity, list[Text]]:
    found = {quantity: [_difference_text(difference_cell(pair, quantity)) for pair in pairs] for quantity in columns}
    return {quantity: cells for quantity, cells in found.items() if any(cell.plain != ABSENT for cell in cells)}


def _difference_text(cell: DifferenceCell | None) -> Text:
    if cell is None:
        return Text(ABSENT)
    tested = " ".join(part for part in (f"p {cell.p}" if cell.p else "", cell.seeds) if part)
    lines = [(f"{cell.difference}{SIGNIFICANT if cell.significant else ' '}", "bold" if cell.significant else "")]
    return _lines([*lines, *((f"{each} ", "dim") for each in (cell.interval, tested) if each)])


def _name(name: str, notes: Sequence[str]) -> Text:
    return _lines([(name, ""), *((note, "yellow" if "confounded" in note else "dim") for note in notes)])


def _lines(lines: Sequence[tuple[str, str]]) -> Text:
    return Text("\n").join(Text(text, style) for text, style in lines)


def _width(text: Text) -> int:
    return cell_width(list(text.split("\n")))
