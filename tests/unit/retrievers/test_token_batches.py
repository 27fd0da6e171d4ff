import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlbench.retrievers.batching import packed_batches, token_batches


@given(st.lists(st.integers(0, 50), max_size=80), st.integers(1, 120), st.integers(1, 10))
def test_batches_hold_every_row_once_within_budget(lengths: list[int], budget: int, max_rows: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = [rows.tolist() for rows in token_batches(array, budget, max_rows)]
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    longest = [max(lengths[row] for row in rows) for rows in batches]
    assert longest == sorted(longest, reverse=True)
    for rows, width in zip(batches, longest, strict=True):
        assert lengths[rows[0]] == width
        assert len(rows) <= max_rows
        assert len(rows) == 1 or len(rows) * max(width, 1) <= budget


def test_batches_are_full() -> None:
    batches = list(token_batches(np.array([3, 9, 3, 3, 3]), 9, 64))
    assert [rows.tolist() for rows in batches] == [[1], [0, 2, 3], [4]]


@given(st.lists(st.integers(0, 9), max_size=80), st.integers(1, 30), st.integers(1, 10))
def test_batches_without_padding_hold_texts_of_one_length(lengths: list[int], budget: int, max_rows: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = [rows.tolist() for rows in token_batches(array, budget, max_rows, padded=False)]
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        assert len({lengths[row] for row in rows}) == 1
        assert len(rows) <= max_rows
        assert len(rows) == 1 or len(rows) * max(lengths[rows[0]], 1) <= budget


@given(st.lists(st.integers(1, 50), max_size=80), st.integers(1, 120))
def test_packed_batches_hold_every_row_once_and_are_full(lengths: list[int], budget: int) -> None:
    batches = [rows.tolist() for rows in packed_batches(np.array(lengths, dtype=np.int64), budget)]
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    in_order = [lengths[row] for rows in batches for row in rows]
    assert in_order == sorted(lengths, reverse=True)
    sizes = [sum(lengths[row] for row in rows) for rows in batches]
    assert all(size <= budget or len(rows) == 1 for size, rows in zip(sizes, batches, strict=True))
    firsts = [lengths[rows[0]] for rows in batches[1:]]
    assert all(size + first > budget for size, first in zip(sizes, firsts, strict=False))
