"""What fits into the width of a terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
