import pytest
from unit.reports.comparison_cases import floor, make_check, make_comparison, make_task, required

from mlbench.compare.document import Check, Comparison
from mlbench.reports.comparison.content import (
    both_sides,
    bound_text,
    check_title,
    failures,
    headline,
    how,
    labels,
    not_compared,
    side_names,
    sides,
    verdict,
    verdict_counts,
)

LANGUAGES = ("de", "en", "th")
TASK = make_task("xquad-r", LANGUAGES)


def with_checks(*checks: Check) -> Comparison:
    return make_comparison(fall=0).model_copy(update={"tasks": (), "checks": checks})


@pytest.mark.parametrize(
    ("comparison", "word", "line"),
    [
        (make_comparison(), "failed", "5 of 13 gate lines"),
        (make_comparison(fall=0), "passed", "13 gate lines, none failed"),
        (with_checks(), "passed", "the gate has no line for what was compared"),
        (with_checks(required("mini", passed=True)), "passed", "1 gate line, none failed"),
        (with_checks(required("mini", passed=False)), "failed", "1 of 1 gate line"),
    ],
)
def test_the_verdict_counts_lines(comparison: Comparison, word: str, line: str) -> None:
    assert verdict(comparison) == word
    assert headline(comparison) == line


class TestFailures:
    def test_means_come_first_and_many_languages_share_a_sentence(self) -> None:
        told = failures(TASK.checks)
        assert told[0] == ("xquad-r", "mAP cross fell by 0.0300 (p = 0.0003)")
        assert told[1][1].startswith("own language preference fell by 0.0400")
        assert len(told) == 3
        assert told[2][1].startswith("mAP cross of 3 query languages fell significantly, and by more than .005: de -.0")
        assert told[2][1].count("-.0") == 3

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ("point", "fell by more than .005: de"),
            ("non_inferior", "are not shown to have fallen by less than .005: de"),
        ],
    )
    def test_each_rule_has_its_words(self, rule: str, said: str) -> None:
        checks = make_task("t", LANGUAGES, rule=rule).checks  # type: ignore[arg-type]
        assert said in failures(checks)[2][1]

    def test_few_languages_have_their_reasons(self) -> None:
        found = [check for check in TASK.checks if not check.passed and check.subject and check.subject.query_language]
        told = failures(found[:2])
        assert [sentence.split(" fell")[0] for _, sentence in told] == [
            "mAP cross of de queries",
            "mAP cross of en queries",
        ]

    def test_floors_and_required_tasks_have_their_reasons(self) -> None:
        floors = [floor(0.3, 0.5, language) for language in LANGUAGES]
        told = failures([*floors, floor(0.6, 0.5), required("mini", passed=False)])
        assert told[0] == ("mini", "missing in results/base")
        assert told[1:] == [
            ("xquad-r", f"mAP mono of {language} queries 0.3000 is below the floor of 0.5000") for language in LANGUAGES
        ]

    def test_other_tasks_and_other_bounds_do_not_share(self) -> None:
        one, other = TASK.checks, make_task("mlqa-r", LANGUAGES).checks
        assert [task for task, _ in failures([*one, *other])] == ["xquad-r"] * 2 + ["mlqa-r"] * 2 + [
            "xquad-r",
            "mlqa-r",
        ]
        wider = [check.model_copy(update={"allowed": 0.01}) for check in one[:8]]
        assert len(failures([*wider, *one[8:]])) == len(failures(one)) + 2

    def test_nothing_failed_nothing_said(self) -> None:
        assert failures(make_task("t", LANGUAGES, fall=0).checks) == []


@pytest.mark.parametrize(
    ("check", "named"),
    [
        (TASK.checks[0], "mAP mono: no significant drop beyond .005"),
        (make_task("t", LANGUAGES, rule="point").checks[0], "mAP mono: no drop beyond .005"),
        (make_task("t", LANGUAGES, rule="non_inferior").checks[0], "mAP mono: shown not to drop by .005"),
        (TASK.checks[3], "own language preference: no significant rise beyond .005"),
        (floor(0.6, 0.5, "th"), "mAP mono of th queries: at least .5"),
        (floor(0.6, 0.5).model_copy(update={"rule": "ceiling"}), "mAP mono: at most .5"),
        (required("mini", passed=True), "measured on both sides"),
    ],
)
def test_a_line_says_what_it_asks(check: Check, named: str) -> None:
    assert check_title(check) == named


