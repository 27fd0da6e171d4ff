"""Differences as text, what of them is shown, and what a gate could have found."""

import pytest
from unit.reports.comparison_cases import LEVEL, make_comparison, make_task

from mlbench.reports.comparison.content import (
    by_language,
    difference_grid,
    other_aggregates,
    other_measures,
    power,
    setting_of,
    single_settings,
    summary,
    title,
    worst,
)
from mlbench.reports.formatting import Quantity, signed
from mlbench.statistics.differences import Subject

LANGUAGES = ("de", "en", "th")
TASK = make_task("xquad-r", LANGUAGES)


@pytest.mark.parametrize(
    ("about", "named"),
    [
        ({"family": "aggregates", "name": "AP", "kind": "monolingual"}, "mAP mono"),
        ({"family": "aggregates", "name": "own_language_preference"}, "own language preference"),
        (
            {"family": "query_languages", "name": "nDCG@10", "kind": "multilingual", "query_language": "th"},
            "nDCG@10 multi of th queries",
        ),
        (
            {
                "family": "settings",
                "name": "AP",
                "kind": "cross_lingual",
                "query_language": "de",
                "document_languages": ("en",),
            },
            "mAP cross de → en",
        ),
        (
            {
                "family": "settings",
                "name": "AP",
                "kind": "multilingual",
                "query_language": "de",
                "document_languages": ("de", "en"),
            },
            "mAP multi de → pool of 2",
        ),
    ],
)
def test_everything_has_a_name(about: dict[str, object], named: str) -> None:
    assert title(Subject.model_validate(about)) == named


def test_names_from_the_document_are_escaped_and_ours_are_not() -> None:
    subject = Subject(family="query_languages", name="AP", kind="monolingual", query_language="th")
    assert title(subject, lambda text: f"<{text}>") == "<mAP mono> of <th> queries"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0213, "+.021"),
        (-0.0213, "-.021"),
        (0.0004, ".000"),
        (-0.0004, ".000"),
        (0.0, ".000"),
        (None, "·"),
        (-1, "-1.000"),
    ],
)
def test_a_difference_has_a_sign_unless_it_is_written_as_zero(value: float | None, text: str) -> None:
    assert signed(Quantity("AP", "monolingual"), value) == text


def test_summary_has_primary_measure_and_bias_scores_and_others_the_rest() -> None:
    shown = [title(row.line) for row in summary(TASK)]
    assert shown == [
        "mAP mono",
        "mAP cross",
        "mAP multi",
        "own language preference",
        "rank distance",
        "rank distance median",
        "max rank norm",
        "rank distance log2",
    ]
    others = [title(row.line) for row in other_aggregates(TASK)]
    assert others == [
        "R@1 mono",
        "nDCG@10 mono",
        "R@1 cross",
        "nDCG@10 cross",
        "R@1 multi",
        "nDCG@10 multi",
        "removal gap",
    ]
    cross = summary(TASK)[1]
    assert (cross.base, cross.candidate, cross.difference, cross.interval) == (
        ".200",
        ".170",
        "-.030",
        "[-.034, -.026]",
    )
    assert (cross.p, cross.verdict, cross.marked) == (".0003", "worse", "-.030*")
    rank = summary(TASK)[4]
    assert (rank.base, rank.candidate, rank.difference, rank.interval) == ("4,521", "4,776", "+255", "[+165, +346]")
    assert summary(TASK)[5].p == summary(TASK)[5].interval == ""


def test_query_languages_are_in_the_order_of_the_task() -> None:
    found = by_language(TASK)
    assert tuple(found) == LANGUAGES
    assert all(row.line.query_language == language for language, kinds in found.items() for row in kinds.values())
    assert all(row.line.kind == kind for kinds in found.values() for kind, row in kinds.items())


def test_settings_begin_with_the_largest_drop_and_the_worst_are_few() -> None:
    many = make_task("xquad-r", [f"a{letter}" for letter in "abcdef"])
    sizes = [row.size for row in single_settings(many)]
    assert len(sizes) == 6 + 30 + 6
    assert sizes == sorted(sizes)
    assert [row.size for row in worst(many)] == sizes[:10]
    assert worst(make_task("xquad-r", LANGUAGES, fall=0)) == []


def test_other_measures_are_found_by_the_setting() -> None:
    found = other_measures(TASK)
    assert list(found) == ["R@1", "nDCG@10"]
    assert all(len(each) == len(single_settings(TASK)) for each in found.values())
    row = single_settings(TASK)[0]
    assert found["R@1"][setting_of(row.line)].line.query_language == row.line.query_language


def test_the_grid_has_every_setting_and_marks_what_is_explained() -> None:
    shown = difference_grid(TASK)
    assert len(shown.grid.cells) == 9
    assert set(shown.grid.pool) == set(LANGUAGES)
    mean = next(row for row in summary(TASK) if row.line.kind == "multilingual")
    assert shown.grid.pool_mean() == pytest.approx(mean.size, abs=0.02)
    explained = {(a, b) for (a, b), value in shown.grid.cells.items() if abs(value) > 0.02}
    assert shown.significant == explained != set()


class TestPower:
    def test_says_what_would_have_been_found(self) -> None:
        (sentence,) = power(TASK)
        assert sentence == (
            "power: this data would have found, four times of five, a drop of .008 in mAP mono (.012 in that of one "
            "query language), a drop of .008 in mAP cross (.012 in that of one query language), a drop of .008 in mAP "
            "multi (.012 in that of one query language) or a rise of .008 in own language preference"
        )

    def test_ranges_over_query_languages(self) -> None:
        (sentence,) = power(make_task("xquad-r", ("en", "zh-hant")))
        assert "a drop of .008 in mAP mono (.012 to .017 in that of one query language)" in sentence

    def test_non_inferiority_has_margins(self) -> None:
        (sentence,) = power(make_task("xquad-r", LANGUAGES, rule="non_inferior"))
        assert sentence.startswith(
            "power: a candidate that is no worse would be shown to be so, four times of five, within"
        )
        assert " drop " not in sentence

    def test_lines_that_can_find_nothing_are_counted(self) -> None:
        blind = tuple(check.model_copy(update={"detectable": None}) for check in TASK.checks[:3])
        some = TASK.model_copy(update={"checks": (*blind, *TASK.checks[3:])})
        assert power(some)[1].startswith(f"power: for 3 of {len(TASK.checks)} tested lines there are too few clusters")
        assert len(power(TASK.model_copy(update={"checks": blind}))) == 1
        assert power(TASK.model_copy(update={"checks": blind[:1]}))[0].startswith("power: for its only line")

    def test_no_lines_no_words(self) -> None:
        assert power(TASK.model_copy(update={"checks": ()})) == []


def test_the_factory_is_what_it_says() -> None:
    # What the other tests stand on.
    assert not make_comparison().passed
    assert make_comparison(fall=0).passed
    assert {line.base for line in TASK.tests.lines if line.kind == "monolingual"} == {LEVEL["monolingual"]}
