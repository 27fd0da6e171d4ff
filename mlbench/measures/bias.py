"""Language-bias scores: formula, source, arithmetic, and how topics and languages are summarised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import UnknownName

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PoolRanks:
    """Where the translations of each topic's relevant document stand in the multilingual pool.

    `rank` is float64 (topics, query languages, document languages): the rank, for the query in the one language, of
    the topic's best-ranked relevant document in the other; NaN where there is no such query or document. Both language
    axes are in the same order. `pool_size` is the number of documents N. Topics with relevant documents in fewer than
    two languages must have been left out.
    """

    rank: Floats
    pool_size: int

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
    own = np.diagonal(pool.rank, axis1=1, axis2=2)[:, :, None]
    both = np.isfinite(own) & np.isfinite(pool.rank) & ~np.eye(pool.rank.shape[1], dtype=bool)
    both &= both.swapaxes(1, 2)
    return _masked_mean(_before(own, pool.rank), both, (1, 2))


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


def language_prior(pool: PoolRanks) -> Floats:
    """Return per topic and language b the share of (query language a, other language c), a neither, with b before c.

    Float64 (topics, document languages); chance is 1/2; NaN with fewer than three languages.
    """
    topics, size, _ = pool.rank.shape
    wins, pairs = np.zeros((topics, size)), np.zeros((topics, size))
    for asked in range(size):
        rank = np.delete(pool.rank[:, asked], asked, axis=1)
        others = np.delete(np.arange(size), asked)
        both = np.isfinite(rank)[:, :, None] & np.isfinite(rank)[:, None, :] & ~np.eye(size - 1, dtype=bool)
        wins[:, others] += np.where(both, _before(rank[:, :, None], rank[:, None, :]), 0.0).sum(axis=2)
        pairs[:, others] += both.sum(axis=2)
    return _divide(wins, pairs)


def removal_gap(pool: PoolRanks) -> Floats:
    """Return what the own-language document is worth beyond another, float64 (topics, query languages).

    The relative loss of AP when the own-language document leaves pool and judgments, minus the mean of the same loss
    for each other language's. NaN with fewer than two documents, or without one in the query's language.
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
    own = np.eye(pool.rank.shape[1], dtype=bool)
    others = _masked_mean(loss, np.isfinite(loss) & ~own, 2)
    return np.diagonal(loss, axis1=1, axis2=2) - others


def rank_spread(pool: PoolRanks) -> Floats:
    """Return per topic the mean, over documents and pairs of query languages, of |log2 rank - log2 rank|.

    Float64 (topics,): 0 where the query's language changes nothing.
    """
    log_rank = np.log2(pool.rank)
    size = pool.rank.shape[1]
    spread, known = np.zeros(pool.rank.shape[0::2]), np.zeros(pool.rank.shape[0::2])
    for a in range(size):
        for b in range(a + 1, size):
            gap = np.abs(log_rank[:, a] - log_rank[:, b])
            spread += np.nan_to_num(gap)
            known += np.isfinite(gap)
    per_document = _divide(spread, known)
    return _masked_mean(per_document, np.isfinite(per_document), 1)


def complete_at(cutoff: int | None) -> Callable[[PoolRanks], Floats]:
    """Return the score "all m documents stand in the top k"; `cutoff` None is k = m. NaN where k < m."""

    def complete(pool: PoolRanks) -> Floats:
        limit = pool.m if cutoff is None else np.where(pool.m <= cutoff, float(cutoff), np.nan)
        return np.where(np.isfinite(limit), (max_rank(pool) <= limit).astype(np.float64), np.nan)

    return complete


def _first(pool: PoolRanks) -> Floats:
    # Documents that all stand at the expected rank of those not retrieved share rank 1.
    first = (pool.rank == _smallest(pool)[:, :, None]).astype(np.float64)
    return np.where(np.isfinite(pool.rank), _divide(first, first.sum(axis=2, keepdims=True)), np.nan)


def _before(first: Floats, second: Floats) -> Floats:
    # Equal ranks happen only where both documents stand at the expected rank of those not retrieved.
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


