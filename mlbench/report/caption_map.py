"""How well each language's captions and their images find each other, on the console."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.report.captions import BEST, WORST, Captions, Column
from mlbench.report.colours import Scale
from mlbench.report.heat_map import colour_bar, has_colours
from mlbench.report.notation import ABSENT, decimal, two_digits
from mlbench.report.pairs import MEAN
from mlbench.report.width import Flow

_FAMILY = "Success"


@dataclass(frozen=True)
class CaptionMap:
    """The table of captions with a colour for each value, folded into blocks where the width is too small."""

    captions: Captions

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend; without colour, the digits alone."""
        coloured = has_colours(console)
        blocks = list(self._blocks(options.max_width))
        yield Text(self.captions.title, "bold")
        for place, columns in enumerate(blocks):
            if place:
                yield Text()
            yield from self._block(columns, coloured=coloured)
        yield self._legend(len(blocks), coloured=coloured)

    @property
    def _label_width(self) -> int:
        return max(map(len, self.captions.rows))

    def _width(self, column: Column) -> int:
        """Return how wide a column is; one that stands alone in its group has room for the group's name."""
        alone = sum(each.group == column.group for each in self.captions.columns) == 1
        texts = [_short(column), *([column.group] if alone else [])]
        return 2 + max(map(len, [*texts, *(decimal(column.value(row)) for row in (*column.values, MEAN))]))

    def _blocks(self, room: int) -> Iterator[list[Column]]:
        """Cut the columns into blocks as wide as the room; a column that is too wide stands alone."""
        block: list[Column] = []
        for column in self.captions.columns:
            if block and self._label_width + sum(map(self._width, [*block, column])) > room:
                yield block
                block = []
            block.append(column)
        yield block

    def _block(self, columns: Sequence[Column], *, coloured: bool) -> Iterator[Text]:
        groups = [(group, list(found)) for group, found in groupby(columns, key=lambda column: column.group)]
        if any(group for group, _ in groups):
            line = Text(" " * self._label_width, "bold", no_wrap=True)
            for group, found in groups:
                width = sum(map(self._width, found))
                line.append(f"{group[: width - 2]:^{width}}")
            yield line
        line = Text(" " * self._label_width, "bold", no_wrap=True)
        for column in columns:
            line.append(f"{_short(column):>{self._width(column) - 1}} ")
        yield line
        for row in self.captions.rows:
            yield self._row(row, columns, coloured=coloured)

    def _row(self, row: str, columns: Sequence[Column], *, coloured: bool) -> Text:
        line = Text(row.ljust(self._label_width), "bold", no_wrap=True)
        for column in columns:
            value = column.value(row)
            mark = BEST if column.is_best(row) else WORST if column.is_worst(row) else " "
            style = self.captions.scale(column).style(value) if coloured and value is not None and row != MEAN else ""
            line.append(f"{decimal(value)}{mark}".rjust(self._width(column)), style or "not bold")
        return line

    def _legend(self, n_blocks: int, *, coloured: bool) -> RenderableType:
        parts = []
        units = {column.unit: column for column in self.captions.columns} if coloured else {}
        for column in units.values():
            parts.append(_bar(self.captions.scale(column), column))
        if any(any(column.ends) for column in self.captions.columns):
            parts.append(Text(f"{BEST} best, {WORST} worst language of a column", "dim"))
        if not all(column.values.keys() >= set(self.captions.languages) for column in self.captions.columns):
            parts.append(Text(f"{ABSENT}: no value", "dim"))
        if n_blocks > 1:
            parts.append(Text(f"folded into {n_blocks} blocks to fit the width", "dim"))
        return Flow(parts, "; ", indent=0)


def _bar(scale: Scale, column: Column) -> Text:
    return colour_bar(scale, two_digits).append(" CLIPScores" if column.unit == "score" else "", "dim")


def _short(column: Column) -> str:
    """Write the title of a column: below the name of its group, a hit rate is told by its cutoff."""
    family, at, cutoff = column.title.partition("@")
    return f"{at}{cutoff}" if column.group and family == _FAMILY else column.title
