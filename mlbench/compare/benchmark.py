"""The scores of models on a benchmark: a mean over its tasks with an interval, and Borda ranks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Kind, Setting
from mlbench.compare.pairing import ResultWithRanks
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.io.threads import one_blas_thread
from mlbench.results import LARGEST_SEED, Bounds
from mlbench.statistics.clusters import ClusterSample, enclose
from mlbench.statistics.settings import limits_of, sum_settings
from mlbench.tasks.benchmark import Benchmark

Floats = NDArray[np.float64]


class MeasuredTask(DocumentPart):
    """A task as it was measured: with other `languages` than all or a `limit`, its scores are not the benchmark's.

    `fingerprint` and `languages` are null where no model was measured on it.
    """

    task: str
    version: str
    measure: str
    settings: tuple[Kind, ...]
    fingerprint: str | None
    languages: tuple[str, ...] | None
    partial: bool = False
    limit: int | None = None


class TaskScore(DocumentPart):
    """The score of a model on a task: the mean, over kinds of settings, of the macro mean of the task's measure."""

    task: str
    value: float
    interval: Bounds | None


class BenchmarkScore(DocumentPart):
    """A model on a benchmark.

    `mean` is null for a model that lacks a task, all of which `missing` names; it has no Borda points either.
    `borda_points` are one for each model that a task puts behind it, and half of one for each other that is level,
    summed over tasks; `borda_rank` is 1 for the most.
    """

    model: str
    fingerprints: tuple[str, ...]
    scores: tuple[TaskScore, ...]
    missing: tuple[str, ...]
    mean: float | None
    interval: Bounds | None
    borda_points: float | None = None
    borda_rank: int | None = None

    def score(self, task: str) -> TaskScore | None:
        """Return the score on a task, None where it is missing."""
        return next((each for each in self.scores if each.task == task), None)


