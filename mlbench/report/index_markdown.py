"""Index costs as Markdown of the GitHub kind."""

import re

from mlbench.index_costs.document import IndexCosts
from mlbench.report.harmless import harmless
from mlbench.report.index_rows import Cell, IndexTable, headline, notes, tables
from mlbench.report.markdown import name, table

# What no name of a language or of a key can be taken for.
_NUMBERS = re.compile(r"[-+.,\d \[\]·]*")


def index_markdown(costs: IndexCosts, *, full: bool = True) -> str:
    """Return the tables of the costs; without `full`, those that the console shows."""
    costs = harmless(costs)
    blocks = ["### What indexes cost", name("; ".join(headline(costs)))]
    for each in tables(costs, full=full):
        blocks += [f"#### {name(each.title)}", _table(each), *([name(each.note)] if each.note else [])]
    *ours, statistics = notes(costs)
    listed = [*ours, name(statistics)]
    return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in listed)]) + "\n"


def _table(each: IndexTable) -> str:
    rows = [[name(label), *map(_cell, cells)] for label, cells in each.rows]
    return table([name(each.first), *map(name, each.heads)], rows)


def _cell(cell: Cell) -> str:
    return "<br>".join(text if _NUMBERS.fullmatch(text) else name(text) for text in (cell.text, cell.note) if text)
