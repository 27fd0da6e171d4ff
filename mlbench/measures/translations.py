"""Where translations of one document stand in the pool of all languages: scores of topics, and what chance gives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.measures import chance
from mlbench.measures.native import RelevantDocuments
from mlbench.measures.top_lists import TopLists

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PoolRanks:
    """Where the translations of each topic's relevant document stand in the multilingual pool.

    `rank` is float64 (topics, query languages, document languages): the rank, for the query in the one language, of
    the topic's best-ranked relevant document in the other; NaN where there is no such query or document. Both language
    axes are in the same order. `pool_size` is the number of documents N. Topics with relevant documents in fewer than
    two languages must have been left out.

    `unlisted`, bool of the same shape, marks documents that a ranker's list does not hold; None where it holds all. The
    u of them of a query stand at the expected ranks of u documents that are spread evenly behind the list. Which of
    them stands at which is not known: scores may use their set, such as its largest rank, and not that of a single one.

    `relevant` are the ranks of all relevant documents, of every topic, and `lists` the top of the lists; None where
    they are not known.
    """

    rank: Floats
    pool_size: int
    unlisted: NDArray[np.bool_] | None = None
    relevant: RelevantDocuments | None = None
    lists: TopLists | None = None

    @property
    def unlisted_share(self) -> float:
        """The share of all these documents that the lists do not hold; 0 without documents."""
        found = np.isfinite(self.rank)
        return 0.0 if self.unlisted is None or not found.any() else float(self.unlisted[found].mean())

    @property
    def order(self) -> Floats:
        """`rank` for comparing two documents: the unlisted ones of a query tie, behind all that are listed."""
        return self.rank if self.unlisted is None else np.where(self.unlisted, self.pool_size + 1.0, self.rank)

    @property
    def m(self) -> Floats:
        """How many languages have a relevant document, float64 (topics, query languages); NaN without a query."""
        count = np.isfinite(self.rank).sum(axis=2).astype(np.float64)
        return np.where(count > 0, count, np.nan)


def own_language_preference(pool: PoolRanks) -> Floats:
    """Return per topic the share of ordered language pairs (a, c) in which a query in a puts a's document before c's.

    Float64 (topics,). Only languages with both query and document make pairs: quality of documents and of languages
    cancels between (a, c) and (c, a), so that chance is 1/2.
    """
    order = pool.order
    own = np.diagonal(order, axis1=1, axis2=2)[:, :, None]
    both = np.isfinite(own) & np.isfinite(order) & ~np.eye(order.shape[1], dtype=bool)
    both &= both.swapaxes(1, 2)
    return _masked_mean(_before(own, order), both, (1, 2))


def rank_distance(pool: PoolRanks) -> Floats:
    """Return largest minus smallest rank of the topic's documents, float64 (topics, query languages)."""
    return max_rank(pool) - _smallest(pool)


def rank_distance_log2(pool: PoolRanks) -> Floats:
    """Return log2(largest / smallest rank), float64 (topics, query languages): rank distance without its heavy tail."""
    return np.log2(max_rank(pool)) - np.log2(_smallest(pool))


def max_rank_norm(pool: PoolRanks) -> Floats:
    """Return 100 (log2 N - log2 max rank) / (log2 N - log2 m), float64 (topics, query languages); NaN where N = m."""
    room = np.log2(pool.pool_size) - np.log2(pool.m)
    return _divide(100 * (np.log2(pool.pool_size) - np.log2(max_rank(pool))), room)


def same_language_first(pool: PoolRanks) -> Floats:
    """Return 1 where the document in the query's language stands first, float64 (topics, query languages)."""
    return np.diagonal(_first(pool), axis1=1, axis2=2)


def same_language_first_elsewhere(pool: PoolRanks) -> Floats:
    """Return how often that document stands first for queries in the others, float64 (topics, document languages)."""
    others = np.isfinite(pool.rank) & ~np.eye(pool.rank.shape[1], dtype=bool)
    share = _masked_mean(_first(pool), others, 1)
    return np.where(np.isfinite(np.diagonal(pool.rank, axis1=1, axis2=2)), share, np.nan)


