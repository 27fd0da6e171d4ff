"""All pairs of several systems as one family: the same as p-values of the whole family, step by step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlbench.statistics import all_pairs
from mlbench.statistics.all_pairs import significantly_larger
from mlbench.statistics.resampling import difference_p_values


def expected(columns: np.ndarray, level: float, flips: int) -> np.ndarray:
    """Return what adjusted p-values of all pairs say, bool (n, n)."""
    n = columns.shape[1]
    one, other = np.triu_indices(n, k=1)
    p = difference_p_values(columns, [(one, other)], flips=flips)[0]
    sums, larger = columns.sum(axis=0), np.zeros((n, n), dtype=bool)
    for a, b, value in zip(one.tolist(), other.tolist(), p.tolist(), strict=True):
        larger[a, b] = value <= level and sums[a] > sums[b]
        larger[b, a] = value <= level and sums[b] > sums[a]
    return larger


@given(
    arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(2, 9)), elements=st.integers(-9, 9)),
    st.sampled_from([0.02, 0.05, 0.3, 0.5]),
    st.sampled_from([50, 199, 5000]),
)
def test_pairs_are_rejected_by_their_adjusted_p_values(columns: np.ndarray, level: float, flips: int) -> None:
    (found,) = significantly_larger([columns], level, flips=flips)
    assert found.tolist() == expected(columns, level, flips).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_steps_that_look_at_few_patterns_lose_nothing(seed: int) -> None:
    """Entries from near to far apart, so that pairs are rejected in many steps, some only after all patterns again."""
    random = np.random.RandomState(seed)
    noise = np.exp(random.standard_normal(12))
    columns = random.standard_normal((20, 12)) * noise + np.linspace(0, 2, 12) ** 2
    (found,) = significantly_larger([columns], 0.05, flips=999)
    assert found.tolist() == expected(columns, 0.05, 999).tolist()
    assert 0 < found.sum() < 66


def test_blocks_and_other_families_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    families = [random.standard_normal((30, n)) + np.linspace(0, 2, n) for n in (5, 1, 12)]
    whole = significantly_larger(families, 0.05, flips=700)
    monkeypatch.setattr(all_pairs, "_BLOCK_CELLS", 100)
    for one, family in zip(whole, families, strict=True):
        (alone,) = significantly_larger([family], 0.05, flips=700)
        assert one.tolist() == alone.tolist()
    assert whole[1].tolist() == [[False]]


def test_without_families_and_columns_there_is_nothing() -> None:
    assert significantly_larger([], 0.05) == []
    assert [found.shape for found in significantly_larger([np.zeros((9, 0))], 0.05)] == [(0, 0)]


def test_what_does_not_differ_is_not_larger() -> None:
    column = np.random.RandomState(0).standard_normal(40)
    (found,) = significantly_larger([np.stack([column, column, column + 9], axis=1)], 0.05)
    assert found.tolist() == [[False, False, False], [False, False, False], [True, True, False]]
