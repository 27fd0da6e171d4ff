"""`mlbench benchmarks`: named sets of tasks with one score."""

import json

import click

from mlbench.cli.options import json_option
from mlbench.cli.progress import console
from mlbench.reports.formatting import heading, spoken
from mlbench.tasks.benchmark import Benchmark, benchmark_names, load_benchmark


@click.command(
    epilog="""\b
Examples:
  mlbench benchmarks
  mlbench benchmarks question-answering
  mlbench run --benchmark question-answering --model ./checkpoint
  mlbench report results/ --benchmark question-answering"""
)
@click.argument("name", metavar="[NAME|FILE]", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the benchmarks that come with mlbench, or show the tasks of one.

    A benchmark is a set of tasks with one score: the mean over tasks, in which each counts alike. The score of a task
    is the mean, over kinds of settings, of the macro mean of its measure.
    """
    found = [load_benchmark(each) for each in ([name] if name else benchmark_names())]
    if as_json:
        click.echo(json.dumps([summary(each) for each in found], indent=2, ensure_ascii=False))
    elif name:
        click.echo(describe(found[0]))
    else:
        from rich.table import Table

        table = Table("benchmark", "title", "tasks", box=None, pad_edge=False)
        for each in found:
            table.add_row(each.name, each.title, ", ".join(task.name for task in each.loaded))
        console().print(table)


def summary(benchmark: Benchmark) -> dict[str, object]:
    """Return what a benchmark says, with the measure and the kinds of settings of each task."""
    return {
        "name": benchmark.name,
        "version": benchmark.version,
        "title": benchmark.title,
        "description": benchmark.description,
        "tasks": [
            {
                "task": task.name,
                "measure": each.measure or task.primary_measure,
                "settings": each.settings or task.settings,
                "languages": task.languages,
            }
            for each, task in zip(benchmark.tasks, benchmark.loaded, strict=True)
        ],
    }


def describe(benchmark: Benchmark) -> str:
    """Return all facts of a benchmark as text, one per line, without a line feed at the end."""
    rows = [
        ("benchmark", f"{benchmark.name}, version {benchmark.version}"),
        ("title", benchmark.title),
        ("about", benchmark.description),
    ]
    for each, task in zip(benchmark.tasks, benchmark.loaded, strict=True):
        kinds = ", ".join(spoken(kind) for kind in each.settings or task.settings)
        measure = heading(each.measure or task.primary_measure)
        rows.append(("task", f"{task.name}: {measure}, mean of {kinds}; {len(task.languages)} languages"))
    return "\n".join(f"{name:<15}{text}" for name, text in rows if text)