def language_preference_rate(pool: PoolRanks) -> Floats:
    """Return 1 where the first of all documents is the relevant one in the query's language, 0 where it is another.

    Float64 (topics, query languages); NaN where the first document is not relevant, or none is in the query's language.
    """
    own = np.diagonal(pool.rank, axis1=1, axis2=2)
    found = np.isfinite(own) & (pool.rank == 1).any(axis=2)
    return np.where(found, (own == 1).astype(np.float64), np.nan)


def language_ndcg(cutoff: int) -> Callable[[PoolRanks], Floats]:
    """Return nDCG in the top k where only the relevant document in the query's language has a gain.

    The score gives float64 (topics, query languages): 1 / log2(1 + rank) of that document, 0 beyond the cutoff and
    where it is not listed; NaN without one.
    """

    def score(pool: PoolRanks) -> Floats:
        rank = pool.rank if pool.unlisted is None else np.where(pool.unlisted, np.inf, pool.rank)
        own = np.diagonal(rank, axis1=1, axis2=2)
        return np.where(np.isnan(own), np.nan, np.where(own <= cutoff, 1 / np.log2(1 + own), 0.0))

    return score


def language_prior(pool: PoolRanks) -> Floats:
    """Return per topic and language b the share of (query language a, other language c), a neither, with b before c.

    Float64 (topics, document languages); chance is 1/2; NaN with fewer than three languages.
    """
    order = pool.order
    topics, size, _ = order.shape
    wins, pairs = np.zeros((topics, size)), np.zeros((topics, size))
    for asked in range(size):
        rank = np.delete(order[:, asked], asked, axis=1)
        others = np.delete(np.arange(size), asked)
        both = np.isfinite(rank)[:, :, None] & np.isfinite(rank)[:, None, :] & ~np.eye(size - 1, dtype=bool)
        wins[:, others] += np.where(both, _before(rank[:, :, None], rank[:, None, :]), 0.0).sum(axis=2)
        pairs[:, others] += both.sum(axis=2)
    return _divide(wins, pairs)


def removal_gap(pool: PoolRanks) -> Floats:
    """Return what the own-language document is worth beyond another, float64 (topics, query languages).

    The relative loss of AP when the own-language document leaves pool and judgments, minus the mean of the same loss
    for each other language's. NaN with fewer than two documents, or without one in the query's language. The loss of an
    unlisted document is the mean over all unlisted ones of the query.
    """
    whole = _average_precision(pool.rank)
    loss = np.full(pool.rank.shape, np.nan)
    for language in range(pool.rank.shape[2]):
        removed = pool.rank[:, :, language, None]
        rest = pool.rank - (pool.rank > removed)
        rest[:, :, language] = np.nan
        loss[:, :, language] = np.where(
            np.isfinite(removed[:, :, 0]), _divide(whole - _average_precision(rest), whole), np.nan
        )
    if pool.unlisted is not None:
        loss = np.where(pool.unlisted, _masked_mean(loss, pool.unlisted, 2)[:, :, None], loss)
    own = np.eye(pool.rank.shape[1], dtype=bool)
    others = _masked_mean(loss, np.isfinite(loss) & ~own, 2)
    return np.diagonal(loss, axis1=1, axis2=2) - others


def rank_spread(pool: PoolRanks) -> Floats:
    """Return per topic the mean, over documents and pairs of query languages, of |log2 rank - log2 rank|.

    Float64 (topics,): 0 where the query's language changes nothing. An unlisted document may stand at any of the ranks
    of the query's unlisted ones: gaps are means over them.
    """
    log_rank = np.log2(pool.rank)
    size = pool.rank.shape[1]
    spread, known = np.zeros(pool.rank.shape[0::2]), np.zeros(pool.rank.shape[0::2])
    anywhere = None if pool.unlisted is None else _possible_ranks(pool.unlisted)
    for a in range(size):
        for b in range(a + 1, size):
            gap = np.abs(log_rank[:, a] - log_rank[:, b])
            if anywhere is not None:
                gaps = np.abs(log_rank[:, a, :, None] - log_rank[:, b, None, :])
                gap = np.einsum("tci,tij,tcj->tc", anywhere[:, a], np.nan_to_num(gaps), anywhere[:, b])
                gap[~(np.isfinite(log_rank[:, a]) & np.isfinite(log_rank[:, b]))] = np.nan
            spread += np.nan_to_num(gap)
            known += np.isfinite(gap)
    per_document = _divide(spread, known)
    return _masked_mean(per_document, np.isfinite(per_document), 1)


