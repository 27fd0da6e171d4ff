"""`mlbench history`: a series of checkpoints as a table and a plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from mlbench.cli.progress import WARNING, Screen, console, pass_screen
from mlbench.compare.history import History, Order, history
from mlbench.errors import InvalidResult, UserError
from mlbench.io.document import to_json
from mlbench.measures.ranked import parse
from mlbench.protocols import Progress
from mlbench.reports.documents.history import history_report
from mlbench.reports.formats import check_files, write_files
from mlbench.reports.formatting import visible
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import Result, read_beside_ranks, results_in


@click.command(
    epilog="""\b
Examples:
  mlbench history results
  mlbench history checkpoints --task xquad-r --by steps --write history.svg
  mlbench history results --measure R@1 --json"""
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option("--task", metavar="NAME", help="Show this task only.")
@click.option(
    "--by",
    type=click.Choice(["steps", "time", "name"]),
    help="The order of checkpoints.  [default: training steps where all tell them and are of one recipe, else time]",
)
@click.option("--measure", metavar="NAME", help="The measure to show.  [default: the primary one of each task]")
@click.option(
    "--write",
    "--svg",
    "write",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a file as well, such as .svg (a plot with intervals), .md or .html. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON instead of tables.")
@pass_screen
def command(
    screen: Screen,
    /,
    folder: Path,
    task: str | None,
    by: Order | None,
    measure: str | None,
    write: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Show the results in FOLDER, and in the folders in it, as a history of checkpoints.

    A series is one task on the same data: results on other data never share one. Each value has the interval of its
    document, and what it changed by from the checkpoint before and from the best before it. A damaged document is
    passed over with a warning.
    """
    shown = None if measure is None else parse(measure).name
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name one with results of mlbench run")
    paths = results_in(folder, below=True)
    check_files(write, paths, History)
    progress = screen.progress()
    found = history(_read(paths, folder, progress), task=task, by=by, measure=shown)
    if not found.series:
        raise UserError(f"no result document in {folder} can be used: make one with mlbench run --out {folder}")
    report = history_report(found)
    write_files(report, write)
    for path in write:
        progress.note(f"saved {path}")
    if as_json:
        click.echo(to_json(found), nl=False)
    else:
        console().print(ConsoleReport(report))


def _read(paths: Sequence[Path], folder: Path, progress: Progress) -> Iterator[tuple[str, Result]]:
    """Yield results, each with its path in the folder; warns of those that are damaged."""
    for path in paths:
        try:
            result = read_beside_ranks(path, progress.note)
        except InvalidResult as error:
            progress.note(f"{WARNING}: {visible(str(error))}")
            continue
        yield path.relative_to(folder).as_posix(), result
