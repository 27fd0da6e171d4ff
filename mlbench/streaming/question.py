"""What is asked of the documents of a corpus: queries, and the relevant documents that others are counted against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mlbench.embeddings import Embeddings
from mlbench.grid import dot_exponent, grid_cosine, grid_dot
from mlbench.languages import Setting
from mlbench.layout import Layout
from mlbench.protocols import Encoder, Role, Similarity, Vectors
from mlbench.ranking import exact_scores
from mlbench.store import text_hash

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SPARE = 2
"""Documents may be 2^2 times as long as the longest relevant one before everything is counted anew."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How vectors become grid vectors: `exponent` is that of the power of two that dot products are divided by."""

    similarity: Similarity
    exponent: int

    @classmethod
    def of(cls, similarity: Similarity, largest_norm: float, spare: int = 0) -> "Scale":
        """Return the scale for vectors up to `largest_norm`, and up to 2^`spare` times as long."""
        return cls(similarity, 0 if similarity == "cosine" else dot_exponent(largest_norm) + spare)

    def grid(self, vectors: Vectors) -> Floats:
        """Return the grid vectors of float32 (n, dim), float64 (n, dim)."""
        return grid_cosine(vectors) if self.similarity == "cosine" else grid_dot(vectors, self.exponent)

    def holds(self, largest_norm: float) -> bool:
        """Say whether products of vectors up to this norm are exact."""
        return self.similarity == "cosine" or dot_exponent(largest_norm) <= self.exponent


@dataclass(frozen=True, eq=False)
class LanguageQuestion:
    """What is asked of the documents of one language.

    `queries` (queries,) are the layout's indexes of the queries that ask, `vectors` float64 (queries, dim) on the grid.
    One row is one of their relevant documents of any language: `rows` (rows,) are the layout's, among those whose
    document is in a corpus; `row_queries` (rows,) indexes into `queries`, ascending; `scores` float64 (rows,);
    `targets` (rows,) indexes into `Question.target_ids`.
    """

    queries: Integers
    vectors: Floats
    rows: Integers
    row_queries: Integers
    scores: Floats
    targets: Integers


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of each language's documents; all that a worker needs beside its encoder and documents.

    `target_ids` are the ids of the relevant documents, ascending. `known` gives the row in `known_vectors`, float32
    (texts, dim), of each text (its hash) that has been encoded before: the relevant documents' above all, so that one
    and all its duplicates have the same score.
    """

    languages: Mapping[str, LanguageQuestion]
    target_ids: tuple[str, ...]
    known: Mapping[bytes, int]
    known_vectors: Vectors
    scale: Scale
    depth: int

    def fingerprint(self) -> str:
        """Return a digest of all that decides counts, but for the documents and the encoder."""
        digest = sha256(repr((self.target_ids, self.scale, self.depth, sorted(self.known))).encode())
        for language, asked in sorted(self.languages.items()):
            digest.update(language.encode())
            for array in (asked.queries, asked.vectors, asked.rows, asked.row_queries, asked.scores, asked.targets):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def scale_of(encoder: Encoder, embeddings: Embeddings) -> tuple[Scale, Scale]:
    """Return the scales of queries and documents; that of documents has some spare room for those not yet seen."""
    return (
        Scale.of(encoder.similarity, embeddings.largest_norm("query")),
        Scale.of(encoder.similarity, embeddings.largest_norm("document"), _SPARE),
    )


def ask(
    layout: Layout, settings: Sequence[Setting], embeddings: Embeddings, scales: tuple[Scale, Scale], depth: int
) -> Question:
    """Return what the settings ask; the collection of `layout` holds the relevant documents alone.

    A query asks for all documents of a language when a setting of its language does.
    """
    names = layout.collection.languages
    for_queries, for_documents = scales
    queries = np.concatenate([for_queries.grid(embeddings.vectors("query", name)) for name in names])
    documents = np.empty((layout.n_documents, queries.shape[1]))
    for index, name in enumerate(names):
        own = layout.corpus(index)
        documents[own] = for_documents.grid(embeddings.vectors("document", name))[layout.document_sources[own]]
    row_queries, row_documents = layout.row_queries[layout.present], layout.row_documents[layout.present]
    scores = exact_scores(queries, row_queries, documents, row_documents)
    languages = {}
    for name in names:
        wanted = [names.index(setting.query_language) for setting in settings if name in setting.document_languages]
        asking = np.flatnonzero(np.isin(layout.query_languages, wanted))
        rows = np.flatnonzero(np.isin(row_queries, asking))
        languages[name] = LanguageQuestion(
            queries=asking,
            vectors=queries[asking],
            rows=rows,
            row_queries=np.searchsorted(asking, row_queries[rows]),
            scores=scores[rows],
            # The layout numbers documents in the order of ids, descending.
            targets=layout.n_documents - 1 - row_documents[rows],
        )
    known, vectors = _known(layout, embeddings)
    target_ids = tuple(reversed(layout.document_ids[: layout.n_documents]))
    return Question(languages, target_ids, known, vectors, for_documents, depth)


def _known(layout: Layout, embeddings: Embeddings) -> tuple[dict[bytes, int], Vectors]:
    matrix = embeddings.matrices["document"]
    known: dict[bytes, int] = {}
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        if embeddings.matrices[role] is not matrix:
            continue
        for name in layout.collection.languages:
            side = layout.collection.documents if role == "document" else layout.collection.queries
            rows = embeddings.rows[role, name].tolist()
            known |= {text_hash(row[1]): place for row, place in zip(side[name], rows, strict=True)}
    return known, matrix
