"""The sentences about an entry say what its numbers bear out, and nothing else."""

from collections.abc import Sequence

import pytest
from unit.leaderboard.sites import measured
from unit.reports.conftest import make_result

from mlbench.leaderboard.findings import findings, medians
from mlbench.results import Result

Number = float | tuple[float, float, float]
PLAIN = measured("small")[0]
LANGUAGES = ("Arabic", "German", "English", "Thai")
KINDS = ("monolingual", "cross_lingual", "multilingual")


def bounds(number: Number, reach: float = 0.02) -> tuple[float, dict[str, float]]:
    value, low, high = number if isinstance(number, tuple) else (number, number - reach, number + reach)
    return value, {"low": low, "high": high}


def result(
    languages: Sequence[Number] = (0.3, 0.3, 0.3, 0.3),
    kinds: Sequence[Number] = (0.5, 0.4, 0.3),
    preference: Number = 0.9,
) -> Result:
    """Return a result with these means of the pool by language, means by kind, and this language preference."""
    document = PLAIN.model_dump()
    by_language = dict(zip(document["task"]["languages"], languages, strict=True))
    for mean in document["aggregates"]:
        number = by_language.get(mean["query_language"]) if mean["kind"] == "multilingual" else None
        if mean["query_language"] is None:
            number = kinds[KINDS.index(mean["kind"])]
        if number is not None:
            mean["measures"]["AP"], mean["intervals"]["AP"] = bounds(number)
    for score in document["bias"]["scores"]:
        if score["name"] == "own_language_preference":
            score["value"], score["interval"] = bounds(preference)
    return Result.model_validate(document)


TYPICAL = result()


@pytest.mark.parametrize(
    ("languages", "said"),
    [
        ((0.31, 0.29, 0.3, 0.3), None),
        (
            (0.5, 0.29, 0.3, 0.1),
            "higher in 1 of 4 languages of the query, in Arabic (.500, median .300), and lower in 1, in Thai (.100, "
            "median .300).",
        ),
        ((0.5, 0.6, 0.3, 0.3), "higher in 2 of 4 languages of the query, most in German (.600, median .300)."),
        (
            (0.5, 0.6, 0.4, 0.7),
            "higher in every language of the query, most in Thai (.700, median .300) and least in English (.400, "
            "median .300).",
        ),
        (
            (0.2, 0.1, 0.25, 0.15),
            "lower in every language of the query, most in German (.100, median .300) and least in English (.250, "
            "median .300).",
        ),
    ],
)
def test_languages_are_held_against_the_median_entry(languages: Sequence[Number], said: str | None) -> None:
    found = findings(result(languages), medians([TYPICAL, TYPICAL, TYPICAL, result(languages)]))
    assert len(found) == (2 if said is None else 3)
    if said is not None:
        assert found[0] == f"Against the median entry, mAP is {said}"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (
            (0.8, 0.6, 0.3),
            "mAP falls from .800 within a language to .600 across languages, by 25 % (the median 20 %), and is .300 in "
            "the pool of all.",
        ),
        (
            (0.4, 0.5, 0.3),
            "mAP rises from .400 within a language to .500 across languages, by 25 % (the median falls by 20 %), and "
            "is .300 in the pool of all.",
        ),
        ((0.41, 0.4, 0.3), None),
        ((0.0, 0.4, 0.3), None),
    ],
)
def test_kinds_of_settings_are_compared_where_intervals_do_not_overlap(
    kinds: Sequence[Number], said: str | None
) -> None:
    found = findings(result(kinds=kinds), medians([TYPICAL, TYPICAL, TYPICAL]))
    assert [sentence for sentence in found if "across languages" in sentence] == ([] if said is None else [said])


@pytest.mark.parametrize(
    ("preference", "said"),
    [
        (0.985454, "98.5 % of cases (median 90.0 %; without a preference 50 %)."),
        (0.41, "41.0 % of cases (median 90.0 %; without a preference 50 %)."),
        (0.51, "51.0 % of cases: whether that language is preferred cannot be told."),
    ],
)
def test_language_preference_is_told_where_it_is_sure(preference: Number, said: str) -> None:
    found = findings(result(preference=preference), medians([TYPICAL, TYPICAL, TYPICAL]))
    assert found[-1] == f"Of two translations of an answer, the one in the query's language comes first in {said}"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_of_few_entries_there_is_no_median(n: int) -> None:
    found = findings(result((0.5, 0.1, 0.3, 0.3)), medians([TYPICAL] * n))
    assert len(found) == 2
    assert not any("median" in sentence for sentence in found)


def test_what_a_result_lacks_is_not_told() -> None:
    document = TYPICAL.model_dump() | {"bias": None}
    for mean in document["aggregates"]:
        mean["measures"]["AP"], mean["intervals"]["AP"] = None, None
    empty = Result.model_validate(document)
    assert findings(empty, medians([empty, empty, empty])) == []
    assert findings(empty, medians([TYPICAL, TYPICAL, TYPICAL])) == []


def test_a_real_result_is_told_of() -> None:
    whole = make_result(("ar", "de", "en"))
    assert all(sentence.endswith(".") for sentence in findings(whole, medians([whole] * 3)))
