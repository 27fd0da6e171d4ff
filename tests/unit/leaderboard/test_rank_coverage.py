"""Rank intervals hold all true ranks as often as they say; `tests/bench/rank_coverage.py` has more worlds and tries."""

from importlib import import_module

import pytest

bench = import_module("tests.bench.rank_coverage")
TRIES = 300
ERROR = (0.05 * 0.95 / TRIES) ** 0.5


@pytest.mark.parametrize("name", ["all level", "all level, lower is better", "all level over two tasks"])
def test_of_entries_that_are_level_95_of_100_tries_hold(name: str) -> None:
    held, width = bench.coverage(bench.WORLDS[name], 10, TRIES)
    assert abs(held / TRIES - 0.95) < 3 * ERROR
    assert width > 0.99 * bench.ENTRIES_EACH


@pytest.mark.parametrize("name", ["two groups", "a ladder, lower is better", "all as far from 1/2"])
def test_of_entries_that_are_apart_no_fewer_do(name: str) -> None:
    held, width = bench.coverage(bench.WORLDS[name], 10, TRIES)
    assert held / TRIES > 0.95 - 3 * ERROR
    # Intervals tell something: where entries are level, they hold nearly all ranks.
    assert name.startswith("all") or width < 0.9 * bench.ENTRIES_EACH


def test_ranks_of_level_entries_are_shared() -> None:
    first, last = bench.true_ranks(bench.world(bench.GROUPS))
    assert first.tolist() == [6] * 5 + [1] * 5
    assert last.tolist() == [10] * 5 + [5] * 5
