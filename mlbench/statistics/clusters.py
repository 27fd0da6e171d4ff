"""The unit of resampling: how topics fall into clusters, and how clusters are drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds
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
        """Draw clusters; arguments as for `resampling.bootstrap`."""
        return bootstrap(sums, counts, resamples=self.resamples, seed=self.seed, strata=self.strata)

    def bounds(self, replicates: Floats) -> list[Bounds | None]:
        """Return the percentile interval of each column, (resamples, columns); None where there is none."""
        low, high = percentile_bounds(replicates, self.confidence)
        return [None if np.isnan(a) else Bounds(low=float(a), high=float(b)) for a, b in zip(low, high, strict=True)]


def finite(value: float) -> float | None:
    """Return a number as documents hold it: None for NaN and for infinite ones."""
    return float(value) if np.isfinite(value) else None
