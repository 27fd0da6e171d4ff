"""Folds texts to what their copies share, and tells which of many texts may contain some strings."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
# Letters of scripts that put no blanks between words: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han.
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
# Neither letters nor signs of their own: tatweel stretches a word, selectors choose the shape of the sign before them.
_SHAPING = re.compile("[\u0640\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_BASE = np.uint64(0x9E3779B97F4A7C15)
_TABLE_BITS = 24
_SHIFT = np.uint64(64 - _TABLE_BITS)
_BLOCK_STRINGS = 2**14


class _Fates(dict[int, str | None]):
    """What becomes of a code point, looked up once for each: kept, a blank (between words) or None (within one)."""

    def __missing__(self, code: int) -> str | None:
        fate = self[code] = _fate(chr(code))
        return fate


_FATES = _Fates()


def fold(text: str) -> str:
    """Return the words of `text`, single blanks between them: NFKC, casefold, only letters, digits and their marks.

    Format characters, points and accents of no letter vanish, everything else parts words. Nothing but signs gives "".
    """
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(composed.translate(_FATES).split())


def normalise(text: str) -> str:
    """Return the text in NFKC, case-folded, with single blanks: what makes two training texts the same.

    Signs and accents count, unlike in `fold`.
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def squeeze(folded: str) -> str:
    """Return a folded text without its blanks: what is compared for equality and containment."""
    return folded.replace(" ", "")


def has_blanks(folded: str) -> bool:
    """Say whether most of a folded text is in scripts with blanks between words; decided by the text, not its tag."""
    return 2 * len(_UNSPACED.findall(folded)) <= len(squeeze(folded))


def _fate(sign: str) -> str | None:
    category = unicodedata.category(sign)
    if _SHAPING.match(sign) or category in ("Cf", "Me"):
        return None
    if category in ("Mn", "Mc"):
        return sign if _spells(sign) else None
    return sign if sign.isalnum() else " "


def _spells(mark: str) -> bool:
    """Say whether a combining mark belongs to the spelling of a word: Thai vowels and tones, Hindi vowels and virama.

    Such marks are no letters to Unicode, but words differ in nothing else. The combining class tells them from points
    that are written or left out at will: 10 to 36 are those of Hebrew, Arabic and Syriac, 200 and above accents that
    NFKC composed with no letter, such as the stress on a Russian vowel or the dot that casefold leaves of a Turkish I.
    """
    combining = unicodedata.combining(mark)
    return combining < 10 or 36 < combining < 200


def shingles(folded: str, length: int, *, of_words: bool) -> frozenset[str]:
    """Return the distinct stretches of `length` words, or of so many characters without blanks; none if shorter."""
    if not of_words:
        text = squeeze(folded)
        return frozenset(text[i : i + length] for i in range(len(text) - length + 1))
    words = folded.split()
    return frozenset(" ".join(words[i : i + length]) for i in range(len(words) - length + 1))


class Sieve:
    """Knows by the fingerprints of their first `length` characters which strings texts may hold.

    The strings are squeezed, distinct within each of `groups`, and no shorter; a text is wanted where it may have a
    `share` of a group.
    """

    def __init__(self, groups: Iterable[Collection[str]], length: int, share: float) -> None:
        self._length, sizes = length, list[int]()

        def starts() -> Iterator[str]:
            for group in groups:
                sizes.append(len(group))
                yield from (string[:length] for string in group)

        # In blocks, so that few strings are held at once; stretches that reach from one into the next are left out.
        each, blocks = starts(), list[Hashes]()
        while block := "".join(islice(each, _BLOCK_STRINGS)):
            blocks.append(fingerprints(block, length)[::length])
        hashes = np.concatenate([np.empty(0, np.uint64), *blocks])
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._groups = hashes[order], np.repeat(np.arange(len(sizes)), sizes)[order]
        self._least = share * np.array(sizes)
        self._table = np.zeros(2**_TABLE_BITS, np.bool_)
        self._table[hashes >> _SHIFT] = True

    def candidates(self, squeezed: Sequence[str]) -> list[tuple[int, int]]:
        """Return (index of a squeezed text, index of a group that it may have enough of), each pair once.

        Every text that does have enough is there, and few others.
        """
        # No string has a line feed, so that no stretch of a text reaches into the next.
        hashes = fingerprints("".join(f"{text}\n" for text in squeezed), self._length)
        # The table of first bits turns nearly all away; to search for each would take far longer.
        places = np.flatnonzero(self._table[hashes >> _SHIFT])
        firsts = np.searchsorted(self._hashes, hashes[places])
        times = np.searchsorted(self._hashes, hashes[places], side="right") - firsts
        texts = np.searchsorted(np.cumsum([len(text) + 1 for text in squeezed]), places, side="right")
        # Each place beside each string that begins as the text does there.
        strings = np.arange(times.sum()) + np.repeat(firsts - np.cumsum(times) + times, times)
        pairs = np.repeat(texts, times) * len(self._least) + self._groups[strings]
        # Two strings of a group begin at two places.
        found, counts = np.unique(pairs, return_counts=True)
        enough = found[counts >= self._least[found % max(1, len(self._least))]].tolist()
        return [divmod(pair, len(self._least)) for pair in enough]


def fingerprints(text: str, length: int) -> Hashes:
    """Return a fingerprint of the `length` characters from each place of a text on, uint64 (max(0, n - length + 1),).

    It is a polynomial of the code points modulo 2^64; `length` is at least 1.
    """
    units = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.uint64)
    hashes = np.zeros(max(0, len(units) - length + 1), np.uint64)
    for offset in range(length):
        hashes = hashes * _BASE + units[offset : offset + len(hashes)]
    return hashes
