"""A collection in numbers: topics, queries, documents and relevant documents as arrays of indexes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.records import Collection
from mlbench.ranking.ranks import MISSING, Ranks

Integers = NDArray[np.int64]
_Number = TypeVar("_Number", bound=np.number)


@dataclass(frozen=True, eq=False)
class IndexArrays:
    """The index arrays of a collection, all int64.

    Documents are numbered in the order of ids, descending, over all languages: a document's index is its position in
    the total order that breaks ties. `document_sources` is the position of each in `collection.documents[language]`.
    Queries are numbered language by language, in the collection's order. One row is a (query, relevant document), rows
    are sorted by query; a relevant document missing from the corpus has an index beyond `n_documents`, its id and
    language stand at the end of `document_ids` and `document_languages`. `query_documents` is int64 (queries,
    languages), the index of the document in each language that a query is itself (see `Collection`), -1 where there is
    none; there is no row for the two.
    """

    collection: Collection
    topic_ids: tuple[str, ...]
    topic_clusters: Integers
    query_topics: Integers
    query_languages: Integers
    query_documents: Integers
    document_ids: tuple[str, ...]
    document_languages: Integers
    document_sources: Integers
    row_queries: Integers
    row_documents: Integers
    row_grades: Integers

    @property
    def n_documents(self) -> int:
        """How many documents the corpora hold."""
        return len(self.document_sources)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which rows have their document in the corpus."""
        return self.row_documents < self.n_documents

    @property
    def most_left_out(self) -> int:
        """How many documents some query is itself, at most."""
        return int((self.query_documents >= 0).sum(axis=1).max(initial=0))

    def corpus(self, language: int) -> Integers:
        """Return the indexes of one language's documents, ascending."""
        return np.flatnonzero(self.document_languages[: self.n_documents] == language)


def index_collection(collection: Collection) -> IndexArrays:
    """Number everything in a collection; the same collection gets the same numbers."""
    languages = {language: index for index, language in enumerate(collection.languages)}
    queries = [(index, query) for language, index in languages.items() for query in collection.queries[language]]
    topics = {topic: index for index, topic in enumerate(sorted({query.topic_id for _, query in queries}))}
    clusters = {name: i for i, name in enumerate(sorted({collection.clusters[topic] for topic in topics}))}
    found = [
        (document.doc_id, index, source)
        for language, index in languages.items()
        for source, document in enumerate(collection.documents[language])
    ]
    found.sort(key=lambda entry: entry[0], reverse=True)
    ids = {entry[0]: index for index, entry in enumerate(found)}
    missing = {j.doc_id: j.language for topic in topics for j in collection.judgments[topic] if j.doc_id not in ids}
    for doc_id in sorted(missing, reverse=True):
        ids[doc_id] = len(ids)
    rows = [
        (row, ids[judgment.doc_id], judgment.grade)
        for row, (index, query) in enumerate(queries)
        for judgment in collection.judged(collection.languages[index], query.topic_id)
    ]
    row_queries, row_documents, row_grades = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    homes = [entry[1] for entry in found] + [languages[missing[doc_id]] for doc_id in sorted(missing, reverse=True)]
    itself = np.full((len(queries), len(languages)), -1, dtype=np.int64)
    for row, (index, query) in enumerate(queries):
        for doc_id in collection.itself(collection.languages[index], query.topic_id):
            itself[row, homes[ids[doc_id]]] = ids[doc_id]
    return IndexArrays(
        collection=collection,
        topic_ids=tuple(topics),
        topic_clusters=_integers(clusters[collection.clusters[topic]] for topic in topics),
        query_topics=_integers(topics[query.topic_id] for _, query in queries),
        query_languages=_integers(index for index, _ in queries),
        query_documents=itself,
        document_ids=tuple(ids),
        document_languages=_integers(homes),
        document_sources=_integers(entry[2] for entry in found),
        row_queries=row_queries,
        row_documents=row_documents,
        row_grades=row_grades,
    )


