"""Summaries of many languages, held against means that are taken pair by pair."""

from collections.abc import Iterable
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.collection.language_info import GROUPINGS, language_info
from mlbench.reports.colours import ColourScale
from mlbench.reports.grid import Grid
from mlbench.reports.language_groups import (
    all_groups,
    best_and_worst,
    group_means,
    groups_of,
    summary_of_groups,
)
from mlbench.reports.report import HeatMap, Table

LANGUAGES = ("de", "en", "ru", "th", "sw", "zu", "eu", "yo")


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Draw a grid with some of all values."""
    pairs = [(a, b) for a in LANGUAGES for b in LANGUAGES]
    some = draw(st.lists(st.sampled_from(pairs), unique=True))
    values = draw(st.lists(st.integers(0, 1000), min_size=len(some), max_size=len(some)))
    pool = draw(st.lists(st.sampled_from(LANGUAGES), unique=True))
    cells = {pair: value / 1000 for pair, value in zip(some, values, strict=True)}
    return Grid("AP", LANGUAGES, cells, {tag: 0.1 * place for place, tag in enumerate(pool)})


def mean_of(values: Iterable[float]) -> float | None:
    found = list(values)
    return pytest.approx(fmean(found)) if found else None


@given(grids(), st.lists(st.integers(0, len(LANGUAGES) - 1), unique=True, min_size=1))
def test_means_of_a_group_are_those_of_its_pairs(grid: Grid, places: list[int]) -> None:
    group = {LANGUAGES[place] for place in places}
    found = group_means(grid, "g", places)
    other = {pair: value for pair, value in grid.cells.items() if pair[0] != pair[1]}
    assert found.n_languages == len(group)
    assert found.as_query == mean_of(value for (a, _), value in other.items() if a in group)
    assert found.as_document == mean_of(value for (_, b), value in other.items() if b in group)
    assert found.within == mean_of(value for (a, b), value in other.items() if a in group and b in group)
    assert found.between == mean_of(value for (a, b), value in other.items() if (a in group) != (b in group))
    assert found.monolingual == mean_of(grid.cells[a, a] for a in group if (a, a) in grid.cells)
    assert found.pool == mean_of(value for a, value in grid.pool.items() if a in group)


@given(grids())
def test_means_of_a_language_are_those_of_its_pairs(grid: Grid) -> None:
    for language in LANGUAGES:
        row = [value for (a, b), value in grid.cells.items() if a == language != b]
        column = [value for (a, b), value in grid.cells.items() if b == language != a]
        assert grid.row_mean(language) == (sum(row) / len(row) if row else None)
        assert grid.column_mean(language) == (sum(column) / len(column) if column else None)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_every_language_is_in_one_group(grouping: str) -> None:
    infos = [language_info(tag) for tag in LANGUAGES]
    groups = groups_of(infos, grouping)  # type: ignore[arg-type]
    assert sorted(place for places in groups.values() for place in places) == list(range(len(LANGUAGES)))
    assert all({infos[place].group(grouping) for place in places} == {name} for name, places in groups.items())  # type: ignore[arg-type]


def test_levels_stand_from_high_to_low_and_families_by_size() -> None:
    infos = [language_info(tag) for tag in LANGUAGES]
    assert list(groups_of(infos, "resources")) == ["high", "medium"]
    assert list(groups_of(infos, "family")) == ["Atlantic-Congo", "Indo-European", "Basque", "Tai-Kadai"]
    assert list(groups_of(infos, "script")) == ["Latin", "Cyrillic", "Thai"]


def whole(value: float = 0.5) -> Grid:
    return Grid("AP", LANGUAGES, {(a, b): value for a in LANGUAGES for b in LANGUAGES if a != b}, {})


def test_small_groups_share_a_row_of_the_summary() -> None:
    table = summary_of_groups(whole(), named="mAP")
    rows = {row.label.text: [cell.text for cell in row.cells] for row in table.rows}
    assert list(rows) == [
        "high resources",
        "medium resources",
        "Latin script",
        "Cyrillic script",
        "Thai script",
        "Atlantic-Congo",
        "Indo-European",
        "Basque",
        "Tai-Kadai",
    ]
    assert rows["Indo-European"] == ["3", ".500", ".500", ".500", ".500"]
    assert rows["Thai script"] == ["1", ".500", ".500", "·", ".500"]
    more = (*LANGUAGES, "ka", "he", "ja")
    grid = Grid("AP", more, {(a, b): 0.5 for a in more for b in more}, {})
    rows = {row.label.text: [cell.text for cell in row.cells] for row in summary_of_groups(grid, named="mAP").rows}
    # Two languages of the rest are of different groups, so that nothing is within it.
    assert rows["4 other scripts"] == ["4", ".500", ".500", "·", ".500", ".500"]
    assert rows["4 other families"][0] == "4"
    odd = (*more, "not a tag")
    rows = [row.label.text for row in summary_of_groups(Grid("AP", odd, {}, {}), named="mAP").rows]
    assert rows[:3] == ["high resources", "medium resources", "unknown resources"]
    tables = [block for block in all_groups(grid, ColourScale(0, 1), named="mAP").blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in tables] == [2, 6, 7]


@given(grids())
def test_maps_of_groups_have_the_means_of_pairs_of_groups(grid: Grid) -> None:
    resources, script, _ = (
        block for block in all_groups(grid, ColourScale(0, 1), named="mAP").blocks if isinstance(block, HeatMap)
    )
    members = {"high": {"de", "en", "ru", "th"}, "medium": {"sw", "zu", "eu", "yo"}}
    assert [row.label for row in resources.rows] == list(members)
    for row in resources.rows:
        for column, cell in zip(resources.columns, row.cells, strict=True):
            assert cell.value == mean_of(
                value
                for (a, b), value in grid.cells.items()
                if a != b and a in members[row.label] and b in members[column.title]
            )
    assert [row.label for row in script.rows] == ["Latin", "2 others"]


def test_the_best_and_the_worst_are_told_by_name() -> None:
    cells = {(a, b): (LANGUAGES.index(a) + 1) / 10 + LANGUAGES.index(b) / 100 for a, b in whole().cells}
    items = [item.parts for item in best_and_worst(Grid("AP", LANGUAGES, cells, {})).items]
    assert items[0] == ("best as query: Yoruba (yo) .830", "Basque (eu) .731", "Zulu (zu) .633")
    assert items[1][0] == "worst as query: German (de) .140"
    assert items[4] == ("best pairs: yo → eu .860", "yo → zu .850", "yo → sw .840")
    assert items[5][0] == "worst pairs: de → en .110"
    tags = best_and_worst(Grid("AP", LANGUAGES, cells, {}), names=False).items
    assert tags[0].parts[0] == "best as query: yo .830"


def test_no_values_have_no_ends() -> None:
    assert best_and_worst(Grid("AP", LANGUAGES, {}, {})).items == ()
