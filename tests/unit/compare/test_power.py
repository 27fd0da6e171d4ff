"""How large a worsening would have been found: the formula against simulated systems that are worse by so much."""

from math import inf, nan

import numpy as np
import pytest
from unit.compare.cases import SUBJECTS, differences_of, gate

from mlbench.compare.judge import (
    GateLine,
    found_at_a_point,
    found_by_test,
    judge,
    margin_that_passes,
    reach,
    standard_error,
)
from mlbench.results import Bounds
from mlbench.statistics.differences import Contributions
from mlbench.statistics.resampling import bootstrap, percentile_bounds, widening

TRIES = 500
ERROR = 3 * np.sqrt(0.8 * 0.2 / TRIES)


def drawn(random: np.random.RandomState, shares: np.ndarray, worsening: float = 0.0) -> np.ndarray:
    """Return what clusters add to two drops: noise that grows with the cluster, and a worsening of the first."""
    noise = random.standard_normal((len(shares), 2)) * np.sqrt(shares / len(shares))[:, None]
    return noise - shares[:, None] * [worsening, 0.0]


def check_of(columns: np.ndarray, shares: np.ndarray, allowed: float, rule: str, intervals=None):
    differences = differences_of(columns, SUBJECTS[:2], shares=shares, intervals=intervals)
    lines = [GateLine("drop", subject, allowed) for subject in SUBJECTS[:2]]
    return judge(differences, lines, gate(rule=rule), task="small", flips=199)[0]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [np.ones(48), np.arange(1, 49), np.ones(14)], ids=["equal", "unequal", "few"])
@pytest.mark.parametrize(("rule", "allowed"), [("significant", 0.0), ("significant", 0.4), ("point", 0.3)])
def test_what_is_told_to_be_found_is_found_four_times_of_five(sizes, rule: str, allowed: float) -> None:
    random = np.random.RandomState(0)
    shares = sizes / sizes.sum()
    told = np.mean([check_of(drawn(random, shares), shares, allowed, rule).detectable for _ in range(200)])
    found = [not check_of(drawn(random, shares, told), shares, allowed, rule).passed for _ in range(TRIES)]
    # The estimate of the error is itself uncertain with few clusters.
    assert abs(np.mean(found) - 0.8) <= ERROR + (0.04 if len(sizes) < 20 else 0.02)


@pytest.mark.slow
def test_a_margin_that_is_told_to_pass_passes_four_times_of_five() -> None:
    random, shares = np.random.RandomState(1), np.full(48, 1 / 48)
    told = np.mean([check_of(drawn(random, shares), shares, 0.1, "non_inferior").detectable for _ in range(200)])
    passed = []
    for _ in range(TRIES):
        columns = drawn(random, shares)
        replicates = bootstrap(48 * columns, np.ones_like(columns), resamples=300, seed=0).ratios
        widened = columns.sum(axis=0) + widening(0.9, 48) * (replicates - columns.sum(axis=0))
        bounds = [Bounds(low=low, high=high) for low, high in percentile_bounds(widened, 0.9).T.tolist()]
        passed.append(check_of(columns, shares, told, "non_inferior", bounds).passed)
    assert abs(np.mean(passed) - 0.8) <= ERROR + 0.03


def test_the_standard_error_is_that_of_means_of_clusters() -> None:
    random = np.random.RandomState(2)
    values = random.standard_normal(30)
    equal = Contributions(values / 30, np.full(30, 1 / 30))
    assert standard_error(equal) == pytest.approx(np.std(values, ddof=1) / np.sqrt(30))
    # With sizes it is that of a ratio; the jackknife is the reference.
    sizes = random.randint(1, 9, size=30)
    sums = sizes * 0.3 + np.sqrt(sizes) * values
    ratio = Contributions(sums / sizes.sum(), sizes / sizes.sum())
    without = np.array([np.delete(sums, i).sum() / np.delete(sizes, i).sum() for i in range(30)])
    jackknife = np.sqrt(29 / 30 * ((without - without.mean()) ** 2).sum())
    assert standard_error(ratio) == pytest.approx(jackknife, rel=0.05)
    assert standard_error(Contributions(np.array([0.5]), np.array([1.0]))) is not None
    assert np.isnan(standard_error(Contributions(np.array([0.5, 0.0]), np.array([1.0, 0.0]))))
    # A worsening that is the same everywhere is no chance.
    assert standard_error(Contributions(0.2 * ratio.shares, ratio.shares)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("n", [5, 48, 520])
def test_a_difference_within_reach_makes_the_studentised_sum_critical(n: int) -> None:
    random = np.random.RandomState(3)
    noise = random.standard_normal(n)
    noise = (noise - noise.mean()) / np.sqrt(((noise - noise.mean()) ** 2).sum())
    shares, critical = np.full(n, 1 / n), 2.0
    added = noise + shares * reach(Contributions(noise, shares), critical)
    assert added.sum() / np.sqrt((added**2).sum()) == pytest.approx(critical)


def test_what_no_difference_can_reach() -> None:
    shares = Contributions(np.zeros(4), np.full(4, 1 / 4))
    assert reach(shares, 1.99) > 19
    assert (reach(shares, 2.0), reach(shares, inf)) == (inf, inf)
    assert found_by_test(0.1, 1.0, inf) == inf


def test_formulas() -> None:
    assert found_at_a_point(0.5, 2.0) == pytest.approx(0.5 + 0.8416212 * 2)
    assert found_by_test(0.5, 2.0, 3.0) == pytest.approx(0.5 + (3 + 0.8416212) * 2)
    assert found_by_test(7.0, 2.0, 3.0) == pytest.approx(7 + (3 + 0.8416212) * 2)
    assert margin_that_passes(2.0, 0.05, 6) == pytest.approx((2.0150484 + 0.8416212) * 2)
    assert np.isnan(found_at_a_point(0.5, nan))
