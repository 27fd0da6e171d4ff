"""What an entry is good and bad at on a task, in up to three sentences that follow from its numbers.

The first is about languages, the second about kinds of settings, the third about language preference. Each is left out
where intervals do not bear it out. Nothing is praised: the median entry of the board is what an entry is held against.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import Kind
from mlbench.leaderboard.columns import title
from mlbench.leaderboard.overview import PREFERENCE, by_language
from mlbench.reports.formatting import count, decimal
from mlbench.results import Bounds, Result

FEWEST_ENTRIES = 3
"""Of fewer entries there is no median to hold one against."""


@dataclass(frozen=True)
class Medians:
    """Medians over the verified entries of a task, of which there are at least three; of fewer all are empty.

    `languages` are of the means by language that `findings` is about, and `fall` is of the share that the primary
    measure loses from the first kind of settings to the second.
    """

    languages: Mapping[str, float]
    fall: float | None
    preference: float | None


@dataclass(frozen=True)
class _Language:
    """A number of one language beside the median: `sure` where that is outside of the interval of the number."""

    name: str
    value: float
    median: float
    sure: bool

    @property
    def ahead(self) -> float:
        return self.value - self.median

    def __str__(self) -> str:
        return f"{self.name} ({decimal(self.value)}, median {decimal(self.median)})"


def medians(results: Sequence[Result]) -> Medians:
    """Return the medians of all results of one task."""
    if len(results) < FEWEST_ENTRIES:
        return Medians({}, None, None)
    numbers = [_by_language(result) for result in results]
    languages = {
        tag: median(known)
        for tag in results[0].task.languages
        if len(known := [value for each in numbers if (value := each[tag][0]) is not None]) >= FEWEST_ENTRIES
    }
    falls = [fall for result in results if (fall := _fall(result)) is not None]
    preferences = [value for result in results if (value := result.figure(PREFERENCE.name)[0]) is not None]
    return Medians(languages, _median(falls), _median(preferences))


def findings(result: Result, of_all: Medians) -> list[str]:
    """Return the sentences about a result; `of_all` are the medians of its task."""
    return [*_languages(result, of_all), *_kinds(result, of_all), *_preference(result, of_all)]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if len(values) >= FEWEST_ENTRIES else None


def _by_language(result: Result) -> dict[str, tuple[float | None, Bounds | None]]:
    """Return the means of the languages that ask, over the pool where there is one, with their intervals."""
    kinds: tuple[Kind, ...] = ("multilingual", "cross_lingual", "monolingual")
    if result.image_text is not None:
        kinds = ("text_to_image",)
    means = [by_language(result, kind, result.task.primary_measure) for kind in kinds]
    return next((each for each in means if any(value is not None for value, _ in each.values())), means[0])


def _languages(result: Result, of_all: Medians) -> Iterator[str]:
    """Say in which languages a result is above and below the median."""
    asking = "of the captions" if result.image_text is not None else "of the query"
    measure = title(result.task.primary_measure)
    held = [
        _Language(
            language_info(tag).name,
            value,
            of_all.languages[tag],
            not bounds.low <= of_all.languages[tag] <= bounds.high,
        )
        for tag, (value, bounds) in _by_language(result).items()
        if value is not None and bounds is not None and tag in of_all.languages
    ]
    said = f"Against the median entry, {measure} is"
    for sign, word in ((1, "higher"), (-1, "lower")):
        if held and all(each.sure and each.ahead * sign > 0 for each in held):
            most, *_, least = sorted(held, key=lambda each: -abs(each.ahead)) if len(held) > 1 else (held[0], held[0])
            ends = f", most in {most} and least in {least}" if len(held) > 1 else f": {most}"
            yield f"{said} {word} in every language {asking}{ends}."
            return
    parts: list[str] = []
    for sign, word in ((1, "higher"), (-1, "lower")):
        sure = [each for each in held if each.sure and each.ahead * sign > 0]
        if sure:
            most = max(sure, key=lambda each: abs(each.ahead))
            whole = "" if parts else f" of {count(len(held), 'language')} {asking}"
            parts.append(f"{word} in {len(sure)}{whole}, {'most in' if len(sure) > 1 else 'in'} {most}")
    if parts:
        yield f"{said} {', and '.join(parts)}."


def _fall(result: Result) -> float | None:
    """Return the share that the primary measure loses from the first kind of settings to the second."""
    numbers = [_mean(result, kind)[0] for kind in _compared(result)]
    return None if numbers[0] is None or numbers[1] is None or not numbers[0] else 1 - numbers[1] / numbers[0]


def _compared(result: Result) -> tuple[Kind, Kind]:
    return ("monolingual", "cross_lingual") if result.image_text is None else ("text_to_image", "image_to_text")


def _mean(result: Result, kind: Kind) -> tuple[float | None, Bounds | None]:
    return result.figure(result.task.primary_measure, kind)


def _kinds(result: Result, of_all: Medians) -> Iterator[str]:
    """Say how the kinds of settings differ, where their intervals do not overlap."""
    (first, near), (second, far) = (_mean(result, kind) for kind in _compared(result))
    fall = _fall(result)
    if first is None or second is None or fall is None or near is None or far is None:
        return
    if near.low <= far.high and far.low <= near.high:
        return
    start, end = "within a language", "across languages"
    if result.image_text is not None:
        start, end = "where captions find images", "where images find captions"
    pool, measure = _mean(result, "multilingual")[0], title(result.task.primary_measure)
    yield (
        f"{measure} {_moves(fall)} from {decimal(first)} {start} to {decimal(second)} {end}, "
        f"by {_percent(abs(fall), 0)}{_beside(fall, of_all.fall)}"
        f"{'' if pool is None else f', and is {decimal(pool)} in the pool of all'}."
    )


def _moves(fall: float) -> str:
    return "falls" if fall > 0 else "rises"


def _beside(fall: float, median_fall: float | None) -> str:
    """Return the median of what the entries lose, after what one of them does."""
    if median_fall is None:
        return ""
    other = "" if _moves(fall) == _moves(median_fall) else f" {_moves(median_fall)} by"
    return f" (the median{other} {_percent(abs(median_fall), 0)})"


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"


def _preference(result: Result, of_all: Medians) -> Iterator[str]:
    """Say how often the language of the query comes first."""
    value, bounds = result.figure(PREFERENCE.name)
    if value is None or bounds is None:
        return
    share = _percent(value, 1)
    said = f"Of two translations of an answer, the one in the query's language comes first in {share} of cases"
    if bounds.low <= 0.5 <= bounds.high:
        yield f"{said}: whether that language is preferred cannot be told."
        return
    median = "" if of_all.preference is None else f"median {_percent(of_all.preference, 1)}; "
    yield f"{said} ({median}without a preference 50 %)."
