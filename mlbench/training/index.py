"""Which languages the rows of a data set have, and which rows give each pair of languages."""

from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mlbench.training.cropping import Floats

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
ABSENT = -1


@dataclass(frozen=True, eq=False)
class RowIndex:
    """The rows of one data set; a row is a topic with a query and a document in some languages.

    Rows with the same languages share a pattern: `query_places` and `document_places`, int32 (patterns, languages),
    say which of a row's texts is its query or document in a language, `ABSENT` where it has none; `is_text` (patterns,)
    that both are views of one text. `pattern`, `topic`, `query_group` and `document_group` are int32 (rows,): rows
    with equal numbers have the same topic, the same query in some language, the same document in some language.
    `first_text`, int64 (rows,), is the number of a row's first text. The hard negatives of row i are those from
    `first_negative[i]` to `first_negative[i + 1]`, int64 (rows + 1,), of `negative_texts`, int64 (numbers of texts),
    `negative_languages` and `negative_groups`, int32: the `document_group` of an equal document, or `ABSENT`.
    """

    query_places: SmallInts
    document_places: SmallInts
    is_text: Bools
    pattern: SmallInts
    topic: SmallInts
    query_group: SmallInts
    document_group: SmallInts
    first_text: Ints
    first_negative: Ints
    negative_texts: Ints
    negative_languages: SmallInts
    negative_groups: SmallInts

    def __len__(self) -> int:
        return len(self.pattern)

    def without(self, dropped: Bools) -> "RowIndex":
        """Return the index with rows `dropped`, bool (rows,): they keep their numbers but have no language."""
        empty = np.full((1, self.query_places.shape[1]), ABSENT, np.int32)
        return replace(
            self,
            query_places=np.concatenate([self.query_places, empty]),
            document_places=np.concatenate([self.document_places, empty]),
            is_text=np.append(self.is_text, False),
            pattern=np.where(dropped, len(self.is_text), self.pattern).astype(np.int32),
        )

    def with_languages(self, known: tuple[str, ...], wanted: tuple[str, ...]) -> "RowIndex":
        """Return the index with the columns of `wanted` languages instead of `known` ones, in their order."""
        columns = [known.index(tag) if tag in known else ABSENT for tag in wanted]
        number = np.array([wanted.index(tag) if tag in wanted else ABSENT for tag in known] + [ABSENT], np.int32)
        return replace(
            self,
            query_places=_columns(self.query_places, columns),
            document_places=_columns(self.document_places, columns),
            negative_languages=number[self.negative_languages],
        )

    def without_queries(self, column: int) -> "RowIndex":
        """Return the index with no queries in the language of a column."""
        places = self.query_places.copy()
        places[:, column] = ABSENT
        return replace(self, query_places=places)

    def query_texts(self, rows: Ints, languages: Ints) -> Ints:
        """Return the numbers of the texts that are the queries of `rows` in `languages`, int64 (n,)."""
        return self.first_text[rows] + self.query_places[self.pattern[rows], languages]

    def document_texts(self, rows: Ints, languages: Ints) -> Ints:
        """Return the numbers of the texts that are the documents of `rows` in `languages`, int64 (n,)."""
        return self.first_text[rows] + self.document_places[self.pattern[rows], languages]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Ordered pairs of languages as numbers, int64 (pairs,), with how much of a draw each takes.

    Pair a * languages + b has the query in a and the document in b; `ends`, float64 (pairs,), are cumulative weights,
    and `n_rows` is the number of rows that can give one of the pairs.
    """

    numbers: Ints
    ends: Floats
    n_rows: int

    def draw(self, places: Floats) -> Ints:
        """Return the pairs at `places`, uniform on [0, 1)."""
        chosen: Ints = self.numbers[np.searchsorted(self.ends, places * self.ends[-1], side="right")]
        return chosen


class Pool:
    """Rows sorted by pattern: those of a pair of languages are a few stretches of that order.

    Memory is one number for each row, whatever the number of languages. `tau` weighs pairs by their number of rows.
    """

    def __init__(self, index: RowIndex, tau: float) -> None:
        self.index = index
        self.n_languages = index.query_places.shape[1]
        self._order = np.argsort(index.pattern, kind="stable").astype(np.int32)
        self._queries = index.query_places != ABSENT
        self._documents = index.document_places != ABSENT
        self._counts = np.bincount(index.pattern, minlength=len(index.is_text)).astype(np.int64)
        # Rows that have a query in the language of the row and a document in that of the column.
        sizes = (self._queries * self._counts[:, None]).T @ self._documents.astype(np.int64)
        self._sizes: Ints = sizes.ravel()
        own = np.eye(self.n_languages, dtype=bool)
        self._pairs = {True: self._select(own, tau), False: self._select(~own, tau)}
        # The stretches of one pair after those of another: where each ends, and how far off its rows then are.
        documents = self._documents.T
        patterns = np.concatenate([np.nonzero(documents & queries)[1] for queries in self._queries.T])
        self._starts: Ints = np.cumsum(self._sizes) - self._sizes
        self._ends = np.cumsum(self._counts[patterns])
        self._shifts = np.cumsum(self._counts)[patterns] - self._ends

    def pairs(self, same: bool) -> Pairs:
        """Return the pairs of a language with itself, or those of two languages, for which there are two rows."""
        return self._pairs[same]

    def size(self, pair: int) -> int:
        """Return how many rows can give `pair`."""
        return int(self._sizes[pair])

    def rows(self, pairs: Ints, places: Floats) -> Ints:
        """Return for each pair the row at its place, uniform on [0, 1), among the rows that can give it, int64 (n,)."""
        positions = self._starts[pairs] + (places * self._sizes[pairs]).astype(np.int64)
        stretches = np.searchsorted(self._ends, positions, side="right")
        rows: Ints = self._order[positions + self._shifts[stretches]].astype(np.int64)
        return rows

    def _select(self, wanted: Bools, tau: float) -> Pairs:
        chosen = wanted & (self._sizes > 1).reshape(wanted.shape)
        numbers = np.flatnonzero(chosen)
        usable = ((self._queries @ chosen) & self._documents).any(axis=1)
        ends = np.cumsum(self._sizes[numbers].astype(np.float64) ** tau)
        return Pairs(numbers, ends, int(self._counts[usable].sum()))


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """Which captions may stand beside their image: `usable`, bool (rows, languages); images are in column `column`."""

    column: int
    usable: Bools


class ImagePool:
    """Rows by the language of the caption that stands beside their image, in their order.

    So a language of which all captions are usable draws the rows that a `Pool` draws where all rows have all languages.
    Memory is one number for each usable caption.
    """

    def __init__(self, index: RowIndex, images: ImagePairs, tau: float) -> None:
        self.index = index
        self.n_languages = index.query_places.shape[1]
        shown = index.query_places[index.pattern, images.column] != ABSENT
        usable = (index.document_places[index.pattern] != ABSENT) & images.usable & shown[:, None]
        self._rows: Ints = np.concatenate([np.flatnonzero(column) for column in usable.T])
        self._sizes: Ints = usable.sum(axis=0)
        self._starts: Ints = np.cumsum(self._sizes) - self._sizes
        chosen = np.flatnonzero(self._sizes > 1)
        ends = np.cumsum(self._sizes[chosen].astype(np.float64) ** tau)
        n_rows = int(usable[:, chosen].any(axis=1).sum())
        self._pairs = Pairs(images.column * self.n_languages + chosen, ends, n_rows)

    def pairs(self, same: bool) -> Pairs:
        """Return the pairs of an image and a language for which there are two rows; of one language there are none."""
        return Pairs(self._pairs.numbers[:0], self._pairs.ends[:0], 0) if same else self._pairs

    def size(self, pair: int) -> int:
        """Return how many rows can give `pair`."""
        return int(self._sizes[pair % self.n_languages])

    def rows(self, pairs: Ints, places: Floats) -> Ints:
        """Return for each pair the row at its place, uniform on [0, 1), among the rows that can give it, int64 (n,)."""
        languages = pairs % self.n_languages
        chosen: Ints = self._rows[self._starts[languages] + (places * self._sizes[languages]).astype(np.int64)]
        return chosen


def share_of(index: RowIndex, low: float, high: float, salt: str) -> Bools:
    """Return which rows, bool (rows,), belong to the part of a data set from share `low` to share `high`.

    Rows that have a document in common are in the same part, and [0, .1) is a part of [0, .3). Another `salt` gives
    other parts. Rows with a query in common may be in two: if they had to be together, a few questions that many
    documents answer would make most rows one (see `related`).
    """
    seeds = np.frombuffer(blake2b(salt.encode(), digest_size=16).digest(), "<u8")
    # A multiplicative hash of the group's number: no table of groups, and the same on every machine.
    mixed = index.document_group.astype(np.uint64) + seeds[0]
    for shift in (30, 27, 31):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(0xBF58476D1CE4E5B9)
    place = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    chosen: Bools = (place >= low) & (place < high)
    return chosen


def related(index: RowIndex, rows: Bools) -> Bools:
    """Return which rows, bool (rows,), are among `rows` or have a topic, a query or a document in common with one."""
    found = rows.copy()
    for numbers in (index.topic, index.query_group, index.document_group):
        met = np.zeros(numbers.max(initial=-1) + 1, bool)
        met[numbers[rows]] = True
        found |= met[numbers]
    return found


def _columns(places: SmallInts, columns: list[int]) -> SmallInts:
    padded = np.concatenate([places, np.full((len(places), 1), ABSENT, np.int32)], axis=1)
    chosen: SmallInts = padded[:, columns]
    return chosen
