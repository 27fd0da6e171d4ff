"""How well each language finds each language: a heat map, or a table of means where that would be too large."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.report.colours import Scale
from mlbench.report.notation import ABSENT, decimal, heading, two_digits
from mlbench.report.pairs import MEAN, POOL, Grid, mean
from mlbench.report.width import Flow, plain_table

_MOST_BLOCKS = 3
_LEGEND_STEPS = 12


@dataclass(frozen=True)
class HeatMap:
    """The grid with a colour for each value; folded into blocks, or reduced to means, where the width is too small."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend, or `MeansTable`; without colour, the digits alone."""
        scale = Scale.of(self.grid.values)
        # Sixteen colours are too few for a scale, and nobody knows what they look like.
        coloured = console.color_system in ("truecolor", "256") and not console.no_color
        blocks = list(self._blocks(options.max_width))
        if not self.grid.crosses or not 0 < len(blocks) <= _MOST_BLOCKS:
            yield MeansTable(self.grid)
            return
        title = f"{heading(self.grid.measure)}: language of the query (rows) by language of the documents (columns)"
        yield Text(title, "bold")
        for place, columns in enumerate(blocks):
            if place:
                yield Text()
            yield from self._block(columns, scale if coloured else None)
        yield self._legend(blocks, scale if coloured else None)

    @property
    def _label_width(self) -> int:
        return max(len(MEAN), *map(len, self.grid.languages))

    def _blocks(self, room: int) -> Iterator[tuple[str, ...]]:
        """Cut the columns into blocks as wide as the room; none when not even one column fits."""
        columns = [*self.grid.languages, MEAN, *([POOL] if self.grid.pool else [])]
        block: tuple[str, ...] = ()
        free = room - self._label_width
        for column in columns:
            if _width(column) > room - self._label_width:
                return
            if _width(column) > free:
                yield block
                block, free = (), room - self._label_width
            block, free = (*block, column), free - _width(column)
        yield block

    def _block(self, columns: Sequence[str], scale: Scale | None) -> Iterator[Text]:
        names = "".join(f"{column:>{_width(column) - 1}} " for column in columns)
        yield Text(" " * self._label_width + names, "bold", no_wrap=True, end="\n")
        for row in (*self.grid.languages, MEAN):
            line = Text(row.ljust(self._label_width), "bold", no_wrap=True)
            for column in columns:
                value = self.grid.value(row, column)
                style = None if value is None or MEAN in (row, column) or scale is None else scale.style(value)
                line.append(f"{two_digits(value):>{_width(column) - 1}} ", style or "not bold")
            yield line

    def _legend(self, blocks: Sequence[Sequence[str]], scale: Scale | None) -> RenderableType:
        parts = []
        if scale is not None:
            bar = Text(f"{two_digits(scale.low)} ")
            for step in range(_LEGEND_STEPS):
                value = scale.low + (scale.high - scale.low) * step / (_LEGEND_STEPS - 1)
                bar.append(" ", scale.style(value))
            parts.append(bar.append(f" {two_digits(scale.high)}"))
        parts.append(Text("mean: cross-lingual settings only", "dim"))
        if self.grid.pool:
            parts.append(Text("pool: documents of all languages", "dim"))
        if len(self.grid.cells) < len(self.grid.languages) ** 2:
            parts.append(Text(f"{ABSENT}: no value", "dim"))
        if len(blocks) > 1:
            parts.append(Text(f"folded into {len(blocks)} blocks to fit the width", "dim"))
        return Flow(parts, "; ", indent=0)


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


def _width(column: str) -> int:
    return max(3, len(column)) + 2
