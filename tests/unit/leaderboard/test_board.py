"""Where things lie on a board, and what it accepts."""

from pathlib import Path

import pytest
from functional.forging import read, write
from unit.compare.cases import skilled
from unit.leaderboard.boards import honest, new_board

from mlbench.errors import RefusedEntry, UnknownName, UserError
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.protocol import accept
from mlbench.measures.bias import BIAS_SCORES
from mlbench.tasks.task import load_task, task_names

COMMITTED = Board(Path(__file__).parents[3] / "leaderboard")


def test_the_committed_board_accepts_tasks_as_they_are_declared() -> None:
    assert set(COMMITTED.task_names()) >= {"mini", "mini-images", "miracl", "miracl-15", "mlqa-r", "xquad-r"}
    for name in COMMITTED.task_names():
        accepted, task = COMMITTED.accepted(name).task, load_task(name)
        assert accepted.version == task.version
        assert accepted.languages == task.languages
        assert accepted.measures == task.measures
        has = {"parallel": accepted.parallel, "translated": accepted.documents == "translations"}
        suited = [score for score in task.bias_scores if BIAS_SCORES[score].suits(**has)]
        assert accepted.bias_scores == tuple(suited)
        assert accepted.document_text == task.document_text
        assert (accepted.partial, accepted.limit) == (False, None)
        statistics = COMMITTED.accepted(name).statistics
        assert (statistics.resamples, statistics.seed, statistics.confidence) == (2000, 0, 0.95)


@pytest.mark.parametrize(
    ("task", "sizes"),
    [
        ("xquad-r", {"topics": 1190, "queries": 13090, "rows": 143990, "documents": 13014, "top": 20}),
        ("mlqa-r", {"topics": 1148, "queries": 4199, "rows": 15747, "documents": 20534, "top": 20}),
    ],
)
def test_the_sizes_are_those_of_the_data(task: str, sizes: dict[str, int]) -> None:
    assert COMMITTED.accepted(task).sizes.model_dump() == sizes


def test_a_new_board_has_no_entries(tmp_path: Path) -> None:
    board = new_board(tmp_path)
    assert board.entry_names() == ()
    assert board.task_names() == ("small",)
    assert board.entry_folder("a.b-1") == board.folder / "entries" / "a.b-1"
    with pytest.raises(UserError, match="no leaderboard in"):
        Board(tmp_path / "nothing").entry_names()


def test_what_is_not_finished_is_no_entry(tmp_path: Path) -> None:
    board = new_board(tmp_path)
    for folder in (board.entries, board.folder / "audits"):
        (folder / ".0123456789abcdef.tmp").mkdir(parents=True)
    assert (board.entry_names(), board.stray_audits()) == ((), ())


KEPT = ("con", "nul", "aux.v2", "com1", "lpt9.x", "index", "tasks", "assets", "entries", "entry")


@pytest.mark.parametrize("name", [*KEPT, "a_b", "A", "a--b", "a.", ""])
def test_names_that_systems_or_the_site_keep_are_none(tmp_path: Path, name: str) -> None:
    board, ranks = new_board(tmp_path), skilled()
    with pytest.raises(UserError, match="is no name for an entry: write small letters"):
        board.entry_folder(name)
    with pytest.raises(UserError, match="is no name for a task of a leaderboard"):
        board.take(accept(honest(ranks, name=name), ranks))
    assert board.task_names() == ("small",)


def test_a_task_is_not_called_as_a_benchmark(tmp_path: Path) -> None:
    board, ranks = new_board(tmp_path), skilled()
    with pytest.raises(UserError, match="question-answering is the name of a benchmark: give the task another"):
        board.take(accept(honest(ranks, name="question-answering"), ranks))


@pytest.mark.parametrize("name", ["console", "null", "com", "com10", "my.index", "constructor"])
def test_names_like_those_are_names(tmp_path: Path, name: str) -> None:
    assert new_board(tmp_path).entry_folder(name).name == name


def test_an_unknown_task_is_told_with_the_nearest(tmp_path: Path) -> None:
    board = new_board(tmp_path)
    for name in ("smal", "../small", "", "*"):
        with pytest.raises(UnknownName, match="unknown task of the leaderboard"):
            board.accepted(name)


def test_what_is_accepted_is_only_changed_where_that_is_asked_for(tmp_path: Path) -> None:
    board, ranks = new_board(tmp_path), skilled()
    path = board.task_path("small")
    before = path.read_bytes()
    assert board.take(accept(honest(ranks), ranks)) == path
    other = accept(honest(ranks, version="2"), ranks)
    with pytest.raises(UserError, match="--replace"):
        board.take(other)
    assert path.read_bytes() == before
    board.take(other, replace=True)
    assert board.accepted("small").task.version == "2"


@pytest.mark.parametrize("sizes", [5, {"kind": "monolingual", "n_queries": 1, "n_documents": 1}, {}])
def test_broken_sizes_of_a_kind_are_told_in_one_line(tmp_path: Path, sizes: object) -> None:
    board = new_board(tmp_path)
    document = read(board.task_path("small"))
    document["settings"] = {"monolingual": sizes}
    write(board.task_path("small"), document)
    with pytest.raises(RefusedEntry, match=r"^small.json.*[^\n]$"):
        board.accepted("small")


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 1}\n'])
def test_a_broken_task_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    board = new_board(tmp_path)
    board.task_path("small").write_text(content)
    with pytest.raises(RefusedEntry, match=r"^small\.json"):
        board.accepted("small")


def test_every_shipped_task_that_is_text_is_accepted() -> None:
    assert set(COMMITTED.task_names()) <= set(task_names())
