"""A base and a candidate, from their results to the document."""

import json
from dataclasses import replace

import numpy as np
import pytest
from unit.compare.cases import COLLECTION, filtered, gate, measured, skilled, trained
from unit.statistics.cases import make_collection, random_orders, ranks_of

from mlbench.collection.languages import settings_of
from mlbench.compare.compare import CompareOptions, compare_evaluations, compare_systems
from mlbench.compare.document import Comparison, TaskComparison
from mlbench.compare.gate import DEFAULT, Gate
from mlbench.compare.pairing import ResultWithRanks, Side
from mlbench.errors import UserError
from mlbench.evaluation.evaluate import Evaluation
from mlbench.io.document import to_json
from mlbench.ranking.ranks import Ranks
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.paired_tests import compare_ranks

FAST = CompareOptions(flips=200, resamples=40, seed=5)


def side(*found: ResultWithRanks, name: str = "some") -> Side:
    by_task: dict[str, tuple[ResultWithRanks, ...]] = {}
    for each in found:
        by_task[each.result.task.name] = (*by_task.get(each.result.task.name, ()), each)
    return Side(name, by_task)


def compared(base: Side, candidate: Side, rules: Gate = DEFAULT, **options) -> Comparison:
    return compare_systems(base, candidate, rules, replace(FAST, **options))


def only(comparison: Comparison) -> TaskComparison:
    (task,) = comparison.tasks
    return task


BASE, WORSE = measured(skilled(skill=2.0), spec="base"), measured(skilled(seed=1, skill=0.5), spec="worse")


def test_numbers_are_those_of_the_ranks_with_the_options_of_the_comparison() -> None:
    task = only(compared(side(BASE), side(WORSE)))
    result = BASE.result
    request = ScoreRequest(
        settings=settings_of(COLLECTION.languages),
        measures=result.task.measures,
        primary_measure="AP",
        bias_scores=result.task.bias_scores,
        parallel=True,
        resamples=40,
        seed=5,
    )
    assert task.tests == compare_ranks([BASE.ranks], [WORSE.ranks], request, flips=200)
    assert task.tests.line("AP", "monolingual").base == result.aggregate("monolingual").measures["AP"]
    assert (task.base.spec, task.candidate.spec) == ("base", "worse")
    assert (task.languages, task.shared_only, task.limit) == (COLLECTION.languages, False, None)
    assert len(task.verdicts) == len(task.tests.lines)
    tested = {line.name for line, found in zip(task.tests.lines, task.verdicts, strict=True) if found}
    assert tested == {"AP", "own_language_preference", "rank_distance"}


def test_checks_are_about_the_lines_beside_them() -> None:
    task = only(compared(side(BASE), side(WORSE), gate(drop={"RR": {"monolingual": 0.01}}, ceiling={"max_rank": 3})))
    drop, ceiling = task.checks
    line = task.tests.line("RR", "monolingual")
    assert (drop.base, drop.candidate, drop.difference, drop.interval) == (
        line.base,
        line.candidate,
        line.difference,
        line.interval,
    )
    # A measure that is not the primary one is tested where a gate asks for it.
    assert line.raw is None
    assert drop.p is not None
    assert ceiling.candidate == task.tests.line("max_rank").candidate


def test_one_that_is_clearly_worse_fails_and_the_base_itself_passes() -> None:
    found = compared(side(BASE), side(WORSE))
    assert not found.passed
    assert set(only(found).verdicts) == {"worse", "not_significant", None}
    same = compared(side(BASE), side(BASE))
    assert same.passed
    assert set(only(same).verdicts) == {"not_significant", None}
    assert compared(side(WORSE), side(BASE)).passed


def test_intervals_are_as_wide_as_the_rule_needs() -> None:
    for rule, confidence in (("significant", 0.9), ("non_inferior", 0.8)):
        task = only(compared(side(BASE), side(WORSE), gate(rule=rule, level=0.1, drop={"AP": {"monolingual": 1}})))
        assert task.tests.statistics.confidence == pytest.approx(confidence)
        assert task.checks[0].interval == task.tests.line("AP", "monolingual").interval


