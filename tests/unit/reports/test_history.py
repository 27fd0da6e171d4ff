"""Histories: which results share a series, in which order, what changed, and how it is shown."""

import io
import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from unit.reports.conftest import HOSTILE, TRAINING, UNSEEN, make_result, spoil

from mlbench.collection.languages import TEXT_KINDS
from mlbench.errors import UnknownName, UserError
from mlbench.io.document import to_json
from mlbench.reports.formatting import harmless
from mlbench.reports.history.content import History, Order, history, quantities
from mlbench.reports.history.render import history_report, history_svg
from mlbench.results import Aggregate, Bounds, Result

SVG = "{http://www.w3.org/2000/svg}"
SMALL = make_result(("de", "en", "th"))


def result(
    spec: str = "model",
    *,
    value: float | None = None,
    preference: float | None = None,
    steps: int | None = None,
    recipe: str = "toy",
    finished: str = "2026-11-20T12:00:00+00:00",
    data: str = "f" * 64,
    fingerprint: str = "e" * 64,
) -> Result:
    """Make a result with a value of its own for the monolingual mean."""
    training = TRAINING.model_copy(update={"steps": steps, "recipe": {"name": recipe, "steps": steps}})
    retriever = {"spec": spec, "fingerprint": fingerprint, "training": training if steps is not None else None}
    changed = SMALL.model_copy(
        update={
            "retriever": SMALL.retriever.model_copy(update=retriever),
            "task": SMALL.task.model_copy(update={"fingerprint": data}),
            "cost": SMALL.cost.model_copy(update={"finished_at": finished}),
            "aggregates": tuple(_with_value(each, value) for each in SMALL.aggregates),
        }
    )
    if preference is None or changed.bias is None:
        return changed
    scores = tuple(
        score.model_copy(update={"value": preference}) if score.name == "own_language_preference" else score
        for score in changed.bias.scores
    )
    return changed.model_copy(update={"bias": changed.bias.model_copy(update={"scores": scores})})


def _with_value(aggregate: Aggregate, value: float | None) -> Aggregate:
    if value is None or aggregate.kind != "monolingual" or aggregate.query_language is not None:
        return aggregate
    bounds = Bounds(low=value - 0.02, high=value + 0.01)
    measures = {**aggregate.measures, "AP": value}
    return aggregate.model_copy(update={"measures": measures, "intervals": {**aggregate.intervals, "AP": bounds}})


def filed(results: Iterable[Result]) -> list[tuple[str, Result]]:
    return [(f"{number}.json", each) for number, each in enumerate(results)]


def names(found: History) -> list[list[str]]:
    return [[checkpoint.name for checkpoint in series.checkpoints] for series in found.series]


