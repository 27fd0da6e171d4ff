"""How numbers, names, scores and methods are written for people, in every format."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from mlbench.collection.languages import Kind
from mlbench.results import BiasResult, Bounds, Result, Statistics
from mlbench.statistics.differences import MOST_UNRETRIEVED

_P_DIGITS = 4
_MOST_LISTED = 30


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a column shows: a macro mean of `name` over a kind of settings, or without a kind the score `name`.

    With a `language` it is about the captions in it alone.
    """

    name: str
    kind: Kind | None
    language: str | None = None

    @property
    def title(self) -> str:
        """How a column is headed."""
        if self.language is not None:
            return self.language
        if self.kind is not None:
            return f"{heading(self.name)} {SHORT[self.kind]}"
        return "rank distance median" if self.name == MEDIAN else spoken(self.name)

    def write(self, value: float | None, *, beside: float | None = None) -> str:
        """Write a value, with as many digits as the one `beside` which it stands."""
        if self.kind is not None or value is None:
            return decimal(value)
        if beside is not None and abs(beside) >= 1000 > abs(value):
            return decimal(value, 0)
        return written(self.name, value)

    def signed(self, value: float | None, *, beside: float | None = None) -> str:
        """Write a difference with its sign."""
        text = self.write(value, beside=beside)
        return text if value is None or text.startswith("-") else f"+{text}"


def p_text(p: float) -> str:
    """Write a p-value: `.0312`, `< .0001`."""
    smallest = 10.0**-_P_DIGITS
    return f"< {decimal(smallest, _P_DIGITS)}" if p < smallest else decimal(p, _P_DIGITS)


def n_settings(result: Result, kind: Kind) -> int:
    """Return how many settings of a kind have a value, and so a part in its mean: some have no relevant document."""
    primary = result.task.primary_measure
    return sum(each.kind == kind and each.measures.get(primary) is not None for each in result.settings)


def task_label(result: Result) -> str:
    """Return the name of the task, with its languages where it is partial, and with what a quick look is."""
    task = result.task
    notes = [f"{listed(task.languages, 'language')} only"] if task.partial else []
    notes += [f"without {count(task.unreadable_images, 'unreadable image')}"] if task.unreadable_images else []
    notes += [] if task.limit is None else [quick_look(task.limit)]
    return f"{task.name} ({'; '.join(notes)})" if notes else task.name


def signed(quantity: Quantity, value: float | None, *, beside: float | None = None) -> str:
    """Write a difference with its sign, or without one where it is written as nothing but zeros."""
    text = quantity.signed(value, beside=beside)
    return text if text.strip("+-.0") else text.lstrip("+-")


def bounds_text(quantity: Quantity, bounds: Bounds | None, *, beside: float | None = None) -> str:
    """Write the interval of a difference, such as `[-.014, +.002]`; None is the empty string."""
    return interval(bounds, lambda bound: signed(quantity, bound, beside=beside))


ABSENT = "·"
"""What stands where there is no value."""
SHORT: dict[Kind, str] = {
    "monolingual": "mono",
    "cross_lingual": "cross",
    "multilingual": "multi",
    "text_to_image": "to image",
    "image_to_text": "to text",
    "image_to_pool": "to pool",
}
"""How kinds of settings are called at the head of a narrow column."""
_NAMES = {
    "r_mean": "r_mean",
    "clip_score": "CLIPScore",
    "ref_clip_score": "RefCLIPScore",
    "judged_text_to_image": "judged to image",
    "judged_image_to_text": "judged to text",
    "judged_own": "judged own",
}


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a number with `digits` decimals and no leading zero: `.412`, `1.000`, `-.031`, `10,845.8`; None is `·`."""
    if value is None:
        return ABSENT
    text = f"{round(value, digits) + 0.0:,.{digits}f}"
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    return sign + text.removeprefix("0") if digits else sign + text


def two_digits(value: float | None) -> str:
    """Write a share between 0 and 1 in at most three characters: `.41`, `1.0`; None is `·`."""
    text = decimal(value, 2)
    return "1.0" if text == "1.00" else text


def interval(bounds: Bounds | None, write: Callable[[float], str] = decimal) -> str:
    """Write an interval such as `[.401, .423]`; None is the empty string."""
    return f"[{write(bounds.low)}, {write(bounds.high)}]" if bounds else ""


def heading(measure: str) -> str:
    """Return how the mean of a measure over queries is called: that of AP is mAP, others keep their name."""
    return f"m{measure}" if measure.partition("@")[0] == "AP" else measure


def spoken(identifier: str) -> str:
    """Return a name for prose: `cross_lingual` is `cross-lingual`, `other_languages` is `other languages`.

    What has a name in papers keeps it: `clip_score` is `CLIPScore`.
    """
    return _NAMES.get(identifier) or identifier.replace("_lingual", "-lingual").replace("_", " ")


def count(number: int, noun: str) -> str:
    """Write a number of things: `1 query`, `13,090 queries`, `2 documents`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def listed(names: Sequence[str], noun: str) -> str:
    """Write names with commas between them, or where they are more than a reader takes in, how many there are."""
    return ", ".join(names) if len(names) <= _MOST_LISTED else count(len(names), noun)


