"""Which item goes to which worker, whatever workers are: losses are made good, stragglers are overtaken."""

from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

from mlbench.errors import EngineError
from mlbench.protocols import Answer, Item

LOSSES = 3
"""An item whose workers are lost so often, or so many workers in a row that never get ready, are given up."""
STRAGGLING = 2.0
"""An item is given to a second worker when it has taken so many times as long as the typical one."""
HASTE = 1.0
"""Seconds before which no item is given to a second worker."""
Given = TypeVar("Given", contravariant=True)
_MEMORY = "if memory ran out, give fewer --workers, or each more memory"


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker has started, and waits for its first item."""

    worker: int


@dataclass(frozen=True, slots=True)
class ItemDone(Generic[Answer]):
    """A worker has done its item, and waits for another."""

    worker: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker is no more; `cause` says how it ended, as in `was killed by SIGKILL`."""

    worker: int
    cause: str


class Crew(Protocol[Given, Answer]):
    """Workers, each known by a number; what is raised in one is raised by `wait`."""

    def __len__(self) -> int:
        """Return how many there are, those that are starting among them."""
        ...

    def wait(self, seconds: float | None) -> Sequence[WorkerReady | ItemDone[Answer] | WorkerLost]:
        """Return what has happened, at the latest after `seconds` (None: as long as it takes); it may be nothing."""
        ...

    def give(self, worker: int, item: Given) -> None:
        """Let a waiting worker do `item`; that it is lost meanwhile is for `wait` to say."""
        ...

    def replace(self, worker: int) -> None:
        """Start another in the place of one that was lost."""
        ...


def dispatch(
    crew: Crew[Item, Answer],
    items: Sequence[Item],
    note: Callable[[str], None],
    *,
    overtakes: bool = True,
    clock: Callable[[], float] = monotonic,
) -> Iterator[tuple[int, Answer]]:
    """Have a crew do `items`; yield each one's number, once, and its answer, as they come.

    With `overtakes`, an item that takes too long is given to a second worker. Losses are told to `note`. Raises
    `EngineError` for an item whose workers are lost three times, and where the last worker is lost and none gets ready;
    what `crew.wait` raises passes through.
    """
    board, idle, failed_starts = WorkQueue(len(items), overtakes), list[int](), 0
    while board.unfinished:
        answers = []
        for event in crew.wait(board.patience(clock()) if idle else None):
            match event:
                case WorkerReady(worker):
                    failed_starts = 0
                    idle.append(worker)
                case ItemDone(worker, answer):
                    number = board.finish(worker, clock())
                    idle.append(worker)
                    if number is not None:
                        answers.append((number, answer))
                case WorkerLost(worker, cause):
                    if worker in idle:
                        idle.remove(worker)
                    failed_starts += not _put_back(board, items, event, note)
                    if failed_starts < LOSSES:
                        crew.replace(worker)
                    elif not len(crew):
                        raise EngineError(f"no worker gets ready, the last one {cause}: {_MEMORY}")
        _assign(board, idle, crew, items, clock())
        yield from answers


def _put_back(board: "WorkQueue", items: Sequence[Item], lost: WorkerLost, note: Callable[[str], None]) -> bool:
    """Tell of a lost worker and put back what it was at; return whether it was at anything.

    Raises `EngineError` where this is the last loss that an item is allowed.
    """
    number = board.lose(lost.worker)
    if number is None:
        note(f"warning: a worker was lost: it {lost.cause}")
        return False
    item = str(items[number])
    note(f"warning: a worker was lost at {item}: it {lost.cause}")
    if board.losses(number) == LOSSES:
        raise EngineError(f"{item}: {LOSSES} workers were lost over it, the last one {lost.cause}: {_MEMORY}")
    return True


def _assign(board: "WorkQueue", idle: list[int], crew: Crew[Item, Answer], items: Sequence[Item], now: float) -> None:
    """Give work to all that wait, before anybody looks at the answers that came."""
    while idle:
        number = board.assign(idle[0], now)
        if number is None:
            return
        crew.give(idle.pop(0), items[number])


class WorkQueue:
    """What is done of `size` items, who is at which since when, and what is still to do."""

    def __init__(self, size: int, overtakes: bool = True) -> None:
        self.unfinished, self._overtakes = size, overtakes
        self._left = deque(range(size))
        self._holders: dict[int, dict[int, float]] = {}
        self._at: dict[int, int] = {}
        self._losses = Counter[int]()
        self._seconds: list[float] = []

    def assign(self, worker: int, now: float) -> int | None:
        """Return what a waiting worker does next: an item that nobody is at, or else a straggler; None for nothing."""
        if self._left:
            number = self._left.popleft()
        else:
            straggler = self._straggler()
            if straggler is None or now < straggler[0]:
                return None
            number = straggler[1]
        self._holders.setdefault(number, {})[worker] = now
        self._at[worker] = number
        return number

    def finish(self, worker: int, now: float) -> int | None:
        """Note that a worker has done its item, and return that; None where another was faster."""
        number = self._at.pop(worker)
        if number not in self._holders:
            return None
        insort(self._seconds, now - self._holders.pop(number)[worker])
        self.unfinished -= 1
        return number

    def lose(self, worker: int) -> int | None:
        """Note that a worker is lost, and return what it was at: next in turn now, unless another is at it as well.

        None for a worker that was at nothing, or at what another has done.
        """
        number = self._at.pop(worker, None)
        if number is None or number not in self._holders:
            return None
        self._losses[number] += 1
        del self._holders[number][worker]
        if not self._holders[number]:
            del self._holders[number]
            self._left.appendleft(number)
        return number

    def losses(self, number: int) -> int:
        """Return how many workers were lost while they were at an item."""
        return self._losses[number]

    def patience(self, now: float) -> float | None:
        """Return the seconds until a waiting worker may be given a straggler; None where that is not to be expected."""
        straggler = self._straggler()
        return None if straggler is None else max(0.0, straggler[0] - now)

    def _straggler(self) -> tuple[float, int] | None:
        """Return of the items that one worker is at the one begun first, after the time from which it is late."""
        alone = [(min(since.values()), number) for number, since in self._holders.items() if len(since) == 1]
        if not self._overtakes or not alone or not self._seconds:
            return None
        since, number = min(alone)
        return since + max(HASTE, STRAGGLING * self._seconds[len(self._seconds) // 2]), number
