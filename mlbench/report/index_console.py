"""Index costs on the console."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from mlbench.index_costs.document import IndexCosts
from mlbench.report.harmless import harmless
from mlbench.report.index_rows import Cell, IndexTable, headline, notes, tables
from mlbench.report.width import FittedTable, Flow


def index_console(costs: IndexCosts) -> RenderableType:
    """Return the tables of the costs, fitted to the width of the console that prints them."""
    costs = harmless(costs)
    first, *rest = headline(costs)
    parts: list[RenderableType] = [Flow([Text(first, "bold"), *map(Text, rest)], "; ")]
    for table in tables(costs, full=False):
        parts += _titled(table)
    return Group(*parts, Text(), *(Flow([Text(note, "dim")]) for note in notes(costs)))


def _titled(table: IndexTable) -> Iterator[RenderableType]:
    yield Text()
    yield Text(table.title, "bold")
    columns = {table.first or " ": [Text(label) for label, _ in table.rows]}
    columns |= {head: [_text(cells[place]) for _, cells in table.rows] for place, head in enumerate(table.heads)}
    yield FittedTable(columns, left=["with"], narrowest=20)
    if table.note:
        yield Flow([Text(table.note, "dim")])


def _text(cell: Cell) -> Text:
    return Text.assemble(cell.text, (f" {cell.note}" if cell.note else "", "dim"))
