"""The engine of many machines: workers on the nodes of a Ray cluster, which is joined or started here."""

import logging
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from secrets import token_hex
from time import monotonic, sleep
from typing import TYPE_CHECKING, Generic

from mlbench.errors import EngineError, InternalError, MissingExtra
from mlbench.evaluation.distributed.dispatch import ItemDone, WorkerLost, WorkerReady, dispatch
from mlbench.evaluation.distributed.serving import revive
from mlbench.protocols import Answer, Engine, Item, Progress, Resources
from mlbench.version import __version__

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
_KNOCK = 3.0
"""Seconds that a machine is given to accept a connection."""
_PATIENCE = 15.0
"""Seconds that what accepts connections is given to prove a Ray: Ray itself would try for minutes."""
# Nothing is sent anywhere, and what Ray tells of itself does not reach the user's screen.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    # What nodes report goes to stdout otherwise, whatever `log_to_driver` says.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",
}
# "0" when ray is imported, Ray keeps to 127.0.0.1, which it otherwise takes for the address that others know.
_BEYOND_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROOF = """
import logging, os, sys
try:
    import ray
    ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    while error.__cause__ is not None:
        print(f"{type(error).__name__}: {error}")
        error = error.__cause__
    print(f"{type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(1)
ray.shutdown()
"""
_joined: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """What each worker has for itself."""

    processors: int
    accelerators: int

    def __str__(self) -> str:
        return _amount(self.processors, self.accelerators)

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many workers the resources of a node can hold."""
        fits = int(resources.get("CPU", 0) // self.processors)
        return min(fits, int(resources.get("GPU", 0) // self.accelerators)) if self.accelerators else fits


def open_cluster(resources: Resources, progress: Progress) -> Engine:
    """Join the Ray cluster of `address`, of the environment, or one that is started here for as long as this process.

    Nodes have the same Python and mlbench, and see the same data. Raises `MissingExtra` without ray, `EngineError`
    where no cluster answers.
    """
    if resources.workers is not None and resources.workers < 1:
        raise EngineError(f"--workers {resources.workers}: give at least 1")
    demand = WorkerResources(resources.threads or 1, int(resources.accelerators))
    join(resources.address, None if resources.workers is None else resources.workers * demand.processors)
    return Cluster(resources.workers, demand, progress.note)


@dataclass
class Cluster:
    """Does the work in actors, which begin with each `map` and end with it, however it ends."""

    workers: int | None
    demand: WorkerResources
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


def join(address: str | None, processors: int | None) -> None:
    """Join the cluster at `address`, or where `RAY_ADDRESS` says; without either start a Ray with `processors`.

    `address` is `HOST:PORT`, `ray://HOST:PORT` or `auto` (the one of this machine). Without it, a Ray that this process
    has joined already is taken. Raises `MissingExtra` without ray, and `EngineError` where no Ray answers within
    seconds, where it has other versions of Python or Ray, and in a process that has joined another one.
    """
    global _joined
    if find_spec("ray") is None:
        raise MissingExtra("workers of Ray", "ray")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        if address not in (None, _joined):
            raise EngineError(f"this process has joined another Ray: for {address}, start another process")
        return
    chosen = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    if chosen == "local":
        _start(processors)
    else:
        if chosen != "auto":
            _knock(chosen)
        _prove(chosen)
        _init(chosen)
    _joined = address


def _start(processors: int | None) -> None:
    """Start a Ray that nobody else can use: with a token of its own, and on the loopback address alone."""
    values = {} if "ray" in sys.modules else {_BEYOND_LOOPBACK: "0"}
    if "RAY_AUTH_MODE" not in os.environ:
        values |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}
    with _environment(values):
        _init("local", processors)


def _init(address: str, processors: int | None = None) -> None:
    import ray

    given = {} if processors is None else {"num_cpus": processors}
    if address == "local":
        given |= {"include_dashboard": False}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **given)
    except Exception as error:  # Ray raises what is at hand.
        attempt = "Ray cannot be started" if address == "local" else f"the Ray at {address} cannot be joined"
        reason = str(error).partition("\n")[0]
        raise EngineError(f"{attempt}: {type(error).__name__}: {reason}") from error


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _knock(address: str) -> None:
    """Raise `EngineError` unless something accepts connections at `address`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise EngineError(f"--address {address}: give HOST:PORT, such as 10.0.0.1:6379, ray://HOST:PORT or auto")
    if address.startswith("ray://") and find_spec("grpc") is None:
        raise EngineError(f"--address {address} needs Ray's client: pip install 'ray[client]', or give HOST:6379")
    if not _answers(host, int(port)):
        raise EngineError(f"no Ray answers at {address}: start one there with ray start --head, or give its --address")
    if host in _LOOPBACK and "ray" not in sys.modules and not _answers(_own_address(), int(port)):
        os.environ.setdefault(_BEYOND_LOOPBACK, "0")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _KNOCK).close()
    except OSError:
        return False
    return True


