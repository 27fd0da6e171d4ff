"""The tables, the charts and the records of a sweep."""

import re
from xml.etree import ElementTree

import pytest
from unit.reports.documents.reading import Tags, cell, charts, labels, shown, tables, titles
from unit.reports.sweep_cases import ALPHA, FRACTION, KIND, RATIOS, STEPS, make_sweep

from mlbench.compare.sweep import Sweep, SweepAxis, from_json
from mlbench.io.document import to_json
from mlbench.reports.chart import Chart, chart_svg
from mlbench.reports.documents.sweep import sweep_report
from mlbench.reports.formats import render
from mlbench.reports.formatting import p_text
from mlbench.reports.report import Table
from mlbench.reports.ternary import TernaryPlot
from mlbench.statistics.paired_tests import Tails

NASTY = "<b>|*x*`\x1b[31m"
SVG = "{http://www.w3.org/2000/svg}"


def nasty() -> Sweep:
    """Return a sweep whose arm has a name that would act in any format."""
    text = (
        make_sweep().model_dump_json().replace("alpha 0.5", "NASTY").replace("NASTY", NASTY.replace("\x1b", "\\u001b"))
    )
    return Sweep.model_validate_json(text)


def table(title: str, sweep: Sweep | None = None) -> Table:
    return next(each for each in tables(sweep_report(sweep or make_sweep())) if each.title == title)


class TestTables:
    def test_a_figure_has_mean_interval_spread_and_mark(self) -> None:
        arms = table("All arms")
        found = cell(arms, "alpha 0.5", "mAP cross")
        assert (found.text, found.notes, found.mark) == (".181", ("[.161, .201]", ".180 to .182"), "*")
        assert found.style == "strong"
        found = cell(arms, "alpha 1", "rank distance")
        assert (found.text, found.notes[0], found.mark) == ("4,892", "[4,562, 5,222]", "")
        assert found.style == "plain"

    def test_what_an_arm_has_no_number_of_is_a_dot(self) -> None:
        sweep = make_sweep()
        (task,) = sweep.tasks
        row = task.rows[1].model_copy(update={"figures": task.rows[1].figures[1:]})
        task = task.model_copy(update={"rows": (task.rows[0], row, task.rows[2])})
        arms = table("All arms", sweep.model_copy(update={"tasks": (task,)}))
        assert (cell(arms, "alpha 0", "mAP mono").text, cell(arms, "alpha 0", "mAP cross").text) == ("·", ".161")

    def test_a_best_value_that_is_not_significant_has_another_mark(self) -> None:
        task = make_sweep().tasks[0]
        claims = [claim.model_copy(update={"significant": False}) for claim in task.claims]
        unsure = make_sweep().model_copy(update={"tasks": (task.model_copy(update={"claims": tuple(claims)}),)})
        assert cell(table("All arms", unsure), "alpha 0.5", "mAP cross").mark == "~"

    def test_a_best_value_that_nothing_tests_has_a_mark_of_its_own(self) -> None:
        assert cell(table("All arms"), "alpha 0.5", "rank distance median").mark == "?"

    def test_arms_say_what_must_be_known_of_them(self) -> None:
        assert [row.label.notes for row in table("All arms").rows] == [("base",), ("confounded: rows",), ()]

    def test_a_difference_has_sign_interval_p_and_seed_pairs(self) -> None:
        differences = table("Differences from alpha 1")
        found = cell(differences, "alpha 0", "mAP cross")
        assert (found.text, found.mark, found.style) == ("+.020", "*", "strong")
        assert found.notes == ("[+.010, +.030]", "p .0007, 4/4", "+.018 to +.022")
        assert cell(differences, "alpha 0", "own language preference").text == "-.040"
        # What nothing is tested of has no p.
        assert cell(differences, "alpha 0", "max rank norm").notes[1] == "4/4"

    def test_a_column_without_differences_is_left_out(self) -> None:
        sweep = make_sweep()
        (task,) = sweep.tasks
        pairs = tuple(pair.model_copy(update={"lines": pair.lines[1:]}) for pair in task.pairs)
        task = task.model_copy(update={"pairs": pairs})
        differences = table("Differences from alpha 1", sweep.model_copy(update={"tasks": (task,)}))
        assert titles(differences)[0] == "mAP cross"

    def test_other_pairs_say_what_they_are_compared_with(self) -> None:
        others = table("Differences of all other pairs of arms")
        assert [(row.label.text, row.label.notes) for row in others.rows] == [("alpha 0.5", ("− alpha 0",))]

    def test_every_point_has_its_files(self) -> None:
        points = table("Every point, with its files beside this page", make_sweep(tasks=("xquad-r", "mlqa-r")))
        assert labels(points) == ["alpha 1", "alpha 0", "alpha 0.5"] * 2
        assert titles(points) == ["seed", "updates", "rows and views", "checkpoint", "mlqa-r", "xquad-r"]
        assert [each.link for each in points.rows[3].cells] == [
            *("", "", "", "checkpoints/0-1"),
            *("results/0-1/mlqa-r.json", "results/0-1/xquad-r.json"),
        ]
        assert cell(points, "alpha 0", "updates").text == "300"

    @pytest.mark.parametrize(("p", "text"), [(0.0312, ".0312"), (0.00002, "< .0001"), (1.0, "1.0000")])
    def test_p_values_are_never_zero(self, p: float, text: str) -> None:
        assert p_text(p) == text


