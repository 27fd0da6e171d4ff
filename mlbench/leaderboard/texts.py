"""What a text in a submission may hold: printable characters, no markup, and no path of the submitter's machine."""

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 4000
"""Characters of one text; a task's titles and summaries are shorter by their own rules."""

DEEPEST = 16
MOST_VALUES = 100_000

# Letters by category that leave no mark on the page.
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f")
_MOST_MARKS = 4

_MARKUP = re.compile(r"[<>]|&(#\w+|\w+);|\]\(|`")
_ADDRESS = re.compile(r"https?://[\w.-]+[^\s\"'\\]*")
_PATHS = {
    "a home path": re.compile(r"(?<!\w)~[\w.-]*/|(?<!\w)~$"),
    "a path that leaves its folder": re.compile(r"(?<![\w.])\.\.(?![\w.])"),
    "an address that is not https": re.compile(r"(?i)(?<!\w)(file|javascript|vbscript):|(?<!\w)data:[\w.+-]*/"),
    "an absolute path": re.compile(r"(?<![\w.)\]/])/[^\s/]|(?<![\w/])/$|//|(?<!\w)[A-Za-z]:[\\/]|\\"),
}


def text_fault(text: str, *, lines: bool = False) -> str:
    """Say why a text may not be shown, or nothing; `lines` lets it have line breaks, as prompts do."""
    if len(text) > LONGEST:
        return f"is longer than {LONGEST:,} characters"
    return _fault(text.replace("\n", " ") if lines else text)


def texts_fault(texts: Iterable[str]) -> str:
    """Say why some of many short texts may not be shown, or nothing."""
    return _fault(" ".join(texts))


def _fault(text: str) -> str:
    if not text.isprintable() or not _INVISIBLE.isdisjoint(text):
        return "has characters that cannot be seen"
    if not text.isascii() and (unicodedata.normalize("NFC", text) != text or _is_stacked(text)):
        return "has letters that are put together in another way than usual"
    if found := _MARKUP.search(text):
        return f"has markup: {found[0]!r:.40}"
    without = _ADDRESS.sub("", text)
    faults = (f"has {what}: {found[0]!r:.40}" for what, path in _PATHS.items() if (found := path.search(without)))
    return next(faults, "")


def document_fault(document: object) -> str:
    """Say where a parsed JSON document is nested too deeply, too large, or has a text with a fault; or nothing."""
    left: list[tuple[tuple[str | int, ...], object]] = [((), document)]
    met = 0
    while left:
        steps, value = left.pop()
        met += len(value) + 1 if isinstance(value, dict | list) else 0
        if met > MOST_VALUES:
            return f"it has more than {MOST_VALUES:,} values"
        if len(steps) > DEEPEST:
            return f"it is nested more than {DEEPEST} deep"
        texts = value if isinstance(value, dict) else [value] if isinstance(value, str) else []
        for text in texts:
            if fault := text_fault(text, lines="parameters" in steps):
                return f"{'a key of ' if isinstance(value, dict) else ''}{place_of(steps) or 'it'} {fault}"
        if isinstance(value, dict):
            left += (((*steps, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            left += (((*steps, index), inner) for index, inner in enumerate(value))
    return ""


def place_of(steps: tuple[str | int, ...]) -> str:
    """Write the way to a value in a document, such as `settings[3].kind`, so that it fits into one line."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    place = place if place.isprintable() else ascii(place)
    return place if len(place) <= 100 else f"{place[:97]}..."


def _is_stacked(text: str) -> bool:
    """Say whether more marks stand on one letter than any script puts there."""
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks > _MOST_MARKS:
            return True
    return False
