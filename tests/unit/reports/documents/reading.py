"""How tests read a report: what a screen shows of it, and its tables and charts wherever they stand."""

import io
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

from rich.console import Console

from mlbench.reports.chart import Chart
from mlbench.reports.report import Block, Cell, Charts, Report, Section, Table
from mlbench.reports.ternary import TernaryPlot
from mlbench.reports.writers.console import ConsoleReport


def shown(report: Report, width: int) -> str:
    """Return what a screen of so many columns shows, without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(ConsoleReport(report))
    return captured.get()


def blocks(within: Sequence[Block]) -> Iterator[Block]:
    """Yield every block of sections, in their order."""
    for block in within:
        yield block
        if isinstance(block, Section):
            yield from blocks(block.blocks)


def tables(report: Report) -> list[Table]:
    """Return the tables."""
    return [block for block in blocks(report.blocks) if isinstance(block, Table)]


def charts(report: Report) -> list[Chart | TernaryPlot]:
    """Return the charts."""
    return [chart for block in blocks(report.blocks) if isinstance(block, Charts) for chart in block.charts]


def labels(table: Table) -> list[str]:
    """Return the labels of the rows."""
    return [row.label.text for row in table.rows]


def titles(table: Table) -> list[str]:
    """Return the titles of the columns but that of the labels."""
    return [column.title for column in table.columns]


def cell(table: Table, label: str, title: str) -> Cell:
    """Return the cell of the first row with a label, in the column with a title."""
    return table.rows[labels(table).index(label)].cells[titles(table).index(title)]


class Tags(HTMLParser):
    """Collects the elements of a page, checks that they are closed and that it needs no other file."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.links: list[str] = []
        self.feed(page)
        assert self.open == []
        assert not self.names & {"script", "img", "iframe", "object"}
        assert not [link for link in self.links if re.match(r"\w+://", link)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element that begins."""
        self.names.add(tag)
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the element which ends is the one that began last."""
        assert self.open.pop() == tag
