"""Processes that have torch and the trainers loaded when they begin: forked from one that has only imported them.

A process that has computed cannot be forked safely, and importing everything takes seconds in each new one.
"""

import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess

from mlbench.protocols import Silence

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["mlbench.training.static", "mlbench.training.trainer"])


def start(run: Callable[..., None], *arguments: object, **environment: str) -> ForkServerProcess:
    """Start a process that calls `run`, a function of a module, with this process's environment and what is given."""
    process = _FORKS.Process(target=_call, args=(run, arguments, {**os.environ, **environment}))
    process.start()
    return process


def end_of(process: ForkServerProcess) -> int | None:
    """Wait for the end of a process, and return its exit code, or the negative number of the signal that ended it."""
    process.join()
    return process.exitcode


def _call(run: Callable[..., None], arguments: tuple[object, ...], environment: Mapping[str, str]) -> None:
    import torch

    torch.set_num_threads(1)
    os.environ.clear()
    os.environ.update(environment)
    run(*arguments)


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


class KilledAfter(Silence):
    """A `Progress` that kills its process when so many steps are trained."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._phase = ""

    def start(self, phase: str, total: int) -> None:
        self._phase = phase

    def advance(self, done: int) -> None:
        self._left -= done if self._phase == "train" else 0
        if self._left <= 0:
            die()