class TestScreen:
    @pytest.mark.parametrize("width", [50, 80, 100, 140, 200])
    def test_fits_the_terminal_and_says_what_does_not(self, width: int) -> None:
        text = shown(sweep_report(make_sweep()), width)
        assert max(map(len, text.splitlines())) <= width
        assert ("no room for" in text) == (width < 130)
        assert ".181" in text

    def test_shows_everything_where_there_is_room(self) -> None:
        text = shown(sweep_report(make_sweep()), 160)
        for part in (".181*", "[.161, .201]", ".180 to .182", "+.040*", "p .0007, 4/4", "confounded: rows", "base"):
            assert part in text, part
        assert "mAP cross: alpha 0.5 is best, alpha 0 second; +.020, p .0007: significant" in text
        assert "rank distance median: alpha 0.5 is best, alpha 0 second; -250.0: not tested" in text
        assert "95 % intervals: 2,000 resamples of 48 clusters" in text
        assert "All other pairs of arms" in text

    def test_arms_say_what_they_are_where_there_is_no_room_for_intervals(self) -> None:
        text = shown(sweep_report(make_sweep()), 80)
        assert "[.161" not in text
        assert "confounded: rows" in text

    def test_one_seed_has_no_spread(self) -> None:
        text = shown(sweep_report(make_sweep(seeds=1)), 160)
        assert " to " not in text.replace("nearest to", "")
        assert "pairs of seeds" not in text

    def test_one_arm_is_compared_with_nothing(self) -> None:
        axis = ALPHA.model_copy(update={"values": (1,)})
        text = shown(sweep_report(make_sweep((axis,))), 120)
        assert "ifference" not in text
        assert "best" not in text


class TestMarkdown:
    def test_every_table_is_even(self) -> None:
        text = render("markdown", sweep_report(make_sweep((ALPHA, FRACTION)))).decode()
        found = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
        assert len(found) == 3
        for each in found:
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in each}) == 1
        assert [len(each) for each in found] == [2 + 6, 2 + 5, 2 + 10]

    def test_marks_are_no_emphasis(self) -> None:
        text = render("markdown", sweep_report(make_sweep())).decode()
        assert "**.181\\***<br>" in text
        assert not re.search(r"(?<!\\)[*~]", text.replace("**", ""))

    def test_says_what_was_swept_and_on_what(self) -> None:
        text = render("markdown", sweep_report(make_sweep())).decode()
        assert text.startswith(
            "### Sweep of toy\n\nMade-up words\n\nalpha 1, 0, 0.5; steps 300; 3 arms; 2 seeds; base "
        )
        assert "\n#### xquad-r (version 1)\n" in text


