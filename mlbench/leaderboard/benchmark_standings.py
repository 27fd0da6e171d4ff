"""The entries of a leaderboard over a benchmark of tasks: means over the tasks, and ranks by them."""

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mlbench.leaderboard.columns import COLUMNS, BoardColumn, BoardNumber, measured
from mlbench.leaderboard.standings import (
    RANK_FLIPS,
    BoardBenchmark,
    BoardEntry,
    CheckedResult,
    Score,
    Standing,
    Standings,
    cannot_tell,
    kept_ranks,
)
from mlbench.results import Bounds
from mlbench.statistics.clusters import enclose
from mlbench.tasks.benchmark import Benchmark

Floats = NDArray[np.float64]
AVERAGED = tuple(column for column in COLUMNS if isfinite(column.limits[1]))
"""The columns of benchmarks: a mean of rank distances in pools of different sizes says nothing."""


def benchmark_standings(
    entries: Iterable[BoardEntry], benchmarks: Iterable[Benchmark], *, flips: int = RANK_FLIPS
) -> list[Standings]:
    """Return the standings over each of the benchmarks of which at least one entry was measured on all tasks.

    The number of an entry is the mean over the tasks, each counting alike. Tasks are independent samples of topics, so
    what their clusters add to the mean is tested as one sample that is stratified by task. An entry that lacks a task
    has no rank. The entries of a task are of the same data, which `standings` checks.
    """
    verified = [each for each in entries if each.tasks]
    return [
        _over(benchmark, names, verified, flips)
        for benchmark in benchmarks
        if any(set(names := [task.task for task in benchmark.tasks]) <= set(each.tasks) for each in verified)
    ]


def _over(benchmark: Benchmark, tasks: Sequence[str], verified: Sequence[BoardEntry], flips: int) -> Standings:
    whole = [each for each in verified if set(tasks) <= set(each.tasks)]
    measured_on = [[each.tasks[task] for task in tasks] for each in whole]
    numbers = [{column: _mean(column, tasks, each) for column in AVERAGED} for each in measured_on]
    columns = [column for column in AVERAGED if any(each[column] for each in numbers)]
    losses = [[_losses(column, each) for each in measured_on] for column in columns]
    ranks = dict(zip(columns, kept_ranks(benchmark.name, losses, flips=flips), strict=True))
    rows = [
        Standing(entry.entry, {column: Score(number, ranks[column][place]) for column, number in own.items() if number})
        for place, (entry, own) in enumerate(zip(whole, numbers, strict=True))
    ]
    missing = {
        each.name: lacking
        for each in verified
        if 0 < len(lacking := tuple(task for task in tasks if task not in each.tasks)) < len(tasks)
    }
    n_clusters = sum(len(each.evidence.settings) for each in measured_on[0])
    return Standings(
        benchmark.name,
        None,
        {"verified": rows},
        cannot_tell=cannot_tell(["verified"], n_clusters, flips),
        benchmark=BoardBenchmark(benchmark.title or benchmark.name, tuple(tasks), missing),
    )


def _losses(column: BoardColumn, on_tasks: Sequence[CheckedResult]) -> Floats:
    """Return what the clusters of all tasks add to the loss of the mean, (clusters,); NaN where it lacks a number."""
    added = []
    for each in on_tasks:
        number, losses = measured(each.result, column), each.evidence.columns.get(column)
        if number is None or losses is None:
            return np.full(sum(len(each.evidence.settings) for each in on_tasks), np.nan)
        added.append(losses * _side(column, number.value) / len(on_tasks))
    stacked = np.concatenate(added)
    return -stacked if isinstance(column.better, float) and stacked.sum() < 0 else stacked


def _side(column: BoardColumn, value: float) -> float:
    """Return -1 below the value that a column is better near to, where its loss falls as the value rises; else 1."""
    return -1.0 if isinstance(column.better, float) and value < column.better else 1.0


def _mean(column: BoardColumn, tasks: Sequence[str], on_tasks: Sequence[CheckedResult]) -> BoardNumber | None:
    numbers = [measured(each.result, column) for each in on_tasks]
    values = [number.value for number in numbers if number is not None]
    if len(values) < len(tasks):
        return None
    value = float(np.mean(values))
    replicates = {
        task: each.evidence.replicates[column]
        for task, each in zip(tasks, on_tasks, strict=True)
        if column in each.evidence.replicates
    }
    bounds = _bounds(column, value, replicates, on_tasks[0]) if len(replicates) == len(tasks) else None
    return BoardNumber(value, bounds)


def _bounds(column: BoardColumn, value: float, replicates: Mapping[str, Floats], first: CheckedResult) -> Bounds | None:
    """Return the interval of a mean from the resamples of each task."""
    n = min(len(each) for each in replicates.values())
    # Tasks may have been resampled with the same draws, which must not make their numbers move together.
    drawn = [
        each[np.random.RandomState(crc32(task.encode())).permutation(len(each))[:n]]
        for task, each in replicates.items()
    ]
    mean = np.mean(drawn, axis=0)[:, None]
    return enclose(np.array([value]), mean, first.evidence.confidence, column.limits)[0]
