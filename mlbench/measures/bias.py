"""Language-bias scores as values: formula, source, ideal, chance and direction of each, and how it is summarised."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import UnknownName
from mlbench.measures import native, top_lists, translations
from mlbench.measures.native import RelevantDocuments
from mlbench.measures.top_lists import TopLists
from mlbench.measures.translations import PoolRanks

Floats = NDArray[np.float64]

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
        asked = bool(np.isfinite(pool.m).any())
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


def _of_relevant(score: Callable[[RelevantDocuments], Floats]) -> Callable[[PoolRanks], Floats]:
    """Return a score of all relevant documents as one of a pool."""
    return lambda pool: score(pool.relevant or RelevantDocuments.none(*pool.rank.shape[:2]))


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
            contributions=translations.own_language_preference,
            needs="topics",
            limits=(0.0, 1.0),
        ),
        "rank_distance": BiasScore(
            "How far apart the translations of a relevant document stand; quality lowers it too.",
            "mean over topics of max_c rank(a, c) - min_c rank(a, c), for each a, then over a",
            _HYBRID,
            direction="lower",
            ideal=translations.least_rank_distance,
            chance=translations.chance_of_rank_distance,
            contributions=translations.rank_distance,
            rows="query_language",
            ideal_text="m - 1",
            chance_text="(N + 1)(m - 1)/(m + 1)",
        ),
        "rank_distance_median": BiasScore(
            "Rank distance with the median over topics in place of the mean.",
            "median over topics of max_c rank(a, c) - min_c rank(a, c), for each a, then the mean over a",
            _HYBRID,
            direction="lower",
            ideal=translations.least_rank_distance,
            chance=translations.chance_of_median,
            contributions=translations.rank_distance,
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
            ideal=translations.least_rank_distance_log2,
            chance=translations.chance_of_rank_distance_log2,
            contributions=translations.rank_distance_log2,
            rows="query_language",
            ideal_text="log2 m",
            chance_text="the mean over random orders",
        ),
        "max_rank": BiasScore(
            "The rank at which the last translation has been found.",
            "mean over topics of max_c rank(a, c), for each a, then over a",
            _MAX_RANK,
            direction="lower",
            ideal=translations.least_max_rank,
            chance=translations.chance_of_max_rank,
            contributions=translations.max_rank,
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
            chance=translations.chance_of_max_rank_norm,
            contributions=translations.max_rank_norm,
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
            chance=translations.chance_of_complete_at(None),
            contributions=translations.complete_at(None),
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
            chance=translations.chance_of_complete_at(20),
            contributions=translations.complete_at(20),
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
            chance=translations.chance_of_complete_at(100),
            contributions=translations.complete_at(100),
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
            chance=translations.chance_of_language_prior,
            contributions=translations.language_prior,
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
            ideal=translations.chance_of_same_language_first,
            chance=translations.chance_of_same_language_first,
            contributions=translations.same_language_first,
            rows="query_language",
            beside={"other_languages": translations.same_language_first_elsewhere},
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
            contributions=translations.removal_gap,
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
            chance=translations.chance_of_rank_spread,
            contributions=translations.rank_spread,
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
            ideal=translations.chance_of_language_preference_rate,
            chance=translations.chance_of_language_preference_rate,
            contributions=translations.language_preference_rate,
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
            ideal=translations.mean_language_ndcg(10, perfect=True),
            chance=translations.mean_language_ndcg(10, perfect=False),
            contributions=translations.language_ndcg(10),
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
