"""Scores of the top of ranked lists: what stands first, and how alike the lists for translated queries are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_PERSISTENCE = 0.9


@dataclass(frozen=True, eq=False)
class TopLists:
    """The top of each topic's list in the multilingual pool, for its query in each language.

    `documents` int64 (topics, query languages, depth) are indexes of documents, best first, -1 where a list has fewer;
    `languages`, of the same shape, are those of the documents. `asked` and `relevant_first` are bool (topics, query
    languages): whether there is such a query, and whether the first document is relevant. `n_documents` is the size of
    the pool.
    """

    documents: Integers
    languages: Integers
    asked: NDArray[np.bool_]
    relevant_first: NDArray[np.bool_]
    n_documents: int

    @staticmethod
    def none(n_topics: int, n_languages: int) -> "TopLists":
        """Return the lists of no queries."""
        nothing = np.full((n_topics, n_languages, 1), -1, dtype=np.int64)
        no = np.zeros((n_topics, n_languages), dtype=np.bool_)
        return TopLists(nothing, nothing, no, no, 0)


def share_of_first(*, relevant: bool, own_language: bool) -> Callable[[TopLists], Floats]:
    """Return the score "the first document is (not) relevant and (not) in the language of the query".

    It gives float64 (topics, query languages), 0 or 1; NaN without a query or with an empty list. Over the four
    combinations it adds up to 1.
    """

    def score(lists: TopLists) -> Floats:
        own = lists.languages[:, :, 0] == np.arange(lists.languages.shape[1])
        found = (lists.relevant_first == relevant) & (own == own_language)
        return np.where(lists.asked & (lists.documents[:, :, 0] >= 0), found.astype(np.float64), np.nan)

    return score


def list_agreement(lists: TopLists) -> Floats:
    """Return the mean rank-biased overlap of the topic's lists over pairs of query languages, float64 (topics,).

    It is the extrapolated one with p = .9 (Webber et al. 2010, equation 23), of lists cut to the depth of the shortest
    that is not empty. An empty list agrees with none. NaN for a topic asked in fewer than two languages.
    """
    asked, depth = lists.asked.sum(axis=1), _common_depth(lists)
    topic, language, place = np.nonzero((lists.documents >= 0) & lists.asked[:, :, None])
    kept = place < depth[topic]
    topic, language, place = topic[kept], language[kept], place[kept]
    document = lists.documents[topic, language, place]
    # A document that two lists have at places i and j adds to the overlap at all depths from max(i, j) on: the n-th of
    # its places, in order, is the larger of a pair n - 1 times.
    order = np.lexsort((place, document, topic))
    topic, place, document = topic[order], place[order], document[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (np.diff(topic) != 0) | (np.diff(document) != 0)
    position = np.arange(len(order))
    earlier = position - np.maximum.accumulate(np.where(starts, position, 0))
    weight = _overlap_weights(lists.documents.shape[2])[depth[topic], place]
    total = np.bincount(topic, weights=earlier * weight, minlength=len(asked))
    pairs = asked * (asked - 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, total / pairs, np.nan)


def chance_of_list_agreement(lists: TopLists) -> Floats:
    """Return what two random orders of the pool have, (1 - p^k) / ((1 - p) N) for lists of k; float64 (topics,)."""
    depth = _common_depth(lists)
    chance = (1 - _PERSISTENCE**depth) / ((1 - _PERSISTENCE) * max(1, lists.n_documents))
    return np.where(lists.asked.sum(axis=1) > 1, chance, np.nan)


def _common_depth(lists: TopLists) -> Integers:
    """Return the length of each topic's shortest list that is not empty, int64 (topics,); 0 where all are."""
    most = lists.documents.shape[2]
    length = np.where(lists.asked, (lists.documents >= 0).sum(axis=2), 0)
    shortest = np.where(length > 0, length, most + 1).min(axis=1, initial=most + 1)
    return np.where(shortest <= most, shortest, 0)


def _overlap_weights(most: int) -> Floats:
    """Return what a document adds whose later place is j, for lists cut at k: float64 (k from 0 to most, j < most)."""
    weights = np.zeros((most + 1, most))
    depths = np.arange(1, most + 1)
    for k in depths:
        terms = np.append((1 - _PERSISTENCE) * _PERSISTENCE ** (depths[:k] - 1) / depths[:k], _PERSISTENCE**k / k)
        weights[k, :k] = terms[::-1].cumsum()[::-1][:k]
    return weights
