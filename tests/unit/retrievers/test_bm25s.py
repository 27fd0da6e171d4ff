"""The scheme `bm25s`: scores against the formula in plain numbers, lists, pools, ties, and real data."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlbench import load_collection, load_task
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query, document_id
from mlbench.errors import RetrieverError
from mlbench.protocols import Runtime
from mlbench.retrievers.bm25 import TermNumbers
from mlbench.retrievers.bm25s import BM25S, BM25SRanker, SparseScores

pytest.importorskip("bm25s")
pytest.importorskip("Stemmer")

# What Lucene's BM25 with Lucene's analyzers gives: reciprocal ranks at 10 on sentences, within each language.
LUCENE = {"ar": 0.742, "de": 0.753, "el": 0.755, "en": 0.815, "es": 0.772, "hi": 0.772, "ru": 0.794}
LUCENE |= {"th": 0.780, "tr": 0.751, "vi": 0.816, "zh": 0.792}
TEXT = st.lists(st.sampled_from("abcdefgh"), max_size=12)


def opened(**keys: float) -> BM25SRanker:
    return BM25S.open("", BM25S.Settings(**keys), Runtime())


def corpus(language: str, *texts: str) -> list[Document]:
    return [Document(document_id("t", language, "", str(number)), text) for number, text in enumerate(texts)]


def plain(documents: list[list[str]], query: list[str], k1: float, b: float) -> list[float]:
    """Return the score of each document, from the formula, in Python's own numbers."""
    filled = [document for document in documents if document]
    average = sum(map(len, filled)) / max(len(filled), 1)
    scores = []
    for document in documents:
        score = 0.0
        for term in query:
            frequency, holders = document.count(term), sum(term in other for other in documents)
            if frequency:
                idf = math.log(1 + (len(filled) - holders + 0.5) / (holders + 0.5))
                score += idf * frequency / (frequency + k1 * (1 - b + b * len(document) / average))
        scores.append(score)
    return scores


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXT, min_size=1, max_size=12), TEXT, st.sampled_from([(0.9, 0.4), (1.2, 0.75), (0.0, 0.0)]))
def test_the_scores_of_the_formula(documents: list[list[str]], query: list[str], keys: tuple[float, float]) -> None:
    vocabulary, (k1, b) = TermNumbers(), keys
    names = [f"d{number:02}" for number in range(len(documents))]
    index = SparseScores(names, vocabulary.number(documents), k1=k1, b=b)
    asked, expected = vocabulary.number([query])[0], plain(documents, query, k1, b)
    found, scores = index.search(asked, 100)
    assert scores is not None
    assert set(found) == {name for name, score in zip(names, expected, strict=True) if score}
    assert scores.tolist() == pytest.approx([expected[names.index(name)] for name in found], rel=1e-6)
    known = dict(zip(found, scores.tolist(), strict=True))
    ordered = sorted(known, key=lambda name: (known[name], name), reverse=True)
    assert [index.search(asked, depth).doc_ids for depth in (1, 3, 100)] == [ordered[:1], ordered[:3], ordered]


def test_documents_with_the_same_words_tie_in_any_order_of_words() -> None:
    words = [f"w{number}" for number in range(9)]
    documents = [words, words[::-1], words[3:] + words[:3], ["w1", "x", "w8"], ["w2"]]
    vocabulary = TermNumbers()
    index = SparseScores(list("abcde"), vocabulary.number(documents), k1=0.9, b=0.4)
    for query in (words, words[::-1], words[5:] + words[:5]):
        found, scores = index.search(vocabulary.number([query])[0], 10)
        assert scores is not None
        assert found[:3] == ["c", "b", "a"]
        assert len(set(scores[:3].tolist())) == 1


def test_a_pool_is_one_index_with_the_analysis_of_each_language() -> None:
    english, german = corpus("en", "the houses of kings", "a king"), corpus("de", "die Häuser", "Könige")
    ranker, setting = opened(), Setting("en", ("de", "en"))
    found, empty = ranker.search_scored(setting, [Query("1", "king"), Query("2", "the zebra")], german + english, 10)
    assert [doc_id[13:] for doc_id in found.doc_ids] == ["en-1", "en-0"]
    assert empty.doc_ids == []
    # Frequencies and lengths are those of the pool: 4 documents with 5 words, of which 2 have the word.
    assert found.scores is not None
    assert found.scores[0] == pytest.approx(math.log(1 + 2.5 / 2.5) / (1 + 0.9 * (0.6 + 0.4 * 1 / 1.25)), rel=1e-6)
    assert ranker.parameters["analyzer.de"] == "words, stop words (german), stems (light_german)"
    assert ranker.parameters["bm25s"]


@pytest.mark.parametrize("texts", [(), ("", " ")])
def test_nothing_to_find(texts: tuple[str, ...]) -> None:
    assert opened().search(Setting("en", ("en",)), [Query("1", "red"), Query("2", "")], corpus("en", *texts), 9) == [
        [],
        [],
    ]


def test_an_id_twice_and_a_path_are_refused() -> None:
    with pytest.raises(RetrieverError, match="bm25s: two documents have the id 'x'"):
        opened().search(Setting("en", ("en",)), [Query("1", "a")], [Document("x", "b"), Document("x", "c")], 1)
    with pytest.raises(RetrieverError, match="bm25s: the id '17' does not tell which of de, en"):
        opened().search(Setting("en", ("de", "en")), [Query("1", "a")], [Document("17", "b")], 1)
    with pytest.raises(RetrieverError, match="bm25s takes no path or hub id: write 'bm25s:', not 'bm25s:x'"):
        BM25S.open("x", BM25S.Settings(), Runtime())


def test_the_fingerprint_follows_what_decides_the_lists() -> None:
    assert opened().fingerprint() == opened().fingerprint()
    assert len({opened().fingerprint(), opened(k1=1.2).fingerprint(), opened(b=0.75).fingerprint()}) == 3


@pytest.mark.parametrize("keys", [{"k1": -1}, {"k1": float("inf")}, {"b": 1.1}, {"heap": "4g"}])
def test_keys_out_of_range(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BM25S.Settings(**keys)


@pytest.mark.slow
@pytest.mark.data
def test_close_to_lucene_on_xquad_r(data_dir: Path) -> None:
    ranker, collection = opened(), load_collection(load_task("xquad-r"), data_dir=data_dir)
    found = {}
    for language in collection.languages:
        queries, documents = collection.queries[language], collection.documents[language]
        lists = ranker.search(Setting(language, (language,)), queries, documents, 10)
        ranks = []
        for query, ranked in zip(queries, lists, strict=True):
            relevant = {judged.doc_id for judged in collection.judgments[query.topic_id]}
            ranks.append(next((1 / place for place, doc_id in enumerate(ranked, 1) if doc_id in relevant), 0))
        found[language] = float(np.mean(ranks))
    assert found == pytest.approx(LUCENE, abs=0.012)
