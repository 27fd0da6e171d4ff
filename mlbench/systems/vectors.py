"""The texts of a system's encoder and their vectors, each text encoded once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench.embeddings import Embeddings, Group, embed
from mlbench.opened import Opened
from mlbench.protocols import Encoder, Progress, Role
from mlbench.store import Store

Integers = NDArray[np.int64]
Texts = Mapping[Group, Sequence[str]]


class TextRows:
    """Where the vectors of texts stand among those that an encoder was asked for last."""

    def __init__(self, opened: Opened) -> None:
        assert isinstance(opened.retriever, Encoder)
        self.encoder, self._spec = opened.retriever, opened.spec
        self._rows: dict[Role, dict[str, int]] = {"query": {}, "document": {}}

    def encode(self, texts: Texts, cache: Path | None, progress: Progress) -> Embeddings:
        """Encode each distinct text once, as a run of the encoder alone does; what was encoded before is forgotten.

        `cache` is the folder of the embedding store, None for no store.
        """
        about = {"retriever": self._spec, "parameters": self.encoder.parameters}
        store = None if cache is None else Store(cache, progress, about)
        embeddings = embed(self.encoder, texts, store, progress)
        for role in self._rows:
            self._rows[role] = {
                text: int(row)
                for group, group_texts in texts.items()
                if group[0] == role
                for text, row in zip(group_texts, embeddings.rows[group], strict=True)
            }
        return embeddings

    def lack(self, queries: Sequence[str], documents: Sequence[str]) -> bool:
        """Say whether any of these texts was not encoded."""
        return not (self._rows["query"].keys() >= set(queries) and self._rows["document"].keys() >= set(documents))

    def of(self, role: Role, texts: Sequence[str]) -> Integers:
        """Return the row of each text in the matrix of its role, int64 (n,)."""
        rows = self._rows[role]
        return np.fromiter((rows[text] for text in texts), dtype=np.int64, count=len(texts))
