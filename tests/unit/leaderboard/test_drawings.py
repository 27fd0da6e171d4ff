"""What the scripts of the site draw from."""

import json
from base64 import b64decode
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.leaderboard.sites import board, measured, reported, said, verified

from mlbench.leaderboard.page_data import Plain, drawn_measures, entry_values, pack, script, shortened, task_values
from mlbench.leaderboard.site import compare_all
from mlbench.leaderboard.standings import BoardEntry, standings

ENTRIES = sorted(board(), key=lambda each: each.name)
PAIRS = compare_all(ENTRIES, flips=199)
TASKS = {each.task: each for each in standings(ENTRIES, flips=199)}


def unpacked(text: str, unit: float = 10_000) -> list[float | None]:
    whole = np.frombuffer(b64decode(text + "=" * (-len(text) % 4)), dtype="<i2")
    return [None if value == -(2**15) else value / unit for value in whole.tolist()]


def values(shown: BoardEntry) -> dict[str, dict[str, Plain]]:
    found = entry_values(shown, PAIRS)
    assert isinstance(found, dict)
    return found["tasks"]


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
    assert text.isascii()
    assert "<" not in text
    assert text.count("\n") == 1
    inside = text.removeprefix("board.know(").removesuffix(");\n")
    assert json.loads(f"[{inside}]") == ["name", value]


def test_texts_cannot_end_a_script() -> None:
    assert script("f", "</script><!--\u2028\u2029") == 'f("\\u003c/script>\\u003c!--\\u2028\\u2029");\n'


@pytest.mark.parametrize("task", ["small", "sparse"])
def test_grids_hold_the_settings(task: str) -> None:
    ours = next(each for each in ENTRIES if each.name == "ours")
    result, drawn, shared = ours.tasks[task].result, values(ours)[task], task_values(TASKS[task])
    assert isinstance(shared, dict)
    languages = list(result.task.languages)
    assert list(shared["languages"]) == languages
    assert shared["measures"] == drawn_measures(result) == list(drawn["grids"])
    low, high = map(unpacked, drawn["limits"])
    for setting in result.settings:
        column = (
            len(languages) if len(setting.document_languages) > 1 else languages.index(setting.document_languages[0])
        )
        cell = languages.index(setting.query_language) * (len(languages) + 1) + column
        assert shared["queries"][cell] == setting.n_queries
        for measure, grid in drawn["grids"].items():
            assert unpacked(grid)[cell] == pytest.approx(setting.measures[measure], abs=1e-4)
        bounds = setting.intervals["AP"]
        assert bounds is not None
        assert (low[cell], high[cell]) == pytest.approx((bounds.low, bounds.high), abs=1e-4)


def test_rows_and_summary_are_those_of_the_result() -> None:
    ours = next(each for each in ENTRIES if each.name == "ours")
    result, drawn = ours.tasks["small"].result, values(ours)["small"]
    for kind in ("monolingual", "cross_lingual", "multilingual"):
        for language, value, low in zip(result.task.languages, *map(unpacked, drawn["rows"][kind][:2]), strict=True):
            mean = result.aggregate(kind, query_language=language)
            assert mean is not None
            assert value == pytest.approx(mean.measures["AP"], abs=1e-4)
            assert low == pytest.approx(mean.intervals["AP"].low, abs=1e-4)  # type: ignore[union-attr]
    assert result.bias is not None
    distance = result.bias.score("rank_distance")
    assert distance is not None
    assert drawn["rows"]["rank_distance"] == pytest.approx([row.value for row in distance.rows], abs=1e-4)
    assert drawn["summary"][4] == pytest.approx(distance.value, abs=1e-4)


def test_pairs_stand_with_the_entry_that_comes_first() -> None:
    shared = task_values(TASKS["small"])
    assert isinstance(shared, dict)
    names = shared["entries"]
    assert names == ["other", "ours", "twin"]
    for place, name in enumerate(names):
        shown = next(each for each in ENTRIES if each.name == name)
        drawn = values(shown)["small"]["pairs"]
        assert len(drawn) == len(names) - place - 1
        for second, (bits, numbers) in zip(names[place + 1 :], drawn, strict=True):
            pair = PAIRS["small"][name, second]
            differs = np.unpackbits(np.frombuffer(b64decode(bits + "=" * (-len(bits) % 4)), np.uint8))
            assert differs.sum() == pair.differs.sum()
            for index, (column, difference) in enumerate(pair.summary.items()):
                low, high, p = unpacked(numbers, 1)[3 * index : 3 * index + 3]
                unit = shared["units"][index]
                assert shared["summary"][index] == column.key
                assert p == pytest.approx(difference.p * 10_000, abs=0.5)
                assert difference.interval is not None
                assert (low, high) == pytest.approx(
                    (difference.interval.low * unit, difference.interval.high * unit), abs=1
                )


def test_cells_that_differ_are_those_of_the_settings() -> None:
    one, other = verified("one", seed=1, skill=2.0), verified("other", seed=2)
    pairs = compare_all([one, other], flips=999)
    drawn = entry_values(one, pairs)["tasks"]["small"]["pairs"][0][0]  # type: ignore[index, call-overload]
    differs = np.unpackbits(np.frombuffer(b64decode(drawn + "=" * (-len(drawn) % 4)), np.uint8))
    result, _ = measured("small")
    languages = list(result.task.languages)
    found = pairs["small"]["one", "other"].differs
    assert 0 < found.sum() < len(found)
    for setting, expected in zip(result.settings, found, strict=True):
        column = (
            len(languages) if len(setting.document_languages) > 1 else languages.index(setting.document_languages[0])
        )
        assert differs[languages.index(setting.query_language) * (len(languages) + 1) + column] == expected


def test_what_a_source_reports_by_language_is_drawn() -> None:
    drawn = values(reported("paper", said(), said("sparse")))
    assert list(drawn) == ["small", "sparse"]
    assert drawn["small"]["languages"] == ["ar", "de", "en"]
    assert list(drawn["small"]["rows"]) == ["multilingual"]
    assert unpacked(drawn["small"]["rows"]["multilingual"][0]) == [0.0, 0.1, 0.2]
