"""Processes that each do one thing at a time, and end with the one that started them."""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Generic, TypeVar

from mlbench.errors import InternalError, MlbenchError, UserError

Item = TypeVar("Item")
Work = Callable[[Item, Callable[[str], None]], None]
"""Does one thing; what it tells with its second argument arrives where the processes were started."""


def work_through(
    make_work: Callable[[], Work[Item]], items: Sequence[Item], *, processes: int, note: Callable[[str], None]
) -> Generator[Item, None, None]:
    """Do `items` in several processes and yield each that is done; no items need no process.

    `make_work` is called once in each process; it and the items are pickled. The first failure ends all processes:
    raises `UserError` with its message or, for an error of ours, `InternalError` after the traceback is told to `note`.
    What the user asked these processes to do is theirs alone: an interruption ends them too, as does closing the
    generator.
    """
    if not items:
        return
    context, left = get_context("spawn"), list(items)
    workers: dict[Connection, _Worker[Item]] = {}
    try:
        for _ in range(min(processes, len(items))):
            worker = _Worker(context, make_work)
            workers[worker.connection] = worker
            worker.give(left.pop(0))
        while workers:
            for ready in wait(list(workers)):
                assert isinstance(ready, Connection)
                worker = workers[ready]
                done = worker.hear(note)
                if not done:
                    continue
                yield worker.item
                if left:
                    worker.give(left.pop(0))
                else:
                    worker.end()
                    del workers[ready]
    finally:
        for worker in workers.values():
            worker.kill()


class _Worker(Generic[Item]):
    """A process, what it is at, and the line to it."""

    item: Item

    def __init__(self, context: SpawnContext, make_work: Callable[[], Work[Item]]) -> None:
        self.connection, theirs = context.Pipe()
        # No daemon: those may have no processes of their own, and trainers read batches in some.
        self._process: SpawnProcess = context.Process(target=_serve, args=(theirs, make_work), daemon=False)
        self._process.start()
        theirs.close()

    def give(self, item: Item) -> None:
        """Let it do `item` next."""
        self.item = item
        with suppress(BrokenPipeError):
            # That it has died is heard next.
            self.connection.send(item)

    def hear(self, note: Callable[[str], None]) -> bool:
        """Return whether its item is done, passing on what it tells; raises what ended it."""
        try:
            kind, message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            raise UserError(
                f"a process died (exit code {code}), perhaps for want of memory: run it again with fewer --jobs"
            ) from None
        if kind == "note":
            note(message)
        elif kind == "fault":
            raise UserError(message)
        elif kind == "error":
            note(message)
            raise InternalError(message.strip().splitlines()[-1])
        return bool(kind == "done")

    def end(self) -> None:
        """Let it end by itself."""
        self.connection.close()
        self._process.join()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, make_work: Callable[[], Work[Item]]) -> None:
    # An interruption reaches all processes of a terminal; the one that started this one answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def note(message: str) -> None:
        connection.send(("note", message))

    try:
        work = make_work()
        while True:
            try:
                item = connection.recv()
            except EOFError:
                return
            work(item, note)
            connection.send(("done", ""))
    except MlbenchError as error:
        connection.send(("fault" if error.exit_code == UserError.exit_code else "error", str(error)))
    except Exception:
        connection.send(("error", traceback.format_exc()))


def _end_with_parent() -> None:
    """End this process with the one that started it, or two sweeps would write the same files."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
