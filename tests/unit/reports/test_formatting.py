import pytest

from mlbench.reports.formatting import count, decimal, heading, interval, listed, pool_name, spoken, two_digits, visible
from mlbench.results import Bounds


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0.4123, 3, ".412"),
        (0.9996, 3, "1.000"),
        (1.0, 3, "1.000"),
        (0.0, 3, ".000"),
        (-0.0314, 3, "-.031"),
        (-0.00001, 3, ".000"),
        (10845.83, 1, "10,845.8"),
        (10.0, 0, "10"),
        (0.0, 0, "0"),
        (None, 3, "·"),
    ],
)
def test_decimal(value: float | None, digits: int, written: str) -> None:
    assert decimal(value, digits) == written


@pytest.mark.parametrize(("measure", "name"), [("AP", "mAP"), ("AP@20", "mAP@20"), ("RR", "RR"), ("R@10", "R@10")])
def test_only_average_precision_has_another_name_as_a_mean(measure: str, name: str) -> None:
    assert heading(measure) == name


def test_interval() -> None:
    assert interval(Bounds(low=0.4, high=0.5)) == "[.400, .500]"
    assert interval(None) == ""


@pytest.mark.parametrize(
    ("number", "noun", "written"),
    [
        (1, "query", "1 query"),
        (13090, "query", "13,090 queries"),
        (2, "cluster", "2 clusters"),
        (0, "redraw", "0 redraws"),
    ],
)
def test_count(number: int, noun: str, written: str) -> None:
    assert count(number, noun) == written


@pytest.mark.parametrize(
    ("identifier", "name"), [("cross_lingual", "cross-lingual"), ("other_languages", "other languages")]
)
def test_spoken(identifier: str, name: str) -> None:
    assert spoken(identifier) == name


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("dense:a/b", "dense:a/b"),
        ("模型 نموذج é", "模型 نموذج é"),
        ("a\nb\x1b[31m\t", r"a\nb\x1b[31m\t"),
        ("\u202eevil\u2028\u200b", r"\u202eevil\u2028\u200b"),
        ("\x85\xa0\U000e0001", r"\x85\xa0\U000e0001"),
    ],
)
def test_what_acts_unseen_becomes_visible(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(("value", "text"), [(0.412, ".41"), (0.996, "1.0"), (1.0, "1.0"), (0.0, ".00"), (None, "·")])
def test_shares_take_three_characters_at_most(value: float | None, text: str) -> None:
    assert two_digits(value) == text


def test_long_lists_are_told_by_their_number() -> None:
    names = [f"a{number}" for number in range(31)]
    assert listed(names[:2], "language") == "a0, a1"
    assert listed(names[:30], "language").count(",") == 29
    assert listed(names, "language") == "31 languages"
    assert pool_name(names[:2]) == "pool a0,a1"
    assert pool_name(names) == "pool of 31 languages"
