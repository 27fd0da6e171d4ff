import csv
import gzip
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlbench.collection.languages import canonical_languages
from mlbench.collection.records import Collection
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.question_sets import read_belebele, read_mkqa, read_multieup, read_xor_tydi
from mlbench.tasks.task import load_task

Rows = Sequence[dict[str, object]]


def lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def relevant(collection: Collection) -> dict[str, list[str]]:
    return {topic: [row.doc_id.partition("-")[2] for row in rows] for topic, rows in collection.judgments.items()}


def question(link: str, number: int, passage: str, text: str, **more: object) -> dict[str, object]:
    answers = {f"mc_answer{place}": str(place) for place in range(1, 5)}
    row = {"link": link, "question_number": number, "flores_passage": passage, "question": text}
    return row | answers | {"correct_answer_num": "1", "dialect": "", "ds": "2023-05-03"} | more


BELEBELE = {
    "Belebele/eng_Latn.jsonl": [
        question("https://e.org/a", 1, "A dog barks.", "Who barks?"),
        question("https://e.org/a", 2, "A dog barks.", " What does it do? "),
        question("https://e.org/b", 1, "Rain falls.", "What falls?"),
    ],
    "Belebele/zho_Hans.jsonl": [
        question("https://e.org/b", 1, "下雨了。", "下了什么？"),
        question("https://e.org/a", 1, "狗叫。", "谁叫？"),
        question("https://e.org/a", 2, "狗叫。", "它做什么？"),
    ],
    "Belebele/zho_Hant.jsonl": [question("https://e.org/b", 1, "下雨了。", "下了什麼？")],
}


def belebele(folder: Path, variants: dict[str, Rows], languages: tuple[str, ...]) -> Collection:
    path = zipped(
        folder / "Belebele.zip", {name: lines(rows) for name, rows in variants.items()} | {"read_me.jsonl": b"x"}
    )
    return read_belebele(ReadRequest("belebele", languages, (SourceFile(path),)))


def test_a_question_of_belebele_asks_for_its_passage_in_every_variant(tmp_path: Path) -> None:
    collection = belebele(tmp_path, BELEBELE, ("en", "zh", "zh-hant"))
    assert [tuple(query) for query in collection.queries["en"]] == [
        ("https://e.org/a#1", "Who barks?"),
        ("https://e.org/a#2", "What does it do?"),
        ("https://e.org/b#1", "What falls?"),
    ]
    assert [row.text for row in collection.documents["en"]] == ["A dog barks.", "Rain falls."]
    assert {language: len(rows) for language, rows in collection.documents.items()} == {"en": 2, "zh": 2, "zh-hant": 1}
    assert relevant(collection) == {
        "https://e.org/a#1": ["en-https://e.org/a", "zh-https://e.org/a"],
        "https://e.org/a#2": ["en-https://e.org/a", "zh-https://e.org/a"],
        "https://e.org/b#1": ["en-https://e.org/b", "zh-https://e.org/b", "zh-hant-https://e.org/b"],
    }
    assert (collection.clusters["https://e.org/a#2"], collection.cluster_unit) == ("https://e.org/a", "passage")
    some = belebele(tmp_path, BELEBELE, ("en", "zh-hant"))
    assert some.fingerprints() == collection.restrict(("en", "zh-hant")).fingerprints()


