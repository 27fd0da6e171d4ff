"""The rows of a data set by the pair of languages they can give, without a list for each pair."""

from dataclasses import dataclass

import numpy as np

from mlbench.training.index import ABSENT, Ints, RowIndex
from mlbench.training.views import Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """Ordered pairs of languages as numbers, int64 (pairs,), with how much of a draw each takes.

    Pair a * languages + b has the query in a and the document in b; `ends`, float64 (pairs,), are cumulative weights,
    and `total` is the number of rows of the largest pair.
    """

    numbers: Ints
    ends: Floats
    total: int

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
        self._counts = np.bincount(index.pattern, minlength=len(index.is_text)).astype(np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        queries = (index.query_places != ABSENT).astype(np.int64)
        documents = (index.document_places != ABSENT).astype(np.int64)
        # Rows that have a query in the language of the row and a document in that of the column.
        self._sizes: Ints = (queries * self._counts[:, None]).T @ documents
        self._ends: dict[int, Ints] = {}
        own = np.eye(self.n_languages, dtype=bool)
        self._pairs = {True: self._select(own, tau), False: self._select(~own, tau)}

    def pairs(self, same: bool) -> Pairs:
        """Return the pairs of a language with itself, or those of two languages, for which there are two rows."""
        return self._pairs[same]

    def size(self, pair: int) -> int:
        """Return how many rows can give `pair`."""
        return int(self._sizes.flat[pair])

    def rows(self, pairs: Ints, places: Floats) -> Ints:
        """Return for each pair the row at its place, uniform on [0, 1), among the rows that can give it, int64 (n,)."""
        ends = np.stack([self._ends_of(pair) for pair in pairs.tolist()]) if len(pairs) else np.zeros((0, 1), np.int64)
        position = (places * ends[:, -1]).astype(np.int64)
        pattern = (ends <= position[:, None]).sum(axis=1)
        before = np.where(pattern > 0, np.take_along_axis(ends, np.maximum(pattern - 1, 0)[:, None], 1)[:, 0], 0)
        rows: Ints = self._order[self._starts[pattern] + position - before].astype(np.int64)
        return rows

    def _ends_of(self, pair: int) -> Ints:
        """Return how many rows of `pair` have this pattern or an earlier one, int64 (patterns,)."""
        if pair not in self._ends:
            query, document = divmod(pair, self.n_languages)
            present = (self.index.query_places[:, query] != ABSENT) & (
                self.index.document_places[:, document] != ABSENT
            )
            self._ends[pair] = np.cumsum(np.where(present, self._counts, 0))
        return self._ends[pair]

    def _select(self, wanted: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], tau: float) -> Pairs:
        numbers = np.flatnonzero(wanted.ravel() & (self._sizes.ravel() > 1))
        sizes = self._sizes.ravel()[numbers]
        return Pairs(numbers, np.cumsum(sizes.astype(np.float64) ** tau), int(sizes.max(initial=0)))
