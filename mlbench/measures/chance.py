"""What a random order of a pool gives: exact expectations, and a seeded simulation for the range of several means.

A pool holds N documents, of which m are relevant; every order of them is equally likely.
"""

from collections.abc import Callable
from functools import lru_cache
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from mlbench.measures.ranked import Measure

Floats = NDArray[np.float64]
_BLOCK = 2**20
_DRAWS = 20_000
# Of the largest eigenvalue: what is below it is zero on paper.
_ZERO = 1e-9


def for_each_count(m: Floats, value: Callable[[int], float]) -> Floats:
    """Return `value` of each number in `m`, float64 of any shape; NaN stays NaN."""
    numbers, index = np.unique(m[np.isfinite(m)], return_inverse=True)
    found = np.full(m.shape, np.nan)
    found[np.isfinite(m)] = np.array([value(int(number)) for number in numbers], dtype=np.float64)[index]
    return found


@lru_cache(maxsize=1024)
def mean_log2_smallest(m: int, n: int) -> float:
    """Return the mean of log2 of the smallest of m ranks out of N."""
    return _mean_over_smallest(m, n, np.log2)


@lru_cache(maxsize=1024)
def mean_log2_largest(m: int, n: int) -> float:
    """Return the mean of log2 of the largest of m ranks out of N."""
    # The largest rank is the smallest one counted from the end.
    return _mean_over_smallest(m, n, lambda rank: np.log2(n + 1 - rank))


def _mean_over_smallest(m: int, n: int, value: Callable[[Floats], Floats]) -> float:
    """Return the mean of `value` of the smallest rank: value(1) + sum over k of its rise to k, times P(rank >= k)."""
    mean = float(value(np.ones(1))[0])
    for first in range(2, n - m + 2, _BLOCK):
        ranks = np.arange(first, min(first + _BLOCK, n - m + 2), dtype=np.float64)
        reached = np.ones(len(ranks))
        for place in range(m):
            reached *= (n - ranks + 1 - place) / (n - place)
        mean += float(((value(ranks) - value(ranks - 1)) * reached).sum())
    return mean


@lru_cache(maxsize=1024)
def mean_log2_difference(n: int) -> float:
    """Return the mean of abs(log2 a - log2 b) of two independent ranks out of N."""
    mean = 0.0
    for first in range(1, n, _BLOCK):
        ranks = np.arange(first, min(first + _BLOCK, n), dtype=np.float64)
        below = ranks / n
        mean += float((2 * below * (1 - below) * (np.log2(ranks + 1) - np.log2(ranks))).sum())
    return mean


def median_range(m: Floats, n: int) -> float:
    """Return the median of largest minus smallest rank over topics with `m` (topics,) documents; NaN without topics.

    It is the smallest d with P(range <= d) >= 1/2, where (N - d) C(d, m - 1) + C(d, m) of the C(N, m) sets of ranks
    have a range of at most d.
    """
    numbers, topics = np.unique(m[np.isfinite(m)], return_counts=True)
    if not len(numbers):
        return float("nan")
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        reached = sum(
            int(count) * (((n - middle) * comb(middle, k - 1) + comb(middle, k)) / comb(n, k))
            for k, count in zip(numbers.astype(int).tolist(), topics, strict=True)
        )
        low, high = (low, middle) if 2 * reached >= topics.sum() else (middle + 1, high)
    return float(low)


def all_within(m: int, cutoff: int, n: int) -> float:
    """Return the probability that all m documents stand in the top `cutoff`: C(cutoff, m) / C(N, m)."""
    return 1.0 if cutoff >= n else prod((cutoff - place) / (n - place) for place in range(m))


def mean_average_precision(m: NDArray[np.int64], n: int) -> Floats:
    """Return the mean of average precision for each number in `m`, float64 of the same shape (Bestgen 2015).

    With H_N = 1 + 1/2 + ... + 1/N it is (H_N + (m - 1) (N - H_N) / (N - 1)) / N.
    """
    harmonic = _harmonic(n)
    more = (n - harmonic) / (n - 1) if n > 1 else 0.0
    return (harmonic + (m.astype(np.float64) - 1) * more) / n


def mean_measure(measure: Measure, m: NDArray[np.int64], n: int) -> Floats:
    """Return the mean of a measure for each number in `m` of documents of equal grades, float64 of the same shape.

    It is NaN for measures other than AP, R@k, P@k, Success@k, RR, RR@k and nDCG@k, and for unusual parameters.
    """
    cutoff = measure.cutoff
    if measure.parameters:
        return np.full(m.shape, np.nan)
    match measure.family, cutoff:
        case "AP", None:
            return mean_average_precision(m, n)
        case "R", int(k):
            return np.full(m.shape, min(k, n) / n)
        case "P", int(k):
            return m * min(k, n) / n / k
        case "Success", int(k):
            return for_each_count(m.astype(np.float64), lambda number: 1 - all_within(number, n - min(k, n), n))
        case "RR", _:
            return for_each_count(m.astype(np.float64), lambda number: _mean_reciprocal(number, n, cutoff or n))
        case "nDCG", int(k):
            gains = 1 / np.log2(np.arange(2, min(k, n) + 2))
            return for_each_count(
                m.astype(np.float64), lambda number: float(gains.sum() / gains[:number].sum()) * number / n
            )
    return np.full(m.shape, np.nan)


@lru_cache(maxsize=1024)
def _mean_reciprocal(m: int, n: int, cutoff: int) -> float:
    return _mean_over_smallest(m, n, lambda rank: np.where(rank <= cutoff, 1 / rank, 0.0))


@lru_cache(maxsize=1024)
def _harmonic(n: int) -> float:
    return sum(float((1 / np.arange(first, min(first + _BLOCK, n + 1))).sum()) for first in range(1, n + 1, _BLOCK))


def mean_range(covariance: Floats) -> float:
    """Return the mean of largest minus smallest of normal variables of equal mean and this `covariance`.

    A simulation with a fixed seed, exact to about a half percent; NaN without a variable.
    """
    if not len(covariance):
        return float("nan")
    values, vectors = np.linalg.eigh(covariance)
    values[values < _ZERO * values.max()] = 0.0
    # The symmetric root is the same whatever eigenvectors a library returns.
    root = (vectors * np.sqrt(values)) @ vectors.T
    drawn = np.random.RandomState(0).standard_normal((_DRAWS, len(covariance))) @ root
    return float(np.ptp(drawn, axis=1).mean())
