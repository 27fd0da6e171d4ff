"""A crew of processes of this machine."""

import atexit
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Generic

from mlbench.engines.dispatch import Answered, Lost, Ready
from mlbench.engines.faults import revive
from mlbench.engines.serving import serve
from mlbench.errors import EngineError
from mlbench.workers import Answer, Item

_PATROL = 5.0
"""Seconds after which the processes are counted: of one that left children behind, the end is not heard."""

_KILLED = 9
"""The signal that ends a process whatever it does; not every system has a name for it."""

_FAREWELL = 5.0
"""Seconds that a process is given to end when nothing more will come."""


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

    def wait(self, seconds: float | None) -> list[Ready | Answered[Answer] | Lost]:
        """Return what has happened; raises what a worker raised."""
        by_line = {process.connection: worker for worker, process in self._processes.items()}
        heard = wait(list(by_line), _PATROL if seconds is None else min(seconds, _PATROL))
        events = [self._hear(by_line[line]) for line in heard if isinstance(line, Connection)]
        if not heard:
            events = [self._bury(worker) for worker, process in list(self._processes.items()) if process.is_dead()]
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

    def _hear(self, worker: int) -> Ready | Answered[Answer] | Lost:
        process = self._processes[worker]
        try:
            kind, content = process.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if kind == "fault":
            raise revive(content, process.place)
        if kind == "ready":
            process.is_ready = True
            return Ready(worker)
        process.is_busy = False
        return Answered(worker, content)

    def _bury(self, worker: int) -> Lost:
        process = self._processes.pop(worker)
        process.join()
        return Lost(worker, process.end)


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
