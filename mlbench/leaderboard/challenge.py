"""Draws what is computed again of an entry, and compares it with what the entry says.

Of an encoder, texts are drawn and their vectors compared with the commitment, and the ranks of drawn queries with the
order that the vectors give. Of a ranker, the lists of drawn queries are made again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Collection
from mlbench.embeddings.commitment import Commitment, texts_in_order
from mlbench.embeddings.encode import texts_of
from mlbench.leaderboard.audit import TaskAudit
from mlbench.leaderboard.check_order import Encoded, Lists
from mlbench.protocols import SILENCE, Encoder, Progress, Ranker, Role
from mlbench.ranking.index_arrays import IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks

TEXTS, TOPICS, QUERIES, TOPS = 200, 20, 200, 240
"""So many vectors are compared; the ranks of so many topics in all languages, and of so many queries more.

All documents at the top of a list are encoded for so many of these queries, those of the topics first.
"""
LARGEST_ERROR, MEAN_ERROR = 0.05, 0.02
"""How far one vector may be off, and all drawn ones on average, as a part of their norms."""
LARGEST_DRIFT = 0.01
"""How far reciprocal ranks of a ranker that encodes texts may be off, on average in one language and in one column.

Those of an encoder may be so much larger on average, over all relevant documents at the top of lists.
"""
CHANCE_GAIN = 2.0
"""What reciprocal ranks may gain by chance beyond that, added up: four documents that are first and not second."""
ROUNDING = 2.0**-12
"""A step of a sketch."""
Indexes = NDArray[np.intp]
Floats = NDArray[np.float64]
Said = Mapping[tuple[str, str], Mapping[tuple[str, ...], object]]
"""By topic and language of a query: what ranks say of its lists."""


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
    """Make the lists of drawn queries again, and compare them with the `ranks` of the entry.

    They must be the same; those of a ranker that encodes tokens may differ by the noise of its vectors.
    """
    topics, _, asked = _drawn_queries(draw, len(ranks.topic_ids), ranks.query_topics)
    names, languages = ranks.topic_ids[ranks.query_topics[asked]], ranks.languages[ranks.query_languages[asked]]
    drawn = set(zip(languages.tolist(), names.tolist(), strict=True))
    queries = {
        language: tuple(query for query in held if (language, query.topic_id) in drawn)
        for language, held in collection.queries.items()
    }
    part = replace(collection, queries=queries)
    members.prepare(ranker, texts_of(part), None, progress)
    arrays, chosen = index_collection(part), [setting for setting in settings if queries[setting.query_language]]
    table = rank_lists(arrays, ranker, chosen, ranks.top.shape[1], progress, compact=ranks.is_compact)
    encodes = members.tokens_of(ranker) > 0
    found = to_ranks(arrays, table)
    again, stated = _lists(found, np.arange(len(found.query_topics))), _lists(ranks, asked)
    n_texts = sum(len(rows) for side in (collection.queries, collection.documents) for rows in side.values())
    return TaskAudit(
        n_texts=n_texts,
        n_drawn=0,
        n_topics=len(topics),
        n_queries=len(again),
        share=len(again) / n_texts,
        largest_error=None,
        mean_error=None,
        faults=tuple(_drift_faults(again, stated) if encodes else _list_faults(again, stated)),
    )


def _list_faults(again: Said, stated: Said) -> Iterator[str]:
    wrong = [query[1] for query, said in again.items() if not said.items() <= stated.get(query, {}).items()]
    yield from _told(wrong, len(again), "lists are not those of the model")


def _drift_faults(again: Said, stated: Said) -> Iterator[str]:
    """Yield where relevant documents have other reciprocal ranks by more than noise, in one language or one column."""
    drifts: dict[str, list[float]] = {}
    for query, said in again.items():
        for key in said:
            if key[0] == "ahead":
                off = abs(_reciprocal(said[key]) - _reciprocal(stated.get(query, {}).get(key)))
                for group in (f"for queries in {query[1]}", f"in the column {key[1]}"):
                    drifts.setdefault(group, []).append(off)
    means = {group: sum(drift) / len(drift) for group, drift in drifts.items()}
    most = max(means, key=means.__getitem__, default="")
    if most and means[most] > LARGEST_DRIFT:
        yield (
            f"reciprocal ranks are off by {means[most]:.3g} on average {most}, more than {LARGEST_DRIFT:g}: the lists "
            "are not those of the model"
        )


def _reciprocal(ahead: object) -> float:
    """Return the reciprocal of the rank behind so many documents, 0 for what was not counted or listed."""
    return 1 / (1 + ahead) if isinstance(ahead, int) and ahead >= 0 else 0.0


def _drawn_queries(draw: Draw, n_topics: int, query_topics: NDArray[np.integer]) -> tuple[Indexes, Indexes, Indexes]:
    """Draw topics; return them, all queries of them, and these with others that were drawn, all ascending."""
    topics = draw("topics", n_topics, TOPICS)
    whole = np.flatnonzero(np.isin(query_topics, topics))
    return topics, whole, np.union1d(whole, draw("queries", len(query_topics), QUERIES))


def _lists(ranks: Ranks, queries: Indexes) -> Said:
    """Return all that ranks say of some queries: counts, ties, lengths of lists and their tops."""
    names, languages, ids = ranks.topic_ids.tolist(), ranks.languages.tolist(), ranks.document_ids.tolist()
    found: dict[int, dict[tuple[str, ...], object]] = {
        query: {("top",): [ids[document] for document in ranks.top[query].tolist() if document >= 0]}
        for query in queries.tolist()
    }
    for number, column in enumerate(ranks.columns.tolist()):
        for query, said in found.items():
            said["listed", column] = int(ranks.listed[query, number])
        counts = ranks.counts_in(number)
        rows = np.arange(len(ranks.row_queries))[counts.rows]
        kept = np.isin(ranks.row_queries[rows], queries)
        for row, ahead, ties in zip(rows[kept], counts.ahead[kept].tolist(), counts.ties[kept].tolist(), strict=True):
            said, document = found[int(ranks.row_queries[row])], ids[ranks.row_documents[row]]
            said["ahead", column, document], said["ties", column, document] = ahead, ties
    return {
        (names[ranks.query_topics[query]], languages[ranks.query_languages[query]]): said
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
    numbers = _numbers(arrays)
    drawn = draw("texts", len(texts), TEXTS)
    of_drawn = [(each.role, numbers[each.role, each.language, each.name]) for each in (texts[row] for row in drawn)]
    queries, sample = (
        np.array([number for role, number in of_drawn if role == wanted], np.intp) for wanted in ("query", "document")
    )
    topics, whole, asked = _drawn_queries(draw, len(arrays.topic_ids), arrays.query_topics)
    others = np.setdiff1d(asked, whole)
    tops = whole[draw("tops", len(whole), TOPS)]
    tops = np.append(tops, others[draw("other tops", len(others), TOPS - len(tops))])
    lists = Lists(arrays, ranks)
    documents = lists.documents(asked, tops)
    encoded = Encoded.of(encoder, arrays, np.union1d(asked, queries), np.union1d(documents, sample), progress)
    faults, errors = list[str](), None
    if commitment is not None and not commitment.is_of(texts):
        faults.append("its vectors file commits to other texts than those of the task")
    elif commitment is not None:
        errors = commitment.errors(drawn, np.stack([encoded.vector(role, number) for role, number in of_drawn]))
        faults += _error_faults(errors)
    noise = MEAN_ERROR if errors is None else min(float(errors.mean()), MEAN_ERROR) + ROUNDING
    wrong: dict[str, list[str]] = {}
    for query in asked.tolist():
        if fault := lists.fault(query, encoded, sample, noise):
            wrong.setdefault(fault, []).append(collection.languages[arrays.query_languages[query]])
    for fault, languages in wrong.items():
        faults += _told(languages, len(asked), fault)
    if not wrong:
        faults += _gain_faults(np.concatenate([np.empty(0), *(lists.gains(query, encoded) for query in tops.tolist())]))
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
    asked = [(language, query.topic_id) for language in collection.languages for query in collection.queries[language]]
    for number, (language, topic) in enumerate(asked):
        found["query", language, topic] = number
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


def _gain_faults(gains: Floats) -> Iterator[str]:
    """Yield that relevant documents are said to stand higher than they do: noise moves them down as often as up."""
    if gains.sum() > LARGEST_DRIFT * len(gains) + CHANCE_GAIN:
        yield (
            f"reciprocal ranks at the top are larger by {gains.mean():.3g} on average than the vectors give, more than "
            f"{LARGEST_DRIFT:g}"
        )


def _told(languages: Sequence[str], n_queries: int, what: str) -> Iterator[str]:
    """Yield what is wrong with queries, given the language of each."""
    if languages:
        most, number = Counter(languages).most_common(1)[0]
        yield f"of {len(languages)} of {n_queries} queries, {what}; {number} of them are in {most}"
