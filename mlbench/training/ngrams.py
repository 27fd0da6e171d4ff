"""Folds texts to what their copies share, and finds known strings in many texts by n-gram fingerprints."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.uint64]
Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]
# Letters of scripts that put no blanks between words: Thai, Lao, Tibetan, Burmese, Khmer, kana and Han.
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
# Neither letters nor signs of their own: tatweel stretches a word, selectors choose the shape of the sign before them.
_SHAPING = re.compile("[\u0640\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_BASE = 0x9E3779B97F4A7C15
_BLANK, _END = ord(" "), ord("\n")
_TABLE_BITS = 24


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


@dataclass(frozen=True)
class Stream:
    """The units (code points, or hashes of words) of texts, one text after the other; `ends` are the places after each.

    A place between two texts holds a unit that occurs in none, so that no stretch of a text reaches into the next.
    """

    units: Units
    ends: Positions

    def windows(self, length: int) -> Units:
        """Return the fingerprint of `length` units from each place on, (max(0, n - length + 1),); `length` >= 1."""
        n = max(0, len(self.units) - length + 1)
        hashes, part = np.zeros(n, np.uint64), self.units
        # `part` fingerprints 1, 2, 4 ... units; those that are binary digits of `length` are strung together.
        width, start = 1, 0
        while start < length:
            power = np.uint64(pow(_BASE, width, 2**64))
            if length & width:
                hashes = hashes * power + part[start : start + n]
                start += width
            part = part[: max(0, len(part) - width)] * power + part[width:]
            width *= 2
        return hashes

    def owners(self, positions: Positions) -> Positions:
        """Return the index of the text that holds each position."""
        return np.searchsorted(self.ends, positions).astype(np.int64)

    def inside(self, length: int) -> Positions:
        """Return the positions from which on `length` units lie in one text."""
        positions = np.arange(max(0, len(self.units) - length + 1))
        return positions[self.ends[self.owners(positions)] >= positions + length]


def characters(folded: Sequence[str]) -> Stream:
    """Return the code points of folded texts, without blanks."""
    codes = _codes(folded)
    codes = codes[codes != _BLANK]
    return Stream(codes.astype(np.uint64), np.flatnonzero(codes == _END))


def words(folded: Sequence[str]) -> Stream:
    """Return hashes of the words of folded texts."""
    codes = _codes(folded)
    letters = codes != _BLANK
    begins = letters & ~np.concatenate((np.zeros(1, np.bool_), letters[:-1]))[: len(letters)]
    codes, starts = codes[letters], np.flatnonzero(begins[letters])
    if not len(starts):
        return Stream(np.zeros(0, np.uint64), starts)
    within = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    hashes = np.add.reduceat(codes * _powers(int(within.max()) + 1)[within], starts)
    # Windows of words are polynomials as well: without a twist between the two, letters could move between words.
    twisted = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return Stream(twisted ^ (twisted >> np.uint64(32)), np.flatnonzero(codes[starts] == _END))


@dataclass(frozen=True)
class Lookup:
    """Distinct fingerprints in ascending order, with a table of their first bits that turns nearly all others away."""

    hashes: Units
    table: Flags

    @classmethod
    def of(cls, hashes: Units) -> "Lookup":
        """Return the lookup of `hashes`, in any order and with repetitions."""
        distinct = np.unique(hashes)
        table = np.zeros(2**_TABLE_BITS, np.bool_)
        table[_first_bits(distinct)] = True
        return cls(distinct, table)

    def find(self, windows: Units) -> tuple[Positions, Positions]:
        """Return the positions at which `windows` has a known fingerprint, and the place of that one in `hashes`."""
        positions = np.flatnonzero(self.table[_first_bits(windows)])
        if not len(positions):
            return positions, positions
        places = np.minimum(np.searchsorted(self.hashes, windows[positions]), len(self.hashes) - 1)
        known = self.hashes[places] == windows[positions]
        return positions[known], places[known]


@dataclass(frozen=True)
class Strings:
    """Distinct squeezed strings of at least `length` characters, found by the first and the last `length` of them.

    Those that begin with the fingerprint i of `lookup.hashes` are texts[bounds[i]:bounds[i + 1]].
    """

    texts: tuple[str, ...]
    length: int
    lookup: Lookup
    bounds: Positions
    sizes: Positions
    lasts: Units

    @classmethod
    def of(cls, texts: Iterable[str], length: int) -> "Strings":
        """Return `texts` ready to be found; none is shorter than `length`, none may be given at all."""
        distinct = np.array(sorted(set(texts)), dtype=object)
        firsts = _fingerprints([text[:length] for text in distinct], length)
        order = np.argsort(firsts, kind="stable")
        lookup = Lookup.of(firsts)
        ordered = tuple(distinct[order])
        return cls(
            texts=ordered,
            length=length,
            lookup=lookup,
            bounds=np.append(np.searchsorted(firsts[order], lookup.hashes), len(order)).astype(np.int64),
            sizes=np.array([len(text) for text in ordered], np.int64),
            lasts=_fingerprints([text[-length:] for text in ordered], length),
        )

    def find(self, stream: Stream, texts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (index among `texts`, a string in that one) once for each pair; `stream` is that of `texts`."""
        windows = stream.windows(self.length)
        positions, groups = self.lookup.find(windows)
        members, found = self.bounds[groups], [np.zeros(0, np.int64)]
        # Round by round the next string of each group, so that memory does not grow with the size of groups.
        while len(positions):
            last = positions + self.sizes[members] - self.length
            likely = last < len(windows)
            likely[likely] = windows[last[likely]] == self.lasts[members[likely]]
            found.append(stream.owners(positions[likely]) * len(self.texts) + members[likely])
            members = members + 1
            more = members < self.bounds[groups + 1]
            positions, groups, members = positions[more], groups[more], members[more]
        for text, string in (divmod(key, len(self.texts)) for key in np.unique(np.concatenate(found)).tolist()):
            if self.texts[string] in squeeze(texts[text]):
                yield text, self.texts[string]


