import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query, document_id
from mlbench.errors import RetrieverError
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
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


@pytest.mark.parametrize("name", ["EN-eng.trec", "eng_Latn-en_US.run", "en-Latn-en.tsv", "ENG-EN.csv.gz"])
def test_files_are_found_by_any_form_of_their_languages(tmp_path: Path, name: str) -> None:
    a, b, *_ = sorted(IDS["en"])
    text = f"q1 Q0 {a} 1 2 tag\nq1 Q0 {b} 2 1 tag\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert search(tmp_path) == [[a, b], []]
    write(tmp_path / "en-en.trec", ("q1", b, 2))
    assert search(tmp_path) == [[b], []]


@pytest.mark.parametrize("name", ["eng-tha+eng.trec", "en-TH+EN.trec", "eng-all.trec"])
def test_a_pool_is_found_by_any_form_and_order_of_its_languages(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, ("q1", IDS["en"][0], 1))
    write(tmp_path / "en-tha.trec", ("q2", IDS["th"][0], 1))
    assert search(tmp_path, POOL) == [[IDS["en"][0]], []]
    assert search(tmp_path, Setting("en", ("th",))) == [[], [IDS["th"][0]]]
    with pytest.raises(RetrieverError, match=r"no en-en\.trec"):
        search(tmp_path)


def test_two_files_of_one_setting_in_two_forms_are_told(tmp_path: Path) -> None:
    for name in ("eng-eng.trec", "EN-EN.trec"):
        write(tmp_path / name, ("q1", IDS["en"][0], 1))
    with pytest.raises(RetrieverError, match="are of one setting: keep one"):
        search(tmp_path)


def test_scores_have_32_bits(tmp_path: Path) -> None:
    a, b, c, d = sorted(IDS["en"])
    rows = (("q1", a, "0.10000000000002"), ("q1", b, "0.1"), ("q1", c, "-1e300"), ("q1", d, "-1e301"))
    write(tmp_path / "en-en.trec", *rows)
    assert search(tmp_path)[0] == [b, a, d, c]


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
        (
            "q1 en-p-1 1 1",
            "line 2: must be 'topic Q0 document rank score tag', .* and no blank in an id, not 'q1 en-p-1 1 1'",
        ),
        ("q1 Q0 en-p-1 1 1 my run", "line 2: must be 'topic Q0 document rank score tag'"),
        ("#q1 Q0 en-p-1 1 1 tag\nq1 Q0 en-p-1 1 x tag", "line 3: score 'x' is not a finite number"),
    ],
)
def test_faults_name_file_and_line(row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "en-en.trec").write_text(f"q1 Q0 en-p-0 1 1 tag\n{row}\n", encoding="utf-8")
    with pytest.raises(RetrieverError, match=message) as caught:
        search(tmp_path)
    assert "en-en.trec, line " in str(caught.value)


def test_an_ambiguous_name_is_told(tmp_path: Path) -> None:
    twins = [Document("0123456789ab-x", ""), Document("ba9876543210-x", "")]
    write(tmp_path / "en-en.trec", ("q1", "x", 1))
    with pytest.raises(RetrieverError, match="2 documents of this pool are called 'x': write 0123456789ab-x or ba98"):
        opened(tmp_path).search(MONO, QUERIES, twins, 10)
    write(tmp_path / "en-en.trec", ("q1", "ba9876543210-x", 1))
    assert opened(tmp_path).search(MONO, QUERIES, twins, 10)[0] == ["ba9876543210-x"]


def test_documents_and_topics_have_the_names_of_the_tasks_files(tmp_path: Path) -> None:
    queries = [Query("en:7", "one"), Query("en-x", "two"), Query("7", "three")]
    ids = [document_id("t", language, "", name) for language in ("en", "th") for name in ("d1", "en-d1")]
    documents = [Document(doc_id, "text") for doc_id in ids]
    rows = (("en:7", "d1", 2), ("en:7", "en-d1", 1), ("x", "d1", 1), ("7", "d1", 1))
    write(tmp_path / "en-en.trec", *rows)
    # A name in the files comes before one with the language in front.
    assert opened(tmp_path).search(MONO, queries, documents[:2], 9) == [ids[:2], [ids[0]], [ids[0]]]
    write(tmp_path / "en-th.trec", *rows)
    assert opened(tmp_path).search(Setting("en", ("th",)), queries, documents[2:], 9)[0] == ids[2:]


