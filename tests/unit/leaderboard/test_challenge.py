"""Audits: honest entries pass with the noise of other machines, and ten forgeries fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from itertools import combinations
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from unit.statistics.cases import ListRanker, ScoringRanker, make_collection, random_orders

from mlbench.collection.languages import settings_of
from mlbench.collection.records import Collection
from mlbench.leaderboard.challenge import TEXTS, TOPICS, Draw, audit_lists
from mlbench.leaderboard.check_order import divergence
from mlbench.open_model import open_retriever
from mlbench.protocols import SILENCE, Encoder, Role, Runtime, Vectors
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

audits = import_module("tests.bench.forgeries")
Kept, Evidence, evidence, audited = audits.Kept, audits.Evidence, audits.evidence, audits.audited


@pytest.fixture(scope="module")
def mini() -> Collection:
    return load_collection(load_task("mini"))


def opened(mini: Collection, spec: str, **settings: str) -> Any:
    return Kept.of(open_retriever(spec, settings, Runtime(threads=1)), mini)


@pytest.fixture(scope="module")
def honest(mini: Collection) -> Any:
    return opened(mini, "static")


@pytest.fixture(scope="module")
def other(mini: Collection, honest: Any) -> Any:
    return opened(mini, "hashing", dim=str(honest.dim))


def test_an_honest_entry_passes_whatever_is_drawn(mini: Collection, honest: Any) -> None:
    said = evidence(mini, honest)
    for seed in ("00", "5eed", "c0ffee"):
        found = audited(mini, honest, said, seed)
        assert found.faults == ()
        assert (found.n_texts, found.n_drawn, found.n_topics) == (792, 200, 20)
        assert found.mean_error < found.largest_error < 2**-12


@pytest.mark.parametrize("change", [np.float16, lambda vectors: rounded(vectors, 16)], ids=["fp16", "bf16"])
def test_the_noise_of_another_precision_passes(mini: Collection, honest: Any, change: Callable[[Any], Any]) -> None:
    found = audited(mini, honest, evidence(mini, honest.changed(honest.vectors, change)))
    assert found.faults == ()
    assert found.mean_error > 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_noise_in_any_direction_passes_within_the_tolerance(mini: Collection, honest: Any, seed: int) -> None:
    def noisy(vectors: Vectors) -> Vectors:
        noise = np.random.default_rng(seed).standard_normal(vectors.shape)
        return vectors + 0.015 * noise * np.linalg.norm(vectors, axis=1, keepdims=True) / vectors.shape[1] ** 0.5

    found = audited(mini, honest, evidence(mini, honest.changed(honest.vectors, noisy)), f"{seed:08x}")
    assert found.mean_error > 0.014
    assert found.faults == ()


def rounded(vectors: Vectors, bits: int) -> Vectors:
    """Return float32 numbers cut off after so many of their bits."""
    return (vectors.view(np.uint32) >> (32 - bits) << (32 - bits)).view(np.float32)


@dataclass
class Altered:
    """The honest encoder, given other texts."""

    encoder: Encoder
    alter: Callable[[str, Role], str]

    def __getattr__(self, name: str) -> object:
        return getattr(self.encoder, name)

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return self.encoder.encode([self.alter(text, role) for text in texts], role)


PROMPTS = {"query": "query: ", "document": "passage: "}
ALTERED = {
    "other prompts": lambda text, role: PROMPTS[role] + text,
    "40 characters at most": lambda text, role: text[:40],
    "another pooling": lambda text, role: f"{text[: len(text) // 3]} {text}",
}


@pytest.mark.parametrize("name", ALTERED)
def test_other_settings_than_those_stated_are_found(mini: Collection, honest: Any, name: str) -> None:
    forged = Kept.of(Altered(open_retriever("static", {}, Runtime(threads=1)), ALTERED[name]), mini)
    assert "drawn vectors are off" in " ".join(audited(mini, honest, evidence(mini, forged)).faults)


def four_bits(vectors: Vectors) -> Vectors:
    scale = np.abs(vectors).max(axis=1, keepdims=True) / 7
    return np.rint(vectors / scale) * scale


def moved(vectors: Vectors) -> Vectors:
    noise = np.random.default_rng(0).standard_normal(vectors.shape)
    return vectors + 0.05 * noise * np.linalg.norm(vectors, axis=1, keepdims=True) / vectors.shape[1] ** 0.5


@pytest.mark.parametrize("change", [four_bits, moved], ids=["4 bits for 32", "another checkpoint of the family"])
def test_a_model_that_is_nearly_the_same_is_found(mini: Collection, honest: Any, change: Any) -> None:
    found = audited(mini, honest, evidence(mini, honest.changed(honest.vectors, change)))
    assert "drawn vectors are off" in " ".join(found.faults)


@pytest.mark.parametrize("name", audits.FORGERIES)
def test_forged_evidence_is_found(mini: Collection, honest: Any, other: Any, name: str) -> None:
    assert audited(mini, honest, audits.FORGERIES[name](mini, honest, other)).faults


@pytest.mark.parametrize("name", ["slightly better ranks, vectors with noise", "slightly better ranks, no vectors"])
def test_ranks_that_noise_alone_does_not_explain_are_found(mini: Collection, honest: Any, name: str) -> None:
    # Cosines of many models are all near 1, so that the order of most documents is within the noise.
    def narrowed(vectors: Vectors) -> Vectors:
        common = np.random.default_rng(1).standard_normal(honest.dim)
        return vectors + 2 * np.linalg.norm(vectors, axis=1, keepdims=True) * common / np.linalg.norm(common)

    narrow = honest.changed(honest.vectors, narrowed)
    assert audited(mini, narrow, evidence(mini, narrow)).faults == ()
    assert audited(mini, narrow, audits.FORGERIES[name](mini, narrow, narrow)).faults


def test_swapped_queries_of_a_topic_are_found_where_that_is_drawn(mini: Collection, honest: Any) -> None:
    one, two = (query.text for query in mini.queries["en"][:2])
    forged = Kept(dict(honest.vectors), honest.dim)
    forged.vectors["query", one], forged.vectors["query", two] = (honest.vectors["query", each] for each in (two, one))
    said = Evidence(evidence(mini, forged).ranks, None)
    (fault,) = audited(mini, honest, said).faults
    assert fault.startswith("of 2 of 254 queries")
    assert fault.endswith("2 of them are in en")


def test_a_commitment_to_other_texts_is_found(mini: Collection, honest: Any) -> None:
    part = mini.restrict(mini.languages[1:])
    said = Evidence(evidence(mini, honest).ranks, evidence(part, honest).commitment)
    assert audited(mini, honest, said).faults == ("its vectors file commits to other texts than those of the task",)


class Random:
    """An encoder of random vectors, with many near ties."""

    def __init__(self, similarity: str, dim: int = 4) -> None:
        self.similarity, self.dim, self.parameters = similarity, dim, {}

    def fingerprint(self, role: Role) -> str:
        return role

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        drawn = (np.random.RandomState(crc32(f"{role} {text}".encode())) for text in texts)
        return np.array([each.randint(-3, 4, self.dim) + 0.5 for each in drawn], np.float32)


SHAPES = {
    "parallel": {},
    "sparse": {"sparse": True},
    "several": {"several": True, "documents": 40},
    "native": {"parallel": False, "sparse": True},
}


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("pools", [None, "asked"])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_honest_ranks_are_refused(shape: str, own: bool, pools: str | None, similarity: str) -> None:
    collection = make_collection(seed=3, topics=30, **{"documents": 40, **SHAPES[shape]})
    if own and shape == "parallel":
        collection = replace(collection, queries_are_documents=True)
    asked = None if pools is None else [collection.languages]
    said = evidence(collection, Random(similarity), asked)
    assert said.ranks.is_compact == (pools is not None)
    assert audited(collection, Random(similarity), said).faults == ()


@pytest.mark.parametrize("pools", [None, "asked"])
def test_a_count_that_is_off_by_many_is_found(pools: str | None) -> None:
    collection = make_collection(seed=3, topics=30, documents=40)
    said = evidence(collection, Random("cosine"), None if pools is None else [collection.languages])
    for change in (-20, 20):
        ahead = said.ranks.ahead.copy()
        ahead[:, 0] = np.clip(ahead[:, 0] + change, 0, 39)
        forged = Evidence(replace(said.ranks, ahead=ahead), None)
        assert audited(collection, Random("cosine"), forged).faults


def test_a_draw_is_the_same_for_a_seed_and_fair() -> None:
    assert Draw("5eed", "mini")("texts", 10, 4).tolist() == Draw("5eed", "mini")("texts", 10, 4).tolist()
    assert Draw("5eed", "mini")("texts", 3, 4).tolist() == [0, 1, 2]
    drawn = np.zeros(10)
    for seed in range(2000):
        drawn[Draw(f"{seed:x}", "mini")("texts", 10, 4)] += 1
    assert (np.abs(drawn / 2000 - 0.4) < 0.05).all()
    others = [
        Draw("5eed", "mlqa-r")("texts", 10, 4),
        Draw("5eee", "mini")("texts", 10, 4),
        Draw("5eed", "mini")("q", 10, 4),
    ]
    assert all(one.tolist() != two.tolist() for one, two in combinations(others, 2))


def test_few_wrong_vectors_are_found_as_often_as_calculated() -> None:
    for share in (0.005, 0.025):
        assert abs(audits.simulate(share, n_texts=2000, rounds=150) - (1 - (1 - share) ** TEXTS)) < 0.08


def test_divergence() -> None:
    found = divergence(np.array([0.0, 0.5, 0.5, 1.0, 0.5]), np.array([0.0, 0.5, 0.25, 0.5, 0.0]))
    assert found.round(4).tolist() == [0.0, 0.0, 0.1438, 0.6931, np.inf]


RANKERS = {"scored": ScoringRanker, "unscored": ListRanker, "short lists": partial(ScoringRanker, longest=9)}


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", RANKERS)
def test_lists_are_compared_whole(name: str, shape: str, compact: bool) -> None:
    collection = make_collection(seed=3, topics=30, **{"documents": 40, **SHAPES[shape]})
    settings = settings_of(collection.languages, ["monolingual", "cross_lingual", "multilingual"])
    ranker = RANKERS[name](collection, random_orders(collection, 1))
    arrays = index_collection(collection)
    ranks = to_ranks(arrays, rank_lists(arrays, ranker, settings, 20, SILENCE, compact=compact))
    found = audit_lists(ranker, collection, settings, ranks, Draw("5eed", "small"))
    assert (found.faults, found.n_topics, found.mean_error) == ((), 20, None)
    forged = RANKERS[name](collection, random_orders(collection, 2, skill=1.0))
    (fault,) = audit_lists(forged, collection, settings, ranks, Draw("5eed", "small")).faults
    assert "lists are not those of the model" in fault


def test_one_count_of_a_drawn_query_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.leaderboard.challenge.QUERIES", 10)
    collection = make_collection(seed=3, topics=30, documents=40)
    settings = settings_of(collection.languages, ["monolingual", "cross_lingual", "multilingual"])
    ranker, arrays = ScoringRanker(collection, random_orders(collection, 1)), index_collection(collection)
    ranks = to_ranks(arrays, rank_lists(arrays, ranker, settings, 20, SILENCE))
    draw = Draw("5eed", "small")
    drawn = np.isin(ranks.query_topics, draw("topics", 30, TOPICS))
    drawn[draw("queries", len(drawn), 10)] = True
    for row in range(0, len(ranks.row_queries), 37):
        ahead = ranks.ahead.copy()
        ahead[row, -1] += 1
        found = audit_lists(ranker, collection, settings, replace(ranks, ahead=ahead), draw)
        assert bool(found.faults) == drawn[ranks.row_queries[row]]
        assert (found.n_topics, found.n_queries) == (20, drawn.sum())


class Encoding(ScoringRanker):
    """A ranker that encodes tokens, so that its lists may differ by noise."""

    tokens = 1000


def test_lists_of_a_ranker_that_encodes_may_differ_by_noise() -> None:
    collection = make_collection(seed=3, topics=30, documents=40)
    settings = settings_of(collection.languages, ["monolingual", "cross_lingual", "multilingual"])
    orders, arrays = random_orders(collection, 1, skill=1.0), index_collection(collection)
    ranks = to_ranks(arrays, rank_lists(arrays, ScoringRanker(collection, orders), settings, 20, SILENCE))
    noisy = {query: [*order[:60], *order[61:80], order[60], *order[80:]] for query, order in orders.items()}
    better = {
        query: order if query[0] != "th" else random_orders(collection, 1, skill=3.0)[query]
        for query, order in orders.items()
    }
    for found, encodes, passes in ((noisy, False, False), (noisy, True, True), (better, True, False)):
        ranker = (Encoding if encodes else ScoringRanker)(collection, found)
        assert passes == (not audit_lists(ranker, collection, settings, ranks, Draw("5eed", "small")).faults)


def test_lists_that_are_better_in_one_column_alone_are_found() -> None:
    collection = make_collection(seed=3, topics=30, documents=40)
    settings = settings_of(collection.languages, ["monolingual", "cross_lingual", "multilingual"])
    ranker, arrays = Encoding(collection, random_orders(collection, 1)), index_collection(collection)
    ranks = to_ranks(arrays, rank_lists(arrays, ranker, settings, 20, SILENCE))
    ahead, place = ranks.ahead.copy(), ranks.ahead.shape[1] - 1
    first = np.flatnonzero(ahead[:, place] > 0)[::30]
    ahead[first, place] = 0
    (fault,) = audit_lists(ranker, collection, settings, replace(ranks, ahead=ahead), Draw("5eed", "small")).faults
    assert "in the column" in fault
