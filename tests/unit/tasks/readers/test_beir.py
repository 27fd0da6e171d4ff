"""The layouts of BEIR and mteb: what a folder gives, and the small inputs that go wrong elsewhere."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from mlbench.collection.records import Collection, document_id
from mlbench.errors import DataError, InvalidTask, UserError
from mlbench.evaluation.streaming.corpus import look_through
from mlbench.protocols import Silence
from mlbench.tasks.load import load_collection, load_shards
from mlbench.tasks.task import Task, load_task

CORPUS = [
    {"_id": "0", "title": "Rivers", "text": "They rise in the hills."},
    {"_id": "1", "title": "", "text": "Salt is won from the sea."},
    {"_id": "2", "text": " Sails use the wind. "},
]
QUERIES = [{"_id": "q0", "text": "where do rivers rise"}, {"_id": "q1", "text": "how is salt won", "metadata": {}}]
QRELS = "query-id\tcorpus-id\tscore\nq0\t0\t1\nq1\t1\t2\n"


class Notes(Silence):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(folder: Path, **files: bytes | str) -> Path:
    """Write a folder in BEIR's layout; `corpus`, `queries`, `test` and `dev` replace or add files."""
    whole: dict[str, bytes | str] = {"corpus": lines(CORPUS), "queries": lines(QUERIES), "test": QRELS} | files
    for name, content in whole.items():
        path = folder / (f"{name}.jsonl" if name in ("corpus", "queries") else f"qrels/{name}.tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def task_of(folder: Path, toml: str = "") -> Task:
    if toml:
        (folder / "task.toml").write_text(toml, "utf-8")
    return load_task(str(folder), languages=("en",))


def read(folder: Path, toml: str = "", notes: Notes | None = None) -> Collection:
    return load_collection(task_of(folder, toml), progress=notes or Notes())


def doc(own_id: str, folder: Path, language: str = "en") -> str:
    return document_id(folder.name.replace("_", "-"), language, "", own_id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "set"


def judged(collection: Collection) -> dict[str, dict[str, int]]:
    """Return by topic the grade of each document, by its name in the files."""
    return {
        topic: {row.doc_id.split("-", 2)[2]: row.grade for row in rows} for topic, rows in collection.judgments.items()
    }


def test_a_folder_is_a_task(folder: Path) -> None:
    task = task_of(write(folder))
    assert (task.reader, task.languages, task.primary_measure) == ("beir", ("en",), "nDCG@10")
    collection = read(folder)
    # Title and text are joined as in BEIR's and mteb's code: with a blank, stripped, and no blank without a title.
    assert collection.documents["en"] == (
        (doc("0", folder), "Rivers They rise in the hills."),
        (doc("1", folder), "Salt is won from the sea."),
        (doc("2", folder), "Sails use the wind."),
    )
    assert collection.queries["en"] == (("q0", "where do rivers rise"), ("q1", "how is salt won"))
    assert judged(collection) == {"q0": {"0": 1}, "q1": {"1": 2}}


def test_a_folder_whose_language_nothing_tells_says_what_to_do(folder: Path) -> None:
    with pytest.raises(InvalidTask, match="languages: the data do not say theirs: add --languages TAG"):
        load_task(str(write(folder)))


@pytest.mark.parametrize(
    "qrels",
    [
        "q0\t0\t1\nq1\t1\t2\n",
        "\ufeffquery-id\tcorpus-id\tscore\r\nq0\t0\t1\r\nq1\t1\t2\r\n",
        "corpus_id\tquery_id\tnote\tscore\n0\tq0\tx\t1\n1\tq1\ty\t2\n",
        "query-id\tcorpus-id\tscore\textra\nq0\t0\t1\ta\nq1\t1\t2\tb\n",
        "# of the annotators\nq0 0 1\nq1 1 2\n",
        "q0\t0\t0\t1\nq1\tQ0\t1\t2\n",
        'query-id\tcorpus-id\tscore\n"q0"\t"0"\t1.0\nq1\t1\t2.0\n',
        "query-id\tcorpus-id\tscore\nq0\t0\t1\nq1\t1\t1\nq1\t1\t2\n",
        "query-id\tcorpus-id\tscore\nq0\t0\t1\n\nq1\t1\t2\nq1\t0\t0\nq1\t2\t-1\n",
        "query-id\tcorpus-id\tscore\nq0\t0\t1\nq1\t1\t2\nq9\t1\t1\n",
    ],
)
def test_judgments_are_understood_however_their_table_is_written(folder: Path, qrels: str) -> None:
    assert judged(read(write(folder, test=qrels))) == {"q0": {"0": 1}, "q1": {"1": 2}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("test.csv", "query-id,corpus-id,score\nq0,0,1\nq1,1,2\n"),
        (
            "test.jsonl",
            '{"query-id": "q0", "corpus-id": 0, "score": 1}\n{"query_id": "q1", "corpus_id": "1", "score": 2.0}\n',
        ),
    ],
)
def test_judgments_may_be_lines_of_other_kinds(folder: Path, name: str, content: str) -> None:
    write(folder)
    (folder / "qrels" / "test.tsv").unlink()
    (folder / "qrels" / name).write_text(content, "utf-8")
    assert judged(read(folder)) == {"q0": {"0": 1}, "q1": {"1": 2}}


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q0\t0\n", r"qrels/test.tsv line 1: must be 'topic 0 document grade'"),
        ("q0\t0\t1\nq1\t1\tyes\n", r"qrels/test.tsv line 2: the score 'yes' is no number"),
        ("q0\t0\tnan\n", r"qrels/test.tsv line 1: the score 'nan' is no number"),
        ("q0\t\t1\n", r"qrels/test.tsv line 1: must be 'topic 0 document grade', with no column empty"),
        ("", r"qrels/test.tsv: no judgment of any topic"),
    ],
)
def test_a_fault_of_judgments_is_told_with_its_line(folder: Path, qrels: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(folder, test=qrels))


