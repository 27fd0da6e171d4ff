"""What fits into the width of a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

GAP = 2
"""Columns of space between two columns of a table."""


@dataclass(frozen=True)
class Flow:
    """Parts on as few lines as the width allows, broken between parts where possible; further lines are indented.

    A separator that begins with a space stands between parts only, never at the end of a line.
    """

    parts: Sequence[Text]
    separator: str = ", "
    indent: int = 2

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; a part that is wider than the terminal is wrapped at its words."""
        # What stays with the part before, and what vanishes when the next part begins a line.
        tight = "" if self.separator.startswith(" ") else self.separator.rstrip()
        loose = self.separator.removeprefix(tight)
        line, room = Text(), options.max_width
        for place, part in enumerate(self.parts):
            between = loose if place else ""
            tail = tight if place < len(self.parts) - 1 else ""
            if line and line.cell_len + len(between) + part.cell_len + len(tail) > room:
                yield self._indented(line, room < options.max_width)
                line, room, between = Text(), options.max_width - self.indent, ""
            line.append(between, "dim").append_text(part).append(tail, "dim")
        yield self._indented(line, room < options.max_width)

    def _indented(self, line: Text, further: bool) -> RenderableType:
        return Padding(line, (0, 0, 0, self.indent), expand=False) if further else line


def fit(widths: Mapping[str, int], room: int, gap: int = GAP) -> frozenset[str]:
    """Choose columns, in the order given, as long as they fit into `room`; a narrower one may take a wider one's place.

    The first is always chosen; no columns give none.
    """
    chosen: list[str] = []
    for name, width in widths.items():
        if not chosen or width + gap <= room:
            chosen.append(name)
            room -= width + (gap if len(chosen) > 1 else 0)
    return frozenset(chosen)


def cell_width(cells: Sequence[Text]) -> int:
    """Return the width of the widest cell; no cells give 0."""
    return max((cell.cell_len for cell in cells), default=0)


def plain_table() -> Table:
    """Return a table without lines, whose columns are `GAP` apart."""
    return Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")


@dataclass(frozen=True)
class FittedTable:
    """A table without the columns that are empty or find no room, and a line that names the latter.

    The first column is folded where that makes room for others, to no less than `narrowest`. Columns in `late` are the
    first to go, the last of them before the others, and those in `unnamed` go without a word. Titles may have several
    lines.
    """

    columns: Mapping[str, Sequence[Text]]
    late: Sequence[str] = ()
    unnamed: Sequence[str] = ()
    left: Sequence[str] = ()
    narrowest: int = 12

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, then what found no room."""
        widths = {
            title: max(*map(len, title.split("\n")), *(cell_width(list(cell.split("\n"))) for cell in cells), 0)
            for title, cells in self.columns.items()
            if title in list(self.columns)[:1] or cell_width(cells)
        }
        first = next(iter(widths))
        folded = {first: min(widths[first], self.narrowest)}
        shown = fit(
            dict(sorted((widths | folded).items(), key=lambda column: self._urgency(column[0], first))),
            options.max_width,
        )
        others = sum(GAP + width for title, width in widths.items() if title in shown and title != first)
        table = plain_table()
        table.add_column(
            first, max_width=max(folded[first], options.max_width - others), overflow="fold", vertical="top"
        )
        for title in widths:
            if title in shown and title != first:
                justify: Literal["left", "right"] = "left" if title in self.left else "right"
                table.add_column(title, justify=justify, no_wrap=True, vertical="top")
        for row in zip(*(cells for title, cells in self.columns.items() if title in shown), strict=True):
            table.add_row(*row)
        yield table
        missing = [title.replace("\n", " ") for title in widths if title not in shown and title not in self.unnamed]
        if missing:
            yield Flow([Text(f"no room for {', '.join(missing)}: see a wider terminal or --json", "dim")])

    def _urgency(self, title: str, first: str) -> int:
        if title == first:
            return 0
        return 2 + self.late.index(title) if title in self.late else 1
