"""Comparisons: what their reports say, and how they look on a screen and as a comment."""

import io
import re
from collections.abc import Iterator, Sequence
from html import unescape
from itertools import product
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from unit.reports.comparison_cases import LEVEL, floor, make_check, make_comparison, make_task, required, spoiled

from mlbench.compare.document import Check, Comparison, TaskComparison
from mlbench.compare.gate import Rule
from mlbench.reports.documents.comparison import LONGEST, bound_text, check_title, comparison_report, side
from mlbench.reports.formats import render
from mlbench.reports.formatting import Quantity, signed
from mlbench.reports.report import Block, Bullets, Cell, HeatMap, Report, Section, Sentence, Table
from mlbench.reports.writers.console import ConsoleReport
from mlbench.reports.writers.markdown import write_markdown

GOLDEN = Path(__file__).parents[3] / "golden"
LANGUAGES = ("de", "en", "th")
TASK = make_task("xquad-r", LANGUAGES)
BY_LANGUAGE = "Difference of mAP by query language"
WORST, EVERY = "Settings that lose most mAP", "mAP of all settings"
OTHERS, LINES = "Measures and bias scores that are not tested", "Lines of the gate"


def of(task: TaskComparison) -> Report:
    return comparison_report(make_comparison().model_copy(update={"tasks": (task,)}))


def with_checks(*checks: Check) -> Report:
    return comparison_report(make_comparison().model_copy(update={"tasks": (), "checks": checks}))


def each_block(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from each_block(block.blocks)


def sentences(report: Report) -> list[str]:
    return [block.text for block in each_block(report.blocks) if isinstance(block, Sentence) and block.parts]


def table(report: Report, title: str) -> dict[str, list[str]]:
    """Return the cells of a table by their labels, the notes behind their texts; of one that is not there, none."""
    found = [block for block in each_block(report.blocks) if isinstance(block, Table) and block.title == title]
    return {row.label.text: [written(cell) for cell in row.cells] for each in found for row in each.rows}


def written(cell: Cell) -> str:
    return " ".join([f"{cell.text}{cell.mark}", *cell.notes])


def failures(*checks: Check) -> list[str]:
    blocks = each_block(with_checks(*checks).blocks)
    return [item.text for block in blocks if isinstance(block, Bullets) for item in block.items]


def heat_map(report: Report) -> HeatMap:
    (found,) = [block for block in each_block(report.blocks) if isinstance(block, HeatMap)]
    return found


@pytest.mark.parametrize(
    ("report", "title"),
    [
        (comparison_report(make_comparison()), "Failed: 5 of 13 gate lines; x-x-mono against hybrid"),
        (comparison_report(make_comparison(fall=0)), "Passed: 13 gate lines, none failed; x-x-mono against hybrid"),
        (with_checks(), "Passed: the gate has no line for what was compared"),
        (with_checks(required("mini", passed=True)), "Passed: 1 gate line, none failed"),
        (with_checks(required("mini", passed=False)), "Failed: 1 of 1 gate line"),
    ],
)
def test_the_verdict_comes_first_and_counts_lines(report: Report, title: str) -> None:
    (section,) = report.blocks
    assert isinstance(section, Section)
    assert report.title == section.text == title


class TestFailures:
    def test_means_come_first_and_many_languages_share_a_sentence(self) -> None:
        told = failures(*TASK.checks)
        assert told[0] == "xquad-r: mAP cross fell by 0.0300 (p = 0.0003)"
        assert told[1].startswith("xquad-r: own language preference fell by 0.0400")
        assert len(told) == 3
        together = "xquad-r: mAP cross of 3 query languages fell by significantly more than .005: de -.0"
        assert told[2].startswith(together)
        assert told[2].count("-.0") == 3

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ("point", "fell by more than .005: de"),
            ("non_inferior", "are not shown to have fallen by less than .005: de"),
        ],
    )
    def test_each_rule_has_its_words(self, rule: Rule, said: str) -> None:
        assert said in failures(*make_task("t", LANGUAGES, rule=rule).checks)[2]

    def test_few_languages_have_their_reasons(self) -> None:
        found = [check for check in TASK.checks if not check.passed and check.subject and check.subject.query_language]
        assert [told.split(" fell")[0] for told in failures(*found[:2])] == [
            "xquad-r: mAP cross of de queries",
            "xquad-r: mAP cross of en queries",
        ]

    def test_floors_and_required_tasks_have_their_reasons(self) -> None:
        floors = [floor(0.3, 0.5, language) for language in LANGUAGES]
        told = failures(*floors, floor(0.6, 0.5), required("mini", passed=False))
        assert told[0] == "mini: missing in results/base"
        assert told[1:] == [
            f"xquad-r: mAP mono of {language} queries 0.3000 is below the floor of 0.5000" for language in LANGUAGES
        ]

    def test_other_tasks_and_other_bounds_do_not_share(self) -> None:
        one, other = TASK.checks, make_task("mlqa-r", LANGUAGES).checks
        order = ["xquad-r"] * 2 + ["mlqa-r"] * 2 + ["xquad-r", "mlqa-r"]
        assert [told.split(":")[0] for told in failures(*one, *other)] == order
        wider = [check.model_copy(update={"allowed": 0.01}) for check in one[:8]]
        assert len(failures(*wider, *one[8:])) == len(failures(*one)) + 2

    def test_nothing_failed_nothing_said(self) -> None:
        assert failures(*make_task("t", LANGUAGES, fall=0).checks) == []


