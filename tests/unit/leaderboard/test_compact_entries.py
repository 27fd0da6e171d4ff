"""Entries of a task with so many languages that the counts of its settings alone are kept: the limit is lowered."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from functional.forging import reseal
from unit.compare.cases import COLLECTION, skilled
from unit.leaderboard.boards import honest, saved
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import make_collection

from mlbench.errors import RefusedEntry, UserError
from mlbench.evaluation.verify import verify
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.protocol import accept, describe
from mlbench.leaderboard.submission import Description, add
from mlbench.ranking import ranks as ranks_module
from mlbench.ranking.packed_ranks import pack
from mlbench.ranking.ranks import MISSING, Ranks
from mlbench.ranking.ranks_file import read_ranks

RANKS = "small.ranks.npz"


def compact(seed: int) -> Ranks:
    return compact_of(skilled(seed=seed), [COLLECTION.languages])


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """A board with one entry, `ours`."""
    monkeypatch.setattr(ranks_module, "MOST_COUNTS", 1)
    board = Board(tmp_path / "board")
    board.take(accept(honest(compact(0)), compact(0)))
    add(board, "ours", [saved(tmp_path, compact(1), spec="ours")], Description(title="Ours"))
    return board


def test_every_number_follows_from_compact_ranks(board: Board, tmp_path: Path) -> None:
    checked = check_entry(board, "ours")
    ((result, ranks),) = checked.pairs.values()
    assert ranks.is_compact
    assert checked.n_numbers > 100
    found = verify(next(tmp_path.glob("*.json")))
    assert found.differences == ()
    assert found.n_numbers == checked.n_numbers
    dense = honest(skilled(seed=1), spec="ours")
    assert result.settings == dense.settings
    assert result.bias == dense.bias


@pytest.mark.parametrize("most", [1, ranks_module.MOST_COUNTS], ids=["compact", "of all pools"])
def test_entries_of_a_task_whose_grades_are_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(ranks_module, "MOST_COUNTS", most)
    made = [compact(seed) if most == 1 else skilled(seed=seed) for seed in (0, 1)]
    first, second = (replace(ranks, grade_scale=np.array([4], dtype=np.int32)) for ranks in made)
    board = Board(tmp_path / "board")
    board.take(accept(honest(first), first))
    add(board, "ours", [saved(tmp_path, second, spec="ours")], Description(title="Ours"))
    assert check_entry(board, "ours").n_numbers > 100
    with pytest.raises(RefusedEntry):
        add(board, "theirs", [saved(tmp_path / "whole", made[1], spec="theirs")], Description(title="Theirs"))


def test_ranks_of_all_pools_are_not_the_accepted_ones(board: Board, tmp_path: Path) -> None:
    path = saved(tmp_path / "other", skilled(seed=2), spec="theirs")
    with pytest.raises(RefusedEntry, match=r"small\.ranks\.npz: "):
        add(board, "theirs", [path], Description(title="Theirs"))


def test_data_are_described_alike_where_one_retriever_has_compact_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    collection = make_collection(seed=5, several=True)
    ranks = skilled(collection)
    assert (ranks.ahead == MISSING).any()
    lists = describe(ranks, honest(ranks, collection).settings)
    monkeypatch.setattr(ranks_module, "MOST_COUNTS", 1)
    other = compact_of(skilled(collection, seed=1), [collection.languages])
    described = describe(ranks, honest(ranks, collection).settings)
    assert described == describe(other, honest(other, collection).settings)
    assert described.keys() == lists.keys()
    assert described["relevant documents"] != lists["relevant documents"]


def test_ranks_that_were_made_compact_are_accepted_of_no_small_task() -> None:
    with pytest.raises(UserError, match="measure it without --pools"):
        accept(honest(compact(0)), compact(0))


def flipped(name: str) -> Callable[[dict[str, np.ndarray]], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name].ravel()[-1] ^= 1

    return change


def unused_bits(arrays: dict[str, np.ndarray]) -> None:
    # What stands behind the last row is read by nobody, and could say anything.
    arrays["asked"] = np.append(arrays["asked"], np.uint8(0))


def an_empty_plane(arrays: dict[str, np.ndarray]) -> None:
    planes = arrays["pools_ahead"]
    arrays["pools_ahead"] = np.concatenate((planes, np.zeros_like(planes[:1])))


def wider(arrays: dict[str, np.ndarray]) -> None:
    arrays["columns"] = arrays["columns"].astype("U999")


@pytest.mark.parametrize(
    "change", [flipped("own_ahead"), flipped("pools_ahead"), flipped("asked"), unused_bits, an_empty_plane, wider]
)
def test_forged_arrays(board: Board, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    path = board.entry_folder("ours") / RANKS
    arrays = dict(pack(read_ranks(path)))
    change(arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    path.write_bytes(buffer.getvalue())
    reseal(path.parent)
    with pytest.raises(RefusedEntry):
        check_entry(board, "ours")
