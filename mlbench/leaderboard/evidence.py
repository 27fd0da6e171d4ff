"""What ranks say of the numbers of an entry, cluster by cluster of topics: by it entries are ranked and compared."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE_KINDS, KINDS, TEXT_KINDS
from mlbench.leaderboard.columns import COLUMNS, BoardColumn, measures_of
from mlbench.leaderboard.kept import Arrays, kept_arrays
from mlbench.measures.bias import TESTED_BIAS_SCORES, find_score
from mlbench.measures.chance import mean_measure
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks
from mlbench.reports.grid import MOST_IN_CELLS
from mlbench.results import Result
from mlbench.statistics.bias import ScoreSums
from mlbench.statistics.captions import CaptionSums
from mlbench.statistics.cluster_scores import ClusterScores, ScoreRequest, sum_by_cluster
from mlbench.statistics.direction import loss_contributions
from mlbench.statistics.resampling import macro_contributions
from mlbench.statistics.score import replicate

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The contributions of clusters to the numbers of one entry on one task.

    `columns` and `summary` hold float64 (clusters,) that sum to the loss of the number (see `statistics.direction`);
    the summary is the family of aggregates of `mlbench compare`, `shares` (clusters,) are the parts of its topics and
    `replicates` float64 (resamples,) its numbers in each resample, widened for few clusters. `settings` float64
    (clusters, settings) are those of the primary measure in each setting of the result, NaN in one without topics; of
    many languages there are no single settings. `data` are digests of what was measured on.
    Bias scores of lists that leave out relevant documents depend on how deep the lists are, and are not there.
    `chance` is what random orders of the documents have in each column of a measure, where there is a formula for it.
    """

    data: Mapping[str, str]
    columns: Mapping[BoardColumn, Floats]
    summary: Mapping[BoardColumn, Floats]
    shares: Mapping[BoardColumn, Floats]
    replicates: Mapping[BoardColumn, Floats]
    settings: Floats
    confidence: float
    chance: Mapping[BoardColumn, float] = field(default_factory=dict)


_BY_COLUMN = tuple(field.name for field in fields(Evidence) if field.name not in ("data", "settings", "confidence"))


def kept_evidence(task: str, parts: Iterable[bytes], find: Callable[[], Evidence]) -> Evidence:
    """Return the evidence that `find` gathers of the files whose digests are `parts`, or what was gathered before."""
    return _of_arrays(kept_arrays(task, parts, lambda: _to_arrays(find())))


def _to_arrays(evidence: Evidence) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "data": np.array(sorted(evidence.data.items()), dtype=np.str_).reshape(-1, 2),
        "settings": evidence.settings,
        "confidence": np.array(evidence.confidence),
    }
    for name in _BY_COLUMN:
        held = getattr(evidence, name)
        arrays |= {f"{name}_of": np.array([column.key for column in held], dtype=np.str_)}
        arrays |= {name: np.array(list(held.values()), dtype=np.float64)}
    return arrays


def _of_arrays(arrays: Arrays) -> Evidence:
    by_column = {
        name: dict(zip(map(_column, arrays[f"{name}_of"].tolist()), arrays[name], strict=True)) for name in _BY_COLUMN
    }
    return Evidence(
        data=dict(arrays["data"].tolist()),
        settings=arrays["settings"],
        confidence=float(arrays["confidence"]),
        **by_column,
    )


def _column(key: str) -> BoardColumn:
    name, _, kind = key.rpartition(".")
    return next((BoardColumn(name, each) for each in KINDS if each == kind), BoardColumn(key))


def gather(result: Result, ranks: Ranks) -> Evidence:
    """Reduce the ranks of a checked result to the evidence that the leaderboard uses."""
    scores = sum_by_cluster(ranks, _request(result))
    request, sums = scores.request, scores.settings
    summary, has_settings = summary_columns(result), len(result.task.languages) <= MOST_IN_CELLS
    settings = sums.primary / np.where(sums.n_queries > 0, sums.n_queries, np.nan)
    return Evidence(
        data=scores.data,
        columns=dict(_losses(scores, COLUMNS)),
        summary=dict(_losses(scores, summary)),
        shares={column: shares for column, _, shares in _contributions(scores, summary)},
        replicates=dict(_replicates(scores, summary)),
        settings=settings if has_settings else settings[:, :0].copy(),
        confidence=request.confidence,
        chance=dict(_chances(scores, ranks)),
    )


def summary_columns(result: Result) -> tuple[BoardColumn, ...]:
    """Return the family of aggregates that two entries are compared by on the task of a result."""
    kinds = TEXT_KINDS if result.image_text is None else IMAGE_KINDS
    return (*(BoardColumn(result.task.primary_measure, kind) for kind in kinds), *map(BoardColumn, TESTED_BIAS_SCORES))


