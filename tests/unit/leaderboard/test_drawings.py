"""What the scripts of the site draw from."""

import json
from base64 import b64decode
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.leaderboard.sites import board, reported, said

from mlbench.leaderboard.page_data import (
    Plain,
    drawn_measures,
    entry_values,
    file_name,
    pack,
    pack_shares,
    script,
    shortened,
    task_values,
)
from mlbench.leaderboard.pairs import differing_settings
from mlbench.leaderboard.standings import BoardEntry, standings
from mlbench.reports.formatting import decimal

ENTRIES = sorted(board(), key=lambda each: each.name)
EVIDENCE = {
    task: {each.name: each.tasks[task].evidence for each in ENTRIES if task in each.tasks}
    for task in ("small", "sparse")
}
DIFFERING = {task: differing_settings(task, found, flips=199) for task, found in EVIDENCE.items()}
TASKS = {each.task: each for each in standings(ENTRIES, flips=199)}


def decoded(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))


def unpacked(text: str, unit: float = 10_000) -> list[float | None]:
    whole = np.frombuffer(decoded(text), dtype="<i2")
    return [None if value == -(2**15) else value / unit for value in whole.tolist()]


def shares(text: str) -> list[float | None]:
    bits = int.from_bytes(decoded(text), "little")
    whole = [bits >> 12 * place & 4095 for place in range(len(decoded(text)) * 8 // 12)]
    return [None if each == 4095 else each / 1000 for each in whole]


def values(shown: BoardEntry) -> dict[str, dict[str, Plain]]:
    found = entry_values(shown, DIFFERING)
    assert isinstance(found, dict)
    return found["tasks"]


def of_task(task: str) -> dict[str, Plain]:
    found = task_values(TASKS[task], list(EVIDENCE[task].values()))
    assert isinstance(found, dict)
    return found


@given(st.lists(st.none() | st.floats(-1, 1)))
def test_numbers_are_packed_to_four_decimals(numbers: list[float | None]) -> None:
    for before, after in zip(numbers, unpacked(pack(numbers)), strict=True):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            assert after == pytest.approx(before, abs=1e-4 + 1e-9)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.985454, "0.985"), (0.98546, "0.985"), (0.9855, "0.986"), (0.0005, "0.001")]
)
def test_a_number_is_not_rounded_up_twice(value: float, shown: str) -> None:
    """Scripts round what is packed to three decimals, halves up."""
    for packed in (unpacked(pack([value]))[0], shortened(value)):
        assert str(Decimal(repr(packed)).quantize(Decimal("0.001"), ROUND_HALF_UP)) == shown


@given(st.floats(0, 1))
def test_what_is_packed_is_shown_as_the_number_itself(value: float) -> None:
    def rounded(text: str) -> Decimal:
        return Decimal(text).quantize(Decimal("0.001"), ROUND_HALF_UP)

    exact = rounded(f"{value:.9f}")
    assert rounded(repr(unpacked(pack([value]))[0])) == exact


def test_a_distance_is_not_rounded_up_twice() -> None:
    assert (shortened(1214.46), shortened(276.4499)) == (1214.46, 276.44)


@given(st.lists(st.none() | st.floats(0, 1)))
@example([0.985454, 0.0345, 0.0625, 1.0, 0.0])
def test_shares_are_packed_as_they_are_written(numbers: list[float | None]) -> None:
    found = shares(pack_shares(numbers))
    assert len(found) == len(numbers)
    assert [decimal(each) for each in found] == [decimal(each) for each in numbers]


def test_what_is_no_share_is_the_nearest_that_is() -> None:
    assert shares(pack_shares([5.0, -5.0])) == [1, 0]


def test_what_does_not_fit_is_the_largest_that_does() -> None:
    assert unpacked(pack([5.0, -5.0])) == [3.2767, -3.2767]


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_script_holds_nothing_but_its_values(value: Plain) -> None:
    text = script("board.know", "name", value)
    assert text.replace("–", "").isascii()
    assert "<" not in text
    assert text.count("\n") == 1
    inside = text.removeprefix("board.know(").removesuffix(");\n")
    assert json.loads(f"[{inside}]") == ["name", value]


def test_texts_cannot_end_a_script() -> None:
    assert script("f", "</script><!--\u2028\u2029") == 'f("\\u003c/script>\\u003c!--\\u2028\\u2029");\n'


