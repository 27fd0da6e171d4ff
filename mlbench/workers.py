"""What the author of an engine implements: it hands items of work to workers, and knows nothing of retrieval."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Resources:
    """What an engine may use: `None` leaves it to the engine.

    `workers` is how many work at once; `address` where a cluster is found; `threads` how many processors a worker
    keeps busy; with `accelerators`, each worker has one of its own.
    """

    workers: int | None = None
    address: str | None = None
    threads: int | None = None
    accelerators: bool = False


class Engine(Protocol):
    """What an entry point of the group `mlbench.engines` gives when it is called with `Resources` and a `Progress`.

    It knows nothing of retrieval: it hands items to workers, here or on other machines.
    """

    workers: int | None
    """How many work at once; None where that changes as machines come and go, 1 for none but this process."""

    def map(
        self, make_worker: Callable[[], Callable[[Item], Answer]], items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        """Yield for each item its number and the answer of a worker, in the order in which they are done.

        `make_worker` is called once by each worker; unless the only worker is this process, it can be pickled, as can
        items and answers; what pickles of an item is small. The work on an item gives the same answer wherever and
        however often it is done, so what a lost worker had is given to another, and each number is yielded once.
        A `UserError` of a worker ends the whole. Raises `EngineError` where workers cannot be started, and for an
        item whose worker is lost again and again; `str(item)` is its name in messages.
        """
        ...
