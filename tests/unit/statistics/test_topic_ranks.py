"""One topic against orders sorted by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.ranking.compact_cases import compact_of
from unit.reports.conftest import make_result
from unit.seeing import measured, write_task
from unit.statistics.cases import Orders, list_ranks, make_collection, random_orders, ranks_in_pool, ranks_of

from mlbench.collection.records import Collection
from mlbench.errors import UserError
from mlbench.evaluation.verify import read_pair
from mlbench.statistics.topic import find_topic, look_at

RESULT = make_result()


def average_precision(collection: Collection, orders: Orders, language: str, topic: str) -> float:
    """AP in the pool, by its definition."""
    order = orders[language, topic]
    relevant = {judgment.doc_id for judgment in collection.judgments[topic]}
    precisions = [
        len(relevant.intersection(order[: place + 1])) / (place + 1)
        for place, doc_id in enumerate(order)
        if doc_id in relevant
    ]
    return sum(precisions) / len(relevant)


@pytest.mark.slow
@given(seed=st.integers(0, 99), sparse=st.booleans(), several=st.booleans(), parallel=st.booleans())
def test_ranks_and_lists_are_those_of_the_orders(seed: int, sparse: bool, several: bool, parallel: bool) -> None:
    collection = make_collection(seed, sparse=sparse, several=several, parallel=parallel, topics=4)
    orders = random_orders(collection, seed, skill=1.0)
    ranks = ranks_of(collection, orders)
    compact = compact_of(ranks, [collection.languages])
    assert find_topic(compact, "worst") == find_topic(ranks, "worst")
    for topic_id in collection.judgments:
        topic = look_at(RESULT, ranks, topic_id, collection)
        assert look_at(RESULT, compact, topic_id, collection) == topic
        asked = [a for a in collection.languages if any(q.topic_id == topic_id for q in collection.queries[a])]
        assert [query.language for query in topic.queries] == asked
        assert topic.pool == collection.languages
        judged = {(j.language, j.doc_id, j.grade) for j in collection.judgments[topic_id]}
        assert {(d.language, d.doc_id, d.grade) for d in topic.relevant} == judged
        for query in topic.queries:
            order = orders[query.language, topic_id]
            assert query.text in {q.text for q in collection.queries[query.language] if q.topic_id == topic_id}
            assert query.average_precision == pytest.approx(
                average_precision(collection, orders, query.language, topic_id)
            )
            assert [listed.doc_id for listed in query.top] == order[:20]
            assert [listed.rank for listed in query.top] == list(range(1, 21))
            assert {d.doc_id for d in query.top if d.relevant} == {d for _, d, _ in judged}.intersection(order[:20])
        for document in topic.relevant:
            texts = {d.doc_id: d.text for d in collection.documents[document.language]}
            assert document.text == texts.get(document.doc_id)
            assert document.missing == (document.doc_id not in texts)
            assert [standing.query_language for standing in document.ranks] == asked
            for standing in document.ranks:
                order = orders[standing.query_language, topic_id]
                whole, own = (
                    ranks_in_pool(collection, order, pool) for pool in (collection.languages, [document.language])
                )
                assert standing.in_pool == whole.get(document.doc_id)
                assert standing.in_language == own.get(document.doc_id)


def test_the_worst_topic_has_the_lowest_mean_of_ap() -> None:
    for seed in range(5):
        collection = make_collection(seed, sparse=True)
        orders = random_orders(collection, seed, skill=2.0)
        means = {
            topic: [
                average_precision(collection, orders, language, topic)
                for language in collection.languages
                if any(query.topic_id == topic for query in collection.queries[language])
            ]
            for topic in collection.judgments
        }
        worst = min(means, key=lambda topic: sum(means[topic]) / len(means[topic]))
        ranks = ranks_of(collection, orders)
        assert find_topic(ranks, "worst") == worst
        assert look_at(RESULT, ranks, worst).average_precision == pytest.approx(sum(means[worst]) / len(means[worst]))


def test_a_wrong_id_is_told_the_nearest_ones() -> None:
    collection = make_collection(0)
    ranks = ranks_of(collection, random_orders(collection, 0))
    assert find_topic(ranks, "t03") == "t03"
    with pytest.raises(UserError, match=r"no topic 't99': did you mean t09[?]"):
        find_topic(ranks, "t99")
    with pytest.raises(UserError, match=r"no topic 'something else': its ids are like t00 "):
        find_topic(ranks, "something else")


def test_lists_that_end_early() -> None:
    collection = make_collection(1)
    orders = random_orders(collection, 1)
    ranks = list_ranks(collection, orders, longest=5, kinds=["monolingual", "multilingual"])
    topic = look_at(RESULT, ranks, "t00")
    for document in topic.relevant:
        for standing in document.ranks:
            order = orders[standing.query_language, "t00"]
            place = order.index(document.doc_id) + 1
            assert standing.in_pool == (place if place <= 5 else None)
            own = ranks_in_pool(collection, order, [document.language])[document.doc_id]
            asked = document.language == standing.query_language and own <= 5
            assert standing.in_language == (own if asked else None)
    assert {len(query.top) for query in topic.queries} == {5}


def test_without_the_pool_the_settings_that_were_asked_count() -> None:
    collection = make_collection(2)
    ranks = list_ranks(collection, random_orders(collection, 2, skill=1.0), kinds=["monolingual"])
    topic = look_at(RESULT, ranks, find_topic(ranks, "worst"))
    assert topic.pool == ()
    standings = {(d.language, s.query_language): s for d in topic.relevant for s in d.ranks}
    for query in topic.queries:
        rank = standings[query.language, query.language].in_language
        assert rank is not None
        assert query.average_precision == pytest.approx(1 / rank)
        assert query.top == ()
    assert {s.in_pool for s in standings.values()} == {None}


def test_queries_without_a_relevant_document_are_left_out_of_the_mean() -> None:
    whole = make_collection(2)
    without = tuple(row for row in whole.judgments["t00"] if row.language != whole.languages[0])
    collection = replace(whole, judgments={**whole.judgments, "t00": without})
    topic = look_at(RESULT, list_ranks(collection, random_orders(collection, 2), kinds=["monolingual"]), "t00")
    bare, *known = [query.average_precision for query in topic.queries]
    assert bare is None
    assert topic.average_precision == pytest.approx(sum(known) / len(known))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of twelve images with a caption in German and Thai, and two in English."""
    folder = write_task(tmp_path_factory.mktemp("tasks") / "pictures", 12, {"de": 1, "en": 2, "th": 1})
    return measured(folder, out=folder / "results")


