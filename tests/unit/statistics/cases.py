"""Small collections, and what is known about them by brute force: the references that the tests compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from scipy import stats

from mlbench.collection.languages import Kind, Setting, settings_of
from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.protocols import Parameter, RankedList, Role, ScoredRanker, Silence, Similarity, Vectors
from mlbench.ranking.index_arrays import CountTable, index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks

LANGUAGES = ("ar", "de", "en", "th")
Order = list[str]
Orders = Mapping[tuple[str, str], Order]


def widened_percentiles(
    replicates: Sequence[float], estimate: float, n_clusters: int, n_strata: int = 1
) -> tuple[float, float]:
    """Return the 95 % interval of replicates around an estimate, by the formula for few clusters with scipy's t."""
    free = n_clusters - n_strata
    factor = np.sqrt(n_clusters / free) * stats.t.ppf(0.975, free) / stats.norm.ppf(0.975)
    low, high = estimate + factor * (np.percentile(replicates, [2.5, 97.5]) - estimate)
    return min(low, estimate), max(high, estimate)


def make_collection(
    seed: int,
    *,
    languages: tuple[str, ...] = LANGUAGES,
    topics: int = 10,
    documents: int = 12,
    sparse: bool = False,
    several: bool = False,
    parallel: bool = True,
) -> Collection:
    """Return a collection of random judgments, two topics to a cluster.

    `sparse` leaves each topic one to all of the languages, as in MLQA-R; `several` gives some topics further relevant
    documents of higher grades, and one that is missing from the corpus.
    """
    random = np.random.RandomState(seed)
    corpora = {
        language: tuple(
            Document(document_id("small", language, "", str(number)), f"{language} document {number}")
            for number in range(documents + place)
        )
        for place, language in enumerate(languages)
    }
    queries: dict[str, list[Query]] = {language: [] for language in languages}
    judgments: dict[str, tuple[Judgment, ...]] = {}
    for number in range(topics):
        size = random.randint(1, len(languages) + 1) if sparse else len(languages)
        own = sorted(random.permutation(languages)[:size].tolist())
        for asked in [own] if parallel else [[language] for language in own]:
            topic = f"t{number:02}" if parallel else f"t{number:02}-{asked[0]}"
            for language in asked:
                queries[language].append(Query(topic, f"{language} question {number}"))
            judgments[topic] = tuple(
                chain.from_iterable(_judge(random, corpora[language], language, several) for language in asked)
            )
    return Collection(
        languages=languages,
        queries={language: tuple(rows) for language, rows in queries.items()},
        documents=corpora,
        judgments=judgments,
        clusters={topic: f"c{int(topic[1:3]) // 2}{topic[3:]}" for topic in judgments},
        cluster_unit="article",
        parallel=parallel,
    )


def _judge(random: np.random.RandomState, corpus: Sequence[Document], language: str, several: bool) -> list[Judgment]:
    count = 1 + (random.randint(0, 3) if several else 0)
    chosen = random.permutation(len(corpus))[:count]
    judged = [Judgment(language, corpus[index].doc_id, 1 + int(several) * random.randint(0, 3)) for index in chosen]
    if several and random.uniform() < 0.2:
        judged.append(Judgment(language, document_id("small", language, "", f"lost {random.randint(99)}"), 1))
    return judged


def random_orders(collection: Collection, seed: int, *, skill: float = 0.0) -> Orders:
    """Return for each (query language, topic) an order of all documents; `skill` pulls the relevant ones forward."""
    random = np.random.RandomState(seed)
    everything = [document.doc_id for language in collection.languages for document in collection.documents[language]]
    orders = {}
    for language in collection.languages:
        for query in collection.queries[language]:
            relevant = {judgment.doc_id for judgment in collection.judgments[query.topic_id]}
            score = {doc_id: random.standard_normal() + skill * (doc_id in relevant) for doc_id in everything}
            orders[language, query.topic_id] = sorted(everything, key=lambda doc_id: -score[doc_id])
    return orders


