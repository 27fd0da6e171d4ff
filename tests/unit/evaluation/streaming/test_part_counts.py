"""Counts of parts, and how they add up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.evaluation.streaming.counts import PartCounts, TopDocuments

DEPTH = 4
Lists = list[list[tuple[float, str]]]

# Few scores and ids, so that there are many ties.
documents = st.lists(
    st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.integers(0, 40)), max_size=12, unique_by=lambda pair: pair[1]
)


def best(pairs: list[tuple[float, str]]) -> list[tuple[float, str]]:
    return sorted(pairs, reverse=True)[:DEPTH]


def tops_of(lists: Lists) -> TopDocuments:
    tops = TopDocuments.empty(len(lists), DEPTH)
    doc_ids = tops.doc_ids.astype("<U4")
    for number, pairs in enumerate(lists):
        for place, (score, doc_id) in enumerate(best(pairs)):
            tops.scores[number, place], doc_ids[number, place] = score, doc_id
    return TopDocuments(tops.scores, doc_ids)


def lists_of(tops: TopDocuments) -> Lists:
    return [
        [(score, doc_id) for score, doc_id in zip(scores, doc_ids, strict=True) if doc_id]
        for scores, doc_ids in zip(tops.scores.tolist(), tops.doc_ids.tolist(), strict=True)
    ]


@given(queries=st.lists(st.tuples(documents, st.integers(0, 12)), min_size=1, max_size=5))
def test_merged_tops_are_the_top_of_all(queries: list[tuple[list[tuple[float, int]], int]]) -> None:
    wholes = [[(score, f"d{number:02}") for score, number in pairs] for pairs, _ in queries]
    firsts = [whole[:cut] for whole, (_, cut) in zip(wholes, queries, strict=True)]
    seconds = [whole[cut:] for whole, (_, cut) in zip(wholes, queries, strict=True)]
    merged = tops_of(firsts).merge(tops_of(seconds))
    assert lists_of(merged) == [best(whole) for whole in wholes]
    assert lists_of(merged.merge(TopDocuments.empty(len(queries), DEPTH))) == lists_of(merged)


def counts(seed: int) -> PartCounts:
    draw = np.random.RandomState(seed)
    top = tops_of([[(float(draw.rand()), f"{seed}-{n}") for n in range(DEPTH)] for _ in range(3)])
    return PartCounts(
        ahead=draw.randint(0, 9, 5).astype(np.int32),
        ties=draw.randint(0, 9, 5).astype(np.int32),
        top=top,
        texts=seed,
        encoded=1,
        tokens=2,
        encode_seconds=0.5,
        count_seconds=0.25,
        not_kept="full" if seed == 2 else "",
    )


def test_counts_add_up() -> None:
    whole = PartCounts.empty(5, 3, DEPTH).add(counts(1)).add(counts(2))
    assert whole.ahead.tolist() == (counts(1).ahead + counts(2).ahead).tolist()
    assert (whole.texts, whole.encoded, whole.tokens, whole.not_kept) == (3, 2, 4, "full")
    assert (whole.encode_seconds, whole.count_seconds) == (1.0, 0.5)


def test_what_is_saved_comes_back_without_its_cost() -> None:
    found = PartCounts.of(counts(2).arrays(), PartCounts.empty(5, 3, DEPTH))
    assert set(counts(2).arrays()) == set(PartCounts.NAMES)
    assert lists_of(found.top) == lists_of(counts(2).top)
    assert (found.texts, found.encoded, found.tokens) == (2, 0, 0)


@pytest.mark.parametrize(
    ("name", "array"), [("ahead", np.zeros(4, np.int32)), ("ties", np.zeros(5)), ("scores", np.zeros((3, 2)))]
)
def test_arrays_of_another_question_are_refused(name: str, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=name):
        PartCounts.of(counts(1).arrays() | {name: array}, PartCounts.empty(5, 3, DEPTH))
