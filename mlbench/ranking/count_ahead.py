"""Counts how many documents of each block have a higher score than each relevant document, exactly."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Integers = NDArray[np.signedinteger]
_NOWHERE = np.iinfo(np.int64).max
# With so many relevant documents of one query, its scores are sorted once in place of being compared with each.
_MANY = 24


@dataclass(frozen=True, eq=False)
class Block:
    """Documents that are counted together: those of one language, or one shard of them.

    `vectors` is float64 (n, dim) on the grid; `positions` int64 (n,), ascending, that of each document in the order
    of ids over all blocks.
    """

    vectors: Floats
    positions: Integers


@dataclass(frozen=True, eq=False)
class Targets:
    """The relevant documents whose ranks are wanted, one row for each (query, relevant document).

    `query` is int64 (rows,), ascending; `scores` float64 (rows,), exact; `positions` int64 (rows,).
    """

    query: Integers
    scores: Floats
    positions: Integers


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the work is cut; the counts do not depend on it.

    `depth` documents are kept at the top of each list; `product` multiplies (rows, dim) by (dim, columns).
    """

    depth: int = 20
    rows: int = 512
    columns: int = 2048
    threads: int | None = None
    product: Callable[[Floats, Floats], Floats] = np.matmul


@dataclass(frozen=True, eq=False)
class Counts:
    """What ranking leaves of all scores.

    `ahead` is int32 (rows, blocks), the documents of a block that stand before the relevant document; `ties` int32
    (rows, blocks), the other documents with the same score; `top` int64 (queries, depth), the positions of the best
    documents of all blocks together, -1 where there are fewer.
    """

    ahead: NDArray[np.int32]
    ties: NDArray[np.int32]
    top: Integers


def exact_scores(queries: Floats, query: Integers, documents: Floats, document: Integers) -> Floats:
    """Return the float64 (rows,) scores of pairs of grid vectors, given by row index into either side."""
    scores = np.empty(len(query))
    for start in range(0, len(query), 4096):
        rows = slice(start, start + 4096)
        scores[rows] = np.einsum("ij,ij->i", queries[query[rows]], documents[document[rows]])
    return scores


def count_ahead(
    queries: Floats,
    targets: Targets,
    blocks: Sequence[Block],
    *,
    tiling: Tiling | None = None,
    advance: Callable[[int], None] | None = None,
) -> Counts:
    """Count for each target and block the documents that stand before it, and keep the top of all blocks.

    `queries` is float64 (n, dim) on the grid. No queries, no targets or no blocks give arrays of length 0. Working
    memory is a few tiles for each thread, whatever the number of queries and documents. `advance` is told how many
    queries are done.
    """
    tiling = tiling or Tiling()
    counts = Counts(
        ahead=np.zeros((len(targets.query), len(blocks)), dtype=np.int32),
        ties=np.zeros((len(targets.query), len(blocks)), dtype=np.int32),
        top=np.full((len(queries), tiling.depth), -1, dtype=np.int64),
    )

    def work(start: int) -> int:
        chunk = _Chunk(queries[start : start + tiling.rows], targets, start, counts, tiling)
        for column, block in enumerate(blocks):
            chunk.add(column, block)
        chunk.close()
        return len(chunk.queries)

    # Threads over chunks of queries with single-threaded products keep both cores busy in comparing as well.
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(tiling.threads or cpu_count()) as pool:
        for done in pool.map(work, range(0, len(queries), tiling.rows)):
            if advance:
                advance(done)
    return counts


