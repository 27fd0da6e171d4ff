"""Results as Markdown of the GitHub kind: for a README, or a comment on a pull request."""

from collections.abc import Sequence

from mlbench.collection.languages import KINDS
from mlbench.reports.captions import CaptionColumn, Captions, captions
from mlbench.reports.formatting import (
    ABSENT,
    cost,
    count,
    decimal,
    heading,
    headline,
    interval,
    intervals,
    markdown_code,
    markdown_table,
    markdown_text,
    no_bias,
    other_scores,
    pool_kind,
    quick_look,
    score_ends,
    score_interval,
    score_references,
    score_value,
    spoken,
    two_digits,
)
from mlbench.reports.grid import MEAN, POOL, Grid, grid, shown_measure
from mlbench.reports.result.console import ceiling, details, ordered_measures, partial
from mlbench.reports.result.pool import asked_by, pool_rows
from mlbench.reports.result.tables import BEST, MEANS, ScoreTable, compare
from mlbench.results import BiasResult, Result
from mlbench.statistics.pool import PoolAnswer


def markdown_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    """Return each result as tables with `measure`, by default the primary one, by pairs of languages.

    Several results begin with a table across them, and fold what belongs to one. Raises `UnknownName` for a measure
    that a result does not have.
    """
    several = len(results) > 1
    blocks = list(_comparison(compare(results, measure=measure))) if several else []
    for result in results:
        blocks += _result(result, measure, folded=several)
    return "\n\n".join(blocks) + "\n"


def markdown_pools(results: Sequence[Result], answers: Sequence[PoolAnswer]) -> str:
    """Return the answers of pools as tables, each from the result in the same place."""
    blocks: list[str] = []
    for result, answer in zip(results, answers, strict=True):
        languages = ", ".join(map(markdown_text, answer.document_languages))
        measures = list(answer.settings[0].measures)
        rows = [
            [
                markdown_text(row.label),
                row.n_queries,
                *(
                    (decimal(row.values[measure]) if measure in row.values else "")
                    + interval(row.intervals.get(measure))
                    for measure in measures
                ),
            ]
            for row in pool_rows(answer)
        ]
        blocks += [
            _title(result),
            f"Pool of {languages}: {count(answer.n_documents, 'document')}",
            markdown_table([asked_by(answer), "queries", *map(_heading, measures)], rows),
            _prose(intervals(answer.statistics)),
        ]
    return "\n\n".join(blocks) + "\n"


def _result(result: Result, measure: str | None, *, folded: bool) -> list[str]:
    notes = [f"Partial: only {markdown_text(partial(result))}."] if result.task.partial else []
    limit = result.task.limit
    notes += [] if limit is None else [f"{quick_look(limit).capitalize()}."]
    warning = result.bias.warning if result.bias else None
    blocks = [_title(result), _prose(details(result)), *notes, _means(result), _bias_line(result)]
    blocks += [f"> Warning: {markdown_text(warning)}"] if warning else []
    others = [_bias_table(scores)] if (scores := other_scores(result)) else []
    images = captions(result, measure)
    pairs = _captions(images) if images else _pairs(grid(result, shown_measure(result, measure)))
    if folded:
        blocks += _fold("Bias scores", others) + _fold("By language", pairs)
    else:
        blocks += others + pairs
    return [*blocks, _prose(intervals(result.statistics)), _prose(["Cost: " + ", ".join(cost(result))])]


def _title(result: Result) -> str:
    task = result.task
    retriever, version = markdown_code(result.retriever.spec), markdown_text(task.version)
    return f"### {retriever} on {markdown_code(task.name)} (version {version})"


def _comparison(comparison: ScoreTable) -> list[str]:
    titles = ["retriever", "task", *(_join(column.group, column.title) for column in comparison.columns)]
    cells = [[f"**{cell.text}**" if cell.best else cell.text for cell in column.cells] for column in comparison.columns]
    names = (map(markdown_code, comparison.retrievers), map(markdown_text, comparison.tasks))
    return [
        markdown_table(titles, list(zip(*names, *cells, strict=True)), left=2),
        f"{MEANS.capitalize()}; bold: {BEST}.",
    ]


