"""How well each language finds each language: a heat map, or a table of means where that would be too large."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.report.colours import Scale
from mlbench.report.notation import ABSENT, decimal, heading
from mlbench.report.width import Flow, plain_table
from mlbench.results import Result

_MOST_BLOCKS = 3
_LEGEND_STEPS = 12
MEAN, POOL = "mean", "pool"


@dataclass(frozen=True)
class Grid:
    """One measure of every setting: by (query language, document language), and by query language in the pool."""

    measure: str
    languages: tuple[str, ...]
    cells: Mapping[tuple[str, str], float]
    pool: Mapping[str, float]

    @property
    def crosses(self) -> bool:
        """Whether there is a cross-lingual value."""
        return any(query != document for query, document in self.cells)

    def row_mean(self, query_language: str) -> float | None:
        """Return the mean over the other document languages."""
        return _mean([value for (a, b), value in self.cells.items() if a == query_language != b])

    def column_mean(self, document_language: str) -> float | None:
        """Return the mean over the other query languages."""
        return _mean([value for (a, b), value in self.cells.items() if b == document_language != a])

    def mean(self) -> float | None:
        """Return the mean over the cross-lingual settings."""
        return _mean([value for (a, b), value in self.cells.items() if a != b])

    def pool_mean(self) -> float | None:
        """Return the mean over query languages in the pool."""
        return _mean(list(self.pool.values()))


def grid(result: Result, measure: str) -> Grid:
    """Gather one measure of all settings; the pool is the largest that was asked in each query language."""
    largest = max((len(setting.document_languages) for setting in result.settings), default=0)
    cells, pool = {}, {}
    for setting in result.settings:
        value = setting.measures.get(measure)
        if value is None:
            continue
        if len(setting.document_languages) == 1:
            cells[setting.query_language, setting.document_languages[0]] = value
        elif len(setting.document_languages) == largest:
            pool[setting.query_language] = value
    return Grid(measure, result.task.languages, cells, pool)


@dataclass(frozen=True)
class HeatMap:
    """The grid with a colour for each value; folded into blocks, or reduced to means, where the width is too small."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend, or `MeansTable`; without colour, the digits alone."""
        scale = Scale.of([*self.grid.cells.values(), *self.grid.pool.values()])
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
                value = self._value(row, column)
                style = None if value is None or MEAN in (row, column) or scale is None else scale.style(value)
                line.append(f"{_two_digits(value):>{_width(column) - 1}} ", style or "not bold")
            yield line

    def _value(self, row: str, column: str) -> float | None:
        if row == MEAN and column == POOL:
            return self.grid.pool_mean()
        if row == MEAN:
            return self.grid.mean() if column == MEAN else self.grid.column_mean(column)
        if column == POOL:
            return self.grid.pool.get(row)
        return self.grid.row_mean(row) if column == MEAN else self.grid.cells.get((row, column))

    def _legend(self, blocks: Sequence[Sequence[str]], scale: Scale | None) -> RenderableType:
        parts = []
        if scale is not None:
            bar = Text(f"{_two_digits(scale.low)} ")
            for step in range(_LEGEND_STEPS):
                value = scale.low + (scale.high - scale.low) * step / (_LEGEND_STEPS - 1)
                bar.append(" ", scale.style(value))
            parts.append(bar.append(f" {_two_digits(scale.high)}"))
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
        table.add_row(MEAN, *(decimal(_mean([v for v in vs.values() if v is not None])) for vs in known.values()))
        yield table
        if self.grid.crosses:
            reason = "as query, as document: means of the cross-lingual settings; the heat map needs a wider terminal"
            yield Flow([Text(part, "dim") for part in reason.split("; ")], "; ", indent=0)


def _width(column: str) -> int:
    return max(3, len(column)) + 2


def _two_digits(value: float | None) -> str:
    text = decimal(value, 2)
    return "1.0" if text == "1.00" else text


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