@dataclass(frozen=True, eq=False)
class CountTable:
    """The counts of every row in every column, and the top of each query's list, indexed as in `IndexArrays`.

    `columns` are tuples of languages, `sizes` their numbers of documents; `ahead` and `ties` are (present rows,
    columns), or, as in compact `Ranks`, (present rows, 1 + pools), `listed` (queries, columns), `top` (queries, depth)
    document indexes, -1 where there are fewer. `alignment`, float32 (present rows, 2), is None for texts alone.
    """

    columns: tuple[tuple[str, ...], ...]
    sizes: tuple[int, ...]
    ahead: NDArray[np.int32]
    ties: NDArray[np.int32]
    listed: NDArray[np.int32]
    top: Integers
    alignment: NDArray[np.float32] | None = None


def to_ranks(arrays: IndexArrays, table: CountTable) -> Ranks:
    """Return the ranks file's content: the table with the documents that it mentions, numbered anew.

    The rows of a query are in the order of its judgments. Where ranks are compact, they are sorted by document, those
    of the table in place.
    """
    collection, present = arrays.collection, arrays.present
    mentioned = np.zeros(len(arrays.document_ids), dtype=np.bool_)
    mentioned[arrays.row_documents] = mentioned[table.top[table.top >= 0]] = True
    kept, numbers = np.flatnonzero(mentioned), _narrow(np.cumsum(mentioned) - 1)
    ranks = Ranks(
        languages=_strings(collection.languages),
        columns=_strings("+".join(column) for column in table.columns),
        column_sizes=_narrow(list(table.sizes)),
        topic_ids=_strings(arrays.topic_ids),
        topic_clusters=_narrow(arrays.topic_clusters),
        cluster_unit=_strings([collection.cluster_unit]),
        query_topics=_narrow(arrays.query_topics),
        query_languages=_narrow(arrays.query_languages),
        document_ids=_strings(arrays.document_ids[index] for index in kept.tolist()),
        document_languages=_narrow(arrays.document_languages[kept]),
        row_queries=_narrow(arrays.row_queries),
        row_documents=numbers[arrays.row_documents],
        row_grades=arrays.row_grades.astype(np.int32),
        ahead=_in_all_rows(table.ahead, present, MISSING),
        ties=_in_all_rows(table.ties, present, 0),
        top=np.where(table.top >= 0, numbers[table.top], np.int32(-1)),
        listed=table.listed,
        alignment=None if table.alignment is None else _in_all_rows(table.alignment, present, np.nan),
        grade_scale=None if collection.grade_scale == 1 else _narrow([collection.grade_scale]),
    )
    if ranks.is_compact:
        _sort_by_document(ranks)
    return ranks


def _in_all_rows(table: NDArray[_Number], present: NDArray[np.bool_], absent: float) -> NDArray[_Number]:
    """Return what is known of the rows whose document is present as an array for all rows, `absent` in the others."""
    if present.all():
        return table
    whole = np.full((len(present), table.shape[1]), absent, dtype=table.dtype)
    whole[present] = table
    return whole


def _sort_by_document(ranks: Ranks) -> None:
    """Sort the rows of each query by document, in place and the queries of one language at a time."""
    for part in ranks.parts():
        keys = part.row_queries.astype(np.int64) << 32 | part.row_documents
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys)
            for rows in (part.row_documents, part.row_grades, part.ahead, part.ties, part.alignment):
                if rows is not None:
                    rows[:] = rows[order]


def _integers(values: Iterable[int]) -> Integers:
    return np.fromiter(values, dtype=np.int64)


def _narrow(values: Integers | list[int]) -> NDArray[np.int32]:
    return np.asarray(values, dtype=np.int32)


def _strings(values: Iterable[str]) -> NDArray[np.str_]:
    return np.array(list(values), dtype=np.str_)
