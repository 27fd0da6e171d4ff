"""From the counts of each language to those of the ranks file, and to the lists of run files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from mlbench.languages import Setting
from mlbench.layout import Layout, PoolTable
from mlbench.ranks import UNKNOWN
from mlbench.records import Collection, Document
from mlbench.streaming.counts import PartCounts, Tops
from mlbench.streaming.question import Question

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was asked of each language's documents, and what counting them all gave."""

    question: Question
    counts: Mapping[str, PartCounts]

    def asking_all(self) -> Integers:
        """Return the indexes of the queries that asked for the documents of every language."""
        return reduce(np.intersect1d, [asked.queries for asked in self.question.languages.values()])

    def top(self, languages: tuple[str, ...], queries: Integers) -> Tops:
        """Return the best documents of a pool for `queries` (queries,), indexes of the layout, which ask for it."""
        tops = Tops.empty(len(queries), self.question.depth)
        for language in languages:
            asking = self.question.languages[language].queries
            own = np.isin(queries, asking)
            lines = np.searchsorted(asking, queries[own])
            found = Tops.empty(len(queries), self.question.depth).placed(own, self.counts[language].top.lines(lines))
            tops = tops.merge(found)
        return tops


def with_tops(collection: Collection, outcome: Outcome, depth: int) -> Collection:
    """Return the collection with the best `depth` documents of the pool of all languages added, without their texts.

    They are those of the queries that asked for that pool.
    """
    queries = outcome.asking_all()
    best = set(outcome.top(collection.languages, queries).doc_ids[:, :depth].ravel().tolist())
    documents = {}
    for language in collection.languages:
        there = {document.doc_id for document in collection.documents[language]}
        own = np.unique(outcome.counts[language].top.doc_ids).tolist()
        added = [Document(doc_id, "") for doc_id in own if doc_id and doc_id in best and doc_id not in there]
        documents[language] = (*collection.documents[language], *added)
    return replace(collection, documents=documents)


def to_table(layout: Layout, outcome: Outcome, sizes: Mapping[str, int], depth: int) -> PoolTable:
    """Return the counts in the numbers of a layout that holds the relevant documents and the best `depth` of queries.

    A column is a language; nothing is known of it for queries that did not ask for it, and the top of all languages is
    known for queries alone that asked for them all.
    """
    languages, n_rows, n_queries = layout.collection.languages, int(layout.present.sum()), len(layout.query_topics)
    table = PoolTable(
        columns=tuple((language,) for language in languages),
        sizes=tuple(sizes[language] for language in languages),
        ahead=np.full((n_rows, len(languages)), UNKNOWN, dtype=np.int32),
        ties=np.zeros((n_rows, len(languages)), dtype=np.int32),
        listed=np.full((n_queries, len(languages)), UNKNOWN, dtype=np.int32),
        top=np.full((n_queries, depth), -1, dtype=np.int64),
    )
    for column, language in enumerate(languages):
        asked, counts = outcome.question.languages[language], outcome.counts[language]
        table.ahead[asked.rows, column], table.ties[asked.rows, column] = counts.ahead, counts.ties
        table.listed[asked.queries, column] = sizes[language]
    asking = outcome.asking_all()
    places = {doc_id: place for place, doc_id in enumerate(layout.document_ids)} | {"": -1}
    for query, line in zip(asking, outcome.top(languages, asking).doc_ids[:, :depth].tolist(), strict=True):
        table.top[query] = [places[doc_id] for doc_id in line]
    return table


def lists_of(layout: Layout, outcome: Outcome, setting: Setting) -> Iterator[list[str]]:
    """Yield for each query of a setting the ids of its best documents, as many as were asked for."""
    language = layout.collection.languages.index(setting.query_language)
    queries = np.flatnonzero(layout.query_languages == language)
    for line in outcome.top(setting.document_languages, queries).doc_ids.tolist():
        yield [doc_id for doc_id in line if doc_id]
