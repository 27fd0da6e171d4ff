import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

import mlbench
from mlbench.collection.records import Collection, document_id
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.trec import reader as read
from mlbench.tasks.readers.trec_files import CorpusFile
from mlbench.tasks.task import load_task

# In the layout of CIRAL: the topics of each corpus are numbered anew, and asked in English.
CIRAL = {
    ("queries/ha", "en", "topics.ha.tsv"): "7\tWhere is Kano?\n9\tWho rules?\n",
    ("queries/yo", "en", "topics.yo.tsv"): "7\tWhat is rain?\n",
    ("qrels", "ha", "qrels.ha.tsv"): "7\tQ0\tVOA#1#0\t1\n7\tQ0\tVOA#2#0\t0\n9\tQ0\tVOA#2#0\t1\n23\tQ0\tVOA#2#0\t1\n",
    ("qrels", "yo", "qrels.yo.tsv"): "7\tQ0\tBBC#1#0\t1\n",
    ("documents", "ha", "hausa_passages.jsonl"): (
        '{"docid": "VOA#1#0", "title": "Kano", "text": "birni", "url": "https://e.org/1"}\n'
        '{"docid": "VOA#2#0", "title": null, "text": "sarki", "url": ""}\n'
    ),
    ("documents", "yo", "yoruba_passages.jsonl"): '{"docid": "BBC#1#0", "title": "", "text": "òjò"}\n',
}
# In the layout of NeuCLIRBench: one set of topics, the language of a document in the second column.
NEUCLIR = {
    ("queries", "en", "news.eng.tsv"): "200\tfloods\n201\tmarkets\n",
    ("queries", "fa", "news.fas.tsv"): "200\tسیل\n",
    ("qrels", None, "qrels.mlir.gains.txt"): (
        "200 fas a1 3\n200 rus b1 1\n200 rus b2 0\n201 rus b2 1\n200 zho c1 3\n300 fas a1 1\n"
    ),
    ("documents", "fa", "fas-00000-of-00001.jsonl.gz"): '{"id": "a1", "title": "سیل", "text": "آب"}\n',
    ("documents", "ru", "rus-00000-of-00002.jsonl.gz"): '{"id": "b1", "title": "вода", "text": "река"}\n',
    ("documents", "ru", "rus-00001-of-00002.jsonl.gz"): '{"id": "b2", "title": "рынок", "text": "цены"}\n',
}


def request(
    folder: Path, files: dict[tuple[str, str | None, str], str], languages: tuple[str, ...], **options: Parameter
) -> ReadRequest:
    sources = []
    for (role, language, name), content in files.items():
        path = folder / name
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
        sources.append(SourceFile(path, language, role))
    return ReadRequest("own", languages, tuple(sources), options=options)


def relevant(collection: Collection) -> dict[str, list[tuple[str, int]]]:
    return {
        topic: [(row.doc_id.partition("-")[2], row.grade) for row in rows]
        for topic, rows in collection.judgments.items()
    }


def test_topics_that_are_numbered_anew_for_each_corpus(tmp_path: Path) -> None:
    collection = read(request(tmp_path, CIRAL, ("en", "ha", "yo"), collection="ciral"))
    assert [tuple(query) for query in collection.queries["en"]] == [
        ("ha:7", "Where is Kano?"),
        ("ha:9", "Who rules?"),
        ("yo:7", "What is rain?"),
    ]
    assert collection.queries["ha"] == collection.documents["en"] == ()
    assert [tuple(row) for row in collection.documents["ha"]] == [
        (document_id("ciral", "ha", "", "VOA#1#0"), "Kano birni"),
        (document_id("ciral", "ha", "", "VOA#2#0"), "sarki"),
    ]
    assert relevant(collection) == {
        "ha:7": [("ha-VOA#1#0", 1)],
        "ha:9": [("ha-VOA#2#0", 1)],
        "yo:7": [("yo-BBC#1#0", 1)],
    }
    assert [row.doc_id.partition("-")[2] for row in collection.not_relevant["ha:7"]] == ["ha-VOA#2#0"]


def test_topics_that_are_shared_by_corpora(tmp_path: Path) -> None:
    collection = read(request(tmp_path, NEUCLIR, ("en", "fa", "ru"), id="id"))
    assert [query.topic_id for query in collection.queries["en"]] == ["200", "201"]
    assert [query.topic_id for query in collection.queries["fa"]] == ["200"]
    # Those in Chinese, which is not asked for, are left out.
    assert relevant(collection) == {"200": [("fa-a1", 3), ("ru-b1", 1)], "201": [("ru-b2", 1)]}
    assert [row.text for row in collection.documents["ru"]] == ["вода река", "рынок цены"]


