import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.collection.records import Collection, document_id
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.load import load_collection
from mlbench.tasks.readers.parallel_jsonl import read
from mlbench.tasks.task import load_task

GOOD = {
    "queries.de.jsonl": '{"id": "t1", "text": "Frage"}\n{"id": "t2", "text": "Zwei"}\n',
    "queries.en.jsonl": '{"id": "t1", "text": "question"}\n',
    "documents.de.jsonl": '{"id": "d1", "text": "Antwort"}\n{"id": "d2", "text": "Fluss", "title": "Donau"}\n',
    "documents.en.jsonl": '{"id": "d1", "text": "answer"}\n{"id": "d3", "text": "other"}\n',
    "qrels.tsv": "t1\t0\td1\t1\nt2\t0\td2\t2\nt2\t0\td1\t0\n",
}
LANGUAGES = ("de", "en")


def request(
    folder: Path,
    contents: dict[str, str | bytes],
    languages: tuple[str, ...] = LANGUAGES,
    options: dict[str, Parameter] | None = None,
) -> ReadRequest:
    sources = []
    for name, content in contents.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        role, *rest = name.split(".")
        sources.append(SourceFile(folder / name, rest[0] if len(rest) > 1 else None, role))
    return ReadRequest("own", languages, tuple(sources), options=options or {})


def read_with(folder: Path, **changes: str | bytes) -> Collection:
    return read(request(folder, {**GOOD, **{name.replace("__", "."): text for name, text in changes.items()}}))


def faults(folder: Path, **changes: str | bytes) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_with(folder, **changes)
    assert "\n" not in str(caught.value)
    return list(caught.value.__notes__)


def outcome(folder: Path, contents: dict[str, str | bytes]) -> tuple[str, list[str]]:
    """Return the fingerprint and no faults, or an empty one and the faults; no other exception is caught."""
    try:
        return read(request(folder, contents)).fingerprint(), []
    except DataError as error:
        return "", error.__notes__


def named(collection: Collection, topic: str) -> list[tuple[str, str, int]]:
    return [(row.language, row.doc_id.partition("-")[2], row.grade) for row in collection.judgments[topic]]


def test_a_small_collection(tmp_path: Path) -> None:
    collection = read_with(tmp_path)
    assert collection.languages == LANGUAGES
    assert [tuple(row) for row in collection.queries["de"]] == [("t1", "Frage"), ("t2", "Zwei")]
    assert [row.text for row in collection.documents["de"]] == ["Antwort", "Donau Fluss"]
    assert collection.documents["en"][0].doc_id == document_id("own", "en", "", "d1")
    assert named(collection, "t1") == [("de", "de-d1", 1), ("en", "en-d1", 1)]
    assert named(collection, "t2") == [("de", "de-d2", 2)]
    assert collection.clusters == {"t1": "t1", "t2": "t2"}
    assert collection.cluster_unit == "topic"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("t1 0 d1 1", [("de", "de-d1", 1), ("en", "en-d1", 1)]),
        ("t1 d1 1", [("de", "de-d1", 1), ("en", "en-d1", 1)]),
        ("t1\td1\t3", [("de", "de-d1", 3), ("en", "en-d1", 3)]),
        ("  t1   0  d1\t1 ", [("de", "de-d1", 1), ("en", "en-d1", 1)]),
        ("t1\t0\td1\t+1", [("de", "de-d1", 1), ("en", "en-d1", 1)]),
        ("t1 0 d2 1", [("de", "de-d2", 1)]),
        ("t1 0 en:d1 1", [("en", "en-d1", 1)]),
        ("t1 0 en:d2 1", [("en", "en-d2", 1)]),
        ("t1 0 gone 1", [("de", "de-gone", 1), ("en", "en-gone", 1)]),
        ("t1 0 fr:gone 1", [("de", "de-fr:gone", 1), ("en", "en-fr:gone", 1)]),
        ("t1 0 d1 0", []),
        ("t1 0 d1 -2", []),
    ],
)
def test_what_a_judgment_stands_for(tmp_path: Path, line: str, expected: list[tuple[str, str, int]]) -> None:
    for end in ("", "\n", "\r\n", "\n\n"):
        collection = read_with(tmp_path, qrels__tsv="t2 0 d2 1\n" + line.lstrip() + end)
        assert named(collection, "t1") == expected


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\nt1\td1\t1\nt2\td2\t2\n",
        "# judged by hand\nqid docno label iteration\nt1 d1 1 0\nt2 d2 2 0\n",
        "query_id,doc_id,relevance\r\nt1,d1,1\r\nt2,d2,2\r\n",
        "Topic;Document;Grade\nt1;d1;1,0\nt2;d2;2,0\n",
        '{"t1": {"d1": 1}, "t2": {"d2": 2}}',
    ],
)
@pytest.mark.parametrize("written", ["plain", "packed", "byte order mark", "UTF-16"])
@pytest.mark.parametrize("name", ["qrels.tsv", "qrels.csv", "qrels.json", "qrels.txt.gz"])
def test_judgments_as_tools_write_them(tmp_path: Path, content: str, written: str, name: str) -> None:
    as_bytes = {
        "plain": content.encode(),
        "packed": gzip.compress(content.encode()),
        "byte order mark": b"\xef\xbb\xbf" + content.encode(),
        "UTF-16": content.encode("utf-16"),
    }[written]
    read_with(tmp_path)
    (tmp_path / "qrels.tsv").unlink()
    (tmp_path / name).write_bytes(as_bytes)
    collection = load_collection(load_task(str(tmp_path)))
    assert named(collection, "t1") == [("de", "de-d1", 1), ("en", "en-d1", 1)]
    assert named(collection, "t2") == [("de", "de-d2", 2)]


