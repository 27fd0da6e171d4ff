"""Fairness between languages whose relevant documents are not translations of each other: formulas and arithmetic.

A topic may have several relevant documents in one language and none in another. No score here depends on how many there
are: documents are compared with documents of the same grade, and what a language is due follows from its number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import erfc, gamma

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_SHUFFLES = 100
_SEED = 0


@dataclass(frozen=True, eq=False)
class RelevantDocuments:
    """Where all relevant documents of each query stand in the multilingual pool.

    One row is a (query, relevant document). `topics`, `query_languages`, `documents`, `document_languages` and `grades`
    are int64 (rows,), `ranks` float64 (rows,). Documents that a list does not hold have ranks behind it, in an order
    that is blind to language. Documents that are missing from the corpus have no row. `n_topics` and `n_languages`
    bound the indexes.
    """

    topics: Integers
    query_languages: Integers
    documents: Integers
    document_languages: Integers
    grades: Integers
    ranks: Floats
    n_topics: int
    n_languages: int

    @staticmethod
    def none(n_topics: int, n_languages: int) -> "RelevantDocuments":
        """Return no documents."""
        none = np.empty(0, dtype=np.int64)
        return RelevantDocuments(none, none, none, none, none, np.empty(0), n_topics, n_languages)

    @property
    def queries(self) -> Integers:
        """The query of each row, topic * n_languages + language; int64 (rows,)."""
        return self.topics * self.n_languages + self.query_languages

    @property
    def n_queries(self) -> int:
        """How many values `queries` may have."""
        return self.n_topics * self.n_languages

    def levels(self) -> tuple[Integers, Integers]:
        """Number the pairs of a query and a grade: that of each row (rows,), and the query of each (levels,)."""
        keys = self.queries * (self.grades.max(initial=0) + 1) + self.grades
        _, first, of_row = np.unique(keys, return_index=True, return_inverse=True)
        return of_row.reshape(-1), self.queries[first]

    def by_topic(self, values: Floats) -> Floats:
        """Return values of queries, (n_queries, ...), by topic and language of the query."""
        return values.reshape(self.n_topics, self.n_languages, *values.shape[1:])

    def shuffled(self) -> Iterator["RelevantDocuments"]:
        """Yield the same ranks with languages shuffled among the documents of a topic that have the same grade.

        A system that is blind to language is as likely to put each of them where it put the others. All queries of a
        topic see the same shuffle. The shuffles are the same in every run.
        """
        of_row, shuffles = self._shuffles
        for languages in shuffles:
            yield replace(self, document_languages=languages[of_row])

    @cached_property
    def _shuffles(self) -> tuple[Integers, Integers]:
        """The document of each row, (rows,), and shuffled languages of all documents, (shuffles, documents)."""
        pairs = np.stack([self.topics, self.documents], axis=1)
        _, first, of_row = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
        group = self.topics[first] * (self.grades.max(initial=0) + 1) + self.grades[first]
        together, languages = np.argsort(group, kind="stable"), self.document_languages[first]
        draw, shuffles = np.random.RandomState(_SEED), np.empty((_SHUFFLES, len(first)), dtype=np.int64)
        for shuffle in shuffles:
            shuffle[together] = languages[np.lexsort((draw.random_sample(len(group)), group))]
        return of_row.reshape(-1), shuffles


def peer(cutoff: int | None = None) -> Callable[[RelevantDocuments], Floats]:
    """Return the Probability of Equal Expected Rank in the top `cutoff`; None is the whole ranking.

    The score gives float64 (topics, query languages): for each grade the p-value of a Kruskal-Wallis test that relevant
    documents of all languages have the same expected rank, and their mean over the topic's grades. Grades with
    documents in fewer than two languages, or none of whose documents was found, are left out; NaN where none is left.
    Yang et al. 2024 (arXiv 2405.00978), with the ranks of its reference package `peer_measure`: of T documents, u of
    them beyond the cutoff, these share the rank (2 T + u + 1) / 2.
    """

    def score(rows: RelevantDocuments) -> Floats:
        level, query = rows.levels()
        ranks = rows.ranks if cutoff is None else _cut(rows.ranks, level, len(query), cutoff)
        p = _kruskal_wallis(ranks, level, len(query), rows.document_languages, rows.n_languages)
        known = np.isfinite(p)
        count = _sum(query[known], np.ones(known.sum()), rows.n_queries)
        return rows.by_topic(_divide(_sum(query[known], p[known], rows.n_queries), count))

    return score


def relative_exposure(rows: RelevantDocuments) -> Floats:
    """Return each document language's share of the attention that relevant documents get, minus what it is due.

    Float64 (topics, query languages, document languages); NaN for queries whose relevant documents are in fewer than
    two languages, and for languages without one. A document at rank r gets the attention 1 / log2(1 + r), as in nDCG. A
    language is due what it would get if languages were shuffled among the documents of the same grade: its share of
    their number times the attention that they get. 0 is fair, and what a system that is blind to language gets.
    """
    got, due = _exposure(rows)
    return np.where(due > 0, got - due, np.nan)


def attention_weighted_rank_fairness(rows: RelevantDocuments) -> Floats:
    """Return 1 minus the Jensen-Shannon divergence (base 2) between the attention that languages get and are due.

    Float64 (topics, query languages); 1 is fair; NaN for queries whose relevant documents are in fewer than two
    languages. Attention is that of `relative_exposure`. Sapiezynski et al. 2019, with the divergence of the TREC Fair
    Ranking track (Ekstrand et al. 2022).
    """
    got, due = _exposure(rows)
    middle = (got + due) / 2
    divergence = (_relative_entropy(got, middle) + _relative_entropy(due, middle)) / 2
    return np.where(np.isfinite(got[:, :, 0]), 1 - divergence, np.nan)


def own_language_exposure(rows: RelevantDocuments) -> Floats:
    """Return how much more attention documents get for queries in their language than for queries in the others.

    Float64 (topics,): the mean over the languages that have a query and a relevant document of the difference of
    `relative_exposure`. It is 0 where a ranking does not depend on the language of the query, whatever the documents
    are worth; NaN for a topic asked in fewer than two languages.
    """
    exposure = relative_exposure(rows)
    own = np.diagonal(exposure, axis1=1, axis2=2)
    others = np.isfinite(exposure) & ~np.eye(rows.n_languages, dtype=bool)
    elsewhere = _divide(np.where(others, exposure, 0.0).sum(axis=1), others.sum(axis=1).astype(np.float64))
    return _mean(own - elsewhere, axis=1)


def language_exposure(rows: RelevantDocuments) -> Floats:
    """Return the mean of `relative_exposure` over the topic's queries, float64 (topics, document languages)."""
    return _mean(relative_exposure(rows), axis=1)


