"""Counts how many documents of each block have a higher score than each relevant document, exactly.

Scores are float64 products of grid vectors, without rounding. They are counted as float32, which takes half the memory
and time: rounding keeps their order, but may make neighbours equal. Where only the relevant document itself has its
rounded score, counting the greater ones is exact; elsewhere the float64 scores are counted again.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import local
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mlbench.io.threads import one_blas_thread, usable_threads

Floats = NDArray[np.float64]
Rounded = NDArray[np.float32]
Integers = NDArray[np.signedinteger]
Counted = NDArray[np.int32]
_NOWHERE = np.iinfo(np.int64).max
# Cells of scores that are counted again at once.
_AGAIN = 1 << 21
# Coordinates of vectors that are gathered at once.
_GATHERED = 1 << 15
# Float64 vectors of so many bytes are kept while all queries pass; larger ones are made anew for each chunk of queries.
_KEPT = 1 << 26


class Rows(Protocol):
    """Vectors on the grid: an array, or what makes one of some rows (see `mlbench.embeddings.exact.Grid`)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of rows and of dimensions."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> Floats: ...


@dataclass(frozen=True, eq=False)
class Block:
    """Documents that are counted together: those of one language, or one shard of them.

    `vectors` are (n, dim) on the grid; `positions` int64 (n,), ascending, that of each document in the order of ids
    over all blocks.
    """

    vectors: Rows
    positions: Integers