@pytest.mark.parametrize("sign", [":", "-"])
def test_a_name_of_several_languages_needs_its_language(tmp_path: Path, sign: str) -> None:
    documents = [Document(document_id("t", language, "", "d1"), "text") for language in ("en", "th")]
    write(tmp_path / "en-all.trec", ("q1", "d1", 1))
    with pytest.raises(RetrieverError, match=r"line 1: 2 documents .* called 'd1': write en:d1 or th:d1"):
        opened(tmp_path).search(POOL, QUERIES, documents, 9)
    write(tmp_path / "en-all.trec", ("q1", f"th{sign}d1", 1))
    assert opened(tmp_path).search(POOL, QUERIES, documents, 9)[0] == [documents[1].doc_id]


A, B, C = (f"en-p-{number}" for number in (1, 2, 3))
IN_ORDER = [IDS["en"][2], IDS["en"][1]]


@pytest.mark.parametrize(
    "content",
    [
        f"q1 Q0 {A} 2 1.5 r\nq1 Q0 {B} 1 2.5 r\n",
        f"# made on Monday\n#\n\nq1 Q0 {A} 2 1.5 r\n# and more: 1 2 3\nq1 Q0 {B} 1 2.5 r\n",
        f"qid Q0 docno rank score tag\nq1 Q0 {A} 2 1.5 r\nq1 Q0 {B} 1 2.5 r\n",
        f"qid\t0\tdocno\trank\tscore\ttag\nq1\tQ0\t{A}\t2\t1.5\tmy run\nq1\tQ0\t{B}\t1\t2.5\tmy run\n",
        f"query-id\tcorpus-id\tscore\nq1\t{A}\t1.5\nq1\t{B}\t2.5\n",
        f"# query_id doc_id score\nq1 {A} 1.5\nq1 {B} 2.5\n",
        f"qid\tdocid\tdocno\trank\tscore\tquery\nq1\t7\t{A}\t1\t1.5\tone two\nq1\t8\t{B}\t0\t2.5\tone two\n",
        f",qid,docno,score\n0,q1,{A},1.5\n1,q1,{B},2.5\n",
        f'"qid","docno","score"\n"q1","{A}",1.5\n"q1","{B}",2.5\n',
        f"Topic;Document;Score\nq1;{A};1,5\nq1;{B};2,5\n",
        f"q1;{A};1,5\nq1;{B};2,5\n",
        f"q1,{A},1.5\nq1,{B},2.5\n",
        f"q1, Q0, {A}, 2, 1.5, r\nq1, Q0, {B}, 1, 2.5, r\n",
        f'"q1"\t"{A}"\t1.5\n"q1"\t"{B}"\t2.5\n',
        f"q1 Q0 {A} 2 1.5\nq1 Q0 {B} 1 2.5\n",
        f"q1 {A} 2 1.5 r\nq1 {B} 1 2.5 r\n",
        f"q1 Q0 {A} 1.5 r\nq1 Q0 {B} 2.5 r\n",
        f"q1 0 {A} 1.5\nq1 0 {B} 2.5\n",
        f"q1 {A} 2 1.5\nq1 {B} 1 2.5\n",
        f"q1 {A} 1.5 r\nq1 {B} 2.5 r\n",
        f"q1 {A} 1\nq1 {B} 3\n",
        f"q1 {A} 2\nq1 {B} 3\nq2 {C} 1\n",
        f"qid,docno,score\nq1,{A},1.5\nqid,docno,score\nq1,{B},2.5\n",
        f'{{"q1": {{"{A}": 1.5, "{B}": 2.5}}, "q2": {{}}}}',
        f'\n {{ "q1" : {{"{A}": 1, "{B}": 2}}}}',
        f'{{"mteb_model_meta": {{"revision": "1"}}, "default": {{"test": {{"q1": {{"{A}": 1, "{B}": 2}}}}}}}}',
    ],
)
@pytest.mark.parametrize("written", ["plain", "packed", "spreadsheet", "UTF-16"])
def test_lists_as_tools_write_them(content: str, written: str, tmp_path: Path) -> None:
    path = tmp_path / "en-en.csv"
    if written == "plain":
        path.write_text(content, encoding="utf-8")
    elif written == "packed":
        path.write_bytes(gzip.compress(content.encode()))
    elif written == "spreadsheet":
        path.write_bytes(b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode())
    else:
        path.write_bytes(content.encode("utf-16"))
    assert search(tmp_path)[0] == IN_ORDER
    assert opened(path).search(MONO, QUERIES, DOCUMENTS["en"], 9)[0] == IN_ORDER


@pytest.mark.parametrize(
    "content", [f"q1\t{A}\t1\nq1\t{B}\t2\nq2\t{C}\t1\n", f"qid,docno,rank\nq1,{A},3\nq1,{B},7\nq2,{C},1\n"]
)
def test_ranks_without_scores_are_ranks(content: str, tmp_path: Path) -> None:
    (tmp_path / "en-en.tsv").write_text(content, encoding="utf-8")
    first, second = opened(tmp_path).search_scored(MONO, QUERIES, DOCUMENTS["en"], 9)
    assert first.doc_ids == [IDS["en"][1], IDS["en"][2]]
    assert second.doc_ids == [IDS["en"][3]]
    assert first.scores is None
    assert second.scores is None


