import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
from rich.console import Console

from mlbench.reports.documents.result import pair_map, results_report
from mlbench.reports.grid import Grid, grid
from mlbench.reports.report import Report
from mlbench.reports.writers.console import ConsoleReport, write_text
from mlbench.results import Result

ResultOf = Callable[..., Result]
System = Literal["standard", "256", "truecolor", "windows"]


def show(pairs: Grid, width: int = 80, system: System | None = None, *, no_color: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=system, force_terminal=True, no_color=no_color)
    with console.capture() as captured:
        console.print(ConsoleReport(Report("", (pair_map(pairs),), ())))
    return captured.get()


SMALL = Grid(
    measure="AP",
    languages=("de", "en"),
    cells={("de", "de"): 0.9, ("en", "en"): 1.0, ("de", "en"): 0.5},
    pool={"de": 0.4, "en": 0.2},
)


class TestGrid:
    def test_means_leave_out_the_diagonal_and_what_is_null(self) -> None:
        assert (SMALL.row_mean("de"), SMALL.row_mean("en")) == (0.5, None)
        assert (SMALL.column_mean("de"), SMALL.column_mean("en")) == (None, 0.5)
        assert SMALL.mean() == 0.5
        assert SMALL.pool_mean() == pytest.approx(0.3)

    def test_corner_is_the_cross_lingual_mean_of_the_summary(self, result: Result) -> None:
        shown = grid(result, "AP")
        for kind, mean in (("cross_lingual", shown.mean()), ("multilingual", shown.pool_mean())):
            aggregate = result.aggregate(kind)  # type: ignore[arg-type]
            assert aggregate is not None
            assert mean == pytest.approx(aggregate.measures["AP"])

    def test_has_every_setting_of_its_measure(self, result: Result) -> None:
        shown = grid(result, "R@1")
        assert (len(shown.cells), len(shown.pool)) == (121, 11)
        setting = next(s for s in result.settings if (s.query_language, s.document_languages) == ("en", ("th",)))
        assert shown.cells["en", "th"] == setting.measures["R@1"]

    def test_leaves_null_settings_out(self, result: Result) -> None:
        first, *others = result.settings
        empty = first.model_copy(update={"measures": dict.fromkeys(first.measures)})
        shown = grid(result.model_copy(update={"settings": (empty, *others)}), "AP")
        assert ("ar", "ar") not in shown.cells
        assert len(shown.cells) == 120


class TestWithoutColour:
    def test_small(self) -> None:
        assert [line.rstrip() for line in show(SMALL).splitlines()] == [
            "mAP: language of the query (rows) by language of the documents (columns)",
            "      de   en  mean  pool",
            "de   .90  .50   .50   .40",
            "en     ·  1.0     ·   .20",
            "mean   ·  .50   .50   .30",
            "mean: cross-lingual settings only; pool: documents of all languages; ·: no value",
        ]

    @pytest.mark.parametrize(
        ("system", "no_color"), [(None, False), ("standard", False), ("truecolor", True), ("256", True)]
    )
    def test_has_no_background(self, system: System | None, no_color: bool) -> None:
        shown = show(SMALL, system=system, no_color=no_color)
        assert re.search(r"\x1b\[[\d;]*4\d[;m]", shown) is None
        assert " .50 " in shown


def test_eleven_languages_fit_in_eighty_columns_in_one_block(result: Result) -> None:
    lines = [line.rstrip() for line in show(grid(result, "AP")).splitlines()]
    assert lines[1].split() == [*result.task.languages, "mean", "pool"]
    assert len(lines) == 15
    assert max(map(len, lines)) <= 80


# The values differ, since rich keeps the codes of a style for the first colour system that asks.
@pytest.mark.parametrize(
    ("system", "value", "coloured"),
    [("truecolor", 1.0, r"48;2;253;231;37m  1\.0 "), ("256", 0.96, r"48;5;\d+m  \.96 ")],
)
def test_colour_is_in_the_background(system: System, value: float, coloured: str) -> None:
    pairs = replace(SMALL, cells={("de", "de"): 0.91, ("de", "en"): value}, pool={})
    shown = show(pairs, system=system)
    assert re.search(coloured.replace("  ", " +"), shown)
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert plain[:5] == show(pairs).splitlines()[:5]
    assert re.match(r"\.90 +1\.0; mean", plain[5])


def tags(number: int) -> list[str]:
    return [f"{a}{b}" for a in "abcdefgh" for b in "klmnopqrst"][:number]


@pytest.mark.parametrize(
    ("number", "width", "blocks"), [(12, 80, 1), (13, 80, 2), (30, 80, 3), (30, 170, 1), (5, 25, 2)]
)
def test_more_languages_are_folded_into_blocks(result_of: ResultOf, number: int, width: int, blocks: int) -> None:
    languages = tags(number)
    lines = [line.rstrip() for line in show(grid(result_of(languages), "AP"), width).splitlines()]
    assert max(map(len, lines)) <= width
    headers = [line.split() for line in lines if line.startswith("     ")]
    assert [name for header in headers for name in header] == [*languages, "mean", "pool"]
    assert len(headers) == blocks
    assert (f"folded into {blocks} blocks" in " ".join(lines)) == (blocks > 1)
    # One row for each language in each block, and the mean below.
    assert sum(line.split()[:1] == [languages[-1]] for line in lines if line) >= blocks


def test_long_tags_widen_their_columns(result_of: ResultOf) -> None:
    lines = show(grid(result_of(["en", "zh-hant", "sr-latn-rs"]), "AP")).splitlines()
    assert len({len(line) for line in lines[1:6]}) == 1
    assert lines[1].split() == ["en", "zh-hant", "sr-latn-rs", "mean", "pool"]


class TestMeansTable:
    def test_stands_in_where_even_blocks_are_too_many(self, result_of: ResultOf) -> None:
        result = result_of(tags(50))
        shown = show(grid(result, "AP"))
        assert "the heat map needs a wider terminal" in shown
        assert shown.splitlines()[2].split() == ["language", "monolingual", "query", "document", "pool"]
        assert len(shown.splitlines()) == 1 + 2 + 50 + 1 + 2
        cross = result.aggregate("cross_lingual")
        assert cross is not None
        assert f"{cross.measures['AP']:.3f}".removeprefix("0") in shown.splitlines()[53].split()

    def test_stands_in_where_nothing_is_cross_lingual(self, result_of: ResultOf) -> None:
        result = result_of(["bn", "sw"], kinds=["monolingual"])
        report = results_report([result])
        text = write_text(report)
        lines = text[text.index("mAP by language") :].splitlines()
        assert [line.split()[0] for line in lines[1:5]] == ["language", "bn", "sw", "mean"]
        assert "wider" not in text

    def test_stands_in_where_not_even_one_column_fits(self) -> None:
        assert show(SMALL, 8).startswith("mAP by")