class TestImages:
    def test_an_image_finds_captions(self, path: Path) -> None:
        result, ranks = read_pair(path)
        topic = look_at(result, ranks, "03.png")
        assert topic.pool == ("de", "en", "th")
        assert topic.n_documents == 48
        assert [query.language for query in topic.queries] == ["image"]
        assert {document.language for document in topic.relevant} == {"de", "en", "th"}
        ranks_there = sorted(document.ranks[0].in_pool or 0 for document in topic.relevant)
        found = [listed.rank for listed in topic.queries[0].top if listed.relevant]
        assert found == [rank for rank in ranks_there if rank <= len(topic.queries[0].top)]

    def test_a_caption_finds_images(self, path: Path) -> None:
        topic = look_at(*read_pair(path), "03.png#1")
        assert topic.pool == ("image",)
        assert topic.n_documents == 12
        assert [query.language for query in topic.queries] == ["de", "en", "th"]
        assert {listed.language for query in topic.queries for listed in query.top} == {"image"}

    def test_the_worst_is_that_of_the_lowest_mean(self, path: Path) -> None:
        result, ranks = read_pair(path)
        means = {topic: look_at(result, ranks, topic).average_precision for topic in ranks.topic_ids.tolist()}
        assert means[find_topic(ranks, "worst")] == min(mean for mean in means.values() if mean is not None)
