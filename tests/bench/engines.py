"""What handing work to others costs, in processes and with Ray, by turns: `python -m tests.bench.engines`.

Items are products of matrices that take half a second, and answer with the seconds they took. A ratio is the time by
the clock once the first worker has started, times the workers, over what the items took: 1 is no cost at all, however
busy the machine. Workers start anew each time, as in a run.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from mlbench.evaluation.distributed.local import open_local
from mlbench.evaluation.distributed.ray_cluster import open_cluster
from mlbench.protocols import Engine, Resources, Silence
from tests.bench.timing import spread

SECONDS, ITEMS, EMPTY, ROUNDS, WORKERS = 0.5, 16, 400, 3, 2


@dataclass(frozen=True)
class Took:
    """The seconds until the first worker began, those from there to the last answer, and those of all items."""

    start: float
    clock: float
    items: float


def make_worker() -> Callable[[int], float]:
    return multiply


def multiply(times: int) -> float:
    """Multiply matrices so many times and return the seconds it took; none needs no time."""
    begin = perf_counter()
    grid = np.random.RandomState(0).random_sample((300, 300)) if times else np.zeros((1, 1))
    for _ in range(times):
        grid @ grid
    return perf_counter() - begin


def calibrate() -> int:
    """Return how many products take `SECONDS`."""
    begin, times = perf_counter(), 200
    multiply(times)
    return max(1, round(times * SECONDS / (perf_counter() - begin)))


def took(engine: Engine, items: list[int]) -> Took:
    begin, seconds, start = perf_counter(), list[float](), 0.0
    for _, its in engine.map(make_worker, items):
        start = start or perf_counter() - begin - its
        seconds.append(its)
    assert len(seconds) == len(items)
    return Took(start, perf_counter() - begin - start, sum(seconds))


def main() -> None:
    begin = perf_counter()
    two_of_ray = open_cluster(Resources(workers=WORKERS), Silence())
    print(f"Ray starts in {perf_counter() - begin:.1f} s", flush=True)
    engines = {
        "this process": (open_local(Resources(), Silence()), 1),
        "two processes": (open_local(Resources(workers=WORKERS, threads=1), Silence()), WORKERS),
        "two of Ray": (two_of_ray, WORKERS),
    }
    times = calibrate()
    full: dict[str, list[Took]] = {name: [] for name in engines}
    empty: dict[str, list[Took]] = {name: [] for name in engines}
    for _ in range(ROUNDS):
        for name, (engine, _) in engines.items():
            full[name].append(took(engine, [times] * ITEMS))
            empty[name].append(took(engine, [0] * EMPTY))
    print(f"{ITEMS} items, {EMPTY} empty ones, {ROUNDS} rounds")
    for name, (_, workers) in engines.items():
        ratios = spread([each.clock * workers / each.items for each in full[name]])
        idle = spread([each.clock / EMPTY * 1000 for each in empty[name]])
        start, item = (median(values) for values in zip(*((t.start, t.items / ITEMS) for t in full[name]), strict=True))
        print(f"  {name:<13}  starts in {start:.2f} s, items of {item:.2f} s, ratio {ratios}, an empty item {idle} ms")


if __name__ == "__main__":
    main()
