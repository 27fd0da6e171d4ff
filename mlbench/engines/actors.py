"""A crew of actors of a Ray cluster, each of which holds a worker."""

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Generic

from mlbench.engines.dispatch import Answered, Lost, Ready
from mlbench.engines.faults import revive
from mlbench.errors import EngineError, InternalError
from mlbench.version import __version__
from mlbench.workers import Answer, Item

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

ROOM = 60.0
"""Seconds for which a cluster may have no room for any worker."""

_PATROL = 5.0
"""Seconds after which nodes that joined are looked for, and room."""

_RETRY = 10.0
"""Seconds before another is asked for where one did not get ready: a node may be gone that is not known to be."""

_FETCH = 120.0
"""Seconds after which an answer that does not arrive is lost."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What each worker has for itself."""

    processors: int
    accelerators: int

    def __str__(self) -> str:
        return _amount(self.processors, self.accelerators)

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many workers the resources of a node can hold."""
        fits = int(resources.get("CPU", 0) // self.processors)
        return min(fits, int(resources.get("GPU", 0) // self.accelerators)) if self.accelerators else fits


@dataclass
class _Actor(Generic[Item]):
    """An actor, what is asked of it, where it is, and what it is at."""

    handle: "ActorHandle[object]"
    asked: "ObjectRef[tuple[str, object]] | None"
    host: str | None = None
    node: str | None = None
    item: Item | None = None
    is_ready: bool = False

    @property
    def place(self) -> str:
        """What it is called in messages."""
        at = "that was to start" if self.item is None else f"at {self.item}"
        return f"a worker {at}" if self.host is None else f"a worker {at} on {self.host}"


class Actors(Generic[Item, Answer]):
    """A crew of `count` actors, or where that is None of as many as there is room for, but never more than `most`."""

    def __init__(self, make_worker: object, demand: Demand, count: int | None, most: int) -> None:
        import ray

        self._make_worker = make_worker
        self._demand = demand
        self._count, self._most = count, most
        self._actors: dict[int, _Actor[Item]] = {}
        self._started = 0
        # When those are asked for that replace others, and how long after these were lost.
        self._due: dict[int, float] = {}
        self._delays: dict[int, float] = {}
        self._looked = self._roomy = monotonic()
        self._class = ray.remote(_holder())

    def __len__(self) -> int:
        return len(self._actors) + len(self._due)

    def start(self) -> None:
        """Ask for all of them; those that there is no room for start when there is."""
        import ray

        # Pickled once and put once, however many load it.
        self._maker = ray.put(ray.cloudpickle.dumps(self._make_worker))
        self._grow()

    def close(self) -> None:
        """End all of them at once."""
        import ray

        while self._actors:
            actor = self._actors.popitem()[1]
            with suppress(Exception):  # The cluster may be gone.
                ray.kill(actor.handle)

    def wait(self, seconds: float | None) -> list[Ready | Answered[Answer] | Lost]:
        """Return what has happened; raises what a worker raised, and `EngineError` where no worker finds room."""
        import ray

        if monotonic() - self._looked > _PATROL:
            self._grow()
        for worker in [worker for worker, due in self._due.items() if due <= monotonic()]:
            del self._due[worker]
            self._start(worker)
        asked = {actor.asked: worker for worker, actor in self._actors.items() if actor.asked is not None}
        limit = _PATROL if seconds is None else min(seconds, _PATROL)
        told: list[ObjectRef[tuple[str, object]]] = []
        if asked:
            ray.wait(list(asked), timeout=limit)
            told, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        else:
            sleep(limit)
        events = [event for reference in told for event in self._hear(asked[reference])]
        self._check_room()
        return events

    def give(self, worker: int, item: Item) -> None:
        """Let an actor do `item`."""
        import ray

        actor = self._actors[worker]
        actor.item = item
        actor.asked = actor.handle.work.remote(ray.cloudpickle.dumps(item))

    def replace(self, worker: int) -> None:
        """Ask for another actor, wherever there is room: at once, unless the one before did not get ready."""
        self._due[worker] = monotonic() + self._delays[worker]

    def _grow(self) -> None:
        """Ask for as many actors as there is room for by now, or as are wanted."""
        import ray

        self._looked = monotonic()
        alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
        wanted = sum(map(self._demand.fits, alive)) if self._count is None else self._count
        # With no room at all, one is asked for: a cluster that grows by itself then sees what is wanted.
        for worker in range(self._started, min(max(wanted, 1), self._most)):
            self._start(worker)
            self._started += 1

    def _start(self, worker: int) -> None:
        options = {"num_cpus": self._demand.processors, "num_gpus": self._demand.accelerators, "max_restarts": 0}
        handle = self._class.options(**options, scheduling_strategy="SPREAD").remote()
        self._actors[worker] = _Actor(handle, handle.about.remote())

    def _hear(self, worker: int) -> Iterator[Ready | Answered[Answer] | Lost]:
        import ray
        from ray import exceptions

        actor = self._actors[worker]
        assert actor.asked is not None
        try:
            kind, content = ray.get(actor.asked, timeout=_FETCH)
        except exceptions.RayTaskError as error:
            raise InternalError(f"{actor.place}: {str(error).strip().splitlines()[-1]}") from error
        except exceptions.RayError as error:
            yield self._bury(worker, error)
            return
        actor.asked = None
        match kind:
            case "about":
                actor.host, actor.node, python, version = content
                _check_versions(str(actor.host), python, version)
                actor.asked = actor.handle.prepare.remote(self._maker)
            case "ready":
                actor.is_ready = True
                yield Ready(worker)
            case "answer":
                yield Answered(worker, ray.cloudpickle.loads(content))
            case _:
                raise revive(content, actor.place)

    def _bury(self, worker: int, error: Exception) -> Lost:
        import ray

        actor = self._actors.pop(worker)
        # One that is only out of reach would keep its room.
        with suppress(Exception):
            ray.kill(actor.handle)
        self._delays[worker] = 0.0 if actor.is_ready else _RETRY
        where = "" if actor.host is None else f" on {actor.host}"
        if isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in str(error):
            return Lost(worker, f"was ended by Ray{where}, where memory ran out")
        dead = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
        return Lost(worker, f"died with its node{where}" if actor.node in dead else f"died{where}")

    def _check_room(self) -> None:
        import ray

        if any(actor.host is not None for actor in self._actors.values()):
            self._roomy = monotonic()
        elif monotonic() - self._roomy > ROOM:
            there, free = ray.cluster_resources(), ray.available_resources()
            amounts = [_amount(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in (there, free)]
            raise EngineError(
                f"no room for a worker in {ROOM:.0f} seconds: each wants {self._demand} of one node, and the cluster "
                f"has {amounts[0]} in all, {amounts[1]} free: give fewer --threads, or add nodes"
            )


def _amount(processors: int, accelerators: int) -> str:
    return f"{processors} CPU" + (f" and {accelerators} GPU" if accelerators else "")


def _check_versions(host: str, python: str, version: str | None) -> None:
    if version is None:
        raise EngineError(f"there is no mlbench on {host}: install mlbench {__version__} on every node")
    here = (__version__, platform.python_version_tuple()[:2])
    if (version, tuple(python.split(".")[:2])) != here:
        raise EngineError(
            f"{host} has mlbench {version} and Python {python}, here are mlbench {__version__} and Python "
            f"{platform.python_version()}: install the same on every node"
        )


def _holder() -> type:
    """Return the class of the actors; being no module's, it travels as code, for a node may have another mlbench."""

    class Holder:
        def about(self) -> tuple[str, object]:
            import platform

            import ray

            version: str | None = None
            with suppress(ImportError):
                from mlbench.version import __version__ as version
            node = ray.get_runtime_context().get_node_id()
            return "about", (ray.util.get_node_ip_address(), node, platform.python_version(), version)

        def prepare(self, maker: bytes) -> tuple[str, object]:
            def made() -> tuple[str, object]:
                import ray

                self.do = ray.cloudpickle.loads(maker)()
                return "ready", None

            return self.told(made)

        def work(self, item: bytes) -> tuple[str, object]:
            def done() -> tuple[str, object]:
                import ray

                # Pickled once more, an answer holds on to no memory that it shares.
                return "answer", ray.cloudpickle.dumps(self.do(ray.cloudpickle.loads(item)))

            return self.told(done)

        def told(self, what: Callable[[], tuple[str, object]]) -> tuple[str, object]:
            from mlbench.engines.faults import describe

            try:
                return what()
            except Exception as error:
                return "fault", describe(error)

    return Holder