def orders_by_score(collection: Collection, score: Mapping[tuple[str, str, str], object]) -> Orders:
    """Return the orders that scores of (query language, topic, document) give: score, then id, both descending."""
    everything = [document.doc_id for language in collection.languages for document in collection.documents[language]]
    return {
        (language, topic): sorted(everything, key=lambda doc_id: (score[language, topic, doc_id], doc_id), reverse=True)
        for language in collection.languages
        for topic, _ in collection.queries[language]
    }


def homes(collection: Collection) -> dict[str, str]:
    """Return the language of each document."""
    return {d.doc_id: language for language in collection.languages for d in collection.documents[language]}


def ranks_in_pool(collection: Collection, order: Order, pool: Sequence[str]) -> dict[str, int]:
    """Return the rank of each document of the pool in an order of all documents."""
    home = homes(collection)
    inside = [doc_id for doc_id in order if home[doc_id] in pool]
    return {doc_id: rank for rank, doc_id in enumerate(inside, 1)}


def count_orders(collection: Collection, orders: Orders, depth: int = 20) -> CountTable:
    """Count by hand what an encoder with these orders gives."""
    layout, home = index_collection(collection), homes(collection)
    place = {doc_id: index for index, doc_id in enumerate(layout.document_ids)}
    ahead, top = [], []
    for language in collection.languages:
        for topic, _ in collection.queries[language]:
            order = orders[language, topic]
            top.append([place[doc_id] for doc_id in order[:depth]] + [-1] * (depth - len(order)))
            for judgment in collection.judgments[topic]:
                if judgment.doc_id in home:
                    before = [home[doc_id] for doc_id in order[: order.index(judgment.doc_id)]]
                    ahead.append([before.count(column) for column in collection.languages])
    sizes = [len(collection.documents[language]) for language in collection.languages]
    counted = np.array(ahead, dtype=np.int32).reshape(-1, len(collection.languages))
    return CountTable(
        columns=tuple((language,) for language in collection.languages),
        sizes=tuple(sizes),
        ahead=counted,
        ties=np.zeros_like(counted),
        listed=np.tile(np.array(sizes, dtype=np.int32), (len(top), 1)),
        top=np.array(top, dtype=np.int64).reshape(len(top), depth),
    )


def ranks_of(collection: Collection, orders: Orders) -> Ranks:
    """Return the ranks file's content of an encoder with these orders."""
    return to_ranks(index_collection(collection), count_orders(collection, orders))


@dataclass
class ListRanker:
    """A ranker that returns known orders, cut after `longest` documents."""

    collection: Collection
    orders: Orders
    longest: int | None = None
    asked: list[Setting] = field(default_factory=list)

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self) -> str:
        return "0" * 64

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        self.asked.append(setting)
        pool = {document.doc_id for document in documents}
        lists = [
            [doc_id for doc_id in self.orders[setting.query_language, query.topic_id] if doc_id in pool]
            for query in queries
        ]
        return [found[:depth][: self.longest] for found in lists]


class ScoringRanker(ListRanker, ScoredRanker):
    """A `ListRanker` whose documents have distinct scores."""

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        lists = ListRanker.search(self, setting, queries, documents, depth)
        return [RankedList(found, -np.arange(len(found), dtype=np.float64)) for found in lists]


def list_ranks(collection: Collection, orders: Orders, *, longest: int | None = None, kinds: list[Kind]) -> Ranks:
    """Return the ranks of lists no longer than `longest`, asked for settings of these kinds."""
    arrays, ranker = index_collection(collection), ListRanker(collection, orders, longest)
    return to_ranks(arrays, rank_lists(arrays, ranker, settings_of(collection.languages, kinds), 20, Silence()))


@dataclass
class TableEncoder:
    """An encoder that looks vectors up by text."""

    vectors: Mapping[str, Sequence[float]]
    similarity: Similarity = "cosine"
    name: str = "table"

    @property
    def dim(self) -> int:
        return len(next(iter(self.vectors.values())))

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self, role: Role) -> str:
        return self.name

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32).reshape(-1, self.dim)


def all_texts(collection: Collection) -> list[str]:
    """Return every text of queries and documents once, sorted."""
    rows = chain(*collection.queries.values(), *collection.documents.values())
    return sorted({row.text for row in rows})
