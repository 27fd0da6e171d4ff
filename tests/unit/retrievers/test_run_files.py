import gzip
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query, document_id
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Ranker, Runtime
from mlbench.retrievers.run_files import RunRanker

IDS = {language: [document_id("t", language, "p", str(i)) for i in range(4)] for language in ("en", "th")}
DOCUMENTS = {language: [Document(doc_id, "text") for doc_id in ids] for language, ids in IDS.items()}
QUERIES = [Query("q1", "one"), Query("q2", "two")]
MONO, POOL = Setting("en", ("en",)), Setting("en", ("th", "en"))


def write(path: Path, *rows: tuple[str, str, object]) -> None:
    path.write_text("".join(f"{topic} Q0 {doc} 1 {score} tag\n" for topic, doc, score in rows), encoding="utf-8")


def opened(folder: Path) -> RunRanker:
    ranker = open_retriever(f"run:{folder}", {}, Runtime())
    assert isinstance(ranker, Ranker)
    assert isinstance(ranker, RunRanker)
    return ranker


def search(folder: Path, setting: Setting = MONO, depth: int = 10) -> list[list[str]]:
    documents = [document for language in setting.document_languages for document in DOCUMENTS[language]]
    return opened(folder).search(setting, QUERIES, documents, depth)


def test_lists_are_ordered_by_score_then_id_descending(tmp_path: Path) -> None:
    a, b, c, d = sorted(IDS["en"])
    write(tmp_path / "en-en.trec", ("q1", a, 2), ("q1", d, "1e-3"), ("q1", c, 2), ("q1", b, "-7"), ("q2", b, 1))
    assert search(tmp_path) == [[c, a, d, b], [b]]
    assert search(tmp_path, depth=2) == [[c, a], [b]]


def test_scores_keep_double_precision(tmp_path: Path) -> None:
    a, b = sorted(IDS["en"])[:2]
    write(tmp_path / "en-en.trec", ("q1", a, "0.1000000000000002"), ("q1", b, "0.1000000000000001"))
    assert search(tmp_path)[0] == [a, b]


@given(st.dictionaries(st.sampled_from(IDS["en"]), st.floats(-3, 3, allow_nan=False)))
def test_same_order_as_pytrec_eval(scores: dict[str, float]) -> None:
    from tempfile import TemporaryDirectory

    pytrec_eval = pytest.importorskip("pytrec_eval")
    rounded = {doc_id: round(score) for doc_id, score in scores.items()}
    with TemporaryDirectory() as folder:
        write(Path(folder) / "en-en.trec", *(("q1", doc_id, score) for doc_id, score in rounded.items()))
        (found, empty) = search(Path(folder))
    assert empty == []
    assert sorted(found) == sorted(rounded)
    for place, doc_id in enumerate(found, 1):
        run = {"q1": {name: float(score) for name, score in rounded.items()}}
        measured = pytrec_eval.RelevanceEvaluator({"q1": {doc_id: 1}}, {"recip_rank"}).evaluate(run)
        assert measured["q1"]["recip_rank"] == pytest.approx(1 / place)


def test_documents_may_be_named_without_their_hash(tmp_path: Path) -> None:
    write(tmp_path / "en-all.trec", ("q1", "th-p-2", 1), ("q1", IDS["en"][0], 2))
    assert search(tmp_path, POOL)[0] == [IDS["en"][0], IDS["th"][2]]


def test_the_full_name_of_a_pool_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "en-all.trec", ("q1", "th-p-2", 1))
    write(tmp_path / "en-en+th.trec", ("q1", "en-p-1", 1))
    assert search(tmp_path, POOL)[0] == [IDS["en"][1]]