class TestGateLines:
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
    def test_say_what_they_ask(self, check: Check, named: str) -> None:
        assert check_title(check) == named

    def test_have_different_names(self) -> None:
        floors = [floor(0.5, 0.4), *(floor(0.5, 0.4, language) for language in LANGUAGES)]
        names = [check_title(check) for check in (*TASK.checks, *floors)]
        assert len(set(names)) == len(names)

    def test_have_their_values_and_outcomes(self) -> None:
        lines = table(of(TASK), LINES)
        assert len(lines) == len(TASK.checks)
        assert lines["mAP cross: no significant drop beyond .005"] == [".200", ".170", ".0003", ".008", "failed"]
        floors = of(TASK.model_copy(update={"checks": (floor(0.6, 0.5),)}))
        assert table(floors, LINES) == {"mAP mono: at least .5": [".600", ".600", "", "", "passed"]}

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
    def test_bounds_keep_their_digits(self, bound: float | None, text: str) -> None:
        assert bound_text(bound) == text


class TestSides:
    seeds = TASK.base.model_copy(update={"files": ("1.json", "2.json", "3.json")})

    def test_are_named_once_with_their_seeds(self) -> None:
        assert side(self.seeds, TASK.candidate).text == "hybrid (3 seeds)"
        comparison = make_comparison(tasks=("xquad-r", "mlqa-r"))
        several = comparison.tasks[0].model_copy(update={"base": self.seeds})
        report = comparison_report(comparison.model_copy(update={"tasks": (several,)}))
        assert report.title.endswith("; x-x-mono against hybrid (3 seeds)")

    def test_of_one_name_are_told_apart_by_their_fingerprints(self) -> None:
        again = TASK.model_copy(update={"candidate": TASK.candidate.model_copy(update={"spec": TASK.base.spec})})
        assert of(again).title.endswith("; hybrid (bbbbbbbb) against hybrid (aaaaaaaa)")

    def test_that_differ_by_task_are_named_there(self) -> None:
        comparison = make_comparison(tasks=("xquad-r", "mlqa-r"))
        one, other = comparison.tasks
        other = other.model_copy(update={"base": other.base.model_copy(update={"spec": "static"})})
        lines = show(comparison.model_copy(update={"tasks": (one, other)}), 140)
        assert lines[0] == "Failed: 10 of 26 gate lines"
        assert "mlqa-r (version 1): x-x-mono against static" in lines


