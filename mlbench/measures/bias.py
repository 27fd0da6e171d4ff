"""Language-bias scores: formula, source, arithmetic, and how topics and languages are summarised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import UnknownName
from mlbench.measures import chance, native, top_lists
from mlbench.measures.native import RelevantRanks
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
    relevant: RelevantRanks | None = None
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


Direction = Literal["lower", "higher", "nearer"]
"""Which values of a score are better: lower ones, higher ones, or those nearer to its ideal."""
Needs = Literal["translations", "topics", "native", "settings", "pool"]
"""What a score is computed from: translations of the same documents in the pool of all languages, relevant documents of
topics that are asked in several languages, relevant documents that are not translations of each other, means over
settings, or any lists of that pool."""
Reference = float | Callable[[PoolRanks], Floats]
"""A number that a score is read beside: a constant, or contributions that are summarised as those of the score."""


@dataclass(frozen=True, slots=True)
class BiasScore:
    """A bias score as a value: everything that anybody must know of it to compute, read, test or rank by it.

    `contributions` gives float64 (topics,) or (topics, languages), NaN where undefined. Without languages a score is
    the mean over topics; with them, topics are first summarised for each language by `over_topics`, then the
    languages by `over_languages` (`range` is largest minus smallest).

    `ideal` is the value of a perfect retriever that is blind to languages, `chance` that of a random order; None for
    scores without contributions whose value by chance depends on more than the declaration. Where they are no
    constants, `ideal_text` and `chance_text` say what they are. `direction` says which values are better. Without a
    direction a score is shown, and never tested, gated or ranked by: a perfect retriever and a random one have values
    between which better ones are not ordered. `beside` are further numbers over the same topics. `compares` says
    whether the languages of a topic's documents are held against each other or those of its queries: with captioned
    images, the first are asked for by images and the second ask for images. A `conditional` score counts topics only
    where a retriever found something: those of two retrievers differ, and are not compared. The value lies between the
    `limits`.
    """

    summary: str
    formula: str
    source: str
    direction: Direction | None
    ideal: Reference
    chance: Reference | None
    contributions: Callable[[PoolRanks], Floats] | None = None
    rows: Literal["query_language", "document_language"] | None = None
    over_topics: Literal["mean", "median"] = "mean"
    over_languages: Literal["mean", "range"] = "mean"
    needs: Needs = "translations"
    beside: Mapping[str, Callable[[PoolRanks], Floats]] = field(default_factory=dict)
    compares: Literal["documents", "queries"] = "documents"
    limits: tuple[float, float] = (0.0, inf)
    conditional: bool = False
    ideal_text: str = ""
    chance_text: str = ""

    def suits(self, *, parallel: bool, translated: bool) -> bool:
        """Say whether a task has what the score needs (see `Collection.parallel` and `Collection.translated`)."""
        match self.needs:
            case "translations":
                return parallel and translated
            case "topics":
                return parallel
            case "native":
                return not (parallel and translated)
            case "settings" | "pool":
                return True

    @property
    def is_mean(self) -> bool:
        """Whether the score is a mean of what the same topics contribute for any system, which can be tested."""
        return (
            self.contributions is not None
            and not self.conditional
            and self.over_topics == self.over_languages == "mean"
        )

    def references(self, pool: PoolRanks) -> dict[str, float | None]:
        """Return `ideal`, `chance` and what is given beside, over the topics of a pool; None without topics."""
        asked = bool(np.isfinite(pool.rank).any())
        given = {"ideal": self.ideal, "chance": self.chance, **self.beside}
        return {
            name: (value if asked else None) if isinstance(value, float) else summarise(self, value(pool))[0]
            for name, value in given.items()
            if value is not None
        }


def find_score(name: str) -> BiasScore:
    """Return the bias score called `name`; raises `UnknownName`."""
    if name not in BIAS_SCORES:
        raise UnknownName("bias score", name, BIAS_SCORES)
    return BIAS_SCORES[name]


def summarise(score: BiasScore, contributions: Floats) -> tuple[float | None, Floats]:
    """Return a score's value and its row for each language (empty without rows); no topics give None.

    `contributions` is what `score.contributions` gives.
    """
    if contributions.ndim == 1:
        known = contributions[np.isfinite(contributions)]
        return (float(known.mean()) if len(known) else None), np.empty(0)
    rows = np.array([_over_topics(score, column) for column in contributions.T])
    known = rows[np.isfinite(rows)]
    if not len(known):
        return None, rows
    return float(known.mean() if score.over_languages == "mean" else np.ptp(known)), rows


def topicwise() -> Iterator[tuple[str, BiasScore]]:
    """Yield name and score of those that are computed topic by topic from a `PoolRanks`."""
    return ((name, score) for name, score in BIAS_SCORES.items() if score.contributions is not None)


def _over_topics(score: BiasScore, column: Floats) -> float:
    known = column[np.isfinite(column)]
    if not len(known):
        return float("nan")
    return float(known.mean() if score.over_topics == "mean" else np.median(known))


def _of_relevant(score: Callable[[RelevantRanks], Floats]) -> Callable[[PoolRanks], Floats]:
    """Return a score of all relevant documents as one of a pool."""
    return lambda pool: score(pool.relevant or RelevantRanks.none(*pool.rank.shape[:2]))


def _of_lists(score: Callable[[TopLists], Floats]) -> Callable[[PoolRanks], Floats]:
    """Return a score of the top of lists as one of a pool."""
    return lambda pool: score(pool.lists or TopLists.none(*pool.rank.shape[:2]))


_FAIR_POOLS = "Roy et al. 2020 (LAReQA), section 5"
_HYBRID = "Elmahdy, Lin & Ahmad 2024 (arXiv 2408.10536), footnote 6"
_MAX_RANK = "arXiv 2604.05684"
_LANGUAGE_AWARE = "after MLAIRE (arXiv 2605.07249), with a formula of our own"
_PEER = "Yang, Jänich, Mayfield & Lawrie 2024 (arXiv 2405.00978)"
BIAS_SCORES: Mapping[str, BiasScore] = MappingProxyType(
    {
        "own_language_preference": BiasScore(
            "How much a query prefers the document in its own language to the same document in another.",
            "mean over topics of the mean over ordered pairs (a, c) of 1[rank(a, a) < rank(a, c)]",
            "mlbench",
            direction="nearer",
            ideal=0.5,
            chance=0.5,
            contributions=own_language_preference,
            needs="topics",
            limits=(0.0, 1.0),
        ),
        "rank_distance": BiasScore(
            "How far apart the translations of a relevant document stand; quality lowers it too.",
            "mean over topics of max_c rank(a, c) - min_c rank(a, c), for each a, then over a",
            _HYBRID,
            direction="lower",
            ideal=least_rank_distance,
            chance=chance_of_rank_distance,
            contributions=rank_distance,
            rows="query_language",
            ideal_text="m - 1",
            chance_text="(N + 1)(m - 1)/(m + 1)",
        ),
        "rank_distance_median": BiasScore(
            "Rank distance with the median over topics in place of the mean.",
            "median over topics of max_c rank(a, c) - min_c rank(a, c), for each a, then the mean over a",
            _HYBRID,
            direction="lower",
            ideal=least_rank_distance,
            chance=chance_of_median,
            contributions=rank_distance,
            rows="query_language",
            over_topics="median",
            ideal_text="m - 1",
            chance_text="the median of largest minus smallest of m random ranks",
        ),
        "rank_distance_log2": BiasScore(
            "Rank distance on a logarithmic scale, which is not ruled by a few worst topics. Perfect and random "
            "retrievers have similar values, those between them larger ones.",
            "mean over topics of log2(max_c rank(a, c) / min_c rank(a, c)), for each a, then over a",
            "mlbench",
            direction=None,
            ideal=least_rank_distance_log2,
            chance=chance_of_rank_distance_log2,
            contributions=rank_distance_log2,
            rows="query_language",
            ideal_text="log2 m",
            chance_text="the mean over random orders",
        ),
        "max_rank": BiasScore(
            "The rank at which the last translation has been found.",
            "mean over topics of max_c rank(a, c), for each a, then over a",
            _MAX_RANK,
            direction="lower",
            ideal=least_max_rank,
            chance=chance_of_max_rank,
            contributions=max_rank,
            rows="query_language",
            ideal_text="m",
            chance_text="m (N + 1)/(m + 1)",
        ),
        "max_rank_norm": BiasScore(
            "The rank of the last translation, scaled so that 100 is perfect and 0 is the end of the pool.",
            "100 (log2 N - log2 max_c rank(a, c)) / (log2 N - log2 m)",
            _MAX_RANK,
            direction="higher",
            ideal=100.0,
            chance=chance_of_max_rank_norm,
            contributions=max_rank_norm,
            rows="query_language",
            limits=(0.0, 100.0),
            chance_text="the mean over random orders, about 100 / (m ln 2 log2(N / m))",
        ),
        "complete@m": BiasScore(
            "The share of topics whose m translations take exactly ranks 1 to m.",
            "mean over topics of 1[max_c rank(a, c) <= m], for each a, then over a",
            _MAX_RANK,
            direction="higher",
            ideal=1.0,
            chance=chance_of_complete_at(None),
            contributions=complete_at(None),
            rows="query_language",
            limits=(0.0, 1.0),
            chance_text="1 / C(N, m)",
        ),
        "complete@20": BiasScore(
            "The share of topics all of whose translations stand in the top 20.",
            "mean over topics of 1[max_c rank(a, c) <= 20], for each a, then over a; null where 20 < m",
            _MAX_RANK,
            direction="higher",
            ideal=1.0,
            chance=chance_of_complete_at(20),
            contributions=complete_at(20),
            rows="query_language",
            limits=(0.0, 1.0),
            chance_text="C(20, m) / C(N, m)",
        ),
        "complete@100": BiasScore(
            "The share of topics all of whose translations stand in the top 100.",
            "mean over topics of 1[max_c rank(a, c) <= 100], for each a, then over a; null where 100 < m",
            _MAX_RANK,
            direction="higher",
            ideal=1.0,
            chance=chance_of_complete_at(100),
            contributions=complete_at(100),
            rows="query_language",
            limits=(0.0, 1.0),
            chance_text="C(100, m) / C(N, m)",
        ),
        "language_prior": BiasScore(
            "Whether documents of some languages stand first whoever asks: the range over languages.",
            "for each b the mean of P(rank(a, b) < rank(a, c)) over a, c other than b; value = max_b - min_b",
            "mlbench",
            direction="lower",
            ideal=0.0,
            chance=chance_of_language_prior,
            contributions=language_prior,
            rows="document_language",
            over_languages="range",
            limits=(0.0, 1.0),
            chance_text="the mean range of random orders, simulated with a fixed seed; each language has 1/2",
        ),
        "same_language_first": BiasScore(
            "How often the document in the query's language is the first of the translations.",
            "share of topics with rank(a, a) = min_c rank(a, c); beside it how often queries in other languages put "
            "that document first",
            "mlbench",
            direction="nearer",
            ideal=chance_of_same_language_first,
            chance=chance_of_same_language_first,
            contributions=same_language_first,
            rows="query_language",
            beside={"other_languages": same_language_first_elsewhere},
            limits=(0.0, 1.0),
            ideal_text="1 / m",
            chance_text="1 / m",
        ),
        "removal_gap": BiasScore(
            "How much more AP is lost without the own-language document than without another one.",
            "(AP - AP without a's document) / AP, minus the mean of the same for each other language's document",
            "after " + _FAIR_POOLS,
            direction="nearer",
            ideal=0.0,
            chance=0.0,
            contributions=removal_gap,
            rows="query_language",
            limits=(-inf, inf),
        ),
        "rank_spread": BiasScore(
            "How much a document's rank depends on the language of the query. Perfect, constant and random retrievers "
            "have small values.",
            "mean over topics and documents of the mean over pairs (a, b) of |log2 rank(a, c) - log2 rank(b, c)|",
            "after CCRK (rank spread across query languages)",
            direction=None,
            ideal=0.0,
            chance=chance_of_rank_spread,
            contributions=rank_spread,
            needs="topics",
            compares="queries",
            chance_text="the mean of |log2 a - log2 b| for two random ranks",
        ),
        "language_share@10": BiasScore(
            "The share of each document language in the top 10, divided by its share of the pool.",
            "for each query language a and document language c: (share of c in the top 10) / (share of c in the pool)",
            "Multi-EuP (Yang et al. 2023)",
            direction="nearer",
            ideal=1.0,
            chance=1.0,
            rows="query_language",
            needs="pool",
        ),
        "language_share@20": BiasScore(
            "The share of each document language in the top 20, divided by its share of the pool.",
            "for each query language a and document language c: (share of c in the top 20) / (share of c in the pool)",
            "Multi-EuP (Yang et al. 2023)",
            direction="nearer",
            ideal=1.0,
            chance=1.0,
            rows="query_language",
            needs="pool",
        ),
        "worst_language": BiasScore(
            "The lowest AP over query languages in the pool, and its ratio to the highest.",
            "min_a AP(a); beside it min_a AP(a) / max_a AP(a)",
            "mlbench",
            direction="higher",
            ideal=1.0,
            chance=None,
            rows="query_language",
            needs="pool",
            chance_text="the lowest mean AP of random orders over query languages",
        ),
        "transfer_gap": BiasScore(
            "How much AP is lost between asking in the documents' language and in another.",
            "macro mean of monolingual AP - macro mean of cross-lingual AP",
            "mlbench",
            direction="nearer",
            ideal=0.0,
            chance=None,
            needs="settings",
            chance_text="the same difference of random orders",
        ),
        "language_preference_rate": BiasScore(
            "How often the first document, where it is relevant, is in the language of the query; beside it the "
            "four-way split of first documents.",
            "share of topics with rank(a, a) = 1 among those with min_c rank(a, c) = 1",
            _LANGUAGE_AWARE,
            direction="nearer",
            ideal=chance_of_language_preference_rate,
            chance=chance_of_language_preference_rate,
            contributions=language_preference_rate,
            rows="query_language",
            conditional=True,
            beside={
                name: _of_lists(top_lists.share_of_first(relevant=relevant, own_language=own))
                for name, relevant, own in (
                    ("relevant_in_own_language", True, True),
                    ("relevant_in_another", True, False),
                    ("not_relevant_in_own_language", False, True),
                    ("not_relevant_in_another", False, False),
                )
            },
            ideal_text="1 / m",
            chance_text="1 / m",
            limits=(0.0, 1.0),
        ),
        "language_nDCG@10": BiasScore(
            "What the list is worth to who reads the query's language alone. A retriever that prefers it has more.",
            "mean over topics of 1 / log2(1 + rank(a, a)) where rank(a, a) <= 10, else 0, for each a, then over a",
            _LANGUAGE_AWARE,
            direction=None,
            ideal=mean_language_ndcg(10, perfect=True),
            chance=mean_language_ndcg(10, perfect=False),
            contributions=language_ndcg(10),
            rows="query_language",
            ideal_text="the mean of the gain at ranks 1 to m",
            chance_text="the mean of the gain over the pool",
            limits=(0.0, 1.0),
        ),
        "list_agreement": BiasScore(
            "How alike the lists for the translations of a query are. A constant retriever has 1 as well.",
            "mean over topics and pairs of query languages of extrapolated rank-biased overlap, p = .9, of the top 20",
            "Webber, Moffat & Zobel 2010, equation 23; after MultiEuP-v2 (arXiv 2509.06195)",
            direction=None,
            ideal=1.0,
            chance=_of_lists(top_lists.chance_of_list_agreement),
            contributions=_of_lists(top_lists.list_agreement),
            needs="topics",
            chance_text="(1 - p^k) / ((1 - p) N) for lists of k",
            limits=(0.0, 1.0),
        ),
        "PEER": BiasScore(
            "Whether relevant documents of all languages have the same expected rank: 1 is fair, and a retriever that "
            "is blind to language is at chance.",
            "mean over topics of the p-value of a Kruskal-Wallis test on the ranks of the relevant documents, for each "
            "grade, by language, and its mean over grades; for each a, then over a",
            _PEER,
            direction="higher",
            ideal=1.0,
            chance=_of_relevant(native.mean_by_chance(native.peer())),
            contributions=_of_relevant(native.peer()),
            rows="query_language",
            needs="native",
            chance_text="the mean over shuffles of languages among documents of one topic and grade",
            limits=(0.0, 1.0),
        ),
        "PEER@20": BiasScore(
            "PEER of the top 20, where all relevant documents below share a rank. Topics without any in the top 20 are "
            "left out.",
            "PEER with the rank (2 T + u + 1) / 2 for the u of a grade's T documents that stand beyond 20",
            _PEER,
            direction="higher",
            ideal=1.0,
            chance=_of_relevant(native.mean_by_chance(native.peer(20))),
            contributions=_of_relevant(native.peer(20)),
            rows="query_language",
            needs="native",
            conditional=True,
            chance_text="the mean over shuffles of languages among documents of one topic and grade",
            limits=(0.0, 1.0),
        ),
        "AWRF": BiasScore(
            "How evenly attention is spread over the languages of relevant documents. Where they stand deep in the "
            "list it is more even by chance.",
            "1 - Jensen-Shannon divergence of the share of 1 / log2(1 + rank) that each language's relevant documents "
            "have, and of what it is due",
            "Sapiezynski et al. 2019; TREC Fair Ranking (Ekstrand et al. 2022)",
            direction=None,
            ideal=1.0,
            chance=_of_relevant(native.mean_by_chance(native.attention_weighted_rank_fairness)),
            contributions=_of_relevant(native.attention_weighted_rank_fairness),
            rows="query_language",
            needs="native",
            chance_text="the mean over shuffles of languages among documents of one topic and grade",
            limits=(0.0, 1.0),
        ),
        "own_language_exposure": BiasScore(
            "How much more attention relevant documents get from queries in their language than from others.",
            "mean over topics and languages a of the exposure of a's relevant documents for the query in a, minus its "
            "mean over other queries; exposure is their share of 1 / log2(1 + rank), minus what they are due",
            "mlbench",
            direction="nearer",
            ideal=0.0,
            chance=0.0,
            contributions=_of_relevant(native.own_language_exposure),
            needs="native",
            limits=(-1.0, 1.0),
        ),
        "language_exposure": BiasScore(
            "Which languages' relevant documents get more attention than they are due: the range over languages. "
            "Where they stand deep in the list it is smaller by chance.",
            "for each c the mean over topics and a of the share of 1 / log2(1 + rank) that c's relevant documents "
            "have, minus what it is due; value = max_c - min_c",
            "mlbench",
            direction=None,
            ideal=0.0,
            chance=_of_relevant(native.range_by_chance(native.language_exposure)),
            contributions=_of_relevant(native.language_exposure),
            rows="document_language",
            over_languages="range",
            needs="native",
            chance_text="the mean over shuffles of languages among documents of one topic and grade",
        ),
    }
)
"""Every bias score by name; those without `contributions` are computed from aggregates or from the top of the lists."""
TESTED_BIAS_SCORES = ("own_language_preference", "rank_distance")
"""The bias scores that every comparison, history and leaderboard shows and tests."""
