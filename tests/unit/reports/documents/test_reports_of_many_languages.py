"""Reports of more languages than a heat map has room for."""

import json
import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from unit.reports.comparison_cases import make_comparison
from unit.reports.conftest import spoil
from unit.reports.documents.reading import blocks, shown, tables
from unit.reports.many_languages import flores_result, values

from mlbench.reports.documents.comparison import comparison_report
from mlbench.reports.documents.result import results_report
from mlbench.reports.formats import FORMATS, render
from mlbench.reports.grid import MOST_IN_CELLS
from mlbench.reports.language_map import language_map_json, language_map_svg, language_order
from mlbench.reports.report import Block, HeatMap, LanguageMap, Report

MANY = MOST_IN_CELLS + 10
SCREEN = 40


@cache
def report() -> Report:
    return results_report([flores_result(n_languages=MANY)])


@cache
def comparison() -> Report:
    languages = flores_result(n_languages=MANY).task.languages
    return comparison_report(make_comparison(languages, tasks=("flores-200",)))


def only_map(found: Sequence[Block]) -> LanguageMap:
    (each,) = (block for block in blocks(found) if isinstance(block, LanguageMap))
    return each


def largest_heat_map(found: Sequence[Block]) -> int:
    """Return how many rows the largest heat map has, which is of groups where there are many languages."""
    return max(len(block.rows) for block in blocks(found) if isinstance(block, HeatMap))


def test_as_many_as_find_room_stand_in_cells() -> None:
    few = results_report([flores_result(n_languages=MOST_IN_CELLS)])
    assert [block for block in blocks(few.blocks) if isinstance(block, HeatMap)]
    assert not [block for block in blocks(few.blocks) if isinstance(block, LanguageMap)]
    assert largest_heat_map(report().blocks) < MANY / 2


class TestResult:
    def test_is_one_screen(self) -> None:
        found = shown(report(), 80).splitlines()
        assert len(found) <= SCREEN
        assert max(map(len, found)) <= 80
        text = "\n".join(found)
        assert "best pairs" in text
        assert "high resources" in text
        assert "needs a wider terminal" not in text

    def test_the_map_has_every_value_of_every_measure(self) -> None:
        result = flores_result(n_languages=MANY)
        drawn = only_map(report().blocks)
        assert [layer.name for layer in drawn.layers] == ["mAP", "RR", "R@1", "R@10", "nDCG@10", "Success@1"]
        level, pool = values(result.task.languages, 0)
        off = ~np.eye(MANY, dtype=bool)
        assert np.array_equal(drawn.layers[0].values[off], level[off])
        assert np.isnan(np.diagonal(drawn.layers[0].values)).all()
        assert drawn.layers[0].pool is not None
        assert np.array_equal(drawn.layers[0].pool, pool)
        assert drawn.layers[0].low is not None
        assert drawn.layers[1].low is None

    def test_languages_are_told_with_what_they_are(self) -> None:
        (table,) = (each for each in tables(report()) if each.title == "mAP by language")
        rows = {row.label.text: [cell.text for cell in row.cells] for row in table.rows}
        assert len(rows) == MANY
        assert rows["af"][:4] == ["Afrikaans", "high", "Latin", "Indo-European"]
        assert [column.title for column in table.columns[4:7]] == ["as query", "as document", "pool"]


class TestComparison:
    def test_has_no_row_for_each_setting(self) -> None:
        rows = {table.title: len(table.rows) for table in tables(comparison())}
        # The gate has a line for each language and kind.
        assert max(rows.values()) == rows["Lines of the gate"] == 3 * MANY + 4
        assert largest_heat_map(comparison().blocks) < MANY / 2

    def test_failures_of_many_languages_name_the_worst(self) -> None:
        text = " ".join(shown(comparison(), 80).split())
        assert f"and {MANY - 10} others" in text
        assert "worst change pairs" in text

    def test_the_map_has_both_sides(self) -> None:
        drawn = only_map(comparison().blocks)
        difference, significant, base, candidate = drawn.layers
        assert difference.signed
        assert not base.signed
        assert np.allclose(candidate.values - base.values, difference.values)
        assert difference.marked is not None
        assert difference.marked.any()
        assert np.array_equal(~np.isnan(significant.values), difference.marked)

    def test_a_few_large_differences_leave_the_colours_to_the_others(self) -> None:
        languages = flores_result(n_languages=MANY).task.languages
        made = make_comparison(languages, tasks=("flores-200",))
        (task,) = made.tasks
        lines = list(task.tests.lines)
        cross = next(
            at for at, line in enumerate(lines) if line.document_languages == (languages[1],) and line.name == "AP"
        )
        lines[cross] = lines[cross].model_copy(update={"difference": 0.9})
        tests = task.tests.model_copy(update={"lines": tuple(lines)})
        task = task.model_copy(update={"tests": tests})
        drawn = only_map(comparison_report(made.model_copy(update={"tasks": (task,)})).blocks)
        assert drawn.layers[0].values.max() == 0.9
        assert drawn.layers[0].scale.high < 0.1


class TestMap:
    def test_data_are_the_values_in_thousandths(self) -> None:
        drawn = only_map(report().blocks)
        data = json.loads(language_map_json(drawn))
        expected = np.rint(drawn.layers[0].values * 1000).ravel()
        found = np.array([np.nan if each is None else each for each in data["layers"][0]["values"]])
        assert np.array_equal(found, expected, equal_nan=True)
        assert data["unit"] == 1000
        assert [each[0] for each in data["languages"]] == list(flores_result(n_languages=MANY).task.languages)

    def test_pictures_have_families_together_and_the_best_first(self) -> None:
        drawn = only_map(report().blocks)
        order, groups = language_order(drawn)
        assert sorted(order.tolist()) == list(range(MANY))
        sizes = [size for _, size in groups]
        assert sizes == sorted(sizes, reverse=True)
        families = [drawn.languages[place].family for place in order]
        assert families == [name for name, size in groups for _ in range(size)]
        svg = language_map_svg(drawn)
        assert len(re.findall(r"h1v1h-1z", svg)) == MANY * (MANY - 1)

    @pytest.mark.parametrize("name", [name for name, each in FORMATS.items() if each.only is None])
    def test_every_format_writes_both_documents(self, name: str) -> None:
        for each in (report(), comparison()):
            assert len(render(name, each)) > 100

    def test_a_page_runs_no_script_but_its_own(self) -> None:
        html = render("html", report()).decode()
        scripts = re.findall(r"<script([^>]*)>", html)
        assert scripts == [' type="application/json" class="language-map"', ""]
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
        assert policy is not None
        assert re.search(r"script-src 'sha256-[\w+/]+=*'; ", policy[1].replace("&#39;", "'"))
        assert "'unsafe-inline'" not in policy[1].partition("style-src")[0]

    def test_names_end_no_script(self) -> None:
        html = render("html", results_report([spoil(flores_result(n_languages=MANY))])).decode()
        assert html.count("</script>") == 2
        assert "<script>alert" not in html
