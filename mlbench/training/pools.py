"""The rows of a data set by the pair of languages they can give, and images by the language of their caption."""

from dataclasses import dataclass

import numpy as np

from mlbench.training.index import ABSENT, Bools, Ints, RowIndex
from mlbench.training.views import Floats


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
