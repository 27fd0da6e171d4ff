"""Scores from ranks against loops over orders."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from statistics import mean

import numpy as np
import pytest
from unit.measures import naive
from unit.statistics.cases import (
    Orders,
    ScoringRanker,
    homes,
    make_collection,
    orders_by_score,
    random_orders,
    ranks_in_pool,
    ranks_of,
    widened_percentiles,
)

from mlbench.collection.languages import TEXT_KINDS, Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.measures.bias import BIAS_SCORES, find_score
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks
from mlbench.results import Aggregate
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import Scores, score

MEASURES = ("AP", "RR", "R@1", "R@5", "P@5", "nDCG@10", "Success@5", "RR@3")
COLLECTIONS: dict[str, Collection] = {
    "parallel": make_collection(seed=0),
    "sparse": make_collection(seed=1, sparse=True),
    "several": make_collection(seed=2, sparse=True, several=True),
    "not parallel": make_collection(seed=3, parallel=False, several=True),
}
ORDERS: dict[str, Orders] = {name: random_orders(each, 9, skill=1.5) for name, each in COLLECTIONS.items()}
RANKS = {name: ranks_of(each, ORDERS[name]) for name, each in COLLECTIONS.items()}


def request_of(collection: Collection, *, resamples: int = 50, seed: int = 3) -> ScoreRequest:
    return ScoreRequest(
        settings=settings_of(collection.languages),
        measures=MEASURES,
        primary_measure="AP",
        bias_scores=tuple(BIAS_SCORES),
        parallel=collection.parallel,
        resamples=resamples,
        seed=seed,
    )


SCORES = {name: score(RANKS[name], request_of(each)) for name, each in COLLECTIONS.items()}


def measure(name: str, places: Sequence[tuple[float, int]]) -> float:
    """Compute one measure from (rank, grade) of all relevant documents; the rank of a missing one is infinite."""
    family, _, cut = name.partition("@")
    k = int(cut) if cut else math.inf
    ranks = sorted(rank for rank, _ in places)
    hits = sum(rank <= k for rank in ranks)
    match family:
        case "AP":
            return sum(place / rank for place, rank in enumerate(ranks, 1)) / len(ranks)
        case "RR":
            return 1 / ranks[0] if ranks[0] <= k else 0.0
        case "R":
            return hits / len(ranks)
        case "P":
            return hits / k
        case "Success":
            return float(hits > 0)
    gain = sum(grade / math.log2(rank + 1) for rank, grade in places if rank <= k)
    ideal = sorted((grade for _, grade in places), reverse=True)
    return gain / sum(grade / math.log2(rank + 1) for rank, grade in enumerate(ideal, 1) if rank <= k)


def places_of(collection: Collection, orders: Orders, setting: Setting) -> dict[str, list[tuple[float, int]]]:
    """Return rank and grade of the relevant documents of each topic that has some in the setting."""
    pool, places = setting.document_languages, {}
    for topic, _ in collection.queries[setting.query_language]:
        rank = ranks_in_pool(collection, orders[setting.query_language, topic], pool)
        judged = [j for j in collection.judgments[topic] if j.language in pool]
        if judged:
            places[topic] = [(rank.get(j.doc_id, math.inf), j.grade) for j in judged]
    return places


def ideal(places: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    grades = sorted((grade for _, grade in places), reverse=True)
    return [(rank, grade) for rank, grade in enumerate(grades, 1)]


@pytest.fixture(params=COLLECTIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_settings_equal_loops(name: str) -> None:
    collection, orders = COLLECTIONS[name], ORDERS[name]
    for found, setting in zip(SCORES[name].settings, settings_of(collection.languages), strict=True):
        assert Setting(found.query_language, found.document_languages) == setting
        assert found.kind == setting.kind
        places = places_of(collection, orders, setting)
        assert found.n_queries == len(places)
        assert found.n_documents == sum(len(collection.documents[tag]) for tag in setting.document_languages)
        assert found.tied_share == found.unretrieved_share == (0 if places else None)
        for measured in MEASURES:
            expected = mean(measure(measured, own) for own in places.values()) if places else None
            assert found.measures[measured] == (expected if expected is None else pytest.approx(expected, abs=1e-12))
        assert set(found.intervals) == {"AP"}


def test_aggregates_equal_loops(name: str) -> None:
    collection, orders = COLLECTIONS[name], ORDERS[name]
    settings = settings_of(collection.languages)
    wanted = [
        (kind, language, aggregation)
        for kind in TEXT_KINDS
        for language in (None, *collection.languages)
        for aggregation in ("macro", "micro")
    ]
    aggregates = {(a.kind, a.query_language, a.aggregation): a for a in SCORES[name].aggregates}
    assert list(aggregates) == wanted
    for kind, language, aggregation in wanted:
        found = aggregates[kind, language, aggregation]
        chosen = [s for s in settings if s.kind == kind and language in (None, s.query_language)]
        places = [list(places_of(collection, orders, setting).values()) for setting in chosen]
        assert found.n_settings == len(chosen)
        assert found.n_queries == sum(map(len, places))
        for measured in MEASURES:
            for stated, change in ((found.measures, list), (found.ceilings, ideal)):
                values = [[measure(measured, change(own)) for own in topics] for topics in places if topics]
                flat = [value for rows in values for value in rows]
                expected = (
                    mean(map(mean, values)) if aggregation == "macro" and values else mean(flat) if flat else None
                )
                assert stated[measured] == (expected if expected is None else pytest.approx(expected, abs=1e-12))


def translations(collection: Collection, orders: Orders) -> list[naive.Topic]:
    """Return the ranks of each topic's documents, one of each language: the best-ranked, or the one with the last id.

    The latter where languages have unequally many; the others are then taken out of the pool.
    """
    topics: dict[str, dict[str, dict[str, float]]] = {}
    home = homes(collection)
    for language in collection.languages:
        for topic, _ in collection.queries[language]:
            rank = ranks_in_pool(collection, orders[language, topic], collection.languages)
            there: dict[str, list[str]] = {}
            for judged in collection.judgments[topic]:
                if judged.doc_id in home:
                    there.setdefault(judged.language, []).append(judged.doc_id)
            if len({len(own) for own in there.values()}) > 1:
                others = {each for own in there.values() for each in own if each != max(own)}
                best = {
                    tag: float(rank[max(own)] - sum(rank[each] < rank[max(own)] for each in others))
                    for tag, own in there.items()
                }
            else:
                best = {tag: float(min(rank[each] for each in own)) for tag, own in there.items()}
            topics.setdefault(topic, {})[language] = best
    return list(topics.values())


def close(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else one == pytest.approx(other, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", ["parallel", "sparse", "several"])
def test_bias_scores_equal_loops(name: str) -> None:
    collection, orders, bias = COLLECTIONS[name], ORDERS[name], SCORES[name].bias
    assert bias
    topics = translations(collection, orders)
    size = sum(map(len, collection.documents.values()))
    for key, expected in naive.all_scores(topics, size).items():
        found = bias.score(key)
        assert found
        assert close(found.value, expected), key
    for (key, reference), expected in naive.all_references(topics, size).items():
        found = bias.score(key)
        assert found
        assert close(found.references[reference], expected), (key, reference)
    assert bias.n_documents == size
    assert bias.n_topics == sum(len(naive.documents_of(topic)) >= 2 for topic in topics)
    assert bias.n_topics == 10 or name != "parallel"
    assert bias.warning is None
    rows = {row.language: row.value for row in bias.score("rank_distance").rows}
    kept = [topic for topic in topics if len(naive.documents_of(topic)) >= 2]
    assert rows == {tag: pytest.approx(mean(values)) for tag, values in naive.rank_distance(kept).items()}


@pytest.mark.parametrize("name", ["parallel", "sparse", "several"])
def test_scores_of_lists_and_aggregates_equal_loops(name: str) -> None:
    collection, orders, scores = COLLECTIONS[name], ORDERS[name], SCORES[name]
    home = homes(collection)
    for cutoff in (10, 20):
        shares = {
            (s.query_language, s.document_language): s.share for s in scores.bias.language_shares if s.cutoff == cutoff
        }
        for a in collection.languages:
            top = [home[d] for topic, _ in collection.queries[a] for d in orders[a, topic][:cutoff]]
            for c in collection.languages:
                held = len(collection.documents[c]) / len(home)
                assert shares[a, c] == pytest.approx(top.count(c) / len(top) / held)
        own = scores.bias.score(f"language_share@{cutoff}")
        assert own.value == pytest.approx(mean(shares[a, a] for a in collection.languages))
    by_language = [
        mean(measure("AP", own) for own in places_of(collection, orders, Setting(a, collection.languages)).values())
        for a in collection.languages
    ]
    worst = scores.bias.score("worst_language")
    assert worst.value == pytest.approx(min(by_language))
    assert worst.references["ratio_to_best"] == pytest.approx(min(by_language) / max(by_language))
    whole = {
        kind: mean(
            mean(measure("AP", own) for own in places.values())
            for setting in settings_of(collection.languages, [kind])
            if (places := places_of(collection, orders, setting))
        )
        for kind in ("monolingual", "cross_lingual")
    }
    assert scores.bias.score("transfer_gap").value == pytest.approx(whole["monolingual"] - whole["cross_lingual"])


def draws(strata: Sequence[int], resamples: int, seed: int, empty) -> list[list[int]]:
    """Draw clusters among their like, again where something would be empty: the stream of the frozen generator."""
    random = np.random.RandomState(seed)
    members = [[i for i, other in enumerate(strata) if other == s] for s in sorted(set(strata))]
    found: list[list[int]] = []
    while len(found) < resamples:
        drawn = [own[i] for own in members for i in random.randint(len(own), size=len(own), dtype=np.int64)]
        if not empty(drawn):
            found.append(drawn)
    return found


def clusters_of(collection: Collection) -> tuple[list[list[str]], list[int]]:
    """Return the topics of each cluster in order, and the stratum of each."""
    by_name = groupby(sorted(collection.clusters, key=lambda t: (collection.clusters[t], t)), collection.clusters.get)
    clusters = [list(topics) for _, topics in by_name]
    asked = {q.topic_id: place for place, tag in enumerate(collection.languages) for q in collection.queries[tag]}
    return clusters, [0 if collection.parallel else asked[topics[0]] for topics in clusters]


def naive_intervals(collection: Collection, orders: Orders, kind: str) -> tuple[list[float], list[float]]:
    """Return macro and micro means of AP, one for each resample, built topic by topic."""
    clusters, strata = clusters_of(collection)
    settings = settings_of(collection.languages)
    values = {
        setting: {topic: measure("AP", own) for topic, own in places_of(collection, orders, setting).items()}
        for setting in settings
    }
    present = [setting for setting in settings if values[setting]]

    def drawn_values(drawn: Sequence[int], setting: Setting) -> list[float]:
        return [values[setting][topic] for c in drawn for topic in clusters[c] if topic in values[setting]]

    def empty(drawn: Sequence[int]) -> bool:
        return any(not drawn_values(drawn, setting) for setting in present)

    macro = [
        mean(mean(drawn_values(drawn, s)) for s in present if s.kind == kind) for drawn in draws(strata, 50, 3, empty)
    ]
    groups = [
        [s for s in present if s.kind == of_kind and language in (None, s.query_language)]
        for of_kind in TEXT_KINDS
        for language in (None, *collection.languages)
    ]

    def group_empty(drawn: Sequence[int]) -> bool:
        return any(own and not any(drawn_values(drawn, s) for s in own) for own in groups)

    micro = [
        mean(value for s in present if s.kind == kind for value in drawn_values(drawn, s))
        for drawn in draws(strata, 50, 3, group_empty)
    ]
    return macro, micro


def find(scores: Scores, kind: str, aggregation: str) -> Aggregate:
    return next(a for a in scores.aggregates if (a.kind, a.aggregation, a.query_language) == (kind, aggregation, None))


def counted_clusters(collection: Collection, kind: str) -> tuple[int, int]:
    """Return how many clusters have a topic in a setting of a kind, and of how many strata they are."""
    asked = {(q.topic_id, tag) for tag in collection.languages for q in collection.queries[tag]}
    judged = {(topic, j.language) for topic, own in collection.judgments.items() for j in own}

    def takes_part(topic: str) -> bool:
        return any(
            (topic, setting.query_language) in asked
            and any((topic, tag) in judged for tag in setting.document_languages)
            for setting in settings_of(collection.languages, [kind])
        )

    clusters, strata = clusters_of(collection)
    present = [stratum for topics, stratum in zip(clusters, strata, strict=True) if any(map(takes_part, topics))]
    return len(present), len(set(present))


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_intervals_equal_a_bootstrap_built_topic_by_topic(name: str, kind: str) -> None:
    if name == "not parallel" and kind == "cross_lingual":
        assert find(SCORES[name], kind, "macro").intervals["AP"] is None
        return
    replicates = naive_intervals(COLLECTIONS[name], ORDERS[name], kind)
    for aggregation, own in zip(("macro", "micro"), replicates, strict=True):
        found = find(SCORES[name], kind, aggregation)
        interval, value = found.intervals["AP"], found.measures["AP"]
        assert interval
        low, high = widened_percentiles(own, value, *counted_clusters(COLLECTIONS[name], kind))
        assert (interval.low, interval.high) == pytest.approx((max(low, 0), min(high, 1)), abs=1e-12)
        assert interval.low < value < interval.high


def test_the_interval_of_a_bias_score_equals_a_bootstrap_built_topic_by_topic() -> None:
    collection = COLLECTIONS["parallel"]
    topics = dict(zip(sorted(collection.judgments), translations(collection, ORDERS["parallel"]), strict=True))
    clusters, strata = clusters_of(collection)
    drawn = draws(strata, 50, 3, lambda drawn: False)
    samples = [[topics[topic] for c in own for topic in clusters[c]] for own in drawn]
    for key, value in {
        "rank_distance": lambda rows: naive.mean_of_means(naive.rank_distance(rows)),
        "own_language_preference": naive.own_language_preference,
        "language_prior": lambda rows: naive.spread_of_means(naive.language_prior(rows)),
    }.items():
        found = SCORES["parallel"].bias.score(key)
        low, high = widened_percentiles([value(rows) for rows in samples], found.value, len(strata))
        limits = find_score(key).limits
        expected = np.clip([low, high], *limits).tolist()
        assert [found.interval.low, found.interval.high] == pytest.approx(expected, abs=1e-12), key
    assert SCORES["parallel"].bias.score("rank_distance_median").interval is None


def test_the_same_ranks_give_the_same_numbers_to_the_bit(name: str) -> None:
    assert score(RANKS[name], request_of(COLLECTIONS[name])) == SCORES[name]
    other = score(RANKS[name], request_of(COLLECTIONS[name], seed=4))
    assert other.settings != SCORES[name].settings
    assert [s.measures for s in other.settings] == [s.measures for s in SCORES[name].settings]


def test_the_statistics_say_what_was_drawn(name: str) -> None:
    statistics = SCORES[name].statistics
    assert statistics.clustered_by == "article"
    assert statistics.n_clusters == len(set(COLLECTIONS[name].clusters.values()))
    assert (statistics.resamples, statistics.seed, statistics.confidence) == (50, 3, 0.95)
    few = f"only {statistics.n_clusters} clusters of topics: intervals and tests are approximate"
    # Where each language has its own topics, its settings have few of the many clusters.
    many = "8 settings have topics of fewer than 20 clusters: intervals and tests are approximate there"
    assert statistics.warning == (few if statistics.n_clusters < 20 else many)


def test_twenty_clusters_are_no_longer_few() -> None:
    collection = make_collection(seed=0, topics=40)
    ranks = ranks_of(collection, random_orders(collection, 0))
    assert score(ranks, request_of(collection)).statistics.warning is None


def test_topics_that_are_not_parallel_have_the_scores_that_need_no_translations() -> None:
    bias = SCORES["not parallel"].bias
    assert bias
    values = {each.name: each.value for each in bias.scores}
    assert set(values) == {name for name, each in BIAS_SCORES.items() if each.needs in ("native", "settings", "pool")}
    # Each topic has relevant documents in one language.
    assert {name for name, value in values.items() if value is not None} == {
        "language_share@10",
        "language_share@20",
        "worst_language",
    }
    assert all(s.measures["AP"] is None for s in SCORES["not parallel"].settings if s.kind == "cross_lingual")


def test_strata_keep_languages_apart() -> None:
    """A resample has as many clusters of each language as there are, so no monolingual setting is ever emptied."""
    assert SCORES["not parallel"].statistics.redraws == 0
    collection = COLLECTIONS["not parallel"]
    pooled = score(RANKS["not parallel"], replace(request_of(collection), parallel=True, bias_scores=()))
    assert pooled.statistics.redraws > 0 or pooled.aggregates != SCORES["not parallel"].aggregates


@pytest.mark.parametrize("languages", [("de", "th"), ("en",)])
def test_part_of_the_languages_is_scored_as_a_collection_of_its_own(languages: tuple[str, ...]) -> None:
    part, orders = COLLECTIONS["several"].restrict(languages), ORDERS["several"]
    home = homes(part)
    kept = {key: [d for d in order if d in home] for key, order in orders.items() if key[0] in languages}
    scores = score(ranks_of(part, kept), request_of(part))
    for found in scores.settings:
        setting = Setting(found.query_language, found.document_languages)
        same = [s for s in SCORES["several"].settings if Setting(s.query_language, s.document_languages) == setting]
        if setting.kind != "multilingual":
            assert found.measures == same[0].measures
        else:
            values = places_of(COLLECTIONS["several"], orders, setting).values()
            assert found.measures["AP"] == pytest.approx(mean(measure("AP", own) for own in values))
    assert (scores.bias is None) == (len(languages) == 1)


def test_a_setting_without_queries_is_null_and_left_out_of_means() -> None:
    collection = make_collection(seed=0, topics=4, languages=("de", "en", "th"))
    nobody = replace(collection, queries={**collection.queries, "th": ()})
    orders = {key: order for key, order in random_orders(collection, 0).items() if key[0] != "th"}
    scores = score(ranks_of(nobody, orders), request_of(nobody))
    silent = [s for s in scores.settings if s.query_language == "th"]
    assert all(set(s.measures.values()) == {None} and s.n_queries == 0 and s.tied_share is None for s in silent)
    assert all(s.intervals == {"AP": None} for s in silent)
    whole = find(scores, "monolingual", "macro")
    values = [s.measures["AP"] for s in scores.settings if s.kind == "monolingual" and s.query_language != "th"]
    assert whole.measures["AP"] == pytest.approx(mean(values))
    assert whole.n_settings == 3
    assert whole.intervals["AP"] is not None
    rows = {row.language: row.value for row in scores.bias.score("rank_distance").rows}
    assert rows["th"] is None
    assert rows["de"] is not None


def test_no_settings_give_no_aggregates() -> None:
    collection = COLLECTIONS["parallel"]
    scores = score(RANKS["parallel"], replace(request_of(collection), settings=()))
    assert scores.settings == scores.aggregates == ()


def test_an_empty_collection_is_all_null() -> None:
    collection = make_collection(seed=0, topics=0)
    scores = score(ranks_of(collection, {}), request_of(collection))
    assert {value for s in scores.settings for value in s.measures.values()} == {None}
    assert {value for a in scores.aggregates for value in (*a.measures.values(), *a.intervals.values())} == {None}
    assert scores.bias.n_topics == 0
    assert {each.value for each in scores.bias.scores} == {None}


def by_lists(collection: Collection, orders: Orders, longest: int | None) -> Ranks:
    layout = index_collection(collection)
    ranker = ScoringRanker(collection, orders, longest)
    return to_ranks(layout, rank_lists(layout, ranker, settings_of(collection.languages), 20, Silence()))


def test_a_ranker_with_whole_lists_scores_as_an_encoder_does(name: str) -> None:
    found = score(by_lists(COLLECTIONS[name], ORDERS[name], None), request_of(COLLECTIONS[name]))
    assert found == SCORES[name]


def test_short_lists_count_the_rest_as_not_retrieved_and_at_its_expected_rank() -> None:
    collection, orders, longest = COLLECTIONS["parallel"], ORDERS["parallel"], 9
    scores = score(by_lists(collection, orders, longest), request_of(collection))
    size = sum(map(len, collection.documents.values()))
    missing = []
    for setting in scores.settings:
        places = places_of(collection, orders, Setting(setting.query_language, setting.document_languages))
        cut = [[(r if r <= longest else math.inf, g) for r, g in own] for own in places.values()]
        assert setting.measures["AP"] == pytest.approx(mean(measure("AP", own) for own in cut))
        share = mean(r == math.inf for own in cut for r, _ in own)
        assert setting.unretrieved_share == pytest.approx(share)
        missing.append(share)
    assert 0 < mean(missing) < 1
    topics = translations(collection, orders)
    expected = [{a: naive.spread(ranks, longest, size) for a, ranks in topic.items()} for topic in topics]
    cells = [
        isinstance(rank, naive.Unlisted) for topic in expected for ranks in topic.values() for rank in ranks.values()
    ]
    assert scores.bias.score("rank_distance").unretrieved_share == pytest.approx(mean(cells))
    for key, value in naive.all_scores(expected, size).items():
        assert close(scores.bias.score(key).value, value), key


def test_ties_are_warned_about() -> None:
    collection = COLLECTIONS["parallel"]
    keys = [(a, q.topic_id, d) for a in collection.languages for q in collection.queries[a] for d in homes(collection)]
    ranks = ranks_of(collection, orders_by_score(collection, dict.fromkeys(keys, 1)))
    one = np.zeros_like(ranks.ties)
    one[: len(one) // 50, 0] = 1
    for ties, warned in ((np.ones_like(one), True), (one, True), (one * 0, False)):
        scores = score(replace(ranks, ties=ties), request_of(collection))
        assert (scores.bias.warning is not None) == warned
    assert {s.tied_share for s in score(replace(ranks, ties=one * 0 + 1), request_of(collection)).settings} == {1.0}
