"""Resampling intervals and paired tests whose unit is the cluster of topics.

Topics of one source article are not independent of each other, nor are the settings of one topic. So whole clusters are
drawn (bootstrap) or have their sign flipped (randomization), with all their topics in all settings at once. All random
numbers come from numpy's `RandomState`, whose streams are frozen: the same seed gives the same draws on any machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from math import atan, cos, exp, inf, isqrt, lgamma, nan, pi, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mlbench.io.threads import in_threads

Floats = NDArray[np.float64]


def count_patterns(n_clusters: int, flips: int) -> tuple[bool, int]:
    """Return whether all sign patterns are few enough to be tried, and how many are."""
    exact = n_clusters < 63 and 2**n_clusters <= flips
    return exact, 2**n_clusters if exact else flips


def smallest_p(n_clusters: int, flips: int, *, two_sided: bool) -> float:
    """Return the smallest p-value that a difference of so many clusters can have, however large it is.

    Of 2^clusters sign patterns one, or for a two-sided test also its opposite, is as extreme as the observed one; of
    `flips` that were drawn or tried, p is at least 1 / (1 + flips).
    """
    return max(min(1.0, 2.0 ** (two_sided - n_clusters)), 1 / (1 + flips))


def sign_blocks(n_clusters: int, block: int, flips: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of at most `block` sign patterns, float64 (patterns, clusters): the same for every block size."""
    exact, _ = count_patterns(n_clusters, flips)
    return _all_signs(n_clusters, block) if exact else _random_signs(n_clusters, block, flips, seed)


def _all_signs(n_clusters: int, block: int) -> Iterator[Floats]:
    """Yield blocks of all sign patterns, (patterns, clusters)."""
    for first in range(0, 2**n_clusters, block):
        codes = np.arange(first, min(first + block, 2**n_clusters), dtype=np.int64)
        yield np.where(codes[:, None] >> np.arange(n_clusters) & 1, 1.0, -1.0)


