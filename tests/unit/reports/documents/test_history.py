"""Histories as tables, charts and records."""

import io
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from rich.console import Console
from unit.compare.checkpoints import SMALL, filed, result, steps
from unit.reports.conftest import HOSTILE, UNSEEN, spoil

from mlbench.compare.history import History, history
from mlbench.errors import UserError
from mlbench.reports.documents.history import history_report
from mlbench.reports.formats import render
from mlbench.reports.writers.console import ConsoleReport

SVG = "{http://www.w3.org/2000/svg}"


def show(found: History, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(ConsoleReport(history_report(found)))
    return [line.rstrip() for line in captured.get().splitlines()]


def history_svg(found: History) -> str:
    return render("svg", history_report(found)).decode()


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

    def test_the_rank_distance_is_missed_least(self) -> None:
        (line,) = (line for line in show(history(filed(steps(20, 300))), 78) if line.startswith("no room for"))
        assert line.startswith("no room for rank distance:")

    def test_one_checkpoint_changed_from_nothing(self) -> None:
        text = "\n".join(show(history(filed([result()]))))
        assert "1 checkpoint by time" in text
        assert "Change" not in text

    def test_without_bias_scores_there_are_no_columns_of_them(self) -> None:
        text = "\n".join(show(history(filed([result().model_copy(update={"bias": None})]))))
        assert "preference" not in text

    def test_what_is_partial_is_said(self) -> None:
        partial = result()
        task = partial.task.model_copy(update={"partial": True, "limit": 5})
        text = "\n".join(show(history(filed([partial.model_copy(update={"task": task})])), 140))
        assert "partial: de, en, th; quick look: 5 topics, not comparable" in text

    def test_data_that_are_not_comparable_are_told_apart(self) -> None:
        text = "\n".join(show(history(filed([result("a"), result("b"), result("c", data="0" * 64)])), 140))
        assert "data ffffffff, one of 2 that are not comparable" in text
        assert "not comparable" not in "\n".join(show(history(filed([result()]))))

    def test_resamples_are_told_where_all_agree(self) -> None:
        other = result("b")
        other = other.model_copy(update={"statistics": other.statistics.model_copy(update={"resamples": 500})})
        assert "2,000 resamples" in "\n".join(show(history(filed([result()]))))
        assert "resamples" not in "\n".join(show(history(filed([result(), other]))))

    def test_without_series_there_is_none(self) -> None:
        assert show(History(series=())) == []

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
        assert [label.split(" by training steps: ")[0] for label in labels] == [
            "mAP",
            "own language preference",
            "rank distance",
        ]
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

    def test_without_series_there_is_nothing_to_draw(self) -> None:
        with pytest.raises(UserError, match="this one has none"):
            history_svg(History(series=()))


class TestRecords:
    def test_are_every_figure_of_every_checkpoint(self) -> None:
        found = history(filed(steps(20, 300)))
        records = history_report(found).records
        (series,) = found.series
        assert len({tuple(record) for record in records}) == 1
        figures = [
            (checkpoint.name, figure.name, figure.kind, figure.value, figure.from_previous)
            for checkpoint in series.checkpoints
            for figure in checkpoint.figures
            if figure.value is not None
        ]
        assert [
            tuple(record[key] for key in ("checkpoint", "measure", "kind", "value", "from_previous"))
            for record in records
        ] == figures
        assert len(figures) == 2 * 5

    def test_have_bounds_where_there_is_an_interval(self) -> None:
        (record, *_) = history_report(history(filed([result(value=0.5)]))).records
        assert (record["value"], record["low"], record["high"]) == (0.5, 0.48, 0.51)
        without = result("a").model_copy(update={"bias": None})
        records = history_report(history(filed([without, result("b")]))).records
        assert next(record["value"] for record in records if record["measure"] == "rank_distance") is None