@dataclass(frozen=True, eq=False)
class Targets:
    """The relevant documents whose ranks are wanted, one row for each (query, relevant document).

    `query` is (rows,), ascending; `scores` float64 (rows,), exact, or None where all documents stand in the blocks;
    `positions` (rows,). `left_out` (queries, any), None for none, has the positions of the documents that are not there
    for a query, -1 in place of one: they are not counted, and in no top.
    """

    query: NDArray[np.integer]
    scores: Floats | None
    positions: NDArray[np.integer]
    left_out: NDArray[np.integer] | None = None


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the work is cut; the counts do not depend on it.

    `depth` documents are kept at the top of each list. A tile of scores has `rows` queries and at most `columns`
    documents, of which at most `width` are of one block; with pools it has four times the columns, because each of its
    rows is sorted for them. `device` is a device of torch that counts, in tiles 32 times as large;
    None for numpy.
    """

    depth: int = 20
    rows: int = 512
    columns: int = 4096
    width: int = 2048
    threads: int | None = None
    device: str | None = None


@dataclass(frozen=True, eq=False)
class Counts:
    """What ranking leaves of all scores.

    `ahead` is int32 (rows, blocks), the documents of a block that stand before the relevant document; `ties` int32
    (rows, blocks), the other documents with the same score; `top` int64 (queries, depth), the positions of the best
    documents of all blocks together, -1 where there are fewer. Where pools were given, `ahead` and `ties` are
    (rows, 1 + pools): those of the document's own block, then those of each pool, -1 for documents that are not in it.
    """

    ahead: Counted
    ties: Counted
    top: Integers


def exact_scores(queries: Rows, query: NDArray[np.integer], documents: Rows, document: NDArray[np.integer]) -> Floats:
    """Return the float64 (rows,) scores of pairs of grid vectors, given by row index into either side."""
    scores = np.empty(len(query))
    # So many as stay in the processor's cache.
    step = max(1, _GATHERED // max(queries.shape[1], 1))
    for start in range(0, len(query), step):
        rows = slice(start, start + step)
        scores[rows] = np.vecdot(queries[query[rows]], documents[document[rows]])
    return scores


def count_ahead(
    queries: Rows,
    targets: Targets,
    blocks: Sequence[Block],
    *,
    pools: Sequence[Sequence[int]] | None = None,
    tiling: Tiling | None = None,
    advance: Callable[[int], None] | None = None,
) -> Counts:
    """Count for each target the documents that stand before it, and keep the top of all blocks.

    `queries` are (n, dim) on the grid. With `pools`, each of them some blocks, a target is counted in its own block and
    in the pools, else in every block. No queries, no targets or no blocks give arrays of length 0. Working memory is a
    few tiles for each thread, whatever the number of queries and documents. `advance` is told how many queries are
    done.
    """
    tiling = tiling or Tiling()
    if tiling.device is not None:
        tiling = replace(tiling, rows=4 * tiling.rows, columns=8 * tiling.columns, width=8 * tiling.width)
    elif pools is not None:
        tiling = replace(tiling, columns=4 * tiling.columns)
    columns = len(blocks) if pools is None else 1 + len(pools)
    counts = Counts(
        ahead=np.zeros((len(targets.query), columns), dtype=np.int32),
        ties=np.zeros((len(targets.query), columns), dtype=np.int32),
        top=np.full((len(queries), tiling.depth), -1, dtype=np.int64),
    )
    # Vectors that are small beside the counts are made into float64 once.
    corpus = Corpus(blocks, pools, tiling, kept=max(_KEPT, counts.ahead.nbytes + counts.ties.nbytes))
    make: Callable[[Floats, int, Targets, Corpus, Counts], Chunk] = Chunk
    threads = tiling.threads or usable_threads()
    if tiling.device is not None:
        from mlbench.ranking.count_on_device import chunks_on

        make, threads = chunks_on(tiling.device), 1

    def work(start: int) -> int:
        chunk = make(queries[start : start + tiling.rows], start, targets, corpus, counts)
        for tile in corpus.tiles:
            chunk.add(tile)
        chunk.close()
        return len(chunk.queries)

    # Threads over chunks of queries with single-threaded products keep all cores busy in counting as well.
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for done in pool.map(work, range(0, len(queries), tiling.rows)):
            if advance:
                advance(done)
    return counts


class Piece(NamedTuple):
    """Consecutive documents of one block: its `rows`, which are the columns `first` to `end` of all documents."""

    block: int
    rows: slice
    first: int
    end: int


class Tile(NamedTuple):
    """Pieces side by side: the columns `first` to `end` of all documents."""

    pieces: list[Piece]
    first: int
    end: int


class Corpus:
    """All documents, block after block, cut into tiles."""

    def __init__(
        self, blocks: Sequence[Block], pools: Sequence[Sequence[int]] | None, tiling: Tiling, kept: int
    ) -> None:
        self.blocks = blocks
        self.pools = None if pools is None else [np.isin(np.arange(len(blocks)), list(pool)) for pool in pools]
        self.edges = np.cumsum([0, *(len(block.positions) for block in blocks)])
        self.positions = np.concatenate([np.empty(0, np.int64), *(block.positions for block in blocks)])
        self._order = np.argsort(self.positions)
        self._sorted = self.positions[self._order]
        self.tiles = list(self._cut(tiling))
        self._memory = local()
        self._kept: Floats | None = None
        if self.tiles and len(self.positions) * blocks[0].vectors.shape[1] * 8 <= kept:
            self._kept = np.concatenate([block.vectors[:] for block in blocks])

    def vectors(self, tile: Tile) -> Floats:
        """Return the vectors of a tile, float64 (columns, dim)."""
        if self._kept is not None:
            return self._kept[tile.first : tile.end]
        dim = self.blocks[0].vectors.shape[1]
        found = self.room("vectors", (tile.end - tile.first) * dim).reshape(-1, dim)
        # So many at once as stay in the processor's cache, or new memory would take as long as the product.
        step = max(1, _GATHERED // max(dim, 1))
        for piece in tile.pieces:
            vectors, shift = self.blocks[piece.block].vectors, piece.first - tile.first - piece.rows.start
            for start in range(piece.rows.start, piece.rows.stop, step):
                end = min(start + step, piece.rows.stop)
                found[start + shift : end + shift] = vectors[start:end]
        return found

    def room(self, name: str, cells: int) -> Floats:
        """Return memory for what a tile needs, float64 (cells,), each thread's own: it is used again for the next."""
        room: Floats | None = getattr(self._memory, name, None)
        if room is None or len(room) < cells:
            room = np.empty(cells)
            setattr(self._memory, name, room)
        return room[:cells]

    def own_vectors(self, block: int) -> Rows:
        """Return the vectors of a block."""
        if self._kept is not None:
            return self._kept[self.edges[block] : self.edges[block + 1]]
        return self.blocks[block].vectors

    def place(self, positions: NDArray[np.integer]) -> Integers:
        """Return the column of each document among all documents, (n,), -1 for one that is in no block."""
        if not len(self._sorted):
            return np.full(positions.shape, -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self._sorted, positions), len(self._sorted) - 1)
        return np.where(self._sorted[found] == positions, self._order[found], -1)

    def _cut(self, tiling: Tiling) -> Iterator[Tile]:
        tile = Tile([], 0, 0)
        for piece in self._pieces(tiling.width):
            if tile.pieces and piece.end - tile.first > tiling.columns:
                yield tile
                tile = Tile([], piece.first, piece.first)
            tile = Tile([*tile.pieces, piece], tile.first, piece.end)
        if tile.pieces:
            yield tile

    def _pieces(self, width: int) -> Iterator[Piece]:
        for block, (first, end) in enumerate(pairwise(self.edges.tolist())):
            for start in range(first, end, width):
                stop = min(start + width, end)
                yield Piece(block, slice(start - first, stop - first), start, stop)


