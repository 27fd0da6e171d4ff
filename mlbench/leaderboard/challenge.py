"""Draws what is computed again of an entry, and compares it with what the entry says.

Of an encoder, texts are drawn and their vectors compared with the commitment, and the ranks of drawn queries with the
order that the vectors give. Of a ranker, the lists of drawn topics are made again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import Setting, whole_pool
from mlbench.collection.records import Collection
from mlbench.embeddings.commitment import Commitment, texts_in_order
from mlbench.embeddings.encode import embed, texts_of
from mlbench.embeddings.exact import norms, to_grid
from mlbench.errors import UserError
from mlbench.leaderboard.audit import TaskAudit
from mlbench.protocols import SILENCE, Encoder, Group, Progress, Ranker, Role, Vectors
from mlbench.ranking.index_arrays import IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks, pool_counts

TEXTS, TOPICS, QUERIES = 200, 20, 200
"""So many vectors are compared; the ranks of so many topics in all languages, and of so many queries more."""
LARGEST_ERROR, MEAN_ERROR = 0.1, 0.03
"""How far one vector may be off, and all drawn ones on average, as a part of their norms."""
# Sketches are rounded to so much; and scores are off by less than vectors are, whose errors point anywhere.
_ROUNDING, _NOISE = 2.0**-12, 1.0
# How rarely an honest count may give a sample that is called a fault.
_RARE = 1e-9
Indexes = NDArray[np.intp]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Draw:
    """Draws from a task by a seed in hexadecimal digits: the same seed draws the same on every machine."""

    seed: str
    task: str

    def __call__(self, what: str, n: int, most: int) -> Indexes:
        """Return `most` of the numbers below `n`, ascending: those whose SHA-256 together with the seed is smallest."""
        keys = [sha256(f"{self.seed} {self.task} {what} {number}".encode()).digest() for number in range(n)]
        return np.array(sorted(sorted(range(n), key=keys.__getitem__)[:most]), np.intp)


def audit_lists(
    ranker: Ranker,
    collection: Collection,
    settings: Sequence[Setting],
    ranks: Ranks,
    draw: Draw,
    progress: Progress = SILENCE,
) -> TaskAudit:
    """Make the lists of drawn topics again, and compare their counts and tops with the `ranks` of the entry."""
    drawn = set(ranks.topic_ids[draw("topics", len(ranks.topic_ids), TOPICS)].tolist())
    asked = {
        language: tuple(query for query in queries if query.topic_id in drawn)
        for language, queries in collection.queries.items()
    }
    part = replace(collection, queries=asked)
    members.prepare(ranker, texts_of(part), None, progress)
    arrays, chosen = index_collection(part), [setting for setting in settings if asked[setting.query_language]]
    table = rank_lists(arrays, ranker, chosen, ranks.top.shape[1], progress, compact=ranks.is_compact)
    again, stated = _lists(to_ranks(arrays, table), drawn), _lists(ranks, drawn)
    wrong = [query[1] for query, said in again.items() if said - stated.get(query, frozenset())]
    n_texts = sum(len(rows) for side in (collection.queries, collection.documents) for rows in side.values())
    return TaskAudit(
        n_texts=n_texts,
        n_drawn=0,
        n_topics=len(drawn),
        n_queries=len(again),
        share=len(again) / n_texts,
        largest_error=None,
        mean_error=None,
        faults=tuple(_told(wrong, len(again), "lists are not those of the model")),
    )


def _lists(ranks: Ranks, topics: set[str]) -> dict[tuple[str, str], frozenset[tuple[object, ...]]]:
    """Return all that ranks say of each query of some topics: counts, ties, lengths of lists and their tops."""
    names, languages, ids = ranks.topic_ids.tolist(), ranks.languages.tolist(), ranks.document_ids.tolist()
    found: dict[int, set[tuple[object, ...]]] = {
        query: {tuple(ids[document] for document in ranks.top[query].tolist() if document >= 0)}
        for query, topic in enumerate(ranks.query_topics.tolist())
        if names[topic] in topics
    }
    for number, column in enumerate(ranks.columns.tolist()):
        for query, said in found.items():
            said.add((column, int(ranks.listed[query, number])))
        counts = ranks.counts_in(number)
        rows = np.arange(len(ranks.row_queries))[counts.rows]
        kept = np.isin(ranks.row_queries[rows], list(found))
        for row, ahead, ties in zip(rows[kept], counts.ahead[kept].tolist(), counts.ties[kept].tolist(), strict=True):
            found[int(ranks.row_queries[row])].add((column, ids[ranks.row_documents[row]], ahead, ties))
    return {
        (names[ranks.query_topics[query]], languages[ranks.query_languages[query]]): frozenset(said)
        for query, said in found.items()
    }


def audit_vectors(
    encoder: Encoder,
    collection: Collection,
    ranks: Ranks,
    commitment: Commitment | None,
    draw: Draw,
    progress: Progress = SILENCE,
) -> TaskAudit:
    """Encode drawn texts, and all that the ranks of drawn queries are checked by, each once; then compare.

    Vectors are compared with the `commitment`, where there is one, and the order that they give with the `ranks`.
    """
    arrays, texts = index_collection(collection), texts_in_order(collection)
    topics = draw("topics", len(arrays.topic_ids), TOPICS)
    whole = np.flatnonzero(np.isin(arrays.query_topics, topics))
    asked = np.union1d(whole, draw("queries", len(arrays.query_topics), QUERIES))
    drawn = draw("texts", len(texts), TEXTS)
    numbers = _numbers(arrays)
    of_drawn = [(each.role, numbers[each.role, each.language, each.name]) for each in (texts[row] for row in drawn)]
    queries, documents = (
        np.array([number for role, number in of_drawn if role == wanted], np.intp) for wanted in ("query", "document")
    )
    listed = _Listed(arrays, ranks)
    needed = np.union1d(queries, asked), np.union1d(documents, listed.needed(asked, whole))
    encoded = _Encoded.of(encoder, arrays, *needed, progress)
    faults, errors = list[str](), None
    if commitment is not None and not commitment.is_of(texts):
        faults.append("its vectors file commits to other texts than those of the task")
    elif commitment is not None:
        vectors = np.stack([encoded.vector(role, number) for role, number in of_drawn])
        errors = commitment.errors(drawn, vectors)
        faults += _error_faults(errors)
    noise = MEAN_ERROR if errors is None else min(float(errors.mean()), MEAN_ERROR) + _ROUNDING
    compared = _Comparison(listed, encoded, documents, _NOISE * noise)
    faults += compared.faults(asked)
    return TaskAudit(
        n_texts=len(texts),
        n_drawn=0 if errors is None else len(drawn),
        n_topics=len(topics),
        n_queries=len(asked),
        share=(len(encoded.queries) + len(encoded.documents)) / len(texts),
        largest_error=None if errors is None else float(errors.max()),
        mean_error=None if errors is None else float(errors.mean()),
        faults=tuple(faults),
    )


def _numbers(arrays: IndexArrays) -> dict[tuple[Role, str, str], int]:
    """Return the number in the arrays of each query and each document that is there, by role, language and name."""
    collection, found = arrays.collection, dict[tuple[Role, str, str], int]()
    queries = (
        (language, query.topic_id) for language in collection.languages for query in collection.queries[language]
    )
    found.update((("query", *named), number) for number, named in enumerate(queries))
    for number, doc_id in enumerate(arrays.document_ids[: arrays.n_documents]):
        found["document", collection.languages[arrays.document_languages[number]], doc_id] = number
    return found


def _error_faults(errors: Floats) -> Iterator[str]:
    beyond, mean = int((errors > LARGEST_ERROR).sum()), float(errors.mean())
    if beyond:
        yield (
            f"{beyond} of {len(errors)} drawn vectors are not the model's: they are off by up to {errors.max():.3g} "
            f"of their norm, more than {LARGEST_ERROR:g}"
        )
    if mean > MEAN_ERROR:
        yield f"drawn vectors are off by {mean:.3g} of their norm on average, more than {MEAN_ERROR:g}"


def _told(languages: Sequence[str], n_queries: int, what: str) -> Iterator[str]:
    """Yield what is wrong with queries, given the language of each."""
    if languages:
        most, number = Counter(languages).most_common(1)[0]
        yield f"of {len(languages)} of {n_queries} queries, {what}; {number} of them are in {most}"


@dataclass(frozen=True, eq=False)
class _Listed:
    """What ranks say of the lists of queries, with documents numbered as in the arrays."""

    arrays: IndexArrays
    ranks: Ranks

    @cached_property
    def numbers(self) -> Indexes:
        """The number of each document that the ranks mention, -1 for one that is in no corpus."""
        known = {doc_id: number for number, doc_id in enumerate(self.arrays.document_ids[: self.arrays.n_documents])}
        return np.array([known.get(doc_id, -1) for doc_id in self.ranks.document_ids.tolist()], np.intp)

    def top(self, query: int) -> Indexes:
        """Return the documents at the top of a query's list, best first."""
        top = self.ranks.top[query]
        return self.numbers[top[top >= 0]]

    def rows(self, query: int) -> Indexes:
        """Return the rows of the relevant documents of a query that are counted in some column."""
        first, end = np.searchsorted(self.ranks.row_queries, (query, query + 1)).tolist()
        return first + np.flatnonzero((self.ranks.ahead[first:end] >= 0).any(axis=1))

    def relevant(self, query: int) -> Indexes:
        """Return the documents of `rows`."""
        return self.numbers[self.ranks.row_documents[self.rows(query)]]

    def pool(self, query: int) -> tuple[str, ...]:
        """Return the languages of all documents that a query is asked against."""
        languages = self.arrays.collection.languages
        return whole_pool(languages[self.arrays.query_languages[query]], languages)

    def needed(self, asked: Indexes, whole: Indexes) -> Indexes:
        """Return the documents by which queries are checked: the relevant ones, and their tops.

        The last document stands for the top of a query that is not among the `whole`.
        """
        is_whole = np.isin(asked, whole).tolist()
        tops = [self.top(query)[0 if all_ else -1 :] for query, all_ in zip(asked.tolist(), is_whole, strict=True)]
        found = np.unique(np.concatenate([*tops, *(self.relevant(query) for query in asked.tolist())]))
        return found[found >= 0]

    @cached_property
    def _pool_ranks(self) -> dict[tuple[str, ...], NDArray[np.int64]]:
        return {}

    def ahead(self, query: int) -> NDArray[np.int64]:
        """Return how many documents of the whole pool stand ahead of those of `rows`; empty where that is not known."""
        pool = self.pool(query)
        if pool not in self._pool_ranks:
            try:
                self._pool_ranks[pool] = pool_counts(self.ranks, pool).rank - 1
            except UserError:  # Compact ranks may lack the pool.
                self._pool_ranks[pool] = np.empty(0, np.int64)
        found = self._pool_ranks[pool]
        return found[self.rows(query)] if len(found) else found


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Vectors (n, dim) of some queries and documents, whose numbers in the arrays are ascending, (n,)."""

    encoder: Encoder
    queries: Indexes
    documents: Indexes
    of_queries: Vectors
    of_documents: Vectors

    @classmethod
    def of(
        cls, encoder: Encoder, arrays: IndexArrays, queries: Indexes, documents: Indexes, progress: Progress
    ) -> "_Encoded":
        """Encode the queries and documents of these numbers, each distinct text once."""
        collection, texts, rows = arrays.collection, dict[Group, list[str]](), dict[Group, Indexes]()
        # Queries are numbered language by language.
        sources = np.arange(len(arrays.query_languages)) - np.searchsorted(
            arrays.query_languages, arrays.query_languages
        )
        sides: tuple[tuple[Role, Indexes, NDArray[np.int32], NDArray[np.integer]], ...] = (
            ("query", queries, arrays.query_languages, sources),
            ("document", documents, arrays.document_languages, arrays.document_sources),
        )
        for role, numbers, languages, places in sides:
            for index, language in enumerate(collection.languages):
                own = np.flatnonzero(languages[numbers] == index)
                if len(own):
                    held = collection.queries[language] if role == "query" else collection.documents[language]
                    rows[role, language] = own
                    texts[role, language] = [held[place].text for place in places[numbers[own]].tolist()]
        embeddings = embed(encoder, texts, None, progress)
        found = {side[0]: np.empty((len(side[1]), encoder.dim), np.float32) for side in sides}
        for (role, language), own in rows.items():
            found[role][own] = embeddings.vectors(role, language)
        return cls(encoder, queries, documents, found["query"], found["document"])

    def vector(self, role: Role, number: int) -> Vectors:
        """Return the vector of a query or document that was encoded, (dim,)."""
        if role == "query":
            return self.of_queries[np.searchsorted(self.queries, number)]
        return self.of_documents[np.searchsorted(self.documents, number)]


class _Comparison:
    """Compares what ranks say with the order that vectors give, where two scores differ by more than noise."""

    def __init__(self, listed: _Listed, encoded: _Encoded, sample: Indexes, noise: float) -> None:
        """Compute scores; `sample` are the documents that were drawn, and each cosine is off by `noise` at most."""
        self._listed, self._arrays, self._encoded = listed, listed.arrays, encoded
        vectors, similarity = (encoded.of_queries, encoded.of_documents), encoded.encoder.similarity
        queries, documents = (to_grid(each, similarity) for each in vectors)
        scores = queries @ documents.T
        slack = noise * np.outer(*(norms(each) if similarity == "dot" else np.ones(len(each)) for each in vectors))
        self._low, self._high = scores - slack, scores + slack
        self._languages = self._arrays.document_languages[encoded.documents]
        self._sample = np.isin(encoded.documents, sample)
        self._hold = listed.ranks.columns_hold

    def faults(self, asked: Indexes) -> Iterator[str]:
        """Yield what is wrong with the ranks of these queries."""
        found: dict[str, list[str]] = {}
        for query in asked.tolist():
            place = int(np.searchsorted(self._encoded.queries, query))
            low, high = self._low[place], self._high[place]
            if fault := self._order_fault(query, low, high) or self._count_fault(query, low, high):
                language = self._arrays.collection.languages[self._arrays.query_languages[query]]
                found.setdefault(fault, []).append(language)
        for fault, languages in found.items():
            yield from _told(languages, len(asked), fault)

    def _inside(self, query: int) -> Mask:
        """Say which of the encoded documents are in the whole pool of a query, and not the query itself."""
        pool = np.isin(self._arrays.collection.languages, self._listed.pool(query))
        own = np.isin(self._encoded.documents, self._arrays.own_documents[query])
        inside: Mask = pool[self._languages] & ~own
        return inside

    def _places(self, documents: Indexes) -> Indexes:
        """Return where those of some documents stand that were encoded."""
        places = np.searchsorted(self._encoded.documents, documents)
        return places[np.append(self._encoded.documents, -1)[places] == documents]

    def _order_fault(self, query: int, low: Floats, high: Floats) -> str:
        """Say what is wrong with the list of a query: its top, then the relevant documents behind that; or nothing."""
        inside, top = self._inside(query), self._listed.top(query)
        if (top < 0).any() or not inside[self._places(top)].all():
            return "the top has documents that are not in the pool"
        ahead, relevant = self._listed.ahead(query), self._listed.relevant(query)
        behind = np.argsort(ahead)[np.sort(ahead) >= len(top)] if len(ahead) else np.empty(0, np.intp)
        order = self._places(np.append(top, relevant[behind]))
        if (low[order[1:]] > np.minimum.accumulate(high[order])[:-1]).any():
            return "the documents at the top and the relevant ones are in another order than the vectors give"
        others = inside.copy()
        others[self._places(top)] = False
        is_cut = len(top) == self._listed.ranks.top.shape[1]
        if is_cut and (low[others] > high[self._places(top)].min()).any():
            return "documents that are nearer are missing from the top"
        return ""

    def _count_fault(self, query: int, low: Floats, high: Floats) -> str:
        """Say what is wrong with the counts ahead of the relevant documents of a query; or nothing.

        So many documents stand ahead as were seen to, at least; and so many stand behind. Of those that were drawn, a
        part stands ahead which is about that of all.
        """
        ranks, rows, inside = self._listed.ranks, self._listed.rows(query), self._inside(query)
        own = self._places(self._listed.relevant(query))
        others = np.tile(inside, (len(rows), 1))
        others[np.arange(len(rows)), own] = False
        surely, maybe = others & (low > high[own][:, None]), others & (high > low[own][:, None])
        hold = self._hold[self._languages].astype(np.float32)
        least, behind = (each.astype(np.float32) @ hold for each in (surely, others & ~maybe))
        left_out = self._arrays.own_documents[query]
        lost = self._hold[self._arrays.document_languages[left_out[left_out >= 0]]].sum(axis=0)
        most = ranks.column_sizes - lost - self._hold[ranks.row_languages[rows]] - behind
        for place in range(ranks.ahead.shape[1]):
            columns, stated = ranks.columns_at(place)[rows], ranks.ahead[rows, place]
            cells = np.arange(len(rows)), columns
            if ((stated >= 0) & ((stated < least[cells]) | (stated > most[cells]))).any():
                return "other numbers of documents stand ahead of relevant ones than the vectors give"
        return self._sample_fault(query, others & self._sample, surely, maybe)

    def _sample_fault(self, query: int, drawn: Mask, surely: Mask, maybe: Mask) -> str:
        """Say whether drawn documents stand ahead of relevant ones far more or less often than all are said to."""
        ahead, n_drawn = self._listed.ahead(query), drawn.sum(axis=1)
        if not len(ahead) or not n_drawn.all():
            return ""
        pool = np.isin(self._arrays.collection.languages, self._listed.pool(query))
        n_pool = int(pool[self._arrays.document_languages[: self._arrays.n_documents]].sum())
        stated = np.clip(ahead / max(n_pool - 1, 1), 0, 1)
        least, most = ((each & drawn).sum(axis=1) / n_drawn for each in (surely, maybe))
        is_unlikely = n_drawn * divergence(np.clip(stated, least, most), stated) > -np.log(_RARE)
        fault = "drawn documents stand ahead of relevant ones more or less often than all are said to"
        return fault if is_unlikely.any() else ""


def divergence(shares: Floats, expected: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of shares from expected ones, both (n,) in 0 to 1; infinite from 0 or 1.

    Of n documents drawn from many, a share or one further off has at most the probability exp(-n divergence) (Hoeffding
    1963, theorem 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(s > 0, s * np.log(s / p), 0.0) for s, p in ((shares, expected), (1 - shares, 1 - expected))]
    found: Floats = parts[0] + parts[1]
    return found