def show(found: History, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(history_report(harmless(found)))
    return [line.rstrip() for line in captured.get().splitlines()]


def steps(*values: int, recipe: str = "toy") -> list[Result]:
    return [result(f"ck/step-{n}", value=0.5 + n / 10_000, steps=n, recipe=recipe) for n in values]


class TestSeries:
    def test_results_on_other_data_never_share_one(self) -> None:
        found = history(filed([result("a"), result("b"), result("c", data="0" * 64)]))
        assert names(found) == [["a", "b"], ["c"]]
        assert [series.fingerprint for series in found.series] == ["f" * 64, "0" * 64]
        text = "\n".join(show(found, 140))
        assert "data ffffffff, one of 2 that are not comparable" in text
        assert "not comparable" not in "\n".join(show(history(filed([result()]))))

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
        assert "2,000 resamples" not in "\n".join(show(history(filed([result(), other]))))

    def test_nothing_gives_no_series(self) -> None:
        assert history([], task="xquad-r", measure="AP") == History(series=())
        assert show(History(series=())) == []


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


class TestTable:
    @pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
    def test_keeps_within_the_width(self, width: int) -> None:
        for results in (steps(20, 300, 1000), [result("a name of some length/" * 4), result("b")], [result()]):
            assert max(map(len, show(history(filed(results)), width))) <= width

    @pytest.mark.parametrize("width", [80, 100, 140])
    def test_has_values_intervals_and_changes(self, width: int) -> None:
        text = "\n".join(show(history(filed(steps(20, 300, 1000))), width))
        for part in ("3 checkpoints by training steps", "step-1000", ".502", "[.482, .512]", ".600*", "+.070", "+.028"):
            assert part in text, part

    def test_says_what_found_no_room(self) -> None:
        narrow, wide = ("\n".join(show(history(filed(steps(20, 300))), width)) for width in (50, 160))
        assert "no room for" in narrow
        assert "no room for" not in wide

    def test_one_checkpoint_changed_from_nothing(self) -> None:
        text = "\n".join(show(history(filed([result()]))))
        assert "1 checkpoint by time" in text
        assert "change" not in text

    def test_without_bias_scores_there_are_no_columns_of_them(self) -> None:
        text = "\n".join(show(history(filed([result().model_copy(update={"bias": None})]))))
        assert "preference" not in text

    def test_what_is_partial_is_said(self) -> None:
        partial = result()
        task = partial.task.model_copy(update={"partial": True, "limit": 5})
        text = "\n".join(show(history(filed([partial.model_copy(update={"task": task})])), 140))
        assert "partial: de, en, th; quick look: 5 topics, not comparable" in text

    def test_nothing_in_a_name_acts_unseen(self) -> None:
        text = "\n".join(show(history(filed([spoil(SMALL), result("b")])), 140))
        assert "\x1b" not in text
        assert "\u202e" not in text


class TestDrawing:
    def read(self, found: History) -> ElementTree.Element:
        return ElementTree.fromstring(history_svg(found).encode())

    def charts(self, found: History) -> list[str]:
        return [each.attrib["aria-label"] for each in self.read(found).findall(f"{SVG}svg") if each.get("role")]

    def test_has_a_chart_for_quality_and_for_each_bias_score(self) -> None:
        labels = self.charts(history(filed(steps(20, 300, 1000))))
        assert [label.split(":")[0] for label in labels] == ["mAP", "own language preference", "rank distance"]
        assert "step-1000, mAP mono: .600 [.580, .610]" in labels[0]

    def test_every_value_has_its_interval_and_an_exact_tooltip(self) -> None:
        root = self.read(history(filed(steps(20, 300, 1000))))
        titles = [each.text or "" for each in root.iter(f"{SVG}title")]
        assert len(titles) == 3 * 5
        mean = next(each for each in root.findall(f"{SVG}svg"))
        intervals = [path for path in mean.iter(f"{SVG}path") if "V" in path.attrib["d"] and "stroke" in path.attrib]
        assert len(intervals) == 3 * 3

    def test_steps_stand_at_their_numbers_and_others_at_equal_distances(self) -> None:
        for by, even in (("steps", False), ("name", True)):
            root = self.read(history(filed(steps(100, 200, 1000)), by=by))  # type: ignore[arg-type]
            (chart, *_) = root.findall(f"{SVG}svg")
            at = [float(group[1].attrib["cx"]) for group in chart.iter(f"{SVG}g") if group[1].tag == f"{SVG}circle"]
            gaps = [after - before for before, after in pairwise(at)]
            assert (gaps[1] == pytest.approx(gaps[0], abs=0.3)) is even

    def test_numbers_on_an_axis_are_explained(self) -> None:
        texts = [each.text or "" for each in self.read(history(filed(map(result, "ab")))).iter(f"{SVG}text")]
        assert {"1  a", "2  b"} <= set(texts)
        many = [
            each.text or "" for each in self.read(history(filed(result(f"m{n}") for n in range(40)))).iter(f"{SVG}text")
        ]
        assert "and 25 more" in many

    def test_nothing_stands_outside_and_panels_do_not_overlap(self) -> None:
        root = self.read(history(filed([*steps(20, 300), result("c", data="0" * 64)])))
        width, height = (float(root.attrib[key]) for key in ("width", "height"))
        boxes = [
            tuple(float(each.attrib[key]) for key in ("x", "y", "width", "height"))
            for each in root.findall(f"{SVG}svg")
        ]
        assert len(boxes) == 3 + 4
        for x, y, w, h in boxes:
            assert x >= 0
            assert x + w <= width
            assert y + h <= height
        for place, (x, y, w, h) in enumerate(boxes):
            for other, (x2, y2, w2, h2) in enumerate(boxes):
                assert place == other or x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y

    def test_is_light_or_dark_and_needs_nothing_else(self) -> None:
        svg = history_svg(history(filed([result()])))
        assert "prefers-color-scheme:dark" in svg
        assert svg.count("://") == svg.count("http://www.w3.org/2000/svg")

    def test_names_are_escaped(self) -> None:
        svg = history_svg(history(filed([spoil(SMALL), result(HOSTILE + UNSEEN)])))
        root = ElementTree.fromstring(svg.encode())
        assert {each.tag for each in root.iter()} <= {
            SVG + tag for tag in ("svg", "style", "rect", "text", "path", "g", "title", "circle")
        }

    def test_without_series_it_is_empty(self) -> None:
        assert self.read(History(series=())).findall(f"{SVG}svg") == []


def test_the_document_is_json_with_sorted_keys() -> None:
    text = to_json(history(filed(steps(20, 300))))
    document = json.loads(text)
    assert History.model_validate(document) == history(filed(steps(20, 300)))
    assert list(document["series"][0]) == sorted(document["series"][0])
    assert [each["steps"] for each in document["series"][0]["checkpoints"]] == [20, 300]
