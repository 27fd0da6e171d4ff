"""The answer of one pool that nobody may have asked for at run time, from the saved counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mlbench.collection.languages import IMAGE
from mlbench.reports.console import GAP, cell_width, plain_table
from mlbench.reports.formatting import count, decimal, heading, interval, spoken
from mlbench.reports.result.console import fitting_measures, intervals_line, left_out
from mlbench.results import Aggregate, Bounds
from mlbench.statistics.pool import PoolAnswer


@dataclass(frozen=True)
class PoolRow:
    """A line of a pool's table: a query language, a mean, or the ceiling of a mean."""

    label: str
    n_queries: str
    values: Mapping[str, float | None]
    intervals: Mapping[str, Bounds | None]


@dataclass(frozen=True)
class PoolTable:
    """An answer as a table: a row for each query language, then the means and, where it is below 1, their ceiling."""

    answer: PoolAnswer

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title and table, which measures found no room, and how intervals were made."""
        answer = self.answer
        title = f"pool {','.join(answer.document_languages)}: {count(answer.n_documents, 'document')}"
        yield Text(title, "bold")
        rows = pool_rows(answer)
        columns = {measure: self._cells(rows, measure) for measure in self._measures()}
        asking = asked_by(answer)
        label_width = max(cell_width([Text(row.label) for row in rows]), len(asking))
        queries_width = max(len("queries"), *(len(row.n_queries) for row in rows))
        shown = fitting_measures(columns, options.max_width - label_width - queries_width - 2 * GAP)
        table = plain_table()
        table.add_column(asking, no_wrap=True)
        table.add_column("queries", justify="right", no_wrap=True)
        for measure in shown:
            table.add_column(heading(measure), no_wrap=True)
        for place, row in enumerate(rows):
            table.add_row(row.label, row.n_queries, *(columns[measure][place] for measure in shown))
        yield table
        yield from left_out(columns, shown)
        yield intervals_line(answer.statistics)

    def _measures(self) -> list[str]:
        primary = self.answer.primary_measure
        return [primary, *(measure for measure in self.answer.settings[0].measures if measure != primary)]

    def _cells(self, rows: Sequence[PoolRow], measure: str) -> list[Text]:
        values = [decimal(row.values[measure]) if measure in row.values else "" for row in rows]
        width = max(map(len, values))
        primary = measure == self.answer.primary_measure
        return [
            Text.assemble(value.rjust(width), (interval(row.intervals.get(measure)) if primary else "", "dim"))
            for row, value in zip(rows, values, strict=True)
        ]


def asked_by(answer: PoolAnswer) -> str:
    """Return what the first column of a pool's table is called."""
    return "asked by" if any(setting.query_language == IMAGE for setting in answer.settings) else "query language"


def pool_rows(answer: PoolAnswer) -> list[PoolRow]:
    """Return a row for each query language, then the means and, where it is below 1, their ceiling."""
    asked = [
        PoolRow(setting.query_language, f"{setting.n_queries:,}", setting.measures, setting.intervals)
        for setting in answer.settings
    ]
    return [*asked, *(_means(answer) if len(asked) > 1 or asked[0].label != IMAGE else [])]


def _means(answer: PoolAnswer) -> Iterator[PoolRow]:
    """Yield means and ceilings; macro and micro are one row where they are the same to the eye."""
    kinds = dict.fromkeys(aggregate.kind for aggregate in answer.aggregates)
    for kind in kinds:
        means = [aggregate for aggregate in answer.aggregates if aggregate.kind == kind]
        same = len({_written_cells(mean) for mean in means}) == 1
        for mean in means[:1] if same else means:
            label = "mean" if same else f"{mean.aggregation} mean"
            label = f"{spoken(kind)} {label}" if len(kinds) > 1 else label
            yield PoolRow(label, f"{mean.n_queries:,}", mean.measures, mean.intervals)
            limits = {name: best for name, best in mean.ceilings.items() if best is not None and best < 1}
            if limits:
                yield PoolRow(label.replace("mean", "ceiling"), "", limits, {})


def _written_cells(mean: Aggregate) -> tuple[str, ...]:
    return tuple(decimal(value) + interval(mean.intervals.get(name)) for name, value in mean.measures.items())