class TestPage:
    def test_has_the_numbers_of_every_task_and_the_files_of_every_point(self) -> None:
        page = render("html", sweep_report(make_sweep((ALPHA, FRACTION), tasks=("xquad-r", "mlqa-r")))).decode()
        tags = Tags(page)
        assert {"table", "svg", "figure", "figcaption", "caption", "details"} <= tags.names
        assert page.count("<svg") == 2 * 6
        for part in ("<strong>", "[.121, .161]", "p .0007", "confounded: rows", "4/4", "What is best", "mlqa-r"):
            assert part in page, part
        assert "results/0-0/mlqa-r.json" in tags.links

    def test_a_sweep_of_one_arm_has_one_too(self) -> None:
        page = render("html", sweep_report(make_sweep((ALPHA.model_copy(update={"values": (1,)}),)))).decode()
        assert "details" not in Tags(page).names


@pytest.mark.parametrize("name", ["console", "markdown", "html", "csv", "latex", "svg"])
def test_names_do_nothing(name: str) -> None:
    text = render(name, sweep_report(nasty())).decode()
    assert "\x1b" not in text
    if name == "html":
        assert "&lt;b&gt;" in text
        assert "<b>" not in text
    if name == "markdown":
        assert "<b>" not in re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text).replace("<br>", "")


class TestCharts:
    def test_a_sweep_of_alpha_has_three(self) -> None:
        assert [chart.title for chart in charts(sweep_report(make_sweep()))] == [
            "Cross-lingual against monolingual mAP, by alpha",
            "Rank distance by alpha",
            "Own language preference by alpha",
        ]

    def test_arms_are_joined_in_the_order_of_their_values_with_the_exact_numbers(self) -> None:
        found = chart(make_sweep(seeds=1), "Rank distance by alpha")
        (series,) = found.series
        assert [mark.exact.split(" [")[0] for mark in series.means] == [
            *("alpha 0: 4,578", "alpha 0.5: 4,248", "alpha 1: 4,908"),
        ]
        assert series.means[0].exact == "alpha 0: 4,578 [4,248, 4,908]"
        assert [mark.interval is None for mark in series.means] == [False] * 3
        assert found.words == f"Rank distance by alpha: {'; '.join(mark.exact for mark in series.means)}"
        assert {"0", "0.5", "1", "alpha", "rank distance"} <= set(texts(found))

    def test_means_stand_by_both_kinds_with_their_values(self) -> None:
        (series,) = chart(make_sweep(seeds=1), "Cross-lingual against monolingual mAP, by alpha").series
        assert [(round(mark.x, 3), round(mark.y, 3), mark.label) for mark in series.means] == [
            *((0.534, 0.16, "0"), (0.538, 0.18, "0.5"), (0.53, 0.14, "1")),
        ]
        assert series.means[0].exact == "alpha 0: mono .5340, cross .1600"

    def test_single_seeds_are_shown_where_there_are_several(self) -> None:
        for title in ("Cross-lingual against monolingual mAP, by alpha", "Rank distance by alpha"):
            one, three = (chart(make_sweep(seeds=seeds), title).series[0] for seeds in (1, 3))
            assert (len(one.seeds), len(three.seeds)) == (0, 9)

    @pytest.mark.parametrize("axes", [(ALPHA, FRACTION), (FRACTION, ALPHA)])
    def test_data_fractions_give_scaling_on_a_logarithmic_axis(self, axes: tuple[SweepAxis, ...]) -> None:
        sweep = make_sweep(axes)
        found = {each.title for each in charts(sweep_report(sweep))}
        assert {f"{kind} mAP by data fraction" for kind in ("Monolingual", "Cross-lingual", "Multilingual")} <= found
        scaling = chart(sweep, "Cross-lingual mAP by data fraction")
        assert (scaling.x.title, scaling.x.log) == ("data fraction, logarithmic", True)
        assert {each.name for each in scaling.series} == {"alpha 0", "alpha 0.5", "alpha 1"}
        assert [len(each.means) for each in scaling.series] == [2] * 3
        # Bias is shown by the first key, own-language preference by alpha wherever it stands.
        assert f"Rank distance by {'alpha' if axes[0] is ALPHA else 'data fraction'}" in found
        assert "Own language preference by alpha" in found

    def test_budgets_are_drawn_by_all_batches_and_by_cross_lingual_ones(self) -> None:
        sweep = make_sweep((ALPHA, STEPS))
        found = {each.title for each in charts(sweep_report(sweep))}
        subjects = ("Cross-lingual mAP", "Own language preference", "Rank distance")
        assert {f"{subject} by {what}" for subject in subjects for what in ("steps", "cross-lingual batches")} <= found
        every, crossing = (chart(sweep, f"Rank distance by {what}") for what in ("steps", "cross-lingual batches"))
        assert {each.name: [mark.x for mark in each.means] for each in every.series} == {
            f"alpha {alpha}": [1000, 2000] for alpha in ("0", "0.5", "1")
        }
        # Monolingual batches alone are nowhere on this axis.
        assert {each.name: [mark.x for mark in each.means] for each in crossing.series} == {
            "alpha 0": [1000, 2000],
            "alpha 0.5": [500, 1000],
            "alpha 1": [],
        }
        assert crossing.x.log

    def test_values_that_are_no_numbers_stand_side_by_side(self) -> None:
        assert chart(make_sweep((KIND,)), "Rank distance by monolingual").x.ticks == ((0.0, "mono"), (1.0, "mixed"))

    def test_the_first_key_with_numbers_is_chosen(self) -> None:
        assert chart(make_sweep((KIND, ALPHA)), "Rank distance by alpha").series[0].name == "monolingual mono"

    def test_what_has_no_numbers_is_left_out(self) -> None:
        sweep = make_sweep()
        (task,) = sweep.tasks
        rows = tuple(
            row.model_copy(update={"figures": tuple(f for f in row.figures if f.kind == "monolingual")})
            for row in task.rows
        )
        task = task.model_copy(update={"rows": rows})
        assert charts(sweep_report(sweep.model_copy(update={"tasks": (task,)}))) == []


