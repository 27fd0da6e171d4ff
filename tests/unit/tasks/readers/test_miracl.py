import gzip
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.tasks.readers.shards import a_row, write_shard

from mlbench.collection.records import Collection, document_id
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.miracl import reader as read

TOPICS = {"sw": "6\tBandari kubwa?\n8\t Mji mkuu? \n", "yo": "6\tKí ni?\n"}
QRELS = {"sw": "6\tQ0\t1#0\t1\n6\tQ0\t2#1\t0\n8\tQ0\t2#1\t1\n", "yo": "6\tQ0\t1#0\t1\n"}
SHARDS = {
    "sw": [[a_row("1#0", "bandari", "Mombasa"), a_row("2#1", "mji", "")], [a_row("3#0", "lingine")]],
    "yo": [[a_row("1#0", "èyí", "Èkó")]],
}


def small(folder: Path, limit: int | None = None, options: dict[str, Parameter] | None = None) -> ReadRequest:
    """Write a small collection in two languages."""
    files = []
    for language, shards in SHARDS.items():
        for role, name, content in (("queries", "topics", TOPICS), ("qrels", "qrels", QRELS)):
            path = folder / f"{name}.miracl-v1.0-{language}-dev.tsv"
            path.write_text(content[language], encoding="utf-8")
            files.append(SourceFile(path, language, role))
        for number, rows in enumerate(shards):
            path = folder / language / f"docs-{number}.jsonl.gz"
            write_shard(path, rows)
            files.append(SourceFile(path, language, "documents"))
    return ReadRequest("miracl", tuple(SHARDS), tuple(files), options=options or {}, limit=limit)


def named(collection: Collection, topic: str) -> list[str]:
    return [row.doc_id.partition("-")[2] for row in collection.judgments[topic]]


def test_a_small_collection(tmp_path: Path) -> None:
    collection = read(small(tmp_path))
    assert [tuple(query) for query in collection.queries["sw"]] == [("sw:6", "Bandari kubwa?"), ("sw:8", "Mji mkuu?")]
    assert [document.text for document in collection.documents["sw"]] == ["Mombasa bandari", "mji", "title lingine"]
    assert collection.documents["yo"][0].doc_id == document_id("miracl", "yo", "", "1#0")
    assert {topic: named(collection, topic) for topic in collection.judgments} == {
        "sw:6": ["sw-1#0"],
        "sw:8": ["sw-2#1"],
        "yo:6": ["yo-1#0"],
    }
    assert not collection.parallel
    assert collection.left_out == {"sw": 0, "yo": 0}
    assert collection.clusters == {topic: topic for topic in collection.judgments}


def test_tasks_on_the_same_corpora_have_the_same_documents(tmp_path: Path) -> None:
    one = read(small(tmp_path, options={"collection": "miracl-v1.0"}))
    request = small(tmp_path, options={"collection": "miracl-v1.0"})
    other = read(replace(request, task="miracl-15", languages=("sw",)))
    assert other.fingerprints() == {"sw": one.fingerprints()["sw"]}
    with pytest.raises(UnknownName, match="did you mean collection"):
        read(replace(request, options={"colection": "x"}))


def test_shards_are_found_from_another_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = small(tmp_path)
    monkeypatch.chdir(tmp_path)
    files = tuple(replace(source, path=source.path.relative_to(tmp_path)) for source in request.files)
    shards = read.shards(replace(request, files=files)).shards
    monkeypatch.chdir("/")
    assert [len(list(shard.documents())) for shard in shards] == [2, 1, 1]


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    request = small(tmp_path)
    rest = [source for source in request.files if source.role != "documents" or source.language != "sw"]
    shards = []
    for number in (10, 2, 0, 1, *range(3, 10)):
        write_shard(tmp_path / "many" / f"docs-{number}.jsonl.gz", [a_row(f"{number}#0")])
        shards.append(SourceFile(tmp_path / "many" / f"docs-{number}.jsonl.gz", "sw", "documents"))
    collection = read(replace(request, files=(*rest, *shards)))
    found = [document.doc_id.rpartition("-")[2] for document in collection.documents["sw"]]
    assert found == [f"{number}#0" for number in range(11)]


def without(role: str, language: str) -> Callable[[ReadRequest], ReadRequest]:
    def change(request: ReadRequest) -> ReadRequest:
        kept = tuple(source for source in request.files if (source.role, source.language) != (role, language))
        return replace(request, files=kept)

    return change


def with_file(name: str, content: str | bytes) -> Callable[[ReadRequest], ReadRequest]:
    def change(request: ReadRequest) -> ReadRequest:
        (path,) = (source.path for source in request.files if str(source.path).endswith(name))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return request

    return change


def with_shard(line: str) -> Callable[[ReadRequest], ReadRequest]:
    good = '{"docid": "9#0", "title": "", "text": "x"}'
    return with_file("sw/docs-0.jsonl.gz", gzip.compress(f"{good}\n{line}\n".encode()))


def cut(request: ReadRequest) -> ReadRequest:
    path = next(source.path for source in request.files if source.role == "documents")
    path.write_bytes(path.read_bytes()[:-20])
    return request


def with_a_gap(request: ReadRequest) -> ReadRequest:
    last = next(source for source in request.files if source.path.name == "docs-1.jsonl.gz")
    path = last.path.rename(last.path.with_name("docs-2.jsonl.gz"))
    files = (*(source for source in request.files if source != last), replace(last, path=path))
    return replace(request, files=files)


