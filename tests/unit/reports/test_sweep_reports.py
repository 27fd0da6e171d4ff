"""The table, the Markdown and the page of a sweep."""

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console
from unit.reports.sweep_cases import ALPHA, FRACTION, make_sweep

from mlbench.compare.sweep import Sweep
from mlbench.reports.formatting import Quantity, harmless, p_text
from mlbench.reports.sweep.console import sweep_report
from mlbench.reports.sweep.content import difference_cell, figure_cell
from mlbench.reports.sweep.markdown import sweep_markdown
from mlbench.reports.sweep.page import sweep_page

NASTY = "<b>|*x*`\x1b[31m"


def shown(sweep: Sweep, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(sweep_report(sweep))
    return captured.get()


def nasty() -> Sweep:
    """Return a sweep whose arm has a name that would act in any format."""
    text = (
        make_sweep().model_dump_json().replace("alpha 0.5", "NASTY").replace("NASTY", NASTY.replace("\x1b", "\\u001b"))
    )
    return harmless(Sweep.model_validate_json(text))


class TestCells:
    sweep = make_sweep()
    task = sweep.tasks[0]

    def test_a_figure_has_mean_interval_spread_and_mark(self) -> None:
        cell = figure_cell(self.task, "alpha 0.5", Quantity("AP", "cross_lingual"))
        assert (cell.value, cell.interval, cell.spread, cell.mark) == (".181", "[.161, .201]", ".180 to .182", "*")
        cell = figure_cell(self.task, "alpha 1", Quantity("rank_distance", None))
        assert (cell.value, cell.interval, cell.mark) == ("4,892", "[4,562, 5,222]", "")
        assert figure_cell(self.task, "alpha 1", Quantity("nDCG@10", "multilingual")).value == "·"

    def test_a_best_value_that_is_not_significant_has_another_mark(self) -> None:
        assert figure_cell(self.task, "alpha 0.5", Quantity("rank_distance_median", None)).mark == "~"

    def test_a_difference_has_sign_interval_p_and_seed_pairs(self) -> None:
        pair = self.task.pairs[0]
        cell = difference_cell(pair, Quantity("AP", "cross_lingual"))
        assert cell is not None
        assert (cell.difference, cell.interval, cell.p, cell.seeds) == ("+.020", "[+.010, +.030]", ".0007", "4/4")
        assert cell.seed_range == "+.018 to +.022"
        cell = difference_cell(pair, Quantity("own_language_preference", None))
        assert cell is not None
        assert cell.difference == "-.040"
        assert difference_cell(pair, Quantity("nDCG@10", "multilingual")) is None

    @pytest.mark.parametrize(("p", "text"), [(0.0312, ".0312"), (0.00002, "< .0001"), (1.0, "1.0000")])
    def test_p_values_are_never_zero(self, p: float, text: str) -> None:
        assert p_text(p) == text


class TestTable:
    @pytest.mark.parametrize("width", [50, 80, 100, 140, 200])
    def test_fits_the_terminal_and_says_what_does_not(self, width: int) -> None:
        text = shown(make_sweep(), width)
        assert max(map(len, text.splitlines())) <= width
        assert ("no room for" in text) == (width < 130)
        assert ".181" in text

    def test_shows_everything_where_there_is_room(self) -> None:
        text = shown(make_sweep(), 160)
        for part in (".181*", "[.161, .201]", ".180 to .182", "+.040*", "p .0007 4/4", "confounded: rows", "base"):
            assert part in text, part
        assert "mAP cross: alpha 0.5 is best, alpha 0 second; +.020, p .0007: significant" in text
        assert "rank distance median: alpha 0.5 is best, alpha 0 second; -250.0: not tested" in text
        assert "95 % intervals: 2,000 resamples of 48 clusters" in text

    def test_one_seed_has_no_spread(self) -> None:
        text = shown(make_sweep(seeds=1), 160)
        assert " to " not in text.replace("to be", "").replace("nearest to", "")
        assert "seeds in which" not in text

    def test_one_arm_is_compared_with_nothing(self) -> None:
        axis = ALPHA.model_copy(update={"values": (1,)})
        text = shown(make_sweep((axis,)), 120)
        assert "difference" not in text.replace("differences", "")
        assert "best" not in text

    def test_control_characters_do_nothing(self) -> None:
        assert "\x1b" not in shown(nasty(), 140)


class TestMarkdown:
    def test_every_table_is_even(self) -> None:
        blocks = sweep_markdown(make_sweep((ALPHA, FRACTION))).split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("|")]
        assert len(tables) == 3
        for table in tables:
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1
        assert [len(table) for table in tables] == [2 + 6, 2 + 5, 2 + 10]

    def test_marks_are_no_emphasis(self) -> None:
        text = sweep_markdown(make_sweep())
        assert ".181 \\*<br>" in text
        assert not re.search(r"(?<!\\)[*~]", text)

    def test_names_are_no_markup(self) -> None:
        text = sweep_markdown(nasty())
        assert "<b>" not in re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text).replace("<br>", "")
        assert "\x1b" not in text


class Tags(HTMLParser):
    """Collects elements, their attributes, and checks that they are closed."""

    VOID = frozenset({"meta", "link", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestPage:
    page = sweep_page(make_sweep((ALPHA, FRACTION), tasks=("xquad-r", "mlqa-r")))

    def test_is_well_formed_and_needs_nothing_else(self) -> None:
        tags = Tags()
        tags.feed(self.page)
        assert tags.open == []
        names = {name for name, _ in tags.found}
        assert {"table", "svg", "figure", "figcaption", "caption"} <= names
        assert not names & {"script", "img", "iframe", "object"}
        links = [attributes["href"] for name, attributes in tags.found if name in ("a", "link")]
        assert not [link for link in links if link is None or re.match(r"\w+://", link)]
        assert "prefers-color-scheme: dark" in self.page

    def test_every_figure_is_xml_with_words(self) -> None:
        figures = re.findall(r"<svg.*?</svg>", self.page, re.DOTALL)
        assert len(figures) == 2 * 6
        for figure in figures:
            assert len(ElementTree.fromstring(figure).attrib["aria-label"]) > 50

    def test_has_the_numbers_of_every_task_and_the_files_of_every_point(self) -> None:
        for part in ("<strong>", "[.121, .161]", "p .0007", "confounded: rows", "4/4: ", "What is best", "mlqa-r"):
            assert part in self.page, part
        assert 'href="results/0-0/mlqa-r.json"' in self.page

    def test_names_are_escaped(self) -> None:
        page = sweep_page(nasty())
        assert "<b>" not in page
        assert "&lt;b&gt;" in page
