"""Terms without a Java: by hand for each kind of analysis, and against Lucene's own analyzers."""

import sys
from collections import Counter

import pytest

from mlbench import load_collection, load_task
from mlbench.errors import MissingExtra
from mlbench.retrievers import snowball
from mlbench.retrievers.lucene import Analyzers, analyzer_name
from mlbench.retrievers.snowball import SnowballAnalyzers, analysis_name, analysis_remark

pytest.importorskip("bm25s")
pytest.importorskip("Stemmer")


@pytest.fixture(scope="module")
def analyzers() -> SnowballAnalyzers:
    return SnowballAnalyzers()


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("ar", "\u200fفي الكتاب والكتب ١٢", ["كتاب", "كتب", "12"]),
        ("bn", "বইগুলি", ["বইগুলি"]),
        ("ca", "L'hotel d\u2019un", ["hotel", "un"]),
        ("de", "Die Häuser der Stadt, Strasse und Straße", ["haus", "stadt", "strass", "strass"]),
        ("de", "Goethe, Quelle, treue Mauer", ["goth", "quell", "treu", "mau"]),
        ("el", "Οι συναντήσεις των παιδιών της", ["συναντησ", "πα"]),
        ("en", "The runner's dogs were running in the US", ["runner", "dog", "were", "run", "us"]),
        ("es", "Las casas grandes, las voces, los meses", ["cas", "grand", "voz", "mes"]),
        ("fa", "كتاب", ["کتاب"]),
        ("fi", "talojen katoilla", ["talo", "kato"]),
        ("fr", "L'hôtel des voyageurs", ["hôtel", "voyageur"]),
        ("hi", "किताबें और लड़के", ["किताब", "लडक"]),
        ("id", "membaca", ["baca"]),
        ("ja", "東京都", ["東京", "京都"]),
        ("ko", "안녕하세요", ["안녕", "녕하", "하세", "세요"]),
        ("no", "hundene", ["hund"]),
        ("nb", "hundene", ["hund"]),
        ("ru", "Книги на столах", ["книг", "стол"]),
        ("sw", "Habari, dunia.", ["Habari,", "dunia."]),
        ("th", "ทีมมีแนวรับ 308 คะแนน", ["ทีม", "แนว", "308", "คะแนน"]),
        ("tr", "İstanbul'daki kitaplar ISI", ["istanbul", "kitap", "ıs"]),
        ("vi", "Thành phố Hà Nội", ["thành", "phố", "hà", "nội"]),
        ("zh", "世界最高 the ＡＢＣ 中", ["世界", "界最", "最高", "abc", "中"]),
        ("zh-hant", "世界最高", ["世界", "界最", "最高"]),
        ("xx", "Don't e.g. 3.14 foo_bar x-y 😀 \ufeffA ½", ["don't", "e.g", "3.14", "foo_bar", "x", "y", "😀", "a"]),
        ("xx", "สวัสดี 東京 タワー", ["สวัสดี", "東", "京", "タワー"]),
    ],
)
def test_terms(analyzers: SnowballAnalyzers, language: str, text: str, terms: list[str]) -> None:
    assert list(analyzers.terms(language, [text])) == [terms]


# The least share of all terms of texts that both have, those of Lucene and ours.
SHARED = {"ar": 0.9, "de": 0.98, "el": 0.8, "en": 0.99, "es": 0.98, "hi": 0.75, "ru": 0.99, "th": 0.85}
SHARED |= {"tr": 0.9, "vi": 1, "zh": 1}


@pytest.mark.slow
def test_terms_are_nearly_those_of_lucene(analyzers: SnowballAnalyzers) -> None:
    pytest.importorskip("pyserini")
    lucene, documents = Analyzers("512m"), load_collection(load_task("mini")).documents
    for language, least in SHARED.items():
        texts = [document.text for document in documents[language]]
        ours, theirs = (
            Counter((number, term) for number, terms in enumerate(each.terms(language, texts)) for term in terms)
            for each in (analyzers, lucene)
        )
        assert (ours & theirs).total() / (ours | theirs).total() >= least, language