class TestDifferences:
    def test_have_values_intervals_and_tests(self) -> None:
        summary = table(of(TASK), "Means and bias scores")
        assert list(summary) == [
            "mAP mono",
            "mAP cross",
            "mAP multi",
            "own language preference",
            "rank distance",
            "rank distance median",
            "max rank norm",
        ]
        assert summary["mAP cross"] == [".200", ".170", "-.030 [-.034, -.026]", ".0003", "worse"]
        assert summary["mAP mono"][-1] == "not significant"
        assert summary["rank distance"] == ["4,521", "4,776", "+255 [+165, +346]", ".0003", "worse"]
        assert summary["rank distance median"] == ["3,718", "4,058", "+340", "", ""]

    def test_of_other_measures_are_not_tested(self) -> None:
        others = table(of(TASK), OTHERS)
        assert list(others) == [
            "R@1 mono",
            "nDCG@10 mono",
            "R@1 cross",
            "nDCG@10 cross",
            "R@1 multi",
            "nDCG@10 multi",
            "rank distance log2",
            "removal gap",
        ]
        assert all(row[-2:] == ["", ""] for row in others.values())

    def test_stand_beside_ideal_and_chance(self) -> None:
        told = " ".join(show(make_comparison(), 200))
        assert (
            "own language preference: ideal and chance .500; rank distance: ideal 10, chance 10,846; max rank" in told
        )

    def test_say_why_bias_scores_are_not_compared(self) -> None:
        reasons = dict.fromkeys(("rank_distance", "max_rank"), "lists leave out 30.0% of the relevant documents")
        tests = TASK.tests.model_copy(update={"untested": reasons})
        told = "\n".join(
            show(make_comparison().model_copy(update={"tasks": (TASK.model_copy(update={"tests": tests}),)}), 200)
        )
        assert "bias scores are not compared (rank distance, max rank): lists leave out 30.0% of" in told

    def test_of_languages_are_in_the_order_of_the_task(self) -> None:
        languages = ("th", "de", "en")
        rows = table(of(TASK.model_copy(update={"languages": languages})), BY_LANGUAGE)
        assert tuple(rows) == languages
        # Each kind has a difference with its mark and interval, and its p.
        assert rows["th"][2:4] == ["-.031* [-.035, -.027]", ".0003"]
        assert len(rows["th"]) == 6

    def test_of_settings_begin_with_the_largest_drop_and_the_worst_are_few(self) -> None:
        report = of(make_task("xquad-r", [f"a{letter}" for letter in "abcdef"]))
        settings, worst = table(report, EVERY), table(report, WORST)
        sizes = [float(row[2].split()[0]) for row in settings.values()]
        assert len(sizes) == 6 + 30 + 6
        assert sizes == sorted(sizes)
        assert list(worst) == list(settings)[:10]
        assert table(of(make_task("xquad-r", LANGUAGES, fall=0)), WORST) == {}

    def test_of_settings_have_those_of_other_measures_beside(self) -> None:
        settings = table(of(TASK), EVERY)
        assert all(len(row) == 8 and all(row) for row in settings.values())
        (line,) = [
            line
            for line in TASK.tests.lines
            if (line.name, line.query_language, line.document_languages) == ("R@1", "th", ("de",))
        ]
        assert settings["th → de"][5] == signed(Quantity("R@1", "cross_lingual"), line.difference)

    def test_of_settings_are_counted_by_verdict_and_kind(self) -> None:
        def counted(task: TaskComparison) -> list[str]:
            return [
                told
                for sentence in sentences(of(task))
                if "single setting" in sentence
                for told in sentence.split("; ")
            ]

        assert counted(TASK) == [
            "12 single settings: 0 better, 6 not significant, 6 worse",
            "mono 0 better, 3 not significant, 0 worse",
            "cross 0 better, 0 not significant, 6 worse",
            "multi 0 better, 3 not significant, 0 worse",
            "8 differ at a false discovery rate of .05",
        ]
        monolingual = make_task("t", LANGUAGES, kinds=["monolingual"])
        assert counted(monolingual) == [
            "3 single settings: 0 better, 3 not significant, 0 worse",
            "2 differ at a false discovery rate of .05",
        ]
        untested = TASK.model_copy(update={"verdicts": (None,) * len(TASK.verdicts)})
        assert counted(untested)[0] == "12 single settings: 12 not tested"
        empty = TASK.model_copy(update={"tests": TASK.tests.model_copy(update={"lines": ()}), "verdicts": ()})
        assert counted(empty) == []

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
    def test_have_a_sign_unless_they_are_written_as_zero(self, value: float | None, text: str) -> None:
        assert signed(Quantity("AP", "monolingual"), value) == text

    def test_are_all_in_the_records_in_full(self) -> None:
        report = comparison_report(make_comparison(tasks=("xquad-r", "mlqa-r")))
        assert len(report.records) == 2 * len(TASK.tests.lines)
        assert len({tuple(record) for record in report.records}) == 1
        line, record = TASK.tests.lines[0], report.records[0]
        assert line.adjusted is not None
        assert (record["task"], record["name"], record["verdict"]) == ("xquad-r", "AP", "not_significant")
        assert (record["difference"], record["p_adjusted_less"]) == (line.difference, line.adjusted.less)