def _possible_ranks(unlisted: NDArray[np.bool_]) -> Floats:
    """Return with which probability a document has the rank that another of the same query stands at.

    Float64 (topics, query languages, documents, documents whose rank it is): its own, or that of any unlisted one.
    """
    alike = (unlisted[:, :, :, None] & unlisted[:, :, None, :]).astype(np.float64)
    anywhere = _divide(alike, alike.sum(axis=3, keepdims=True))
    return np.where(unlisted[:, :, :, None], anywhere, np.eye(unlisted.shape[2]))


def complete_at(cutoff: int | None) -> Callable[[PoolRanks], Floats]:
    """Return the score "all m documents stand in the top k"; `cutoff` None is k = m. NaN where k < m.

    Unlisted documents stand in it where the expected rank of the last one does.
    """

    def complete(pool: PoolRanks) -> Floats:
        limit = pool.m if cutoff is None else np.where(pool.m <= cutoff, float(cutoff), np.nan)
        return np.where(np.isfinite(limit), (max_rank(pool) <= limit).astype(np.float64), np.nan)

    return complete


def _first(pool: PoolRanks) -> Floats:
    # Where none is listed, each may be the first.
    order = pool.order
    first = (order == _masked_extreme(order, np.min, np.inf)[:, :, None]).astype(np.float64)
    return np.where(np.isfinite(pool.rank), _divide(first, first.sum(axis=2, keepdims=True)), np.nan)


def _before(first: Floats, second: Floats) -> Floats:
    # Equal places happen only where neither document is listed.
    return np.where(first == second, 0.5, (first < second).astype(np.float64))


def max_rank(pool: PoolRanks) -> Floats:
    """Return the rank of the last of the topic's documents; float64 (topics, query languages)."""
    return _masked_extreme(pool.rank, np.max, -np.inf)


def _smallest(pool: PoolRanks) -> Floats:
    return _masked_extreme(pool.rank, np.min, np.inf)


def _masked_extreme(rank: Floats, extreme: Callable[..., Floats], filler: float) -> Floats:
    found = extreme(np.where(np.isfinite(rank), rank, filler), axis=2)
    return np.where(np.isfinite(found), found, np.nan)


def _average_precision(rank: Floats) -> Floats:
    ordered = np.sort(rank, axis=2)
    found = np.isfinite(ordered)
    n_found = np.arange(1, rank.shape[2] + 1)
    return _divide(np.where(found, n_found / ordered, 0.0).sum(axis=2), found.sum(axis=2).astype(np.float64))


def _masked_mean(values: Floats, mask: NDArray[np.bool_], axis: int | tuple[int, ...]) -> Floats:
    return _divide(np.where(mask, values, 0.0).sum(axis=axis), mask.sum(axis=axis).astype(np.float64))


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator != 0, np.divide(numerator, denominator), np.nan)


def _where_asked(pool: PoolRanks, value: Floats | float) -> Floats:
    """Return a value wherever there is a query, float64 (topics, query languages)."""
    return np.where(np.isfinite(pool.m), value, np.nan)


def least_rank_distance(pool: PoolRanks) -> Floats:
    """Return the smallest possible rank distance, m - 1; float64 (topics, query languages)."""
    return pool.m - 1


def chance_of_rank_distance(pool: PoolRanks) -> Floats:
    """Return what a random order gives, (N + 1)(m - 1)/(m + 1); float64 (topics, query languages)."""
    return (pool.pool_size + 1) * (pool.m - 1) / (pool.m + 1)


def chance_of_median(pool: PoolRanks) -> Floats:
    """Return the median over topics of a random order's rank distance, for each query language in all its topics.

    Float64 (topics, query languages).
    """
    medians = [chance.median_range(column, pool.pool_size) for column in pool.m.T]
    return _where_asked(pool, np.array(medians, dtype=np.float64))


def least_rank_distance_log2(pool: PoolRanks) -> Floats:
    """Return what ranks 1 to m give, log2 m; float64 (topics, query languages)."""
    return np.log2(pool.m)


def chance_of_rank_distance_log2(pool: PoolRanks) -> Floats:
    """Return the mean over random orders; float64 (topics, query languages)."""
    n = pool.pool_size
    return chance.for_each_count(pool.m, lambda m: chance.mean_log2_largest(m, n) - chance.mean_log2_smallest(m, n))


