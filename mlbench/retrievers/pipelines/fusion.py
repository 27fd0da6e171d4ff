"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): what stands high in several lists comes first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.protocols import Parameter, RankedList
from mlbench.ranking.count_ahead import best_columns, by_id
from mlbench.retrievers.pipelines.declaration import Fusion
from mlbench.retrievers.pipelines.parts import Composite, OpenedPart

Integers = NDArray[np.int64]
# Sums of whole numbers do not depend on their order. The last bits are dropped, so that sums which are equal but for
# the rounding of their terms are equal.
_UNIT = 2.0**48
_DROPPED = 10
_ROWS = 64


class FusionRanker(Composite):
    """The fusion of several systems' lists."""

    def __init__(self, declared: Fusion, parts: Sequence[OpenedPart]) -> None:
        super().__init__({f"systems[{index}]": part for index, part in enumerate(parts)})
        self._declared, self._systems = declared, tuple(parts)

    @property
    def declared(self) -> dict[str, Parameter]:
        """How the lists are fused."""
        weights = {f"systems[{n}].weight": part.weight for n, part in enumerate(self._declared.systems)}
        return {"kind": self._declared.kind, "k": self._declared.k, "depth": self._declared.depth, **weights}

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query the first `depth` of all documents that any part lists, best first."""
        asked = min(depth, self._declared.depth or depth)
        order = by_id([document.doc_id for document in documents])
        doc_ids = np.array([documents[index].doc_id for index in order], dtype=object)
        lists = [part.places(setting, queries, documents, order, asked) for part in self._systems]
        weights = [part.weight for part in self._declared.systems]
        fused = fuse(lists, weights, len(documents), self._declared.k, depth=depth)
        return [RankedList(doc_ids[found].tolist(), sums.astype(np.float64)) for found, sums in fused]


def fuse(
    lists: Sequence[Sequence[Integers]], weights: Sequence[float], n_documents: int, k: float, *, depth: int
) -> list[tuple[Integers, Integers]]:
    """Return for each query the `depth` documents with the largest sum of weight / (k + rank) over the systems.

    `lists[system][query]` are documents as places in the order of ids, best first, ranks from 1. A document that a
    system does not list gets nothing from it, and one that none lists is left out. Equal sums stand in the order of
    ids; no queries give no lists. The second array of each pair has the sums, in units of 2^-38.
    """
    terms = [_terms(weight, k, n_documents) for weight in weights]
    fused: list[tuple[Integers, Integers]] = []
    for start in range(0, len(lists[0]), _ROWS):
        rows = range(start, min(start + _ROWS, len(lists[0])))
        units = np.zeros((len(rows), n_documents), dtype=np.int64)
        listed = np.zeros(units.shape, dtype=bool)
        for system, own in zip(lists, terms, strict=True):
            for row, query in enumerate(rows):
                found = system[query]
                units[row, found] += own[: len(found)]
                listed[row, found] = True
        sums = np.where(listed, units >> _DROPPED, -1)
        best = best_columns(sums, depth)
        counts = np.minimum(listed.sum(axis=1), depth)
        ordered = np.take_along_axis(sums, best, axis=1)
        fused += [(best[row, :count], ordered[row, :count]) for row, count in enumerate(counts)]
    return fused


def _terms(weight: float, k: float, n: int) -> Integers:
    """Return weight / (k + rank) for the ranks 1 to n, in units of 2^-48."""
    terms: Integers = np.rint(weight / (k + np.arange(1, n + 1)) * _UNIT).astype(np.int64)
    return terms
