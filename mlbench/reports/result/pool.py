"""The answer of one pool that nobody may have asked for at run time, from the saved counts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mlbench.collection.languages import IMAGE, Setting
from mlbench.errors import UserError
from mlbench.ranking.ranks import Ranks
from mlbench.reports.console import GAP, cell_width, plain_table
from mlbench.reports.formatting import count, decimal, heading, interval, spoken
from mlbench.reports.result.console import fitting_measures, intervals_line, left_out
from mlbench.results import Aggregate, Bounds, Result, SettingResult, Statistics
from mlbench.statistics.score import ScoreRequest, score


class PoolAnswer(BaseModel):
    """One pool: a setting for each query language, and macro and micro means for each kind of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    task: str
    retriever: str
    document_languages: tuple[str, ...]
    n_documents: int
    primary_measure: str
    settings: tuple[SettingResult, ...]
    aggregates: tuple[Aggregate, ...]
    statistics: Statistics


def answer_pool(
    result: Result, ranks: Ranks, document_languages: Sequence[str], *, measure: str | None = None
) -> PoolAnswer:
    """Compute the measures of a pool, asked in each of its languages; a pool of one language is asked in all.

    With captioned images, a pool of captions is asked by images, and that of the images by captions of all languages.
    `ranks` are those of the result. `measure` is computed in place of the task's; it may be one that the task does not
    have. Intervals are made as the result's are. Raises `UserError` for no or an unknown language, and for a pool that
    a ranker was not asked for.
    """
    pool = tuple(sorted(set(document_languages)))
    asked: Sequence[str] = pool if len(pool) > 1 else result.task.languages
    if ranks.has_images and pool != (IMAGE,):
        if IMAGE in pool:
            raise UserError("captions and images are no pool: ask for captions, such as de,en, or for image alone")
        asked = (IMAGE,)
    statistics = result.statistics
    scores = score(
        ranks,
        ScoreRequest(
            settings=tuple(Setting(language, pool) for language in asked),
            measures=result.task.measures if measure is None else (measure,),
            primary_measure=measure or result.task.primary_measure,
            bias_scores=(),
            parallel=result.task.parallel,
            resamples=statistics.resamples,
            seed=statistics.seed,
            confidence=statistics.confidence,
        ),
    )
    return PoolAnswer(
        task=result.task.name,
        retriever=result.retriever.spec,
        document_languages=pool,
        n_documents=scores.settings[0].n_documents,
        primary_measure=measure or result.task.primary_measure,
        settings=scores.settings,
        aggregates=tuple(aggregate for aggregate in scores.aggregates if aggregate.query_language is None),
        statistics=scores.statistics,
    )


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
