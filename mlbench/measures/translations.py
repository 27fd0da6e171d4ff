"""Where translations of one document stand in the pool of all languages: scores of topics, and what chance gives."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps

import numpy as np
from numpy.typing import NDArray

from mlbench.io.threads import in_threads
from mlbench.measures import chance
from mlbench.measures.native import RelevantDocuments
from mlbench.measures.top_lists import TopLists

Floats = NDArray[np.float64]
_CELLS = 1 << 20


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
        if self.unlisted is None:
            return 0.0
        found = np.isfinite(self.rank)
        return float(self.unlisted[found].mean()) if found.any() else 0.0

    @property
    def order(self) -> Floats:
        """`rank` for comparing two documents: the unlisted ones of a query tie, behind all that are listed."""
        return self.rank if self.unlisted is None else np.where(self.unlisted, self.pool_size + 1.0, self.rank)

    @cached_property
    def m(self) -> Floats:
        """How many languages have a relevant document, float64 (topics, query languages); NaN without a query."""
        count = np.isfinite(self.rank).sum(axis=2).astype(np.float64)
        return np.where(count > 0, count, np.nan)

    @cached_property
    def first(self) -> Floats:
        """The rank of the first of the topic's documents, float64 (topics, query languages); NaN without a query."""
        smallest: Floats = np.fmin.reduce(self.rank, axis=2, initial=np.nan)
        return smallest

    @cached_property
    def last(self) -> Floats:
        """The rank of the last of the topic's documents, float64 (topics, query languages); NaN without a query."""
        largest: Floats = np.fmax.reduce(self.rank, axis=2, initial=np.nan)
        return largest

    def part(self, topics: slice) -> "PoolRanks":
        """Return the ranks of some of the topics, without what is known of all relevant documents and of lists."""
        unlisted = None if self.unlisted is None else self.unlisted[topics]
        return PoolRanks(
            self.rank[topics], self.pool_size, None if unlisted is None or not unlisted.any() else unlisted
        )


Score = Callable[[PoolRanks], Floats]


def by_topics(score: Score) -> Score:
    """Return a score that is computed for some topics at a time: its arrays are small beside those of the pool."""

    @wraps(score)
    def computed(pool: PoolRanks) -> Floats:
        size = max(1, _CELLS // max(1, int(np.prod(pool.rank.shape[1:]))))
        if len(pool.rank) <= size:
            return score(pool)
        topics = [slice(first, first + size) for first in range(0, len(pool.rank), size)]
        return np.concatenate(list(in_threads(lambda each: score(pool.part(each)), topics)))

    return computed


@by_topics
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
    return pool.last - pool.first


def rank_distance_log2(pool: PoolRanks) -> Floats:
    """Return log2(largest / smallest rank), float64 (topics, query languages): rank distance without its heavy tail."""
    return np.log2(pool.last) - np.log2(pool.first)


def max_rank_norm(pool: PoolRanks) -> Floats:
    """Return 100 (log2 N - log2 max rank) / (log2 N - log2 m), float64 (topics, query languages); NaN where N = m."""
    room = np.log2(pool.pool_size) - np.log2(pool.m)
    return _divide(100 * (np.log2(pool.pool_size) - np.log2(pool.last)), room)


@by_topics
def same_language_first(pool: PoolRanks) -> Floats:
    """Return 1 where the document in the query's language stands first, float64 (topics, query languages)."""
    return np.diagonal(_first(pool), axis1=1, axis2=2)


@by_topics
def same_language_first_elsewhere(pool: PoolRanks) -> Floats:
    """Return how often that document stands first for queries in the others, float64 (topics, document languages)."""
    others = np.isfinite(pool.rank) & ~np.eye(pool.rank.shape[1], dtype=bool)
    share = _masked_mean(_first(pool), others, 1)
    return np.where(np.isfinite(np.diagonal(pool.rank, axis1=1, axis2=2)), share, np.nan)


@by_topics
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

    @by_topics
    def score(pool: PoolRanks) -> Floats:
        rank = pool.rank if pool.unlisted is None else np.where(pool.unlisted, np.inf, pool.rank)
        own = np.diagonal(rank, axis1=1, axis2=2)
        return np.where(np.isnan(own), np.nan, np.where(own <= cutoff, 1 / np.log2(1 + own), 0.0))

    return score


@by_topics
def language_prior(pool: PoolRanks) -> Floats:
    """Return per topic and language b the share of (query language a, other language c), a neither, with b before c.

    Float64 (topics, document languages); chance is 1/2; NaN with fewer than three languages.
    """
    order = _without_own(pool.order)
    found = np.isfinite(order)
    behind = np.where(found, found.sum(axis=2, keepdims=True) - 1.0, 0.0)
    wins = np.where(found, behind - _places(order), 0.0)
    if pool.unlisted is not None:
        # None of them is known to stand first.
        unlisted = pool.unlisted & found
        wins[unlisted] = ((unlisted.sum(axis=2, keepdims=True) - 1) / 2 * unlisted)[unlisted]
    return _divide(wins.sum(axis=1), behind.sum(axis=1))


def _without_own(rank: Floats) -> Floats:
    """Return a copy with NaN for the document in the language of the query."""
    others: Floats = rank.copy()
    own = np.arange(rank.shape[1])
    others[:, own, own] = np.nan
    return others


def _places(rank: Floats) -> NDArray[np.int64]:
    """Return how many documents of the same query have a lower rank, of the shape of `rank`; NaN counts as highest."""
    order = np.argsort(rank, axis=2)
    places = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(order.shape[2]), order.shape), axis=2)
    return places


