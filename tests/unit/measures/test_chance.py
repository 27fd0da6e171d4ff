"""What a random order gives, against the enumeration of all orders."""

from itertools import combinations
from math import log2
from statistics import mean, median_low

import numpy as np
import pytest

from mlbench.measures import chance
from mlbench.measures.formulas import RelevantRanks
from mlbench.measures.ranked import parse

SIZES = [(1, 1), (1, 6), (2, 2), (2, 7), (3, 8), (5, 9), (7, 7)]


def sets(m: int, n: int) -> list[tuple[int, ...]]:
    return list(combinations(range(1, n + 1), m))


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_numbers_are_those_of_all_sets_of_ranks(m: int, n: int) -> None:
    every = sets(m, n)
    assert chance.mean_log2_smallest(m, n) == pytest.approx(mean(log2(min(ranks)) for ranks in every))
    assert chance.mean_log2_largest(m, n) == pytest.approx(mean(log2(max(ranks)) for ranks in every))
    assert chance.median_range(np.array([m, m, np.nan]), n) == median_low(max(ranks) - min(ranks) for ranks in every)
    for cutoff in (m, n - 1, n, n + 3):
        within = mean(float(max(ranks) <= cutoff) for ranks in every)
        assert chance.all_within(m, cutoff, n) == pytest.approx(within)
    precision = mean(mean(place / rank for place, rank in enumerate(ranks, 1)) for ranks in every)
    assert chance.mean_average_precision(np.array([m]), n)[0] == pytest.approx(precision)


@pytest.mark.parametrize("name", ["AP", "R@2", "P@3", "Success@1", "Success@4", "RR", "RR@2", "nDCG@3", "nDCG@10"])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_measures_are_those_of_all_sets_of_ranks(name: str, m: int, n: int) -> None:
    every = np.array(sets(m, n), dtype=np.int64)
    relevant = RelevantRanks(every, np.ones(every.shape), np.full(len(every), n, dtype=np.int64))
    mean_of_all = parse(name).values(relevant).mean()
    assert chance.mean_measure(parse(name), np.array([m, m]), n) == pytest.approx(mean_of_all)


def test_of_a_measure_without_a_formula_for_random_orders_nothing_is_said() -> None:
    assert np.isnan(chance.mean_measure(parse("ERR@10"), np.array([1, 2]), 9)).all()
    assert np.isnan(chance.mean_measure(parse("nDCG(dcg='exp-log2')@10"), np.array([1, 2]), 9)).all()


@pytest.mark.parametrize("n", [1, 2, 9])
def test_two_independent_ranks(n: int) -> None:
    gaps = [abs(log2(a) - log2(b)) for a in range(1, n + 1) for b in range(1, n + 1)]
    assert chance.mean_log2_difference(n) == pytest.approx(mean(gaps))


def test_the_median_of_topics_with_several_numbers_of_documents() -> None:
    n, numbers = 9, [2, 2, 5]
    shares = [(max(r) - min(r), numbers.count(m) / len(sets(m, n))) for m in {*numbers} for r in sets(m, n)]
    reached = {d: sum(share for range_, share in shares if range_ <= d) for d in range(n)}
    assert chance.median_range(np.array(numbers, dtype=float), n) == min(d for d, s in reached.items() if s >= 1.5)
    assert np.isnan(chance.median_range(np.array([np.nan]), n))


def test_sums_in_blocks_are_those_of_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [chance.mean_log2_largest(3, 1000), chance.mean_log2_smallest(3, 1000), chance.mean_log2_difference(1000)]
    for each in (chance.mean_log2_largest, chance.mean_log2_smallest, chance.mean_log2_difference):
        each.cache_clear()
    monkeypatch.setattr(chance, "_BLOCK", 17)
    blocks = [chance.mean_log2_largest(3, 1000), chance.mean_log2_smallest(3, 1000), chance.mean_log2_difference(1000)]
    assert blocks == pytest.approx(whole, rel=1e-12)


def test_the_range_of_independent_variables() -> None:
    # Two normal variables differ by 2 / sqrt(pi) in the mean, three by 3 / sqrt(pi) (David & Nagaraja 2003).
    assert chance.mean_range(np.eye(2)) == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)
    assert chance.mean_range(4 * np.eye(3)) == pytest.approx(6 / np.sqrt(np.pi), rel=0.02)
    assert chance.mean_range(np.ones((3, 3))) == pytest.approx(0, abs=1e-6)
    assert np.isnan(chance.mean_range(np.empty((0, 0))))
