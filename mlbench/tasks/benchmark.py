"""Benchmarks: named sets of tasks with one score, declared in TOML."""

from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError

from mlbench.collection.languages import Kind, count_settings
from mlbench.errors import DataError, InvalidBenchmark, UnknownName
from mlbench.io.toml import Declared, distinct, faults_of, read_toml, some
from mlbench.tasks.task import RankingMeasure, Task, load_task, task_names


class BenchmarkTask(Declared):
    """A task of a benchmark: its score is the mean, over kinds of settings, of the macro mean of a measure.

    `task` is a shipped task, or the path of a task file or folder, relative to the benchmark's file. Without `measure`
    it is the primary one of the task, without `settings` all kinds that the task has. Only a measure that follows from
    ranks can be resampled.
    """

    task: Annotated[str, Field(min_length=1)]
    measure: RankingMeasure | None = None
    settings: Annotated[tuple[Kind, ...], AfterValidator(distinct), Field(strict=False)] = ()


class Benchmark(Declared):
    """A set of tasks whose scores have one mean, in which each task counts alike."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
    version: str = "1"
    title: str = ""
    description: str = ""
    tasks: Annotated[tuple[BenchmarkTask, ...], AfterValidator(some), Field(strict=False)]

    _loaded: tuple[Task, ...] = PrivateAttr(default=())

    @property
    def loaded(self) -> tuple[Task, ...]:
        """The tasks themselves, in the order of `tasks`."""
        return self._loaded


def benchmark_names() -> tuple[str, ...]:
    """Return the sorted names of the shipped benchmarks."""
    return tuple(sorted(path.stem for path in _shipped().glob("*.toml")))


def load_benchmark(spec: str) -> Benchmark:
    """Return the benchmark that `spec` names: a shipped one, or a TOML file.

    Raises `InvalidBenchmark` with all faults at once, `UnknownName` or `DataError` where there is nothing such, and
    what `load_task` raises for one of its tasks.
    """
    path = _shipped() / f"{spec}.toml" if spec in benchmark_names() else Path(spec)
    if not path.is_file():
        if path.suffix == ".toml":
            raise DataError(f"there is no benchmark file {spec}")
        raise UnknownName("benchmark", spec, benchmark_names())
    table = read_toml(path, spec, InvalidBenchmark)
    try:
        benchmark = Benchmark.model_validate(table)
    except ValidationError as error:
        raise InvalidBenchmark(spec, faults_of(error, Benchmark)) from error
    benchmark._loaded = tuple(_task(each.task, path.parent) for each in benchmark.tasks)
    _check(benchmark, spec)
    return benchmark


def _shipped() -> Path:
    return Path(str(package_files("mlbench.benchmark_files")))


def _task(spec: str, root: Path) -> Task:
    beside = root / spec
    return load_task(str(beside) if spec not in task_names() and beside.exists() else spec)


def _check(benchmark: Benchmark, source: str) -> None:
    names = [task.name for task in benchmark.loaded]
    faults = [f"tasks: {name} is there twice" for name in sorted(set(names)) if names.count(name) > 1]
    for each, task in zip(benchmark.tasks, benchmark.loaded, strict=True):
        faults += [
            f"tasks: {task.name} has no {kind} settings: {', '.join(task.settings)}"
            for kind in each.settings
            if kind not in task.settings or not count_settings(len(task.languages), kind)
        ]
    if faults:
        raise InvalidBenchmark(source, faults)
