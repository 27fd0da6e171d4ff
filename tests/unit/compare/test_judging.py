"""What passes a gate: rules against each other, p-values against a loop, and how often nothing is called worse."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from unit.compare.cases import SUBJECTS, differences_of, gate
from unit.statistics.test_resampling import naive_max_t

from mlbench.compare.document import Check
from mlbench.compare.gate import Gate
from mlbench.compare.judge import GateLine, judge, verdict
from mlbench.results import Bounds
from mlbench.statistics.differences import Differences, Subject
from mlbench.statistics.paired_tests import Line, Tails
from mlbench.statistics.resampling import bootstrap, percentile_bounds

RULES = ("point", "significant", "non_inferior")
PREFERENCE = Subject(family="aggregates", name="own_language_preference")


def lines_for(differences: Differences, allowed: float) -> list[GateLine]:
    """Return a line for each difference: a rise for bias scores, a drop for measures."""
    return [GateLine("drop" if each.subject.kind else "rise", each.subject, allowed) for each in differences.each]


def judged(differences: Differences, allowed: float = 0.0, rule: str = "significant", level: float = 0.05, **options):
    found = judge(differences, lines_for(differences, allowed), gate(rule=rule, level=level), task="small", **options)
    return list(found)


def with_intervals(columns: np.ndarray, confidence: float, resamples: int = 100) -> list[Bounds]:
    counts = np.ones_like(columns)
    drawn = bootstrap(columns * len(columns), counts, resamples=resamples, seed=0)
    return [Bounds(low=low, high=high) for low, high in percentile_bounds(drawn.ratios, confidence).T.tolist()]


@st.composite
def columns(draw: st.DrawFn) -> np.ndarray:
    """Draw what 2 to 12 clusters add to one to four differences, some of them zero, some all alike."""
    random = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(2, 12)), draw(st.integers(1, 4)))
    drawn = random.standard_normal(shape) * draw(st.sampled_from([0.0, 1e-4, 0.01, 1.0]))
    drawn *= random.uniform(size=shape) > draw(st.sampled_from([0.0, 0.7]))
    return drawn - draw(st.sampled_from([0.0, 0.001, 0.01]))


def subjects_for(drawn: np.ndarray) -> list[Subject]:
    return [*SUBJECTS, PREFERENCE][: drawn.shape[1]]


@given(columns(), st.sampled_from([0.0, 0.001, 0.01, 0.1]), st.sampled_from([0.01, 0.05, 0.3]))
def test_what_fails_under_a_rule_fails_under_a_stricter_one(drawn: np.ndarray, allowed: float, level: float) -> None:
    low, high = drawn.sum(axis=0) - 0.01, drawn.sum(axis=0) + 0.01
    around = [Bounds(low=a, high=b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    differences = differences_of(drawn, subjects_for(drawn), intervals=around)
    point, significant, non_inferior = (judged(differences, allowed, rule, level, flips=50) for rule in RULES)
    for a, b, c in zip(significant, point, non_inferior, strict=True):
        assert b.passed <= a.passed
        assert c.passed <= b.passed
        assert (a.difference, a.p) == (b.difference, b.p) == (c.difference, c.p)


@pytest.mark.slow
@given(columns(), st.sampled_from(RULES), st.lists(st.floats(0, 0.2), min_size=2, max_size=4).map(sorted))
def test_who_passes_still_passes_when_more_is_allowed(drawn: np.ndarray, rule: str, bounds: list[float]) -> None:
    differences = differences_of(drawn, subjects_for(drawn), intervals=with_intervals(drawn, 0.9))
    outcomes = [judged(differences, allowed, rule, flips=50) for allowed in bounds]
    for strict, mild in pairwise(outcomes):
        assert all(one.passed <= other.passed for one, other in zip(strict, mild, strict=True))


@given(st.integers(1, 12), st.sampled_from(RULES), st.floats(1e-6, 1))
def test_one_that_equals_its_base_passes(n_clusters: int, rule: str, allowed: float) -> None:
    zeros = np.zeros((n_clusters, 4))
    intervals = with_intervals(zeros, 0.9) if n_clusters > 1 else [None] * 4
    for check in judged(differences_of(zeros, subjects_for(zeros), intervals=intervals), allowed, rule, flips=50):
        # What cannot be shown is not passed.
        assert check.passed == (rule != "non_inferior" or n_clusters > 1)
        assert (check.p, check.detectable) == (1, None)


@given(columns(), st.integers(1, 5))
def test_p_values_are_those_of_a_loop_over_all_patterns(drawn: np.ndarray, n_tasks: int) -> None:
    drawn = drawn[:7]
    assume(drawn.any(axis=0).all())
    worsening = drawn * [-1, -1, -1, 1][: drawn.shape[1]]
    found = [check.p for check in judged(differences_of(drawn, subjects_for(drawn)), n_tasks=n_tasks)]
    expected = np.minimum(1, n_tasks * np.array(naive_max_t(worsening, np.positive)))
    assert found == pytest.approx(expected)
    alone = [naive_max_t(worsening[:, [i]], np.positive)[0] for i in range(drawn.shape[1])]
    assert all(p >= raw - 1e-12 for p, raw in zip(found, alone, strict=True))


@given(columns(), st.randoms(use_true_random=False))
def test_lines_may_stand_in_any_order_among_other_differences(drawn: np.ndarray, random) -> None:
    differences = differences_of(drawn, subjects_for(drawn))
    lines = lines_for(differences, 0.001)
    floor = GateLine("floor", SUBJECTS[0], 0.4)
    other = Subject(family="aggregates", name="R@5", kind="monolingual")
    more = replace(differences, each=(replace(differences.each[0], subject=other), *differences.each[::-1]))
    shuffled = random.sample([*lines, floor], len(lines) + 1)
    one = judge(differences, [*lines, floor], Gate(), task="small", flips=50)
    two = judge(more, shuffled, Gate(), task="small", flips=50)
    assert sorted(map(repr, one)) == sorted(map(repr, two))


def single(values: list[float], what: str, bound: float, rule: str = "significant", **options) -> Check:
    """Judge one difference that clusters add up to."""
    subject = PREFERENCE if what in ("rise", "ceiling") else SUBJECTS[0]
    drawn = np.array(values)[:, None]
    differences = differences_of(drawn, [subject], intervals=with_intervals(drawn, 0.9))
    (check,) = judge(differences, [GateLine(what, subject, bound)], gate(rule=rule), task="small", **options)
    return check


CLEAR = [-0.01] * 8
UNSURE = [-0.1, 0.09, -0.08, 0.08, -0.07, 0.06, -0.05, 0.05]


@pytest.mark.parametrize(
    ("values", "what", "bound", "rule", "passed", "reason"),
    [
        (CLEAR, "drop", 0.005, "point", False, "fell by .0800, only .005 is allowed"),
        (CLEAR, "drop", 0.08, "point", True, "fell by .0800, .08 is allowed"),
        (
            CLEAR,
            "drop",
            0.005,
            "significant",
            False,
            r"fell by .0800, only .005 is allowed: significantly more \(p = 0.0039\)",
        ),
        (CLEAR, "drop", 0.1, "significant", True, "fell by .0800, .1 is allowed"),
        (CLEAR, "drop", 0.1, "non_inferior", True, "shown to be worse by less than .1: at most by .0800"),
        (CLEAR, "drop", 0.08, "non_inferior", False, "not shown to be worse by less than .08: it may be by .0800"),
        (CLEAR, "rise", 0.0, "point", True, "did not rise"),
        (CLEAR, "rise", 0.01, "non_inferior", True, "shown to be worse by less than .01: at most by .0000"),
        (UNSURE, "drop", 0.005, "point", False, "fell by .0200"),
        (UNSURE, "drop", 0.005, "significant", True, r"fell by .0200, .*: not significantly more \(p = 0.4\d\)"),
        (UNSURE, "drop", 0.05, "non_inferior", False, "not shown to be worse by less than .05: it may be by .3800"),
        ([-v for v in CLEAR], "drop", 0.0, "significant", True, "did not fall"),
        ([-v for v in CLEAR], "rise", 0.005, "significant", False, "rose by .0800, only .005 is allowed"),
        ([-v for v in CLEAR], "rise", 3000, "point", True, "rose by .0800, 3,000 is allowed"),
        (CLEAR, "floor", 0.42, "point", True, ".4200 is at or above the floor of .42"),
        (CLEAR, "floor", 0.421, "point", False, ".4200 is below the floor of .421"),
        (CLEAR, "ceiling", 0.42, "non_inferior", True, ".4200 is at or below the ceiling of .42"),
        (CLEAR, "ceiling", 0.41, "significant", False, ".4200 is above the ceiling of .41"),
        ([100.0] * 8, "rise", 5000, "significant", True, "rose by 800.0, 5,000 is allowed"),
        (
            [-0.01] * 4,
            "drop",
            0.005,
            "significant",
            True,
            "fell by .0400, only .005 is allowed: cannot tell by so few clusters",
        ),
    ],
)
def test_outcomes(values, what, bound, rule, passed: bool, reason: str) -> None:
    check = single(values, what, bound, rule)
    assert check.passed == passed
    assert re.match(reason, check.reason), check.reason
    tested = what in ("drop", "rise")
    assert check.rule == (rule if tested else what)
    assert (check.p is not None) == tested
    assert check.difference == pytest.approx(sum(values))
    assert (check.base, check.candidate) == (0.5, 0.5 + check.difference)


def test_too_few_clusters_for_the_level_cannot_tell_and_say_so() -> None:
    # The smallest p-value of four clusters is 1/16.
    few = single([-1.0, -1.1, -1.2, -1.3], "drop", 0.1)
    assert (few.passed, few.p, few.detectable, few.can_tell) == (True, 1 / 16, None, False)
    enough = single([-1.0, -1.1, -1.2, -1.3, -1.4], "drop", 0.1)
    assert (enough.passed, enough.p, enough.can_tell) == (False, 1 / 32, True)
    assert enough.detectable > 0.1
    # One cluster has no interval.
    lone = differences_of(np.array([[-1.0]]), SUBJECTS[:1])
    (check,) = judge(lone, lines_for(lone, 0.1), gate(rule="non_inferior"), task="small")
    assert (check.passed, check.can_tell) == (False, False)
    assert check.reason.startswith("cannot tell by so few clusters")
    # So do too few flips, and too many tasks.
    assert single([-1.0, -1.1] * 10, "drop", 0.1, flips=18).detectable is None
    assert single([-1.0, -1.1] * 10, "drop", 0.1, flips=19).detectable is not None
    assert single([-1.0, -1.1] * 10, "drop", 0.1, flips=19, n_tasks=2).detectable is None


@given(columns(), st.sampled_from([0.0, 0.001, 0.1]), st.integers(0, 2**32 - 1))
def test_p_values_concern_what_lies_beyond_the_allowance(drawn: np.ndarray, allowed: float, seed: int) -> None:
    drawn = drawn[:7]
    sizes = np.random.RandomState(seed).randint(1, 9, size=len(drawn))
    shares = sizes / sizes.sum()
    worsening = drawn * [-1, -1, -1, 1][: drawn.shape[1]] - allowed * shares[:, None]
    assume(worsening.any(axis=0).all())
    found = [check.p for check in judged(differences_of(drawn, subjects_for(drawn), shares=shares), allowed)]
    assert found == pytest.approx(naive_max_t(worsening, np.positive))


@pytest.mark.parametrize("sizes", [np.ones(48), np.arange(1, 49)], ids=["equal", "unequal"])
def test_a_drop_as_large_as_allowed_fails_at_the_level_and_one_of_twice_the_size_nearly_always(sizes) -> None:
    random, shares, tries, allowed = np.random.RandomState(0), sizes / sizes.sum(), 500, 0.005
    fired = dict.fromkeys((0.8 * allowed, allowed, 2 * allowed), 0)
    for drop in fired:
        for _ in range(tries):
            noise = random.standard_normal((48, 3)) + random.standard_normal((48, 1))
            noise *= 0.0005 * np.sqrt(shares)[:, None]
            found = judged(differences_of(noise - drop * shares[:, None], shares=shares), allowed, flips=199)
            fired[drop] += any(not check.passed for check in found)
    error = 3 * np.sqrt(0.05 * 0.95 / tries)
    within, at, beyond = (count / tries for count in fired.values())
    assert within <= 0.01
    assert abs(at - 0.05) <= error
    assert beyond >= 0.95


def test_what_has_just_failed_could_have_been_found() -> None:
    # Most topics are in two clusters, which a drop that is the same everywhere would be of alone.
    shares = np.array([0.48, 0.48, *[0.04 / 10] * 10])
    drawn = -np.full((12, 1), 1.0)
    differences = differences_of(drawn, SUBJECTS[:1], shares=shares)
    (check,) = judge(differences, lines_for(differences, 0.1), gate(), task="small")
    assert (check.passed, check.can_tell) == (False, True)
    assert check.detectable is not None


@pytest.mark.slow
def test_nothing_is_called_worse_more_often_than_the_level_says() -> None:
    random = np.random.RandomState(0)
    alarms, any_task, tries = [], [], 600
    for _ in range(tries):
        # Twelve lines that go up and down together, of heavy-tailed clusters, on two tasks.
        drawn = [
            (random.standard_normal((30, 1)) + random.standard_normal((30, 12))) * random.standard_exponential((30, 1))
            for _ in range(2)
        ]
        outcomes = [judged(differences_of(each), flips=199, n_tasks=n) for n in (1, 2) for each in drawn]
        failed = [any(not check.passed for check in outcome) for outcome in outcomes]
        alarms += failed[:2]
        any_task.append(any(failed[2:]))
    error = 3 * np.sqrt(0.05 * 0.95 / tries)
    assert 0.02 < np.mean(alarms) <= 0.05 + error
    assert 0.02 < np.mean(any_task) <= 0.05 + error


def test_one_that_is_better_elsewhere_does_not_hide_a_drop() -> None:
    random = np.random.RandomState(1)
    drawn = 0.1 * random.standard_normal((40, 3)) + [-0.5, 0.5, 0.0]
    found = judged(differences_of(drawn), 0.005, flips=999)
    assert [check.passed for check in found] == [False, True, True]


@pytest.mark.parametrize(
    ("name", "difference", "p", "expected"),
    [
        ("AP", 0.1, 0.05, "better"),
        ("AP", -0.1, 0.05, "worse"),
        ("AP", -0.1, 0.063, "not_significant"),
        ("rank_distance", 0.1, 0.01, "worse"),
        ("own_language_preference", -0.1, 0.01, "worse"),
        ("own_language_preference", -0.1, 0.06, "not_significant"),
        ("rank_distance_log2", -0.1, 0.01, None),
        ("R@5", 0.1, None, None),
    ],
)
def test_verdicts(name: str, difference: float, p: float | None, expected: str | None) -> None:
    tails = None if p is None else Tails(two_sided=p, greater=p, less=p)
    about = Subject(family="aggregates", name=name).model_dump()
    line = Line(
        **about,
        base=0.5,
        candidate=0.5 + difference,
        difference=difference,
        interval=None,
        raw=tails,
        adjusted=tails,
        n_topics=9,
        n_clusters=6,
    )
    assert verdict(line, 0.05) == expected
    # Two of the 32 sign patterns of five clusters are as extreme as any, and 18 flips give no p-value below 1/19.
    unknown = "cannot_tell" if expected == "not_significant" else expected
    assert verdict(line.model_copy(update={"n_clusters": 5}), 0.05) == unknown
    assert verdict(line, 0.05, flips=18) == unknown
