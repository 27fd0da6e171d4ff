"""The engine of one machine: this process, or several of its own."""

import atexit
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Generic

from mlbench.errors import EngineError
from mlbench.evaluation.distributed.dispatch import ItemDone, WorkerLost, WorkerReady, dispatch
from mlbench.evaluation.distributed.serving import revive, serve
from mlbench.io.threads import usable_threads
from mlbench.protocols import Answer, Engine, Item, Progress, Resources

_PATROL = 5.0
"""Seconds after which the processes are counted: of one that left children behind, the end is not heard."""
_KILLED = 9
"""The signal that ends a process whatever it does; not every system has a name for it."""
_FAREWELL = 5.0
"""Seconds that a process is given to end when nothing more will come."""
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
        return InThisProcess()
    return LocalProcesses(workers, shares(resources, workers, os.environ), progress.note)


def shares(resources: Resources, workers: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Return for each process what its environment has on top of this one's.

    That is its share of the processors, unless the user has settled that, and its accelerator, one of those that this
    process sees; raises `EngineError` where these are too few.
    """
    threads = resources.threads or max(1, usable_threads() // workers)
    settings = [{name: str(threads) for name in _THREADS if name not in environment} for _ in range(workers)]
    if resources.accelerators:
        visible = [name for name in environment[_DEVICES].split(",") if name] if _DEVICES in environment else None
        if visible is not None and len(visible) < workers:
            raise EngineError(f"--workers {workers}, but {_DEVICES} has {len(visible)}: give one worker for each")
        for number, setting in enumerate(settings):
            setting[_DEVICES] = visible[number] if visible is not None else str(number)
    return settings


class InThisProcess:
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
class LocalProcesses:
    """Does the work in processes of its own, which begin with each `map` and end with it, however it ends.

    Unless it `overtakes` stragglers, no item is at two processes at once.
    """

    workers: int | None
    shares: Sequence[Mapping[str, str]]
    note: Callable[[str], None]
    overtakes: bool = True

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
            yield from dispatch(crew, items, self.note, overtakes=self.overtakes)
        finally:
            crew.close()


class Processes(Generic[Item, Answer]):
    """A crew of one process for each of the `environments`, which it has on top of this one's.

    A pipe for each, so that one that is killed takes no other along.
    """

    def __init__(self, make_worker: object, environments: Sequence[Mapping[str, str]]) -> None:
        self._maker = bytes(ForkingPickler.dumps(make_worker))
        self._environments = environments
        self._processes: dict[int, _Process[Item]] = {}

    def __len__(self) -> int:
        return len(self._processes)

    def start(self) -> None:
        """Start all of them; raises `EngineError` where the system gives no more processes."""
        atexit.register(self.close)
        for worker in range(len(self._environments)):
            self._start(worker)
        for process in self._processes.values():
            process.send(self._maker)

    def close(self) -> None:
        """End all of them: at once those at work, those that wait in their own way, so that they leave nothing."""
        atexit.unregister(self.close)
        for process in self._processes.values():
            if process.is_ready and not process.is_busy:
                process.leave()
            else:
                process.kill()
        for process in self._processes.values():
            process.see_off()
        while self._processes:
            self._processes.popitem()[1].join()

    def wait(self, seconds: float | None) -> list[WorkerReady | ItemDone[Answer] | WorkerLost]:
        """Return what has happened; raises what a worker raised."""
        by_line = {process.connection: worker for worker, process in self._processes.items()}
        heard = wait(list(by_line), _PATROL if seconds is None else min(seconds, _PATROL))
        events = [self._receive(by_line[line]) for line in heard if isinstance(line, Connection)]
        if not heard:
            events = [
                self._remove_lost(worker) for worker, process in list(self._processes.items()) if process.is_dead()
            ]
        return events

    def give(self, worker: int, item: Item) -> None:
        """Let a process do `item`."""
        process = self._processes[worker]
        process.item, process.is_busy = item, True
        process.send(bytes(ForkingPickler.dumps(item)))

    def replace(self, worker: int) -> None:
        """Start another process with the same environment."""
        self._start(worker)
        self._processes[worker].send(self._maker)

    def _start(self, worker: int) -> None:
        try:
            self._processes[worker] = _Process(self._environments[worker])
        except OSError as error:
            raise EngineError(f"a process cannot be started ({error.strerror}): give fewer --workers") from error

    def _receive(self, worker: int) -> WorkerReady | ItemDone[Answer] | WorkerLost:
        process = self._processes[worker]
        try:
            kind, content = process.connection.recv()
        except (EOFError, OSError):
            return self._remove_lost(worker)
        if kind == "fault":
            raise revive(content, process.place)
        if kind == "ready":
            process.is_ready = True
            return WorkerReady(worker)
        process.is_busy = False
        return ItemDone(worker, content)

    def _remove_lost(self, worker: int) -> WorkerLost:
        process = self._processes.pop(worker)
        process.join()
        return WorkerLost(worker, process.end)


class _Process(Generic[Item]):
    """A process, what it is at, and the line to it."""

    item: Item | None = None
    is_ready = False
    is_busy = False

    def __init__(self, environment: Mapping[str, str]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        # No daemon: those may have no processes of their own, which readers and retrievers may want.
        self._process: SpawnProcess = context.Process(target=serve, args=(theirs, environment), daemon=False)
        try:
            self._process.start()
        finally:
            theirs.close()

    @property
    def place(self) -> str:
        """What it is called in messages."""
        return "a worker that was to start" if self.item is None else f"a worker at {self.item}"

    @property
    def end(self) -> str:
        """How it ended, once it has."""
        code = self._process.exitcode or 0
        if code < 0:
            cause = f"was killed by signal {-code} ({signal.strsignal(-code)})"
            return f"{cause}, perhaps for want of memory" if -code == _KILLED else cause
        started = "" if self.is_ready else ' as it started (a script calls this under if __name__ == "__main__")'
        return f"ended with exit code {code}{started}"

    def is_dead(self) -> bool:
        """Whether it has ended and everything it said is heard."""
        return self._process.exitcode is not None and not self.connection.poll()

    def send(self, pickled: bytes) -> None:
        """Send what it unpickles; that it has died is heard next."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(pickled)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def leave(self) -> None:
        """Let it end, as nothing more will come."""
        self.connection.close()

    def see_off(self) -> None:
        """Give it a little time to end, then end it."""
        self._process.join(_FAREWELL)
        self._process.kill()

    def join(self) -> None:
        """Wait for its end."""
        self._process.join()
        self.connection.close()