class BenchmarkScores(DocumentPart):
    """Models on a benchmark, the best mean first, those that lack a task last.

    Intervals are of new topics for the same tasks: clusters of topics are resampled within each task, and tasks
    independently of each other.
    """

    schema_version: Literal["1.0"] = "1.0"
    benchmark: str
    version: str
    title: str
    tasks: tuple[MeasuredTask, ...]
    models: tuple[BenchmarkScore, ...]
    resamples: int
    seed: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How intervals are made: resamples of the clusters of topics, their seed, and the confidence."""

    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True, eq=False)
class _Sampled:
    """A score, and its float64 (resamples,) `replicates`, which are widened for few clusters."""

    score: TaskScore
    replicates: Floats


@one_blas_thread()
def score_benchmark(
    benchmark: Benchmark, measured: Iterable[ResultWithRanks], how: Resampling | None = None
) -> BenchmarkScores:
    """Compute the score of each model that has results on tasks of the benchmark; other results are passed over.

    A model is what has one label. Raises `UserError` where there is no such result, where a model has two results of
    one task or was another encoder on another task, and where results of a task are of other data, languages or limits.
    """
    how = how or Resampling()
    by_task: dict[str, list[ResultWithRanks]] = {task.name: [] for task in benchmark.loaded}
    by_model: dict[str, list[ResultWithRanks]] = {}
    for one in measured:
        if one.result.task.name in by_task:
            by_task[one.result.task.name].append(one)
            by_model.setdefault(one.result.retriever.label, []).append(one)
    if not by_model:
        raise UserError(f"no result is of a task of {benchmark.name}: measure {', '.join(by_task)}")
    for found in by_task.values():
        _check_alike(found)
    for label, found in by_model.items():
        _check_model(label, found)
    tasks = _describe(benchmark, by_task)
    models = [_score_model(label, found, tasks, how) for label, found in by_model.items()]
    return BenchmarkScores(
        benchmark=benchmark.name,
        version=benchmark.version,
        title=benchmark.title,
        tasks=tuple(tasks.values()),
        models=tuple(sorted(_with_borda(models), key=_order)),
        resamples=how.resamples,
        seed=how.seed,
        confidence=how.confidence,
    )


def _check_alike(found: Sequence[ResultWithRanks]) -> None:
    for one in found[1:]:
        first, other = found[0].result.task, one.result.task
        differing = [
            name
            for name, one_has, other_has in (
                ("version", first.version, other.version),
                ("languages", first.languages, other.languages),
                ("limit", first.limit, other.limit),
                ("data", first.fingerprint, other.fingerprint),
            )
            if one_has != other_has
        ]
        if differing:
            raise UserError(
                f"{first.name}: {found[0].path} and {one.path} differ in {differing[0]}: measure all models alike"
            )


def _check_model(label: str, found: Sequence[ResultWithRanks]) -> None:
    seen: dict[str, ResultWithRanks] = {}
    for one in found:
        task = one.result.task.name
        if task in seen:
            raise UserError(
                f"{label} has two results of {task}, {seen[task].path} and {one.path}: name one of them, or give "
                "models names of their own with --model NAME=MODEL"
            )
        seen[task] = one
    # A run file is another one for each task, an encoder is not.
    encoders = {one.result.retriever.fingerprint: one for one in found if one.result.retriever.kind == "encoder"}
    if len(encoders) > 1:
        first, other, *_ = encoders.values()
        raise UserError(
            f"{first.path} and {other.path} are of two models called {label}: give them names of their own with "
            "--model NAME=MODEL"
        )


def _describe(benchmark: Benchmark, by_task: Mapping[str, Sequence[ResultWithRanks]]) -> dict[str, MeasuredTask]:
    described = {}
    for each, task in zip(benchmark.tasks, benchmark.loaded, strict=True):
        info = by_task[task.name][0].result.task if by_task[task.name] else None
        # A task in one language, or measured in one alone, has no settings across languages.
        there = {setting.kind for one in by_task[task.name] for setting in one.result.settings}
        described[task.name] = MeasuredTask(
            task=task.name,
            version=info.version if info else task.version,
            measure=each.measure or task.primary_measure,
            settings=each.settings or tuple(kind for kind in task.settings if kind in there or not info),
            fingerprint=info.fingerprint if info else None,
            languages=info.languages if info else None,
            partial=info.partial if info else False,
            limit=info.limit if info else None,
        )
    return described


def _score_model(
    label: str, found: Sequence[ResultWithRanks], tasks: Mapping[str, MeasuredTask], how: Resampling
) -> BenchmarkScore:
    results = {one.result.task.name: one for one in found}
    sampled = [_sample(results[name], task, how) for name, task in tasks.items() if name in results]
    missing = tuple(name for name in tasks if name not in results)
    mean, interval = None, None
    if not missing:
        mean = float(np.mean([each.score.value for each in sampled]))
        replicates = np.mean([each.replicates for each in sampled], axis=0)
        interval = _enclose(mean, replicates, how, [task.measure for task in tasks.values()])
    return BenchmarkScore(
        model=label,
        fingerprints=tuple(sorted({one.result.retriever.fingerprint for one in found})),
        scores=tuple(each.score for each in sampled),
        missing=missing,
        mean=mean,
        interval=interval,
    )


def _sample(measured: ResultWithRanks, task: MeasuredTask, how: Resampling) -> _Sampled:
    """Compute the score of one result; raises `UserError` where it has no settings of a kind, or none with topics."""
    settings = [
        Setting(each.query_language, each.document_languages)
        for each in measured.result.settings
        if each.kind in task.settings
    ]
    # The same draws for two tasks would make their scores move together.
    seed = (how.seed + crc32(task.task.encode())) % (LARGEST_SEED + 1)
    parallel = measured.result.task.parallel
    ranks = measured.ranks
    sample = ClusterSample.of(ranks, how.resamples, seed, how.confidence, parallel)
    sums = sum_settings(ranks, settings, [task.measure], sample)
    by_cell = sums.replicates(sample.resample(sums.patterns))
    chosen = [[index for index, each in enumerate(settings) if each.kind == kind] for kind in task.settings]
    means = np.array([sums.macro_mean(of_kind)[0] if of_kind else np.nan for of_kind in chosen])
    for kind, value in zip(task.settings, means, strict=True):
        if np.isnan(value):
            raise UserError(f"{measured.path} has no {kind} setting with topics, which {task.task} is scored by")
    value = means.mean()
    replicates = np.mean([sums.macro_replicates(by_cell, of_kind)[:, 0] for of_kind in chosen], axis=0)
    widened = sample.widen(value, replicates, sums.patterns)
    score = TaskScore(task=task.task, value=float(value), interval=_enclose(float(value), widened, how, [task.measure]))
    return _Sampled(score, widened)


def _enclose(value: float, replicates: Floats, how: Resampling, measures: Sequence[str]) -> Bounds | None:
    """Return the interval of the mean of `measures`, which lies between their limits."""
    least, most = (each.mean() for each in limits_of(measures))
    return enclose(np.array([value]), replicates[:, None], how.confidence, (least, most))[0]


def _with_borda(models: Sequence[BenchmarkScore]) -> list[BenchmarkScore]:
    """Return the models with their Borda points and ranks, which those that lack a task do not have."""
    whole = [model for model in models if not model.missing]
    if not whole:
        return list(models)
    values = np.array([[score.value for score in model.scores] for model in whole])
    others = values[None, :, :]
    behind = (values[:, None, :] > others).sum(axis=(1, 2))
    level = (values[:, None, :] == others).sum(axis=(1, 2)) - values.shape[1]
    points = behind + level / 2
    ranks = 1 + (points[None, :] > points[:, None]).sum(axis=1)
    voted = {
        model.model: model.model_copy(update={"borda_points": float(sum_), "borda_rank": int(rank)})
        for model, sum_, rank in zip(whole, points, ranks, strict=True)
    }
    return [voted.get(model.model, model) for model in models]


def _order(model: BenchmarkScore) -> tuple[bool, float, str]:
    return model.mean is None, -(model.mean or 0.0), model.model
