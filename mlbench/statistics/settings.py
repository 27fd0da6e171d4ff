"""Measures of the queries of each setting, summed within clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, KINDS, Kind, Setting
from mlbench.io.threads import ROWS_FOR_THREADS, in_threads
from mlbench.measures.chance import mean_average_precision
from mlbench.measures.formulas import RelevantRanks
from mlbench.measures.ranked import Measure, parse
from mlbench.ranking.ranks import Ranks, SettingBlock, SettingGroup, setting_groups
from mlbench.statistics.clusters import ClusterSample
from mlbench.statistics.resampling import Resamples

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
MOST_SETTINGS = 1 << 12
"""With more settings than this, cluster sums of each single one are kept for the primary measure alone."""


@dataclass(frozen=True, eq=False)
class SettingSums:
    """Sums over the queries of each setting, kept apart by cluster.

    Settings with the same number of queries in each cluster share a column of `patterns`, float64 (clusters, patterns):
    `pattern` int64 (settings,) says which. `primary` float64 (clusters, settings) are the sums of the primary measure.
    Those of all measures, `totals` float64 (clusters, cells, measures), are of one setting in each cell, or with more
    than `MOST_SETTINGS` of all settings of one kind, query language and pattern; `cell` int64 (settings,) says which.

    `means` and `ceilings` are float64 (settings, measures), NaN for a setting without queries. `random_ap` (settings,)
    is the mean AP of random orders; `n_queries`, `tied`, `unretrieved` and `pool_sizes` are (settings,).
    """

    settings: tuple[Setting, ...]
    measures: tuple[str, ...]
    patterns: Floats
    pattern: Integers
    primary: Floats
    cell: Integers
    totals: Floats
    means: Floats
    ceilings: Floats
    random_ap: Floats
    n_queries: Integers
    tied: Floats
    unretrieved: Floats
    pool_sizes: Integers

    @property
    def has_single_cells(self) -> bool:
        """Whether there are sums of every measure in every single setting."""
        return len(self.settings) <= MOST_SETTINGS

    @cached_property
    def cell_counts(self) -> Floats:
        """How many queries one setting of each cell has in each cluster, (clusters, cells)."""
        first = np.unique(self.cell, return_index=True)[1]
        return self.patterns[:, self.pattern[first]]

    def counts_of(self, chosen: Sequence[int]) -> Floats:
        """Return the numbers of queries that the `chosen` settings have in each cluster, (clusters, patterns)."""
        return self.patterns[:, np.unique(self.pattern[list(chosen)])]

    def macro_mean(self, chosen: Sequence[int]) -> Floats:
        """Return the mean over those of the `chosen` settings that have queries, (measures,); NaN without one."""
        index = np.asarray(chosen, dtype=np.int64)
        present = self.means[index[self.n_queries[index] > 0]]
        return weighted_mean(present, np.ones(len(present)))

    def macro_weights(self, chosen: Sequence[int]) -> tuple[Integers, Floats]:
        """Return the cells of the `chosen` settings, which must be whole cells, and what each adds to a macro mean.

        Both are (cells,): weights are the shares of the settings with queries; NaN where none has any. A macro mean is
        the sum of them times the mean over the settings of each cell.
        """
        index = np.asarray(chosen, dtype=np.int64)
        cells, sizes = np.unique(self.cell[index[self.n_queries[index] > 0]], return_counts=True)
        return cells, sizes / (sizes.sum() or np.nan)

    def replicates(self, drawn: Resamples) -> Floats:
        """Return the mean of each measure over the settings of each cell, (resamples, cells, measures)."""
        sizes = np.bincount(self.cell, minlength=self.totals.shape[1])
        return drawn.means(self.totals, self.cell_counts) / sizes[:, None]

    def macro_replicates(self, replicates: Floats, chosen: Sequence[int]) -> Floats:
        """Return the macro mean over the `chosen` settings in each resample, (resamples, measures).

        `replicates` are those of cells, of which the settings must be whole ones.
        """
        cells, weights = self.macro_weights(chosen)
        if not len(cells):
            return np.full(replicates[:, 0].shape, np.nan)
        macro: Floats = np.einsum("rcm,c->rm", replicates[:, cells], weights)
        return macro

    def contributions(self, chosen: Sequence[int], measure: int) -> tuple[Floats, Floats]:
        """Return what each cluster adds to a macro mean of a measure, and its share of the queries; (clusters,) each.

        The `chosen` settings must be whole cells. NaN where none of them has queries.
        """
        cells, weights = self.macro_weights(chosen)
        if not len(cells):
            return np.full(len(self.totals), np.nan), np.full(len(self.totals), np.nan)
        sizes = np.bincount(self.cell, minlength=self.totals.shape[1])[cells]
        counts = self.cell_counts[:, cells]
        per_query = weights / counts.sum(axis=0)
        return self.totals[:, cells, measure] @ (per_query / sizes), counts @ per_query


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
    primary: str | None = None,
) -> SettingSums:
    """Compute each measure of each query in each setting, and sum within clusters.

    The measures of `others` come last, and have no ceilings. Without a `primary` measure it is the first one.
    """
    parsed = [parse(name) for name in measures]
    names = (*measures, *(others.names if others else ()))
    shape, n_settings = (len(settings), len(names)), len(settings)
    means, ceilings = np.full(shape, np.nan), np.full(shape, np.nan)
    random_ap, tied, unretrieved = (np.full(n_settings, np.nan) for _ in range(3))
    n_queries, pool_sizes = np.zeros(n_settings, dtype=np.int64), np.zeros(n_settings, dtype=np.int64)
    cells = _Cells(settings, sample.n_clusters, len(names), names.index(primary or names[0]))

    def measure_block(group: SettingGroup) -> tuple[SettingBlock, Floats, Integers]:
        """Measure the queries of a block; return their sums (measures, settings, clusters), and how many there are."""
        block = group.gather()
        values = np.stack([measure.values(block.relevant) for measure in parsed], axis=1)
        best, n_relevant = _ceilings(parsed, block.relevant), block.relevant.n_relevant
        edges = list(pairwise(block.edges.tolist()))
        if others:
            added = [
                others.values(settings[index], block.queries[slice(*edge)])
                for index, edge in zip(block.settings, edges, strict=True)
            ]
            values = np.hstack([values, np.concatenate(added)])
        for index, edge, size in zip(block.settings, edges, block.pool_sizes.tolist(), strict=True):
            rows = slice(*edge)
            if edge[0] < edge[1]:
                means[index] = values[rows].mean(axis=0)
                ceilings[index, : len(parsed)] = best[:, rows].mean(axis=1)
                random_ap[index] = mean_average_precision(n_relevant[rows], size).mean()
        clusters = sample.topic_clusters[ranks.query_topics[block.queries]]
        return block, *_sum_within(block, values, clusters, sample.n_clusters)

    each = in_threads if len(ranks.row_queries) > ROWS_FOR_THREADS else map
    for block, sums, counts in each(measure_block, setting_groups(ranks, settings)):
        n_queries[block.settings] = np.diff(block.edges)
        tied[block.settings], unretrieved[block.settings] = block.tied, block.unretrieved
        pool_sizes[block.settings] = block.pool_sizes
        cells.add(block.settings, sums, counts)
    return SettingSums(
        settings=tuple(settings),
        measures=names,
        patterns=cells.patterns,
        pattern=cells.pattern,
        primary=cells.primary.T,
        cell=cells.cell,
        totals=np.stack(cells.totals, axis=1).T if cells.totals else np.zeros((sample.n_clusters, 0, len(names))),
        means=means,
        ceilings=ceilings,
        random_ap=random_ap,
        n_queries=n_queries,
        tied=tied,
        unretrieved=unretrieved,
        pool_sizes=pool_sizes,
    )


def _ceilings(parsed: Sequence[Measure], relevant: RelevantRanks) -> Floats:
    """Return what the best list gives each query, (measures, queries)."""
    grades, listed, n_queries = relevant.grades, relevant.listed, len(relevant.listed)
    if n_queries and (grades == grades[0]).all() and (listed == listed[0]).all():
        # Queries with equally many documents of equal grades, of which one tells of all.
        first = RelevantRanks(relevant.ranks[:1], grades[:1], listed[:1]).ideal()
        return np.repeat(np.array([measure.values(first) for measure in parsed]), n_queries, axis=1)
    ideal = relevant.ideal()
    return np.array([measure.values(ideal) for measure in parsed])


def _sum_within(block: SettingBlock, values: Floats, clusters: Integers, n_clusters: int) -> tuple[Floats, Integers]:
    """Sum the `values` (queries, measures) of a block within clusters, which are `clusters` (queries,), and count them.

    Returns sums (measures, settings, clusters) and counts (settings, clusters).
    """
    shape = len(block.settings), n_clusters
    place = np.repeat(np.arange(shape[0]), np.diff(block.edges)) * n_clusters + clusters
    known = np.where(np.isnan(values), 0.0, values)
    sums = [np.bincount(place, weights=column, minlength=shape[0] * shape[1]) for column in known.T]
    counts = np.bincount(place, minlength=shape[0] * shape[1])
    return np.array(sums, dtype=np.float64).reshape(len(sums), *shape), counts.astype(np.int64).reshape(shape)


class _Cells:
    """Sums of values within clusters, as `SettingSums` keeps them, while block after block is added."""

    def __init__(self, settings: Sequence[Setting], n_clusters: int, n_measures: int, primary: int) -> None:
        self._settings, self._n_clusters, self._n_measures, self._primary = settings, n_clusters, n_measures, primary
        self._patterns: dict[bytes, int] = {}
        self._several = len(settings) > MOST_SETTINGS
        self._numbers: dict[object, int] = {} if self._several else {index: index for index in range(len(settings))}
        self.pattern, self.cell = (np.zeros(len(settings), dtype=np.int64) for _ in range(2))
        self.primary = np.zeros((len(settings), n_clusters))
        self.totals: list[Floats] = []

    @property
    def patterns(self) -> Floats:
        """The distinct columns of numbers of queries, (clusters, patterns)."""
        rows = [np.frombuffer(content, dtype=np.int64) for content in self._patterns]
        return np.array(rows, dtype=np.float64).reshape(len(rows), self._n_clusters).T

    def add(self, settings: list[int], sums: Floats, counts: Integers) -> None:
        """Add the sums (measures, settings, clusters) and counts (settings, clusters) of the `settings`, indexes."""
        for index, row in zip(settings, counts, strict=True):
            self.pattern[index] = self._patterns.setdefault(row.tobytes(), len(self._patterns))
            self.cell[index] = self._numbers.setdefault(self._key(index), len(self._numbers))
        more = len(self._numbers) - len(self.totals)
        self.totals += [np.zeros((self._n_measures, self._n_clusters)) for _ in range(more)]
        cells = self.cell[settings]
        for cell in np.unique(cells).tolist():
            self.totals[cell] += sums[:, cells == cell].sum(axis=1)
        self.primary[settings] = sums[self._primary]

    def _key(self, index: int) -> object:
        setting = self._settings[index]
        return (setting.kind, setting.query_language, int(self.pattern[index])) if self._several else index


def group(settings: Sequence[Setting]) -> Iterator[tuple[Kind, str | None, list[int]]]:
    """Yield kind, query language (None for all) and the settings of each aggregate; images are in no language."""
    for kind in KINDS:
        of_kind = [index for index, setting in enumerate(settings) if setting.kind == kind]
        by_language: dict[str, list[int]] = {}
        for index in of_kind:
            by_language.setdefault(settings[index].query_language, []).append(index)
        if of_kind:
            yield kind, None, of_kind
        yield from ((kind, language, by_language[language]) for language in sorted(by_language.keys() - {IMAGE}))


def limits_of(measures: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the lowest and the highest value of each measure, (measures,); most lie between 0 and 1."""
    return np.zeros(len(measures)), np.array([parse(name).most for name in measures])


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Return the mean of the rows of `values` (n, ...) by `weights` (n,); NaN without rows."""
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    mean: Floats = (values * weights[:, None]).sum(axis=0) / weights.sum()
    return mean
