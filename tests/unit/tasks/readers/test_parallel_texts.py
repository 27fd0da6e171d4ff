import gzip
import json
from pathlib import Path

import pytest

from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.parallel_texts import read

ROWS = [
    {"id": "s-0", "texts": {"de": " Guten Tag. ", "en": "Hello.", "fr": "Bonjour."}, "doc": "a"},
    {"id": "s-1", "texts": {"de": "Ja."}, "doc": "a"},
    {"id": "s-2", "texts": {"fr": "Non."}, "doc": "b"},
]
LINES = "\n".join(json.dumps(row) for row in ROWS).encode() + b"\n"


def request(folder: Path, content: bytes, name: str = "lines.jsonl", **options: Parameter) -> ReadRequest:
    (folder / name).write_bytes(content)
    return ReadRequest("own", ("de", "en"), (SourceFile(folder / name),), options=options)


@pytest.mark.parametrize(("name", "content"), [("lines.jsonl", LINES), ("lines.jsonl.gz", gzip.compress(LINES))])
def test_each_sentence_is_a_query_and_a_document(tmp_path: Path, name: str, content: bytes) -> None:
    collection = read(request(tmp_path, content, name))
    assert [tuple(query) for query in collection.queries["de"]] == [("s-0", "Guten Tag."), ("s-1", "Ja.")]
    assert [document.text for document in collection.documents["de"]] == ["Guten Tag.", "Ja."]
    assert [document.text for document in collection.documents["en"]] == ["Hello."]
    assert {topic: [row.language for row in rows] for topic, rows in collection.judgments.items()} == {
        "s-0": ["de", "en"],
        "s-1": ["de"],
    }
    assert [row.language for row in collection.judged("de", "s-0")] == ["en"]
    assert collection.itself("en", "s-0") == (collection.documents["en"][0].doc_id,)
    assert collection.itself("en", "s-1") == ()
    assert (collection.clusters, collection.cluster_unit) == ({"s-0": "s-0", "s-1": "s-1"}, "topic")
    assert collection.restrict(("de",)).queries_are_documents


def test_language_tags_of_any_common_form(tmp_path: Path) -> None:
    row = b'{"id": "a", "texts": {"eng_Latn": "Hello.", "DEU": "Hallo.", "fr-CA": "Bonjour."}}'
    collection = read(request(tmp_path, row))
    assert {tag: [query.text for query in rows] for tag, rows in collection.queries.items()} == {
        "de": ["Hallo."],
        "en": ["Hello."],
    }


@pytest.mark.parametrize(
    ("options", "clusters"),
    [
        ({"cluster_key": "doc", "cluster_unit": "document"}, {"s-0": "a", "s-1": "a"}),
        ({"cluster_unit": "line"}, {"s-0": "s-0", "s-1": "s-1"}),
    ],
)
def test_clusters(tmp_path: Path, options: dict[str, Parameter], clusters: dict[str, str]) -> None:
    collection = read(request(tmp_path, LINES, **options))
    assert collection.clusters == clusters
    assert collection.cluster_unit == options["cluster_unit"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lines.jsonl: the file is empty"),
        (b"\n{\n", "lines.jsonl line 2: not valid JSON"),
        (b"\xff\n", "lines.jsonl line 1: not valid UTF-8"),
        (b"[]\n", "lines.jsonl line 1: must be an object with 'id' and 'texts'"),
        (b'{"texts": {"de": "x"}}\n', "line 1: 'id' must be a name without white space, not None"),
        (b'{"id": "a b", "texts": {"de": "x"}}\n', "line 1: 'id' must be a name without white space, not 'a b'"),
        (b'{"id": "a", "texts": "x"}\n', "line 1: 'texts' must be an object"),
        (b'{"id": "a", "texts": {"de": " "}}\n', "line 1: the sentence in 'de' must be a text that is not empty"),
        (b'{"id": "a", "texts": {"de": 3}}\n', "line 1: the sentence in 'de' must be a text that is not empty, not 3"),
        (b'{"id": "a", "texts": {"de": "x", "deu": "y"}}\n', "line 1: 'texts' has 'de' twice, once as 'deu'"),
        (b'{"id": "a", "texts": {"jp": "x"}}\n', "line 1: 'texts': 'jp' is not a language tag: did you mean ja?"),
        (LINES + LINES, "lines.jsonl line 4: id 's-0' is there twice"),
    ],
)
def test_faults(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(request(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_faults_of_options_and_of_a_packed_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean cluster_key"):
        read(request(tmp_path, LINES, cluster_keys="doc"))
    with pytest.raises(DataError, match="line 1: 'cluster', which names the cluster, must be a text"):
        read(request(tmp_path, LINES, cluster_key="cluster"))
    with pytest.raises(DataError, match=r"lines.jsonl.gz is (damaged|cut short) after line .*: fetch it again"):
        read(request(tmp_path, gzip.compress(LINES)[:-9], "lines.jsonl.gz"))