class TestMap:
    def test_has_every_difference_with_sign_and_mark(self) -> None:
        shown = heat_map(of(TASK))
        assert [column.title for column in shown.columns] == [*LANGUAGES, "mean", "pool"]
        assert [row.label for row in shown.rows] == [*LANGUAGES, "mean"]
        texts = {row.label: [f"{cell.text}{cell.mark}" for cell in row.cells] for row in shown.rows}
        assert texts["de"] == ["+11", "-28*", "-26*", "-27", "-6"]
        # Those that max-T does not call significant, and Benjamini and Hochberg do.
        assert (texts["en"][1], texts["th"][2]) == ("-3°", "+3°")
        assert texts["mean"] == ["-30", "-29", "-26", "-29", "-6"]
        settings = table(of(TASK), EVERY)
        for row in shown.rows[:-1]:
            for column, cell in zip(shown.columns[:3], row.cells, strict=False):
                assert (cell.mark == "*") == (settings[f"{row.label} → {column.title}"][4] == "worse")
                assert cell.exact == f"{row.label} → {column.title}: {settings[f'{row.label} → {column.title}'][2]}"

    def test_colours_show_the_sign(self) -> None:
        shown = heat_map(of(TASK))
        (drop, rise) = (shown.scales[""].colour(value) for value in (-0.03, 0.03))
        assert drop[0] > drop[2]
        assert rise[2] > rise[0]
        coloured = next(line for line in show(make_comparison(), colour=True) if "-28*" in line)
        red, _, blue = (int(number) for number in coloured.split("48;2;")[2].split("m")[0].split(";")[:3])
        assert red > blue

    @pytest.mark.parametrize(
        ("change", "thousandths", "hundredths"),
        [(0.0, "0", "0"), (0.0004, "0", "0"), (-0.0213, "-21", "-2"), (0.12, "+120", "+12"), (-0.0006, "-1", "0")],
    )
    def test_has_whole_numbers(self, change: float, thousandths: str, hundredths: str) -> None:
        lines = tuple(line.model_copy(update={"difference": change}) for line in TASK.tests.lines)
        shown = heat_map(of(TASK.model_copy(update={"tests": TASK.tests.model_copy(update={"lines": lines})})))
        assert shown.coarser is not None
        assert {cell.text for row in shown.rows for cell in row.cells} == {thousandths}
        assert {cell.text for row in shown.coarser.rows for cell in row.cells} == {hundredths}

    def test_is_coarser_where_that_makes_room(self) -> None:
        task = make_task("t", [f"a{letter}" for letter in "klmnopqrstu"], fall=10)
        comparison = make_comparison().model_copy(update={"tasks": (task,)})
        assert any("in thousandths" in line for line in show(comparison, 120))
        narrow = show(comparison, 80)
        assert any("in hundredths" in line for line in narrow)
        assert not any("folded" in line for line in narrow)

    @pytest.mark.slow
    def test_without_room_there_is_a_line(self) -> None:
        languages = [f"{a}{b}" for a in "abc" for b in "klmnopqrst"]
        lines = show(make_comparison(languages), 40)
        told = " ".join(" ".join(lines).split())
        assert "the heat map of differences needs a wider terminal" in told
        assert "thousandths" not in told

    def test_is_not_there_without_cross_lingual_settings(self) -> None:
        report = of(make_task("t", ("de", "en"), kinds=["monolingual"]))
        assert not [block for block in each_block(report.blocks) if isinstance(block, HeatMap)]