def _random_signs(n_clusters: int, block: int, flips: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of random sign patterns, (patterns, clusters)."""
    random = np.random.RandomState(seed)
    # Whole 32-bit words for each pattern, so that the block size does not change the stream.
    n_bytes = 4 * -(-n_clusters // 32)
    for first in range(0, flips, block):
        size = min(block, flips - first)
        drawn = np.frombuffer(random.bytes(size * n_bytes), np.uint8).reshape(size, n_bytes)
        yield np.where(np.unpackbits(drawn, axis=1, count=n_clusters), 1.0, -1.0)


Ints = NDArray[np.int64]
_BLOCK_CELLS = 2**23
_DRAWN_CELLS = 2**16
_KEPT_CELLS = 2**26
_REDRAWS_PER_RESAMPLE = 10
# Sums that are equal on paper differ in the last bits; counting them as ties errs on the safe side.
_TIE = 1e-9
_LEGENDRE = np.polynomial.legendre.leggauss(64)
# Two-sided, greater, less: each makes the extreme values the large ones.
_SIDES = (np.abs, np.positive, np.negative)


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each cluster stands in each resample, uint8 (resamples, clusters), and how many were redrawn.

    `weights` are None where no interval can be given: with fewer than two clusters, without any topic, or where more
    than ten times the resamples had to be redrawn.
    """

    weights: NDArray[np.uint8] | None
    resamples: int
    redraws: int

    def sums(self, columns: Floats) -> Floats:
        """Return the sum of each of the `columns` (clusters, columns) over a resample, (resamples, columns)."""
        if self.weights is None or not self.resamples:
            return np.full((self.resamples, columns.shape[1]), np.nan)
        block = max(1, _BLOCK_CELLS // len(columns))
        blocks = (self.weights[first : first + block] for first in range(0, self.resamples, block))
        # The resamples of a column lie beside each other, which percentiles need.
        return np.concatenate([columns.T @ weights.T.astype(np.float64) for weights in blocks], axis=1).T

    def means(self, sums: Floats, counts: Floats) -> Floats:
        """Return the mean of each setting (and measure) in each resample, (resamples, settings, ...).

        `sums` (clusters, settings, ...) and `counts` (clusters, settings) come from `cluster_sums`. NaN for a setting
        without any topic.
        """
        flat = sums.reshape(len(counts), int(np.prod(sums.shape[1:])))
        divisor = self.divisors(counts).reshape(self.resamples, counts.shape[1], *[1] * (sums.ndim - 2))
        means: Floats = self.sums(flat).reshape(self.resamples, *sums.shape[1:]) / divisor
        return means

    def divisors(self, counts: Floats) -> Floats:
        """Return the number of topics of each setting in each resample, (resamples, settings); NaN without any."""
        totals = self.sums(counts)
        totals[:, ~counts.any(axis=0)] = np.nan
        return totals


@dataclass(frozen=True)
class Bootstrap:
    """Resampled means: `ratios` (resamples, settings, ...), and how many resamples were redrawn.

    A setting without any topic is NaN throughout. Everything is NaN where no interval can be given (see `Resamples`).
    """

    ratios: Floats
    redraws: int

    def macro_mean(self, settings: Sequence[int] | None = None) -> Floats:
        """Return for each resample the mean over `settings` (default all), (resamples, ...).

        Settings without any topic are left out; with no other setting the result is NaN.
        """
        chosen = self.ratios if settings is None else self.ratios[:, list(settings)]
        present = ~np.isnan(chosen).all(axis=tuple(axis for axis in range(chosen.ndim) if axis != 1))
        if not present.any():
            return np.full((len(chosen), *chosen.shape[2:]), np.nan)
        mean: Floats = chosen[:, present].mean(axis=1)
        return mean


def cluster_sums(values: Floats, clusters: Ints, n_clusters: int | None = None) -> tuple[Floats, Floats]:
    """Sum a measure within clusters, and count the topics that have it.

    `values` (topics, ...) has NaN where a topic is absent from a setting; `clusters` (topics,) numbers the clusters
    from 0. Returns sums and counts, both (`n_clusters`, ...); by default up to the largest number. No topics add
    nothing.
    """
    shape = (int(clusters.max(initial=-1)) + 1 if n_clusters is None else n_clusters, *values.shape[1:])
    sums, counts = np.zeros(shape), np.zeros(shape)
    present = ~np.isnan(values)
    np.add.at(sums, clusters, np.where(present, values, 0.0))
    np.add.at(counts, clusters, present.astype(np.float64))
    return sums, counts


def bootstrap_weights(strata: Ints, seed: int) -> Iterator[Ints]:
    """Yield without end how often each cluster stands in a resample, (clusters,).

    Clusters are drawn with replacement among those of the same stratum, so the size of a stratum stays as it is.
    `strata` (clusters,) has the stratum of each cluster: all alike, or the language where topics are not parallel.
    """
    random = np.random.RandomState(seed)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    # Of one stratum, many resamples at once are the same numbers of the stream as one by one, and far faster; more and
    # more of them, as few may be wanted.
    n_clusters = len(strata)
    n, most = 1, max(1, _DRAWN_CELLS // n_clusters) if len(members) == 1 else 1
    while True:
        drawn = [own[random.randint(len(own), size=(n, len(own)), dtype=np.int64)] for own in members]
        numbered = np.concatenate(drawn, axis=1) + n_clusters * np.arange(n)[:, None]
        yield from np.bincount(numbered.ravel(), minlength=n * n_clusters).reshape(n, n_clusters)
        n = min(2 * n, most)


def resample(counts: Floats, *, resamples: int = 2000, seed: int = 0, strata: Ints | None = None) -> Resamples:
    """Resample clusters, so that none of the settings in `counts` (clusters, settings) that have topics loses all.

    A resample that leaves a setting without topics is redrawn from the same stream. Those of the same seed, strata and
    clusters with topics are drawn once and kept.
    """
    present = counts > 0
    n_clusters = len(present)
    if n_clusters < 2 or not present.any():
        return Resamples(None, resamples, 0)
    # Settings with topics in every cluster cannot lose them, and those with topics in the same ones do so together.
    partly = present[:, present.any(axis=0) & ~present.all(axis=0)]
    distinct = sorted({column.tobytes() for column in partly.T})
    how = (np.zeros(n_clusters, np.int64) if strata is None else strata).tobytes(), b"".join(distinct), resamples, seed
    return _resample(*how) if resamples * n_clusters <= _KEPT_CELLS else _resample.__wrapped__(*how)


@lru_cache(maxsize=8)
def _resample(strata: bytes, present: bytes, resamples: int, seed: int) -> Resamples:
    """Return what `resample` does; `present` bool (settings, clusters)."""
    groups = np.frombuffer(strata, dtype=np.int64)
    n_clusters = len(groups)
    topics = np.frombuffer(present, dtype=np.bool_).reshape(-1, n_clusters).T.astype(np.float64)
    weights, draws = np.empty((resamples, n_clusters), dtype=np.uint8), bootstrap_weights(groups, seed)
    done = redraws = 0
    while done < resamples and redraws <= _REDRAWS_PER_RESAMPLE * resamples:
        size = min(resamples - done, max(1, _BLOCK_CELLS // n_clusters))
        drawn = np.array([next(draws) for _ in range(size)], dtype=np.float64)
        full = (drawn @ topics > 0).all(axis=1)
        accepted = int(full.sum())
        weights[done : done + accepted] = drawn[full]
        done += accepted
        redraws += size - accepted
    return Resamples(weights if done == resamples else None, resamples, redraws)


def bootstrap(
    sums: Floats, counts: Floats, *, resamples: int = 2000, seed: int = 0, strata: Ints | None = None
) -> Bootstrap:
    """Resample clusters, and take the mean of each setting (and measure) in each resample.

    Arguments are those of `resample` and `Resamples.means`; one draw serves all settings and measures. Method: Efron
    and Tibshirani 1993, chapters 6 and 8.
    """
    drawn = resample(counts, resamples=resamples, seed=seed, strata=strata)
    return Bootstrap(drawn.means(sums, counts), drawn.redraws)


def percentile_bounds(replicates: Floats, confidence: float = 0.95) -> Floats:
    """Return the low and high percentile bounds of each column, (resamples, ...) to (2, ...).

    A column with NaN, or without replicates, has NaN bounds. Method: Efron and Tibshirani 1993, chapter 13.
    """
    if not len(replicates):
        return np.full((2, *replicates.shape[1:]), np.nan)
    tail = 50 * (1 - confidence)
    kept = np.array(replicates, order="K")
    bounds: Floats = np.percentile(kept, [tail, 100 - tail], axis=0, overwrite_input=True)
    return bounds


@cache
def widening(confidence: float, n_clusters: int, n_strata: int = 1) -> float:
    """Return by how much an interval of percentiles must be widened for few clusters: sqrt(G / (G - H)) t / z.

    Of G clusters drawn within H strata, resamples vary by the factor (G - H) / G too little, and their percentiles take
    the variance as known: t is the quantile of Student's distribution with G - H degrees of freedom, z that of the
    normal one (narrowness bias, Hesterberg 2015, arXiv 1411.5279). NaN where no stratum has two clusters.
    """
    free = n_clusters - n_strata
    if free < 1:
        return nan
    # Of levels that floats cannot tell from 0, the percentiles are the extremes already.
    tail = min(1 - (1 - confidence) / 2, 1 - 1e-15)
    return sqrt(n_clusters / free) * student_quantile(tail, free) / NormalDist().inv_cdf(tail)


def student_quantile(q: float, freedom: int) -> float:
    """Return the quantile `q`, above 1/2 and below 1, of Student's t distribution with `freedom` degrees of freedom.

    With t = sqrt(n) tan(a), its density is proportional to cos(a)^(n - 1), which is integrated by Gauss and Legendre's
    rule. Newton's method from the normal quantile, which is smaller, rises to the root.
    """
    nodes, weights = _LEGENDRE
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi)
    t, step = NormalDist().inv_cdf(q), inf
    while step > 1e-13 * t:
        angle = atan(t / sqrt(freedom))
        below = 0.5 + scale * angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (freedom - 1))
        step = (q - below) * sqrt(freedom) / (scale * cos(angle) ** (freedom + 1))
        t += step
    return t


def contributions(sums: Floats, counts: Floats) -> Floats:
    """Return what each cluster adds to the mean of each setting, (clusters, settings).

    `sums` and `counts`, both (clusters, settings), come from `cluster_sums`. The columns of the result sum to the
    means; a setting without topics is NaN.
    """
    totals = counts.sum(axis=0)
    return sums / np.where(totals > 0, totals, np.nan)


def macro_contributions(sums: Floats, counts: Floats) -> Floats:
    """Return what each cluster adds to the macro mean, (clusters,): u = sum over settings s of x_s / (n_s S).

    Arguments as for `contributions`; settings without topics are left out, and with no other one the result is NaN.
    """
    added = contributions(sums, counts)
    present = counts.sum(axis=0) > 0
    total: Floats = added[:, present].sum(axis=1) / (present.sum() or np.nan)
    return total


@dataclass(frozen=True)
class PValues:
    """p-values, each (columns,): against any difference, against a positive one and against a negative one."""

    two_sided: Floats
    greater: Floats
    less: Floats


@dataclass(frozen=True)
class Randomization:
    """A paired randomization test of a family of columns.

    `totals` (columns,) are the observed sums. `raw` p-values stand for each column alone, `adjusted` ones for the whole
    family. `exact` says that all sign patterns were tried, `flips` how many were.
    """

    totals: Floats
    raw: PValues
    adjusted: PValues
    flips: int
    exact: bool


def paired_randomization(columns: Floats, *, flips: int = 10_000, seed: int = 0) -> Randomization:
    """Test whether `columns`, (clusters, columns) of contributions, sum to zero, as one family.

    Each flip gives every cluster one sign, for all columns at once. Sums are studentised: divided by the root of the
    sum of squares, which no flip changes. With b flips at least as extreme, p = (1 + b) / (1 + flips) (Phipson and
    Smyth 2010), or b / 2^clusters where so few patterns can all be tried. Adjusted p-values are step-down max-T
    (Westfall and Young 1993, algorithm 4.1). A column of zeros has p = 1; one with NaN has p = NaN and stands
    outside the family.
    """
    n_clusters, n_columns = columns.shape
    tested, usable, scale = _studentise(columns)
    observed = tested.sum(axis=0) / scale
    exact, patterns = count_patterns(n_clusters, flips)

    def count(signs: Floats) -> Floats:
        flipped = _flip(tested, scale, signs)
        return np.array([_count_exceeding(side(observed), side(flipped)) for side in _SIDES])

    blocks = sign_blocks(n_clusters, _block(tested), flips, seed)
    counts = in_threads(count, blocks) if patterns > _block(tested) else map(count, blocks)
    exceeding = sum(counts, np.zeros((len(_SIDES), 2, len(observed))))
    # All patterns include the observed one; random ones have it added.
    added = 0 if exact else 1
    p = np.full((len(_SIDES), 2, n_columns), np.nan)
    p[:, :, usable] = (exceeding + added) / (patterns + added)
    for row, side in zip(p[:, 1], _SIDES, strict=True):
        row[usable] = _monotone(row[usable], side(observed))
    return Randomization(columns.sum(axis=0), PValues(*p[:, 0]), PValues(*p[:, 1]), patterns, exact)


def benjamini_hochberg(p: Floats) -> Floats:
    """Return p-values (n,) adjusted for the false discovery rate; NaN stays NaN and stands outside.

    Where those of at most q are called different, at most a share q of them is so by chance, on average (Benjamini and
    Hochberg 1995): p times n over its rank, and never above that of a larger p. It holds for independent tests and for
    those that move together (Benjamini and Yekutieli 2001).
    """
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    falling = known[np.argsort(-p[known], kind="stable")]
    ranks = np.arange(len(falling), 0, -1)
    adjusted[falling] = np.minimum.accumulate(np.minimum(1.0, p[falling] * len(falling) / ranks))
    return adjusted


def difference_p_values(
    columns: Floats, families: Sequence[tuple[Ints, Ints]], *, flips: int = 10_000, seed: int = 0
) -> list[Floats]:
    """Return the adjusted two-sided p-values that `paired_randomization` gives for families of differences.

    `columns` are float64 (clusters, columns) of contributions. A family is two int64 arrays that number columns, and
    tests the second minus the first. Signs are drawn and summed once for all, so that many families of the same columns
    cost little more than one. Differences with NaN have p = NaN and stand outside.
    """
    exact, patterns = count_patterns(len(columns), flips)
    tested = [_Family.of(columns, first, second) for first, second in families]
    exceeding = [np.zeros(len(family.observed)) for family in tested]
    widest = max([len(columns), columns.shape[1], *(len(family.observed) for family in tested)], default=1)
    for signs in sign_blocks(len(columns), max(1, _BLOCK_CELLS // widest), flips, seed):
        flipped = columns.T @ signs.T
        for family, count in zip(tested, exceeding, strict=True):
            count += _count_exceeding(family.observed, family.sums(flipped))[1]
    added = 0 if exact else 1
    found = []
    for family, count in zip(tested, exceeding, strict=True):
        p = np.full(family.size, np.nan)
        p[family.usable] = _monotone((count + added) / (patterns + added), family.observed)
        found.append(p)
    return found


@dataclass(frozen=True, eq=False)
class _Family:
    """Differences tested together, `second` minus `first`; `usable` numbers those of all `size` that have no NaN."""

    first: Ints
    second: Ints
    scale: Floats
    observed: Floats
    usable: Ints
    size: int

    @staticmethod
    def of(columns: Floats, first: Ints, second: Ints) -> "_Family":
        differences = columns[:, second] - columns[:, first]
        usable = np.flatnonzero(~np.isnan(differences).any(axis=0))
        scale = np.sqrt((differences[:, usable] ** 2).sum(axis=0))
        scale = np.where(scale > 0, scale, 1.0)
        observed = np.abs(differences[:, usable].sum(axis=0)) / scale
        return _Family(first[usable], second[usable], scale, observed, usable, len(first))

    def sums(self, flipped: Floats) -> Floats:
        """Return the size of the differences (usable, flips) of flipped sums (columns, flips)."""
        sums: Floats = np.abs(flipped[self.second] - flipped[self.first]) / self.scale[:, None]
        return sums


def critical_value(columns: Floats, level: float, *, flips: int = 10_000, seed: int = 0) -> float:
    """Return what the largest studentised sum of the family must exceed to be above zero at `level`.

    `columns`, `flips` and `seed` are those of `paired_randomization`, `level` is one-sided. Infinity where so few
    patterns cannot give so small a p-value, and without columns.
    """
    tested, _, scale = _studentise(columns)
    exact, patterns = count_patterns(len(columns), flips)
    reaching = int(level * (patterns if exact else patterns + 1) + _TIE)
    if reaching < 1 or not len(scale):
        return float("inf")
    blocks = sign_blocks(len(columns), _block(tested), flips, seed)
    largest = np.concatenate([_flip(tested, scale, signs).max(axis=0) for signs in blocks])
    # The observed pattern is one of those that reach it; only where all are tried is it among them.
    place = reaching + 1 if exact else reaching
    return float(np.partition(largest, -place)[-place])


def _block(columns: Floats) -> int:
    """Return how many flips of `columns` (clusters, columns) are tried at once."""
    n_clusters, n_columns = columns.shape
    return max(1, _BLOCK_CELLS // max(1, int(n_clusters), int(n_columns)))


def _flip(columns: Floats, scale: Floats, signs: Floats) -> Floats:
    """Return sums (columns, flips) of `columns` (clusters, columns) with `signs` (flips, clusters), over `scale`."""
    flipped: Floats = columns.T @ signs.T
    flipped /= scale[:, None]
    return flipped


def _studentise(columns: Floats) -> tuple[Floats, Ints, Floats]:
    """Return the columns without NaN, which those are, and the root of the sum of squares of each of them."""
    usable = np.flatnonzero(~np.isnan(columns).any(axis=0))
    tested = columns if len(usable) == columns.shape[1] else columns[:, usable]
    scale = np.sqrt(np.einsum("ij,ij->j", tested, tested))
    return tested, usable, np.where(scale > 0, scale, 1.0)


def _count_exceeding(observed: Floats, flipped: Floats) -> Floats:
    """Count the flips (columns, flips) that reach `observed` (columns,): column by column, and by step-down max-T.

    In the second, a column competes with the largest of itself and all columns observed lower. Returns (2, columns).
    """
    order = np.argsort(-observed, kind="stable")[::-1]
    largest, reached = flipped[order], observed[order, None] - _TIE
    counts = np.empty((2, len(observed)))
    counts[0, order] = np.count_nonzero(largest >= reached, axis=1)
    _run_maximum(largest)
    counts[1, order] = np.count_nonzero(largest >= reached, axis=1)
    return counts


def _run_maximum(rows: Floats) -> None:
    """Replace each of the `rows` (n, ...) by the maximum of itself and all before it.

    Many rows at once, in blocks and then from block to block, which `np.maximum.accumulate` takes several times as long
    for.
    """
    size = max(1, isqrt(len(rows)))
    end = len(rows) // size * size
    blocks = rows[:end].reshape(-1, size, *rows.shape[1:])
    for one, other in pairwise(range(size)):
        np.maximum(blocks[:, one], blocks[:, other], out=blocks[:, other])
    for one, other in pairwise(blocks):
        np.maximum(one[-1], other[-1], out=other[-1])
    np.maximum(blocks[1:, :-1], blocks[:-1, -1:], out=blocks[1:, :-1])
    for one, other in pairwise(rows[max(0, end - 1) :]):
        np.maximum(one, other, out=other)


def _monotone(p: Floats, observed: Floats) -> Floats:
    """Let no p-value be smaller than that of a column observed higher."""
    order = np.argsort(-observed, kind="stable")
    raised = np.empty_like(p)
    raised[order] = np.maximum.accumulate(p[order])
    return raised
