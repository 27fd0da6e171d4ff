"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): what stands high in several lists comes first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlbench.languages import Setting
from mlbench.ordering import best_columns, by_id
from mlbench.protocols import Parameter
from mlbench.records import Document, Query
from mlbench.systems.composite import Composite
from mlbench.systems.declaration import Fusion
from mlbench.systems.parts import Part

Units = NDArray[np.int64]

# Sums of whole numbers do not depend on their order. The last bits are dropped, so that sums which are equal but for
# the rounding of their terms are equal.
_UNIT = 2.0**48
_DROPPED = 10
_ROWS = 64


class FusionRanker(Composite):
    """The fusion of several systems' lists."""

    def __init__(self, declared: Fusion, parts: Sequence[Part]) -> None:
        super().__init__({f"systems[{index}]": part for index, part in enumerate(parts)})
        self._declared, self._systems = declared, tuple(parts)

    @property
    def declared(self) -> dict[str, Parameter]:
        """How the lists are fused."""
        weights = {f"systems[{n}].weight": part.weight for n, part in enumerate(self._declared.systems)}
        return {"kind": self._declared.kind, "k": self._declared.k, "depth": self._declared.depth, **weights}

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query the first `depth` of all documents that any part lists, best first."""
        asked = min(depth, self._declared.depth or depth)
        lists = [part.search(setting, queries, documents, asked) for part in self._systems]
        weights = [part.weight for part in self._declared.systems]
        return fuse(lists, weights, [document.doc_id for document in documents], self._declared.k, depth=depth)


def fuse(
    lists: Sequence[Sequence[Sequence[str]]], weights: Sequence[float], doc_ids: Sequence[str], k: float, *, depth: int
) -> list[list[str]]:
    """Return for each query the `depth` documents with the largest sum of weight / (k + rank) over the systems.

    `lists[system][query]` are document ids, best first, ranks from 1; a document that a system does not list gets
    nothing from it, one that none lists is left out. Equal sums stand in the order of ids; no queries give no lists.
    """
    order = by_id(doc_ids)
    names = np.array([doc_ids[index] for index in order], dtype=object)
    columns = {name: column for column, name in enumerate(names)}
    terms = [_terms(weight, k, len(doc_ids)) for weight in weights]
    fused: list[list[str]] = []
    n_queries = len(lists[0])
    for start in range(0, n_queries, _ROWS):
        rows = range(start, min(start + _ROWS, n_queries))
        units = np.zeros((len(rows), len(doc_ids)), dtype=np.int64)
        listed = np.zeros(units.shape, dtype=bool)
        for system, own in zip(lists, terms, strict=True):
            for row, query in enumerate(rows):
                found = np.array([columns[name] for name in system[query]], dtype=np.int64)
                units[row, found] += own[: len(found)]
                listed[row, found] = True
        best = best_columns(np.where(listed, units >> _DROPPED, -1), depth)
        counts = np.minimum(listed.sum(axis=1), depth)
        fused += [names[row[:count]].tolist() for row, count in zip(best, counts, strict=True)]
    return fused


def _terms(weight: float, k: float, n: int) -> Units:
    """Return weight / (k + rank) for the ranks 1 to n, in units of 2^-48."""
    terms: Units = np.rint(weight / (k + np.arange(1, n + 1)) * _UNIT).astype(np.int64)
    return terms
