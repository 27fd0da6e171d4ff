"""Which leaderboard a command is about."""

from collections.abc import Callable
from pathlib import Path

import click

from mlbench.leaderboard.board import DEFAULT_FOLDER

Command = Callable[..., object]


def board_option(function: Command) -> Command:
    """Give a command the option --board, as its parameter `folder`."""
    return click.option(
        "--board",
        "folder",
        type=click.Path(path_type=Path),
        default=DEFAULT_FOLDER,
        show_default=True,
        metavar="DIR",
        help="The leaderboard's folder, with tasks/ and entries/.",
    )(function)