def pool_name(languages: Sequence[str]) -> str:
    """Return how a pool is called: `pool ar,en,zh`, or `pool of 205 languages` where there are too many to be read."""
    if len(languages) > _MOST_LISTED:
        return f"pool of {count(len(languages), 'language')}"
    return f"pool {','.join(languages)}"


def quick_look(n_topics: int) -> str:
    """Say of a result of a few topics what it is, in the same words wherever it is shown."""
    return f"quick look: {count(n_topics, 'topic')}, not comparable"


def visible(text: str) -> str:
    """Return `text` with line breaks, control and direction characters as escapes: nothing in it acts unseen."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Joiners belong to the spelling of many languages; all else that is not printed could act on the terminal.
_JOINERS = frozenset("\u200c\u200d")


def passage(text: str) -> str:
    """Return a text in any language on one line, without what is not printed: nothing in it acts on a terminal."""
    joined = re.sub(r"\s+", " ", text).strip()
    return "".join(c for c in joined if c.isprintable() or c in _JOINERS)


MEDIAN = "rank_distance_median"
"""The score that stands with the rank distance."""
_OF_TEXTS = ("own_language_preference", "rank_distance", MEDIAN, "max_rank_norm")
_OF_NATIVE_TEXTS = ("PEER", "own_language_preference", "own_language_exposure")
_OF_TOPICS_APART = ("PEER", "worst_language", "language_share@20")
# An image has no language of its own that it could prefer.
_OF_IMAGES = ("rank_distance", MEDIAN, "language_prior", "rank_spread")
_THOUSANDS = 1000
# Ranks, and what is scaled to 100, need no third decimal; all else are shares.
_DIGITS = {
    "rank_distance": 1,
    "rank_distance_median": 1,
    "max_rank": 1,
    "max_rank_norm": 1,
    "rank_distance_log2": 2,
    "rank_spread": 2,
    "language_share@10": 2,
    "language_share@20": 2,
}


def headline(result: Result) -> tuple[str, ...]:
    """Return the scores of the line that always stands."""
    if result.image_text is not None:
        return _OF_IMAGES
    if not result.task.parallel:
        return _OF_TOPICS_APART
    return _OF_TEXTS if result.task.documents == "translations" else _OF_NATIVE_TEXTS


def pool_kind(result: Result) -> Kind:
    """Return the kind of settings that bias scores are about."""
    return "multilingual" if result.image_text is None else "image_to_pool"


def other_scores(result: Result) -> list[BiasResult]:
    """Return the bias scores that have a value and do not stand in the bias line; often none."""
    scores = result.bias.scores if result.bias else ()
    return [score for score in scores if score.name not in headline(result) and score.value is not None]


def written(name: str, value: float | None) -> str:
    """Write a value of the bias score `name` with as many decimals as it deserves; None is `·`."""
    digits = _DIGITS.get(name, 3)
    # Nobody reads a tenth of a rank beside thousands of them.
    return decimal(value, 0 if value is not None and abs(value) >= _THOUSANDS else digits)


def score_value(score: BiasResult) -> str:
    """Write the value of a score."""
    return written(score.name, score.value)


def score_interval(score: BiasResult) -> str:
    """Write the interval of a score, such as `[.985, .998]`; without one, the empty string."""
    return interval(score.interval, partial(written, score.name))


def score_references(score: BiasResult) -> str:
    """Write ideal, chance level and companions, such as `ideal 10, chance 440.8`; without any, the empty string.

    The share of the relevant documents that are in no list follows, where there is one.
    """
    known = {name: value for name, value in score.references.items() if value is not None}
    parts = [references(score.name, known.pop("ideal", None), known.pop("chance", None))]
    parts += [f"{spoken(name)} {_reference(score.name, value)}" for name, value in known.items()]
    parts += [f"unretrieved {decimal(score.unretrieved_share)}"] if score.unretrieved_share else []
    return ", ".join(filter(None, parts))


def references(name: str, ideal: float | None, chance: float | None) -> str:
    """Write what a perfect and a random order give, such as `ideal 10, chance 440.8` or `ideal and chance .500`."""
    best, random = ("" if value is None else _reference(name, value) for value in (ideal, chance))
    if best and best == random:
        return f"ideal and chance {best}"
    return ", ".join(f"{word} {text}" for word, text in (("ideal", best), ("chance", random)) if text)


def told_references(scores: Iterable[tuple[str, float | None, float | None]]) -> list[str]:
    """Return of scores, each a name, its ideal and its chance, such as `rank distance: ideal 10, chance 440.8`."""
    texts = ((name, references(name, ideal, chance)) for name, ideal, chance in scores)
    return [f"{spoken(name)}: {text}" for name, text in texts if text]


def unlisted_note(result: Result) -> str:
    """Say that lists leave out more relevant documents than bias scores can be compared with; else the empty text."""
    shares = [score.unretrieved_share or 0.0 for score in result.bias.scores] if result.bias else []
    if max(shares, default=0.0) <= MOST_UNRETRIEVED:
        return ""
    return (
        f"{max(shares):.1%} of the relevant documents are in no list, and stand in the bias scores where chance puts "
        f"them: above {MOST_UNRETRIEVED:.0%}, bias scores are not compared"
    )


def score_ends(score: BiasResult) -> str:
    """Write the languages with the lowest and the highest value; the empty string where they look the same."""
    known = sorted((row.value, row.language) for row in score.rows if row.value is not None)
    if not known:
        return ""
    (low, lowest), (high, highest) = known[0], known[-1]
    ends = (written(score.name, low), written(score.name, high))
    return f"{lowest} {ends[0]}, {highest} {ends[1]}" if ends[0] != ends[1] else ""


def _reference(name: str, value: float) -> str:
    # The floor of a rank is a whole number.
    return decimal(value, 0) if _DIGITS.get(name) == 1 and value.is_integer() else written(name, value)


def cost(result: Result) -> list[str]:
    """Return in a few words each what the run took."""
    taken = result.cost
    spent = [f"encode {taken.encode_seconds:,.1f} s", f"rank {taken.rank_seconds:,.1f} s"]
    if taken.texts is not None and taken.encoded_texts is not None:
        spent.insert(0, f"{taken.encoded_texts:,} of {count(taken.texts, 'distinct text')} encoded")
    if taken.images is not None and taken.encoded_images is not None:
        spent.insert(1, f"{taken.encoded_images:,} of {count(taken.images, 'distinct image')} encoded")
    if taken.price is not None and taken.tokens is not None:
        spent.append(f"{count(taken.tokens, 'token')} for {taken.price:,.4f}")
    return spent


def repeatability(result: Result) -> str | None:
    """Say whether the same texts got the same vectors again; None for a retriever that is not asked twice."""
    found = result.retriever.repeatability
    if found is None:
        return None
    if found.repeatable:
        return f"repeatable: {count(found.probe_texts, 'text')} got the same vectors again"
    return f"not repeatable: cosine of the same text down to {found.least_cosine:.6f}"


def intervals(statistics: Statistics) -> list[str]:
    """Return in a few words each how intervals were made."""
    parts = [
        f"{100 * statistics.confidence:g} % intervals: {count(statistics.resamples, 'resample')} of"
        f" {count(statistics.n_clusters, 'cluster')}",
        *([] if statistics.clustered_by == "cluster" else [f"clustered by {statistics.clustered_by}"]),
        f"seed {statistics.seed}",
    ]
    if statistics.redraws:
        parts.append(count(statistics.redraws, "redraw"))
    if statistics.warning:
        parts.append(f"warning: {statistics.warning}")
    return parts


def sign_flip_test(flips: int, *, exact: bool = False) -> str:
    """Name the test that p-values are from, and its flips; `exact` says that these are all there are."""
    return f"p by a cluster-level sign-flip permutation test ({'all ' if exact else ''}{count(flips, 'flip')})"
