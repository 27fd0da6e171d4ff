"""Two views of a text, or of a text and its translation, for parallel text that has no questions."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Units = TypeVar("Units", bound=Sequence[object])
# The mean length of words, with the blank, is at most this for 99 % of sentences in languages that part them.
_LONGEST_WORDS = 12


def draw_spans(cuts: Floats, sides: Floats, overlap: float) -> tuple[Floats, Floats]:
    """Return where query and document begin and end, as shares of their texts' lengths, both (n, 2).

    A text is cut once, at a place uniform over its middle half (`cuts`, uniform on [0, 1)); the query has the left part
    where `sides`, uniform on [0, 1), is below a half, and the document has the other. Then both reach into each other's
    part, over the share `overlap` of it: so much of the whole text is in both views. 0 gives disjoint views, 1 gives
    both the whole text. The same places are used whatever the two languages are.
    """
    cut = 0.25 + 0.5 * cuts
    left = np.stack([np.zeros_like(cut), cut + overlap * (1 - cut)], axis=1)
    right = np.stack([(1 - overlap) * cut, np.ones_like(cut)], axis=1)
    first = (sides < 0.5)[:, None]
    return np.where(first, left, right), np.where(first, right, left)


def cut_units(units: Units, span: Sequence[float]) -> Units:
    """Return the units (tokens, words, characters) between two shares of the length, at least one where there is one.

    Both ends are rounded to the nearest unit, so that disjoint spans share none but where the text is too short.
    """
    start, end = round(span[0] * len(units)), round(span[1] * len(units))
    if end <= start and len(units):
        start = min(start, len(units) - 1)
        end = start + 1
    return units[start:end]  # type: ignore[return-value]


def cut_text(text: str, span: Sequence[float]) -> str:
    """Return the part of a text between two shares of its length, cut between words.

    A text with few blanks, such as Thai or Chinese, is cut between characters.
    """
    if span[0] <= 0 and span[1] >= 1:
        return text
    words = text.split()
    plain = " ".join(words)
    if len(words) < 2 or len(plain) > _LONGEST_WORDS * len(words):
        return cut_units(plain, span)
    return " ".join(cut_units(words, span))
