"""Re-ranking: a reranker reads a query and each of the first documents of its list together, and orders them anew."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Reranker
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

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the first system or of the reranker has changed."""
        super().check_files()
        members.check_files(self._reranker)

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query the first system's `depth` documents, the first n in the order of the reranker.

        Each pair of texts is scored once, whatever the settings: the pool's first n are among each language's first n.
        """
        lists = self._first.search(setting, queries, documents, max(depth, self._n))
        texts = {document.doc_id: document.text for document in documents}
        heads = [
            (query.text, [(doc_id, texts[doc_id]) for doc_id in found[: self._n]])
            for query, found in zip(queries, lists, strict=True)
        ]
        self._score(heads)
        return [
            (_ordered(head, self._scores[query]) + found[self._n :])[:depth]
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


def _ordered(head: Sequence[tuple[str, str]], scores: dict[str, float]) -> list[str]:
    """Return ids of (id, text) by score, then by id, both descending."""
    return [doc_id for _, doc_id in sorted(((scores[text], doc_id) for doc_id, text in head), reverse=True)]
