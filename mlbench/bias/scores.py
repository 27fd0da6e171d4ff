"""Every bias score as a value: what it is, where it comes from, and how topics and languages are summarised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from mlbench.bias.formulas import (
    Floats,
    PoolRanks,
    chance_of_max_rank,
    chance_of_max_rank_norm,
    chance_of_rank_distance,
    complete_at,
    floor_of_rank_distance,
    language_prior,
    max_rank,
    max_rank_norm,
    one_half,
    own_language_preference,
    rank_distance,
    rank_distance_log2,
    rank_spread,
    removal_gap,
    same_language_first,
    same_language_first_elsewhere,
    zero,
)


@dataclass(frozen=True, slots=True)
class BiasScore:
    """A bias score as a value.

    `contributions` gives float64 (topics,) or (topics, languages), NaN where undefined. Without languages a score is
    the mean over topics; with them, topics are first summarised for each language by `over_topics`, then the
    languages by `over_languages` (`range` is largest minus smallest). `references` are floors and chance levels over
    the same topics. `compares` says whether the languages of a topic's documents are held against each other or those
    of its queries: with captioned images, the first are asked for by images and the second ask for images.
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
        ),
        "complete@m": BiasScore(
            "The share of topics whose m translations take exactly the first m places.",
            "mean over topics of 1[max_c rank(a, c) <= m], for each a, then over a",
            _MAX_RANK,
            complete_at(None),
            "query_language",
        ),
        "complete@20": BiasScore(
            "The share of topics all of whose translations stand in the top 20.",
            "mean over topics of 1[max_c rank(a, c) <= 20], for each a, then over a; null where 20 < m",
            _MAX_RANK,
            complete_at(20),
            "query_language",
        ),
        "complete@100": BiasScore(
            "The share of topics all of whose translations stand in the top 100.",
            "mean over topics of 1[max_c rank(a, c) <= 100], for each a, then over a; null where 100 < m",
            _MAX_RANK,
            complete_at(100),
            "query_language",
        ),
        "language_prior": BiasScore(
            "Whether documents of some languages stand first whoever asks; the value is the range over languages.",
            "for each b the mean of P(rank(a, b) < rank(a, c)) over a, c other than b; value = max_b - min_b",
            "mlbench",
            language_prior,
            "document_language",
            over_languages="range",
        ),
        "same_language_first": BiasScore(
            "How often the document in the query's language is the first of the translations.",
            "share of topics with rank(a, a) = min_c rank(a, c); beside it how often queries in other languages put "
            "that document first",
            "mlbench",
            same_language_first,
            "query_language",
            references={"other_languages": same_language_first_elsewhere},
        ),
        "removal_gap": BiasScore(
            "How much more AP is lost without the own-language document than without another one.",
            "(AP - AP without a's document) / AP, minus the mean of the same for each other language's document",
            "after " + _FAIR_POOLS,
            removal_gap,
            "query_language",
            references={"chance": zero},
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
