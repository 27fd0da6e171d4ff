"""Single topics on screens and pages: what fits, their images, and what their names may do there."""

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from unit.reports.conftest import HOSTILE, UNSEEN, make_result
from unit.seeing import measured, write_task
from unit.statistics.cases import list_ranks, make_collection, random_orders, ranks_of

from mlbench.collection.records import Collection, Document, Query
from mlbench.evaluation.verify import read_pair
from mlbench.reports.documents import topic as topics
from mlbench.reports.documents.topic import LARGEST, SHOWN, TopicAnswer, pictures_of, topic_report
from mlbench.reports.formats import render
from mlbench.reports.formatting import ABSENT
from mlbench.reports.writers.console import ConsoleReport
from mlbench.statistics.topic import Topic, look_at
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

RESULT = make_result()
ISOLATE, END = "\u2068", "\u2069"


def answer(topic: Topic, hint: str = "", pictures: Mapping[str, str] | None = None) -> TopicAnswer:
    return TopicAnswer(RESULT, topic, hint=hint, pictures=pictures or {})


def drawn(answer: TopicAnswer, width: int, *, full: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, highlight=False)
    console.print(ConsoleReport(topic_report([answer]), full=full))
    return file.getvalue()


def page_of(answer: TopicAnswer) -> str:
    return render("html", topic_report([answer])).decode()


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
    topic = look_at(RESULT, ranks, "t00", collection)
    shown = TopicAnswer(RESULT, topic, is_worst=True, hint="no texts: see --data-dir")
    lines = drawn(shown, width).splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert all(line.count(ISOLATE) == line.count(END) for line in lines)


def test_every_rank_is_shown_however_the_columns_are_folded() -> None:
    collection = make_collection(4)
    ranks = ranks_of(collection, random_orders(collection, 0))
    topic = look_at(RESULT, ranks, "t00", collection)
    columns: dict[int, dict[tuple[str, str], int]] = {}
    for width in (120, 22):
        part = drawn(answer(topic), width).split("rank in the pool:")[1].split("own: the one")[0]
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
    text = drawn(answer(look_at(RESULT, ranks, "t00"), "no texts: do this"), 100)
    assert "no texts: do this" in text.splitlines()
    assert "question" not in text
    assert "text" not in [word for line in text.splitlines()[2:] for word in line.split()]


def test_the_relevant_documents_at_the_top_are_marked() -> None:
    collection = make_collection(5)
    ranks = ranks_of(collection, random_orders(collection, 0, skill=9.0))
    topic = look_at(RESULT, ranks, "t00", collection)
    lines = drawn(answer(topic), 140).split("Top of the pool")[1].splitlines()[2:]
    assert [line.split()[1] for line in lines if line.strip()] == ["1*", "2*", "3*", "4*", "5"] * 4


def test_what_was_not_asked_or_not_found_is_said() -> None:
    collection = make_collection(1)
    orders = random_orders(collection, 1)
    short = list_ranks(collection, orders, longest=5, kinds=["monolingual", "multilingual"])
    assert "·: not retrieved" in drawn(answer(look_at(RESULT, short, "t00")), 100)
    alone = list_ranks(collection, orders, kinds=["monolingual"])
    text = drawn(answer(look_at(RESULT, alone, "t00")), 100)
    assert "the pool of all languages was not asked for" in text
    assert "Top of the pool" not in text


def test_the_records_are_every_rank_of_every_relevant_document() -> None:
    collection = make_collection(4, several=True)
    topic = look_at(RESULT, ranks_of(collection, random_orders(collection, 0)), "t00", collection)
    records = topic_report([answer(topic), answer(topic)]).records
    assert [
        (record["document"], record["query_language"], record["rank_in_pool"], record["rank_in_language"])
        for record in records
    ] == [
        (document.doc_id, standing.query_language, standing.in_pool, standing.in_language)
        for document in topic.relevant
        for standing in document.ranks
    ] * 2
    assert {record["AP"] for record in records} == {query.average_precision for query in topic.queries}


def test_everything_shown_has_the_ranks_of_each_of_several_documents() -> None:
    collection = make_collection(4, several=True)
    topic = look_at(RESULT, ranks_of(collection, random_orders(collection, 0)), "t00", collection)
    text = drawn(answer(topic), 160, full=True).split("Ranks of each relevant document")[1].split("Top of the pool")[0]
    for document in topic.relevant:
        (line,) = (line for line in text.splitlines() if document.doc_id in line)
        ranks = [(standing.in_pool, standing.in_language) for standing in document.ranks]
        known = [rank for pair in ranks for rank in pair if rank is not None]
        shown = line.replace(document.doc_id, "").split()
        assert [int(part) for part in shown if part.isdigit()] == known


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "pictures", 8)


