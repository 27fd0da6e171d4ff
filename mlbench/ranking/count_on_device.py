"""Counts documents on a GPU: the same scores to the bit, so the same counts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.ranking.count_ahead import Chunk, Corpus, Counted, Counts, Floats, Integers, Span, Targets, Tile

if TYPE_CHECKING:
    from torch import Tensor

# Of the memory that is free at the start, so much may hold vectors.
_SHARE = 0.5


def chunks_on(device: str) -> Callable[[Floats, int, Targets, Corpus, Counts], Chunk]:
    """Return what makes the chunks of queries that are counted on a device of torch, such as `cuda`."""
    kept: dict[int, Tensor] = {}

    def make(queries: Floats, start: int, targets: Targets, corpus: Corpus, counts: Counts) -> Chunk:
        chunk = _DeviceChunk(queries, start, targets, corpus, counts)
        chunk.put_on(device, kept)
        return chunk

    return make


class _DeviceChunk(Chunk):
    """Some consecutive queries, whose scores stay on the device.

    Products of grid vectors are exact in float64 there as well. Scores are compared as they are: a device reads them
    faster than it sorts them.
    """

    def put_on(self, device: str, kept: "dict[int, Tensor]") -> None:
        """Put the queries on a device; `kept` are the vectors of tiles that stay there, by their first column."""
        self._device, self._kept = device, kept
        self._asked = self._move(self.queries)

    def _multiply(self, tile: Tile) -> None:
        documents = self._kept.get(tile.first)
        if documents is None:
            # The memory of a tile's vectors is used again, also where the device is the processor.
            documents = self._move(self._corpus.vectors(tile), copy=True)
            if self._fits(documents):
                self._kept[tile.first] = documents
        self._on_device = self._asked @ documents.T

    def _fits(self, documents: "Tensor") -> bool:
        if documents.device.type != "cuda":
            return True
        import torch

        free, _ = torch.cuda.mem_get_info(documents.device)
        held = sum(each.nbytes for each in self._kept.values())
        return bool(held + documents.nbytes <= _SHARE * (free + held))

    def _leave_out(self, query: Integers, column: Integers) -> None:
        self._on_device[self._move(query), self._move(column)] = -float("inf")

    def _enter(self, span: Span) -> None:
        scores = self._on_device[:, self._columns(span)]
        threshold = self._move(self._top.last_score)
        if scores.shape[1] > self._top.depth:
            threshold = threshold.maximum(scores.topk(self._top.depth, dim=1).values[:, -1])
        row, column = (scores >= threshold[:, None]).nonzero(as_tuple=True)
        found = scores[row, column].cpu().numpy()
        self._top.add(row.cpu().numpy(), found, span.positions[column.cpu().numpy()])

    def _count(self, own: Targets, itself: NDArray[np.bool_], span: Span, *, last: bool) -> tuple[Counted, Counted]:
        scores, positions = self._on_device[:, self._columns(span)], self._move(span.positions)
        assert own.scores is not None
        query, wanted, places = (self._move(side) for side in (own.query.astype(np.int64), own.scores, own.positions))
        ahead, ties = query.new_zeros(len(query)), query.new_zeros(len(query))
        for wave in _waves(own.query):
            rows = self._move(wave)
            lines = scores if len(wave) == len(scores) else scores[query[rows]]
            column = wanted[rows, None]
            ahead[rows] = (lines > column).sum(dim=1)
            ties[rows] = (lines == column).sum(dim=1)
        ties -= self._move(itself.astype(np.int64))
        again = (ties > 0).nonzero()[:, 0]
        for rows in again.split(max(1, len(scores))):
            same = scores[query[rows]] == wanted[rows, None]
            ahead[rows] += (same & (positions < places[rows, None])).sum(dim=1)
        return ahead.cpu().numpy().astype(np.int32), ties.cpu().numpy().astype(np.int32)

    def _columns(self, span: Span) -> "slice | Tensor":
        return span.columns if isinstance(span.columns, slice) else self._move(span.columns)

    def _move(self, values: NDArray[np.generic], *, copy: bool = False) -> "Tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device, copy=copy)


def _waves(query: NDArray[np.integer]) -> list[Integers]:
    """Cut targets, grouped by query, into waves with at most one of each query."""
    first = np.flatnonzero(np.diff(query, prepend=-1))
    within = np.arange(len(query)) - np.repeat(first, np.diff(first, append=len(query)))
    return [np.flatnonzero(within == wave) for wave in range(within.max(initial=-1) + 1)]
