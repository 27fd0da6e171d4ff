import subprocess
import sys

import numpy as np
import pytest
from reference_lucene import java_class, lucene_scores

from mlbench import load_collection, load_task
from mlbench.errors import MissingExtra
from mlbench.retrievers import lucene as module
from mlbench.retrievers.bm25 import Postings, TermNumbers
from mlbench.retrievers.lucene import Analyzers, analyzer_name, remark

pytest.importorskip("pyserini")
pytest.importorskip("pythainlp")

MIRACL = ["ar", "bn", "de", "en", "es", "fa", "fi", "fr", "hi", "id", "ja", "ko", "ru", "sw", "te", "th", "yo", "zh"]
XQUAD_R = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]


@pytest.fixture(scope="module")
def analyzers() -> Analyzers:
    return Analyzers("512m")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("ar", "الكتاب والكتب", ["كتاب", "كتب"]),
        ("bn", "বইগুলি", ["বই"]),
        ("de", "Die Häuser der Stadt", ["haus", "stadt"]),
        ("el", "Οι συναντήσεις των παιδιών", ["συναντησ", "παιδ"]),
        ("en", "The runner's dogs were running", ["runner", "dog", "were", "run"]),
        ("es", "Las casas grandes", ["cas", "grand"]),
        ("fa", "کتاب‌های من", ["كتاب"]),
        ("fi", "talojen katoilla", ["talo", "kato"]),
        ("fr", "L'hôtel des voyageurs", ["hotel", "voyageu"]),
        ("hi", "किताबें और लड़के", ["किताब", "लडक"]),
        ("id", "membaca buku-bukunya", ["baca", "buku", "buku"]),
        ("ja", "東京都に住んでいる", ["東京", "都", "住む"]),
        ("ko", "안녕하세요", ["안녕", "녕하", "하세", "세요"]),
        ("ru", "Книги на столах", ["книг", "стол"]),
        ("sw", "Habari, dunia.", ["Habari,", "dunia."]),
        ("sw", "a , [b] ,, c", ["a", ",", "[b]", ",,", "c"]),
        ("th", "ทีมมีแนวรับ 308 คะแนน", ["ทีม", "แนว", "308", "คะแนน"]),
        ("tr", "İstanbul'daki kitaplar", ["istanbul", "kitap"]),
        ("vi", "Thành phố Hà Nội", ["thành", "phố", "hà", "nội"]),
        ("yo", "Ilé-ìwé ńlá", ["Ilé-ìwé", "ńlá"]),
        ("zh", "世界最高", ["世界", "界最", "最高"]),
        ("zh-hant", "世界最高", ["世界", "界最", "最高"]),
    ],
)
def test_terms(analyzers: Analyzers, language: str, text: str, terms: list[str]) -> None:
    assert list(analyzers.terms(language, [text])) == [terms]


def test_the_analyzer_of_a_language_is_that_of_its_varieties() -> None:
    for tag, same in (
        ("zh-hant", "zh"),
        ("pt-br", "pt"),
        ("nb", "no"),
        ("nn", "no"),
        ("fa-af", "fa"),
        ("sr-latn", "sr"),
    ):
        assert analyzer_name(tag) == analyzer_name(same) is not None


@pytest.mark.parametrize("language", sorted({*MIRACL, *XQUAD_R}))
def test_every_language_of_the_field_has_one(language: str) -> None:
    assert analyzer_name(language) is not None
    assert "warning" not in (remark(language) or "")


@pytest.mark.slow
def test_the_table_is_that_of_anserini(analyzers: Analyzers) -> None:
    """Greek, Vietnamese and Thai are ours; Polish and Ukrainian count forms of one word, which we do not follow."""
    table = java_class("io.anserini.analysis.AnalyzerMap").analyzerMap
    theirs = {tag: table.get(tag) for tag in table.keySet().toArray()}
    assert len(theirs) > 20
    assert {"el", "vi"} & set(theirs) == set()
    assert {tag: analyzer_name(tag) for tag in theirs if tag not in ("th", "pl", "uk")} == {
        tag: name.rpartition(".")[2] for tag, name in theirs.items() if tag not in ("th", "pl", "uk")
    }