def _own_address() -> str:
    """Return the address under which others know this machine; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 80))
        except OSError:
            return "127.0.0.1"
        return str(line.getsockname()[0])


def _prove(address: str) -> None:
    """Join in a process of its own first, which can be ended; raises `EngineError` where that does not work."""
    command = [sys.executable, "-c", _PROOF, address]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"what answers at {address} is no Ray, or one that cannot be joined from here") from None
    if done.returncode != 0:
        raise EngineError(f"the Ray at {address} cannot be joined: {_reason(done.stdout)}")


def _reason(said: str) -> str:
    if "AuthToken" in said or "AuthenticationError" in said:
        return "it wants its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
    if "Version mismatch" in said:
        return " ".join(said.partition("Version mismatch")[2].split()).removeprefix(": ")
    if "Could not find any running Ray" in said:
        return "there is none on this machine: start one with ray start --head, or give HOST:PORT"
    return said.strip().partition("\n")[0] or "the attempt was ended"


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

    def __init__(self, make_worker: object, demand: WorkerResources, count: int | None, most: int) -> None:
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

    def wait(self, seconds: float | None) -> list[WorkerReady | ItemDone[Answer] | WorkerLost]:
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
        events = [event for reference in told for event in self._receive(asked[reference])]
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

    def _receive(self, worker: int) -> Iterator[WorkerReady | ItemDone[Answer] | WorkerLost]:
        import ray
        from ray import exceptions

        actor = self._actors[worker]
        assert actor.asked is not None
        try:
            kind, content = ray.get(actor.asked, timeout=_FETCH)
        except exceptions.RayTaskError as error:
            raise InternalError(f"{actor.place}: {str(error).strip().splitlines()[-1]}") from error
        except exceptions.RayError as error:
            yield self._remove_lost(worker, error)
            return
        actor.asked = None
        match kind:
            case "about":
                actor.host, actor.node, python, version = content
                _check_versions(str(actor.host), python, version)
                actor.asked = actor.handle.prepare.remote(self._maker)
            case "ready":
                actor.is_ready = True
                yield WorkerReady(worker)
            case "answer":
                yield ItemDone(worker, ray.cloudpickle.loads(content))
            case _:
                raise revive(content, actor.place)

    def _remove_lost(self, worker: int, error: Exception) -> WorkerLost:
        import ray

        actor = self._actors.pop(worker)
        # One that is only out of reach would keep its room.
        with suppress(Exception):
            ray.kill(actor.handle)
        self._delays[worker] = 0.0 if actor.is_ready else _RETRY
        where = "" if actor.host is None else f" on {actor.host}"
        if isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in str(error):
            return WorkerLost(worker, f"was ended by Ray{where}, where memory ran out")
        dead = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
        return WorkerLost(worker, f"died with its node{where}" if actor.node in dead else f"died{where}")

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

            return self.answer_of(made)

        def work(self, item: bytes) -> tuple[str, object]:
            def done() -> tuple[str, object]:
                import ray

                # Pickled once more, an answer holds on to no memory that it shares.
                return "answer", ray.cloudpickle.dumps(self.do(ray.cloudpickle.loads(item)))

            return self.answer_of(done)

        def answer_of(self, what: Callable[[], tuple[str, object]]) -> tuple[str, object]:
            from mlbench.evaluation.distributed.serving import describe

            try:
                return what()
            except Exception as error:
                return "fault", describe(error)

    return Holder
