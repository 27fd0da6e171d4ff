"""The engine of one machine: this process, or several of its own."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlbench.engines.dispatch import dispatch
from mlbench.engines.processes import Processes
from mlbench.errors import EngineError
from mlbench.protocols import Progress
from mlbench.workers import Answer, Engine, Item, Resources

# What libraries read when they are loaded: without it, each process would keep all processors busy.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DEVICES = "CUDA_VISIBLE_DEVICES"


def open_local(resources: Resources, progress: Progress) -> Engine:
    """Return an engine of this machine: this process does all the work unless `workers` says that several do.

    Raises `EngineError` for resources that it does not have.
    """
    if resources.address is not None:
        raise EngineError(f"--address {resources.address} belongs to --engine ray: add that, or leave --address out")
    workers = 1 if resources.workers is None else resources.workers
    if workers < 1:
        raise EngineError(f"--workers {workers}: give at least 1")
    if workers == 1:
        return Here()
    return Beside(workers, shares(resources, workers, os.environ), progress.note)


def shares(resources: Resources, workers: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Return for each process what its environment has on top of this one's.

    That is its share of the processors, unless the user has settled that, and its accelerator, one of those that this
    process sees; raises `EngineError` where these are too few.
    """
    threads = resources.threads or max(1, (os.cpu_count() or 1) // workers)
    settings = [{name: str(threads) for name in _THREADS if name not in environment} for _ in range(workers)]
    if resources.accelerators:
        visible = [name for name in environment[_DEVICES].split(",") if name] if _DEVICES in environment else None
        if visible is not None and len(visible) < workers:
            raise EngineError(f"--workers {workers}, but {_DEVICES} has {len(visible)}: give one worker for each")
        for number, setting in enumerate(settings):
            setting[_DEVICES] = visible[number] if visible is not None else str(number)
    return settings


class Here:
    """Does all the work in this process, when it is asked for; nothing is pickled."""

    workers: int | None = 1

    def map(
        self, make_worker: Callable[[], Callable[[Item], Answer]], items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        """Yield each item's number and answer, in their order; no items need no worker."""
        if not items:
            return
        work = make_worker()
        for number, item in enumerate(items):
            yield number, work(item)


@dataclass
class Beside:
    """Does the work in processes of its own, which begin with each `map` and end with it, however it ends."""

    workers: int | None
    shares: Sequence[Mapping[str, str]]
    note: Callable[[str], None]

    def map(
        self, make_worker: Callable[[], Callable[[Item], Answer]], items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        """Yield each item's number and answer as they are done; no more processes are started than there are items.

        What a process raises is raised here, and ends all of them.
        """
        if not items:
            return
        crew: Processes[Item, Answer] = Processes(make_worker, self.shares[: len(items)])
        try:
            crew.start()
            yield from dispatch(crew, items, self.note)
        finally:
            crew.close()
