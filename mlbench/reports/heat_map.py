"""How well each language finds each language on the console: a heat map, or a table where that would be too large."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.reports.captions import BEST, WORST, CaptionColumn, Captions
from mlbench.reports.colours import ColourScale
from mlbench.reports.console import Flow, plain_table
from mlbench.reports.formatting import ABSENT, decimal, heading, two_digits
from mlbench.reports.grid import MEAN, POOL, Grid, mean

_MOST_BLOCKS = 3
_LEGEND_STEPS = 12


@dataclass(frozen=True)
class HeatMap:
    """The grid with a colour for each value; folded into blocks, or reduced to means, where the width is too small."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend, or `MeansTable`; without colour, the digits alone."""
        scale = self._scale()
        coloured = has_colours(console)
        blocks = list(self._blocks(options.max_width))
        if not self.grid.crosses or not 0 < len(blocks) <= _MOST_BLOCKS:
            yield from self._instead()
            return
        yield Text(self._title, "bold")
        for place, columns in enumerate(blocks):
            if place:
                yield Text()
            yield from self._block(columns, scale if coloured else None)
        yield self._legend(blocks, scale if coloured else None)

    @property
    def _title(self) -> str:
        return f"{heading(self.grid.measure)}: language of the query (rows) by language of the documents (columns)"

    def _scale(self) -> ColourScale:
        return ColourScale.of(self.grid.values)

    def _text(self, row: str, column: str) -> str:
        return f"{two_digits(self.grid.value(row, column))} "

    def _end(self, value: float) -> str:
        """Write an end of the scale."""
        return two_digits(value)

    def _instead(self) -> Iterator[RenderableType]:
        """Yield what stands in place of a heat map that has no cross-lingual values or finds no room."""
        yield MeansTable(self.grid)

    @property
    def _narrowest(self) -> int:
        """How wide a value is at most, with blanks around it."""
        return 5

    def _width(self, column: str) -> int:
        return max(self._narrowest, len(column) + 2)

    @property
    def _label_width(self) -> int:
        return max(len(MEAN), *map(len, self.grid.languages))

    def _blocks(self, room: int) -> Iterator[tuple[str, ...]]:
        """Cut the columns into blocks as wide as the room; none when not even one column fits."""
        columns = [*self.grid.languages, MEAN, *([POOL] if self.grid.pool else [])]
        block: tuple[str, ...] = ()
        free = room - self._label_width
        for column in columns:
            if self._width(column) > room - self._label_width:
                return
            if self._width(column) > free:
                yield block
                block, free = (), room - self._label_width
            block, free = (*block, column), free - self._width(column)
        yield block

    def _block(self, columns: Sequence[str], scale: ColourScale | None) -> Iterator[Text]:
        names = "".join(f"{column:>{self._width(column) - 1}} " for column in columns)
        yield Text(" " * self._label_width + names, "bold", no_wrap=True, end="\n")
        for row in (*self.grid.languages, MEAN):
            line = Text(row.ljust(self._label_width), "bold", no_wrap=True)
            for column in columns:
                value = self.grid.value(row, column)
                style = None if value is None or MEAN in (row, column) or scale is None else scale.style(value)
                line.append(self._text(row, column).rjust(self._width(column)), style or "not bold")
            yield line

    def _legend(self, blocks: Sequence[Sequence[str]], scale: ColourScale | None) -> RenderableType:
        parts = []
        if scale is not None:
            parts.append(colour_bar(scale, self._end))
        parts.append(Text("mean: cross-lingual settings only", "dim"))
        if self.grid.pool:
            parts.append(Text("pool: documents of all languages", "dim"))
        if len(self.grid.cells) < len(self.grid.languages) ** 2:
            parts.append(Text(f"{ABSENT}: no value", "dim"))
        if len(blocks) > 1:
            parts.append(Text(f"folded into {len(blocks)} blocks to fit the width", "dim"))
        return Flow(parts, "; ", indent=0)


def has_colours(console: Console) -> bool:
    """Say whether a console can show a scale: sixteen colours are too few, and nobody knows what they look like."""
    return console.color_system in ("truecolor", "256") and not console.no_color


def colour_bar(scale: ColourScale, write: Callable[[float], str]) -> Text:
    """Return the colours of a scale between its ends, which `write` writes."""
    bar = Text(f"{write(scale.low)} ")
    for step in range(_LEGEND_STEPS):
        value = scale.low + (scale.high - scale.low) * step / (_LEGEND_STEPS - 1)
        bar.append(" ", scale.style(value))
    return bar.append(f" {write(scale.high)}")


@dataclass(frozen=True)
class MeansTable:
    """A row for each language with its means, where a heat map has no cross-lingual values or finds no room."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, and why it stands in place of the heat map."""
        columns = {
            "monolingual": {a: self.grid.cells.get((a, a)) for a in self.grid.languages},
            "as query": {a: self.grid.row_mean(a) for a in self.grid.languages},
            "as document": {a: self.grid.column_mean(a) for a in self.grid.languages},
            POOL: {a: self.grid.pool.get(a) for a in self.grid.languages},
        }
        known = {title: values for title, values in columns.items() if any(v is not None for v in values.values())}
        yield Text(f"{heading(self.grid.measure)} by language", "bold")
        table = plain_table()
        table.add_column("", style="bold")
        for title in known:
            table.add_column(title, justify="right")
        for language in self.grid.languages:
            table.add_row(language, *(decimal(values[language]) for values in known.values()))
        table.add_row(MEAN, *(decimal(mean([v for v in vs.values() if v is not None])) for vs in known.values()))
        yield table
        if self.grid.crosses:
            reason = "as query, as document: means of the cross-lingual settings; the heat map needs a wider terminal"
            yield Flow([Text(part, "dim") for part in reason.split("; ")], "; ", indent=0)


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

    def _width(self, column: CaptionColumn) -> int:
        """Return how wide a column is; one that stands alone in its group has room for the group's name."""
        alone = sum(each.group == column.group for each in self.captions.columns) == 1
        texts = [_short(column), *([column.group] if alone else [])]
        return 2 + max(map(len, [*texts, *(decimal(column.value(row)) for row in (*column.values, MEAN))]))

    def _blocks(self, room: int) -> Iterator[list[CaptionColumn]]:
        """Cut the columns into blocks as wide as the room; a column that is too wide stands alone."""
        block: list[CaptionColumn] = []
        for column in self.captions.columns:
            if block and self._label_width + sum(map(self._width, [*block, column])) > room:
                yield block
                block = []
            block.append(column)
        yield block

    def _block(self, columns: Sequence[CaptionColumn], *, coloured: bool) -> Iterator[Text]:
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

    def _row(self, row: str, columns: Sequence[CaptionColumn], *, coloured: bool) -> Text:
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


def _bar(scale: ColourScale, column: CaptionColumn) -> Text:
    return colour_bar(scale, two_digits).append(" CLIPScores" if column.unit == "score" else "", "dim")


def _short(column: CaptionColumn) -> str:
    """Write the title of a column: below the name of its group, a hit rate is told by its cutoff."""
    family, at, cutoff = column.title.partition("@")
    return f"{at}{cutoff}" if column.group and family == _FAMILY else column.title