class TestPower:
    def test_says_what_would_have_been_found(self) -> None:
        assert power(TASK) == [
            "power: this data would have found, four times of five, a drop of .008 in mAP mono (.012 in that of one "
            "query language), a drop of .008 in mAP cross (.012 in that of one query language), a drop of .008 in mAP "
            "multi (.012 in that of one query language) or a rise of .008 in own language preference"
        ]

    def test_ranges_over_query_languages(self) -> None:
        (sentence,) = power(make_task("xquad-r", ("en", "zh-hant")))
        assert "a drop of .008 in mAP mono (.012 to .017 in that of one query language)" in sentence

    def test_non_inferiority_has_margins(self) -> None:
        (sentence,) = power(make_task("xquad-r", LANGUAGES, rule="non_inferior"))
        assert sentence.startswith(
            "power: a candidate that is no worse would be shown to be so, four times of five, within"
        )
        assert " drop " not in sentence

    def test_lines_that_cannot_tell_are_counted(self) -> None:
        blind = tuple(check.model_copy(update={"detectable": None, "can_tell": False}) for check in TASK.checks[:3])
        some = TASK.model_copy(update={"checks": (*blind, *TASK.checks[3:])})
        told = "cannot tell: too few clusters of topics, or too few flips"
        assert power(some)[1] == f"power: 3 of {len(TASK.checks)} tested lines {told}"
        assert power(TASK.model_copy(update={"checks": blind})) == [f"power: 3 of 3 tested lines {told}"]
        assert power(TASK.model_copy(update={"checks": blind[:1]})) == [f"power: the only tested line {told}"]

    def test_lines_without_any_chance_in_them_are_counted(self) -> None:
        alike = tuple(check.model_copy(update={"detectable": None, "passed": False}) for check in TASK.checks[:2])
        told = "base and candidate differ by the same in every cluster"
        assert power(TASK.model_copy(update={"checks": alike})) == [f"power: not known for 2 of 2 tested lines: {told}"]

    def test_no_lines_no_words(self) -> None:
        assert power(TASK.model_copy(update={"checks": ()})) == []


def power(task: TaskComparison) -> list[str]:
    return [sentence for sentence in sentences(of(task)) if sentence.startswith("power: ")]


def test_how_it_was_made_is_said() -> None:
    said = sentences(of(TASK))[-1]
    assert said.startswith("95 % intervals: 2,000 resamples of 48 clusters")
    assert "p by a cluster-level sign-flip permutation test (10,000 flips), adjusted within aggregates" in said
    tests = TASK.tests.model_copy(update={"exact": True, "flips": 256, "n_base": 3, "n_candidate": 2})
    said = sentences(of(TASK.model_copy(update={"tests": tests})))[-1]
    assert "p by a cluster-level sign-flip permutation test (all 256 flips)" in said
    assert said.endswith(", topics averaged over seeds: 3 of the base, 2 of the candidate")


def test_what_is_partial_or_missing_is_said() -> None:
    assert "not compared, as only one side has it: mini" in sentences(of(TASK))
    nothing = make_comparison().model_copy(update={"uncompared": ()})
    assert not any("not compared" in told for told in sentences(comparison_report(nothing)))
    cut = of(TASK.model_copy(update={"shared_only": True, "limit": 20}))
    labels = "only the languages that both sides have: de, en, th; quick look: 20 topics, not comparable"
    assert labels in sentences(cut)
    assert labels not in sentences(of(TASK))


def test_the_factory_is_what_it_says() -> None:
    # What the other tests stand on.
    assert not make_comparison().passed
    assert make_comparison(fall=0).passed
    assert {line.base for line in TASK.tests.lines if line.kind == "monolingual"} == {LEVEL["monolingual"]}
    assert make_check("xquad-r", TASK.tests.lines[0]) == TASK.checks[0]


