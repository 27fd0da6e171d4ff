"""One topic of a result: its queries, where its relevant documents stand, and what stands before them."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, whole_pool
from mlbench.collection.records import Collection, Image
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.measures.formulas import UNRETRIEVED, relevant_ranks
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import MISSING, Ranks, can_answer, pool_counts
from mlbench.results import Result

WORST = "worst"
"""In place of an id: the topic with the lowest AP."""
_AP = parse("AP")


class ListedDocument(DocumentPart):
    """A document near the top of a list; `rank` counts from 1."""

    rank: int
    doc_id: str
    language: str
    relevant: bool
    text: str | None


class TopicQuery(DocumentPart):
    """The topic in one language: its AP in the pool, and the top of its list there, as far as it was kept."""

    language: str
    text: str | None
    average_precision: float | None
    top: tuple[ListedDocument, ...]


class DocumentRank(DocumentPart):
    """Where a relevant document stands for one query: in the pool, and in the corpus of its own language alone.

    None where it was not retrieved, or nobody asked.
    """

    query_language: str
    in_pool: int | None
    in_language: int | None


class RelevantDocument(DocumentPart):
    """A relevant document; `missing` says that it is judged, but not in the corpus."""

    doc_id: str
    language: str
    grade: int | float
    missing: bool
    text: str | None
    ranks: tuple[DocumentRank, ...]


class Topic(DocumentPart):
    """A topic; `pool` is all languages of the task, or empty where a ranker was not asked for them together.

    An image is asked against the captions of all languages, a caption against images. The text of an image is the name
    of its file.
    """

    task: str
    retriever: str
    topic_id: str
    average_precision: float | None
    pool: tuple[str, ...]
    n_documents: int
    queries: tuple[TopicQuery, ...]
    relevant: tuple[RelevantDocument, ...]


def find_topic(ranks: Ranks, name: str) -> str:
    """Return the topic id `name`, or for `worst` that of the lowest mean AP over query languages in the pool.

    Where the pool was not asked for, AP is that of the monolingual settings. Among equals the first id is taken.
    Raises `UserError` with the nearest ids for an unknown one.
    """
    if name in ranks.topic_ids:
        return name
    if name == WORST:
        return _worst(ranks)
    near = get_close_matches(name, ranks.topic_ids.tolist(), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"its ids are like {ranks.topic_ids[0]}"
    raise UserError(f"the result has no topic {name!r}: {hint} (--topic {WORST} is the one of the lowest AP)")


def look_at(result: Result, ranks: Ranks, topic_id: str, texts: Collection | None = None) -> Topic:
    """Gather what the ranks say of one topic; `texts`, where given, is the collection that was measured."""
    ranks = _of_topic(ranks, topic_id)
    counts = _Counts(_pool_rank(ranks), _language_rank(ranks))
    values = [_value(quality) for quality in _average_precision(ranks)]
    known = [value for value in values if value is not None]
    words = _Texts.of(texts, topic_id)
    languages = ranks.query_languages
    asked = whole_pool(str(ranks.languages[languages[0]]) if len(languages) else "", ranks.languages.tolist())
    return Topic(
        task=result.task.name,
        retriever=result.retriever.label,
        topic_id=topic_id,
        average_precision=sum(known) / len(known) if known else None,
        pool=() if counts.pool is None else asked,
        n_documents=0 if counts.pool is None else pool_counts(ranks, asked).size,
        queries=tuple(_query(ranks, query, ap, words) for query, ap in enumerate(values)),
        relevant=_relevant(ranks, counts, words),
    )


def _of_topic(ranks: Ranks, topic_id: str) -> Ranks:
    """Return the ranks of the queries of one topic alone, numbered from 0; topics and documents keep their numbers."""
    asked = ranks.query_topics == np.flatnonzero(ranks.topic_ids == topic_id)[0]
    rows = np.flatnonzero(asked[ranks.row_queries])
    numbers = np.cumsum(asked, dtype=np.int32) - 1
    return ranks.choose(asked, rows, numbers[ranks.row_queries[rows]])


@dataclass(frozen=True, eq=False)
class _Counts:
    """The rank of each row in the pool (None where nobody asked for it) and in its document's language; int64 (rows,).

    `UNRETRIEVED` where there is none.
    """

    pool: NDArray[np.int64] | None
    language: NDArray[np.int64]


def _language_rank(ranks: Ranks) -> NDArray[np.int64]:
    """Return the rank of each row in the language of its document alone."""
    language = np.full(len(ranks.row_queries), UNRETRIEVED)
    for index, name in enumerate(ranks.languages.tolist()):
        if can_answer(ranks, [name]):
            own = ranks.row_languages == index
            language[own] = pool_counts(ranks, [name]).rank[own]
    return language


def _pool_rank(ranks: Ranks) -> NDArray[np.int64] | None:
    """Return the rank of each row among all that its query may be asked against, None where nobody asked for that."""
    captions = ranks.spoken_languages
    pools = [captions, (IMAGE,)] if ranks.has_images else [captions]
    if not all(can_answer(ranks, pool) for pool in pools):
        return None
    rank = pool_counts(ranks, captions).rank
    if not ranks.has_images:
        return rank
    of_image = ranks.row_languages == ranks.language_index(IMAGE)
    return np.where(of_image, pool_counts(ranks, (IMAGE,)).rank, rank)


def _average_precision(ranks: Ranks) -> NDArray[np.float64]:
    """Return the AP of each query, (queries,), NaN without relevant documents: in the pool, else in its language."""
    return np.concatenate([_average_precision_of(part) for part in ranks.parts()])


def _average_precision_of(part: Ranks) -> NDArray[np.float64]:
    """Return the same for queries of one language."""
    rank, own = _pool_rank(part), part.query_languages[:1]
    rows = np.arange(len(part.row_queries)) if rank is not None else np.flatnonzero(np.isin(part.row_languages, own))
    if rank is None:
        asked = [str(language) for language in part.languages[own] if can_answer(part, [language])]
        rank = pool_counts(part, asked).rank if asked else np.full(len(part.row_queries), UNRETRIEVED)
    relevant = relevant_ranks(part.row_queries[rows], rank[rows], part.grades[rows], len(part.query_topics))
    return _AP.values(relevant)


def _worst(ranks: Ranks) -> str:
    quality = _average_precision(ranks)
    judged = ~np.isnan(quality)
    if not judged.any():
        raise UserError("no topic of the result has a relevant document")
    topics = ranks.query_topics[judged]
    times = np.bincount(topics, minlength=len(ranks.topic_ids))
    sums = np.bincount(topics, quality[judged], minlength=len(ranks.topic_ids))
    means = np.divide(sums, times, out=np.full(len(times), np.inf), where=times > 0)
    return str(ranks.topic_ids[int(means.argmin())])


@dataclass(frozen=True)
class _Texts:
    queries: Mapping[str, str]
    documents: Mapping[str, str]

    @classmethod
    def of(cls, collection: Collection | None, topic_id: str) -> "_Texts":
        if collection is None:
            return cls({}, {})
        asked = {
            language: _text(query.text)
            for language, rows in collection.queries.items()
            for query in rows
            if query.topic_id == topic_id
        }
        return cls(asked, {row.doc_id: _text(row.text) for rows in collection.documents.values() for row in rows})


def _text(text: str) -> str:
    return text.path.name if isinstance(text, Image) else text


def _query(ranks: Ranks, query: int, average_precision: float | None, texts: _Texts) -> TopicQuery:
    language = str(ranks.languages[ranks.query_languages[query]])
    relevant = set(ranks.row_documents[ranks.row_queries == query].tolist())
    top = []
    for rank, document in enumerate(ranks.top[query][ranks.top[query] >= 0].tolist(), 1):
        doc_id = str(ranks.document_ids[document])
        top.append(
            ListedDocument(
                rank=rank,
                doc_id=doc_id,
                language=str(ranks.languages[ranks.document_languages[document]]),
                relevant=document in relevant,
                text=texts.documents.get(doc_id),
            )
        )
    return TopicQuery(
        language=language, text=texts.queries.get(language), average_precision=average_precision, top=tuple(top)
    )


def _relevant(ranks: Ranks, counts: _Counts, texts: _Texts) -> tuple[RelevantDocument, ...]:
    by_document: dict[int, list[DocumentRank]] = {}
    grades, missing = {}, {}
    for row, grade in enumerate(ranks.grades.tolist()):
        document = int(ranks.row_documents[row])
        grades[document] = int(grade) if grade.is_integer() else grade
        missing[document] = bool((ranks.ahead[row] == MISSING).any())
        by_document.setdefault(document, []).append(
            DocumentRank(
                query_language=str(ranks.languages[ranks.query_languages[ranks.row_queries[row]]]),
                in_pool=None if counts.pool is None else _rank(counts.pool[row]),
                in_language=_rank(counts.language[row]),
            )
        )
    found = [
        RelevantDocument(
            doc_id=(doc_id := str(ranks.document_ids[document])),
            language=str(ranks.languages[ranks.document_languages[document]]),
            grade=grades[document],
            missing=missing[document],
            text=texts.documents.get(doc_id),
            ranks=tuple(in_lists),
        )
        for document, in_lists in by_document.items()
    ]
    return tuple(sorted(found, key=lambda document: (document.language, document.doc_id)))


def _rank(rank: np.int64) -> int | None:
    return None if rank == UNRETRIEVED else int(rank)


def _value(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
