"""A board with entries of captioned images."""

from pathlib import Path

from unit.seeing import ToyLister, ToySeer, measured, write_task

from mlbench.evaluation.verify import read_pair
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.protocol import accept
from mlbench.leaderboard.submission import Description, add

_MODELS = {
    "better": ToySeer(1, {"de": 0.1, "en": 0.1, "th": 0.3}),
    "lister": ToyLister(20),
    "seer": ToySeer(),
}
NAMES = tuple(_MODELS)


def image_board(folder: Path) -> Board:
    """Return a board in a folder, with an entry for each of `NAMES`."""
    task = write_task(folder / "pictures", 16, {"de": 1, "en": 2, "th": 1})
    board = Board(folder / "board")
    for name, model in _MODELS.items():
        path = measured(task, model, out=folder / name, resamples=100)
        if not board.task_names():
            board.take(accept(*read_pair(path)))
        add(board, name, [path], Description(title=name.title(), parameters=1000))
    return board
