from itertools import product

import numpy as np
import pytest

from mlbench.statistics.resampling import count_patterns, sign_blocks


@pytest.mark.parametrize(
    ("n_clusters", "flips", "expected"),
    [(3, 8, (True, 8)), (3, 7, (False, 7)), (0, 1, (True, 1)), (13, 10_000, (True, 8192)), (520, 99, (False, 99))],
)
def test_all_patterns_are_tried_where_they_are_few(n_clusters: int, flips: int, expected: tuple[bool, int]) -> None:
    assert count_patterns(n_clusters, flips) == expected
    assert sum(len(signs) for signs in sign_blocks(n_clusters, 50, flips, 0)) == expected[1]


def test_few_patterns_are_each_there_once() -> None:
    found = {tuple(signs) for signs in np.concatenate(list(sign_blocks(5, 7, 100, 0)))}
    assert found == set(product((-1.0, 1.0), repeat=5))


@pytest.mark.parametrize("block", [1, 3, 1000])
@pytest.mark.parametrize("n_clusters", [31, 32, 33, 70])
def test_random_patterns_are_the_same_for_every_block_size(n_clusters: int, block: int) -> None:
    whole = np.concatenate(list(sign_blocks(n_clusters, 200, 200, 4)))
    assert (np.concatenate(list(sign_blocks(n_clusters, block, 200, 4))) == whole).all()
    assert set(np.unique(whole)) == {-1.0, 1.0}
    assert abs(whole.mean()) < 0.05


def test_the_random_stream_is_frozen() -> None:
    first = next(sign_blocks(20, 1, 100, 0))[0]
    assert "".join("+" if sign > 0 else "-" for sign in first) == "+-+-++------+-+--+++"