def least_max_rank(pool: PoolRanks) -> Floats:
    """Return the smallest possible last rank, m; float64 (topics, query languages)."""
    return pool.m


def chance_of_max_rank(pool: PoolRanks) -> Floats:
    """Return the largest rank expected of a random order, m (N + 1)/(m + 1); float64 (topics, query languages)."""
    return pool.m * (pool.pool_size + 1) / (pool.m + 1)


def chance_of_max_rank_norm(pool: PoolRanks) -> Floats:
    """Return the mean over random orders, in a large pool about 100 / (m ln 2 log2(N / m)); NaN where N = m.

    Float64 (topics, query languages).
    """
    n = pool.pool_size
    last = chance.for_each_count(pool.m, lambda m: chance.mean_log2_largest(m, n))
    return _divide(100 * (np.log2(n) - last), np.log2(n) - np.log2(pool.m))


def chance_of_complete_at(cutoff: int | None) -> Callable[[PoolRanks], Floats]:
    """Return the probability that a random order puts all m documents in the top k; NaN where k < m."""

    def complete(pool: PoolRanks) -> Floats:
        def probability(m: int) -> float:
            k = m if cutoff is None else cutoff
            return chance.all_within(m, k, pool.pool_size) if m <= k else float("nan")

        return chance.for_each_count(pool.m, probability)

    return complete


def chance_of_language_prior(pool: PoolRanks) -> Floats:
    """Return the mean range over languages of a random order, the same number for each topic; float64 (topics,).

    Which of the other documents a document stands before is then a uniform number, and the means over topics are
    nearly normal.
    """
    size = pool.rank.shape[1]
    found = np.isfinite(pool.rank) & ~np.eye(size, dtype=bool)
    others = found.sum(axis=2, keepdims=True).astype(np.float64)
    pairs = np.where(found, others - 1, 0.0).sum(axis=1)
    topics = (pairs > 0).sum(axis=0)
    weight = _divide(1.0 - np.zeros_like(pairs), pairs * topics)
    covariance = np.zeros((size, size))
    for asked in range(size):
        own = np.where(found[:, asked] & (pairs > 0), weight, 0.0)
        # Of k documents, one stands before 0 to k - 1 others: variance (k k - 1) / 12, covariance -(k + 1) / 12.
        k = others[:, asked]
        covariance -= (own * (k + 1) / 12).T @ own
        covariance[np.diag_indices(size)] += (own**2 * k * (k + 1) / 12).sum(axis=0)
    known = topics > 0
    return np.full(len(pairs), chance.mean_range(covariance[np.ix_(known, known)]))


def chance_of_same_language_first(pool: PoolRanks) -> Floats:
    """Return 1 / m wherever the own language has a document; float64 (topics, query languages)."""
    own = np.isfinite(np.diagonal(pool.rank, axis1=1, axis2=2))
    return np.where(own, 1 / pool.m, np.nan)


def chance_of_language_preference_rate(pool: PoolRanks) -> Floats:
    """Return 1 / m wherever the first document is relevant; float64 (topics, query languages)."""
    return np.where(np.isfinite(language_preference_rate(pool)), 1 / pool.m, np.nan)


def mean_language_ndcg(cutoff: int, *, perfect: bool) -> Callable[[PoolRanks], Floats]:
    """Return the mean over orders that are blind to language: of the relevant documents alone, or of the whole pool."""
    gains = np.concatenate(([0.0], (1 / np.log2(1 + np.arange(1, cutoff + 1))).cumsum()))

    def score(pool: PoolRanks) -> Floats:
        places = pool.m if perfect else np.full(pool.m.shape, float(pool.pool_size))
        own = np.isfinite(np.diagonal(pool.rank, axis1=1, axis2=2))
        reached = np.minimum(np.nan_to_num(places), cutoff).astype(np.int64)
        return np.where(own, gains[reached] / places, np.nan)

    return score


def chance_of_rank_spread(pool: PoolRanks) -> Floats:
    """Return the mean over random orders, the same for each topic with queries to compare; float64 (topics,)."""
    compared = (np.isfinite(pool.rank).sum(axis=1) >= 2).any(axis=1)
    return np.where(compared, chance.mean_log2_difference(pool.pool_size), np.nan)
