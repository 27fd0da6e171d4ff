"""Boards of small tasks, entries on them, and what a forger makes of these."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from functional.forging import read, reseal, write
from unit.compare.cases import COLLECTION, result_of, skilled

from mlbench.collection.records import Collection
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.submission import Description, add
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import write_ranks
from mlbench.results import Result, digest, write_result

DIGEST = digest(b"model")
COST = {"finished_at": "2026-11-30T12:00:00+00:00"}
ENVIRONMENT = {"mlbench": "0.1.0", "python": "3.11.7", "platform": "Linux x86_64", "libraries": {"numpy": "2.4.6"}}
ENCODER = {"kind": "encoder", "fingerprint": DIGEST, "dim": 64, "similarity": "cosine"}


def honest(ranks: Ranks, collection: Collection = COLLECTION, retriever: Any = None, **about: Any) -> Result:
    """Return a result with claims as a run makes them; `retriever` are changes of what is said of that."""
    result = result_of(ranks, collection, **about)
    plain = result.model_dump(mode="json")
    plain["retriever"] |= ENCODER | (retriever or {})
    plain["cost"] |= COST
    plain["environment"] |= ENVIRONMENT
    return Result.model_validate(plain)


def saved(folder: Path, ranks: Ranks, *about: Any, **more: Any) -> Path:
    """Write a result and its ranks; arguments as for `honest`."""
    return write_result(honest(ranks, *about, **more), write_ranks(ranks), folder)


def new_board(folder: Path, *tasks: str) -> Board:
    """Return a board that accepts tasks of the small collection, `small` without any `tasks`."""
    board, ranks = Board(folder / "board"), skilled()
    for task in tasks or ("small",):
        board.take(accept(honest(ranks, name=task), ranks))
    return board


def new_entry(board: Board, name: str = "ours", *, seed: int = 1, **about: Any) -> Path:
    """Add an entry with a result of the small task, and return its folder."""
    path = saved(board.folder.parent / "results", skilled(seed=seed), spec=name, **about)
    add(board, name, [path], Description(title=name.capitalize(), parameters=1000))
    return board.entry_folder(name)


def placed(document: Any, place: str, value: object) -> Any:
    """Return a document with another value at a place such as `task/measures/0`."""
    changed = deepcopy(document)
    *steps, last = [int(step) if step.isdigit() else step for step in place.split("/")]
    inner = changed
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return changed


def forge(path: Path, place: str, value: object) -> None:
    """Set a value of a document of an entry, and write every digest anew."""
    write(path, placed(read(path), place, value))
    reseal(path.parent)
