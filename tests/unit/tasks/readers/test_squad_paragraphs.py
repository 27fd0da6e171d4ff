"""SQuAD's JSON, one question a line, TyDi QA's ids and archives, written by hand in the published layouts."""

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbench.collection.records import Collection
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.squad_paragraphs import read

ARTICLES = [
    {
        "title": "River",
        "paragraphs": [
            {
                "context": "The river rises in the hills.",
                "qas": [
                    {
                        "id": "q1",
                        "question": " Where does it rise? ",
                        "answers": [{"text": "hills", "answer_start": 23}],
                    },
                    {"id": "q2", "question": "Where is it salty?", "answers": [], "is_impossible": True},
                ],
            },
            {
                "context": "It ends in the sea.\n",
                "qas": [{"id": 3, "question": "Where does it end?"}, {"id": "q4", "question": ""}],
            },
        ],
    },
    # TyDi QA has a paragraph once for each question that was asked of it.
    {"paragraphs": [{"context": "It ends in the sea.", "qas": [{"id": "q5", "question": "What is salty?"}]}]},
]
NESTED = json.dumps({"version": "1.1", "data": ARTICLES}).encode()
FLAT = "".join(
    json.dumps(row) + "\n"
    for row in [
        {"question_id": "a_0", "article_id": "a", "title": "A", "question": "Who?", "context": "She did."},
        {"question_id": "a_1", "article_id": "a", "title": "A", "question": "When?", "context": "She did."},
        {"id": "b_0", "question": "Why?", "context": "Because."},
    ]
).encode()


def collection(folder: Path, files: dict[str, bytes], *languages: str, **options: Parameter) -> Collection:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sources = tuple(SourceFile(folder / name) for name in files)
    return read(ReadRequest("own", languages or ("en",), sources, options=options, parallel=False))


def answers(found: Collection, language: str = "en") -> list[tuple[str, str, str]]:
    """Return id, question and relevant paragraph of each topic."""
    texts = {document.doc_id: document.text for document in found.documents[language]}
    return [
        (topic, question, texts[judgment.doc_id])
        for topic, question in found.queries[language]
        for judgment in found.judgments[topic]
        if judgment.language == language
    ]


@pytest.mark.parametrize(
    ("name", "packed"),
    [("own.json", lambda content: content), ("own.json.gz", gzip.compress), ("own.json", b"\xef\xbb\xbf".__add__)],
)
def test_nested(tmp_path: Path, name: str, packed: Callable[[bytes], bytes]) -> None:
    found = collection(tmp_path, {name: packed(NESTED)})
    assert answers(found) == [
        ("q1", "Where does it rise?", "The river rises in the hills."),
        ("3", "Where does it end?", "It ends in the sea."),
        ("q5", "What is salty?", "It ends in the sea."),
    ]
    assert len(found.documents["en"]) == 2
    assert found.clusters == {"q1": "River", "3": "River", "q5": "own.json 1"}


def test_one_question_in_a_line(tmp_path: Path) -> None:
    found = collection(tmp_path, {"own.jsonl": FLAT})
    assert answers(found) == [("a_0", "Who?", "She did."), ("a_1", "When?", "She did."), ("b_0", "Why?", "Because.")]
    assert found.clusters == {"a_0": "a", "a_1": "a", "b_0": "b_0"}


@pytest.mark.parametrize(
    ("members", "topics"), [("*", ["a_0", "a_1", "b_0", "q1", "3", "q5"]), ("*/train.*", ["q1", "3", "q5"])]
)
def test_an_archive(tmp_path: Path, members: str, topics: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("data/test.jsonl", FLAT)
        archive.writestr("data/train.json", NESTED)
        archive.writestr("data/README.md", "no questions")
        archive.writestr("__MACOSX/data/._train.json", b"\x00")
    found = collection(tmp_path, {"data.zip": (tmp_path / "data.zip").read_bytes()}, members=members)
    assert [query.topic_id for query in found.queries["en"]] == topics


class TestLanguages:
    def tydi(self) -> bytes:
        rows = [("english-1-0", "Who?", "She."), ("russian--8-2", "Кто?", "Она."), ("telugu-3-1", "ఎవరు?", "ఆమె.")]
        paragraphs = [[{"context": text, "qas": [{"id": id_, "question": question}]}] for id_, question, text in rows]
        return json.dumps({"data": [{"paragraphs": each} for each in paragraphs]}).encode()

    def test_in_ids(self, tmp_path: Path) -> None:
        found = collection(tmp_path, {"dev.json": self.tydi()}, "en", "ru", language_in_ids=True)
        assert answers(found) == [("english-1-0", "Who?", "She.")]
        assert answers(found, "ru") == [("russian--8-2", "Кто?", "Она.")]

    def test_of_a_file_among_those_in_ids(self, tmp_path: Path) -> None:
        (tmp_path / "dev.json").write_bytes(self.tydi())
        source = SourceFile(tmp_path / "dev.json", "ru")
        request = ReadRequest("own", ("en", "ru"), (source,), options={"language_in_ids": True}, parallel=False)
        found = read(request)
        assert (found.queries["en"], len(found.queries["ru"])) == ((), 1)

    def test_of_an_id_that_names_none(self, tmp_path: Path) -> None:
        message = r"own.json: data\[0\].paragraphs\[0\].qas\[0\]: id 'q1' begins with none of arabic, bengali"
        with pytest.raises(DataError, match=message):
            collection(tmp_path, {"own.json": NESTED}, "en", "ru", language_in_ids=True)

    def test_of_two_files_share_topics_where_they_are_translations(self, tmp_path: Path) -> None:
        for name in ("en", "de"):
            (tmp_path / f"{name}.json").write_bytes(NESTED)
        sources = tuple(SourceFile(tmp_path / f"{name}.json", name) for name in ("en", "de"))
        found = read(ReadRequest("own", ("de", "en"), sources))
        assert [judgment.language for judgment in found.judgments["q1"]] == ["en", "de"]

    def test_must_be_said_where_there_are_several(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"own: own.json needs a language: say it in the task file"):
            collection(tmp_path, {"own.json": NESTED}, "de", "en")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.json", b"{", "own.json: not valid JSON"),
        ("own.json", b"[]", "own.json: must be an object such as"),
        ("own.json", b'{"data": 3}', "own.json: 'data' must be a list of objects"),
        ("own.json", b'{"data": [{"paragraphs": [{}]}]}', r"own.json: data\[0\].paragraphs\[0\]: 'qas' must be a list"),
        ("own.jsonl", b'{"id": "a", "context": "b"}', "own.jsonl line 1: 'question' must be a text, not None"),
        ("own.jsonl", b'{"id": "a", "question": "b"}', "own.jsonl line 1: 'context' must be a text, not None"),
        ("own.jsonl", b'{"question": "a", "context": "b"}', "own.jsonl line 1: 'id' must be a name or a number"),
        ("own.jsonl", FLAT + FLAT, "own.jsonl line 4: question id 'a_0' is there twice"),
        ("own.json.gz", b"\x1f\x8bno", "own.json.gz is damaged"),
        ("own.zip", b"no", "own.zip is damaged, or no archive"),
    ],
)
def test_faults(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        collection(tmp_path, {name: content})


def test_an_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="member"):
        collection(tmp_path, {"own.json": NESTED}, member="*")
