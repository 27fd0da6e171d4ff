"""How the language-bias scores of a result are written."""

from mlbench.languages import Kind
from mlbench.report.notation import decimal, spoken
from mlbench.results import BiasResult, Result

MEDIAN = "rank_distance_median"
"""The score that stands with the rank distance."""

_OF_TEXTS = ("own_language_preference", "rank_distance", MEDIAN, "max_rank_norm")
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
    return _OF_TEXTS if result.image_text is None else _OF_IMAGES


def pool_kind(result: Result) -> Kind:
    """Return the kind of settings that bias scores are about."""
    return "multilingual" if result.image_text is None else "image_to_pool"


def other_scores(result: Result) -> list[BiasResult]:
    """Return the bias scores that have a value and do not stand in the bias line; often none."""
    scores = result.bias.scores if result.bias else ()
    return [score for score in scores if score.name not in headline(result) and score.value is not None]


def no_bias(result: Result) -> str:
    """Say why a result has no bias scores."""
    return "topics are not parallel" if not result.task.parallel else "no pool of several languages was measured"


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
    bounds = score.interval
    return f"[{written(score.name, bounds.low)}, {written(score.name, bounds.high)}]" if bounds else ""


def score_references(score: BiasResult) -> str:
    """Write floor and chance levels, such as `floor 10, chance 440.8`; without any, the empty string."""
    known = [(name, value) for name, value in score.references.items() if value is not None]
    known.sort(key=lambda reference: reference[0] != "floor")
    return ", ".join(f"{spoken(name)} {_reference(score.name, value)}" for name, value in known)


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