def test_a_mark_of_byte_order_and_other_line_ends_are_read(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + lines(BELEBELE["Belebele/eng_Latn.jsonl"]).replace(b"\n", b"\r\n")
    path = zipped(tmp_path / "Belebele.zip", {"eng_Latn.jsonl": content})
    collection = read_belebele(ReadRequest("belebele", ("en",), (SourceFile(path),)))
    assert [query.text for query in collection.queries["en"]] == ["Who barks?", "What does it do?", "What falls?"]


def test_passages_of_one_page_in_two_splits_are_two(tmp_path: Path) -> None:
    rows = [question("https://e.org/a", 1, f"In {split}.", "Where?", split=split) for split in ("dev", "test")]
    collection = belebele(tmp_path, {"eng_Latn.jsonl": rows}, ("en",))
    assert relevant(collection) == {
        "https://e.org/a#dev#1": ["en-https://e.org/a#dev"],
        "https://e.org/a#test#1": ["en-https://e.org/a#test"],
    }


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (
            question("https://e.org/b", 1, "Rain falls.", "Again?"),
            "eng_Latn.jsonl line 4: topic 'https://e.org/b#1' is there twice in 'en'",
        ),
        (question("https://e.org/a b", 1, "x", "y"), "id 'https://e.org/a b#1' is empty or holds white space"),
        (question("", 1, "x", "y"), "eng_Latn.jsonl line 4: 'link' must be a text that is not empty"),
        (question("https://e.org/c", 1, " ", "y"), "line 4: 'flores_passage' must be a text"),
    ],
)
def test_faults_of_belebele_name_file_and_line(tmp_path: Path, row: dict[str, object], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        belebele(tmp_path, {"eng_Latn.jsonl": [*BELEBELE["Belebele/eng_Latn.jsonl"], row]}, ("en",))


def test_belebele_is_declared_in_its_122_variants() -> None:
    task = load_task("belebele")
    assert len(task.languages) == 122
    assert {"en", "zh", "zh-hant", "hi-latn", "acm-arab", "ars"} <= set(task.languages)
    assert sum(task.expected.queries.values()) == 122 * 900
    assert sum(task.expected.documents.values()) == 122 * 488


@pytest.mark.data
def test_real_questions_of_belebele_in_the_published_layout(tmp_path: Path, data_dir: Path) -> None:
    # These texts are real; their layout is that of the archive, which has answers and dates beside them.
    packed = data_dir / "train" / "belebele-ende" / "belebele_ende.jsonl.gz"
    numbers: dict[str, int] = {}
    links: dict[str, str] = {}
    variants: dict[str, list[dict[str, object]]] = {"eng_Latn.jsonl": [], "deu_Latn.jsonl": []}
    for line in gzip.decompress(packed.read_bytes()).splitlines():
        row = json.loads(line)
        passage = row["passages"]["en"]
        numbers[passage] = numbers.get(passage, 0) + 1
        link = links.setdefault(passage, f"https://e.org/{len(links)}")
        for tag, rows in (("en", variants["eng_Latn.jsonl"]), ("de", variants["deu_Latn.jsonl"])):
            rows.append(question(link, numbers[passage], row["passages"][tag], row["queries"][tag]))
    collection = belebele(tmp_path, variants, ("de", "en"))
    assert {language: len(rows) for language, rows in collection.queries.items()} == {"de": 900, "en": 900}
    assert {language: len(rows) for language, rows in collection.documents.items()} == {"de": 488, "en": 488}
    assert len(set(collection.clusters.values())) == 488


def answer(text: str | None, kind: str = "entity", **more: object) -> dict[str, object]:
    return {"type": kind, "text": text} | more


MKQA = [
    {
        "example_id": 11,
        "query": "who sings",
        "queries": {"en": " who sings ", "zh_cn": "谁唱", "zh_tw": "誰唱"},
        "answers": {
            "en": [answer("Dave", entity="Q5", aliases=["D."]), answer("Nick")],
            "zh_cn": [answer("戴维 ", entity="Q5")],
            "zh_tw": [answer("戴維")],
        },
    },
    {
        "example_id": -12,
        "queries": {"en": "who wrote it", "zh_cn": "谁写", "zh_tw": "誰寫"},
        "answers": {"en": [answer("Nick")], "zh_cn": [answer("尼克")], "zh_tw": [answer(None, "unanswerable")]},
    },
    {
        "example_id": 13,
        "queries": {"en": "why", "zh_cn": "为什么", "zh_tw": "為什麼"},
        "answers": {key: [answer(None, "long_answer")] for key in ("en", "zh_cn", "zh_tw")},
    },
]


def test_a_question_of_mkqa_asks_for_its_answers_in_words(tmp_path: Path) -> None:
    path = tmp_path / "mkqa.jsonl.gz"
    path.write_bytes(gzip.compress(lines(MKQA)))
    collection = read_mkqa(ReadRequest("mkqa", ("en", "zh", "zh-hant"), (SourceFile(path),)))
    assert [tuple(query) for query in collection.queries["en"]] == [("11", "who sings"), ("-12", "who wrote it")]
    assert [query.topic_id for query in collection.queries["zh-hant"]] == ["11"]
    assert [row.text for row in collection.documents["en"]] == ["Dave", "Nick"]
    assert [row.text for row in collection.documents["zh"]] == ["戴维", "尼克"]
    # Nick answers both questions, and is one document.
    assert relevant(collection) == {
        "11": ["en-11.0", "en-11.1", "zh-11.0", "zh-hant-11.0"],
        "-12": ["en-11.1", "zh--12.0"],
    }


def test_faults_of_mkqa_name_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mkqa.jsonl"
    for row, fault in (
        ({"example_id": 1, "queries": [], "answers": {}}, "line 1: 'queries' must be an object"),
        ({"example_id": 1, "queries": {"en": "x"}, "answers": {"en": [answer(7)]}}, "an answer must have a 'text'"),  # type: ignore[arg-type]
    ):
        path.write_bytes(lines([row]))
        with pytest.raises(DataError, match=fault):
            read_mkqa(ReadRequest("mkqa", ("en",), (SourceFile(path),)))
    with pytest.raises(UnknownName, match="option of the reader mkqa"):
        read_mkqa(ReadRequest("mkqa", ("en",), (SourceFile(path),), options={"split": "dev"}))


XOR = [
    {"id": "1", "question": "首都は？", "answers": ["Paris"], "lang": "ja", "split": "dev"},
    {"id": "2", "question": "Missä?", "answers": ["Oslo"], "lang": "fi", "split": "dev"},
    {"id": "3", "question": "Kuka?", "answers": ["-"], "lang": "fi", "split": "dev"},
]
GOLD = {
    "data": [
        {"title": "France", "paragraphs": [{"context": "Paris is the capital. ", "qas": [{"id": "1", "lang": "ja"}]}]},
        {"title": "Norway", "paragraphs": [{"context": "Oslo lies in the east.", "qas": [{"id": "2"}, {"id": "9"}]}]},
        {"title": "Paris", "paragraphs": [{"context": "Paris is the capital.", "qas": [{"id": "2"}]}]},
    ]
}


@pytest.mark.parametrize("packed", [True, False])
def test_a_question_of_xor_tydi_asks_for_its_english_paragraphs(tmp_path: Path, packed: bool) -> None:
    (tmp_path / "dev.jsonl").write_bytes(lines(XOR))
    gold = tmp_path / "tydi_xor_gp.zip"
    content = json.dumps(GOLD).encode()
    if packed:
        zipped(gold, {"xorqa/gp_squad_dev_data.json": content, "xorqa/gp_squad_train_data.json": b"{}"})
    else:
        gold.write_bytes(content)
    files = (SourceFile(tmp_path / "dev.jsonl", None, "queries"), SourceFile(gold, "en", "documents"))
    collection = read_xor_tydi(ReadRequest("xor", ("en", "fi", "ja"), files, parallel=False))
    assert [tuple(query) for query in collection.queries["fi"]] == [("2", "Missä?"), ("3", "Kuka?")]
    assert collection.queries["en"] == collection.documents["fi"] == ()
    assert [row.text for row in collection.documents["en"]] == ["Paris is the capital.", "Oslo lies in the east."]
    assert relevant(collection) == {"1": ["en-0"], "2": ["en-1", "en-0"], "3": []}
    assert collection.clusters == {"1": "France", "2": "Norway", "3": "3"}


def test_faults_of_xor_tydi(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_bytes(lines(XOR))
    asked = SourceFile(tmp_path / "dev.jsonl", None, "queries")
    with pytest.raises(DataError, match="there is no file with the role 'documents' in a language of the task"):
        read_xor_tydi(ReadRequest("xor", ("en", "fi"), (asked,)))
    gold = tmp_path / "gold.json"
    gold.write_text('{"data": [{"title": "x"}]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"gold\.json: must be as SQuAD is"):
        read_xor_tydi(ReadRequest("xor", ("en", "fi"), (asked, SourceFile(gold, "en", "documents"))))


SPEECHES = [
    {
        "did": "7",
        "TEXT": "Herr Präsident",
        "LANGUAGE": "DE",
        "qid_DE": "3#DE",
        "title_DE": "Fischerei",
        "qid_EN": "3#EN",
    },
    {"did": "8", "TEXT": "Mr President,\nthank you", "LANGUAGE": "EN", "qid_EN": "3#EN", "title_EN": "Fisheries"},
    {"did": "9", "TEXT": "Merci", "LANGUAGE": "FR", "qid_EN": "3#EN", "title_EN": "Fisheries"},
    {
        "did": "10",
        "TEXT": "Danke",
        "LANGUAGE": "DE",
        "qid_EN": "4#EN",
        "title_EN": "Agenda",
        "qid_DE": "",
        "title_DE": "",
    },
    {"did": "11", "TEXT": " ", "LANGUAGE": "DE", "qid_EN": "4#EN", "title_EN": "Agenda"},
    {"did": "12", "TEXT": "Ohne Titel", "LANGUAGE": "DE", "qid_EN": "5#EN"},
]


def speeches(path: Path, rows: Sequence[dict[str, str]]) -> ReadRequest:
    columns = ["did", "TEXT", "LANGUAGE", "qid_DE", "title_DE", "qid_EN", "title_EN"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return ReadRequest("multieup", ("de", "en"), (SourceFile(path),))


def test_a_title_of_a_debate_asks_for_its_speeches(tmp_path: Path) -> None:
    collection = read_multieup(speeches(tmp_path / "all.csv", SPEECHES))
    assert [tuple(query) for query in collection.queries["en"]] == [("3", "Fisheries"), ("4", "Agenda")]
    assert [tuple(query) for query in collection.queries["de"]] == [("3", "Fischerei")]
    assert [row.text for row in collection.documents["en"]] == ["Mr President,\nthank you"]
    # A speech of a debate that nobody asks for is one of the corpus.
    assert [row.text for row in collection.documents["de"]] == ["Herr Präsident", "Danke", "Ohne Titel"]
    assert relevant(collection) == {"3": ["de-7", "en-8"], "4": ["de-10"]}


def test_faults_of_multieup_name_file_and_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"all\.csv row 3: did '7' is empty or there twice"):
        read_multieup(speeches(tmp_path / "all.csv", [SPEECHES[0], SPEECHES[0]]))
    (tmp_path / "bad.csv").write_bytes(b"did,TEXT\n1,\xff\n")
    with pytest.raises(DataError, match=r"bad\.csv is no CSV file in UTF-8"):
        read_multieup(ReadRequest("multieup", ("de", "en"), (SourceFile(tmp_path / "bad.csv"),)))


def test_tags_of_the_publishers_are_those_of_the_tasks() -> None:
    keys = ["zh_cn", "zh_hk", "zh_tw", "no", "ms", "km"]
    assert set(canonical_languages(keys)) <= set(load_task("mkqa").languages)


def test_a_question_of_mkqa_is_there_once_and_has_a_name(tmp_path: Path) -> None:
    answers = {"en": [{"type": "short_phrase", "text": "Paris"}]}
    row = {"example_id": 7, "queries": {"en": "capital of france"}, "answers": answers}
    nameless = {key: value for key, value in row.items() if key != "example_id"}
    twice, missing = "line 2: topic '7' is there twice in 'en'", "'example_id' is missing"
    for rows, fault in (([row, row], twice), ([nameless], missing)):
        path = tmp_path / "mkqa.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
        request = ReadRequest("mkqa", ("en",), (SourceFile(path),))
        with pytest.raises(DataError, match=fault):
            read_mkqa(request)
