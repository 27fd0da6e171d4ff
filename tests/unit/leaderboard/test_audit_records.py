"""Records of audits: those of an entry as it is count, and whatever cannot be one is refused."""

from pathlib import Path
from typing import Any

import pytest
from functional.forging import read, write
from unit.leaderboard.boards import forge, new_board, new_entry, placed

from mlbench.cli import call
from mlbench.errors import RefusedEntry
from mlbench.leaderboard.audit import Audit, status_of
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.site import read_entries

TASK = {
    "n_texts": 96,
    "n_drawn": 40,
    "n_topics": 5,
    "n_queries": 20,
    "share": 0.5,
    "largest_error": 0.01,
    "mean_error": 0.001,
    "faults": (),
}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = new_board(tmp_path)
    new_entry(board)
    board.keep_audit(Audit.model_validate(record(board)))
    return board


def record(board: Board) -> dict[str, Any]:
    return {
        "name": "ours",
        "entry_fingerprint": check_entry(board, "ours").entry.fingerprint,
        "passed": True,
        "by": "the board",
        "finished_at": "2026-11-30T12:00:00+00:00",
        "seed": "ab" * 20,
        "commit": "ab" * 20,
        "model": "model",
        "same_fingerprint": True,
        "mlbench": "0.1.0",
        "tasks": {"small": TASK},
    }


def test_an_audit_of_the_entry_as_it_is_counts(board: Board) -> None:
    assert status_of(check_entry(board, "ours").entry, board.audit("ours")) == "audited"
    assert board.stray_audits() == ()
    forge(board.entry_folder("ours") / "entry.json", "title", "Another")
    assert board.audit("ours") is None


IMPOSSIBLE: dict[str, tuple[str, object, str]] = {
    "of another entry": ("name", "theirs", "is the audit of theirs"),
    "passed with faults": ("tasks/small/faults", ["another model"], "it passed with faults, or failed without"),
    "failed without": ("passed", False, "it passed with faults, or failed without"),
    "of another task": ("tasks", {"other": TASK}, "its tasks are not those of the entry"),
    "of no task": ("tasks", {}, "its tasks are not those of the entry"),
    "of another seed": ("seed", "cd" * 20, "its seed is not its commit"),
    "of nothing": ("tasks/small", {**TASK, "n_drawn": 0, "n_queries": 0}, "small: nothing was compared"),
    "of more than there is": ("tasks/small/n_drawn", 97, "small: nothing was compared, or more than there is"),
    "a mean beyond the largest": ("tasks/small/mean_error", 0.5, "small: mean_error is larger"),
    "one error alone": ("tasks/small/largest_error", None, "small: mean_error is larger"),
    "to come": ("finished_at", "2999-01-01T00:00:00+00:00", "finished_at is in the future"),
    "long ago": ("finished_at", "2020-01-01T00:00:00+00:00", "finished_at is before"),
    "at no time": ("finished_at", "today", "finished_at is no moment"),
    "markup": ("by", "<b>the board</b>", "by has markup"),
    "a share of more": ("tasks/small/share", 1.5, r"tasks\.small\.share"),
    "a key more": ("trusted", True, "trusted"),
}


@pytest.mark.parametrize(("place", "value", "said"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_an_audit_of_the_entry_is_refused(board: Board, place: str, value: object, said: str) -> None:
    path = board.audit_path("ours")
    write(path, placed(read(path), place, value))
    with pytest.raises(RefusedEntry, match=rf"^audits/ours\.json(:| is) .*{said}|^audits/ours\.json {said}"):
        board.audit("ours")
    with pytest.raises(RefusedEntry):
        read_entries(board)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"{" * 10**5])
def test_a_broken_audit_is_refused(board: Board, content: bytes) -> None:
    board.audit_path("ours").write_bytes(content)
    with pytest.raises(RefusedEntry, match=r"^audits/ours\.json"):
        board.audit("ours")


@pytest.mark.parametrize("file", ["theirs.json", "ours.txt", "OURS.json", "ours"])
def test_what_is_the_audit_of_no_entry_is_refused(board: Board, file: str) -> None:
    (board.folder / "audits" / file).write_text("{}")
    assert board.stray_audits() == (file,)
    with pytest.raises(RefusedEntry, match=f"audits/'{file}' is the audit of no entry"):
        read_entries(board)


def test_a_check_of_all_refuses_the_audit_of_no_entry(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    (board.folder / "audits" / "theirs.json").write_text("{}")
    assert call(["leaderboard", "check", "--board", str(board.folder)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "refused   audits/'theirs.json' is the audit of no entry"
    board.audit_path("ours").write_text("{}")
    assert call(["leaderboard", "check", "ours", "--board", str(board.folder)]) == 1
    assert capsys.readouterr().out.startswith("refused   audits/ours.json is not written as mlbench writes it")