def test_a_language_without_one_is_told_aloud(analyzers: Analyzers) -> None:
    said = remark("xx")
    assert said is not None
    assert said.startswith("warning: Lucene has no analyzer for xx")
    assert list(analyzers.terms("xx", ["The houses, running"])) == [["the", "houses", "running"]]
    assert "case and punctuation included" in (remark("sw") or "")
    assert remark("en") is None


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\ud800"])
def test_a_text_without_words(analyzers: Analyzers, text: str) -> None:
    assert [list(analyzers.terms(language, [text])) for language in ("en", "ja", "th", "xx")] == [[[]]] * 4


def test_text_outside_the_basic_plane_and_half_pairs(analyzers: Analyzers) -> None:
    assert list(analyzers.terms("en", ["dogs 😀 𝒳", "dogs \ud800 cats"])) == [["dog", "😀", "𝒳"], ["dog", "cat"]]


@pytest.mark.parametrize("language", ["en", "ja", "ko", "ru", "sw", "te", "xx", "zh"])
def test_terms_are_told_apart_whatever_they_hold(analyzers: Analyzers, language: str) -> None:
    """Against the list itself, fetched term by term."""
    documents = load_collection(load_task("mini")).documents.values()
    texts = [document.text for rows in documents for document in rows][::20]
    texts += ["a, b", "[a,, b] ,", "東京　都, 2 000 円", "x\u00a0y, z"]
    found = list(analyzers.terms(language, texts))
    lucene = java_class("io.anserini.analysis.AnalyzerUtils")
    assert found == [list(lucene.analyze(analyzers._opened[language][0], text).toArray()) for text in texts]


def test_thai_needs_its_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythainlp", None)
    with pytest.raises(MissingExtra, match=r"Thai words need: pip install 'mlbench\[bm25\]'"):
        list(Analyzers("512m").terms("th", ["ทีม"]))


def test_the_fingerprint_follows_the_table(analyzers: Analyzers, monkeypatch: pytest.MonkeyPatch) -> None:
    before = analyzers.fingerprint()
    assert before == Analyzers("512m").fingerprint()
    monkeypatch.setitem(module._LUCENE, "vi", "cjk.CJKAnalyzer")
    assert analyzers.fingerprint() != before


@pytest.mark.slow
@pytest.mark.parametrize("language", ["ar", "de", "el", "en", "es", "hi", "ru", "tr", "vi", "zh"])
def test_scores_are_those_of_lucene_to_the_bit(analyzers: Analyzers, language: str) -> None:
    """Thai is segmented by us, and then the same code runs."""
    collection = load_collection(load_task("mini"))
    documents, queries = collection.documents[language], [query.text for query in collection.queries[language]]
    # Terms that stand twice, long documents, and one that is empty.
    queries.append(" ".join(queries[:3] * 2))
    texts = [document.text for document in documents]
    texts += [" ".join(texts[:number]) for number in (2, 5, 20)] + [""]
    doc_ids = [f"{number:04}" for number in range(len(texts))]
    vocabulary = TermNumbers()
    postings = Postings(doc_ids, vocabulary.number(analyzers.terms(language, texts)), k1=0.9, b=0.4)
    asked = vocabulary.number(analyzers.terms(language, queries))
    opened = analyzers._opened[language][0]
    theirs = lucene_scores(opened, list(zip(doc_ids, texts, strict=True)), queries, 0.9, 0.4)
    assert sum(map(bool, theirs)) > 20
    for number, expected in enumerate(theirs):
        found = postings.scores(asked[number])
        assert found == {doc_id: float(np.float32(score)) for doc_id, score in expected.items()}


def test_deep_recursion_is_still_pythons_own_beside_a_java() -> None:
    program = """
import json
import sys
from mlbench.retrievers.lucene import Analyzers

Analyzers("512m")
sys.setrecursionlimit(8_000)
try:
    json.loads("[" * 100_000)
except RecursionError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr
