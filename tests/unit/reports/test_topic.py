"""One topic against orders sorted by hand, and what its text may do to a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from unit.reports.conftest import make_result
from unit.statistics.cases import ListRanker, Orders, make_collection, random_orders, ranks_in_pool, ranks_of

from mlbench.collection.languages import Kind, settings_of
from mlbench.collection.records import Collection, Document, Query
from mlbench.errors import UserError
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks
from mlbench.reports.topic.console import TopicScreen, isolated, printable, shortened, shortened_id
from mlbench.reports.topic.content import find_topic, look_at

RESULT = make_result()
ISOLATE, END = "\u2068", "\u2069"


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


def list_ranks(collection: Collection, orders: Orders, *, longest: int | None = None, kinds: list[Kind]) -> Ranks:
    arrays, ranker = index_collection(collection), ListRanker(collection, orders, longest)
    return to_ranks(arrays, rank_lists(arrays, ranker, settings_of(collection.languages, kinds), 20, Silence()))


def drawn(screen: TopicScreen, width: int, *, colour: bool = False) -> str:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=colour, markup=False, highlight=False).print(screen)
    return file.getvalue()


@given(seed=st.integers(0, 99), sparse=st.booleans(), several=st.booleans(), parallel=st.booleans())
def test_ranks_and_lists_are_those_of_the_orders(seed: int, sparse: bool, several: bool, parallel: bool) -> None:
    collection = make_collection(seed, sparse=sparse, several=several, parallel=parallel, topics=4)
    orders = random_orders(collection, seed, skill=1.0)
    ranks = ranks_of(collection, orders)
    for topic_id in collection.judgments:
        topic = look_at(RESULT, ranks, topic_id, collection)
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
    assert "·: not retrieved" in drawn(TopicScreen(topic), 100)


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
    text = drawn(TopicScreen(topic), 100)
    assert "the pool of all languages was not asked for" in text
    assert "top of the pool" not in text


def wide() -> Collection:
    """A collection with long texts: right to left, wide characters, marks without width."""
    long = {"ar": "من كان أحد أشهر ", "de": "Wer war ein bekannter ", "en": "Who was one ", "th": "ใครคือผู้สืบเชื้อสาย"}
    collection = make_collection(3, several=True)
    return Collection(
        languages=collection.languages,
        queries={a: tuple(Query(q.topic_id, long[a] * 9) for q in rows) for a, rows in collection.queries.items()},
        documents={
            a: tuple(Document(d.doc_id, long[a] * 9 + "火星有几颗卫星") for d in rows)
            for a, rows in collection.documents.items()
        },
        judgments=collection.judgments,
        clusters=collection.clusters,
    )


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    collection = wide()
    ranks = ranks_of(collection, random_orders(collection, 0))
    screen = TopicScreen(look_at(RESULT, ranks, "t00", collection), is_worst=True, hint="no texts: see --data-dir")
    lines = drawn(screen, width).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert all(line.count(ISOLATE) == line.count(END) for line in lines)


def test_every_rank_is_shown_however_the_columns_are_folded() -> None:
    collection = make_collection(4)
    ranks = ranks_of(collection, random_orders(collection, 0))
    topic = look_at(RESULT, ranks, "t00", collection)
    columns: dict[int, dict[tuple[str, str], int]] = {}
    for width in (120, 22):
        part = drawn(TopicScreen(topic), width).split("rank in the pool:")[1].split("own: the one")[0]
        names, columns[width] = [], {}
        for first, *cells in (line.split() for line in part.splitlines() if line.strip()):
            if {first, *cells} <= {"own", *topic.pool}:
                names = [first, *cells]
            elif all(cell.isdigit() for cell in cells):
                columns[width] |= {(first, name): int(cell) for name, cell in zip(names, cells, strict=True)}
    assert columns[120] == columns[22]
    for document in topic.relevant:
        for standing in document.ranks:
            assert columns[120][standing.query_language, document.language] == standing.in_pool
            if standing.query_language == document.language:
                assert columns[120][document.language, "own"] == standing.in_language


def test_without_texts_there_is_a_hint_and_no_column() -> None:
    collection = make_collection(0)
    ranks = ranks_of(collection, random_orders(collection, 0))
    text = drawn(TopicScreen(look_at(RESULT, ranks, "t00"), hint="no texts: do this"), 100)
    assert "no texts: do this" in text.splitlines()
    assert "question" not in text
    assert "text" not in [word for line in text.splitlines()[2:] for word in line.split()]


def test_the_relevant_documents_at_the_top_are_marked() -> None:
    collection = make_collection(5)
    ranks = ranks_of(collection, random_orders(collection, 0, skill=9.0))
    topic = look_at(RESULT, ranks, "t00", collection)
    lines = drawn(TopicScreen(topic), 140).split("top of the pool")[1].splitlines()[2:]
    assert [line[len("query  ") :][:3] for line in lines if line.strip()] == [" 1*", " 2*", " 3*", " 4*", " 5 "] * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\nlines\tand  blanks ", "two lines and blanks"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("\ufeffword", "word"),
        ("क्\u200dष می\u200cخواهم", "क्\u200dष می\u200cخواهم"),
        ("half \ud800", "half "),
        ("", ""),
    ],
)
def test_nothing_in_a_text_acts_on_the_terminal(text: str, expected: str) -> None:
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", "abc"), ("火星", "火星"), ("من", f"{ISOLATE}من{END}"), ("x שלום", f"{ISOLATE}x שלום{END}"), ("", "")],
)
def test_only_right_to_left_text_is_isolated(text: str, expected: str) -> None:
    assert isolated(text) == expected


@given(text=st.text(), room=st.integers(1, 40))
def test_a_shortened_text_fits(text: str, room: int) -> None:
    short = shortened(text, room)
    assert cell_len(short) <= room
    assert short.count(ISOLATE) == short.count(END) <= 1
    whole = printable(text)
    if cell_len(whole) <= room:
        assert short == isolated(whole)


def test_of_a_long_id_the_hash_is_left_out_first() -> None:
    assert shortened_id("fff7096f3dc0-zh-53-4", 80) == "fff7096f3dc0-zh-53-4"
    assert shortened_id("fff7096f3dc0-zh-53-4", 51) == "…096f3dc0-zh-53-4"
    assert shortened_id("fff7096f3dc0-zh-53-4", 1) == "…96f3dc0-zh-53-4"
