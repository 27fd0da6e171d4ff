"""`mlbench history`: a series of checkpoints as a table and a plot."""

from collections.abc import Iterator
from pathlib import Path

import click

from mlbench.cli.progress import WARNING, Screen, console, pass_screen
from mlbench.errors import InvalidResult, UserError
from mlbench.io.document import to_json
from mlbench.measures.ranked import parse
from mlbench.protocols import Progress
from mlbench.reports.formatting import harmless, visible
from mlbench.reports.history.content import Order, history
from mlbench.reports.history.render import history_report, history_svg
from mlbench.reports.result.formats import save
from mlbench.results import Result, read_result, results_in


@click.command(
    epilog="""\b
Examples:
  mlbench history results
  mlbench history checkpoints --task xquad-r --by steps --svg history.svg
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
@click.option("--svg", type=click.Path(path_type=Path), metavar="FILE", help="Draw a plot with intervals as well.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON instead of tables.")
@pass_screen
def command(
    screen: Screen,
    /,
    folder: Path,
    task: str | None,
    by: Order | None,
    measure: str | None,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Show the results in FOLDER, and in the folders in it, as a history of checkpoints.

    A series is one task on the same data: results on other data never share one. Each value has the interval of its
    document, and what it changed by from the checkpoint before and from the best before it. A damaged document is
    passed over with a warning.
    """
    shown = None if measure is None else parse(measure).name
    progress = screen.progress()
    found = history(_read(folder, progress), task=task, by=by, measure=shown)
    if not found.series:
        raise UserError(f"no result document in {folder} can be used: make one with mlbench run --out {folder}")
    if svg is not None:
        save(history_svg(found).encode(), svg, option="--svg")
        progress.note(f"saved {svg}")
    if as_json:
        click.echo(to_json(found), nl=False)
    else:
        console().print(history_report(harmless(found)))


def _read(folder: Path, progress: Progress) -> Iterator[tuple[str, Result]]:
    """Yield the results below a folder, each with its path in it; warns of those that are damaged."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name one with results of mlbench run")
    for path in results_in(folder, below=True):
        try:
            result = read_result(path)
        except InvalidResult as error:
            progress.note(f"{WARNING}: {visible(str(error))}")
            continue
        yield path.relative_to(folder).as_posix(), result
