"""Rows of a pair of languages, against a list for each pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.training.index import ABSENT, Pool, RowIndex

LANGUAGES = 3
Side = tuple[bool, ...]


def index_of(patterns: list[tuple[Side, Side]], pattern: list[int]) -> RowIndex:
    """Return an index of rows with these patterns: which languages have a query, and which a document."""
    sides = [np.where([each[side] for each in patterns], 0, ABSENT).astype(np.int32) for side in (0, 1)]
    numbers = np.arange(len(pattern), dtype=np.int32)
    none = np.zeros(0, np.int32)
    return RowIndex(
        *sides,
        is_text=np.zeros(len(patterns), bool),
        pattern=np.array(pattern, np.int32),
        topic=numbers,
        query_group=numbers,
        document_group=numbers,
        first_text=numbers.astype(np.int64),
        first_negative=np.zeros(len(pattern) + 1, np.int64),
        negative_texts=none.astype(np.int64),
        negative_languages=none,
        negative_groups=none,
    )


sides = st.tuples(*[st.booleans()] * LANGUAGES)
patterns = st.lists(st.tuples(sides, sides), min_size=1, max_size=6)


@st.composite
def indexes(draw: st.DrawFn) -> RowIndex:
    known = draw(patterns)
    return index_of(known, draw(st.lists(st.integers(0, len(known) - 1), min_size=1, max_size=40)))


def able(index: RowIndex, query: int, document: int) -> list[int]:
    """Return the rows that have a query in one language and a document in the other, one by one."""
    return [
        row
        for row, pattern in enumerate(index.pattern.tolist())
        if index.query_places[pattern, query] != ABSENT and index.document_places[pattern, document] != ABSENT
    ]


@given(indexes())
def test_every_row_of_a_pair_has_an_equal_part_of_the_places(index: RowIndex) -> None:
    pool = Pool(index, 1.0)
    for pair in range(LANGUAGES**2):
        rows = able(index, *divmod(pair, LANGUAGES))
        n = len(rows)
        assert pool.size(pair) == n
        if n:
            starts, ends = (np.arange(n) + 0.001) / n, (np.arange(n) + 0.999) / n
            found = pool.rows(np.full(n, pair), starts)
            assert sorted(found.tolist()) == rows
            assert pool.rows(np.full(n, pair), ends).tolist() == found.tolist()


@given(indexes(), st.data())
def test_pairs_are_looked_up_together_as_alone(index: RowIndex, data: st.DataObject) -> None:
    pool = Pool(index, 0.0)
    known = [pair for pair in range(LANGUAGES**2) if pool.size(pair)]
    asked = data.draw(st.lists(st.sampled_from(known), max_size=20)) if known else []
    places = np.array(data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(asked), max_size=len(asked))))
    alone = [int(pool.rows(np.array([pair]), places[i : i + 1])[0]) for i, pair in enumerate(asked)]
    assert pool.rows(np.array(asked, np.int64), places).tolist() == alone


@given(indexes(), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
def test_pairs_weigh_what_their_rows_do(index: RowIndex, tau: float, same: bool) -> None:
    pairs = Pool(index, tau).pairs(same)
    rows = {pair: able(index, *divmod(pair, LANGUAGES)) for pair in range(LANGUAGES**2)}
    wanted = {
        pair: found
        for pair, found in rows.items()
        if len(found) > 1 and (pair // LANGUAGES == pair % LANGUAGES) == same
    }
    assert pairs.numbers.tolist() == list(wanted)
    assert np.diff(pairs.ends, prepend=0) == pytest.approx([len(found) ** tau for found in wanted.values()])
    assert pairs.n_rows == len({row for found in wanted.values() for row in found})


@pytest.mark.parametrize(("place", "pair"), [(0, 1), (0.0999, 1), (0.1, 3), (0.3999, 3), (0.4, 5), (1 - 2**-53, 5)])
def test_a_pair_is_drawn_by_its_place(place: float, pair: int) -> None:
    # Pairs (0, 1), (1, 0), (1, 2) have 2, 6 and 12 rows.
    known = [
        ((True, False, False), (False, True, False)),
        ((False, True, False), (True, False, False)),
        ((False, True, False), (False, False, True)),
    ]
    pool = Pool(index_of(known, [0] * 2 + [1] * 6 + [2] * 12), 1.0)
    assert pool.pairs(False).draw(np.array([place])).tolist() == [pair]


def test_the_last_place_of_many_rows_is_the_last_row() -> None:
    everything = ((True,) * LANGUAGES,) * 2
    n = 1_000_003
    pool = Pool(index_of([everything], [0] * n), 1.0)
    assert pool.rows(np.array([0, 8]), np.array([1 - 2**-53, 0.0])).tolist() == [n - 1, 0]
