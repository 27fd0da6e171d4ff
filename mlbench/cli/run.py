"""`mlbench run`: measure retrievers on tasks, and compare them with a base."""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import click

from mlbench.cli.compare import show
from mlbench.cli.model_options import RunModels, requested_models
from mlbench.cli.options import assignments, language_list, task_list
from mlbench.cli.progress import Screen, console, pass_screen
from mlbench.compare.benchmark import Resampling, score_benchmark
from mlbench.compare.compare import CompareOptions, compare_systems
from mlbench.compare.document import Comparison
from mlbench.compare.gate import Gate, load_gate
from mlbench.compare.pairing import ResultWithRanks, Side, find_side, read_side, why_incomparable
from mlbench.errors import UserError
from mlbench.evaluation.evaluate import Evaluation, measure
from mlbench.evaluation.in_memory import check_images
from mlbench.evaluation.options import POOLS, Options, Pools
from mlbench.io.document import to_json
from mlbench.io.untrusted import LARGEST_NUMBER
from mlbench.measures.ranked import parse
from mlbench.open_model import LoadedModel
from mlbench.protocols import Progress, Resources, Runtime
from mlbench.ranking.run_files import DEPTH, LONGEST, SaveRun
from mlbench.reports.documents.benchmark import benchmark_report
from mlbench.reports.documents.comparison import comparison_report
from mlbench.reports.documents.result import results_report
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import LARGEST_SEED, MOST_RESAMPLES, Result, check_folder, read_result
from mlbench.retrievers.pipelines.ann_index import with_indexes
from mlbench.retrievers.pipelines.declaration import Index, parse_index
from mlbench.tasks.benchmark import Benchmark, load_benchmark
from mlbench.tasks.load import check_files
from mlbench.tasks.task import Task, load_task

_CANDIDATE = "this run"
DEFAULT_MODEL = "static"
DEFAULT_TASK = "mini"


@dataclass(frozen=True)
class BaseAndGate:
    """A base that was read before anything is measured, since a run may write over it, and the gate."""

    base: Side
    gate: Gate

    def compare(self, paths: Sequence[Path], *, resamples: int, seed: int) -> Comparison:
        """Compare the results that a run has written."""
        options = CompareOptions(resamples=resamples, seed=seed)
        return compare_systems(self.base, read_side(_CANDIDATE, paths), self.gate, options)


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """The options of a run that say how, not what."""

    benchmark: str | None
    languages: tuple[str, ...] | None
    measures: tuple[str, ...]
    limit: int | None
    settings: dict[str, str]
    models_file: Path | None
    data_dir: Path | None
    out: Path
    device: str | None
    threads: int | None
    engine: str
    workers: int | None
    address: str | None
    keep_vectors: bool | None
    pools: Pools | None
    seed: int
    resamples: int
    indexes: list[Index]
    save_run: Path | None
    depth: int | None
    commit_vectors: bool
    clipscore_model: str | None
    against: str | None
    gate: Path | None
    allow_pickle: bool
    trust_remote_code: bool
    as_json: bool