@pytest.mark.parametrize(
    ("tags", "lucene", "ours"),
    [
        (
            ("zh", "zh-CN", "zho", "cmn", "zho_Hans", "zh-hant", "zh-TW", "yue_Hant"),
            "CJKAnalyzer",
            "pairs of characters",
        ),
        (("ar", "arb_Arab", "ara", "ar-EG"), "ArabicAnalyzer", "words, stop words (arabic), stems (light10)"),
        (("no", "nb", "nob_Latn", "nno_Latn", "nor"), "NorwegianAnalyzer", analysis_name("no")),
        (("fa", "pes_Arab", "fas", "prs_Arab"), "PersianAnalyzer", analysis_name("fa")),
        (("sw", "swh_Latn"), "WhitespaceAnalyzer", "words between blanks"),
        (("tlh", "xx", "tlh-Latn", "no tag"), None, "words"),
    ],
)
def test_any_form_of_a_tag_finds_the_analysis(tags: tuple[str, ...], lucene: str | None, ours: str) -> None:
    assert {analyzer_name(tag) for tag in tags} == {lucene}
    assert {analysis_name(tag) for tag in tags} == {ours}


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "'", "\ufeff"])
def test_a_text_without_words(analyzers: SnowballAnalyzers, text: str) -> None:
    assert [list(analyzers.terms(language, [text])) for language in ("en", "ja", "th", "xx")] == [[[]]] * 4


def test_half_a_pair_of_surrogates_is_no_text(analyzers: SnowballAnalyzers) -> None:
    assert list(analyzers.terms("en", ["dogs \ud800 cats"])) == [["dog", "cat"]]


def test_what_is_not_as_in_lucene_is_told() -> None:
    assert analysis_remark("de") is analysis_remark("zh-hant") is analysis_remark("th") is None
    assert "case and punctuation included" in (analysis_remark("yo") or "")
    assert (analysis_remark("bn") or "").endswith("no stop words; bm25 has Lucene's BengaliAnalyzer")
    assert (analysis_remark("tlh") or "").endswith("no stemming and no stop words")
    assert (analysis_remark("ja") or "").startswith("warning: ja is cut into pairs of characters")


def test_names_of_analyses() -> None:
    assert analysis_name("de-at") == "words, stop words (german), stems (light_german)"
    assert analysis_name("fi") == "words, Snowball (finnish)"
    assert [analysis_name(tag) for tag in ("zh", "sw", "th", "xx")] == [
        "pairs of characters",
        "words between blanks",
        "pythainlp newmm, words, stop words (thai)",
        "words",
    ]


@pytest.mark.parametrize(("module", "what"), [("bm25s", "bm25s needs"), ("Stemmer", "bm25s needs"), ("regex", "bm25s")])
def test_needs_its_libraries(module: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"need.*: pip install 'mlbench\[bm25s\]'"):
        SnowballAnalyzers()


def test_thai_needs_its_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythainlp", None)
    with pytest.raises(MissingExtra, match=r"Thai words need: pip install 'mlbench\[bm25s\]'"):
        list(SnowballAnalyzers().terms("th", ["ทีม"]))


def test_the_fingerprint_follows_the_analyses_and_the_versions(
    analyzers: SnowballAnalyzers, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = analyzers.fingerprint()
    assert before == SnowballAnalyzers().fingerprint()
    monkeypatch.setitem(snowball._ANALYSES, "vi", snowball.Analysis(snowball="finnish"))
    assert analyzers.fingerprint() != before
    monkeypatch.undo()
    monkeypatch.setattr(snowball, "version", lambda name: "9" if name == "PyStemmer" else "1")
    assert analyzers.fingerprint() != before