class TestTriangles:
    """Sweeps over shares of three kinds of batches."""

    def plots(self, sweep: Sweep) -> list[TernaryPlot]:
        found = charts(sweep_report(sweep))
        assert all(isinstance(each, TernaryPlot) for each in found)
        return [each for each in found if isinstance(each, TernaryPlot)]

    def test_each_figure_has_one(self) -> None:
        found = self.plots(make_sweep((RATIOS,)))
        assert [each.title for each in found] == [
            "Monolingual mAP by ratios",
            "Cross-lingual mAP by ratios",
            "Multilingual mAP by ratios",
            "Rank distance by ratios",
            "Own language preference by ratios",
        ]
        assert {each.corners for each in found} == {("mono", "cross", "mixed")}
        assert [each.shares for each in found[0].points] == [(1, 0, 0), (0.5, 0.25, 0.25), (0, 1, 0)]
        assert found[0].points[1].text == ".534"
        assert found[0].points[1].exact == "ratios mono 0.5 cross 0.25 mixed 0.25: .534 [.530, .538]"

    def test_rings_are_those_of_the_claim_and_the_test_of_the_two_arms(self) -> None:
        sweep = make_sweep((RATIOS,))
        (task,) = sweep.tasks
        for name, kind, title in (
            ("AP", "monolingual", "Monolingual mAP by ratios"),
            ("own_language_preference", None, "Own language preference by ratios"),
        ):
            claim = task.claim(name, kind)  # type: ignore[arg-type]
            plot = next(each for each in self.plots(sweep) if each.title == title)
            best = [each.exact.partition(":")[0] for each in plot.points if each.standing == "best"]
            assert claim is not None
            assert best == [claim.best]
            # All pairs of these sweeps are tested, and significant.
            assert {each.standing for each in plot.points} == {"best", "plain"}

    def test_what_is_not_significantly_different_from_the_best_is_tied(self) -> None:
        sweep = make_sweep((RATIOS,))
        (task,) = sweep.tasks
        unsure = Tails(two_sided=0.2, greater=0.1, less=0.9)
        best = task.claim("AP", "monolingual")
        assert best is not None
        pairs = [
            pair.model_copy(
                update={"lines": tuple(line.model_copy(update={"adjusted": unsure}) for line in pair.lines)}
            )
            if {pair.base, pair.candidate} == {best.best, best.second}
            else pair
            for pair in task.pairs
        ]
        changed = sweep.model_copy(update={"tasks": (task.model_copy(update={"pairs": tuple(pairs)}),)})
        standings = [each.standing for each in self.plots(changed)[0].points]
        assert sorted(standings) == ["best", "plain", "tied"]

    def test_other_keys_have_triangles_of_their_own(self) -> None:
        found = self.plots(make_sweep((RATIOS, FRACTION)))
        titles = [each.title for each in found]
        assert titles[0] == "Monolingual mAP by ratios, data fraction 0.1"
        assert titles[5] == "Monolingual mAP by ratios, data fraction 1"
        assert [len(each.points) for each in found] == [3] * 10
        assert [sum(point.standing == "best" for point in each.points) for each in found] == [1] * 10

    def test_a_document_that_was_read_again_looks_the_same(self) -> None:
        sweep = make_sweep((RATIOS,))
        again = from_json(to_json(sweep).encode())
        assert render("html", sweep_report(again)) == render("html", sweep_report(sweep))

    def test_the_values_stand_in_the_table_and_the_keys_are_told_short(self) -> None:
        sweep = make_sweep((RATIOS,))
        assert cell(table("All arms", sweep), "ratios mono 0.5 cross 0.25 mixed 0.25", "mAP mono").text == ".534"
        page = render("markdown", sweep_report(sweep)).decode()
        assert "ratios of mono, cross, mixed; steps 300; 3 arms" in page
        assert render("html", sweep_report(sweep)).decode().count("not significantly different from the best") == 1
        assert render("svg", sweep_report(sweep)).decode().count("<svg ") == 6


