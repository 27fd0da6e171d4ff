"""A collection in numbers: topics, queries, documents and relevant documents as arrays of indexes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.records import Collection
from mlbench.ranking.count_ahead import by_id
from mlbench.ranking.ranks import MISSING, Ranks

Integers = NDArray[np.int32]
Grades = NDArray[np.int8] | NDArray[np.int32]
_Number = TypeVar("_Number", bound=np.number)
_EVERY = -2


@dataclass(frozen=True, eq=False)
class IndexArrays:
    """The index arrays of a collection, all int32.

    Documents are numbered in the order of ids, descending, over all languages: a document's index is its position in
    the total order that breaks ties. `document_sources` is the position of each in `collection.documents[language]`.
    Queries are numbered language by language, in the collection's order. One row is a (query, relevant document), rows
    are sorted by query; a relevant document missing from the corpus has an index beyond `n_documents`, its id and
    language stand at the end of `document_ids` and `document_languages`. `row_grades` are int8 where all of them fit.
    `own_documents` is (queries, most), the documents that each query is itself (see `Collection`), -1 where it is fewer
    than the most that a query is; no two of a query are in one language, and there is no row for query and document.
    """

    collection: Collection
    topic_ids: tuple[str, ...]
    topic_clusters: Integers
    query_topics: Integers
    query_languages: Integers
    own_documents: Integers
    document_ids: tuple[str, ...]
    document_languages: Integers
    document_sources: Integers
    row_queries: Integers
    row_documents: Integers
    row_grades: Grades

    @property
    def n_documents(self) -> int:
        """How many documents the corpora hold."""
        return len(self.document_sources)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which rows have their document in the corpus."""
        return self.row_documents < self.n_documents

    @property
    def present_rows(self) -> tuple[Integers, Integers]:
        """Query and document of the rows whose document is in the corpus: the arrays themselves where all are."""
        kept = slice(None) if len(self.document_ids) == self.n_documents else self.present
        return self.row_queries[kept], self.row_documents[kept]

    @property
    def most_left_out(self) -> int:
        """How many documents some query is itself, at most."""
        return int(self.own_documents.shape[1])

    def corpus(self, language: int) -> NDArray[np.int64]:
        """Return the indexes of one language's documents, ascending."""
        return np.flatnonzero(self.document_languages[: self.n_documents] == language)


def index_collection(collection: Collection) -> IndexArrays:
    """Number everything in a collection; the same collection gets the same numbers."""
    tags = {language: index for index, language in enumerate(collection.languages)}
    queries = [[query.topic_id for query in collection.queries[language]] for language in tags]
    documents = [[document.doc_id for document in collection.documents[language]] for language in tags]
    topics = {topic: index for index, topic in enumerate(sorted({topic for asked in queries for topic in asked}))}
    clusters = {name: i for i, name in enumerate(sorted({collection.clusters[topic] for topic in topics}))}
    every = [doc_id for corpus in documents for doc_id in corpus]
    order = by_id(every)
    ids = {every[source]: index for index, source in enumerate(order.tolist())}
    missing = {j.doc_id: j.language for topic in topics for j in collection.judgments[topic] if j.doc_id not in ids}
    last = sorted(missing, reverse=True)
    ids |= zip(last, range(len(ids), len(ids) + len(last)), strict=True)
    asked = [_integers(map(topics.__getitem__, own)) for own in queries]
    judged = _Judgments.of(collection, topics, ids, tags)
    row_queries, row_documents, row_grades = _rows(judged, asked)
    return IndexArrays(
        collection=collection,
        topic_ids=tuple(topics),
        topic_clusters=_integers(clusters[collection.clusters[topic]] for topic in topics),
        query_topics=_joined(asked),
        query_languages=_homes(queries),
        own_documents=_own_documents(collection, topics, ids, judged, asked),
        document_ids=tuple(ids),
        document_languages=np.append(_homes(documents)[order], _integers(tags[missing[doc_id]] for doc_id in last)),
        document_sources=_joined([np.arange(len(corpus), dtype=np.int32) for corpus in documents])[order],
        row_queries=row_queries,
        row_documents=row_documents,
        row_grades=row_grades,
    )


@dataclass(frozen=True, eq=False)
class _Judgments:
    """The judgments of all topics, topic by topic, in arrays (judgments,).

    `left_out_for` is the language of the queries that are the judged document, -1 without any, `_EVERY` for queries of
    every language.
    """

    n_topics: int
    topics: Integers
    languages: Integers
    documents: Integers
    grades: Grades
    left_out_for: Integers

    @classmethod
    def of(
        cls, collection: Collection, topics: Mapping[str, int], ids: Mapping[str, int], tags: Mapping[str, int]
    ) -> "_Judgments":
        judged = [(topic, row) for topic in topics for row in collection.judgments[topic]]
        languages = _integers(tags[row.language] for _, row in judged)
        grades = _integers(row.grade for _, row in judged)
        own = np.array([collection.is_own(topic, row) for topic, row in judged], dtype=np.bool_)
        return cls(
            n_topics=len(topics),
            topics=_integers(topics[topic] for topic, _ in judged),
            languages=languages,
            documents=_integers(ids[row.doc_id] for _, row in judged),
            grades=grades.astype(np.int8) if grades.max(initial=0) <= np.iinfo(np.int8).max else grades,
            left_out_for=np.where(own, _EVERY if collection.leaves_translations else languages, -1).astype(np.int32),
        )

    def asked_by(self, language: int) -> NDArray[np.int64]:
        """Return the indexes of the judgments for which queries of a language have rows."""
        return np.flatnonzero((self.left_out_for != language) & (self.left_out_for != _EVERY))


