"""A topic as a page: its images, and what its names may do there."""

from pathlib import Path

import pytest
from unit.reports.conftest import HOSTILE, UNSEEN
from unit.seeing import measured, write_task

from mlbench.collection.records import Collection
from mlbench.evaluation.verify import read_pair
from mlbench.reports.formatting import ABSENT
from mlbench.reports.topic.content import Topic, look_at
from mlbench.reports.topic.page import LARGEST, TopicAnswer, pictures_of, topic_page
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task


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
    assert list(pictures_of(asked, collection, 5)) == ["03.png"]
    found = topic_of(path, collection, "03.png#1")
    pictures = pictures_of(found, collection, 2)
    wanted = {listed.doc_id for query in found.queries for listed in query.top[:2]}
    assert set(pictures) == wanted | {document.doc_id for document in found.relevant}
    assert all(uri.startswith("data:image/png;base64,") for uri in pictures.values())


@pytest.mark.parametrize("content", [b"<svg onload=alert(1)>", b"", b"\x89PNG\r\n\x1a\n" + bytes(LARGEST)])
def test_other_files_are_told_by_their_names(tmp_path: Path, content: bytes) -> None:
    task = write_task(tmp_path / "pictures", 4)
    path, collection = measured(task), load_collection(load_task(str(task)))
    topic = topic_of(path, collection, "02.png")
    (task / "images" / "02.png").write_bytes(content)
    assert pictures_of(topic, collection, 5) == {}
    (task / "images" / "02.png").unlink()
    assert pictures_of(topic, collection, 5) == {}


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
    page = topic_page([TopicAnswer(topic, HOSTILE + UNSEEN, {doc_id: "data:image/png;base64,AAAA"})])
    assert "<script>" not in page
    assert "onerror=alert(1)>" not in page
    assert not set("\x1b\u202e\x00\u2028") & set(page)
    assert page.count("data:image/png;base64,AAAA") >= 1


def test_a_document_that_stands_for_some_queries_alone(path: Path, collection: Collection) -> None:
    topic = topic_of(path, collection, "03.png#1")
    (document,) = topic.relevant
    for standings, dashes in ((document.ranks, 0), (document.ranks[1:], 1), ((), len(topic.queries))):
        shown = topic.model_copy(update={"relevant": (document.model_copy(update={"ranks": standings}),)})
        page = topic_page([TopicAnswer(shown, "", {})])
        assert page.count(f"<td>{ABSENT}</td>") == dashes


def test_without_texts_it_says_so(path: Path) -> None:
    topic = look_at(*read_pair(path), "03.png")
    page = topic_page([TopicAnswer(topic, "no texts: somewhere else", {})])
    assert "no texts: somewhere else" in page
    assert "<img" not in page