def with_an_odd_name(request: ReadRequest) -> ReadRequest:
    last = request.files[-1]
    return replace(request, files=(*request.files[:-1], replace(last, path=last.path.with_name("corpus.jsonl"))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, r"docs-0\.jsonl\.gz is cut short after line \d+: fetch it again"),
        (with_file("sw/docs-1.jsonl.gz", b"not packed"), "docs-1.jsonl.gz is damaged after line 0 .*: fetch it again"),
        (with_file("sw/docs-1.jsonl.gz", gzip.compress(b"")), "docs-1.jsonl.gz: the shard is empty"),
        (with_shard("{"), "docs-0.jsonl.gz line 2: not valid JSON"),
        (with_shard("[" * 100_000), "docs-0.jsonl.gz line 2: not valid JSON"),
        (with_shard("[]"), "docs-0.jsonl.gz line 2: must be an object with the strings 'docid', 'title' and 'text'"),
        (with_shard('{"docid": 1, "title": "", "text": ""}'), "docs-0.jsonl.gz line 2: must be an object"),
        (with_shard('{"docid": "1 #0", "title": "", "text": "x"}'), "line 2: docid '1 #0' is empty or holds white"),
        (with_shard('{"docid": "", "title": "", "text": "x"}'), "line 2: docid '' is empty"),
        (
            with_file("sw/docs-0.jsonl.gz", gzip.compress(b"\xff\n")),
            "docs-0.jsonl.gz line 1: not valid UTF-8 at byte 1",
        ),
        (with_a_gap, "miracl: shard docs-1 of 'sw' is missing among 2 shards up to docs-2"),
        (with_an_odd_name, "shards of 'yo' are named docs-0.jsonl.gz and so on, not corpus.jsonl"),
        (without("documents", "yo"), "miracl: 'yo' has no file with the role 'documents'"),
        (without("queries", "yo"), "miracl: 'yo' has 0 files with the role 'queries', it needs one"),
        (without("qrels", "sw"), "miracl: 'sw' has 0 files with the role 'qrels', it needs one"),
        (with_file("topics.miracl-v1.0-sw-dev.tsv", ""), "topics.miracl-v1.0-sw-dev.tsv: the file is empty"),
        (with_file("topics.miracl-v1.0-sw-dev.tsv", "6 no tab\n"), "sw-dev.tsv line 1: must be 'topic TAB question'"),
        (with_file("topics.miracl-v1.0-sw-dev.tsv", "6\t \n"), "sw-dev.tsv line 1: must be 'topic TAB question'"),
        (with_file("topics.miracl-v1.0-sw-dev.tsv", "6\ta\n6\tb\n"), "sw-dev.tsv line 2: topic '6' is there twice"),
        (with_file("qrels.miracl-v1.0-sw-dev.tsv", "\n"), "qrels.miracl-v1.0-sw-dev.tsv: the file is empty"),
        (with_file("qrels.miracl-v1.0-sw-dev.tsv", "6 Q0 1#0\n"), "line 1: grade '1#0' is no number"),
        (with_file("qrels.miracl-v1.0-sw-dev.tsv", "6\tQ0\t1 #0\t1\n"), "line 1: must be .* and no blank in an id"),
        (with_file("qrels.miracl-v1.0-sw-dev.tsv", "6 Q0 1#0 one\n"), "line 1: grade 'one' is no number"),
        (with_file("qrels.miracl-v1.0-sw-dev.tsv", "7 Q0 1#0 1\n"), "line 1: topic '7' is not in topics.miracl"),
        (
            with_file("qrels.miracl-v1.0-sw-dev.tsv", "6 Q0 1#0 1\n6 Q0 1#0 0\n"),
            "line 2: document '1#0' is judged twice",
        ),
    ],
)
def test_faults(tmp_path: Path, change: Callable[[ReadRequest], ReadRequest], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(change(small(tmp_path)))
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.integers(0, 300), unique=True, min_size=1, max_size=120),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300), st.booleans()), max_size=30, unique_by=lambda j: j[:2]),
    st.integers(1, 4),
)
def test_a_sample_is_the_same_from_what_was_held_and_from_all(
    tmp_path_factory: pytest.TempPathFactory, documents: list[int], judged: list[tuple[int, int, bool]], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("sample")
    (folder / "topics.tsv").write_text("".join(f"{topic}\tquestion {topic}\n" for topic in range(6)))
    (folder / "qrels.tsv").write_text("0 Q0 x#0 0\n" + "".join(f"{t} Q0 {d}#0 {int(g)}\n" for t, d, g in judged))
    write_shard(folder / "docs-0.jsonl.gz", [a_row(f"{number}#0") for number in documents])
    files = [("queries", "topics.tsv"), ("qrels", "qrels.tsv"), ("documents", "docs-0.jsonl.gz")]
    request = ReadRequest("t", ("sw",), tuple(SourceFile(folder / name, "sw", role) for role, name in files))
    whole, held = read(request), read(replace(request, limit=limit))
    assert held.sample(limit).fingerprint() == whole.sample(limit).fingerprint()
    assert held.sample(limit).documents == whole.sample(limit).documents
    assert len(held.documents["sw"]) + held.left_out["sw"] == len(documents)
    assert len(held.documents["sw"]) <= 10 * limit + len(judged)


@pytest.mark.slow
def test_what_is_not_kept_takes_no_memory(tmp_path: Path) -> None:
    request = small(tmp_path, limit=1)
    write_shard(tmp_path / "sw" / "docs-1.jsonl.gz", (a_row(f"x{n}#0", "word " * 100) for n in range(20_000)))
    tracemalloc.start()
    try:
        collection = read(request)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert collection.left_out["sw"] == 20_000 - 10
    assert peak < 1_000_000, "ten megabytes of text have gone by"