def test_lines_of_a_task_have_different_names() -> None:
    floors = [floor(0.5, 0.4), *(floor(0.5, 0.4, language) for language in LANGUAGES)]
    names = [check_title(check) for check in (*TASK.checks, *floors)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (0.005, ".005"),
        (0.0005, ".0005"),
        (0.0, "0"),
        (1.0, "1"),
        (6000.0, "6,000"),
        (-0.25, "-.25"),
        (10.5, "10.5"),
        (None, "·"),
    ],
)
def test_bounds_keep_their_digits(bound: float | None, text: str) -> None:
    assert bound_text(bound) == text


def test_sides_are_named_once_with_their_seeds() -> None:
    comparison = make_comparison(tasks=("xquad-r", "mlqa-r"))
    assert both_sides(comparison) == "x-x-mono against hybrid"
    seeds = TASK.base.model_copy(update={"files": ("1.json", "2.json", "3.json")})
    several = TASK.model_copy(update={"base": seeds})
    assert side_names(several) == ("hybrid (3 seeds)", "x-x-mono")
    mixed = comparison.model_copy(update={"tasks": (comparison.tasks[0], TASK.model_copy(update={"base": seeds}))})
    assert both_sides(mixed) == ""


def test_sides_of_one_name_are_told_apart_by_their_fingerprints() -> None:
    again = TASK.model_copy(update={"candidate": TASK.candidate.model_copy(update={"spec": TASK.base.spec})})
    assert sides(again) == "hybrid (bbbbbbbb) against hybrid (aaaaaaaa)"


def test_settings_are_counted_by_verdict_and_kind() -> None:
    every, *kinds = verdict_counts(TASK)
    assert every == "12 single settings: 0 better, 6 not significant, 6 worse"
    assert kinds == [
        "mono 0 better, 3 not significant, 0 worse",
        "cross 0 better, 0 not significant, 6 worse",
        "multi 0 better, 3 not significant, 0 worse",
    ]
    monolingual = make_task("t", LANGUAGES, kinds=["monolingual"])
    assert verdict_counts(monolingual) == ["3 single settings: 0 better, 3 not significant, 0 worse"]
    untested = TASK.model_copy(update={"verdicts": (None,) * len(TASK.verdicts)})
    assert verdict_counts(untested)[0] == "12 single settings: 12 not tested"
    empty = TASK.model_copy(update={"tests": TASK.tests.model_copy(update={"lines": ()}), "verdicts": ()})
    assert verdict_counts(empty) == []


def test_how_it_was_made_is_said() -> None:
    said = how(TASK)
    assert said[0] == "95 % intervals: 2,000 resamples of 48 clusters"
    assert said[-1].startswith("p by a cluster-level sign-flip permutation test (10,000 flips)")
    tests = TASK.tests.model_copy(update={"exact": True, "flips": 256, "n_base": 3, "n_candidate": 2})
    said = how(TASK.model_copy(update={"tests": tests}))
    assert said[-2].startswith("p by a cluster-level sign-flip permutation test (all 256 flips)")
    assert said[-1] == "topics averaged over seeds: 3 of the base, 2 of the candidate"


def test_what_is_partial_or_missing_is_said() -> None:
    assert labels(TASK) == []
    cut = TASK.model_copy(update={"shared_only": True, "limit": 20})
    assert labels(cut) == [
        "only the languages that both sides have: de, en, th",
        "quick look: 20 topics, not comparable",
    ]
    assert not_compared(make_comparison()) == ["not compared, as only one side has it: mini"]
    assert not_compared(make_comparison().model_copy(update={"uncompared": ()})) == []


def test_a_check_is_made_of_its_line() -> None:
    line = TASK.tests.lines[0]
    assert make_check("xquad-r", line) == TASK.checks[0]
