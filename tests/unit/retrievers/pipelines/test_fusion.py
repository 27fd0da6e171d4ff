"""Reciprocal rank fusion against sums by hand, against fractions, and what must not change it."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.ranking.count_ahead import by_id
from mlbench.retrievers.pipelines import fusion

IDS = [f"d{number:02}" for number in range(12)]
Lists = list[list[list[str]]]


def fuse(lists: Lists, weights: Sequence[float], doc_ids: Sequence[str], k: float, *, depth: int) -> list[list[str]]:
    """Fuse lists of document ids."""
    names = [doc_ids[index] for index in by_id(doc_ids)]
    places = [[np.array([names.index(name) for name in found], dtype=np.int64) for found in own] for own in lists]
    fused = fusion.fuse(places, weights, len(names), k, depth=depth)
    for found, sums in fused:
        assert (np.diff(sums) <= 0).all()
        assert len(found) == len(sums)
    return [[names[place] for place in found] for found, _ in fused]


def reference(lists: Sequence[Sequence[str]], weights: Sequence[int], k: int) -> list[str]:
    """Fuse the lists of one query with exact fractions."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for found, weight in zip(lists, weights, strict=True):
        for rank, doc_id in enumerate(found, 1):
            sums[doc_id] += Fraction(weight, k + rank)
    return sorted(sums, key=lambda doc_id: (sums[doc_id], doc_id), reverse=True)


@st.composite
def many_lists(draw: st.DrawFn) -> Lists:
    """Draw the lists of 1 to 4 systems for 0 to 3 queries."""
    queries = draw(st.integers(0, 3))
    one = st.permutations(IDS).flatmap(lambda ids: st.integers(0, len(ids)).map(lambda cut: list(ids[:cut])))
    return draw(st.lists(st.lists(one, min_size=queries, max_size=queries), min_size=1, max_size=4))


def test_by_hand() -> None:
    # a: 1/61 + 1/63, b: 1/62 + 1/61, c: 1/62, d: 1/63
    lists = [[["a", "b", "d"]], [["b", "c", "a"]]]
    assert fuse(lists, [1, 1], ["a", "b", "c", "d", "e"], 60, depth=9) == [["b", "a", "c", "d"]]
    # a: 3/61 + 1/63, b: 3/62 + 1/61, d: 3/63
    assert fuse(lists, [3, 1], ["a", "b", "c", "d", "e"], 60, depth=3) == [["a", "b", "d"]]


def test_equal_sums_stand_by_id_descending() -> None:
    assert fuse([[["a", "b"]], [["b", "a"]]], [1, 1], ["a", "b"], 60, depth=2) == [["b", "a"]]
    # 1/3 + 1/6 = 1/4 + 1/4, whatever the rounding of the terms.
    lists = [[["x", "y", "a", "b"]], [["z", "w", "v", "b", "u", "a"]]]
    assert reference([found[0] for found in lists], [1, 1], 0) == ["z", "x", "y", "w", "b", "a", "v", "u"]
    assert fuse(lists, [1, 1], list("abuvwxyz"), 0, depth=8) == [["z", "x", "y", "w", "b", "a", "v", "u"]]


@given(lists=many_lists(), k=st.integers(0, 100), depth=st.integers(1, 14), data=st.data())
def test_as_fractions_say(lists: Lists, k: int, depth: int, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(lists), max_size=len(lists)))
    expected = [reference(found, weights, k)[:depth] for found in zip(*lists, strict=True)]
    assert fuse(lists, weights, IDS, k, depth=depth) == expected


@given(lists=many_lists(), times=st.integers(2, 4), weight=st.floats(0.01, 1000))
def test_a_system_fused_with_itself_keeps_its_order(lists: Lists, times: int, weight: float) -> None:
    assert fuse([lists[0]] * times, [weight] * times, IDS, 60, depth=len(IDS)) == lists[0]


@given(lists=many_lists(), data=st.data())
def test_the_order_of_systems_and_of_documents_changes_nothing(lists: Lists, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=len(lists), max_size=len(lists)))
    order = data.draw(st.permutations(range(len(lists))))
    doc_ids = data.draw(st.permutations(IDS))
    shuffled = fuse([lists[n] for n in order], [weights[n] for n in order], doc_ids, 60, depth=8)
    assert shuffled == fuse(lists, weights, IDS, 60, depth=8)


@pytest.mark.parametrize("n_queries", [63, 64, 65, 200])
def test_queries_do_not_meet(n_queries: int) -> None:
    lists = [[[IDS[query % 12], IDS[(query + 1) % 12]] for query in range(n_queries)] for _ in range(2)]
    assert fuse(lists, [1, 1], IDS, 60, depth=2) == lists[0]
