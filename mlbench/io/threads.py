"""How many threads this process may use, and one thread for each product where several work side by side."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from threading import Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

ROWS_FOR_THREADS = 1 << 20
"""With fewer rows, arithmetic takes about as long as starting threads for it."""
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def usable_threads() -> int:
    """Return how many processors this process may use: those it is bound to, and no more than its container's share."""
    affinity = getattr(os, "sched_getaffinity", None)
    bound = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min([bound, *map(ceil, _shares())]))


def _shares() -> Iterator[float]:
    """Yield the processors that each control group of this process may use: seconds of processor time per second.

    The files are those of Linux, `cpu.max` of version 2 and `cpu.cfs_quota_us` of version 1; elsewhere there are none.
    """
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CONTROL_GROUPS / "cpu" if controllers else _CONTROL_GROUPS
        own = root / name.lstrip("/")
        for folder in (own, *own.parents):
            if folder.is_relative_to(root):
                yield from _share(folder)


def _share(folder: Path) -> Iterator[float]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")
            )
        # No limit is "max" in version 2 and -1 in version 1.
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return


class _Limit:
    """The limit that is set while anybody wants it.

    One thread of its own sets and lifts it, because threadpoolctl leaves a limit to the thread that has set it.
    """

    def __init__(self) -> None:
        self._lock, self._users = Lock(), 0

    def enter(self) -> None:
        with self._lock:
            if not self._users:
                self._keeper = ThreadPoolExecutor(1)
                self._limits = self._keeper.submit(threadpool_limits, limits=1, user_api="blas").result()
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._keeper.submit(self._limits.restore_original_limits).result()
                self._keeper.shutdown()


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let each product of this process take one thread, until the last of all that asked for it has ended."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


def in_threads(work: Callable[[_Item], _Found], items: Iterable[_Item]) -> Iterator[_Found]:
    """Yield what `work` gives for each item, in their order, from as many threads as this process may use.

    Products take one thread each. No more items are begun than threads can work on while the next one is waited for.
    """
    threads = usable_threads()
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[_Found]] = deque()
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
