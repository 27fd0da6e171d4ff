"""`mlbench sweep`: train and measure every combination of some values of a recipe, and compare them."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mlbench.cli.options import assignments, model_set_option, unset_option
from mlbench.cli.progress import Screen, console, pass_screen
from mlbench.compare.sweep import from_json
from mlbench.errors import InvalidResult, UserError
from mlbench.io.document import to_json
from mlbench.protocols import Runtime
from mlbench.reports.documents.sweep import sweep_report
from mlbench.reports.formats import write_files
from mlbench.reports.writers.console import ConsoleReport
from mlbench.training.recipe import parse_changes
from mlbench.training.sweep import run_sweep
from mlbench.training.sweep_plan import SweepFolder, parse_axis, plan_sweep

DEFAULT_TASKS = ("mini",)


def _axes(
    context: click.Context, parameter: click.Parameter, axes: Sequence[str]
) -> list[tuple[str, tuple[object, ...]]]:
    return [parse_axis(text) for text in axes]


@click.command(
    epilog="""\b
Examples:
  mlbench sweep static-hybrid --over alpha=1,0,0.5 --jobs 2 --data-dir ./data
  mlbench sweep static-hybrid --over alpha=0,0.25,0.5,0.75,1 --over data_fraction=0.1,0.3,1 --seeds 3
  mlbench sweep static-hybrid --over ratios=triangle:4 --seeds 2
  mlbench sweep recipe.toml --over views.overlap=0,0.5,1 --set steps=500 --task xquad-r --base overlap=0.5""",
)
@click.argument("recipe", metavar="RECIPE")
@click.option(
    "--over", multiple=True, callback=_axes, metavar="KEY=V,V", help="A key and the values it takes; may be repeated."
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Seeds 0 to N-1.")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="NAME",
    help="A task to measure on; may be repeated.  [default: those that the recipe keeps out of training, else mini]",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    callback=assignments("steps=500"),
    metavar="KEY=VALUE",
    help="Change a key of the recipe in all arms; may be repeated.",
)
@unset_option
@click.option(
    "--base",
    multiple=True,
    callback=assignments("alpha=1", "--base"),
    metavar="KEY=VALUE",
    help="The arm that others are compared with.  [default: the first]",
)
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with the files of the data.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where everything goes.  [default: sweeps/NAME]"
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Points that run at once."
)
@model_set_option
@click.option("--device", metavar="NAME", help="A torch device such as cuda:0; the best one there is by default.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads of each point.  [default: 1 where several run at once]",
)
@click.option(
    "--clipscore-model",
    metavar="MODEL",
    help="An image-text model that gives CLIPScores to what is found first, which can be compared between arms.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the document of the sweep instead of tables.")
@pass_screen
def command(
    screen: Screen,
    /,
    recipe: str,
    over: list[tuple[str, tuple[object, ...]]],
    seeds: int,
    tasks: Sequence[str],
    changes: Mapping[str, str],
    unset: Sequence[str],
    base: Mapping[str, str],
    data_dir: Path | None,
    out: Path | None,
    jobs: int,
    model_settings: Mapping[str, str],
    device: str | None,
    threads: int | None,
    clipscore_model: str | None,
    as_json: bool,
) -> None:
    """Train and measure every combination of values of a recipe.

    RECIPE is a TOML file or a shipped recipe. Each combination, an arm, is trained with each seed and measured on each
    task; arms are compared with intervals over clusters of topics and over all pairs of seeds. What is done is not done
    again: the same command goes on where an interrupted one was.
    """
    chosen = parse_changes(base, ())
    plan = plan_sweep(recipe, over, settings=parse_changes(changes, unset), seeds=seeds, base=chosen)
    out = out or Path("sweeps") / plan.recipe.name
    place = SweepFolder(
        tasks=tuple(dict.fromkeys(tasks or plan.recipe.contamination.tasks or DEFAULT_TASKS)),
        out=out,
        data_dir=data_dir,
        model_settings=model_settings,
        runtime=Runtime(device, threads or (1 if jobs > 1 else None)),
        command=shlex.join(["mlbench", *sys.argv[1:]]),
        clipscore_model=clipscore_model,
    )
    _check_documents(out)
    progress = screen.progress()
    sweep = run_sweep(plan, place, jobs=jobs, progress=progress)
    report = sweep_report(sweep)
    write_files(report, _documents(out))
    if as_json:
        click.echo(to_json(sweep), nl=False)
    else:
        console().print(ConsoleReport(report, more="sweep.md"))
    progress.note(f"saved {out / 'sweep.json'}, sweep.md and sweep.html")


def _documents(out: Path) -> list[Path]:
    return [out / f"sweep.{suffix}" for suffix in ("json", "md", "html")]


def _check_documents(out: Path) -> None:
    """Raise `UserError` where the documents of a sweep would take the place of files that are none."""
    document, *pages = _documents(out)
    others = [path for path in (document, *pages) if os.path.lexists(path)]
    if document.is_file():
        # The pages were written after it.
        others = [] if _is_sweep(document) else [document]
    if others:
        raise UserError(f"{others[0]} was not written by a sweep: name another folder with --out")


def _is_sweep(document: Path) -> bool:
    try:
        from_json(document.read_bytes())
    except (OSError, InvalidResult):
        return False
    return True