def _indexes(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> list[Index]:
    indexes = [parse_index(text) for text in texts]
    for text, index in zip(texts, indexes, strict=True):
        if indexes.count(index) > 1:
            raise UserError(f"--index {text} is there twice: its results would have one name")
    return indexes


@click.command(
    epilog="""\b
Examples:
  mlbench run
  mlbench run --model ./checkpoint --task xquad-r,mlqa-r --data-dir ./data
  mlbench run --model bm25 --model ./checkpoint --benchmark question-answering
  mlbench run --model intfloat/multilingual-e5-base --task xquad-r --set dtype=bf16
  mlbench run --model ./checkpoint --task xquad-r --limit 20
  mlbench run --model old=./old --model new=./new --set new.pooling=cls
  mlbench run --task xquad-r --languages en,de,es --json
  mlbench run --task mini --measure ERR@20 --measure "nDCG(dcg='exp-log2')@10"
  mlbench run --task mini --save-run runs --depth 1000
  mlbench run --model ./checkpoint --task miracl --device cuda --workers 4
  mlbench run --model ./checkpoint --task xquad-r --against base/ --gate gate.toml""",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="[NAME=]MODEL",
    help="A path, a hub id, a system's TOML file or SCHEME:PATH_OR_ID; may be repeated. NAME is what results call it. "
    "static alone is the model that comes with mlbench.  [default: static]",
)
@click.option(
    "--models",
    "models_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A TOML file that lists models, each with a name and keys of its own; measured after those of --model.",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    callback=task_list,
    metavar="NAME[,NAME]",
    help=f"A task's name, file or folder, or several with commas; may be repeated.  [default: {DEFAULT_TASK}]",
)
@click.option(
    "--benchmark",
    metavar="NAME",
    help="Measure on the tasks of a benchmark, and show the mean over them: a name or file, see mlbench benchmarks.",
)
@click.option("--languages", callback=language_list, metavar="AR,EN", help="Queries, documents and pool of these only.")
@click.option(
    "--measure",
    "measures",
    multiple=True,
    metavar="NAME",
    help="A measure beside those of the task, as ir_measures writes it, such as ERR@20; may be repeated.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, LARGEST_NUMBER),
    metavar="N",
    help="A quick look: N topics, some documents; not comparable.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=assignments("dtype=bf16"),
    metavar="[NAME.]KEY=VALUE",
    help="A key of all models, or of one of them: NAME is its name, the MODEL as it was given, or its place, as in "
    "2.dtype=bf16.",
)
@click.option(
    "--index",
    "indexes",
    multiple=True,
    callback=_indexes,
    metavar="KIND[:KEY=VALUE,...]",
    help="Measure the model with an approximate index in place of exact ranks: flat, hnsw or ivfpq, as in "
    "hnsw:ef_search=64, or any that faiss makes of a string, as in factory:IVF256,PQ32,nprobe=8; may be repeated. "
    "Exact is the run without it; mlbench index-costs compares.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="A folder with the files of tasks.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    metavar="DIR",
    help="Where the result and its ranks file go.",
)
@click.option("--device", metavar="NAME", help="A torch device such as cuda:0; the best one there is by default.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads for encoding and ranking.")
@click.option(
    "--engine", default="local", show_default=True, metavar="NAME", help="Who works on large corpora: local or ray."
)
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="How many work at once on a corpus that is in shards."
)
@click.option("--address", metavar="ADDRESS", help="Where the cluster of --engine ray is, as in 10.0.0.1:6379 or auto.")
@click.option(
    "--keep-vectors/--drop-vectors",
    default=None,
    help="Keep those of a corpus in shards for later runs.  [default: where half of the free space suffices]",
)
@click.option(
    "--pools",
    type=click.Choice(POOLS),
    help="Which pools mlbench report can answer later: any, or those that the task asks for.  "
    "[default: any, unless there are many languages]",
)
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="Seed of the intervals."
)
@click.option(
    "--resamples",
    type=click.IntRange(2, MOST_RESAMPLES),
    default=2000,
    show_default=True,
    help="Resamples of the intervals.",
)
@click.option(
    "--save-run",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write TREC runs and judgments as well, for run:DIR and other tools.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, LONGEST),
    metavar="N",
    help="Documents in each list of --save-run.  [default: 100]",
)
@click.option(
    "--commit-vectors",
    is_flag=True,
    help="Write a sketch of every vector beside the ranks, by which a leaderboard can audit the result.",
)
@click.option(
    "--clipscore-model",
    metavar="MODEL",
    help="An image-text model that gives CLIPScores to what is found first, which can be compared between models.",
)
@click.option("--against", metavar="BASE", help="Compare with a result, a folder of results or an entry as well.")
@click.option(
    "--gate", type=click.Path(path_type=Path), metavar="FILE", help="The gate of --against: see mlbench compare."
)
@click.option("--allow-pickle", is_flag=True, help="Load weights that are pickled; they can run any code.")
@click.option("--trust-remote-code", is_flag=True, help="Run code that comes with a model.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the result document instead of tables; with --against, the comparison.",
)
@pass_screen
def command(screen: Screen, /, models: Sequence[str], tasks: Sequence[str], **chosen: object) -> int:
    """Measure retrievers on tasks.

    Each model is measured on each task: every text is encoded once, and vectors are kept for the next run. The result
    is printed and saved as JSON beside the ranks it was computed from.

    With --against, what was measured is then compared with BASE; exit code 1 if it fails the gate. With --benchmark,
    the mean of each model over its tasks comes last, see mlbench benchmarks.
    """
    request = RunArguments(**chosen)  # type: ignore[arg-type]
    progress = screen.progress()
    options = _options(request, progress)
    options = replace(options, clipscore_model=options.open_judge())
    asked = requested_models(
        models if models or request.models_file else [DEFAULT_MODEL], request.models_file, request.settings
    )
    benchmark = None if request.benchmark is None else _load_benchmark(request.benchmark, tasks)
    named = _load_tasks(request, tasks or [DEFAULT_TASK]) if benchmark is None else benchmark.loaded
    _check(request, len(asked), len(named))
    # Told now, not after hours of encoding.
    check_folder(request.out)
    loaded = _check_tasks(request, named, len(asked), progress)
    against = _against(request, loaded)
    opened = RunModels(asked, options)
    first = [opened.check(partial(_measured, request, loaded))]
    results: list[Result] = []
    paths: list[Path] = []
    for place in range(len(opened)):
        # Only the call below holds the model, so that the next one finds its memory free.
        for done in _measure(first.pop() if first else opened.open(place), loaded, request, options):
            assert done.path is not None
            paths.append(done.path)
            results.append(done.result)
            if not request.as_json:
                console().print(ConsoleReport(results_report([done.result])))
            progress.note(f"saved {paths[-1]}")
            if request.save_run is not None:
                progress.note(f"saved {len(done.result.settings)} runs and their judgments in {request.save_run}")
    if len(results) > 1 and not request.as_json:
        console().print(ConsoleReport(results_report(results)))
    if benchmark is not None:
        return _show_benchmark(benchmark, paths, request)
    if against is not None:
        compared = against.compare(paths, resamples=request.resamples, seed=request.seed)
        shown = ConsoleReport(comparison_report(compared), more="mlbench compare --all")
        return show(compared, shown, as_json=request.as_json)
    if request.as_json:
        documents = [json.loads(to_json(result)) for result in results]
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, ensure_ascii=False, indent=1))
    return 0


