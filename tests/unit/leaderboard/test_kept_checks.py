"""An entry is recomputed once, and again where anything that was checked, or what checks it, has changed."""

from pathlib import Path

import numpy as np
import pytest
from functional.forging import reseal
from unit.compare.cases import skilled
from unit.leaderboard.boards import forge, honest, new_board, new_entry

from mlbench.errors import RefusedEntry
from mlbench.evaluation.cache_contents import cached_items, remove
from mlbench.leaderboard import check, kept
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.protocol import accept


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def recomputed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was recomputed since the start of the test."""
    names: list[str] = []
    recompute = check.recompute
    monkeypatch.setattr(check, "recompute", lambda result, ranks: (names.append("once"), recompute(result, ranks))[1])
    return names


@pytest.fixture
def board(recomputed: list[str], tmp_path: Path) -> Board:
    """A board with an entry that was checked when it was made."""
    board = new_board(tmp_path)
    new_entry(board)
    assert len(recomputed) == 1
    return board


def test_an_unchanged_entry_is_not_recomputed(board: Board, recomputed: list[str], cache: Path) -> None:
    first = check_entry(board, "ours")
    again = check_entry(board, "ours")
    assert len(recomputed) == 1
    assert again.n_numbers == first.n_numbers > 100
    assert again.pairs.keys() == {"small"}
    (found,) = [item for item in cached_items(cache)["checks"] if item.folder.name.startswith("ours-")]
    remove(found)
    assert not found.folder.exists()
    assert check_entry(board, "ours").n_numbers == first.n_numbers
    assert len(recomputed) == 2


def test_a_changed_result_is_recomputed_and_refused_each_time(board: Board, recomputed: list[str]) -> None:
    forge(board.entry_folder("ours") / "small.json", "settings/0/measures/AP", 0.25)
    reseal(board.entry_folder("ours"))
    for times in (2, 3):
        with pytest.raises(RefusedEntry, match="recomputed"):
            check_entry(board, "ours")
        assert len(recomputed) == times


def test_another_accepted_task_or_version_checks_anew(
    board: Board, recomputed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = accept(honest(skilled()), skilled())
    board.take(other.model_copy(update={"sizes": other.sizes.model_copy(update={"documents": 10**6})}), replace=True)
    check_entry(board, "ours")
    assert len(recomputed) == 2
    monkeypatch.setattr(kept, "_code", lambda: "another version")
    check_entry(board, "ours")
    assert len(recomputed) == 3


def kept_file(cache: Path) -> Path:
    (found,) = [item for item in cached_items(cache)["checks"] if item.folder.name.startswith("ours-")]
    return found.folder / "found.npz"


@pytest.mark.parametrize("content", [b"", b"[]", b"PK"])
def test_what_is_kept_is_found_anew_where_it_cannot_be_read(
    board: Board, recomputed: list[str], cache: Path, content: bytes
) -> None:
    kept_file(cache).write_bytes(content)
    assert check_entry(board, "ours").n_numbers > 100
    assert len(recomputed) == 2


@pytest.mark.parametrize("key", [{}, {"key": "0"}, {"key": np.array(["0", "1"])}])
def test_what_is_kept_is_not_trusted_beyond_its_digest(
    board: Board, recomputed: list[str], cache: Path, key: dict[str, object]
) -> None:
    np.savez(kept_file(cache), n_numbers=3, **key)  # type: ignore[arg-type]
    assert check_entry(board, "ours").n_numbers > 100
    assert len(recomputed) == 2


def test_a_file_that_changed_since_is_refused(board: Board, recomputed: list[str]) -> None:
    path = board.entry_folder("ours") / "small.ranks.npz"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RefusedEntry, match=r"small\.ranks\.npz is not the file that entry\.json names"):
        check_entry(board, "ours")
    assert len(recomputed) == 1


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "file"))
    board = new_board(tmp_path)
    new_entry(board)
    assert check_entry(board, "ours").n_numbers > 100