def test_an_id_with_a_colon_is_itself_first(tmp_path: Path) -> None:
    documents = '{"id": "en:d1", "text": "x"}\n{"id": "d1", "text": "y"}'
    collection = read_with(tmp_path, documents__de__jsonl=documents, qrels__tsv="t1 0 en:d1 1\n")
    assert named(collection, "t1") == [("de", "de-en:d1", 1)]


def test_missing_documents_are_in_no_corpus_but_judged(tmp_path: Path) -> None:
    collection = read_with(tmp_path, qrels__tsv="t1 0 d1 1\nt1 0 gone 1\n")
    present = {row.doc_id for rows in collection.documents.values() for row in rows}
    assert [row.doc_id in present for row in collection.judgments["t1"]] == [True, True, False, False]


def test_a_topic_without_judgments_has_none(tmp_path: Path) -> None:
    assert read_with(tmp_path, qrels__tsv="t1 0 d1 1\n").judgments["t2"] == ()


def test_a_judgment_does_not_depend_on_the_languages_asked_for(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {**GOOD, "qrels.tsv": "t1 0 d3 1\nt1 0 d2 1\n"}
    only = read(request(tmp_path, contents, ("de",)))
    assert only.languages == ("de",)
    assert named(only, "t1") == [("de", "de-d2", 1)]
    assert only.fingerprints()["de"] == read(request(tmp_path, contents)).fingerprints()["de"]


def test_clusters_and_their_unit(tmp_path: Path) -> None:
    queries = '{"id": "t1", "text": "a", "cluster": "page 7"}\n{"id": "t2", "text": "b"}\n'
    contents: dict[str, str | bytes] = {**GOOD, "queries.de.jsonl": queries}
    collection = read(request(tmp_path, contents))
    assert collection.clusters == {"t1": "page 7", "t2": "t2"}
    assert collection.cluster_unit == "cluster"
    assert read(request(tmp_path, contents, options={"cluster_unit": "page"})).cluster_unit == "page"
    with pytest.raises(UnknownName, match=r"'clusterunit': did you mean cluster_unit"):
        read(request(tmp_path, contents, options={"clusterunit": "page"}))


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    contents: dict[str, str | bytes] = {
        name: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() for name, text in GOOD.items()
    }
    assert read(request(tmp_path, contents)).fingerprint() == read_with(tmp_path).fingerprint()


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\x0bfour"
    row = json.dumps({"id": "d1", "text": text}, ensure_ascii=False)
    assert read_with(tmp_path, documents__de__jsonl=row).documents["de"][0].text == text


def test_texts_stay_as_they_are_and_other_keys_do_not_matter(tmp_path: Path) -> None:
    row = '{"id": "d1", "text": " a\\u0301  b ", "title": "", "url": null, "tags": [1]}'
    assert read_with(tmp_path, documents__de__jsonl=row).documents["de"][0].text == " a\u0301  b "


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "d9", "text": "x"', "not valid JSON: "),
        ('{"id": "d9", "text": NaN}', "not valid JSON: NaN is no JSON value"),
        ("[" * 99_999, "not valid JSON: "),
        ('{"id": ' + "9" * 5000 + ', "text": "x"}', "not valid JSON: "),
        ('["d9", "x"]', "must be an object"),
        ('"d9"', "must be an object"),
        ('{"text": "x"}', "key 'id' is missing"),
        ('{"id": "d9"}', "key 'text' is missing"),
        ('{"_id": "d9", "text": "x"}', "key 'id' is missing"),
        ('{"id": 9, "text": "x"}', "'id' must be a string, not a number"),
        ('{"id": null, "text": "x"}', "'id' must be a string, not null"),
        ('{"id": "d9", "text": ["x"]}', "'text' must be a string, not a list"),
        ('{"id": "d9", "text": {}}', "'text' must be a string, not an object"),
        ('{"id": "d9", "text": false}', "'text' must be a string, not a truth value"),
        ('{"id": "d9", "text": ""}', "'text' is empty"),
        ('{"id": "d9", "text": " \\t "}', "'text' is empty"),
        ('{"id": "", "text": "x"}', "'id' is empty"),
        ('{"id": "d 9", "text": "x"}', "id 'd 9' holds white space"),
        ('{"id": "d\\u001f9", "text": "x"}', "holds white space or a control character"),
        ('{"id": "d\\ud800", "text": "x"}', "'id' holds half of a surrogate pair"),
        ('{"id": "d9", "text": "\\udc00"}', "'text' holds half of a surrogate pair"),
    ],
)
@pytest.mark.parametrize("role", ["queries", "documents"])
def test_faults_of_a_line(tmp_path: Path, role: str, line: str, said: str) -> None:
    name = f"{role}.de.jsonl"
    found = faults(tmp_path, **{name.replace(".", "__"): GOOD[name] + "\n" + line + "\n"})
    assert found[0].startswith(f"{name} line 4: ")
    assert said in found[0]


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("documents.de.jsonl", b'{"id": "d2", "text": "again"}', "line 3: id 'd2' is there twice"),
        ("queries.de.jsonl", b'{"id": "t2", "text": "again"}', "line 3: id 't2' is there twice"),
        ("documents.de.jsonl", b'{"id": "d9", "text": "x\xff"}', "line 3: not valid UTF-8 at byte 24"),
        ("qrels.tsv", b"t1\t0\t\xffd1\t1", "line 4: not valid UTF-8"),
        ("documents.de.jsonl", b'{"id": "d9", "text": "x", "title": 3}', "line 3: 'title' must be a string"),
        ("queries.de.jsonl", b'{"id": "t9", "text": "x", "cluster": 3}', "line 3: 'cluster' must be a string"),
        ("queries.de.jsonl", b'{"id": "t9", "text": "x", "cluster": ""}', "line 3: 'cluster' is empty"),
        ("qrels.tsv", b"t1\t0", "line 4: must be 'topic 0 document grade'"),
        ("qrels.tsv", b"t1 0 d1 1 extra", "line 4: must be 'topic 0 document grade'"),
        ("qrels.tsv", b"t9\t0\td1\t1", "line 4: topic 't9' has no query in any language"),
        ("qrels.tsv", b"query-id\tcorpus-id\tscore", "line 4: topic 'query-id' has no query"),
        ("qrels.tsv", b"t1\t0\td2\t1/2", "line 4: grade '1/2' is no number"),
        ("qrels.tsv", b"t1\t0\td2\tNaN", "line 4: grade 'NaN' is no number"),
        ("qrels.tsv", b"t1\t0\td2\t" + b"9" * 5000, "line 4: grade"),
        ("qrels.tsv", "t1\t0\td2\t١".encode(), "line 4: grade '١' is no number"),
        ("qrels.tsv", b"t1\t0\t\t1", "line 4: must be 'topic 0 document grade', with no column empty"),
        ("qrels.tsv", b"t1\t0\td1\t2", "line 4: document 'd1' is judged twice for topic 't1'"),
        ("qrels.tsv", b"t1\t0\ten:d1\t1", "line 4: document 'en:d1' is judged twice for topic 't1'"),
    ],
)
def test_faults_of_a_file(tmp_path: Path, name: str, line: bytes, said: str) -> None:
    (found, *_) = faults(tmp_path, **{name.replace(".", "__"): GOOD[name].encode() + line + b"\n"})
    assert found.startswith(f"{name} {said}")


