"""Entries made of results: whole and checked, or not at all."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest
from functional.forging import read
from unit.compare.cases import COLLECTION, put, skilled
from unit.leaderboard.boards import honest, new_board, saved
from unit.statistics.cases import ListRanker, random_orders

from mlbench.collection.languages import settings_of
from mlbench.errors import InvalidResult, RefusedEntry, UserError
from mlbench.leaderboard import submission
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.check_files import canonical
from mlbench.leaderboard.entries import ENTRY_FILE, sealed
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.submission import Description, add
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.results import digest

NOTHING = Description()


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return new_board(tmp_path, "small", "other")


@pytest.fixture
def result(tmp_path: Path) -> Path:
    return saved(tmp_path / "results", skilled(seed=1))


def content(board: Board) -> dict[str, bytes]:
    """Return every file of the entries, hidden ones too."""
    folder = board.entries
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_entry_holds_copies_under_the_names_of_their_tasks(board: Board, result: Path) -> None:
    said = Description(title="Ours", summary="It is ours.", url="https://example.org", licence="CC0", parameters=5)
    checked = add(board, "ours", [result], said)
    entry = checked.entry
    assert (entry.title, entry.summary, entry.url, entry.licence) == (
        "Ours",
        "It is ours.",
        "https://example.org",
        "CC0",
    )
    assert (entry.parameters, entry.tasks, entry.kind) == (5, ("small",), "verified")
    assert set(content(board)) == {"ours/entry.json", "ours/small.json", "ours/small.ranks.npz"}
    folder = board.entry_folder("ours")
    assert (folder / "small.ranks.npz").read_bytes() == result.with_suffix(".ranks.npz").read_bytes()
    assert read(folder / "small.json") == {**read(result), "ranks": read(folder / "small.json")["ranks"]}
    assert entry.files == {name: digest((folder / name).read_bytes()) for name in ("small.json", "small.ranks.npz")}
    assert check_entry(board, "ours").entry == entry


def test_the_title_is_the_spec_where_none_is_given(board: Board, result: Path) -> None:
    assert add(board, "ours", [result], NOTHING).entry.title == "model"


def test_the_same_again_changes_nothing(board: Board, result: Path) -> None:
    add(board, "ours", [result], Description(title="Ours"))
    before, moments = content(board), [path.stat().st_mtime_ns for path in board.entries.rglob("*")]
    add(board, "ours", [result], Description(title="Ours"))
    add(board, "ours", [result], NOTHING)
    add(board, "ours", [], NOTHING)
    assert content(board) == before
    assert [path.stat().st_mtime_ns for path in board.entries.rglob("*")] == moments


@pytest.mark.slow
def test_tasks_come_together(board: Board, result: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "results", skilled(seed=1), name="other")
    add(board, "ours", [result], Description(title="Ours"))
    assert add(board, "ours", [other], NOTHING).entry.tasks == ("other", "small")
    assert check_entry(board, "ours").entry.title == "Ours"
    shutil.rmtree(board.entry_folder("ours"))
    one_by_one = content(board)
    assert add(board, "ours", [other, result], Description(title="Ours")).entry.tasks == ("other", "small")
    assert one_by_one == {}


@pytest.mark.skipif(sys.platform == "win32", reason="folders are locked as POSIX does")
def test_two_at_once_lose_nothing(board: Board, result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board.take(accept(honest(skilled(), name="third"), skilled()))
    add(board, "ours", [result], Description(title="Ours"))
    met, copy = Barrier(2), submission._copied

    def copy_together(path: Path) -> object:
        # Both have read the entry, where neither waits for the other.
        with suppress(BrokenBarrierError):
            met.wait(0.5)
        return copy(path)

    monkeypatch.setattr(submission, "_copied", copy_together)
    more = [[saved(tmp_path / "results", skilled(seed=1), name=task)] for task in ("other", "third")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda results: add(board, "ours", results, NOTHING), more))
    assert check_entry(board, "ours").entry.tasks == ("other", "small", "third")


def test_what_is_said_changes_alone(board: Board, result: Path) -> None:
    add(board, "ours", [result], Description(title="Ours", parameters=5))
    entry = add(board, "ours", [], Description(summary="It is ours.")).entry
    assert (entry.title, entry.summary, entry.parameters, entry.control) == ("Ours", "It is ours.", 5, False)
    assert add(board, "ours", [], Description(control=True)).entry.control
    assert add(board, "ours", [], Description(title="Ours again")).entry.control
    check_entry(board, "ours")
    with pytest.raises(UserError, match="no entry theirs to describe"):
        add(board, "theirs", [], Description(title="Theirs"))


def test_another_entry_is_only_replaced_where_that_is_asked_for(board: Board, result: Path, tmp_path: Path) -> None:
    add(board, "ours", [result], Description(title="Ours"))
    before = content(board)
    another = saved(tmp_path / "more", skilled(seed=2), retriever={"fingerprint": "ab" * 32})
    with pytest.raises(UserError, match="another result of small: give another --name, or add --replace"):
        add(board, "ours", [another], NOTHING)
    elsewhere = saved(tmp_path / "more", skilled(seed=2), name="other", retriever={"fingerprint": "ab" * 32})
    with pytest.raises(RefusedEntry, match="different retrievers"):
        add(board, "ours", [elsewhere], NOTHING)
    assert content(board) == before
    entry = add(board, "ours", [elsewhere], NOTHING, replace=True).entry
    assert (entry.tasks, entry.title) == (("other",), "model")
    assert set(content(board)) == {"ours/entry.json", "ours/other.json", "ours/other.ranks.npz"}
    check_entry(board, "ours")


def test_a_broken_entry_is_replaced_and_not_added_to(board: Board, result: Path) -> None:
    add(board, "ours", [result], NOTHING)
    (board.entry_folder("ours") / ENTRY_FILE).write_text("broken")
    with pytest.raises(RefusedEntry, match="not JSON"):
        add(board, "ours", [result], NOTHING)
    add(board, "ours", [result], NOTHING, replace=True)
    check_entry(board, "ours")


def test_an_entry_that_lacks_a_file_is_not_added_to(board: Board, result: Path) -> None:
    add(board, "ours", [result], NOTHING)
    (board.entry_folder("ours") / "small.json").unlink()
    with pytest.raises(RefusedEntry, match=r"small\.json cannot be read"):
        add(board, "ours", [], Description(title="Ours"))


def test_results_do_not_join_reported_numbers(board: Board, result: Path) -> None:
    value = {"name": "AP", "kind": "monolingual", "query_language": None, "value": 0.5}
    task = {"task": "small", "aggregation": "macro", "document_text": None, "unstated": (), "values": (value,)}
    entry = sealed(name="paper", kind="reported", title="A paper", source="A paper", reported=(task,))
    board.entry_folder("paper").mkdir(parents=True)
    (board.entry_folder("paper") / ENTRY_FILE).write_bytes(canonical(entry.model_dump(mode="json")))
    check_entry(board, "paper")
    with pytest.raises(UserError, match="paper has reported numbers"):
        add(board, "paper", [result], NOTHING)
    assert add(board, "paper", [], Description(title="The paper")).entry.reported == entry.reported
    assert check_entry(board, "paper").entry.title == "The paper"


def test_a_board_that_cannot_be_written_is_told(board: Board, result: Path) -> None:
    board.entries.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write to"):
        add(board, "ours", [result], NOTHING)


def test_what_would_be_refused_is_not_written(board: Board, tmp_path: Path, result: Path) -> None:
    other_data = saved(tmp_path / "results", skilled(seed=1), name="unknown")
    with pytest.raises(RefusedEntry, match="unknown task of the leaderboard 'unknown'"):
        add(board, "ours", [other_data], NOTHING)
    with pytest.raises(RefusedEntry, match="has markup"):
        add(board, "ours", [result], Description(title="<b>Ours</b>"))
    with pytest.raises(RefusedEntry, match="title"):
        add(board, "ours", [result], Description(title="a" * 101))
    incomplete = put(tmp_path / "unsaid", skilled(seed=3))
    with pytest.raises(RefusedEntry, match=r"retriever\.dim or similarity"):
        add(board, "ours", [incomplete], NOTHING)
    assert content(board) == {}
    assert not any(board.entries.iterdir())


def test_a_result_without_its_ranks_is_no_entry(board: Board, result: Path) -> None:
    result.with_suffix(".ranks.npz").unlink()
    with pytest.raises(InvalidResult, match="belongs to"):
        add(board, "ours", [result], NOTHING)


def test_a_name_is_checked_first(board: Board, result: Path) -> None:
    with pytest.raises(UserError, match="is no name for an entry"):
        add(board, "../ours", [result], NOTHING)


def test_a_board_must_be_there(tmp_path: Path, result: Path) -> None:
    with pytest.raises(UserError, match="there is no leaderboard"):
        add(Board(tmp_path / "nothing"), "ours", [result], NOTHING)
    assert not (tmp_path / "nothing").exists()


def test_a_ranker_may_be_an_entry(board: Board, tmp_path: Path) -> None:
    arrays, ranker = (
        index_collection(COLLECTION),
        ListRanker(COLLECTION, random_orders(COLLECTION, 4, skill=1), longest=11),
    )
    ranks = to_ranks(arrays, rank_lists(arrays, ranker, settings_of(COLLECTION.languages), 20, Silence()))
    path = saved(tmp_path / "lists", ranks, retriever={"kind": "ranker", "dim": None, "similarity": None})
    checked = add(board, "lists", [path], NOTHING)
    assert checked.pairs["small"][0].settings[0].unretrieved_share is not None
    assert np.array_equal(check_entry(board, "lists").pairs["small"][1].ahead, ranks.ahead)