@dataclass(frozen=True)
class Paragraphs:
    """Paragraphs of which a `share` of the distinct shingles must be in a text (`sizes`: how many each has).

    Those that have the shingle of fingerprint i of `lookup.hashes` are holders[bounds[i]:bounds[i + 1]].
    """

    texts: tuple[str, ...]
    length: int
    of_words: bool
    share: float
    lookup: Lookup
    bounds: Positions
    holders: Positions
    sizes: Positions

    @classmethod
    def of(cls, texts: Sequence[str], length: int, *, of_words: bool, share: float) -> "Paragraphs":
        """Return `texts` ready to be found; each has a shingle of `length` words or characters."""
        stream = words(texts) if of_words else characters(texts)
        positions = stream.inside(length)
        hashes, places = np.unique(stream.windows(length)[positions], return_inverse=True)
        shingle, holders = _distinct_pairs(places, stream.owners(positions), len(texts))
        return cls(
            texts=tuple(texts),
            length=length,
            of_words=of_words,
            share=share,
            lookup=Lookup.of(hashes),
            bounds=np.searchsorted(shingle, np.arange(len(hashes) + 1)),
            holders=holders,
            sizes=np.bincount(holders, minlength=len(texts)),
        )

    def find(self, stream: Stream, texts: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Yield (index among `texts`, a paragraph with enough shingles in that one); `stream` is that of `texts`."""
        positions, found = self.lookup.find(stream.windows(self.length))
        owners, shingle = _distinct_pairs(stream.owners(positions), found, len(self.lookup.hashes))
        firsts, times = self.bounds[shingle], self.bounds[shingle + 1] - self.bounds[shingle]
        steps = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        holders = self.holders[np.repeat(firsts, times) + steps]
        keys, shared = np.unique(np.repeat(owners, times) * len(self.texts) + holders, return_counts=True)
        likely = keys[shared >= self.share * self.sizes[keys % len(self.texts)]]
        for text, paragraph in (divmod(key, len(self.texts)) for key in likely.tolist()):
            own = shingles(self.texts[paragraph], self.length, of_words=self.of_words)
            both = own & shingles(texts[text], self.length, of_words=self.of_words)
            if len(both) >= self.share * len(own):
                yield text, self.texts[paragraph]


def shingles(folded: str, length: int, *, of_words: bool) -> frozenset[str]:
    """Return the distinct stretches of `length` words, or of so many characters without blanks; none if shorter."""
    if not of_words:
        text = squeeze(folded)
        return frozenset(text[i : i + length] for i in range(len(text) - length + 1))
    words = folded.split()
    return frozenset(" ".join(words[i : i + length]) for i in range(len(words) - length + 1))


def _codes(folded: Sequence[str]) -> NDArray[np.uint32]:
    """Return the code points of all texts with their blanks; a word of its own ends each text."""
    return np.frombuffer("".join(f"{text} \n " for text in folded).encode("utf-32-le"), "<u4")


def _powers(n: int) -> Units:
    return np.cumprod(np.concatenate((np.ones(1, np.uint64), np.full(n - 1, _BASE, np.uint64))), dtype=np.uint64)


def _first_bits(hashes: Units) -> Units:
    return hashes >> np.uint64(64 - _TABLE_BITS)


def _distinct_pairs(first: Positions, second: Positions, n: int) -> tuple[Positions, Positions]:
    """Return the distinct pairs in ascending order; the numbers in `second` are below `n`."""
    keys = np.unique(first * n + second)
    return keys // max(n, 1), keys % max(n, 1)


def _fingerprints(strings: Sequence[str], length: int) -> Units:
    """Return the fingerprint of each string, as `Stream.windows` gives it; all have `length` characters."""
    return characters(strings).windows(length)[:: length + 1]
