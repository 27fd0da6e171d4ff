"""Where a board's files can be seen on the web: known where it is in a git checkout whose origin is a known host."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mlbench.evaluation.environment import git_lines
from mlbench.leaderboard.board import Board

_ADDRESS = re.compile(r"(?:https://(?:[^/@]*@)?|(?:ssh://)?git@)([a-z0-9.-]+)[:/]([\w.-]+(?:/[\w.-]+)+)/?")
_PLACES = {
    "github.com": ("commit", "blob"),
    "gitlab.com": ("-/commit", "-/blob"),
    "codeberg.org": ("commit", "src/commit"),
}
"""Known hosts, with what stands before a commit and before a file in their addresses."""


@dataclass(frozen=True)
class Change:
    """The change that added an entry, and the address of the folder's files at the last change of any of them."""

    commit: str
    date: str
    url: str
    files: str


def changes(board: Board) -> Mapping[str, Change]:
    """Return by the name of the entry the change that added it; nothing where the board is in no known repository.

    Of what was merged, it is the merge into the current branch. Entries that are not committed are not there.
    """
    inside = ("-C", str(board.folder))
    found = git_lines(*inside, "remote", "get-url", "origin")
    place = _ADDRESS.fullmatch(found[0]) if found else None
    if place is None or place[1] not in _PLACES:
        return {}
    web = f"https://{place[1]}/{place[2].removesuffix('.git')}"
    commits, blobs = (f"{web}/{part}/" for part in _PLACES[place[1]])
    prefix = "".join(git_lines(*inside, "rev-parse", "--show-prefix"))
    first: dict[str, tuple[str, str]] = {}
    last: dict[str, str] = {}
    log = ("log", "--first-parent", "-m", "--no-renames", "--format=%x00%H %cs", "--name-only", "--relative")
    commit, date = "", ""
    for line in git_lines(*inside, *log, "--", "entries"):
        if line.startswith("\0"):
            commit, date = line[1:].split()
        elif name := _entry_of(line):
            first[name] = commit, date
            last.setdefault(name, commit)
    return {
        name: Change(commit, date, commits + commit, f"{blobs}{last[name]}/{quote(f'{prefix}entries/{name}/')}")
        for name, (commit, date) in first.items()
    }


def _entry_of(path: str) -> str:
    """Return the name of the entry that a file below the board is of, or nothing."""
    parts = Path(path).parts
    return parts[1] if len(parts) == 3 and parts[0] == "entries" else ""