def show(comparison: Comparison, width: int = 80, *, every: bool = False, colour: bool = False) -> list[str]:
    console = Console(
        file=io.StringIO(),
        width=width,
        color_system="truecolor" if colour else None,
        force_terminal=colour,
        markup=False,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(ConsoleReport(comparison_report(comparison), full=every, more="--all"))
    return [line.rstrip() for line in captured.get().splitlines()]


class TestScreen:
    def test_is_as_it_was_agreed_on(self) -> None:
        # To agree on another: write what `show` returns into the file, and read it.
        assert show(make_comparison()) == (GOLDEN / "comparison.txt").read_text(encoding="utf-8").splitlines()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("number", "every"), [(1, True), (2, False), (2, True), (11, False), (11, True), (30, False)]
    )
    def test_keeps_within_the_width(self, number: int, every: bool) -> None:
        languages = [f"{a}{b}" for a in "abc" for b in "klmnopqrst"][:number]
        comparison = make_comparison(languages)
        for width in (40, 60, 80, 100, 140, 200):
            assert max(map(len, show(comparison, width, every=every))) <= width

    def test_many_failures_are_cut_unless_all_are_asked_for(self) -> None:
        floors = tuple(floor(0.1, 0.2, f"a{a}{b}") for a in "abcde" for b in "klmnop")
        comparison = make_comparison(fall=0).model_copy(update={"checks": floors})
        assert sum(line.startswith("- ") for line in show(comparison, 140)) == 20
        assert "and 10 more: see --all" in show(comparison)
        assert sum(line.startswith("- ") for line in show(comparison, 140, every=True)) == 30

    def test_all_settings_measures_and_lines_are_there_on_request(self) -> None:
        languages = [f"a{letter}" for letter in "abcdef"]
        comparison = make_comparison(languages)
        short, long = ("\n".join(show(comparison, 140, every=every)) for every in (False, True))
        settings = [f"{a} → {b} " for a, b in product(languages, languages)] + [f"{a} → pool of 6" for a in languages]
        assert sum(setting in short for setting in settings) == 10
        assert all(setting in long for setting in settings)
        for part in ("R@1 cross", "removal gap", "mAP multi of af queries: no significant drop beyond .005"):
            assert part not in short
            assert part in long
        heads = [line.split() for line in long.splitlines() if line.startswith("setting ")]
        assert heads[-1] == ["setting", "base", "candidate", "difference", "p", "verdict", "R@1", "nDCG@10", "BH"]

    def test_says_without_colour_all_that_it_says_with_it(self) -> None:
        plain, coloured = ("\n".join(show(make_comparison(), 100, colour=colour)) for colour in (False, True))
        assert "\x1b[" not in plain
        assert "\x1b[" in coloured
        for word in ("Failed", "worse", "not significant", "-.030*"):
            assert word in plain

    @pytest.mark.parametrize("every", [False, True])
    def test_nothing_in_a_name_acts_unseen(self, every: bool) -> None:
        text = "\n".join(show(spoiled(), 140, every=every))
        assert "\x1b" not in text
        assert "\u202e" not in text


READER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
GITHUB = 65_536


def comment(comparison: Comparison) -> str:
    return write_markdown(comparison_report(comparison))