def chart(sweep: Sweep, title: str) -> Chart:
    found = next(each for each in charts(sweep_report(sweep)) if each.title == title)
    assert isinstance(found, Chart)
    return found


def texts(drawn: Chart) -> list[str]:
    return [str(text.text) for text in ElementTree.fromstring(chart_svg(drawn)).iter(f"{SVG}text")]


def test_records_are_every_figure_and_every_difference_with_their_seeds() -> None:
    sweep = make_sweep(tasks=("xquad-r", "mlqa-r"))
    records = sweep_report(sweep).records
    task = sweep.tasks[0]
    figures = len(task.rows) * len(task.rows[0].figures)
    differences = len(task.pairs) * len(task.pairs[0].lines)
    assert len(records) == 2 * (figures * (1 + 2) + differences * (1 + 2 * 2))
    assert len({tuple(record) for record in records}) == 1
    wanted = {"task": "xquad-r", "arm": "alpha 0", "measure": "AP", "kind": "cross_lingual"}
    of_arm = [each for each in records if wanted.items() <= each.items() and each["base"] is None]
    figure = task.rows[1].figure("AP", "cross_lingual")
    assert figure is not None
    assert figure.interval is not None
    assert [(each["seed"], each["value"]) for each in of_arm] == [(None, figure.mean), *enumerate(figure.values)]
    assert (of_arm[0]["low"], of_arm[0]["high"], of_arm[0]["p"]) == (figure.interval.low, figure.interval.high, None)
    from_base = [each for each in records if wanted.items() <= each.items() and each["base"] == "alpha 1"]
    line = task.pairs[0].line("AP", "cross_lingual")
    assert line is not None
    assert (from_base[0]["value"], from_base[0]["p"]) == (line.difference, 0.0007)
    assert [(each["base_seed"], each["seed"], each["value"]) for each in from_base[1:]] == [
        (base, seed, line.seed_pairs[base][seed]) for base in (0, 1) for seed in (0, 1)
    ]
