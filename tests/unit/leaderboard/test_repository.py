"""Where the files of a board can be seen on the web."""

import subprocess
from pathlib import Path

import pytest

from mlbench.leaderboard.board import Board
from mlbench.leaderboard.repository import changes

AUTHOR = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *AUTHOR, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(board: Board, name: str, content: str = "{}") -> None:
    folder = board.entry_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "entry.json").write_text(content)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A board in a repository, whose entries came by a pull request, were changed once, or are not committed."""
    git(tmp_path, "init", "-q", "-b", "main")
    made = Board(tmp_path / "sub" / "board")
    write(made, "first")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "checkout", "-qb", "submission")
    write(made, "merged")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "submission")
    git(tmp_path, "checkout", "-q", "main")
    git(tmp_path, "merge", "-q", "--no-ff", "-m", "merge", "submission")
    write(made, "first", "{ }")
    git(tmp_path, "commit", "-qam", "changed")
    write(made, "mine")
    git(tmp_path, "remote", "add", "origin", "https://github.com/someone/board.git")
    return made


def test_an_entry_came_with_the_commit_that_brought_it_to_the_branch(board: Board) -> None:
    found = changes(board)
    assert set(found) == {"first", "merged"}
    commits = git(board.folder, "log", "--first-parent", "--format=%H").split()
    changed, merge, first = commits
    web = "https://github.com/someone/board"
    assert (found["first"].commit, found["merged"].commit) == (first, merge)
    assert found["merged"].url == f"{web}/commit/{merge}"
    assert found["merged"].date == git(board.folder, "log", "-1", "--format=%cs", merge)
    assert found["first"].files == f"{web}/blob/{changed}/sub/board/entries/first/"


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/a/b", "https://github.com/a/b/commit/"),
        ("https://user:secret@github.com/a/b.git", "https://github.com/a/b/commit/"),
        ("git@gitlab.com:group/sub/b.git", "https://gitlab.com/group/sub/b/-/commit/"),
        ("ssh://git@codeberg.org/a/b.git", "https://codeberg.org/a/b/commit/"),
        ("https://example.org/a/b.git", ""),
        ("http://github.com/a/b.git", ""),
        ("/srv/board.git", ""),
        ("https://github.com/a/b?x=<script>", ""),
    ],
)
def test_only_known_hosts_are_linked(board: Board, remote: str, url: str) -> None:
    git(board.folder, "remote", "set-url", "origin", remote)
    found = changes(board)
    assert {each.url.removesuffix(each.commit) for each in found.values()} == ({url} if url else set())
    assert "secret" not in str(found)


def test_a_board_in_no_repository_has_no_links(tmp_path: Path) -> None:
    write(Board(tmp_path / "board"), "first")
    assert changes(Board(tmp_path / "board")) == {}
    assert changes(Board(tmp_path / "none")) == {}