def test_documents_that_are_missing_stay_in_the_denominators(folder: Path) -> None:
    notes = Notes()
    assert judged(read(write(folder, test="q0\t0\t1\nq0\t77\t1\n"), notes=notes))["q0"] == {"0": 1, "77": 1}
    assert "set: 1 relevant document is in no corpus and counts as never found" in notes.lines


@pytest.mark.parametrize("prefix", ["d", "0", '"'])
def test_ids_that_the_corpus_writes_in_another_way_are_a_fault(folder: Path, prefix: str) -> None:
    with pytest.raises(DataError, match="none of the 2 relevant documents is in a corpus: write ids"):
        read(write(folder, test=f"q0\t{prefix}0\t1\nq1\t{prefix}1\t1\n"))


def test_what_is_left_out_is_counted(folder: Path) -> None:
    queries = [*QUERIES, {"_id": "q2", "text": "never judged"}, {"_id": "q3", "text": " "}, {"_id": "q4", "text": None}]
    notes = Notes()
    collection = read(write(folder, queries=lines(queries), test=QRELS + "q3\t0\t1\nq1\t1\t1\n"), notes=notes)
    assert [query.topic_id for query in collection.queries["en"]] == ["q0", "q1"]
    # The last of two judgments counts, as in BEIR's and mteb's code.
    assert judged(collection)["q1"] == {"1": 1}
    assert notes.lines == [
        "set: queries without text, left out: 2",
        "set: judgments of topics without a query, left out: 1",
        "set: documents with several grades for a topic, of which the last counts: 1",
        "set: queries without judgments, left out: 1",
    ]


def test_a_document_without_text_is_left_out(folder: Path) -> None:
    corpus = [*CORPUS, {"_id": "3", "title": "", "text": " "}, {"_id": "4", "title": None, "text": None}]
    corpus.append({"_id": "5", "title": "Only a title", "text": ""})
    collection = read(write(folder, corpus=lines(corpus)))
    assert [document.text for document in collection.documents["en"]][2:] == ["Sails use the wind.", "Only a title"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"_id": "9"}, r"corpus.jsonl line 4: 'text' must be a text, not None"),
        ({"_id": "9", "text": ["a"]}, r"corpus.jsonl line 4: 'text' must be a text"),
        ({"_id": "9", "text": "a", "title": 7}, r"corpus.jsonl line 4: 'title' must be a text, not 7"),
        ({"text": "a"}, r"corpus.jsonl line 4: an id must be a string or a whole number, not None"),
        ({"_id": 1.5, "text": "a"}, r"corpus.jsonl line 4: an id must be a string or a whole number, not 1.5"),
        ({"_id": "", "text": "a"}, r"corpus.jsonl line 4: '_id' '' is empty"),
        ({"_id": "2", "text": "a"}, r"document \S+-en-2 is there twice"),
        ({"_id": "9", "text": "half \ud800"}, r"half of a surrogate pair"),
    ],
)
def test_a_fault_of_documents_is_told_with_its_line(folder: Path, row: dict[str, object], message: str) -> None:
    corpus = "".join(json.dumps(row) + "\n" for row in [*CORPUS, row])
    with pytest.raises(DataError, match=message):
        read(write(folder, corpus=corpus))


def test_ids_may_be_numbers_and_files_compressed(folder: Path) -> None:
    rows = [{"id": number, "text": row["text"]} for number, row in enumerate(CORPUS)]
    write(folder, queries=b"\xef\xbb\xbf" + lines(QUERIES).replace(b"\n", b"\r\n"))
    (folder / "corpus.jsonl").unlink()
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(lines(rows)))
    collection = read(folder)
    assert [document.doc_id for document in collection.documents["en"]] == [doc(str(n), folder) for n in range(3)]
    assert judged(collection) == {"q0": {"0": 1}, "q1": {"1": 2}}