def floor_of_rank_distance(pool: PoolRanks) -> Floats:
    """Return the smallest possible rank distance, m - 1; float64 (topics, query languages)."""
    return pool.m - 1


def chance_of_rank_distance(pool: PoolRanks) -> Floats:
    """Return what a random order gives, (N + 1)(m - 1)/(m + 1); float64 (topics, query languages)."""
    return (pool.pool_size + 1) * (pool.m - 1) / (pool.m + 1)


def chance_of_max_rank(pool: PoolRanks) -> Floats:
    """Return the largest rank expected of a random order, m (N + 1)/(m + 1); float64 (topics, query languages)."""
    return pool.m * (pool.pool_size + 1) / (pool.m + 1)


def chance_of_max_rank_norm(pool: PoolRanks) -> Floats:
    """Return about what a random order gives, 100 / (m ln 2 log2(N / m)); float64 (topics, query languages)."""
    return _divide(np.full_like(pool.m, 100.0), pool.m * np.log(2) * np.log2(pool.pool_size / pool.m))


def zero(pool: PoolRanks) -> Floats:
    """Return 0 wherever there is a query; float64 (topics, query languages)."""
    return np.where(np.isfinite(pool.m), 0.0, np.nan)


def one_half(pool: PoolRanks) -> Floats:
    """Return 1/2 wherever there is a query; float64 (topics, query languages)."""
    return np.where(np.isfinite(pool.m), 0.5, np.nan)


@dataclass(frozen=True, slots=True)
class BiasScore:
    """A bias score as a value.

    `contributions` gives float64 (topics,) or (topics, languages), NaN where undefined. Without languages a score is
    the mean over topics; with them, topics are first summarised for each language by `over_topics`, then the
    languages by `over_languages` (`range` is largest minus smallest). `references` are floors and chance levels over
    the same topics. `compares` says whether the languages of a topic's documents are held against each other or those
    of its queries: with captioned images, the first are asked for by images and the second ask for images. The value
    lies between the `limits`.
    """

    summary: str
    formula: str
    source: str
    contributions: Callable[[PoolRanks], Floats] | None = None
    rows: Literal["query_language", "document_language"] | None = None
    over_topics: Literal["mean", "median"] = "mean"
    over_languages: Literal["mean", "range"] = "mean"
    references: Mapping[str, Callable[[PoolRanks], Floats]] = field(default_factory=dict)
    compares: Literal["documents", "queries"] = "documents"
    limits: tuple[float, float] = (0.0, inf)


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


