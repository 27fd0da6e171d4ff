"""Records of audits: which status they give an entry, for how long, and what is no record."""

from pathlib import Path
from typing import Any

import pytest
from functional.forging import read, write
from unit.leaderboard.boards import new_board, new_entry

from mlbench.errors import RefusedEntry, UserError
from mlbench.leaderboard.audit import STATUSES, Audit, TaskAudit, status_of
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.entries import Entry, sealed

COUNTED = {"n_texts": 100, "n_drawn": 50, "n_topics": 20, "n_queries": 60, "share": 0.5}
FOUND = TaskAudit(**COUNTED, largest_error=0.001, mean_error=0.0005)
WRONG = TaskAudit(**COUNTED, largest_error=1.4, mean_error=1.2, faults=("50 of 50 drawn vectors are not the model's",))


def audit(entry: Entry, *, passed: bool = True, **about: Any) -> Audit:
    said = {
        "name": entry.name,
        "entry_fingerprint": entry.fingerprint,
        "passed": passed,
        "by": "the board",
        "finished_at": "2026-11-30T12:00:00+00:00",
        "seed": "0" * 40,
        "commit": "0" * 40,
        "model": "./model",
        "same_fingerprint": True,
        "mlbench": "0.1.0",
        "tasks": {"small": FOUND if passed else WRONG},
    }
    return Audit.model_validate({**said, **about})


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = new_board(tmp_path)
    new_entry(board)
    return board


@pytest.fixture
def entry(board: Board) -> Entry:
    return check_entry(board, "ours").entry


def test_statuses(entry: Entry) -> None:
    paper = sealed(name="paper", kind="reported", title="A paper", source="A paper")
    changed = sealed(**{**entry.model_dump(exclude={"fingerprint"}), "summary": "Another word."})
    assert status_of(paper, None) == "reported"
    assert status_of(entry, None) == "recomputed"
    assert status_of(entry, audit(entry)) == "audited"
    assert status_of(entry, audit(entry, passed=False)) == "failed audit"
    assert status_of(changed, audit(entry)) == "recomputed"
    assert all(sentence.endswith(".") for sentence in STATUSES.values())


def test_a_record_is_read_again_and_replaced(board: Board, entry: Entry) -> None:
    assert board.audit("ours") is None
    path = board.keep_audit(audit(entry))
    assert (path, board.audit("ours")) == (board.folder / "audits" / "ours.json", audit(entry))
    board.keep_audit(audit(entry, passed=False))
    found = board.audit("ours")
    assert found is not None
    assert not found.passed


def test_a_record_of_another_entry_does_not_count(board: Board, entry: Entry) -> None:
    board.keep_audit(audit(entry, entry_fingerprint="f" * 64))
    assert board.audit("ours") is None
    board.keep_audit(audit(entry))
    assert board.audit("ours") is not None


@pytest.mark.parametrize(
    "change",
    [
        {"passed": 1},
        {"more": 1},
        {"name": "theirs"},
        {"seed": "XYZ"},
        {"commit": "0" * 39},
        {"by": "<b>us</b>"},
        {"schema_version": 2},
        {"tasks": {"small": WRONG.model_dump(mode="json")}},
        {"tasks": {"../small": FOUND.model_dump(mode="json")}},
    ],
)
def test_what_is_no_record_is_told_in_a_line(board: Board, entry: Entry, change: dict[str, object]) -> None:
    path = board.keep_audit(audit(entry))
    write(path, {**read(path), **change})
    with pytest.raises(RefusedEntry, match=r"^audits/ours\.json") as raised:
        board.audit("ours")
    assert str(raised.value).isprintable()


def test_a_record_has_the_name_of_an_entry(board: Board) -> None:
    for name in ("../tasks/small", "Ours", ""):
        with pytest.raises(UserError, match="is no name for an entry"):
            board.audit(name)


def test_the_summary_says_what_was_compared() -> None:
    ranks_alone = FOUND.model_copy(update={"mean_error": None})
    assert ranks_alone.summary == "the ranks of 60 queries agree, 50.0% of all texts computed again"
    assert FOUND.summary == f"50 of 100 vectors (off by 5.0e-04 on average) and {ranks_alone.summary}"