def test_p_values_are_multiplied_by_the_number_of_tasks() -> None:
    def both(spec: str, ranks: Ranks) -> list[ResultWithRanks]:
        return [measured(ranks, spec=spec, name=name) for name in ("one", "two")]

    (base, _), (other, _) = both("a", BASE.ranks), both("b", WORSE.ranks)
    alone = compared(side(base), side(other))
    twice = compared(side(*both("a", BASE.ranks)), side(*both("b", WORSE.ranks)))
    assert [task.task for task in twice.tasks] == ["one", "two"]
    for task in twice.tasks:
        for check, single in zip(task.checks, only(alone).checks, strict=True):
            assert check.p == pytest.approx(min(1, 2 * single.p))
            assert (check.detectable or 1) >= (single.detectable or 1)
        assert task.tests == only(alone).tests


def test_tasks_of_one_side_are_told_and_may_be_required() -> None:
    base, candidate = side(BASE, measured(skilled(), name="more"), name="old"), side(BASE, name="new")
    rules = DEFAULT.model_copy(update={"required_tasks": ("small", "more", "none")})
    found = compared(base, candidate, rules)
    assert found.uncompared == ("more",)
    assert [(check.task, check.rule, check.passed, check.reason) for check in found.checks] == [
        ("small", "required", True, "measured on both sides"),
        ("more", "required", False, "missing in new"),
        ("none", "required", False, "missing in old and new"),
    ]
    assert not found.passed
    assert found.every_check[-3:] == found.checks
    assert compared(base, candidate).passed


def test_without_a_task_in_common_there_is_nothing_to_compare() -> None:
    with pytest.raises(UserError, match=r"no task to compare on: some has small, some has more$"):
        compared(side(BASE), side(measured(skilled(), name="more")))


def test_seeds_are_averaged_and_named() -> None:
    seeds = [measured(skilled(seed=seed), training=trained(seed)) for seed in range(3)]
    task = only(compared(side(*seeds[:1]), side(*seeds[1:])))
    assert (task.tests.n_base, task.tests.n_candidate) == (1, 2)
    assert task.candidate.files == ("small.model-1.json", "small.model-2.json")
    values = [each.result.aggregate("monolingual").measures["AP"] for each in seeds]
    check = next(check for check in task.checks if check.subject.kind == "monolingual")
    assert check.candidate == pytest.approx(np.mean(values[1:]))
    assert check.difference == pytest.approx(np.mean(values[1:]) - values[0])


def test_shared_languages_give_what_a_run_with_them_gives() -> None:
    fewer = COLLECTION.restrict(("ar", "th"))
    orders = [random_orders(COLLECTION, seed, skill=1) for seed in (0, 1)]
    whole = [measured(ranks_of(COLLECTION, each), spec="x") for each in orders]
    partial = [measured(ranks_of(fewer, filtered(each, fewer)), fewer, spec="x") for each in orders]
    found = only(compared(side(whole[0]), side(partial[1]), shared_languages=True))
    assert (found.languages, found.shared_only) == (("ar", "th"), True)
    direct = only(compared(side(partial[0]), side(partial[1])))
    assert (found.tests, found.verdicts, found.checks) == (direct.tests, direct.verdicts, direct.checks)


def test_topics_that_are_not_parallel_are_compared_without_bias() -> None:
    alone = make_collection(seed=3, topics=12, parallel=False)
    base, worse = (measured(skilled(alone, seed=n, skill=s), alone) for n, s in ((0, 2.0), (1, 0.2)))
    found = compared(side(base), side(worse))
    assert {line.name for line in only(found).tests.lines} == {"AP", "RR", "R@5"}
    assert not found.passed


def test_the_same_comparison_is_the_same_document_and_can_be_read_again() -> None:
    one, two = (compared(side(BASE), side(WORSE)) for _ in range(2))
    assert to_json(one) == to_json(two)
    document = json.loads(to_json(one))
    assert document.pop("passed") is False
    assert Comparison.model_validate_json(json.dumps(document)) == one
    other = compared(side(BASE), side(WORSE), seed=6)
    assert to_json(other) != to_json(one)


def test_two_evaluations_are_compared_as_the_intervals_of_the_base_were_made() -> None:
    made = BASE.result.statistics.model_copy(update={"resamples": 30, "seed": 9, "confidence": 0.8})
    base, worse = (Evaluation(each.result, each.ranks, b"") for each in (BASE, WORSE))
    found = compare_evaluations(
        replace(base, result=base.result.model_copy(update={"statistics": made})), worse, flips=50
    )
    assert (found.statistics.resamples, found.statistics.seed, found.statistics.confidence) == (30, 9, 0.8)
    assert found.flips == 50
