"""An encoder whose documents are looked up in an approximate index, as a ranker."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlbench.embeddings import role_of
from mlbench.errors import RetrieverError
from mlbench.languages import Setting
from mlbench.opened import Opened
from mlbench.ordering import by_id
from mlbench.protocols import Encoder, Parameter, Progress, Role, Silence, Vectors
from mlbench.records import Document, Query
from mlbench.results import IndexCost
from mlbench.systems.composite import Composite
from mlbench.systems.faiss_index import Built, build, check_faiss, search
from mlbench.systems.index_kinds import Index, index_name
from mlbench.systems.parts import Part
from mlbench.systems.vectors import TextRows, Texts

_LARGE = 100_000
"""A pool whose index takes so long to build that it is told."""


class IndexedEncoder:
    """The vectors of an encoder, and the indexes built over them, shared by all who search in them."""

    def __init__(self, opened: Opened) -> None:
        if not isinstance(opened.retriever, Encoder):
            raise RetrieverError(f"an index is built over an encoder's vectors, and {opened.spec} is a ranker")
        self._texts, self._prepared = TextRows(opened), dict[tuple[Role, str], Sequence[str]]()
        self._vectors: dict[Role, Vectors] = {}
        self._built: dict[tuple[str, ...], tuple[list[str], Built]] = {}
        self._progress: Progress = Silence()

    @property
    def dim(self) -> int:
        """How many coordinates its vectors have."""
        return self._texts.encoder.dim

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Encode `texts`, each once, and forget the indexes of other texts."""
        self._progress = progress
        if texts == self._prepared:
            return
        self._built.clear()
        embeddings = self._texts.encode(texts, cache, progress)
        is_cosine = self._texts.encoder.similarity == "cosine"
        self._vectors = {
            role: _normalise(matrix) if is_cosine else matrix for role, matrix in embeddings.matrices.items()
        }
        self._prepared = dict(texts)

    def ensure(self, language: str, queries: Sequence[str], documents: Sequence[str]) -> None:
        """Encode these texts alone unless they were prepared."""
        if self._texts.lack(queries, documents):
            self.prepare({("query", language): queries, ("document", language): documents}, None, Silence())

    def vectors(self, role: Role, texts: Sequence[str]) -> Vectors:
        """Return what an index is given for `texts`, float32 (n, dim): of length 1 where similarity is a cosine."""
        vectors: Vectors = self._vectors[role_of(role, texts)][self._texts.of(role, texts)]
        return vectors

    def index(self, kind: Index, pool: Sequence[str], documents: Sequence[str]) -> Built:
        """Return the index of the texts `documents`, built unless there is one of the same keys."""
        keys = kind.build_keys(len(documents), self.dim)
        key = (kind.kind, *pool, *(f"{name}={value}" for name, value in keys.items()))
        known = self._built.get(key)
        if known is None or known[0] != documents:
            if len(documents) >= _LARGE:
                self._progress.note(f"building {kind.kind} over {len(documents):,} documents")
            known = self._built[key] = (list(documents), build(kind, keys, self.vectors("document", documents)))
        return known[1]


class IndexRanker(Composite):
    """The documents of each list as an index finds them, one index for each pool that is asked."""

    def __init__(self, index: Index, part: Part, encoder: IndexedEncoder) -> None:
        super().__init__({"encoder": part})
        self._index, self._encoder, self._faiss = index, encoder, check_faiss()
        self._costs: dict[tuple[str, ...], IndexCost] = {}
        # Told now, not after hours of encoding.
        index.build_keys(2**31, encoder.dim)

    @property
    def declared(self) -> dict[str, Parameter]:
        """The index with all its keys, and the version of faiss."""
        keys = {f"index.{key}": value for key, value in self._index.model_dump().items()}
        return {"kind": "index", "index": self._index.kind, **keys, "faiss": self._faiss}

    @property
    def index_costs(self) -> tuple[IndexCost, ...]:
        """What each index took since the last preparation, in the order of their pools."""
        return tuple(self._costs[pool] for pool in sorted(self._costs, key=lambda pool: (len(pool), pool)))

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let the encoder encode `texts`, and count the costs anew."""
        self._costs.clear()
        self._encoder.prepare(texts, cache, progress)

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query at most `depth` of the documents that the index finds, best first."""
        ordered = [documents[place] for place in by_id([document.doc_id for document in documents])]
        asked, corpus = [query.text for query in queries], [document.text for document in ordered]
        if not ordered:
            return [[] for _ in asked]
        self._encoder.ensure(setting.query_language, asked, corpus)
        built = self._encoder.index(self._index, setting.document_languages, corpus)
        keys = self._index.search_keys(len(corpus), self._encoder.dim)
        length = min(depth, self._index.length(len(corpus)))
        found = search(self._index, built, keys, self._encoder.vectors("query", asked), length)
        self._add(
            IndexCost(
                document_languages=setting.document_languages,
                n_documents=len(corpus),
                keys=self._index.build_keys(len(corpus), self._encoder.dim) | keys,
                depth=length,
                bytes=built.bytes,
                build_seconds=round(built.seconds, 6),
                n_queries=len(asked),
                search_seconds=round(found.seconds, 6),
            )
        )
        doc_ids = np.array([document.doc_id for document in ordered], dtype=object)
        return [doc_ids[places].tolist() for places in found.lists]

    def _add(self, cost: IndexCost) -> None:
        """Add a search to what the index of its pool took before."""
        pool = cost.document_languages
        if before := self._costs.get(pool):
            spent = {key: getattr(before, key) + getattr(cost, key) for key in ("n_queries", "search_seconds")}
            cost = cost.model_copy(update=spent)
        self._costs[pool] = cost


def with_indexes(opened: Opened, indexes: Sequence[Index]) -> list[Opened]:
    """Return one ranker for each index over the same encoder: what they build alike they build once.

    The results name the encoder and the index. Raises `RetrieverError` where `opened` is no encoder or a key does not
    suit it, and `MissingExtra` without faiss.
    """
    part, encoder = Part.of(opened), IndexedEncoder(opened)
    return [
        Opened(IndexRanker(index, part, encoder), f"{opened.spec} {index_name(index)}", opened.training)
        for index in indexes
    ]


def _normalise(vectors: Vectors) -> Vectors:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    normalised: Vectors = np.divide(vectors, lengths[:, None], out=np.empty_like(vectors), casting="same_kind")
    return normalised
