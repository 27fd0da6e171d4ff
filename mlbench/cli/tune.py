"""`mlbench tune`: finds the weights of a fusion on one task, and writes a system file to be measured on another."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from os.path import relpath
from pathlib import Path

import click

from mlbench.cli.options import language_list
from mlbench.cli.progress import Screen, pass_screen
from mlbench.collection.languages import KINDS, Kind
from mlbench.errors import InvalidSystem, UserError
from mlbench.evaluation.evaluate import measure
from mlbench.evaluation.options import Options
from mlbench.io.toml import read_toml
from mlbench.open_model import LoadedModel
from mlbench.protocols import SILENCE, Runtime
from mlbench.reports.formats import save
from mlbench.results import Result
from mlbench.retrievers.pipelines.declaration import Fusion, Tuned, read_system
from mlbench.retrievers.pipelines.fusion import SKETCH, FusionRanker, query_digest
from mlbench.retrievers.pipelines.parts import open_part
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import Task, load_task

Weights = tuple[float, ...]
_MOST_SYSTEMS = 4


@click.command(
    epilog="""\b
Examples:
  mlbench tune fusion.toml --task mini
  mlbench tune fusion.toml --task mlqa-r --languages ar,de,en --kind multilingual --write weights.toml
  mlbench run --model weights.toml --task xquad-r""",
)
@click.argument("system", type=click.Path(path_type=Path), metavar="FUSION.toml")
@click.option("--task", "task_name", required=True, metavar="NAME", help="The task whose topics the weights may see.")
@click.option("--languages", callback=language_list, metavar="AR,EN", help="Queries, documents and pool of these only.")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="The settings whose mean is made as high as it gets.  [default: the first that the task has]",
)
@click.option("--steps", type=click.IntRange(2, 100), default=10, show_default=True, help="Weights are n-ths of 1.")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with the files of tasks.")
@click.option("--device", metavar="NAME", help="A torch device such as cuda:0; the best one there is by default.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads for encoding and ranking.")
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the tuned system goes, in the folder of the other.  [default: NAME-tuned.toml]",
)
@pass_screen
def command(
    screen: Screen,
    /,
    system: Path,
    task_name: str,
    languages: Sequence[str] | None,
    kind: Kind | None,
    steps: int,
    data_dir: Path | None,
    device: str | None,
    threads: int | None,
    write: Path | None,
) -> None:
    """Find the weights of a fusion that do best on a task, and write them into a system file.

    All weights that are multiples of 1/n, above 0 and 1 in sum, are measured; the best have the highest mean of the
    task's primary measure over the settings of one kind, and among equal ones those nearest to equal weights win. What
    is written is measured on other topics: mlbench run refuses it where it finds queries on which it was tuned.
    """
    source = relpath(system)
    declared = read_system(system)
    target = write or system.with_name(f"{system.stem}-tuned.toml")
    if target.resolve() == system.resolve():
        raise UserError(f"--write {target}: that is the system itself: name another file")
    if target.resolve().parent != system.resolve().parent:
        raise UserError(f"--write {target}: paths in it are read from its folder: write it beside {system}")
    if not isinstance(declared, Fusion) or len(declared.systems) > min(_MOST_SYSTEMS, steps):
        raise UserError(f"{source} is no fusion of 2 to {_MOST_SYSTEMS} systems, or --steps is below their number")
    task = load_task(task_name, languages=languages)
    kind = kind or task.settings[0]
    if kind not in task.settings:
        raise UserError(f"{task.name} has no {kind} settings: known are {', '.join(task.settings)}")
    progress = screen.progress()
    options = Options(resamples=0, runtime=Runtime(device, threads), progress=progress)
    topics = Topics(task.model_copy(update={"settings": (kind,)}), kind, languages, data_dir)
    weights, tuned = tune(declared.model_copy(update={"tuned": None}), topics, steps, options)
    raw = Fusion.model_validate(read_toml(system, source, InvalidSystem))
    save(_toml(_weighted(raw, weights), tuned).encode(), target, option="--write")
    click.echo(f"{_text(weights)}: {tuned.measure} {tuned.value:.4f} on {task.name}")
    progress.note(f"saved {target}: measure it on other topics, as in mlbench run --model {target} --task NAME")


@dataclass(frozen=True)
class Topics:
    """Those on which weights are tuned: a task of one `kind` of settings, `languages` of it (None: all), its files."""

    task: Task
    kind: Kind
    languages: Sequence[str] | None
    data_dir: Path | None


def tune(declared: Fusion, topics: Topics, steps: int, options: Options) -> tuple[Weights, Tuned]:
    """Return the best weights of a fusion on some topics, and what is to be said of these.

    Weights are multiples of 1 / `steps`. Raises what opening the parts and measuring them raises, and `UserError` where
    the primary measure has no value.
    """
    task, parts = topics.task, [open_part(part.model, part.settings, options.runtime) for part in declared.systems]
    best: tuple[float, float, Weights] | None = None
    fingerprint = ""
    for weights in grid(len(parts), steps):
        model = LoadedModel(FusionRanker(_weighted(declared, weights), parts), "a fusion")
        # What is to be said of the task and the parts is said once.
        told = replace(options, progress=SILENCE) if best else options
        result = measure(model, task, languages=topics.languages, data_dir=topics.data_dir, options=told).result
        value, fingerprint = _mean(result, topics.kind), result.task.fingerprint
        options.progress.note(f"{_text(weights)}: {topics.kind} {task.primary_measure} {value:.4f}")
        unequal = sum((weight - 1 / len(parts)) ** 2 for weight in weights)
        best = max(filter(None, (best, (value, -unequal, weights))))
    assert best is not None
    collection = load_collection(task, languages=topics.languages, data_dir=topics.data_dir)
    texts = {query.text for queries in collection.queries.values() for query in queries}
    return best[2], Tuned(
        task=task.name,
        fingerprint=fingerprint,
        measure=f"{topics.kind} {task.primary_measure}",
        value=round(best[0], 6),
        queries=tuple(sorted(map(query_digest, texts))[:SKETCH]),
    )


def grid(n_systems: int, steps: int) -> Iterator[Weights]:
    """Yield all weights that are multiples of 1 / `steps`, above 0 and 1 in sum, in ascending order."""
    for counts in product(range(1, steps), repeat=n_systems - 1):
        last = steps - sum(counts)
        if last > 0:
            yield tuple(round(count / steps, 6) for count in (*counts, last))


def _weighted(declared: Fusion, weights: Weights) -> Fusion:
    parts = zip(declared.systems, weights, strict=True)
    return declared.model_copy(
        update={"systems": tuple(part.model_copy(update={"weight": weight}) for part, weight in parts)}
    )


def _mean(result: Result, kind: Kind) -> float:
    means = (each for each in result.aggregates if (each.kind, each.aggregation) == (kind, "macro"))
    value = next((each.measures[result.task.primary_measure] for each in means if each.query_language is None), None)
    if value is None:
        raise UserError(f"{result.task.name} has no {kind} {result.task.primary_measure} to tune weights by")
    return value


def _text(weights: Weights) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)


def _toml(declared: Fusion, tuned: Tuned) -> str:
    """Return a system file; strings of JSON are strings of TOML."""
    keys = declared.model_dump(mode="json", exclude={"systems", "tuned"}, exclude_unset=True)
    lines = [f"{key} = {_value(value)}" for key, value in keys.items() if value is not None]
    for part in declared.systems:
        settings = ", ".join(f"{_value(key)} = {_value(value)}" for key, value in part.set.items())
        lines += ["", "[[systems]]", f"model = {_value(part.model)}", f"weight = {part.weight}"]
        lines += [f"set = {{{settings}}}"] if settings else []
    lines += ["", "[tuned]", *(f"{key} = {_value(value)}" for key, value in tuned.model_dump(mode="json").items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