def test_a_topic_in_two_clusters(tmp_path: Path) -> None:
    english, german = (f'{{"id": "t1", "text": "q", "cluster": "{cluster}"}}\n' for cluster in ("a", "b"))
    (found,) = faults(tmp_path, queries__en__jsonl=english, queries__de__jsonl=german, qrels__tsv="t1 0 d1 1\n")
    assert found.endswith("in cluster 'a', elsewhere in 'b'")


def test_all_faults_are_found_and_the_first_is_the_message(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_with(tmp_path, documents__de__jsonl="{\n[]\n", qrels__tsv="t1\n")
    assert str(caught.value).startswith("documents.de.jsonl line 1: not valid JSON")
    assert str(caught.value).endswith("(and 3 more: see 'mlbench tasks check')")
    assert [note.partition(":")[0] for note in caught.value.__notes__] == [
        "documents.de.jsonl line 1",
        "documents.de.jsonl line 2",
        "qrels.tsv line 1",
        "qrels.tsv",
    ]


@pytest.mark.parametrize("name", list(GOOD))
@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_a_fault(tmp_path: Path, name: str, content: bytes) -> None:
    found = faults(tmp_path, **{name.replace(".", "__"): content})
    assert found[0].startswith(f"{name}: ")


@pytest.mark.parametrize("name", list(GOOD))
def test_a_missing_file_is_a_fault(tmp_path: Path, name: str) -> None:
    rest: dict[str, str | bytes] = {key: text for key, text in GOOD.items() if key != name}
    with pytest.raises(DataError, match=r"there is no file of (queries|documents|judgments)"):
        read(request(tmp_path, rest))
    asked = request(tmp_path, dict(GOOD))
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read(asked)


@given(
    name=st.sampled_from(list(GOOD)),
    start=st.integers(0, 90),
    length=st.integers(0, 10),
    junk=st.binary(max_size=6) | st.text('{}[]":,\\ud8\n\r\t0t1NaN', max_size=6).map(str.encode),
)
def test_a_damaged_file_reads_or_is_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: int, length: int, junk: bytes
) -> None:
    raw = GOOD[name].encode()
    contents: dict[str, str | bytes] = {**GOOD, name: raw[:start] + junk + raw[start + length :]}
    fingerprint, found = outcome(tmp_path_factory.getbasetemp(), contents)
    assert len(fingerprint) == 64 or found
    assert not any("\n" in fault for fault in found)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


@given(rows=st.lists(st.dictionaries(st.sampled_from(["id", "text", "title", "cluster"]), VALUES) | VALUES, max_size=3))
@pytest.mark.parametrize("name", ["queries.de.jsonl", "documents.de.jsonl"])
def test_any_json_reads_or_is_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[object]
) -> None:
    contents: dict[str, str | bytes] = {**GOOD, name: GOOD[name] + "".join(json.dumps(row) + "\n" for row in rows)}
    fingerprint, found = outcome(tmp_path_factory.getbasetemp(), contents)
    assert len(fingerprint) == 64 or found
    assert all(fault.startswith(name) for fault in found)
