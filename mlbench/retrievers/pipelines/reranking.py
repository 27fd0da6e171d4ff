"""Re-ranking: a reranker reads a query and each of the first documents of its list together, and orders them anew."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Progress, RankedList, Reranker, ScoredPairs, Scores, Texts
from mlbench.retrievers.pipelines.declaration import Rerank
from mlbench.retrievers.pipelines.parts import Composite, OpenedPart

# Scores of a network are not repeatable to the last bit; below this they are one.
_STEP = 2.0**-20


class RerankRanker(Composite):
    """A system whose first documents a reranker orders; those below keep their places."""

    def __init__(self, declared: Rerank, first: OpenedPart, reranker: Reranker, spec: str) -> None:
        super().__init__({"first": first})
        self._first, self._reranker, self._n, self._spec = first, reranker, declared.n, spec
        self._scores: dict[str, dict[str, float]] = {}

    @property
    def declared(self) -> dict[str, Parameter]:
        """How deep the reranker looks, and which it is."""
        return {"kind": "rerank", "n": self._n, "reranker.fingerprint": self._reranker.fingerprint()}

    @property
    def reads_images(self) -> bool:
        """Whether the first system and the reranker may be given images."""
        return super().reads_images and members.reads_images(self._reranker)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the file says, and the first system and the reranker with their own parameters."""
        named = {"model": self._spec, **self._reranker.parameters}
        return super().parameters | {f"reranker.{name}": value for name, value in named.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should be told of the first system and of the reranker."""
        own = (f"reranker ({self._spec}): {warning}" for warning in members.warnings_of(self._reranker))
        return (*super().warnings, *own)

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the first system or of the reranker has changed."""
        super().check_files()
        members.check_files(self._reranker)

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let the first system encode `texts`; pairs are scored and counted anew."""
        self._scores.clear()
        super().prepare(texts, cache, progress)

    def scored_pairs(self) -> ScoredPairs | None:
        """Return the pairs that the reranker has scored; None where it does not say which it cuts off."""
        pairs = [(query, text) for query, scores in self._scores.items() for text in scores]
        cut = members.is_truncated_pair(self._reranker, pairs)
        if cut is None:
            return None
        truncated = Counter(pairs[row][1] for row in np.flatnonzero(cut))
        return ScoredPairs(members.longest_pair(self._reranker), Counter(text for _, text in pairs), truncated)

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query the first system's `depth` documents, the first n in the order of the reranker.

        Each pair of texts is scored once, whatever the settings: the pool's first n are among each language's first n.
        """
        lists = self._first.search_scored(setting, queries, documents, max(depth, self._n))
        texts = {document.doc_id: document.text for document in documents}
        heads = [
            (query.text, [(doc_id, texts[doc_id]) for doc_id in found.doc_ids[: self._n]])
            for query, found in zip(queries, lists, strict=True)
        ]
        self._score(heads)
        return [
            _joined(sorted(((self._scores[query][text], doc_id) for doc_id, text in head), reverse=True), found, depth)
            for (query, head), found in zip(heads, lists, strict=True)
        ]

    def _score(self, heads: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
        missing: dict[tuple[str, str], None] = {}
        for query, head in heads:
            known = self._scores.setdefault(query, {})
            missing |= {(query, text): None for _, text in head if text not in known}
        # Sorted, so that batches do not depend on the order in which documents were found.
        pairs = sorted(missing, key=lambda pair: (len(pair[0]) + len(pair[1]), pair))
        scores = np.asarray(self._reranker.score(pairs))
        if scores.shape != (len(pairs),) or not np.issubdtype(scores.dtype, np.floating):
            raise RetrieverError(f"the reranker gave {scores.dtype} {scores.shape} for {len(pairs)} pairs")
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            query, text = pairs[wrong[0]]
            raise RetrieverError(f"the reranker gives NaN or infinite scores, as for {query!r:.60} and {text!r:.60}")
        rounded = np.rint(scores.astype(np.float64) / _STEP) * _STEP
        for (query, text), score in zip(pairs, rounded.tolist(), strict=True):
            self._scores[query][text] = cast(float, score)


def _joined(head: Sequence[tuple[float, str]], found: RankedList, depth: int) -> RankedList:
    """Return `head`, (score, id) best first, and behind it what is left of `found`, `depth` documents in all.

    The scores of the two have nothing to do with each other: those of the whole are the ranks of distinct scores.
    """
    doc_ids = [doc_id for _, doc_id in head] + found.doc_ids[len(head) :]
    if found.scores is None and len(doc_ids) > len(head):
        return RankedList(doc_ids[:depth])
    below = found.scores[len(head) :] if found.scores is not None else np.empty(0)
    levels = np.cumsum(np.concatenate((_falls(np.array([score for score, _ in head])), _falls(below))))
    return RankedList(doc_ids[:depth], -levels[:depth].astype(np.float64))


def _falls(scores: Scores) -> NDArray[np.bool_]:
    """Return where a score differs from the one before it, which the first one does."""
    falls = np.ones(len(scores), dtype=np.bool_)
    falls[1:] = scores[1:] != scores[:-1]
    return falls