def _measured(request: RunArguments, tasks: Sequence[Task], model: LoadedModel) -> list[LoadedModel]:
    """Return what is measured of a model: itself, or its indexes; raises `UserError` where a task cannot use it."""
    for task in tasks:
        check_images(model, task)
    return with_indexes(model, request.indexes) if request.indexes else [model]


def _measure(
    model: LoadedModel, tasks: Sequence[Task], request: RunArguments, options: Options
) -> Iterator[Evaluation]:
    """Measure a model on each task, and yield what is saved of it."""
    for task, retriever in product(tasks, _measured(request, tasks, model)):
        done = measure(retriever, task, languages=request.languages, data_dir=request.data_dir, options=options)
        yield done.save(request.out)


def _load_benchmark(name: str, tasks: Sequence[str]) -> Benchmark:
    if tasks:
        raise UserError("--benchmark names the tasks: leave out --task")
    return load_benchmark(name)


def _show_benchmark(benchmark: Benchmark, paths: Sequence[Path], request: RunArguments) -> int:
    """Print the scores of the models that a run has measured on a benchmark."""
    scores = score_benchmark(
        benchmark,
        [ResultWithRanks(path, read_result(path)) for path in paths],
        Resampling(resamples=request.resamples, seed=request.seed),
    )
    if request.as_json:
        click.echo(to_json(scores), nl=False)
    else:
        console().print(ConsoleReport(benchmark_report(scores)))
    return 0


