"""The texts of a system's encoder and their vectors, each text encoded once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench.embeddings import Embeddings, Group, embed, role_of
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
        self._rows: dict[Role, dict[str, int]] = {"query": {}, "document": {}, "image": {}}

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
                if embeddings.roles[group] == role
                for text, row in zip(group_texts, embeddings.rows[group], strict=True)
            }
        return embeddings

    def lack(self, queries: Sequence[str], documents: Sequence[str]) -> bool:
        """Say whether any of these texts or images was not encoded."""
        sides: tuple[tuple[Role, Sequence[str]], ...] = (("query", queries), ("document", documents))
        return not all(self._rows[role_of(role, texts)].keys() >= set(texts) for role, texts in sides)

    def of(self, role: Role, texts: Sequence[str]) -> Integers:
        """Return the row of each text in the matrix of the role in which it was encoded, int64 (n,)."""
        rows = self._rows[role_of(role, texts)]
        return np.fromiter((rows[text] for text in texts), dtype=np.int64, count=len(texts))
