"""Fusion of several systems' lists, by ranks (Cormack, Clarke and Buettcher 2009) or by scores (Fox and Shaw 1993)."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Progress, RankedList, Scores, Texts
from mlbench.ranking.count_ahead import best_columns, by_id
from mlbench.ranking.rank_documents import LONGEST_LIST
from mlbench.retrievers.pipelines.declaration import RECIPROCAL, Fusion, FusionMethod, Normalisation
from mlbench.retrievers.pipelines.parts import Composite, OpenedPart

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Number = TypeVar("Number", np.int64, np.float64)
# Sums of whole numbers do not depend on their order. The last bits are dropped, so that sums which are equal but for
# the rounding of their terms are equal.
_UNIT = 2.0**48
_DROPPED = 10
_ROWS = 64
# Weighted scores are multiples of 2^-40, so that their sums are exact, whatever their order.
_SCORE_UNIT = 2.0**40
_LEAST_SPREAD = 1e-9
SKETCH = 64
"""How many digests of queries a file keeps of those on which its weights were tuned."""


class FusionRanker(Composite):
    """The fusion of several systems' lists."""

    def __init__(self, declared: Fusion, parts: Sequence[OpenedPart]) -> None:
        super().__init__({f"systems[{index}]": part for index, part in enumerate(parts)})
        self._declared, self._systems = declared, tuple(parts)

    @property
    def declared(self) -> dict[str, Parameter]:
        """How the lists are fused, and on what the weights were tuned."""
        weights = {f"systems[{n}].weight": part.weight for n, part in enumerate(self._declared.systems)}
        common = {"kind": self._declared.kind, "depth": self._declared.depth, **weights}
        if self._declared.method == RECIPROCAL:
            how: dict[str, Parameter] = {"k": self._declared.k}
        else:
            how = {"method": self._declared.method, "normalisation": self._declared.normalisation}
        tuned = self._declared.tuned
        on = {} if tuned is None else {"tuned.task": tuned.task, "tuned.fingerprint": tuned.fingerprint}
        return {**common, **how, **on}

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let every part encode `texts`; raises `RetrieverError` where the weights saw some of the queries."""
        tuned = self._declared.tuned
        if tuned is not None:
            asked = {query for (role, _), rows in texts.items() if role == "query" for query in rows}
            seen = len(set(tuned.queries) & set(map(query_digest, asked)))
            if seen:
                raise RetrieverError(
                    f"the weights were tuned on queries of this task ({seen} of a sample of {len(tuned.queries)} from "
                    f"{tuned.task}): measure other topics, or tune the weights on others"
                )
        super().prepare(texts, cache, progress)

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query the first `depth` of all documents that any part lists, best first.

        Raises `RetrieverError` where scores are to be added and a part hands over none.
        """
        order = by_id([document.doc_id for document in documents])
        doc_ids = np.array([documents[index].doc_id for index in order], dtype=object)
        weights, method = [part.weight for part in self._declared.systems], self._declared.method
        if method == RECIPROCAL:
            asked = min(depth, self._declared.depth or depth)
            lists = [part.places(setting, queries, documents, order, asked) for part in self._systems]
            places = [[found for found, _ in own] for own in lists]
            ranked = fuse(places, weights, len(documents), self._declared.k, depth=depth)
            return [RankedList(doc_ids[found].tolist(), sums.astype(np.float64)) for found, sums in ranked]
        # Normalised scores depend on where a list ends, so that is the same whatever depth is asked.
        asked = self._declared.depth or LONGEST_LIST
        scored = [
            [
                (found, normalise(self._scores_of(part, scores), self._declared.normalisation))
                for found, scores in part.places(setting, queries, documents, order, asked)
            ]
            for part in self._systems
        ]
        fused = fuse_scores(scored, weights, len(documents), method, depth=depth)
        return [RankedList(doc_ids[found].tolist(), sums) for found, sums in fused]

    def _scores_of(self, part: OpenedPart, scores: Scores | None) -> Scores:
        if scores is None:
            raise RetrieverError(
                f"{part.opened.spec} hands over ranks without scores, which {self._declared.method} adds up: "
                f'write method = "{RECIPROCAL}"'
            )
        if not np.isfinite(scores).all():
            raise RetrieverError(
                f"{part.opened.spec} hands over scores that are NaN or infinite, which cannot be added"
            )
        return scores