@pytest.fixture(scope="module")
def collection(folder: Path) -> Collection:
    return load_collection(load_task(str(folder)))


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return measured(folder)


def topic_of(path: Path, collection: Collection, name: str) -> Topic:
    return look_at(*read_pair(path), name, collection)


def test_pictures_are_those_of_the_image_and_of_the_documents(path: Path, collection: Collection) -> None:
    asked = topic_of(path, collection, "03.png")
    assert list(pictures_of(asked, collection)) == ["03.png"]
    found = topic_of(path, collection, "03.png#1")
    pictures = pictures_of(found, collection)
    wanted = {listed.doc_id for query in found.queries for listed in query.top[:SHOWN]}
    assert set(pictures) == wanted | {document.doc_id for document in found.relevant}
    assert all(uri.startswith("data:image/png;base64,") for uri in pictures.values())


def test_an_image_takes_the_room_of_all_places_where_it_stands(
    path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = topic_of(path, collection, "03.png#1")
    (wanted,) = found.relevant
    places = 1 + sum(listed.doc_id == wanted.doc_id for query in found.queries for listed in query.top[:SHOWN])
    alone = found.model_copy(update={"queries": ()})
    (uri,) = pictures_of(alone, collection).values()
    tops = tuple(
        query.model_copy(update={"top": tuple(listed for listed in query.top if listed.doc_id == wanted.doc_id)})
        for query in found.queries
    )
    found = found.model_copy(update={"queries": tops})
    assert places > 1
    for room, shown in ((len(uri) * places, {wanted.doc_id: uri}), (len(uri) * places - 1, {})):
        monkeypatch.setattr(topics, "_MOST", room)
        assert pictures_of(found, collection) == shown


@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", b"", b"\x89PNG\r\n\x1a\n" + bytes(LARGEST)])
def test_other_files_are_told_by_their_names(tmp_path: Path, content: bytes) -> None:
    task = write_task(tmp_path / "pictures", 4)
    path, collection = measured(task), load_collection(load_task(str(task)))
    topic = topic_of(path, collection, "02.png")
    (task / "images" / "02.png").write_bytes(content)
    assert pictures_of(topic, collection) == {}
    (task / "images" / "02.png").unlink()
    assert pictures_of(topic, collection) == {}


def test_names_stay_text(path: Path, collection: Collection) -> None:
    plain = topic_of(path, collection, "03.png#1")
    text = plain.model_dump_json().replace("das Bild 3 (0)", "TEXT").replace("03.png", "NAME")
    document = Topic.model_validate_json(text).model_dump()
    for part in [document, *document["relevant"], *document["queries"]]:
        for key, value in part.items():
            if isinstance(value, str) and ("NAME" in value or "TEXT" in value):
                part[key] = HOSTILE + UNSEEN
    topic = Topic.model_validate(document)
    doc_id = topic.relevant[0].doc_id
    page = page_of(answer(topic, HOSTILE + UNSEEN, {doc_id: "data:image/png;base64,AAAA"}))
    assert "<script>" not in page
    assert "onerror=alert(1)>" not in page
    assert not set("\x1b\u202e\x00\u2028") & set(page)
    assert page.count("data:image/png;base64,AAAA") >= 1


def test_a_document_that_stands_for_some_queries_alone(path: Path, collection: Collection) -> None:
    topic = topic_of(path, collection, "03.png#1")
    (document,) = topic.relevant
    for standings, dashes in ((document.ranks, 0), (document.ranks[1:], 1), ((), len(topic.queries))):
        shown = topic.model_copy(update={"relevant": (document.model_copy(update={"ranks": standings}),)})
        text = drawn(answer(shown), 100, full=True).split("Ranks of each relevant document")[1].split("Top of")[0]
        assert text.count(ABSENT) == dashes


def test_an_image_asks_captions_in_each_language_alone_as_well(path: Path, collection: Collection) -> None:
    lines = drawn(answer(topic_of(path, collection, "03.png")), 80).splitlines()
    assert any(line.startswith("alone") for line in lines)
    assert not any(line.startswith("own:") for line in lines)


def test_a_page_without_texts_says_so(path: Path) -> None:
    topic = look_at(*read_pair(path), "03.png")
    page = page_of(answer(topic, "no texts: somewhere else"))
    assert "no texts: somewhere else" in page
    assert "<img" not in page