def test_the_split_is_test_or_the_only_one_or_the_one_that_is_asked_for(folder: Path) -> None:
    write(folder, dev="query-id\tcorpus-id\tscore\nq0\t2\t1\n")
    assert set(judged(read(folder))) == {"q0", "q1"}
    assert judged(read(folder, '[options]\nsplit = "dev"')) == {"q0": {"2": 1}}
    with pytest.raises(DataError, match=r"set: there are no qrels of the split 'train', but of dev, test: choose one"):
        read(folder, '[options]\nsplit = "train"')
    (folder / "task.toml").unlink()
    (folder / "qrels" / "test.tsv").unlink()
    assert judged(read(folder)) == {"q0": {"2": 1}}
    write(folder, train=QRELS)
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(DataError, match=r"no qrels of the split 'test', but of dev, train"):
        read(folder)


def test_grades_and_threshold(folder: Path) -> None:
    write(folder, test="q0\t0\t0.5\nq0\t2\t0\nq1\t1\t2\n")
    assert judged(read(folder)) == {"q0": {}, "q1": {"1": 2}}
    assert judged(read(folder, "[options]\nrelevance_threshold = 0.5")) == {"q0": {"0": 1}, "q1": {"1": 4}}


def test_a_query_that_is_a_document_is_left_out_by_option(folder: Path) -> None:
    corpus = [*CORPUS, *({"_id": row["_id"], "text": row["text"]} for row in QUERIES)]
    notes = Notes()
    read(write(folder, corpus=lines(corpus)), notes=notes)
    assert any("2 queries are documents of the corpora" in line for line in notes.lines)
    collection = read(folder, "ignore_identical_ids = true")
    assert collection.itself("en", "q0") == (doc("q0", folder),)


def test_languages_of_a_folder_of_folders_are_apart(tmp_path: Path) -> None:
    write(tmp_path / "de")
    write(tmp_path / "th", test="q0\t1\t1\n")
    task = load_task(str(tmp_path))
    collection = load_collection(task)
    assert set(collection.judgments) == {"de:q0", "de:q1", "th:q0"}
    assert [row.language for row in collection.judgments["th:q0"]] == ["th"]
    assert len(load_collection(task, languages=["th"]).documents["th"]) == 3
    (tmp_path / "task.toml").write_text("parallel = true", "utf-8")
    task = load_task(str(tmp_path))
    assert task.settings == ("monolingual", "cross_lingual", "multilingual")
    assert {row.language for row in load_collection(task).judgments["q0"]} == {"de", "th"}


def test_a_task_file_takes_some_of_the_languages(tmp_path: Path) -> None:
    for name in ("de", "th", "en-th"):
        write(tmp_path / name)
    (tmp_path / "task.toml").write_text('languages = ["de"]', "utf-8")
    collection = load_collection(load_task(str(tmp_path)))
    assert (collection.languages, set(collection.judgments)) == (("de",), {"de:q0", "de:q1"})
    (tmp_path / "task.toml").write_text('languages = ["de"]\nparallel = true', "utf-8")
    collection = load_collection(load_task(str(tmp_path)))
    assert {row.language for rows in collection.judgments.values() for row in rows} == {"de"}
    (tmp_path / "task.toml").write_text('languages = ["en", "th"]', "utf-8")
    collection = load_collection(load_task(str(tmp_path)))
    assert set(collection.judgments) == {"en:q0", "en:q1", "th:q0", "th:q1"}


def test_queries_of_one_language_are_judged_in_corpora_of_others(tmp_path: Path) -> None:
    write(tmp_path / "en-fa")
    write(tmp_path / "en-ru", test="q0\t1\t1\n")
    task = load_task(str(tmp_path))
    collection = load_collection(task)
    assert [(row.language, row.doc_id[13:]) for row in collection.judgments["en:q0"]] == [
        ("fa", "fa-0"),
        ("ru", "ru-1"),
    ]
    assert (len(collection.queries["en"]), len(collection.queries["fa"])) == (2, 0)
    assert task.settings == ("cross_lingual", "multilingual")


def test_a_topic_that_has_two_texts_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "en-fa")
    write(tmp_path / "en-ru", queries=lines([{"_id": "q0", "text": "another question"}]))
    with pytest.raises(DataError, match=r"en-ru/queries.jsonl line 1: query 'q0' has another text before"):
        load_collection(load_task(str(tmp_path)))