def test_a_topic_that_looks_like_a_comment_or_a_header_is_a_topic(tmp_path: Path) -> None:
    queries = [Query("#q1", "one"), Query("qid", "two")]
    write(tmp_path / "en-en.trec", ("qid", A, 1), ("#q1", B, 1), ("#q2", B, 1))
    assert opened(tmp_path).search(MONO, queries, DOCUMENTS["en"], 9) == [[IDS["en"][2]], [IDS["en"][1]]]


def test_numeric_ids_are_told_from_ranks_and_iterations(tmp_path: Path) -> None:
    documents = [Document(document_id("t", "en", "", str(number)), "text") for number in range(4)]
    for content in ("7 0 1 0.1\n7 3 2 0.3\n7 1 3 0.2\n", "7 0 0 0.1\n7 0 3 0.3\n7 0 1 0.2\n", "7 0 1\n7 3 3\n7 1 2\n"):
        (tmp_path / "en-en.run").write_text(content, encoding="utf-8")
        found = opened(tmp_path).search(MONO, [Query("7", "one")], documents, 9)
        assert found == [[documents[number].doc_id for number in (3, 1, 0)]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"qid,docno,score\nq1,{A},NaN\n", "line 2: score 'NaN' is not a finite number"),
        (f"q1 {A} 1\nq1 {B} inf\n", "line 2: score 'inf' is not a finite number"),
        (f"q1,{A},1\nq1,{B}\n", "line 2: must be 'topic Q0 document rank score tag'"),
        (f"qid\tdocno\tscore\nq1\t{A}\n", "line 2: must have 3 columns, as its header has"),
        (f"qid,docno,rank\nq1,{A},first\n", "line 2: rank 'first' is not a whole number"),
        (f'[{{"qid": "q1", "docno": "{A}", "score": 1}}]', "line 1: names no columns that are known"),
        (f"query passage points\nq1 {A} 1\n", "line 1: names no columns that are known: a header is such as"),
        (f"q1\tQ0\t\t1\t0.5\tr\nq1\tQ0\t{A}\t1\t0.5\tr\n", "line 1: must be .* with no column empty"),
        (f'{{"q1": {{"{A}": NaN}}}}', "NaN is not a finite number"),
        (f'{{"q1": {{"{A}": 1e999}}}}', "topic q1: score 'inf' is not a finite number"),
        (f'{{"q1": {{"{A}": "1"}}}}', "score '1' of topic 'q1' is not a finite number"),
        (f'{{"q1": {{"{A}": true}}}}', "score True of topic 'q1' is not a finite number"),
        (f'{{"q1": {{"{A}": 1, "{A}": 2}}}}', "a key stands twice in one object"),
        (f'{{"q1": {{"{A}": 1, "{IDS["en"][1]}": 2}}}}', "is listed twice for topic 'q1'"),
        (
            '{"mteb_model_meta": {}, "de": {"test": {}}, "en": {"test": {}}}',
            r"has lists of 2 subsets \(de \(test\), en",
        ),
        (f'{{"q1": ["{A}"]}}', "topic 'q1' must have an object such as {document: score}"),
        (f'{{"q9": {{"{A}": 1}}}}', "topic 'q9' is no query in en"),
        ('{"q1": ', "Expecting value"),
        ('{"q1": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_faults_of_other_formats(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "en-en.txt").write_text(content, encoding="utf-8")
    with pytest.raises(RetrieverError, match=says) as caught:
        search(tmp_path)
    assert "en-en.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_of_one_setting(tmp_path: Path) -> None:
    write(tmp_path / "results.txt", ("q1", A, 1))
    ranker = opened(tmp_path / "results.txt")
    assert ranker.search(MONO, QUERIES, DOCUMENTS["en"], 9)[0] == [IDS["en"][1]]
    with pytest.raises(RetrieverError, match=r"results\.txt has the lists of one setting, and the task has several"):
        ranker.search(POOL, QUERIES, DOCUMENTS["en"], 9)


def test_two_files_of_one_setting_are_told(tmp_path: Path) -> None:
    write(tmp_path / "en-en.trec", ("q1", A, 1))
    write(tmp_path / "en-en.run", ("q1", A, 1))
    with pytest.raises(RetrieverError, match=r"en-en\.trec and en-en\.run are of one setting: keep one"):
        search(tmp_path)


def test_only_files_named_after_settings_count(tmp_path: Path) -> None:
    write(tmp_path / "en-en.trec", ("q1", A, 1))
    before = opened(tmp_path).fingerprint()
    (tmp_path / "README.txt").write_text("notes", encoding="utf-8")
    (tmp_path / "parameters.json").write_text("{}", encoding="utf-8")
    assert opened(tmp_path).fingerprint() == before


@pytest.mark.parametrize("packed", [False, True])
def test_what_editors_and_spreadsheets_write(tmp_path: Path, packed: bool) -> None:
    lines = "\ufeffq1\tQ0\ten-p-1\t1\t+1.5e0\tr \r\n\r\n  q1 Q0  en-p-2\t2 .5 r\r\n"
    content = lines.encode()
    path = tmp_path / ("en-en.trec.gz" if packed else "en-en.trec")
    path.write_bytes(gzip.compress(content) if packed else content)
    assert search(tmp_path)[0] == [IDS["en"][1], IDS["en"][2]]


def test_scores_are_handed_over(tmp_path: Path) -> None:
    write(tmp_path / "en-en.trec", ("q1", "en-p-1", 1), ("q1", "en-p-2", 2), ("q1", "en-p-3", "2.00000001"))
    documents = DOCUMENTS["en"]
    for depth in (9, 2):
        tied, empty = opened(tmp_path).search_scored(MONO, QUERIES, documents, depth)
        assert tied.scores is not None
        assert tied.scores.tolist() == [2, 2, 1][:depth]
        assert empty.doc_ids == []


@pytest.mark.parametrize(
    ("tag", "scores", "known"), [("mlbench", (2, 1), False), ("mlbench", (3, 1), True), ("r", (2, 1), True)]
)
def test_positions_are_no_scores(tmp_path: Path, tag: str, scores: tuple[int, int], known: bool) -> None:
    lines = [f"q1 Q0 en-p-{number} 1 {score} {tag}\n" for number, score in enumerate(scores)]
    (tmp_path / "en-en.trec").write_text("".join(lines), encoding="utf-8")
    found, _ = opened(tmp_path).search_scored(MONO, QUERIES, DOCUMENTS["en"], 9)
    assert found.doc_ids == IDS["en"][:2]
    assert (found.scores is not None) == known


NAMES = st.text("dD0129.:-_é", min_size=1, max_size=5)
SCORE = st.sampled_from(["0", "-0.0", "1", "1.00000001", "16777216", "16777217", "2e0", "1e-46", "-3", "7e38", "8e38"])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_measures_are_those_of_pytrec_eval_on_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    folder = tmp_path_factory.mktemp("own")
    names = data.draw(st.lists(NAMES, min_size=2, max_size=9, unique=True))
    topics = [f"q{number}" for number in range(3)]
    qrels = {
        topic: data.draw(st.dictionaries(st.sampled_from(names), st.integers(1, 2), min_size=1)) for topic in topics
    }
    run = {topic: data.draw(st.dictionaries(st.sampled_from(names), SCORE)) for topic in topics}
    for kind, ids in (("queries", topics), ("documents", names)):
        rows = [json.dumps({"id": name, "text": f"text {name}"}) + "\n" for name in ids]
        (folder / f"{kind}.en.jsonl").write_text("".join(rows), encoding="utf-8")
    judged = [f"{topic} 0 {name} {grade}\n" for topic, rows in qrels.items() for name, grade in rows.items()]
    (folder / "qrels.tsv").write_text("".join(judged), encoding="utf-8")
    (folder / "runs").mkdir()
    lines = [(topic, name, score) for topic, rows in run.items() for name, score in rows.items()]
    write(folder / "runs" / "en-en.trec", *data.draw(st.permutations(lines)))
    evaluation = evaluate(f"run:{folder / 'runs'}", str(folder), options=Options(resamples=0))
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"map", "recip_rank", "recall_10", "ndcg_cut_10"})
    measured = evaluator.evaluate({t: {name: float(score) for name, score in rows.items()} for t, rows in run.items()})
    for name, theirs in {"AP": "map", "RR": "recip_rank", "R@10": "recall_10", "nDCG@10": "ndcg_cut_10"}.items():
        expected = sum(measured.get(topic, {}).get(theirs, 0.0) for topic in topics) / len(topics)
        assert evaluation.result.settings[0].measures[name] == pytest.approx(expected, abs=1e-9)


def test_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "th-th.trec")
    with pytest.raises(RetrieverError, match=r"no en-en.trec \(nor with another ending"):
        search(tmp_path)
    with pytest.raises(RetrieverError, match=r"no en-en\+th.trec or en-all.trec"):
        search(tmp_path, POOL)


@pytest.mark.parametrize("locator", ["", "no-such-folder"])
def test_no_folder(locator: str) -> None:
    with pytest.raises(RetrieverError, match="write run:FOLDER or run:FILE"):
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
    with pytest.raises(RetrieverError, match=r"no image-en\.trec \(nor with another"):
        search(tmp_path, Setting("image", ("en",)))