class Span:
    """Some documents of a tile, among the columns `first` to `end` of all: its `columns` in the tile, and positions."""

    def __init__(self, first: int, end: int, corpus: Corpus, tile: Tile) -> None:
        self.first, self.end = first, end
        self.columns: slice | NDArray[np.bool_] = slice(first - tile.first, end - tile.first)
        self.positions = corpus.positions[first:end]

    def chosen(self, inside: NDArray[np.bool_]) -> "Span":
        """Return some documents of the span of a whole tile."""
        found = copy(self)
        found.columns, found.positions = inside, self.positions[inside]
        return found


class Chunk:
    """Some consecutive queries on their way through all tiles."""

    def __init__(self, queries: Floats, start: int, targets: Targets, corpus: Corpus, counts: Counts) -> None:
        self.queries, self._corpus = queries, corpus
        rows = slice(*np.searchsorted(targets.query, (start, start + len(queries))))
        self._ahead, self._ties = counts.ahead[rows], counts.ties[rows]
        self._query = targets.query[rows].astype(np.int64) - start
        self._positions = targets.positions[rows].astype(np.int64)
        self._places = corpus.place(self._positions)
        self._block = np.searchsorted(corpus.edges, self._places, side="right") - 1
        self._by_block = np.argsort(self._block.astype(np.int16), kind="stable")
        self._edges = np.searchsorted(self._block[self._by_block], np.arange(len(corpus.blocks) + 1))
        self._scores = self._own_scores() if targets.scores is None else targets.scores[rows]
        self._left_out = [] if targets.left_out is None else [*self._find(targets.left_out, start)]
        self._top = _Top(counts.top[start : start + len(queries)])

    def _find(self, left_out: NDArray[np.integer], start: int) -> Iterator[tuple[Integers, Integers]]:
        for documents in left_out[start : start + len(self.queries)].T:
            query = np.flatnonzero(documents >= 0)
            yield query, self._corpus.place(documents[query])

    def _own_scores(self) -> Floats:
        assert (self._places >= 0).all(), "a relevant document without a score stands in no block"
        scores = np.empty(len(self._query))
        for block in range(len(self._corpus.blocks)):
            rows = self._rows_of(block)
            within = self._places[rows] - self._corpus.edges[block]
            scores[rows] = exact_scores(self.queries, self._query[rows], self._corpus.own_vectors(block), within)
        return scores

    def _rows_of(self, block: int) -> Integers:
        """Return the rows whose document is in a block, ascending."""
        return self._by_block[self._edges[block] : self._edges[block + 1]]

    def add(self, tile: Tile) -> None:
        """Count the documents of a tile."""
        self._multiply(tile)
        for query, places in self._left_out:
            here = np.flatnonzero((places >= tile.first) & (places < tile.end))
            if len(here):
                self._leave_out(query[here], places[here] - tile.first)
        pieces = [(piece, Span(piece.first, piece.end, self._corpus, tile)) for piece in tile.pieces]
        if self._corpus.pools is None:
            for piece, span in pieces:
                self._enter(span)
                self._take(piece.block, slice(None), span, last=True)
            return
        whole = Span(tile.first, tile.end, self._corpus, tile)
        self._enter(whole)
        for piece, span in pieces:
            self._take(0, self._rows_of(piece.block), span, last=False)
        for column, pool in enumerate(self._corpus.pools, 1):
            inside = np.repeat([pool[piece.block] for piece in tile.pieces], [p.end - p.first for p in tile.pieces])
            if inside.any():
                rows = np.flatnonzero(pool[self._block])
                span = whole if inside.all() else whole.chosen(inside)
                self._take(column, rows, span, last=column == len(self._corpus.pools))

    def close(self) -> None:
        """Hand over the positions at the top, and say where documents were not counted."""
        self._top.close()
        for column, pool in enumerate(self._corpus.pools or (), 1):
            outside = np.flatnonzero(~pool[self._block])
            self._ahead[outside, column] = self._ties[outside, column] = -1

    def _take(self, column: int, rows: Integers | slice, span: Span, *, last: bool) -> None:
        """Add the documents of a span to the counts of some targets; nothing is counted in it after the `last`."""
        every = np.arange(len(self._query))[rows]
        itself = (self._places[every] >= span.first) & (self._places[every] < span.end)
        own = Targets(self._query[every], self._scores[every], self._positions[every])
        ahead, ties = self._count(own, itself, span, last=last)
        self._ahead[every, column] += ahead
        self._ties[every, column] += ties

    def _multiply(self, tile: Tile) -> None:
        """Make the scores of a tile."""
        shape = len(self.queries), tile.end - tile.first
        self._tile_scores = self._corpus.room("scores", shape[0] * shape[1]).reshape(shape)
        np.matmul(self.queries, self._corpus.vectors(tile).T, out=self._tile_scores)

    def _leave_out(self, query: Integers, column: Integers) -> None:
        """Give documents a score below all others."""
        self._tile_scores[query, column] = -np.inf

    def _enter(self, span: Span) -> None:
        """Take up the best documents of a span, in which the next are counted."""
        scores = self._tile_scores[:, span.columns]
        room = self._corpus.room("rounded", -(-scores.size // 2)).view(np.float32)[: scores.size]
        self._entered, self._rounded = span, _round(scores, room.reshape(scores.shape))
        width, depth = scores.shape[1], self._top.depth
        if width > depth and np.isneginf(self._top.threshold).any():
            self._top.threshold = np.maximum(self._top.threshold, _low_bound(self._rounded, depth))
        row, column = np.divmod(np.flatnonzero(self._rounded >= self._top.threshold[:, None]), width)
        self._top.add(row, scores[row, column], span.positions[column])

    def _count(self, own: Targets, itself: NDArray[np.bool_], span: Span, *, last: bool) -> tuple[Counted, Counted]:
        """Return for each target the documents of a span before it, and the others that tie with it."""
        rounded = self._rounded if span is self._entered else self._rounded[:, span.columns]
        assert own.scores is not None
        thresholds = _round(own.scores)
        if (np.diff(own.query) > 0).all():
            ahead, unclear = _compare(rounded, own.query, thresholds, itself)
        else:
            lines = rounded if last and span is self._entered else rounded.copy()
            ahead, unclear = _look_up(lines, own.query, thresholds, itself)
        ties = np.zeros_like(ahead)
        again = np.flatnonzero(unclear)
        if len(again):
            chosen = Targets(own.query[again], own.scores[again], own.positions[again])
            ahead[again], ties[again] = _count_exactly(self._tile_scores[:, span.columns], span.positions, chosen)
            ties[again] -= itself[again]
        return ahead, ties


def _round(scores: Floats, found: Rounded | None = None) -> Rounded:
    """Return scores as float32, in `found` where there is room for them."""
    if found is None:
        found = np.empty(scores.shape, dtype=np.float32)
    # Products beyond the range of float32 are all infinite there.
    with np.errstate(over="ignore"):
        np.copyto(found, scores, casting="same_kind")
    return found


def _compare(
    lines: Rounded, query: NDArray[np.integer], thresholds: Rounded, itself: NDArray[np.bool_]
) -> tuple[Counted, NDArray[np.bool_]]:
    """Return how many scores are above each threshold, one of a query at most, and where others are equal to it."""
    if len(query) < len(lines):
        lines = lines[query]
    column = thresholds[:, None]
    above = _row_counts(lines > column)
    return above, _row_counts(lines >= column) - above > itself


def _look_up(
    lines: Rounded, query: NDArray[np.integer], thresholds: Rounded, itself: NDArray[np.bool_]
) -> tuple[Counted, NDArray[np.bool_]]:
    """Return the same for several thresholds of a query, by a binary search in its scores, which are sorted here."""
    lines.sort(axis=1)
    flat, width = lines.ravel(), lines.shape[1]
    start = (query * width).astype(np.int32 if lines.size < 1 << 31 else np.int64)
    place, left = start.copy(), width
    while left > 1:
        half = left // 2
        place += half * (flat.take(place + (half - 1), mode="clip") <= thresholds).astype(place.dtype)
        left -= half
    place += flat[place] <= thresholds
    other = place - 1 - itself
    unclear = (other >= start) & (flat[other] == thresholds)
    return (start + width - place).astype(np.int32), unclear


def _count_exactly(scores: Floats, positions: Integers, targets: Targets) -> tuple[Integers, Integers]:
    """Return for each target how many documents stand before it, and how many have its score, itself among them.

    Each pair of query and score is compared once, however many targets share it.
    """
    assert targets.scores is not None
    order = np.lexsort((targets.scores, targets.query))
    query, own, places = targets.query[order], targets.scores[order], targets.positions[order]
    new = np.append(True, (np.diff(query) > 0) | (np.diff(own) > 0))
    pair, first = np.cumsum(new) - 1, np.flatnonzero(new)
    span = int(max(positions.max(), places.max())) + 1
    counts = np.empty((2, len(order)), dtype=np.int64)
    step = max(1, _AGAIN // scores.shape[1])
    for start in range(0, len(first), step):
        pairs = first[start : start + step]
        lines, column = scores[query[pairs]], own[pairs, None]
        above = _row_counts(lines > column)
        line, place = np.divmod(np.flatnonzero(lines == column), lines.shape[1])
        same = np.sort(line * span + positions[place])
        rows = slice(*np.searchsorted(pair, (start, start + step)))
        within = pair[rows] - start
        before, own_place, end = (np.searchsorted(same, within * span + o) for o in (0, places[rows], span))
        counts[:, order[rows]] = above[within] + own_place - before, end - before
    return counts[0], counts[1]


def _row_counts(mask: NDArray[np.bool_]) -> Counted:
    # Four times as fast as np.count_nonzero with an axis; a row of 2^16 columns could overflow the narrow sum.
    narrow = np.uint16 if mask.shape[1] < 1 << 16 else np.int32
    counts: Counted = np.add.reduce(mask.view(np.uint8), axis=1, dtype=narrow).astype(np.int32)
    return counts


class _Top:
    """The best documents of some queries: those kept, in any order, and newer ones that may replace them.

    Documents whose rounded score is below `threshold`, float32 (queries,), are not among the best.
    """

    def __init__(self, top: Integers) -> None:
        self._top, self.depth = top, top.shape[1]
        self._scores = np.full(top.shape, -np.inf)
        self._positions = np.full(top.shape, _NOWHERE)
        self._newer: list[tuple[Integers, Floats, Integers]] = []
        self.threshold = np.full(len(top), -np.inf, dtype=np.float32)
        self._find_last()

    def add(self, row: Integers, found: Floats, places: Integers) -> None:
        """Take up documents that may be among the best: their queries, scores and positions."""
        # A document as good as the last one kept only matters when its id comes before.
        last = self.last_score[row]
        matters = (found > last) | ((found == last) & (places < self._last_position[row]) & (found > -np.inf))
        self._newer.append((row[matters], found[matters], places[matters]))
        if sum(len(rows) for rows, *_ in self._newer) > 2 * self._top.size:
            self._merge()

    def close(self) -> None:
        """Hand over the positions, best first; those never filled stay -1."""
        self._merge()
        best = _best(self._scores, self._positions, self.depth)
        positions = np.take_along_axis(self._positions, best, axis=1)
        found = positions != _NOWHERE
        self._top[found] = positions[found]

    def _merge(self) -> None:
        """Keep the best of those kept and the newer ones."""
        if not self._newer:
            return
        row, found, places = (np.concatenate(parts) for parts in zip(*self._newer, strict=True))
        self._newer = []
        counts = np.bincount(row, minlength=len(self._top))
        # Every query gets a line: those kept, then its newer ones.
        order = np.argsort(row.astype(np.uint16) if len(self._top) < 1 << 16 else row, kind="stable")
        width = self.depth + int(counts.max(initial=0))
        scores, positions = np.full((len(counts), width), -np.inf), np.full((len(counts), width), _NOWHERE)
        scores[:, : self.depth], positions[:, : self.depth] = self._scores, self._positions
        # Where the newer ones of each query begin, less how many there were before.
        shift = np.arange(len(counts)) * width + self.depth - (np.cumsum(counts) - counts)
        places_in_lines = np.repeat(shift, counts) + np.arange(len(row))
        scores.ravel()[places_in_lines], positions.ravel()[places_in_lines] = found[order], places[order]
        last = np.partition(scores, -self.depth, axis=1)[:, -self.depth, None]
        best = np.flatnonzero(scores >= last)
        if len(best) > self._top.size:
            # Documents tie for the last place.
            lines = np.arange(len(scores))[:, None] * width
            best = (lines + _best(scores, positions, self.depth)).ravel()
        self._scores, self._positions = (side.ravel()[best].reshape(self._top.shape) for side in (scores, positions))
        self._find_last()

    def _find_last(self) -> None:
        """Find the score and the position of the last document that is kept."""
        self.last_score = self._scores.min(axis=1, initial=np.inf)
        last = np.where(self._scores == self.last_score[:, None], self._positions, -1)
        self._last_position = last.max(axis=1, initial=-1)
        with np.errstate(over="ignore"):
            self.threshold = np.maximum(self.threshold, self.last_score.astype(np.float32))


def _low_bound(rounded: Rounded, depth: int) -> Rounded:
    """Return for each row a score that at least `depth` of its documents reach, not much below the last of them."""
    groups = min(4 * depth, rounded.shape[1])
    each = rounded.shape[1] // groups
    # The greatest of each group: a few of the best share one.
    greatest = rounded[:, : groups * each].reshape(len(rounded), each, groups).max(axis=1)
    return np.partition(greatest, -depth, axis=1)[:, -depth]


def _best(scores: Floats, positions: Integers, depth: int) -> Integers:
    """Return for each row the columns of the best `depth` documents by score, then position, best first."""
    order = np.argsort(positions, axis=1)
    falling = np.argsort(-np.take_along_axis(scores, order, axis=1), axis=1, kind="stable")[:, :depth]
    best: Integers = np.take_along_axis(order, falling, axis=1)
    return best


def by_id(doc_ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the int64 (n,) positions of `doc_ids` in the order of ids, descending; no ids give shape (0,)."""
    return np.array(sorted(range(len(doc_ids)), key=lambda index: doc_ids[index], reverse=True), dtype=np.int64)


def best_columns(scores: NDArray[np.float64] | NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Return for each row of `scores` its `depth` best columns, (rows, columns) to int64 (rows, min(depth, columns)).

    Columns stand in the order of ids (see `by_id`), so that among equal scores the earlier column comes first.
    """
    order: NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    return order