def test_shards_give_what_reading_whole_gives(folder: Path) -> None:
    task = task_of(write(folder))
    _, sharded = load_shards(task)
    (shard,) = sharded.shards
    assert tuple(shard.documents(0)) == read(folder).documents["en"]
    assert tuple(shard.documents(1)) == read(folder).documents["en"][1:]
    before = shard.fingerprint()
    write(folder, corpus=lines(CORPUS[:2]))
    assert shard.fingerprint() != before


def test_a_corpus_is_read_line_by_line(folder: Path) -> None:
    (shard,) = load_shards(task_of(write(folder, corpus=lines(CORPUS) + b"no JSON\n")))[1].shards
    documents = shard.documents(0)
    assert [next(documents).text for _ in CORPUS][-1] == "Sails use the wind."
    with pytest.raises(DataError, match=r"set/corpus.jsonl line 4: not valid JSON"):
        next(documents)


def test_the_layout_of_mteb_is_read_from_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def put(path: str, rows: list[dict[str, object]]) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / path)

    for tag in ("de", "th"):
        put(f"{tag}-corpus/test-00000-of-00002.parquet", [{"id": "0", "title": "T", "text": f"{tag} zero"}])
        put(f"{tag}-corpus/test-00001-of-00002.parquet", [{"id": "1", "title": None, "text": f"{tag} one"}])
        put(f"{tag}-queries/test-00000-of-00001.parquet", [{"id": "q", "text": f"{tag}?", "instruction": "Find it."}])
        put(f"{tag}-qrels/test-00000-of-00001.parquet", [{"query-id": "q", "corpus-id": "1", "score": 1}])
    collection = load_collection(load_task(str(tmp_path)))
    assert [document.text for document in collection.documents["th"]] == ["T th zero", "th one"]
    assert collection.queries["de"] == (("de:q", "de? Find it."),)
    assert judged(collection) == {"de:q": {"1": 1}, "th:q": {"1": 1}}
    (tmp_path / "de-corpus" / "test-00000-of-00002.parquet").write_bytes(b"PAR1 nothing else PAR1")
    with pytest.raises(
        DataError, match=r"de-corpus/test-00000-of-00002.parquet cannot be read after row 0 \(.*fetch it"
    ):
        load_collection(load_task(str(tmp_path)))


def test_a_task_file_that_names_another_role_is_refused(folder: Path) -> None:
    write(folder)
    toml = 'reader = "beir"\nlanguages = ["en"]\n[[files]]\npath = "corpus.jsonl"\nrole = "documents"'
    with pytest.raises(UserError, match="the role 'documents' is none of corpus, queries, qrels"):
        read(folder, toml)


def test_languages_are_understood_in_any_form_and_varieties_stay_apart(tmp_path: Path) -> None:
    for name in ("eng-zho_Hans", "eng-por", "eng-pt_BR"):
        write(tmp_path / name)
    task = load_task(str(tmp_path))
    assert task.languages == ("en", "pt", "pt-br", "zh")
    collection = load_collection(task)
    assert {row.language for row in collection.judgments["en:q0"]} == {"pt", "pt-br", "zh"}


def test_columns_that_nothing_needs_are_not_read_from_parquet(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    late = pa.array([2**60], pa.timestamp("us"))
    texts = {"corpus": {"_id": ["0"], "text": ["A river."]}, "queries": {"_id": ["q"], "text": ["which river"]}}
    for kind, columns in texts.items():
        (tmp_path / kind).mkdir()
        parquet.write_table(pa.table(columns | {"seen": late}), tmp_path / kind / "test.parquet")
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t0\t1\n", "utf-8")
    assert [document.text for document in read(tmp_path).documents["en"]] == ["A river."]
    lengths = b"".join(number.to_bytes(4, "little") for number in (0, 2))
    odd = pa.StringArray.from_buffers(1, pa.py_buffer(lengths), pa.py_buffer(b"\xff\xfe"))
    parquet.write_table(pa.table({"_id": ["0"], "text": odd}), tmp_path / "corpus/test.parquet")
    with pytest.raises(DataError, match=r"corpus/test.parquet cannot be read after row 0 \('utf-8' codec can't decode"):
        read(tmp_path)


@pytest.mark.parametrize("file", ["corpus", "queries"])
@pytest.mark.parametrize("key", ["_id", "text"])
def test_half_a_character_is_told_however_the_folder_is_read(tmp_path: Path, file: str, key: str) -> None:
    rows = [dict(row) for row in (CORPUS if file == "corpus" else QUERIES)]
    rows[0][key] = "a\ud800"
    qrels = QRELS.replace("q0\t0", "a\ud800\t0") if (file, key) == ("queries", "_id") else QRELS
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    folder = write(tmp_path, **{file: content}, test=qrels.encode("utf-8", "surrogatepass"))
    for reads in (load_collection, look_through):
        with pytest.raises(DataError, match=r"holds half of a surrogate pair|not valid UTF-8"):
            reads(task_of(folder))
