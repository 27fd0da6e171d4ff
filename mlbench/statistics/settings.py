"""Measures of single settings and of settings taken together, summed within clusters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, KINDS, Kind, Setting
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks, setting_ranks
from mlbench.results import Aggregate, Bounds, SettingResult
from mlbench.statistics.resampling import Bootstrap, bootstrap, cluster_sums, percentile_bounds

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClusterSample:
    """How topics fall into clusters, and how clusters are drawn.

    `topic_clusters` int64 (topics,); `strata` int64 (clusters,): clusters are drawn among their like, by language where
    topics are not parallel.
    """

    topic_clusters: Integers
    strata: Integers
    resamples: int
    seed: int
    confidence: float

    @property
    def n_clusters(self) -> int:
        """How many clusters there are."""
        return len(self.strata)

    @staticmethod
    def of(ranks: Ranks, resamples: int, seed: int, confidence: float, parallel: bool) -> "ClusterSample":
        """Return the sample that a ranks file describes."""
        clusters = ranks.topic_clusters.astype(np.int64)
        strata = np.zeros(int(clusters.max(initial=-1)) + 1, dtype=np.int64)
        if not parallel:
            strata[clusters[ranks.query_topics]] = ranks.query_languages
        return ClusterSample(clusters, strata, resamples, seed, confidence)

    def sum_within(self, values: Floats, topics: Integers) -> tuple[Floats, Floats]:
        """Sum `values` (n, ...), those of some topics, within clusters, and count those that are not NaN.

        Returns sums and counts, both float64 (clusters, ...).
        """
        return cluster_sums(values, self.topic_clusters[topics], self.n_clusters)

    def bootstrap(self, sums: Floats, counts: Floats) -> Bootstrap:
        """Draw clusters; arguments as for `significance.bootstrap`."""
        return bootstrap(sums, counts, resamples=self.resamples, seed=self.seed, strata=self.strata)

    def bounds(self, replicates: Floats) -> list[Bounds | None]:
        """Return the percentile interval of each column, (resamples, columns); None where there is none."""
        low, high = percentile_bounds(replicates, self.confidence)
        return [None if np.isnan(a) else Bounds(low=float(a), high=float(b)) for a, b in zip(low, high, strict=True)]


@dataclass(frozen=True, eq=False)
class SettingSums:
    """Sums over the queries of each setting, kept apart by cluster.

    `sums` is float64 (clusters, settings, measures), `counts` float64 (clusters, settings) the queries, `means` and
    `ceilings` float64 (settings, measures), NaN for a setting without queries. `tied`, `unretrieved` and `pool_sizes`
    are (settings,).
    """

    settings: tuple[Setting, ...]
    measures: tuple[str, ...]
    sums: Floats
    counts: Floats
    means: Floats
    ceilings: Floats
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
        return _mean(present, np.ones(len(present)))


def sum_settings(
    ranks: Ranks, settings: Sequence[Setting], measures: Sequence[str], sample: ClusterSample
) -> SettingSums:
    """Compute each measure of each query in each setting, and sum within clusters."""
    parsed = [parse(name) for name in measures]
    found = SettingSums(
        settings=tuple(settings),
        measures=tuple(measures),
        sums=np.zeros((sample.n_clusters, len(settings), len(parsed))),
        counts=np.zeros((sample.n_clusters, len(settings))),
        means=np.full((len(settings), len(parsed)), np.nan),
        ceilings=np.full((len(settings), len(parsed)), np.nan),
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
        ideal = here.relevant.ideal()
        found.means[index] = values.mean(axis=0)
        found.ceilings[index] = [measure.values(ideal).mean() for measure in parsed]
        sums, counts = sample.sum_within(values, ranks.query_topics[here.queries].astype(np.int64))
        found.sums[:, index], found.counts[:, index] = sums, counts[:, 0]
    return found


def score_settings(
    sums: SettingSums, drawn: Bootstrap, sample: ClusterSample, primary_measure: str
) -> tuple[SettingResult, ...]:
    """Return every setting with its measures, and the interval of the primary one."""
    primary = sums.measures.index(primary_measure)
    bounds = sample.bounds(drawn.ratios[:, :, primary])
    return tuple(
        SettingResult(
            kind=setting.kind,
            query_language=setting.query_language,
            document_languages=setting.document_languages,
            n_queries=int(sums.n_queries[index]),
            n_documents=int(sums.pool_sizes[index]),
            tied_share=_number(sums.tied[index]),
            unretrieved_share=_number(sums.unretrieved[index]),
            measures=_named(sums.measures, sums.means[index]),
            intervals={primary_measure: bounds[index]},
        )
        for index, setting in enumerate(sums.settings)
    )


def aggregate(sums: SettingSums, drawn: Bootstrap, sample: ClusterSample) -> tuple[Aggregate, ...]:
    """Return for each kind its macro and micro mean, and the macro and micro mean of each query language."""
    groups = list(group(sums.settings))
    if not groups:
        return ()
    total = np.stack([sums.sums[:, chosen].sum(axis=1) for *_, chosen in groups], axis=1)
    count = np.stack([sums.counts[:, chosen].sum(axis=1) for *_, chosen in groups], axis=1)
    pooled = sample.bootstrap(total, count)
    aggregates = []
    for index, (kind, language, chosen) in enumerate(groups):
        present = [setting for setting in chosen if sums.n_queries[setting]]
        weights = sums.n_queries[present].astype(np.float64)
        for aggregation in ("macro", "micro"):
            macro = aggregation == "macro"
            replicates = drawn.macro_mean(chosen) if macro else pooled.ratios[:, index]
            shares = np.ones(len(present)) if macro else weights
            aggregates.append(
                Aggregate(
                    kind=kind,
                    aggregation="macro" if macro else "micro",
                    query_language=language,
                    n_settings=len(chosen),
                    n_queries=int(weights.sum()),
                    measures=_named(sums.measures, _mean(sums.means[present], shares)),
                    intervals=_bounds(sums.measures, sample.bounds(replicates)),
                    ceilings=_named(sums.measures, _mean(sums.ceilings[present], shares)),
                )
            )
    return tuple(aggregates)


def group(settings: Sequence[Setting]) -> Iterator[tuple[Kind, str | None, list[int]]]:
    """Yield kind, query language (None for all) and the settings of each aggregate; images are in no language."""
    for kind in KINDS:
        of_kind = [index for index, setting in enumerate(settings) if setting.kind == kind]
        if of_kind:
            yield kind, None, of_kind
        for language in sorted({settings[index].query_language for index in of_kind} - {IMAGE}):
            yield kind, language, [index for index in of_kind if settings[index].query_language == language]


def _mean(values: Floats, weights: Floats) -> Floats:
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    mean: Floats = (values * weights[:, None]).sum(axis=0) / weights.sum()
    return mean


def _named(names: Sequence[str], values: Floats) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values, strict=True)}


def _bounds(names: Sequence[str], bounds: Sequence[Bounds | None]) -> dict[str, Bounds | None]:
    return dict(zip(names, bounds, strict=True))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