def test_compressed_files(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "en-en.trec.gz", "wt", encoding="utf-8") as file:
        file.write("q2 Q0 en-p-3 1 0.5 tag\n\n")
    assert search(tmp_path) == [[], [IDS["en"][3]]]
    (tmp_path / "en-en.trec.gz").write_bytes((tmp_path / "en-en.trec.gz").read_bytes()[:-9])
    with pytest.raises(RetrieverError, match=r"en-en.trec.gz, after line \d: cannot be read"):
        search(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q9 Q0 en-p-1 1 1 tag", "line 2: topic 'q9' is no query in en"),
        ("q1 Q0 th-p-1 1 1 tag", "line 2: document 'th-p-1' is not among those in en"),
        ("q1 Q0 en-p-0 1 1 tag", "line 2: document 'en-p-0' is listed twice for topic 'q1'"),
        (f"q1 Q0 {IDS['en'][0]} 1 1 tag", "is listed twice for topic 'q1'"),
        ("q1 Q0 en-p-1 1 nan tag", "line 2: score 'nan' is not a finite number"),
        ("q1 Q0 en-p-1 1 inf tag", "line 2: score 'inf' is not a finite number"),
        ("q1 Q0 en-p-1 1 high tag", "line 2: score 'high' is not a finite number"),
        ("q1 en-p-1 1 1", r"line 2: need 6 fields \(topic Q0 document rank score tag\), found 4"),
    ],
)
def test_faults_name_file_and_line(row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "en-en.trec").write_text(f"q1 Q0 en-p-0 1 1 tag\n{row}\n", encoding="utf-8")
    with pytest.raises(RetrieverError, match=message) as caught:
        search(tmp_path)
    assert "en-en.trec, line 2: " in str(caught.value)


def test_ambiguous_short_name_is_unknown(tmp_path: Path) -> None:
    twins = [Document("0123456789ab-x", ""), Document("ba9876543210-x", "")]
    write(tmp_path / "en-en.trec", ("q1", "x", 1))
    with pytest.raises(RetrieverError, match="document 'x' is not among those in en"):
        opened(tmp_path).search(MONO, QUERIES, twins, 10)
    write(tmp_path / "en-en.trec", ("q1", "ba9876543210-x", 1))
    assert opened(tmp_path).search(MONO, QUERIES, twins, 10)[0] == ["ba9876543210-x"]


def test_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "th-th.trec")
    with pytest.raises(RetrieverError, match=r"no en-en.trec \(nor with .gz\)"):
        search(tmp_path)
    with pytest.raises(RetrieverError, match=r"no en-en\+th.trec or en-all.trec"):
        search(tmp_path, POOL)


@pytest.mark.parametrize("locator", ["", "no-such-folder"])
def test_no_folder(locator: str) -> None:
    with pytest.raises(RetrieverError, match="write run:FOLDER"):
        open_retriever(f"run:{locator}", {}, Runtime())


def test_folder_without_run_files(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="no run files"):
        opened(tmp_path)


def test_fingerprint_follows_names_and_content(tmp_path: Path) -> None:
    write(tmp_path / "en-en.trec", ("q1", "en-p-1", 1))
    first = opened(tmp_path).fingerprint()
    assert opened(tmp_path).fingerprint() == first
    (tmp_path / "en-en.trec").rename(tmp_path / "en-th.trec")
    second = opened(tmp_path).fingerprint()
    write(tmp_path / "en-th.trec", ("q1", "en-p-1", 2))
    assert len({first, second, opened(tmp_path).fingerprint()}) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"x" * 2**26), "en-en.trec.gz, line 1: longer than 65,536 characters"),
        (gzip.compress(b" " * 2**26), "en-en.trec.gz, line 1: longer than 65,536 characters"),
        (gzip.compress(b"\n" * 2**26), "en-en.trec.gz: more than 100,000 blank lines"),
        (gzip.compress(b"\xff" * 2**26), "after line 0: cannot be read: 'utf-8' codec can't decode"),
        (gzip.compress(b"q1")[:10] + b"\xff" * 20, "after line 0: cannot be read: Error -3"),
        (b"plain", "after line 0: cannot be read: Not a gzipped file"),
    ],
    ids=["one line", "blanks", "blank lines", "no text", "broken stream", "no gzip"],
)
def test_a_compressed_file_takes_no_more_than_it_should(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "en-en.trec.gz").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(RetrieverError, match=says):
            search(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_folder_is_no_run_file(tmp_path: Path) -> None:
    write(tmp_path / "en-en.trec", ("q1", "en-p-1", 1))
    before = opened(tmp_path).fingerprint()
    (tmp_path / "en-th.trec").mkdir()
    assert opened(tmp_path).fingerprint() == before


@pytest.mark.parametrize("name", ["image-en+th.trec", "image-all.trec"])
def test_images_ask_a_pool_of_captions(tmp_path: Path, name: str) -> None:
    english, thai = IDS["en"][0], IDS["th"][0]
    write(tmp_path / name, ("q1", thai, 2), ("q1", english, 1))
    assert search(tmp_path, Setting("image", ("en", "th"))) == [[thai, english], []]
    with pytest.raises(RetrieverError, match=r"no image-en\.trec \(nor with \.gz\)"):
        search(tmp_path, Setting("image", ("en",)))