class _Chunk:
    """Some consecutive queries on their way through all blocks."""

    def __init__(self, queries: Floats, targets: Targets, start: int, counts: Counts, tiling: Tiling) -> None:
        self.queries, self.tiling, self.top = queries, tiling, counts.top[start : start + len(queries)]
        rows = slice(*np.searchsorted(targets.query, (start, start + len(queries))))
        self.ahead, self.ties = counts.ahead[rows], counts.ties[rows]
        self.query = targets.query[rows] - start
        self.scores, self.positions = targets.scores[rows], targets.positions[rows]
        self.waves = _waves(self.query, len(queries))
        self.top_scores = np.full(self.top.shape, -np.inf)
        self.top_positions = np.full(self.top.shape, _NOWHERE)

    def add(self, column: int, block: Block) -> None:
        for start in range(0, len(block.positions), self.tiling.columns):
            tile = slice(start, start + self.tiling.columns)
            scores = np.asarray(self.tiling.product(self.queries, block.vectors[tile].T))
            self._count(column, scores, block.positions[tile])
            self._keep_top(scores, block.positions[tile])

    def close(self) -> None:
        """Hand over the positions at the top; those never filled stay -1."""
        found = self.top_positions != _NOWHERE
        self.top[found] = self.top_positions[found]

    def _count(self, column: int, scores: Floats, positions: Integers) -> None:
        # Rounding to float32 keeps order but may merge neighbours: where exactly the relevant document itself has its
        # rounded score, counting the greater ones is exact; the few other cells are counted again in float64. Products
        # beyond the range of float32 are all infinite there.
        with np.errstate(over="ignore"):
            rounded, thresholds = scores.astype(np.float32), self.scores.astype(np.float32)
        found = np.minimum(np.searchsorted(positions, self.positions), len(positions) - 1)
        itself = positions[found] == self.positions
        if len(self.waves) < _MANY:
            counted = [(wave, *self._compare(rounded, thresholds, wave)) for wave in self.waves]
        else:
            above, equal = self._look_up(rounded, thresholds)
            counted = [(wave, above[wave], equal[wave]) for wave in self.waves]
        for wave, greater, same in counted:
            unclear = np.flatnonzero(same > itself[wave])
            self.ahead[wave, column] += greater
            if len(unclear):
                rows = wave[unclear]
                self.ahead[rows, column] -= greater[unclear]
                self._count_exactly(column, rows, scores[self.query[rows]], positions)

    def _compare(
        self, rounded: NDArray[np.float32], thresholds: NDArray[np.float32], wave: Integers
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return how many scores are above and equal to that of each relevant document in a wave."""
        # One row of `wave` for each query, so that a column of thresholds stands beside the scores.
        lines = rounded if len(wave) == len(rounded) else rounded[self.query[wave]]
        column = thresholds[wave, None]
        above = _row_counts(lines > column)
        return above, _row_counts(lines >= column) - above

    def _look_up(
        self, rounded: NDArray[np.float32], thresholds: NDArray[np.float32]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the same for all rows: with many relevant documents, sorting costs less than comparing with each."""
        lines = np.sort(rounded, axis=1)
        above = np.empty(len(thresholds), dtype=np.int32)
        equal = np.empty(len(thresholds), dtype=np.int32)
        edges = np.searchsorted(self.query, np.arange(len(lines) + 1))
        for line, first, end in zip(lines, edges[:-1], edges[1:], strict=True):
            below = np.searchsorted(line, thresholds[first:end], side="left")
            up_to = np.searchsorted(line, thresholds[first:end], side="right")
            above[first:end], equal[first:end] = len(line) - up_to, up_to - below
        return above, equal

    def _count_exactly(self, column: int, rows: Integers, lines: Floats, positions: Integers) -> None:
        scores, own = self.scores[rows, None], self.positions[rows, None]
        same = lines == scores
        ahead = (lines > scores) | (same & (positions < own))
        self.ahead[rows, column] += _row_counts(ahead)
        self.ties[rows, column] += _row_counts(same & (positions != own))

    def _keep_top(self, scores: Floats, positions: Integers) -> None:
        depth = self.tiling.depth
        threshold, last = self.top_scores[:, -1], self.top_positions[:, -1]
        if scores.shape[1] > depth and np.isneginf(threshold).any():
            threshold = np.maximum(threshold, np.partition(scores, -depth, axis=1)[:, -depth])
        row, col = np.divmod(np.flatnonzero(scores >= threshold[:, None]), scores.shape[1])
        # A document as good as the last one kept only matters when its id comes before.
        matters = (scores[row, col] > self.top_scores[row, -1]) | (positions[col] < last[row])
        row, col = row[matters], col[matters]
        if not len(row):
            return
        touched = np.unique(row)
        kept = np.repeat(touched, depth)
        rows = np.concatenate((kept, row))
        values = np.concatenate((self.top_scores[touched].ravel(), scores[row, col]))
        order_of_id = np.concatenate((self.top_positions[touched].ravel(), positions[col]))
        order = np.lexsort((order_of_id, -values, rows))
        first = np.searchsorted(rows[order], touched)
        best = order[first[:, None] + np.arange(depth)]
        self.top_scores[touched], self.top_positions[touched] = values[best], order_of_id[best]


def _row_counts(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    # Four times as fast as np.count_nonzero with an axis; a row of 2^16 columns could overflow the narrow sum.
    narrow = np.uint16 if mask.shape[1] < 1 << 16 else np.int32
    counts: NDArray[np.int32] = np.add.reduce(mask.view(np.uint8), axis=1, dtype=narrow).astype(np.int32)
    return counts


def _waves(query: Integers, n_queries: int) -> list[Integers]:
    """Cut target rows, grouped by query, into waves with at most one row of each query."""
    per_query = np.bincount(query, minlength=n_queries)
    within = np.arange(len(query)) - (np.cumsum(per_query) - per_query)[query]
    return [np.flatnonzero(within == wave) for wave in range(per_query.max(initial=0))]


def by_id(doc_ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the int64 (n,) positions of `doc_ids` in the order of ids, descending; no ids give shape (0,)."""
    return np.array(sorted(range(len(doc_ids)), key=lambda index: doc_ids[index], reverse=True), dtype=np.int64)


def best_columns(scores: NDArray[np.float64] | NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Return for each row of `scores` its `depth` best columns, (rows, columns) to int64 (rows, min(depth, columns)).

    Columns stand in the order of ids (see `by_id`), so that among equal scores the earlier column comes first.
    """
    order: NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    return order
