"""The engine of many machines: workers on the nodes of a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mlbench.engines.actors import Actors, Demand
from mlbench.engines.dispatch import dispatch
from mlbench.engines.joining import join
from mlbench.errors import EngineError
from mlbench.protocols import Progress
from mlbench.workers import Answer, Engine, Item, Resources


def open_cluster(resources: Resources, progress: Progress) -> Engine:
    """Join the Ray cluster of `address`, of the environment, or one that is started here for as long as this process.

    Nodes have the same Python and mlbench, and see the same data. Raises `MissingExtra` without ray, `EngineError`
    where no cluster answers.
    """
    if resources.workers is not None and resources.workers < 1:
        raise EngineError(f"--workers {resources.workers}: give at least 1")
    demand = Demand(resources.threads or 1, int(resources.accelerators))
    join(resources.address, None if resources.workers is None else resources.workers * demand.processors)
    return Cluster(resources.workers, demand, progress.note)


@dataclass
class Cluster:
    """Does the work in actors, which begin with each `map` and end with it, however it ends."""

    workers: int | None
    demand: Demand
    note: Callable[[str], None]

    def map(
        self, make_worker: Callable[[], Callable[[Item], Answer]], items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        """Yield each item's number and answer as they are done; no more workers are started than there are items.

        What a worker raises is raised here, and ends all of them.
        """
        if not items:
            return
        crew: Actors[Item, Answer] = Actors(make_worker, self.demand, self.workers, len(items))
        try:
            crew.start()
            yield from dispatch(crew, items, self.note)
        finally:
            crew.close()
