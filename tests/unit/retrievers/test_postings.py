import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import RetrieverError
from mlbench.retrievers.bm25 import LENGTHS, Postings, TermNumbers, join

TEXT = st.lists(st.sampled_from("abcdefgh"), max_size=60)
KEYS = st.sampled_from([(0.9, 0.4), (1.2, 0.75), (0.0, 0.0), (2.0, 1.0)])


def plain(documents: list[list[str]], query: list[str], k1: float, b: float) -> list[float]:
    """Return the score of each document, from the formula, in Python's own numbers."""
    filled = [document for document in documents if document]
    average = sum(map(len, filled)) / max(len(filled), 1)
    scores = []
    for document in documents:
        length = max(known for known in LENGTHS.tolist() if known <= len(document))
        score = 0.0
        for term in query:
            frequency, holders = document.count(term), sum(term in other for other in documents)
            if frequency:
                idf = math.log(1 + (len(filled) - holders + 0.5) / (holders + 0.5))
                score += idf * frequency / (frequency + k1 * (1 - b + b * length / average))
        scores.append(score)
    return scores


@given(
    st.lists(TEXT, min_size=1, max_size=12), TEXT, st.sampled_from([(0.9, 0.4), (1.2, 0.75), (0.0, 0.0), (2.0, 1.0)])
)
def test_the_scores_of_the_formula(documents: list[list[str]], query: list[str], keys: tuple[float, float]) -> None:
    vocabulary, (k1, b) = TermNumbers(), keys
    names = [f"d{number:02}" for number in range(len(documents))]
    postings = Postings(names, vocabulary.number(documents), k1=k1, b=b)
    asked = vocabulary.number([query])[0]
    found, expected = postings.scores(asked), plain(documents, query, k1, b)
    assert set(found) == {name for name, score in zip(names, expected, strict=True) if score}
    for name, score in found.items():
        assert score == pytest.approx(expected[names.index(name)], rel=1e-5)
    ordered = sorted(found, key=lambda name: (found[name], name), reverse=True)
    for depth in (1, 3, 100):
        listed = postings.search(asked, depth)
        assert listed.doc_ids == ordered[:depth]
        assert listed.scores is not None
        assert listed.scores.tolist() == [found[name] for name in ordered[:depth]]


def test_lengths_are_those_of_one_byte() -> None:
    assert len(LENGTHS) == 256
    assert LENGTHS[:44].tolist() == [*range(40), 40, 42, 44, 46]
    assert (np.diff(LENGTHS) > 0).all()
    assert LENGTHS[-1] > 2**30


def test_ties_are_broken_by_id() -> None:
    vocabulary = TermNumbers()
    terms = vocabulary.number([["a", "b"], ["a", "c"], ["a", "d"]])
    postings = Postings(["x1", "x3", "x2"], terms, k1=0.9, b=0.4)
    asked = vocabulary.number([["a"]])[0]
    assert postings.search(asked, 10).doc_ids == ["x3", "x2", "x1"]
    assert postings.search(asked, 2).doc_ids == ["x3", "x2"]


def test_a_pool_is_one_index() -> None:
    vocabulary = TermNumbers()
    parts = [vocabulary.number(texts) for texts in ([["a", "b"], []], [["a"]], [], [["c"] * 5, ["b", "c"]])]
    together = vocabulary.number([["a", "b"], [], ["a"], ["c"] * 5, ["b", "c"]])
    joined = join(parts)
    np.testing.assert_array_equal(joined.flat, together.flat)
    np.testing.assert_array_equal(joined.edges, together.edges)
    assert Counter(len(joined[text]) for text in range(len(joined))) == Counter([2, 0, 1, 5, 2])


def test_nothing_to_find() -> None:
    vocabulary = TermNumbers()
    empty = Postings([], vocabulary.number([]), k1=0.9, b=0.4)
    blank = Postings(["a"], vocabulary.number([[]]), k1=0.9, b=0.4)
    some = Postings(["a"], vocabulary.number([["x"]]), k1=0.9, b=0.4)
    asked = vocabulary.number([["y", "z"], []])
    assert [postings.search(asked[text], 5).doc_ids for postings in (empty, blank, some) for text in (0, 1)] == [[]] * 6


def test_an_id_twice() -> None:
    with pytest.raises(RetrieverError, match="two documents have the id 'a'"):
        Postings(["a", "b", "a"], TermNumbers().number([["x"], ["y"], ["z"]]), k1=0.9, b=0.4)
