"""Measures of the queries of each setting, summed within clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, KINDS, Kind, Setting
from mlbench.measures.chance import mean_average_precision
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks, setting_ranks
from mlbench.statistics.clusters import ClusterSample

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SettingSums:
    """Sums over the queries of each setting, kept apart by cluster.

    `sums` is float64 (clusters, settings, measures), `counts` float64 (clusters, settings) the queries, `means` and
    `ceilings` float64 (settings, measures), NaN for a setting without queries. `random_ap` (settings,) is the mean AP
    of random orders; `tied`, `unretrieved` and `pool_sizes` are (settings,).
    """

    settings: tuple[Setting, ...]
    measures: tuple[str, ...]
    sums: Floats
    counts: Floats
    means: Floats
    ceilings: Floats
    random_ap: Floats
    tied: Floats
    unretrieved: Floats
    pool_sizes: NDArray[np.int64]

    @property
    def n_queries(self) -> NDArray[np.int64]:
        """How many queries each setting has, int64 (settings,)."""
        queries: NDArray[np.int64] = self.counts.sum(axis=0).astype(np.int64)
        return queries

    def macro_mean(self, chosen: Sequence[int]) -> Floats:
        """Return the mean over those of the `chosen` settings that have queries, (measures,); NaN without one."""
        means = self.means[list(chosen)]
        present = means[self.counts[:, list(chosen)].any(axis=0)]
        return weighted_mean(present, np.ones(len(present)))


class QueryValues(Protocol):
    """Measures of single queries that do not follow from ranks; `names` are what they are called."""

    names: tuple[str, ...]

    def values(self, setting: Setting, queries: NDArray[np.int64]) -> Floats:
        """Return those of `queries`, indexes of queries with a relevant document; float64 (queries, names)."""
        ...


def sum_settings(
    ranks: Ranks,
    settings: Sequence[Setting],
    measures: Sequence[str],
    sample: ClusterSample,
    others: QueryValues | None = None,
) -> SettingSums:
    """Compute each measure of each query in each setting, and sum within clusters.

    The measures of `others` come last, and have no ceilings.
    """
    parsed = [parse(name) for name in measures]
    names = (*measures, *(others.names if others else ()))
    found = SettingSums(
        settings=tuple(settings),
        measures=names,
        sums=np.zeros((sample.n_clusters, len(settings), len(names))),
        counts=np.zeros((sample.n_clusters, len(settings))),
        means=np.full((len(settings), len(names)), np.nan),
        ceilings=np.full((len(settings), len(names)), np.nan),
        random_ap=np.full(len(settings), np.nan),
        tied=np.full(len(settings), np.nan),
        unretrieved=np.full(len(settings), np.nan),
        pool_sizes=np.zeros(len(settings), dtype=np.int64),
    )
    for index, setting in enumerate(settings):
        here = setting_ranks(ranks, setting)
        found.tied[index], found.unretrieved[index], found.pool_sizes[index] = (
            here.tied,
            here.unretrieved,
            here.pool_size,
        )
        if not len(here.queries):
            continue
        values = np.stack([measure.values(here.relevant) for measure in parsed], axis=1)
        if others:
            values = np.hstack([values, others.values(setting, here.queries)])
        ideal = here.relevant.ideal()
        found.means[index] = values.mean(axis=0)
        found.ceilings[index, : len(parsed)] = [measure.values(ideal).mean() for measure in parsed]
        found.random_ap[index] = mean_average_precision(here.relevant.n_relevant, here.pool_size).mean()
        sums, counts = sample.sum_within(values, ranks.query_topics[here.queries].astype(np.int64))
        found.sums[:, index], found.counts[:, index] = sums, counts[:, 0]
    return found


def group(settings: Sequence[Setting]) -> Iterator[tuple[Kind, str | None, list[int]]]:
    """Yield kind, query language (None for all) and the settings of each aggregate; images are in no language."""
    for kind in KINDS:
        of_kind = [index for index, setting in enumerate(settings) if setting.kind == kind]
        if of_kind:
            yield kind, None, of_kind
        for language in sorted({settings[index].query_language for index in of_kind} - {IMAGE}):
            yield kind, language, [index for index in of_kind if settings[index].query_language == language]


def limits_of(measures: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the lowest and the highest value of each measure, (measures,); most lie between 0 and 1."""
    return np.zeros(len(measures)), np.array([parse(name).most for name in measures])


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Return the mean of the rows of `values` (n, ...) by `weights` (n,); NaN without rows."""
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    mean: Floats = (values * weights[:, None]).sum(axis=0) / weights.sum()
    return mean