@by_topics
def removal_gap(pool: PoolRanks) -> Floats:
    """Return what the own-language document is worth beyond another, float64 (topics, query languages).

    The relative loss of AP when the own-language document leaves pool and judgments, minus the mean of the same loss
    for each other language's. NaN with fewer than two documents, or without one in the query's language. The loss of an
    unlisted document is the mean over all unlisted ones of the query.
    """
    order = np.argsort(pool.rank, axis=2)
    rank = np.take_along_axis(pool.rank, order, axis=2)
    found, place = np.isfinite(rank), np.arange(1, rank.shape[2] + 1)
    m = found.sum(axis=2, keepdims=True).astype(np.float64)
    # What each document adds to AP: as it is, and when one before it is gone.
    kept = np.where(found, place / rank, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = np.where(found & (place > 1), (place - 1) / (rank - 1), 0.0)
    before = np.cumsum(kept, axis=2) - kept
    behind = np.cumsum(moved[:, :, ::-1], axis=2)[:, :, ::-1] - moved
    whole = _divide(kept.sum(axis=2, keepdims=True), m)
    lost = np.where(found, _divide(whole - _divide(before + behind, m - 1), whole), np.nan)
    loss = np.empty(lost.shape)
    np.put_along_axis(loss, order, lost, axis=2)
    if pool.unlisted is not None:
        loss = np.where(pool.unlisted, _masked_mean(loss, pool.unlisted, 2)[:, :, None], loss)
    own = np.eye(pool.rank.shape[1], dtype=bool)
    others = _masked_mean(loss, np.isfinite(loss) & ~own, 2)
    return np.diagonal(loss, axis1=1, axis2=2) - others


@by_topics
def rank_spread(pool: PoolRanks) -> Floats:
    """Return per topic the mean, over documents and pairs of query languages, of |log2 rank - log2 rank|.

    Float64 (topics,): 0 where the query's language changes nothing. An unlisted document may stand at any of the ranks
    of the query's unlisted ones: gaps are means over them.
    """
    log_rank = np.log2(pool.rank)
    known = np.isfinite(log_rank).sum(axis=1)
    rising = np.sort(log_rank, axis=1)
    # The gap behind the i-th of n ranks is part of the differences of i (n - i) pairs.
    place = np.arange(1, rising.shape[1])[:, None]
    pairs = np.maximum(place * (known[:, None] - place), 0)
    spread = (np.nan_to_num(np.diff(rising, axis=1)) * pairs).sum(axis=1)
    if pool.unlisted is not None:
        for topic in np.flatnonzero(pool.unlisted.any(axis=(1, 2))).tolist():
            spread[topic] = _expected_spread(log_rank[topic], pool.unlisted[topic])
    per_document = _divide(spread, known * (known - 1) / 2)
    return _masked_mean(per_document, np.isfinite(per_document), 1)


def _expected_spread(log_rank: Floats, unlisted: NDArray[np.bool_]) -> Floats:
    """Return for each document the sum over pairs of queries of the expected difference, (document languages,).

    Both arrays are (query languages, document languages), of one topic. With F the distribution of a document's place
    for one query and S the sum of F over its n queries, it is the integral of S (n - S), minus those of F (1 - F).
    """
    known = np.isfinite(log_rank)
    grid, place = np.unique(log_rank[known], return_inverse=True)
    steps = np.diff(grid)
    query, document = np.nonzero(known)
    anywhere = unlisted[known]
    # Unlisted documents of one query share a distribution; that of a listed one is a single step.
    shared, stepped = (np.zeros((len(log_rank), len(grid))) for _ in range(2))
    share = 1 / np.maximum(unlisted.sum(axis=1), 1)
    np.add.at(shared, (query[anywhere], place[anywhere]), share[query[anywhere]])
    np.add.at(stepped, (document[~anywhere], place[~anywhere]), 1.0)
    shared, stepped = shared.cumsum(axis=1)[:, :-1], stepped.cumsum(axis=1)[:, :-1]
    summed = stepped + unlisted.T.astype(np.float64) @ shared
    n = known.sum(axis=0)[:, None]
    spread: Floats = (summed * (n - summed)) @ steps - unlisted.T @ ((shared * (1 - shared)) @ steps)
    return spread


def complete_at(cutoff: int | None) -> Callable[[PoolRanks], Floats]:
    """Return the score "all m documents stand in the top k"; `cutoff` None is k = m. NaN where k < m.

    Unlisted documents stand in it where the expected rank of the last one does.
    """

    def complete(pool: PoolRanks) -> Floats:
        limit = pool.m if cutoff is None else np.where(pool.m <= cutoff, float(cutoff), np.nan)
        return np.where(np.isfinite(limit), (pool.last <= limit).astype(np.float64), np.nan)

    return complete


def _first(pool: PoolRanks) -> Floats:
    # Where none is listed, each may be the first.
    order = pool.order
    first = (order == np.fmin.reduce(order, axis=2, initial=np.nan)[:, :, None]).astype(np.float64)
    return np.where(np.isfinite(pool.rank), _divide(first, first.sum(axis=2, keepdims=True)), np.nan)


def _before(first: Floats, second: Floats) -> Floats:
    # Equal places happen only where neither document is listed.
    return np.where(first == second, 0.5, (first < second).astype(np.float64))


def max_rank(pool: PoolRanks) -> Floats:
    """Return the rank of the last of the topic's documents; float64 (topics, query languages)."""
    return pool.last


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