def mean_by_chance(score: Callable[[RelevantDocuments], Floats]) -> Callable[[RelevantDocuments], Floats]:
    """Return the mean of a score (topics, query languages) over the shuffles of `RelevantDocuments.shuffled`."""

    def chance(rows: RelevantDocuments) -> Floats:
        total = np.zeros((rows.n_topics, rows.n_languages))
        for shuffled in rows.shuffled():
            total += score(shuffled)
        return total / _SHUFFLES

    return chance


def range_by_chance(score: Callable[[RelevantDocuments], Floats]) -> Callable[[RelevantDocuments], Floats]:
    """Return the mean over shuffles of largest minus smallest language mean of a score (topics, languages).

    The same number for each topic that has the score, float64 (topics,).
    """

    def chance(rows: RelevantDocuments) -> Floats:
        known = np.isfinite(score(rows)).any(axis=1)
        if not known.any():
            return np.full(rows.n_topics, np.nan)
        means = np.array([_mean(score(shuffled), axis=0) for shuffled in rows.shuffled()])
        return np.where(known, (np.nanmax(means, axis=1) - np.nanmin(means, axis=1)).mean(), np.nan)

    return chance


def _cut(ranks: Floats, level: Integers, n_levels: int, cutoff: int) -> Floats:
    """Return the ranks with those beyond the cutoff tied, and all of a level alike where none was found."""
    beyond = ranks > cutoff
    total = np.bincount(level, minlength=n_levels)
    unfound = _sum(level, beyond.astype(np.float64), n_levels)
    return np.where(beyond, ((2 * total + unfound + 1) / 2)[level], ranks)


