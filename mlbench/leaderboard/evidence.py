"""What the ranks of one entry say of one task, cluster by cluster: all that ranks and comparisons of entries need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.contrasts import TESTED_BIAS_SCORES
from mlbench.languages import IMAGE_KINDS, TEXT_KINDS, Setting
from mlbench.leaderboard.columns import BIAS_SCORES, COLUMNS, Column, measures_of
from mlbench.observations import Observation, observe
from mlbench.ranks import Ranks
from mlbench.results import Result
from mlbench.scoring import Request
from mlbench.scoring.bias import find_score, replicate
from mlbench.significance import contributions, macro_contributions

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The contributions of clusters to the numbers of one entry on one task.

    `columns` and `summary` hold float64 (clusters,) that sum to the number; the summary is the family of aggregates of
    `mlbench compare`, and `replicates` float64 (resamples,) are its resampled values. `settings` float64 (clusters,
    settings) are those of the primary measure in each of `order`, NaN in a setting without topics. `data` are digests
    of what was measured on. Rank distances of lists that were cut off depend on how deep they are, and are left out.
    """

    data: Mapping[str, str]
    order: tuple[Setting, ...]
    columns: Mapping[Column, Floats]
    summary: Mapping[Column, Floats]
    replicates: Mapping[Column, Floats]
    settings: Floats
    confidence: float


def gather(result: Result, ranks: Ranks) -> Evidence:
    """Reduce the ranks of a checked result to the evidence that the leaderboard uses."""
    observation = observe(ranks, _request(result))
    request, sums = observation.request, observation.settings
    primary = request.measures.index(request.primary_measure)
    summary, columns = summary_columns(result), COLUMNS
    if (sums.unretrieved > 0).any():
        summary, columns = (tuple(each for each in some if not _needs_depth(each)) for some in (summary, columns))
    return Evidence(
        data=observation.data,
        order=request.settings,
        columns=dict(_contributions(observation, columns)),
        summary=dict(_contributions(observation, summary)),
        replicates=dict(_replicates(observation, summary)),
        settings=contributions(sums.sums[:, :, primary], sums.counts),
        confidence=request.confidence,
    )


def summary_columns(result: Result) -> tuple[Column, ...]:
    """Return the family of aggregates that two entries are compared by on the task of a result."""
    kinds = TEXT_KINDS if result.image_text is None else IMAGE_KINDS
    return (*(Column(result.task.primary_measure, kind) for kind in kinds), *map(Column, TESTED_BIAS_SCORES))


def _needs_depth(column: Column) -> bool:
    return column.name.startswith("rank_distance")


def _request(result: Result) -> Request:
    """Ask for what the site shows alone; settings and draws are those of the result."""
    task, statistics = result.task, result.statistics
    return Request(
        settings=tuple(Setting(each.query_language, each.document_languages) for each in result.settings),
        measures=tuple(name for name in task.measures if name in (*measures_of(result), task.primary_measure)),
        primary_measure=task.primary_measure,
        bias_scores=tuple(name for name in task.bias_scores if name in BIAS_SCORES),
        parallel=task.parallel,
        resamples=statistics.resamples,
        seed=statistics.seed,
        confidence=statistics.confidence,
    )


def _contributions(observation: Observation, columns: Sequence[Column]) -> Iterator[tuple[Column, Floats]]:
    for column, sums, counts in _sums(observation, columns):
        yield column, macro_contributions(sums, counts)


def _replicates(observation: Observation, columns: Sequence[Column]) -> Iterator[tuple[Column, Floats]]:
    """Yield what the summary's `columns` are in each resample, (resamples,)."""
    settings, sample, request = observation.settings, observation.sample, observation.request
    primary = request.measures.index(request.primary_measure)
    # One draw for all kinds of settings, as in results: a redraw for any setting is one for all of them.
    drawn = sample.bootstrap(settings.sums[:, :, primary], settings.counts)
    for column, sums, counts in _sums(observation, columns):
        if column.kind is None:
            yield column, replicate(find_score(column.name), sample.bootstrap(sums, counts))
        else:
            yield column, drawn.macro_mean(_of_kind(observation, column))


def _sums(observation: Observation, columns: Sequence[Column]) -> Iterator[tuple[Column, Floats, Floats]]:
    """Yield sums and counts (clusters, settings or languages) of the columns that have topics."""
    settings, measures = observation.settings, observation.request.measures
    for column in columns:
        if column.kind is None:
            score = observation.bias.get(column.name) or observation.captions.get(column.name)
            if score is not None and score.counts.any():
                yield column, score.sums, score.counts
        elif column.name in measures:
            chosen = _of_kind(observation, column)
            if settings.counts[:, chosen].any():
                yield column, settings.sums[:, chosen, measures.index(column.name)], settings.counts[:, chosen]


def _of_kind(observation: Observation, column: Column) -> list[int]:
    return [index for index, setting in enumerate(observation.request.settings) if setting.kind == column.kind]