def _load_tasks(request: RunArguments, names: Sequence[str]) -> list[Task]:
    return [load_task(name, languages=request.languages) for name in names]


def _check_tasks(request: RunArguments, tasks: Sequence[Task], n_models: int, progress: Progress) -> Sequence[Task]:
    """Return the tasks of a run; of several tasks or models, files are looked for before anything is measured."""
    for task in tasks if len(tasks) > 1 or n_models > 1 else ():
        if [each.name for each in tasks].count(task.name) > 1:
            raise UserError(f"two tasks are called {task.name}, and their results would be: measure them one by one")
        check_files(task, languages=request.languages, data_dir=request.data_dir, progress=progress)
    return tasks


def _check(request: RunArguments, n_models: int, n_tasks: int) -> None:
    """Raise `UserError` for options that do not go together."""
    n_systems = n_models * max(1, len(request.indexes))
    if request.save_run is not None and n_systems * n_tasks > 1:
        raise UserError(
            "--save-run takes one model, index and task: give each run a command and a folder of its own"
            if request.indexes
            else "--save-run takes one model and one task: give each run a command and a folder of its own"
        )
    if request.save_run is None and request.depth is not None:
        raise UserError("--depth is how long the lists of --save-run are: add --save-run DIR")
    if request.against is not None and n_systems > 1:
        what = "index" if n_models == 1 else "model"
        raise UserError(f"--against takes one {what}: give each candidate a command of its own")
    if request.against is not None and request.benchmark is not None:
        raise UserError("--against compares task by task: leave out --benchmark, and name its tasks with --task")
    if request.against is None and request.gate is not None:
        raise UserError("--gate judges what is compared: add --against BASE")


def _options(request: RunArguments, progress: Progress) -> Options:
    return Options(
        measures=tuple(parse(name).name for name in request.measures),
        limit=request.limit,
        runtime=Runtime(request.device, request.threads, request.allow_pickle, request.trust_remote_code),
        resamples=request.resamples,
        seed=request.seed,
        engine=request.engine,
        resources=_resources(request),
        keep_vectors=request.keep_vectors,
        pools=request.pools,
        save_run=None if request.save_run is None else SaveRun(request.save_run, request.depth or DEPTH),
        commit_vectors=request.commit_vectors,
        clipscore_model=request.clipscore_model,
        command=shlex.join(["mlbench", *sys.argv[1:]]),
        progress=progress,
    )


def _resources(request: RunArguments) -> Resources:
    return Resources(
        workers=request.workers,
        address=request.address,
        threads=request.threads,
        # Each worker has a device of its own, where it is one that can be counted.
        accelerators=(request.device or "").partition(":")[0] in ("cuda", "xpu"),
    )


def _against(request: RunArguments, tasks: Sequence[Task]) -> BaseAndGate | None:
    if request.against is None:
        return None
    return open_against(request.against, request.gate, tasks, languages=request.languages, limit=request.limit)


def open_against(
    base: str, gate: Path | None, tasks: Sequence[Task], *, languages: Sequence[str] | None, limit: int | None
) -> BaseAndGate:
    """Read the base of a run of these tasks.

    Raises `UserError` where it can be told before the run that the two could not be compared.
    """
    against = BaseAndGate(find_side(base), load_gate(gate))
    known = against.base.by_task
    if not any(task.name in known for task in tasks):
        raise UserError(f"--against {base}: it has {', '.join(known)}, and none of the tasks of this run")
    for task in tasks:
        for measured in known.get(task.name, ())[:1]:
            stated = measured.result.task
            expected = stated.model_copy(
                update={
                    "version": task.version,
                    "limit": limit,
                    "languages": task.choose(languages),
                    "measures": task.measures,
                    "primary_measure": task.primary_measure,
                }
            )
            if reason := why_incomparable(stated, expected, frozenset(stated.languages)):
                raise UserError(f"--against {base}: {task.name} could not be compared: {reason}")
    return against
