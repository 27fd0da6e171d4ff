"""The queries and relevant documents that a stream is counted against, and the counts that its parts add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.embeddings.encode import Embeddings
from mlbench.embeddings.exact import to_grid
from mlbench.embeddings.store import text_hash
from mlbench.protocols import Role, Similarity, Vectors
from mlbench.ranking.count_ahead import exact_scores
from mlbench.ranking.index_arrays import IndexArrays

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Integers32 = NDArray[np.int32]
Strings = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class LanguageQuestion:
    """What is asked of the documents of one language.

    `queries` (queries,) index the queries that ask, `vectors` float64 (queries, dim) on the grid. One row is one of
    their relevant documents of any language: `rows` (rows,) index those of `IndexArrays` whose document is in a corpus;
    `row_queries` (rows,) indexes into `queries`, ascending; `scores` float64 (rows,); `targets` (rows,) indexes into
    `Question.target_ids`. `itself` (queries,) is the index of the document that a query is itself, -1 for none;
    `own_scores` float64 (queries,) are their scores, -inf for none.
    """

    queries: Integers
    vectors: Floats
    rows: Integers
    row_queries: Integers
    scores: Floats
    targets: Integers
    itself: Integers
    own_scores: Floats


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
    similarity: Similarity
    depth: int

    def fingerprint(self) -> str:
        """Return a digest of all that decides counts, but for the documents and the encoder."""
        digest = sha256(repr((self.target_ids, self.similarity, self.depth, sorted(self.known))).encode())
        for language, asked in sorted(self.languages.items()):
            digest.update(language.encode())
            for array in (asked.queries, asked.vectors, asked.rows, asked.row_queries, asked.scores, asked.targets):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def ask(
    arrays: IndexArrays,
    settings: Sequence[Setting],
    embeddings: Embeddings,
    similarity: Similarity,
    depth: int,
) -> Question:
    """Return what the settings ask; the collection of `arrays` holds the relevant documents alone.

    A query asks for all documents of a language when a setting of its language does.
    """
    names = arrays.collection.languages
    queries = np.concatenate([to_grid(embeddings.vectors("query", name), similarity) for name in names])
    documents = np.empty((arrays.n_documents, queries.shape[1]))
    for index, name in enumerate(names):
        own = arrays.corpus(index)
        documents[own] = to_grid(embeddings.vectors("document", name), similarity)[arrays.document_sources[own]]
    row_queries, row_documents = arrays.present_rows
    scores = exact_scores(queries, row_queries, documents, row_documents)
    languages = {}
    for column, name in enumerate(names):
        wanted = [names.index(setting.query_language) for setting in settings if name in setting.document_languages]
        asking = np.flatnonzero(np.isin(arrays.query_languages, wanted))
        rows = np.flatnonzero(np.isin(row_queries, asking))
        left_out = arrays.own_documents[asking].astype(np.int64)
        # At most one of each query is in the language.
        itself = np.where(arrays.document_languages[left_out] == column, left_out, -1).max(axis=1, initial=-1)
        own_scores, twins = np.full(len(asking), -np.inf), itself >= 0
        own_scores[twins] = exact_scores(queries, asking[twins], documents, itself[twins])
        languages[name] = LanguageQuestion(
            queries=asking,
            vectors=queries[asking],
            rows=rows,
            row_queries=np.searchsorted(asking, row_queries[rows]),
            scores=scores[rows],
            # The arrays number documents in the order of ids, descending.
            targets=arrays.n_documents - 1 - row_documents[rows].astype(np.int64),
            itself=itself,
            own_scores=own_scores,
        )
    known, vectors = _known(arrays, embeddings)
    target_ids = tuple(reversed(arrays.document_ids[: arrays.n_documents]))
    return Question(languages, target_ids, known, vectors, similarity, depth)


def _known(arrays: IndexArrays, embeddings: Embeddings) -> tuple[dict[bytes, int], Vectors]:
    matrix = embeddings.matrices["document"]
    known: dict[bytes, int] = {}
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        if embeddings.matrices[role] is not matrix:
            continue
        for name in arrays.collection.languages:
            side = arrays.collection.documents if role == "document" else arrays.collection.queries
            rows = embeddings.rows[role, name].tolist()
            known |= {text_hash(row[1]): position for row, position in zip(side[name], rows, strict=True)}
    return known, matrix


@dataclass(frozen=True, eq=False)
class TopDocuments:
    """The best documents of each query, best first.

    `scores` is float64 (queries, depth), -inf where there are fewer, and there `doc_ids` (queries, depth) is empty.
    """

    scores: Floats
    doc_ids: Strings

    @classmethod
    def empty(cls, n_queries: int, depth: int) -> "TopDocuments":
        """Return the top of no documents."""
        return cls(np.full((n_queries, depth), -np.inf), np.full((n_queries, depth), "", dtype="<U1"))

    def lines(self, numbers: NDArray[np.int64]) -> "TopDocuments":
        """Return the lines of some queries."""
        return TopDocuments(self.scores[numbers], self.doc_ids[numbers])

    def placed(self, where: NDArray[np.bool_], lines: "TopDocuments") -> "TopDocuments":
        """Return a copy in which `lines` stand at the queries that `where` marks."""
        scores, doc_ids = self.scores.copy(), self.doc_ids.astype(np.result_type(self.doc_ids, lines.doc_ids))
        scores[where], doc_ids[where] = lines.scores, lines.doc_ids
        return TopDocuments(scores, doc_ids)

    def without(self, gone: Sequence[str]) -> "TopDocuments":
        """Return the lines without one document each, by its id; an empty id leaves a line as it is."""
        is_gone = (self.doc_ids == np.array(gone, dtype=np.str_)[:, None]) & (self.doc_ids != "")
        order = np.argsort(is_gone, axis=1, kind="stable")
        scores, doc_ids = np.where(is_gone, -np.inf, self.scores), np.where(is_gone, "", self.doc_ids)
        return TopDocuments(np.take_along_axis(scores, order, axis=1), np.take_along_axis(doc_ids, order, axis=1))

    def merge(self, other: "TopDocuments") -> "TopDocuments":
        """Return the best of both, by score and then by id, both descending; no document is in both."""
        depth = self.scores.shape[1]
        scores = np.concatenate((self.scores, other.scores), axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")
        ordered = np.take_along_axis(scores, order, axis=1)
        doc_ids = np.take_along_axis(np.concatenate((self.doc_ids, other.doc_ids), axis=1), order, axis=1)
        # Ids are compared in the few rows alone where equal scores meet: strings are slow.
        ties = (ordered[:, 1:] == ordered[:, :-1]) & np.isfinite(ordered[:, 1:])
        for row in np.flatnonzero(ties.any(axis=1)):
            by_id = np.argsort(doc_ids[row], kind="stable")[::-1]
            order_of_row = by_id[np.argsort(-ordered[row][by_id], kind="stable")]
            doc_ids[row] = doc_ids[row][order_of_row]
        return TopDocuments(ordered[:, :depth], doc_ids[:, :depth])


@dataclass(frozen=True, eq=False)
class PartCounts:
    """The counts of one part, or of several parts of one language.

    `ahead` and `ties` are int32 (rows,), for the rows of the queries that ask for the language (see `Question`); `top`
    has one line for each of those queries. `texts` counts the distinct texts of each part that were no relevant
    document's, `encoded` those of them that were encoded for this, `tokens` what they had; `truncated` counts the
    documents that are cut off at the encoder's longest input. `encode_seconds` (reading included) and `count_seconds`
    are sums over all workers. `not_kept` says why vectors could not be kept.
    """

    NAMES: ClassVar = ("ahead", "ties", "scores", "doc_ids", "texts", "truncated")
    """Of the arrays that are saved."""

    ahead: Integers32
    ties: Integers32
    top: TopDocuments
    texts: int = 0
    truncated: int = 0
    encoded: int = 0
    tokens: int = 0
    encode_seconds: float = 0.0
    count_seconds: float = 0.0
    not_kept: str = ""

    @classmethod
    def empty(cls, n_rows: int, n_queries: int, depth: int) -> "PartCounts":
        """Return the counts of no documents."""
        return cls(np.zeros(n_rows, np.int32), np.zeros(n_rows, np.int32), TopDocuments.empty(n_queries, depth))

    def add(self, other: "PartCounts") -> "PartCounts":
        """Return the counts of the documents of both."""
        return PartCounts(
            ahead=self.ahead + other.ahead,
            ties=self.ties + other.ties,
            top=self.top.merge(other.top),
            texts=self.texts + other.texts,
            truncated=self.truncated + other.truncated,
            encoded=self.encoded + other.encoded,
            tokens=self.tokens + other.tokens,
            encode_seconds=self.encode_seconds + other.encode_seconds,
            count_seconds=self.count_seconds + other.count_seconds,
            not_kept=self.not_kept or other.not_kept,
        )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what is saved of it: all but what it cost, which is of one run."""
        return {
            "ahead": self.ahead,
            "ties": self.ties,
            "scores": self.top.scores,
            "doc_ids": self.top.doc_ids,
            "texts": np.array([self.texts]),
            "truncated": np.array([self.truncated]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], expected: "PartCounts") -> "PartCounts":
        """Return what was saved; raises `ValueError` for arrays that are not of the shapes and kinds of `expected`."""
        for name, like in expected.arrays().items():
            if arrays[name].shape != like.shape or arrays[name].dtype.kind != like.dtype.kind:
                raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
        return cls(
            ahead=arrays["ahead"].astype(np.int32),
            ties=arrays["ties"].astype(np.int32),
            top=TopDocuments(arrays["scores"].astype(np.float64), arrays["doc_ids"].astype(np.str_)),
            texts=int(arrays["texts"][0]),
            truncated=int(arrays["truncated"][0]),
        )
