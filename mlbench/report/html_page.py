"""Results as one HTML page that needs nothing else: no script, no font, no request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlbench.languages import KINDS
from mlbench.report.caption_table import CaptionTable, caption_table
from mlbench.report.captions import captions
from mlbench.report.comparison import BEST, MEANS, Comparison, compare
from mlbench.report.heat_map_svg import heat_map_svg
from mlbench.report.method import intervals
from mlbench.report.notation import decimal, heading, interval, quick_look, spoken, two_digits
from mlbench.report.pairs import MEAN, POOL, Grid, grid, shown_measure
from mlbench.report.provenance import Facts, command, provenance, verification
from mlbench.report.scores import (
    MEDIAN,
    headline,
    no_bias,
    other_scores,
    pool_kind,
    score_ends,
    score_interval,
    score_references,
    score_value,
    written,
)
from mlbench.report.summary import ceiling, details, ordered_measures, partial
from mlbench.results import BiasResult, Result


@dataclass(frozen=True)
class Number:
    """A number as it is shown: below it in small letters what limits it, behind it a bar of `share` (0 to 1)."""

    text: str
    note: str = ""
    share: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table of numbers: `caption` for those who hear it, titles of the columns but the first, and labelled rows."""

    caption: str
    first: str
    titles: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Number]]]


@dataclass(frozen=True)
class Section:
    """All that the page says of one result."""

    anchor: str
    result: Result
    details: Sequence[str]
    intervals: Sequence[str]
    measure: str
    partial: str
    headline: Sequence[tuple[str, Number]]
    no_bias: str
    means: Table
    svg: str
    pairs: Table | None
    captions: CaptionTable | None
    languages: Table | None
    scores: Sequence[Sequence[str]]
    provenance: Sequence[Facts]
    command: str
    recorded: bool
    verification: str


def html_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    """Return the page; several results begin with a table across them.

    `measure` is the one of heat map and languages, by default the primary one of each task; raises `UnknownName` when
    a result does not have it. Everything that comes from a result is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    sections = [_section(place, result, measure) for place, result in enumerate(results, 1)]
    environment = Environment(
        loader=PackageLoader("mlbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html")
    across = _across(compare(results, measure=measure)) if len(results) > 1 else None
    return template.render(sections=sections, across=across, best=BEST, means=MEANS, quick_look=quick_look) + "\n"


def _section(place: int, result: Result, asked: str | None) -> Section:
    measure = shown_measure(result, asked)
    pairs, images = grid(result, measure), captions(result, asked)
    return Section(
        anchor=f"result-{place}",
        result=result,
        details=details(result),
        intervals=intervals(result.statistics),
        measure=heading(measure),
        partial=partial(result),
        headline=list(_headline(result)),
        no_bias="" if result.bias else no_bias(result),
        means=_means(result),
        svg=heat_map_svg(pairs) if pairs.crosses and not images else "",
        pairs=_pairs(pairs) if pairs.crosses and not images else None,
        captions=caption_table(images) if images else None,
        languages=None if images else _languages(result, measure),
        scores=[_score(score) for score in other_scores(result)],
        provenance=provenance(result),
        command=command(result),
        recorded=result.environment.command is not None,
        verification=verification(result),
    )


def _across(comparison: Comparison) -> Table:
    names = [f"{retriever} on {task}" for retriever, task in zip(comparison.retrievers, comparison.tasks, strict=True)]
    columns = [[Number(cell.text, best=cell.best) for cell in column.cells] for column in comparison.columns]
    return Table(
        "All results",
        "retriever and task",
        [f"{spoken(column.group)} {column.title}".strip() for column in comparison.columns],
        list(zip(names, zip(*columns, strict=True), strict=True)) if columns else [],
    )


def _headline(result: Result) -> Iterator[tuple[str, Number]]:
    pool = result.aggregate(pool_kind(result))
    if pool is not None:
        yield "mAP of the pool", Number(decimal(pool.measures.get("AP")), interval(pool.intervals.get("AP")).strip())
    for name in headline(result):
        score = result.bias.score(name) if result.bias else None
        if score is not None and name != MEDIAN:
            notes = [score_interval(score), score_references(score)]
            median = result.bias.score(MEDIAN) if result.bias and name == "rank_distance" else None
            notes += [f"median {score_value(median)}"] if median else []
            yield spoken(name), Number(score_value(score), ", ".join(note for note in notes if note))


def _means(result: Result) -> Table:
    measures = ordered_measures(result)
    return Table(
        "Means of each kind of settings",
        "settings",
        [heading(measure) for measure in measures],
        [
            (
                f"{spoken(row.kind)} ({row.n_settings})",
                [
                    Number(
                        f"{decimal(row.measures.get(measure))}{ceiling(row, measure)}",
                        interval(row.intervals.get(measure)).strip(),
                    )
                    for measure in measures
                ],
            )
            for row in map(result.aggregate, KINDS)
            if row is not None
        ],
    )


def _pairs(grid: Grid) -> Table:
    columns = [*grid.languages, MEAN, *([POOL] if grid.pool else [])]
    return Table(
        f"{heading(grid.measure)} by query language (rows) and document language (columns)",
        "query language",
        columns,
        [(row, [Number(two_digits(grid.value(row, each))) for each in columns]) for row in (*grid.languages, MEAN)],
    )


def _languages(result: Result, measure: str) -> Table:
    """Return the means of each query language, and the bias scores that have a value for each."""
    kinds = [kind for kind in KINDS if result.aggregate(kind)]
    found = [result.bias.score(name) if result.bias else None for name in headline(result)]
    scores = [score for score in found if score is not None and score.rows_by == "query_language"]
    rows = []
    for language in result.task.languages:
        numbers = []
        for kind in kinds:
            mean = result.aggregate(kind, query_language=language)
            value = mean.measures.get(measure) if mean else None
            note = interval(mean.intervals.get(measure)).strip() if mean else ""
            numbers.append(Number(decimal(value), note, share=value))
        rows.append((language, [*numbers, *(_of(score, language) for score in scores)]))
    return Table(
        f"{heading(measure)} and bias scores by query language",
        "query language",
        [*map(spoken, kinds), *(spoken(score.name) for score in scores)],
        rows,
    )


def _of(score: BiasResult, language: str) -> Number:
    value = next((row.value for row in score.rows if row.language == language), None)
    return Number(written(score.name, value))


def _score(score: BiasResult) -> list[str]:
    return [
        score.name,
        score_value(score),
        score_interval(score),
        score_references(score),
        score_ends(score),
    ]