def _kruskal_wallis(ranks: Floats, level: Integers, n_levels: int, languages: Integers, n_languages: int) -> Floats:
    """Return the p-value of each level, float64 (levels,); NaN with fewer than two languages, or all ranks alike."""
    cell, cells = level * n_languages + languages, n_levels * n_languages
    count = _sum(cell, np.ones(len(cell)), cells).reshape(n_levels, n_languages)
    total = _sum(cell, ranks, cells).reshape(n_levels, n_languages)
    n = count.sum(axis=1)
    mean = total.sum(axis=1) / n
    between = (count * (_divide(total, count, 0.0) - mean[:, None]) ** 2).sum(axis=1)
    around = _sum(level, (ranks - mean[level]) ** 2, n_levels)
    freedom = (count > 0).sum(axis=1) - 1
    statistic = _divide((n - 1) * between, around)
    p = np.full(n_levels, np.nan)
    for degrees in np.unique(freedom[freedom > 0]):
        chosen = (freedom == degrees) & np.isfinite(statistic)
        p[chosen] = chi2_tail(statistic[chosen], int(degrees))
    return p


def chi2_tail(x: Floats, freedom: int) -> Floats:
    """Return how likely a chi-squared variable with `freedom` >= 1 degrees of freedom is above each `x` >= 0, (n,)."""
    half, odd = x / 2, freedom % 2
    terms = np.zeros_like(half)
    for i in range(freedom // 2):
        terms += half ** (i + odd / 2) / gamma(i + odd / 2 + 1)
    start = np.array([erfc(value**0.5) for value in half]) if odd else 0.0
    tail: Floats = start + np.exp(-half) * terms
    return tail


def _exposure(rows: RelevantDocuments) -> tuple[Floats, Floats]:
    """Return the shares of attention that document languages get and are due, both (topics, queries, documents)."""
    attention = 1 / np.log2(1 + rows.ranks)
    level, query = rows.levels()
    size, n_levels = rows.n_languages, len(query)
    count = np.bincount(level * size + rows.document_languages, minlength=n_levels * size).reshape(n_levels, size)
    whole = _sum(level, attention, n_levels)
    due = np.zeros((rows.n_queries, size))
    np.add.at(due, query, whole[:, None] * count / count.sum(axis=1, keepdims=True))
    cells = rows.queries * size + rows.document_languages
    got = _sum(cells, attention, rows.n_queries * size).reshape(rows.n_queries, size)
    total = np.where((due > 0).sum(axis=1) > 1, due.sum(axis=1), np.nan)[:, None]
    return rows.by_topic(got / total), rows.by_topic(due / total)


def _relative_entropy(share: Floats, other: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of two distributions on the last axis, in bits."""
    with np.errstate(invalid="ignore", divide="ignore"):
        bits: Floats = np.where(share > 0, share * np.log2(share / other), 0.0).sum(axis=-1)
    return bits


def _sum(groups: Integers, values: Floats, n_groups: int) -> Floats:
    """Sum `values` (n,) in each of the groups that they are in, float64 (groups,)."""
    return np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)


def _mean(values: Floats, axis: int) -> Floats:
    known = np.isfinite(values)
    return _divide(np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis).astype(np.float64))


def _divide(numerator: Floats, denominator: Floats, otherwise: float = np.nan) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator != 0, np.divide(numerator, denominator), otherwise)
