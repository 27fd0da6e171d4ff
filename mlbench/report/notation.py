"""How numbers and names are written for people."""

from mlbench.languages import Kind
from mlbench.results import Bounds

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

_NAMES = {"r_mean": "r_mean", "clip_score": "CLIPScore", "ref_clip_score": "RefCLIPScore"}


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


def interval(bounds: Bounds | None) -> str:
    """Write an interval such as ` [.401, .423]`, with a space before it; None is the empty string."""
    return f" [{decimal(bounds.low)}, {decimal(bounds.high)}]" if bounds else ""


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


def quick_look(n_topics: int) -> str:
    """Say of a result of a few topics what it is, in the same words wherever it is shown."""
    return f"quick look: {count(n_topics, 'topic')}, not comparable"


def visible(text: str) -> str:
    """Return `text` with line breaks, control and direction characters as escapes: nothing in it acts unseen."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