@pytest.mark.parametrize("layout", [CIRAL, NEUCLIR], ids=["ciral", "neuclir"])
def test_some_languages_are_those_of_all_of_them(
    tmp_path: Path, layout: dict[tuple[str, str | None, str], str]
) -> None:
    every = ("en", "ha", "yo") if layout is CIRAL else ("en", "fa", "ru")
    asked = request(tmp_path, layout, every, id="docid" if layout is CIRAL else "id")
    files = tuple(source for source in asked.files if source.language in (None, *every[:2]))
    some = read(replace(asked, languages=every[:2], files=files))
    assert read.reads_languages_apart
    assert some.fingerprints() == read(asked).restrict(every[:2]).fingerprints()


def test_corpora_are_read_file_by_file(tmp_path: Path) -> None:
    asked = request(tmp_path, NEUCLIR, ("en", "fa", "ru"), id="id")
    sharded = read.shards(asked)
    assert [(shard.language, len(list(shard.documents()))) for shard in sharded.shards] == [
        ("fa", 1),
        ("ru", 1),
        ("ru", 1),
    ]
    assert [list(shard.documents(1)) for shard in sharded.shards] == [[], [], []]
    assert sharded.collection.judgments == read(asked).judgments
    assert len({shard.fingerprint() for shard in sharded.shards}) == 3


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {("qrels", None, "qrels.mlir.gains.txt"): "200 Q0 a1 3\n"},
            "line 1: the second column must be the document's",
        ),
        ({("queries", "en", "more.tsv"): "200\tagain\n"}, "more.tsv: topic '200' of 'en' is in another file as well"),
        ({("queries", "de", "news.deu.tsv"): "200\tFlut\n"}, "news.deu.tsv needs a language of the task, not 'de'"),
        ({("qrels", "fa", "bad.txt"): "200 fas a1\n"}, "bad.txt line 1: grade 'a1' is no number"),
        ({("documents", "fa", "x.jsonl"): '{"docid": "a"}\n'}, "line 1: must be an object with the strings 'id'"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, change: dict[tuple[str, str | None, str], str], fault: str) -> None:
    with pytest.raises(DataError, match=fault.replace("(", r"\(")):
        read(request(tmp_path, NEUCLIR | change, ("en", "fa", "ru"), id="id"))


def test_a_file_of_each_role_is_needed(tmp_path: Path) -> None:
    without = {key: content for key, content in NEUCLIR.items() if key[0] != "documents"}
    with pytest.raises(DataError, match="there is no file with the role 'documents'"):
        read(request(tmp_path, without, ("en", "fa", "ru")))
    with pytest.raises(UnknownName, match="option of the reader trec"):
        read(request(tmp_path, NEUCLIR, ("en", "fa", "ru"), key="id"))


def test_english_questions_are_measured_against_each_corpus_and_the_pool(tmp_path: Path) -> None:
    request(tmp_path, NEUCLIR, ("en", "fa", "ru"), id="id")
    files = [
        {"path": name, "role": role} | ({"language": language} if language else {}) for role, language, name in NEUCLIR
    ]
    lines = ['name = "small"', 'reader = "trec"', 'languages = ["en", "fa", "ru"]', 'documents = "native"']
    lines += ['settings = ["cross_lingual", "multilingual"]', 'measures = ["nDCG@20"]', 'primary_measure = "nDCG@20"']
    lines += ["[options]", 'id = "id"']
    for file in files:
        lines += ["[[files]]", *(f"{key} = {json.dumps(value)}" for key, value in file.items())]
    (tmp_path / "small.toml").write_text("\n".join(lines), encoding="utf-8")
    result = mlbench.evaluate("hashing", str(tmp_path / "small.toml")).result
    found = {(row.query_language, row.document_languages): row.n_queries for row in result.settings}
    assert found == {
        ("en", ("fa",)): 1,
        ("en", ("ru",)): 2,
        ("en", ("en", "fa", "ru")): 2,
        ("fa", ("ru",)): 1,
        ("fa", ("en", "fa", "ru")): 1,
    }


@pytest.mark.parametrize("name", ["ciral", "ciral-pools"])
def test_ciral_is_declared_for_this_reader(name: str) -> None:
    task = load_task(name)
    assert {file.role for file in task.files if file.language == "en"} == {
        f"queries/{language}" for language in ("ha", "so", "sw", "yo")
    }
    assert all(file.downloadable for file in task.files)


def test_the_fingerprint_of_a_corpus_follows_all_that_is_in_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"docid": "1", "id": "2", "text": "x"}\n', encoding="utf-8")
    usual = CorpusFile(path, "fa", "news")
    others = [CorpusFile(path, "fa", "news", "id"), CorpusFile(path, "zh", "news"), CorpusFile(path, "fa", "old")]
    for other in others:
        assert list(other.documents()) != list(usual.documents())
    assert len({each.fingerprint() for each in (usual, *others)}) == 4
    assert CorpusFile(path, "fa", "news", "docid").fingerprint() == usual.fingerprint()
