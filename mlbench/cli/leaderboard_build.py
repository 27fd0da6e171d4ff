"""`mlbench leaderboard build`: the static site of the entries that pass the check."""

from pathlib import Path

import click

from mlbench.cli.boards import board_option
from mlbench.cli.progress import Screen, pass_screen
from mlbench.leaderboard.board import Board
from mlbench.report.notation import count


@click.command(
    epilog="""\b
Examples:
  mlbench leaderboard build
  mlbench leaderboard build --out public"""
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build", "leaderboard"),
    show_default=True,
    metavar="DIR",
    help="Where the site goes, in place of an older one.",
)
@board_option
@pass_screen
def build(screen: Screen, /, out: Path, folder: Path) -> None:
    """Write the site of the leaderboard: plain files that need no server and ask no other for anything.

    Every entry is checked first, as `check` does; while one is refused, nothing is written. The same entries give the
    same bytes.
    """
    from mlbench.leaderboard.site import build_site, read_entries

    progress = screen.progress()
    entries = read_entries(Board(folder), progress=progress)
    build_site(entries, out, progress=progress)
    click.echo(f"{out / 'index.html'}: {count(len(entries), 'entry')}")