@pytest.mark.parametrize("task", ["small", "sparse"])
def test_grids_hold_the_settings(task: str) -> None:
    ours = next(each for each in ENTRIES if each.name == "ours")
    result, drawn, shared = ours.tasks[task].result, values(ours)[task], of_task(task)
    languages = list(result.task.languages)
    assert list(shared["languages"]) == languages
    assert shared["measures"] == drawn_measures(result) == list(drawn["grids"])
    low, high = map(shares, drawn["limits"])
    for setting in result.settings:
        cell = cell_of(languages, setting.query_language, setting.document_languages)
        assert shared["queries"][cell] == setting.n_queries
        for measure, grid in drawn["grids"].items():
            assert decimal(shares(grid)[cell]) == decimal(setting.measures[measure])
        bounds = setting.intervals["AP"]
        assert bounds is not None
        assert (low[cell], high[cell]) == pytest.approx((bounds.low, bounds.high), abs=0.5e-3 + 1e-9)


def cell_of(languages: list[str], query_language: str, document_languages: tuple[str, ...]) -> int:
    column = len(languages) if len(document_languages) > 1 else languages.index(document_languages[0])
    return languages.index(query_language) * (len(languages) + 1) + column


def test_means_by_language_are_those_of_the_result() -> None:
    ours = next(each for each in ENTRIES if each.name == "ours")
    result, drawn = ours.tasks["small"].result, values(ours)["small"]
    languages = list(result.task.languages)
    (low, high), grid = map(shares, drawn["limits"]), shares(drawn["grids"]["AP"])
    cells = {
        "monolingual": [cell_of(languages, each, (each,)) for each in languages],
        "multilingual": [cell_of(languages, each, tuple(languages)) for each in languages],
    }
    means = {kind: [(grid[cell], low[cell], high[cell]) for cell in found] for kind, found in cells.items()}
    means["cross_lingual"] = list(zip(*map(shares, drawn["cross"]["AP"]), strict=True))
    for kind, found in means.items():
        for language, numbers in zip(languages, found, strict=True):
            mean = result.aggregate(kind, query_language=language)
            assert mean is not None
            bounds = mean.intervals["AP"]
            assert bounds is not None
            assert list(map(decimal, numbers)) == list(map(decimal, (mean.measures["AP"], bounds.low, bounds.high)))
    assert len(drawn["cross"]["R@1"]) == 1
    assert result.bias is not None
    distance = result.bias.score("rank_distance")
    assert distance is not None
    assert drawn["distances"] == pytest.approx([row.value for row in distance.rows], abs=1e-4)
    assert drawn["summary"][4] == pytest.approx(distance.value, abs=1e-8)


def test_a_task_of_one_cluster_has_no_intervals() -> None:
    evidence = EVIDENCE["small"]["ours"]
    alone = replace(evidence, settings=evidence.settings[:1])
    found = task_values(TASKS["small"], [alone])
    assert isinstance(found, dict)
    assert found["t"] is None


def test_settings_that_differ_stand_with_the_entry_that_comes_first() -> None:
    for each in ENTRIES:
        if not each.tasks:
            continue
        differs = values(each)["small"]["differs"]
        assert list(differs) == [b for a, b in DIFFERING["small"] if a == each.name]
        for other, text in differs.items():
            bits = np.unpackbits(np.frombuffer(decoded(text), np.uint8))
            result, found = each.tasks["small"].result, DIFFERING["small"][each.name, other]
            assert bits.sum() == found.sum()
            for setting, expected in zip(result.settings, found, strict=True):
                cell = cell_of(list(result.task.languages), setting.query_language, setting.document_languages)
                assert bits[cell] == expected


@pytest.mark.parametrize(("name", "is_kept"), [("xquad-r", True), ("..", False), ("a/b", False), ("<b>", False)])
def test_the_file_of_a_task_has_a_plain_name(name: str, is_kept: bool) -> None:
    assert (file_name(name) == name) == is_kept
    assert file_name(name).replace("-", "").isalnum()


def test_what_a_source_reports_by_language_is_drawn() -> None:
    drawn = values(reported("paper", said(), said("sparse")))
    assert list(drawn) == ["small", "sparse"]
    assert drawn["small"]["languages"] == ["ar", "de", "en"]
    assert list(drawn["small"]["rows"]) == ["multilingual"]
    assert shares(drawn["small"]["rows"]["multilingual"][0]) == [0.0, 0.1, 0.2]
    assert drawn["small"]["distances"] == []
