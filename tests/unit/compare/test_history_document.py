"""Histories: which results share a series, in which order, and what changed."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.compare.checkpoints import SMALL, filed, result, steps

from mlbench.collection.languages import TEXT_KINDS
from mlbench.compare.history import History, Order, history, quantities
from mlbench.errors import UnknownName, UserError
from mlbench.io.document import to_json
from mlbench.results import Result


def names(found: History) -> list[list[str]]:
    return [[checkpoint.name for checkpoint in series.checkpoints] for series in found.series]


class TestSeries:
    def test_results_on_other_data_never_share_one(self) -> None:
        found = history(filed([result("a"), result("b"), result("c", data="0" * 64)]))
        assert names(found) == [["a", "b"], ["c"]]
        assert [series.fingerprint for series in found.series] == ["f" * 64, "0" * 64]

    def test_a_task_can_be_chosen_and_must_be_there(self) -> None:
        assert len(history(filed([result()]), task="xquad-r").series) == 1
        with pytest.raises(UnknownName, match="did you mean xquad-r"):
            history(filed([result()]), task="xqad-r")

    def test_a_measure_can_be_chosen_and_must_be_there(self) -> None:
        (series,) = history(filed([result()]), measure="R@1").series
        mean = SMALL.aggregate("cross_lingual")
        assert mean is not None
        assert series.checkpoints[0].figure("R@1", "cross_lingual").value == mean.measures["R@1"]
        with pytest.raises(UnknownName, match="R@17"):
            history(filed([result()]), measure="R@17")

    def test_values_and_intervals_are_those_of_the_documents(self) -> None:
        (series,) = history(filed([result()])).series
        (checkpoint,) = series.checkpoints
        assert quantities(series) == [
            *(("AP", kind) for kind in TEXT_KINDS),
            ("own_language_preference", None),
            ("rank_distance", None),
        ]
        for kind in TEXT_KINDS:
            mean, figure = SMALL.aggregate(kind), checkpoint.figure("AP", kind)
            assert mean is not None
            assert (figure.value, figure.interval) == (mean.measures["AP"], mean.intervals["AP"])
        assert SMALL.bias is not None
        score = SMALL.bias.score("own_language_preference")
        figure = checkpoint.figure("own_language_preference", None)
        assert score is not None
        assert (figure.value, figure.interval) == (score.value, score.interval)

    def test_how_intervals_were_made_is_told_where_all_agree(self) -> None:
        other = result("b")
        other = other.model_copy(update={"statistics": other.statistics.model_copy(update={"resamples": 500})})
        (alike,), (mixed,) = (history(filed(each)).series for each in ([result()], [result(), other]))
        assert (alike.confidence, alike.resamples) == (0.95, 2000)
        assert (mixed.confidence, mixed.resamples) == (0.95, None)

    def test_nothing_gives_no_series(self) -> None:
        assert history([], task="xquad-r", measure="AP") == History(series=())


class TestOrder:
    def test_is_that_of_steps_where_all_are_of_one_recipe(self) -> None:
        found = history(filed(steps(1000, 20, 300)))
        assert found.series[0].order == "steps"
        assert names(found) == [["step-20", "step-300", "step-1000"]]

    @pytest.mark.parametrize("other", [result("plain"), *steps(50, recipe="another")])
    def test_is_that_of_time_where_not(self, other: Result) -> None:
        assert history(filed([*steps(1000, 20), other])).series[0].order == "time"

    def test_of_time_knows_time_zones_and_puts_what_is_none_first(self) -> None:
        times = {
            "late": "2026-11-20T12:00:00+00:00",
            "early": "2026-11-20T12:00:00+05:00",
            "bare": "2026-11-20T10:00:00",
        }
        results = [result(name, finished=time) for name, time in (*times.items(), ("odd", "yesterday"))]
        assert names(history(filed(results))) == [["odd", "early", "bare", "late"]]

    def test_of_one_moment_is_that_of_the_numbers_in_the_names_of_files(self) -> None:
        found = history([("step-10.json", result("late")), ("step-9.json", result("early"))])
        assert names(found) == [["early", "late"]]

    def test_of_names_counts(self) -> None:
        specs = ["step-10", "step-9", "step-9b", "step-100", "Step-1", "step-09", f"step-{'9' * 5000}"]
        found = names(history(filed(map(result, specs)), by="name"))[0]
        assert found == ["Step-1", "step-9", "step-09", "step-9b", "step-10", "step-100", f"step-{'9' * 5000}"]

    def test_of_steps_can_be_asked_for_of_several_recipes_but_not_without_steps(self) -> None:
        mixed = [*steps(1000, 20), *steps(50, recipe="another")]
        assert names(history(filed(mixed), by="steps")) == [["step-20", "step-50", "step-1000"]]
        with pytest.raises(UserError, match=r"1\.json does not say after how many steps .* --by time"):
            history(filed([*steps(1000), result("plain")]), by="steps")

    @given(st.permutations(range(5)), st.sampled_from(["steps", "time", "name"]))
    def test_does_not_depend_on_where_files_are_found(self, places: Sequence[int], by: Order) -> None:
        results = filed(steps(5, 5, 10, 20, 40))
        assert history([results[place] for place in places], by=by) == history(results, by=by)


class TestNames:
    @pytest.mark.parametrize(
        ("specs", "short"),
        [
            (["a/b/c-1", "a/b/c-2"], ["c-1", "c-2"]),
            (["a/b/c", "a/d/c"], ["b/c", "d/c"]),
            (["hub/model"], ["hub/model"]),
            (["hub/model", "other"], ["hub/model", "other"]),
            (["./ck/1", "./ck/1"], ["./ck/1 eeeeeeee", "./ck/1 eeeeeeee"]),
        ],
    )
    def test_leave_out_what_all_share(self, specs: list[str], short: list[str]) -> None:
        assert names(history(filed(map(result, specs)))) == [short]

    def test_of_one_path_measured_again_have_a_digest(self) -> None:
        results = [result("./ck", fingerprint=letter * 64) for letter in "ab"]
        assert names(history(filed(results))) == [["./ck aaaaaaaa", "./ck bbbbbbbb"]]


class TestChanges:
    def test_are_from_the_one_before_and_from_the_best_before(self) -> None:
        values = [0.5, 0.6, 0.55, 0.7]
        results = [result(f"s{place}", value=value) for place, value in enumerate(values)]
        figures = [one.figure("AP", "monolingual") for one in history(filed(results)).series[0].checkpoints]
        assert [figure.value for figure in figures] == values
        assert [figure.from_previous for figure in figures] == pytest.approx([None, 0.1, -0.05, 0.15])
        assert [figure.from_best for figure in figures] == pytest.approx([None, 0.1, -0.05, 0.1])
        assert [figure.best for figure in figures] == [False, False, False, True]

    def test_own_language_preference_is_best_at_one_half(self) -> None:
        values = [0.9, 0.48, 0.3, 0.55]
        results = [result(f"s{place}", preference=value) for place, value in enumerate(values)]
        figures = [one.figure("own_language_preference", None) for one in history(filed(results)).series[0].checkpoints]
        assert [figure.best for figure in figures] == [False, True, False, False]
        assert figures[3].from_best == pytest.approx(0.07)

    def test_a_missing_value_is_passed_over(self) -> None:
        without = result("b").model_copy(update={"bias": None})
        results = [result("a", preference=0.8), without, result("c", preference=0.7)]
        figures = [one.figure("own_language_preference", None) for one in history(filed(results)).series[0].checkpoints]
        assert [figure.value for figure in figures] == [0.8, None, 0.7]
        assert figures[2].from_previous is None
        assert figures[2].from_best == pytest.approx(-0.1)

    def test_a_single_checkpoint_is_not_the_best_of_anything(self) -> None:
        (checkpoint,) = history(filed([result()])).series[0].checkpoints
        assert not any(figure.best for figure in checkpoint.figures)


def test_the_document_is_json_with_sorted_keys() -> None:
    text = to_json(history(filed(steps(20, 300))))
    document = json.loads(text)
    assert History.model_validate(document) == history(filed(steps(20, 300)))
    assert list(document["series"][0]) == sorted(document["series"][0])
    assert [each["steps"] for each in document["series"][0]["checkpoints"]] == [20, 300]