def query_digest(text: str) -> str:
    """Return 12 hexadecimal digits that stand for the text of a query."""
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def normalise(scores: Scores, how: Normalisation) -> Floats:
    """Return the scores of one list, float64 (documents,), made comparable to those of other systems' lists.

    `min_max` goes from 0 to 1, `sum` adds up to 1 from 0, `z_score` has mean 0 and standard deviation 1; `none` leaves
    them as they are. Equal scores become 0. As in ranx 0.3. An empty list stays one.
    """
    values = np.asarray(scores, dtype=np.float64)
    if how == "none" or not len(values):
        return values
    if how == "z_score":
        centred: Floats = values - values.mean()
        return centred / max(float(values.std()), _LEAST_SPREAD)
    above: Floats = values - values.min()
    return above / max(float(above.max() if how == "min_max" else above.sum()), _LEAST_SPREAD)


def fuse_scores(
    lists: Sequence[Sequence[tuple[Integers, Floats]]],
    weights: Sequence[float],
    n_documents: int,
    method: FusionMethod,
    *,
    depth: int,
) -> list[tuple[Integers, Floats]]:
    """Return for each query the `depth` documents with the largest combination of the systems' weighted scores.

    `lists[system][query]` are documents as places in the order of ids, and their scores. A document that a system does
    not list gets nothing from it, and one that none lists is left out. CombSUM adds the scores up; CombMNZ multiplies
    the sum by the number of systems that list the document, CombANZ divides it by that (Fox and Shaw 1993). Equal ones
    stand in the order of ids.
    """
    fused: list[tuple[Integers, Floats]] = []
    for rows in _blocks(len(lists[0])):
        sums = np.zeros((len(rows), n_documents), dtype=np.float64)
        listed = np.zeros(sums.shape, dtype=np.int64)
        for system, weight in zip(lists, weights, strict=True):
            for row, query in enumerate(rows):
                found, scores = system[query]
                sums[row, found] += np.rint(weight * scores * _SCORE_UNIT) / _SCORE_UNIT
                listed[row, found] += 1
        if method == "combmnz":
            sums *= listed
        elif method == "combanz":
            sums /= np.maximum(listed, 1)
        fused += _best(np.where(listed > 0, sums, -np.inf), (listed > 0).sum(axis=1), depth)
    return fused


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
    for rows in _blocks(len(lists[0])):
        units = np.zeros((len(rows), n_documents), dtype=np.int64)
        listed = np.zeros(units.shape, dtype=bool)
        for system, own in zip(lists, terms, strict=True):
            for row, query in enumerate(rows):
                found = system[query]
                units[row, found] += own[: len(found)]
                listed[row, found] = True
        fused += _best(np.where(listed, units >> _DROPPED, -1), listed.sum(axis=1), depth)
    return fused


def _blocks(n_queries: int) -> Iterator[range]:
    return (range(start, min(start + _ROWS, n_queries)) for start in range(0, n_queries, _ROWS))


def _best(sums: NDArray[Number], counts: Integers, depth: int) -> Iterator[tuple[Integers, NDArray[Number]]]:
    """Yield for each row its best columns and their sums; `counts` says how many a row has, the others stand last."""
    best = best_columns(sums, depth)
    ordered = np.take_along_axis(sums, best, axis=1)
    return ((best[row, :count], ordered[row, :count]) for row, count in enumerate(np.minimum(counts, depth)))


def _terms(weight: float, k: float, n: int) -> Integers:
    """Return weight / (k + rank) for the ranks 1 to n, in units of 2^-48."""
    terms: Integers = np.rint(weight / (k + np.arange(1, n + 1)) * _UNIT).astype(np.int64)
    return terms
