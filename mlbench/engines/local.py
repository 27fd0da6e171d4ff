"""The engine of one machine: this process, or several of its own."""

from collections.abc import Callable, Iterator, Sequence

from mlbench.errors import EngineError
from mlbench.protocols import Progress
from mlbench.workers import Answer, Engine, Item, Resources


def open_local(resources: Resources, progress: Progress) -> Engine:
    """Return an engine of this machine: this process does all the work unless `workers` says that several do.

    Raises `EngineError` for resources that it does not have.
    """
    if resources.address is not None:
        raise EngineError(f"--address {resources.address} belongs to --engine ray: add that, or leave --address out")
    return Here()


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