def _means(result: Result) -> str:
    measures = ordered_measures(result)
    rows = [
        [
            f"{spoken(row.kind)} ({row.n_settings})",
            *(
                f"{decimal(row.measures.get(each))}{interval(row.intervals.get(each)) if place == 0 else ''}"
                f"{ceiling(row, each)}"
                for place, each in enumerate(measures)
            ),
        ]
        for row in map(result.aggregate, KINDS)
        if row is not None
    ]
    return markdown_table(["settings", *map(_heading, measures)], rows)


def _bias_line(result: Result) -> str:
    pool = result.aggregate(pool_kind(result))
    parts = [f"mAP {decimal(pool.measures.get('AP') if pool else None)}"]
    if result.bias is None:
        return " · ".join([f"**Bias**: {parts[0]}", f"no bias scores: {no_bias(result)}"])
    for each in headline(result):
        score = result.bias.score(each)
        parts.append(f"{spoken(each)} {ABSENT if score is None else _full(score)}")
    return "**Bias**: " + " · ".join(parts)


def _full(score: BiasResult) -> str:
    known = score_references(score)
    return _join(score_value(score), score_interval(score), f"({known})" if known else "")


def _bias_table(scores: Sequence[BiasResult]) -> str:
    rows = [
        [
            markdown_text(score.name),
            score_value(score),
            score_interval(score),
            markdown_text(score_references(score)),
            _ends(score),
        ]
        for score in scores
    ]
    return markdown_table(["bias score", "value", "interval", "reference", "lowest, highest language"], rows)


def _ends(score: BiasResult) -> str:
    return markdown_text(score_ends(score))


def _pairs(grid: Grid) -> list[str]:
    """Return a heading and the heat map as a table, or only the languages' own values where no pair crosses."""
    title = f"**{_heading(grid.measure)}**: language of the query (rows) by language of the documents (columns)"
    if not grid.crosses:
        columns = ["monolingual", *([POOL] if grid.pool else [])]
        rows = [
            [markdown_text(a), decimal(grid.value(a, a)), *([decimal(grid.value(a, POOL))] if grid.pool else [])]
            for a in grid.languages
        ]
        return [f"**{_heading(grid.measure)}** by language", markdown_table(["", *columns], rows)]
    columns = [*grid.languages, MEAN, *([POOL] if grid.pool else [])]
    rows = []
    for row in (*grid.languages, MEAN):
        cells = [(two_digits(grid.value(row, column)), row == column) for column in columns]
        rows.append([markdown_text(row), *(f"**{text}**" if own and row != MEAN else text for text, own in cells)])
    return [title, markdown_table(["", *map(markdown_text, columns)], rows), f"{MEAN}: cross-lingual settings only"]


def _captions(shown: Captions) -> list[str]:
    """Return a heading, the table of captions with the ends of each column in type of their own, and what they mean."""
    rows = [
        [markdown_text(row), *(_with_end(decimal(column.value(row)), column, row) for column in shown.columns)]
        for row in shown.rows
    ]
    titles = ["", *(markdown_text(column.name) for column in shown.columns)]
    return [
        f"**{markdown_text(shown.title)}**",
        markdown_table(titles, rows),
        "Bold: the best language of a column; italics: the worst",
    ]


def _with_end(text: str, column: CaptionColumn, row: str) -> str:
    return f"**{text}**" if column.is_best(row) else f"*{text}*" if column.is_worst(row) else text


def _fold(summary: str, blocks: Sequence[str]) -> list[str]:
    return ["<details><summary>" + summary + "</summary>", *blocks, "</details>"] if blocks else []


def _heading(measure: str) -> str:
    return markdown_text(heading(measure))


def _prose(parts: Sequence[str]) -> str:
    return markdown_text(", ".join(parts))


def _join(*parts: str) -> str:
    return " ".join(part for part in parts if part)
