"""Re-ranking: the first n stand in the order of the reranker, the rest where they stood, each pair is scored once."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from unit.retrievers.pipelines.toys import SCORED, ToyRanker, ToyReranker, toy_score
from unit.statistics.cases import make_collection

from mlbench.collection.languages import Setting, settings_of
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.open_model import LoadedModel
from mlbench.protocols import Parameter, RankedList, Reranker, Runtime, ScoredRanker, Silence
from mlbench.retrievers.pipelines.declaration import Rerank
from mlbench.retrievers.pipelines.parts import OpenedPart
from mlbench.retrievers.pipelines.reranking import RerankRanker
from mlbench.retrievers.pipelines.system import open_reranker

SETTING = Setting("en", ("en",))
FIRST = ToyRanker(0)


def reranked(n: int, reranker: Reranker | None = None, first: ToyRanker = FIRST) -> RerankRanker:
    table = {"kind": "rerank", "first": {"model": "listing"}, "reranker": {"model": "reading:"}, "n": n}
    declared = Rerank.model_validate(table)
    return RerankRanker(
        declared, OpenedPart(first, LoadedModel(first, "listing")), reranker or ToyReranker(0), "reading:"
    )


@given(
    texts=st.lists(st.text("abc", min_size=1, max_size=3), max_size=15),
    n=st.integers(1, 20),
    depth=st.integers(1, 20),
    short=st.booleans(),
)
def test_the_first_n_are_ordered_anew_and_the_rest_stay(texts: list[str], n: int, depth: int, short: bool) -> None:
    documents = [Document(f"{number:02}", text) for number, text in enumerate(texts)]
    queries = [Query("t1", "one"), Query("t2", "two")]
    first = ToyRanker(0, short=short)
    lists = reranked(n, first=first).search(SETTING, queries, documents, depth)
    text_of = dict(documents)
    for query, found, before in zip(queries, lists, first.search(SETTING, queries, documents, 20), strict=True):
        key = {doc_id: (toy_score(query.text, text_of[doc_id]), doc_id) for doc_id in before}
        expected = sorted(before[:n], key=lambda doc_id: key[doc_id], reverse=True) + before[n:]
        assert found == expected[:depth]


def test_each_pair_is_scored_once_for_all_settings() -> None:
    SCORED.clear()
    collection = make_collection(1)
    ranker = reranked(4)
    for setting in settings_of(collection.languages):
        documents = [d for language in setting.document_languages for d in collection.documents[language]]
        ranker.search(setting, collection.queries[setting.query_language], documents, len(documents))
    n_queries = sum(map(len, collection.queries.values()))
    assert set(SCORED.values()) == {1}
    # The pool's first four are among the first four of each of the four languages.
    assert len(SCORED) == n_queries * 4 * 4


def test_equal_texts_tie_and_stand_by_id() -> None:
    documents = [Document(name, "same") for name in ("b", "d", "a", "c")]
    [found] = reranked(4).search(SETTING, [Query("t", "q")], documents, 4)
    assert found == ["d", "c", "b", "a"]


class Halves(ToyRanker, ScoredRanker):
    """A first system whose documents have every second place's score."""

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        lists = ToyRanker.search(self, setting, queries, documents, depth)
        return [RankedList(found, -(np.arange(len(found)) // 2).astype(np.float64)) for found in lists]


@given(
    texts=st.lists(st.text("ab", min_size=1, max_size=2), max_size=12),
    n=st.integers(1, 14),
    depth=st.integers(1, 14),
    scored=st.booleans(),
)
def test_ties_are_those_of_the_two_systems(texts: list[str], n: int, depth: int, scored: bool) -> None:
    documents, query = [Document(f"{number:02}", text) for number, text in enumerate(texts)], Query("t", "one")
    first = Halves(0) if scored else ToyRanker(0)
    [(found, scores)] = reranked(n, first=first).search_scored(SETTING, [query], documents, depth)
    assert found == reranked(n, first=first).search(SETTING, [query], documents, depth)[0]
    if not scored and min(depth, len(documents)) > n:
        assert scores is None
        return
    before, text_of = first.search(SETTING, [query], documents, 20)[0], dict(documents)
    of_pair = [np.rint(np.float32(toy_score(query.text, text_of[name])).astype(float) * 2**20) for name in found[:n]]
    expected = [("head", score) for score in of_pair] + [("tail", before.index(name) // 2) for name in found[n:]]
    assert scores is not None
    assert len(scores) == len(found)
    same = [one == other for one, other in pairwise(expected)]
    assert [one == other for one, other in pairwise(scores.tolist())] == same
    assert (np.diff(scores) <= 0).all()


class Wrong:
    """A reranker that answers wrongly."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.parameters: dict[str, Parameter] = {}

    def fingerprint(self) -> str:
        return "wrong"

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return self.answer  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([0.5, np.nan], "the reranker gives NaN or infinite scores, as for 'q' and 'two'"),
        ([np.inf, 1], "the reranker gives NaN or infinite scores, as for 'q' and 'one'"),
        ([1.0], r"the reranker gave float64 \(1,\) for 2 pairs"),
        ([[1.0], [2.0]], r"the reranker gave float64 \(2, 1\) for 2 pairs"),
        (["a", "b"], r"the reranker gave <U1 \(2,\) for 2 pairs"),
    ],
)
def test_wrong_scores_are_told(answer: object, fault: str) -> None:
    documents = [Document("a", "one"), Document("b", "two")]
    with pytest.raises(RetrieverError, match=fault):
        reranked(2, Wrong(answer)).search(SETTING, [Query("t", "q")], documents, 2)


def test_nothing_to_score() -> None:
    assert reranked(2).search(SETTING, [], [Document("a", "one")], 2) == []
    assert reranked(2).search(SETTING, [Query("t", "q")], [], 2) == [[]]


def test_what_is_no_reranker_is_told(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="reranker 'reading' opened a str, which is no reranker"):
        open_reranker("reading:broken", {}, Runtime())
    with pytest.raises(RetrieverError, match="reading: unknown key 'sed': did you mean seed"):
        open_reranker("reading:", {"sed": "1"}, Runtime())


class Cutting(ToyReranker):
    """Cuts off pairs of more than seven letters."""

    def longest_pair(self) -> int | None:
        return 7

    def is_truncated_pair(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.bool_] | None:
        return np.array([len(query + text) > 7 for query, text in pairs], dtype=np.bool_)


def test_the_pairs_that_were_scored_are_known_with_those_cut_off() -> None:
    documents = [Document("1", "abcd"), Document("2", "abcde"), Document("3", "abcd")]
    ranker = reranked(3, Cutting(0))
    for _ in range(2):
        ranker.search(SETTING, [Query("t1", "one"), Query("t2", "three")], documents, 3)
    found = ranker.scored_pairs()
    assert found is not None
    assert (found.max_length, dict(found.scored)) == (7, {"abcd": 2, "abcde": 2})
    assert dict(found.truncated) == {"abcd": 1, "abcde": 2}
    # Of the next task, pairs are counted anew.
    ranker.prepare({}, None, Silence())
    ranker.search(SETTING, [Query("t1", "one")], documents[:1], 3)
    again = ranker.scored_pairs()
    assert again is not None
    assert (dict(again.scored), dict(again.truncated)) == ({"abcd": 1}, {})
    assert reranked(3).scored_pairs() is None