def _request(result: Result) -> ScoreRequest:
    """Ask for what the site shows alone; settings and draws are those of the result."""
    task = result.task
    return replace(
        ScoreRequest.of_result(result),
        measures=tuple(name for name in task.measures if name in (*measures_of(result), task.primary_measure)),
        bias_scores=tuple(name for name in task.bias_scores if name in TESTED_BIAS_SCORES),
    )


def _chances(scores: ClusterScores, ranks: Ranks) -> Iterator[tuple[BoardColumn, float]]:
    """Yield the macro mean of each measure over random orders, without those that have no formula for it.

    Of very many settings only that of AP is known.
    """
    sums, names = scores.settings, ranks.languages.tolist()
    measures = [parse(name) for name in scores.request.measures]
    random = np.full((len(sums.settings), len(measures)), np.nan)
    if sums.has_single_cells:
        relevant = _count_relevant(ranks)
        for index, setting in enumerate(sums.settings):
            pool = [names.index(language) for language in setting.document_languages]
            m = relevant[ranks.query_languages == names.index(setting.query_language)][:, pool].sum(axis=1)
            if m.any():
                random[index] = [mean_measure(each, m[m > 0], int(sums.pool_sizes[index])).mean() for each in measures]
    elif "AP" in scores.request.measures:
        random[:, scores.request.measures.index("AP")] = sums.random_ap
    for column in COLUMNS:
        if column.kind and column.name in scores.request.measures:
            chosen = [index for index in _of_kind(scores, column) if sums.n_queries[index]]
            chance = random[chosen, scores.request.measures.index(column.name)].mean() if chosen else np.nan
            if not np.isnan(chance):
                yield column, float(chance)


def _count_relevant(ranks: Ranks) -> NDArray[np.int64]:
    """Count the relevant documents of each query in each language, (queries, languages)."""
    shape = len(ranks.query_topics), len(ranks.languages)
    place = ranks.row_queries.astype(np.int64) * shape[1] + ranks.row_languages
    return np.bincount(place[ranks.row_grades > 0], minlength=shape[0] * shape[1]).reshape(shape)


def _losses(scores: ClusterScores, columns: Sequence[BoardColumn]) -> Iterator[tuple[BoardColumn, Floats]]:
    for column, added, shares in _contributions(scores, columns):
        losses = loss_contributions(column.name, added, shares)
        if losses is not None:
            yield column, losses


def _replicates(scores: ClusterScores, columns: Sequence[BoardColumn]) -> Iterator[tuple[BoardColumn, Floats]]:
    """Yield what the summary's `columns` are in each resample, (resamples,), widened for few clusters.

    As two entries have the same clusters, the differences of their replicates are widened too.
    """
    settings, sample = scores.settings, scores.sample
    # One draw for all kinds of settings, as in results: a redraw for any setting is one for all of them.
    by_cell = settings.replicates(sample.resample(settings.patterns))
    for column, added, _ in _contributions(scores, columns):
        if column.kind is None:
            one = _score_sums(scores, column)
            assert one is not None
            found, counts = replicate(find_score(column.name), sample.bootstrap(one.sums, one.counts)), one.counts
        else:
            chosen = _of_kind(scores, column)
            found = settings.macro_replicates(by_cell, chosen)[:, settings.measures.index(column.name)]
            counts = settings.counts_of(chosen)
        yield column, sample.widen(added.sum(), found, counts)


def _contributions(
    scores: ClusterScores, columns: Sequence[BoardColumn]
) -> Iterator[tuple[BoardColumn, Floats, Floats]]:
    """Yield what each cluster adds to the columns that have topics, and its share of the topics, (clusters,) both."""
    for column in columns:
        if column.kind is None:
            score = _score_sums(scores, column)
            if score is not None and score.counts.any():
                counts = score.counts
                yield column, macro_contributions(score.sums, counts), macro_contributions(counts, counts)
        elif column.name in scores.request.measures:
            added, shares = scores.settings.contributions(
                _of_kind(scores, column), scores.request.measures.index(column.name)
            )
            if not np.isnan(shares).any():
                yield column, added, shares


def _score_sums(scores: ClusterScores, column: BoardColumn) -> ScoreSums | CaptionSums | None:
    """Return the sums of a score that lists of any depth have alike; None where there is none."""
    bias = scores.bias_scores.get(column.name)
    if bias is not None and bias.unretrieved > 0:
        return None
    return bias or scores.caption_scores.get(column.name)


def _of_kind(scores: ClusterScores, column: BoardColumn) -> list[int]:
    return [index for index, setting in enumerate(scores.request.settings) if setting.kind == column.kind]