_FAIR_POOLS = "Roy et al. 2020 (LAReQA), section 5"
_HYBRID = "Elmahdy, Lin & Ahmad 2024 (arXiv 2408.10536), footnote 6"
_MAX_RANK = "arXiv 2604.05684"
BIAS_SCORES: Mapping[str, BiasScore] = MappingProxyType(
    {
        "own_language_preference": BiasScore(
            "How much a query prefers the document in its own language to the same document in another.",
            "mean over topics of the mean over ordered pairs (a, c) of 1[rank(a, a) < rank(a, c)]",
            "mlbench",
            own_language_preference,
            references={"chance": one_half},
            limits=(0.0, 1.0),
        ),
        "rank_distance": BiasScore(
            "How far apart the translations of a relevant document stand; lower is better, quality lowers it too.",
            "mean over topics of max_c rank(a, c) - min_c rank(a, c), for each a, then over a",
            _HYBRID,
            rank_distance,
            "query_language",
            references={"floor": floor_of_rank_distance, "chance": chance_of_rank_distance},
        ),
        "rank_distance_median": BiasScore(
            "Rank distance with the median over topics in place of the mean.",
            "median over topics of max_c rank(a, c) - min_c rank(a, c), for each a, then the mean over a",
            _HYBRID,
            rank_distance,
            "query_language",
            over_topics="median",
        ),
        "rank_distance_log2": BiasScore(
            "Rank distance on a logarithmic scale, which is not ruled by a few worst topics.",
            "mean over topics of log2(max_c rank(a, c) / min_c rank(a, c)), for each a, then over a",
            "mlbench",
            rank_distance_log2,
            "query_language",
        ),
        "max_rank": BiasScore(
            "The rank at which the last translation has been found.",
            "mean over topics of max_c rank(a, c), for each a, then over a",
            _MAX_RANK,
            max_rank,
            "query_language",
            references={"chance": chance_of_max_rank},
        ),
        "max_rank_norm": BiasScore(
            "The rank of the last translation, scaled so that 100 is perfect and 0 is the end of the pool.",
            "100 (log2 N - log2 max_c rank(a, c)) / (log2 N - log2 m)",
            _MAX_RANK,
            max_rank_norm,
            "query_language",
            references={"chance": chance_of_max_rank_norm},
            limits=(0.0, 100.0),
        ),
        "complete@m": BiasScore(
            "The share of topics whose m translations take exactly ranks 1 to m.",
            "mean over topics of 1[max_c rank(a, c) <= m], for each a, then over a",
            _MAX_RANK,
            complete_at(None),
            "query_language",
            limits=(0.0, 1.0),
        ),
        "complete@20": BiasScore(
            "The share of topics all of whose translations stand in the top 20.",
            "mean over topics of 1[max_c rank(a, c) <= 20], for each a, then over a; null where 20 < m",
            _MAX_RANK,
            complete_at(20),
            "query_language",
            limits=(0.0, 1.0),
        ),
        "complete@100": BiasScore(
            "The share of topics all of whose translations stand in the top 100.",
            "mean over topics of 1[max_c rank(a, c) <= 100], for each a, then over a; null where 100 < m",
            _MAX_RANK,
            complete_at(100),
            "query_language",
            limits=(0.0, 1.0),
        ),
        "language_prior": BiasScore(
            "Whether documents of some languages stand first whoever asks; the value is the range over languages.",
            "for each b the mean of P(rank(a, b) < rank(a, c)) over a, c other than b; value = max_b - min_b",
            "mlbench",
            language_prior,
            "document_language",
            over_languages="range",
            limits=(0.0, 1.0),
        ),
        "same_language_first": BiasScore(
            "How often the document in the query's language is the first of the translations.",
            "share of topics with rank(a, a) = min_c rank(a, c); beside it how often queries in other languages put "
            "that document first",
            "mlbench",
            same_language_first,
            "query_language",
            references={"other_languages": same_language_first_elsewhere},
            limits=(0.0, 1.0),
        ),
        "removal_gap": BiasScore(
            "How much more AP is lost without the own-language document than without another one.",
            "(AP - AP without a's document) / AP, minus the mean of the same for each other language's document",
            "after " + _FAIR_POOLS,
            removal_gap,
            "query_language",
            references={"chance": zero},
            limits=(-inf, inf),
        ),
        "rank_spread": BiasScore(
            "How much a document's rank depends on the language of the query.",
            "mean over topics and documents of the mean over pairs (a, b) of |log2 rank(a, c) - log2 rank(b, c)|",
            "after CCRK (rank spread across query languages)",
            rank_spread,
            compares="queries",
        ),
        "language_share@10": BiasScore(
            "The share of each document language in the top 10, divided by its share of the pool.",
            "for each query language a and document language c: (share of c in the top 10) / (share of c in the pool)",
            "Multi-EuP (Yang et al. 2023)",
        ),
        "language_share@20": BiasScore(
            "The share of each document language in the top 20, divided by its share of the pool.",
            "for each query language a and document language c: (share of c in the top 20) / (share of c in the pool)",
            "Multi-EuP (Yang et al. 2023)",
        ),
        "worst_language": BiasScore(
            "The lowest AP over query languages in the pool, and its ratio to the highest.",
            "min_a AP(a); beside it min_a AP(a) / max_a AP(a)",
            "mlbench",
        ),
        "transfer_gap": BiasScore(
            "How much AP is lost between asking in the documents' language and in another.",
            "macro mean of monolingual AP - macro mean of cross-lingual AP",
            "mlbench",
        ),
    }
)
"""Every bias score by name; those without `contributions` are computed from aggregates or from the top of the lists."""