def rows(markdown: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", READER.render(markdown), re.DOTALL)
    return [[seen(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in found]


def seen(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def tags(markdown: str) -> list[str]:
    return [tag.lower() for tag in re.findall(r"<\s*(/?\s*\w+)", READER.render(markdown))]


class TestComment:
    def test_is_as_it_was_agreed_on(self, tmp_path: Path) -> None:
        # To agree on another: read what this leaves in `tmp_path`, and copy it.
        (tmp_path / "comparison.md").write_text(comment(make_comparison()), encoding="utf-8")
        agreed = (GOLDEN / "comparison.md").read_text(encoding="utf-8")
        assert (tmp_path / "comparison.md").read_text(encoding="utf-8") == agreed

    def test_begins_with_the_verdict(self) -> None:
        failed, passed = (comment(make_comparison(fall=fall)) for fall in (1, 0))
        assert failed.startswith(
            "### **Failed:** 5 of 13 gate lines; `x-x-mono` against `hybrid`\n\n- `xquad-r`: mAP cross"
        )
        assert passed.startswith("### Passed: 13 gate lines, none failed; `x-x-mono` against `hybrid`\n\n")

    def test_tables_have_the_numbers_and_every_row_is_even(self) -> None:
        text = comment(make_comparison())
        cells = rows(text)
        assert ["mAP cross", ".200", ".170", "-.030 [-.034, -.026]", ".0003", "worse"] in cells
        assert ["de", "+11", "-28*", "-26*", "-27", "-6"] in cells
        for block in re.split(r"\n\n", text):
            if block.startswith("|"):
                assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.split("\n")}) == 1

    def test_details_are_closed_and_come_after_the_summary(self) -> None:
        text = comment(make_comparison(tasks=("xquad-r", "mlqa-r")))
        found = tags(text)
        assert found.count("details") == found.count("/details") == 2 * 6
        assert text.index("| mAP mono |") < text.index("<details>")

    def test_a_small_p_value_is_no_markup(self) -> None:
        lines = tuple(
            line
            if line.adjusted is None
            else line.model_copy(update={"adjusted": line.adjusted.model_copy(update={"two_sided": 0.00001})})
            for line in TASK.tests.lines
        )
        task = TASK.model_copy(update={"tests": TASK.tests.model_copy(update={"lines": lines})})
        text = comment(make_comparison().model_copy(update={"tasks": (task,)}))
        assert any("< .0001" in row for row in rows(text))
        assert "< .0001" not in text


class TestNamesInComments:
    text = comment(spoiled())

    def test_are_no_markup(self) -> None:
        allowed = {"h3", "h4", "p", "ul", "li", "code", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        allowed |= {"details", "summary", "blockquote"}
        assert {tag.strip("/ ") for tag in tags(self.text)} <= allowed

    def test_mention_nobody_and_act_nowhere_unseen(self) -> None:
        outside = re.sub(r"<code>.*?</code>", "", READER.render(self.text), flags=re.DOTALL)
        assert "@me" not in outside
        assert "onerror" not in outside
        assert "\x1b" not in self.text
        assert "\u202e" not in self.text

    def test_are_cut_where_they_are_too_long(self) -> None:
        task = TASK.model_copy(update={"base": TASK.base.model_copy(update={"spec": "long " * 100})})
        text = comment(make_comparison().model_copy(update={"tasks": (task,)}))
        assert f"`{('long ' * 100)[:79]}…`" in text

    def test_of_a_task_make_no_list(self) -> None:
        assert "<ol>" not in READER.render(comment(make_comparison(tasks=("1. - one",))))


class TestLengthOfComments:
    @pytest.mark.slow
    @pytest.mark.parametrize(("languages", "tasks"), [(11, 2), (11, 12), (26, 1), (26, 3), (50, 1), (2, 90)])
    def test_is_never_more_than_github_takes(self, languages: int, tasks: int) -> None:
        names = [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"][:languages]
        task = make_task("xquad-r", names)
        tasks_of = tuple(task.model_copy(update={"task": f"task-{number}"}) for number in range(tasks))
        text = comment(make_comparison().model_copy(update={"tasks": tasks_of}))
        assert len(text.encode()) <= LONGEST < GITHUB
        assert text.startswith("### **Failed")
        found = tags(text)
        assert found.count("details") == found.count("/details")
        assert found.count("table") == found.count("/table") > 0

    @pytest.mark.slow
    def test_what_found_no_room_is_named(self) -> None:
        names = [f"{a}{b}" for a in "abcde" for b in "klmnop"]
        text = comment(make_comparison(names, tasks=("one", "two", "three")))
        assert (
            re.search(r"[\d,]+ more rows in the document", text) or "Left out, as a comment must not be longer" in text
        )
        everything = comment(make_comparison())
        assert "Left out" not in everything
        assert "more row" not in everything
        many = comment(make_comparison(("de", "en"), tasks=[f"t{number}" for number in range(100)]))
        assert "Left out, as a comment must not be longer: " in many

    def test_many_and_long_reasons_leave_room_for_the_summary(self) -> None:
        floors = tuple(
            floor(0.1, 0.2, f"a{number}").model_copy(update={"reason": "a word and " * 60}) for number in range(2000)
        )
        text = comment(make_comparison().model_copy(update={"checks": floors}))
        assert len(text.encode()) <= LONGEST
        assert "| mAP mono |" in text
        assert re.search(r"1,\d{3} more rows in the document", text)

    def test_names_of_any_length_do_no_harm(self) -> None:
        long = ["ä|`" * 30_000, "b" * 90_000]
        text = comment(make_comparison(long, tasks=["c|" * 50_000]))
        assert len(text.encode()) <= LONGEST
        assert text.startswith("### **Failed")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("console", "th → de"),
        ("markdown", "| th → de |"),
        ("html", "th → de"),
        ("csv", ",settings,AP,cross_lingual,th,de,"),
        ("latex", "mAP cross"),
        ("svg", "th → de: -.034 [-.038, -.030]"),
        ("json", '"passed": false'),
        ("junit", "mAP cross of th queries: no significant drop beyond .005"),
    ],
)
def test_every_format_has_something_of_it(name: str, said: str) -> None:
    assert said in render(name, comparison_report(make_comparison())).decode()
