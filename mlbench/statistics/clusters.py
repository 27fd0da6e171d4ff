"""The unit of resampling: how topics fall into clusters, and how clusters are drawn."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from mlbench.io.threads import in_threads
from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds
from mlbench.statistics.resampling import (
    Bootstrap,
    Resamples,
    bootstrap,
    cluster_sums,
    percentile_bounds,
    resample,
    widening,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Limits = tuple[float | Floats, float | Floats]
"""The least and the largest value that a score can have, or each of several scores, (columns,)."""
_COLUMNS = 1 << 10
FEW_CLUSTERS = 20
"""Of fewer clusters, intervals and tests are approximate: how much clusters differ is hardly known."""


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

    def resample(self, counts: Floats) -> Resamples:
        """Draw clusters so that no column of `counts` (clusters, columns) loses all its topics."""
        return resample(counts, resamples=self.resamples, seed=self.seed, strata=self.strata)

    def widen(self, estimates: Floats | np.float64, replicates: Floats, counts: Floats) -> Floats:
        """Return `replicates` (resamples, ...) moved away from `estimates` (...) as few clusters ask for.

        `counts` float64 (clusters, columns) are the topics that all of them are about; see `resampling.widening`.
        Everything is NaN where no language (of topics that are not parallel, else none at all) has two clusters.
        """
        moved: Floats = estimates + self.widening(counts) * (replicates - estimates)
        return moved

    def widening(self, counts: Floats) -> float:
        """Return by how much intervals of the topics in `counts` (clusters, columns) are widened for few clusters."""
        present = counts.any(axis=1)
        return widening(self.confidence, int(present.sum()), len(np.unique(self.strata[present])))

    def bounds(
        self, estimates: Floats, replicates: Floats, counts: Floats, limits: Limits = (-np.inf, np.inf)
    ) -> list[Bounds | None]:
        """Return the interval of each column, widened for few clusters; None where there is none.

        Arguments as for `widen` and `enclose`: `estimates` (columns,), `replicates` (resamples, columns).
        """
        return enclose(estimates, self.widen(estimates, replicates, counts), self.confidence, limits)

    def bounds_of_settings(
        self,
        estimates: Floats,
        drawn: Resamples,
        sums: Floats,
        patterns: Floats,
        pattern: Integers,
        limits: Limits = (-np.inf, np.inf),
    ) -> list[Bounds | None]:
        """Return the interval of each of many settings, as `bounds` does for one alone.

        `sums` are float64 (clusters, settings); of their numbers of topics, `patterns` float64 (clusters, patterns) are
        the distinct columns and `pattern` int64 (settings,) says which is whose.
        """
        factors = np.array([self.widening(column[:, None]) for column in patterns.T])
        divisors = drawn.divisors(patterns)

        def enclosed(own: slice) -> list[Bounds | None]:
            replicates = drawn.sums(sums[:, own]) / divisors[:, pattern[own]]
            widened = estimates[own] + factors[pattern[own]] * (replicates - estimates[own])
            return enclose(estimates[own], widened, self.confidence, limits)

        blocks = [slice(first, first + _COLUMNS) for first in range(0, len(pattern), _COLUMNS)]
        return list(chain.from_iterable(in_threads(enclosed, blocks) if len(blocks) > 1 else map(enclosed, blocks)))


def enclose(estimates: Floats, widened: Floats, confidence: float, limits: Limits) -> list[Bounds | None]:
    """Return intervals from the percentiles of replicates that were widened, (resamples, columns); None for NaN.

    They hold the `estimates` (columns,), which percentiles of a range may not, and end at the `limits` of what a value
    can be.
    """
    low, high = percentile_bounds(widened, confidence)
    least, most = limits
    low = np.clip(np.minimum(low, estimates), least, most)
    high = np.clip(np.maximum(high, estimates), least, most)
    return [None if np.isnan(a) else Bounds(low=float(a), high=float(b)) for a, b in zip(low, high, strict=True)]


def limits_of_differences(limits: Limits) -> Limits:
    """Return between what a difference of two values lies, each of which lies between `limits`."""
    low, high = limits
    return low - high, high - low


def finite(value: float) -> float | None:
    """Return a number as documents hold it: None for NaN and for infinite ones."""
    return float(value) if np.isfinite(value) else None