def _rows(judged: _Judgments, asked: Sequence[Integers]) -> tuple[Integers, Integers, Grades]:
    """Return query, document and grade of each row; `asked` are the topics of the queries of each language.

    Queries of one language are looked at at once: a topic's judgments are repeated for each query of it.
    """
    counts = [
        np.bincount(judged.topics[judged.asked_by(language)], minlength=judged.n_topics)
        for language in range(len(asked))
    ]
    lengths = _joined([count[topics] for count, topics in zip(counts, asked, strict=True)])
    queries = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    documents, grades = np.empty_like(queries), np.empty(len(queries), dtype=judged.grades.dtype)
    end = 0
    for language, (count, topics) in enumerate(zip(counts, asked, strict=True)):
        # Where the judgments of each query begin among those of the language, less where its rows begin.
        shift = (np.cumsum(count) - count)[topics] - (np.cumsum(count[topics]) - count[topics])
        places = np.repeat(shift, count[topics])
        places += np.arange(len(places))
        found = judged.asked_by(language)[places]
        rows = slice(end, end := end + len(found))
        documents[rows], grades[rows] = judged.documents[found], judged.grades[found]
    return queries, documents, grades


def _own_documents(
    collection: Collection,
    topics: Mapping[str, int],
    ids: Mapping[str, int],
    judged: _Judgments,
    asked: Sequence[Integers],
) -> Integers:
    """Return the documents that each query is itself, (queries, most)."""
    if not (collection.queries_are_documents or collection.ignore_identical_ids):
        return np.empty((sum(map(len, asked)), 0), dtype=np.int32)
    # By topic and language of the document.
    own = np.full((len(topics), len(asked)), -1, dtype=np.int32)
    if collection.queries_are_documents:
        own[judged.topics, judged.languages] = judged.documents
    else:
        for column, language in enumerate(collection.languages):
            found = (collection.own_document(language, topic) for topic in topics)
            own[:, column] = _integers(-1 if doc_id is None else ids[doc_id] for doc_id in found)
    if collection.leaves_translations:
        # Those that are there come first.
        own = -np.sort(-own, axis=1)[_joined(asked)]
    else:
        own = _joined([own[rows, language] for language, rows in enumerate(asked)])[:, None]
    return own[:, : int((own >= 0).sum(axis=1).max(initial=0))]


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
    top: NDArray[np.int64]
    alignment: NDArray[np.float32] | None = None


def to_ranks(arrays: IndexArrays, table: CountTable) -> Ranks:
    """Return the ranks file's content: the table with the documents that it mentions, numbered anew.

    The rows of a query are in the order of its judgments. Where ranks are compact, they are sorted by document, those
    of the table in place.
    """
    collection, present = arrays.collection, arrays.present
    is_compact = table.ahead.shape[1] != len(table.columns)
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
        row_grades=np.array(arrays.row_grades, dtype=arrays.row_grades.dtype if is_compact else np.int32),
        ahead=_in_all_rows(table.ahead, present, MISSING),
        ties=_in_all_rows(table.ties, present, 0),
        top=np.where(table.top >= 0, numbers[table.top], np.int32(-1)),
        listed=table.listed,
        alignment=None if table.alignment is None else _in_all_rows(table.alignment, present, np.nan),
        grade_scale=None if collection.grade_scale == 1 else _narrow([collection.grade_scale]),
    )
    if is_compact:
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


def _homes(rows: Sequence[Sequence[str]]) -> Integers:
    """Return the index of the language of each row, given the rows of each language."""
    return np.repeat(np.arange(len(rows), dtype=np.int32), [len(own) for own in rows])


def _joined(parts: Sequence[NDArray[np.signedinteger]]) -> Integers:
    return np.concatenate([*parts, np.empty(0, dtype=np.int32)], dtype=np.int32, casting="same_kind")


def _integers(values: Iterable[int]) -> Integers:
    return np.fromiter(values, dtype=np.int32)


def _narrow(values: NDArray[np.signedinteger] | list[int]) -> Integers:
    return np.asarray(values, dtype=np.int32)


def _strings(values: Iterable[str]) -> NDArray[np.str_]:
    return np.array(list(values), dtype=np.str_)
