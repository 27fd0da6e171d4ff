"""Workers that do well or fail, each in its own way; in a module of their own, so that any process can import them."""

import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

from mlbench.errors import DataError, InternalError, InvalidTask, MissingExtra, RetrieverError, UnknownName

Work = Callable[[object], object]

ERRORS: dict[str, Exception] = {
    "missing": MissingExtra("trees", "forest"),
    "unknown": UnknownName("tree", "oka", ["oak", "elm"]),
    "faulty": InvalidTask("wood.toml", ["no trees", "no birds"]),
    "data": DataError("wood.jsonl, line 3: no tree"),
    "retriever": RetrieverError("cannot see the wood"),
    "ours": InternalError("the wood is inside out"),
    "nought": ZeroDivisionError("by nought"),
    "memory": MemoryError(),
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    "disk": OSError(28, "No space left on device", "wood/3.npz"),
}


def make_doubler() -> Work:
    return double


def double(item: object) -> object:
    assert isinstance(item, int)
    return 2 * item


def make_failing(folder: Path | None = None, seconds: float = 0.0) -> Work:
    """Return work that answers with its process, or fails as an item asks; what it began lies in `folder`."""

    def work(item: object) -> object:
        if folder is not None:
            (folder / f"{item}-{os.getpid()}").touch()
        if item in ERRORS:
            raise ERRORS[str(item)]
        end_process(item, folder)
        if item == "end of file":
            raise EOFError("in the middle of a shard")
        if item == "local class":
            raise _Local("only here")
        if item == "lambda":
            return lambda: item
        if item == "child":
            child = get_context("spawn").Process(target=time.sleep, args=(0,))
            child.start()
            child.join()
        time.sleep(seconds)
        return os.getpid()

    return work


def end_process(item: object, folder: Path | None) -> None:
    if item == "exit":
        os._exit(7)
    if item == "leave":
        sys.exit(5)
    if item == "death" or (item == "first death" and folder and len(list(folder.glob(f"{item}-*"))) == 1):
        os.kill(os.getpid(), signal.SIGKILL)


class _Local(DataError):
    def __init__(self, message: str, more: object = None) -> None:
        super().__init__(message)
        self.more = lambda: more


def make_environment() -> Work:
    return lambda item: os.environ.get(str(item))


def make_nothing(error: str | None = None) -> Work:
    """Fail before there is a worker."""
    if error is None:
        os._exit(9)
    raise ERRORS[error]


def make_slow_once(folder: Path) -> Work:
    """Return work that takes forever when `slow` is begun first, and no time after that."""

    def work(item: object) -> object:
        if item == "slow" and not (folder / "begun").exists():
            (folder / "begun").touch()
            time.sleep(600)
        return item

    return work


def runs(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
