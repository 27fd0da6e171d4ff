"""The Ray engine on a cluster of two nodes of this machine, one of which is killed on the way."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from ray_clusters import RayCluster, ray_cluster

from mlbench.entry_points import ENGINES, load, names
from mlbench.errors import EngineError, InternalError, InvalidTask
from mlbench.evaluation.distributed import ray_cluster as ray_engine
from mlbench.evaluation.distributed.ray_cluster import open_cluster
from mlbench.protocols import Engine, Resources, Silence

pytestmark = pytest.mark.first

if not find_spec("ray"):
    pytest.skip("needs ray", allow_module_level=True)

Place = tuple[str, int]
"""A node and a process."""


class Notes(Silence):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def make_worker() -> Callable[[object], Place]:
    return work


def work(item: object) -> Place:
    """Say where this is, or fail as the item asks."""
    import ray

    if item == "fault":
        raise InvalidTask("wood.toml", ["no trees", "no birds"])
    if item == "memory":
        raise MemoryError
    if item == "nought":
        raise ZeroDivisionError("by nought")
    if item == "exit":
        os._exit(1)
    time.sleep(0.2)
    return str(ray.get_runtime_context().get_node_id()), os.getpid()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """A cluster which this process has joined; nothing of it is left in the process at the end."""
    import ray

    before = dict(os.environ)
    with ray_cluster(2, Path(__file__).parent) as started, pytest.MonkeyPatch.context() as patch:
        # Read when ray is imported, as it may have been long ago.
        patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # It is joined as a user does who has it in the environment.
        os.environ["RAY_ADDRESS"] = started.address
        try:
            open_cluster(Resources(), Silence())
            del os.environ["RAY_ADDRESS"]
            yield started
        finally:
            ray.shutdown()
            for name in os.environ.keys() - before:
                del os.environ[name]


def open_here(notes: Notes | None = None, workers: int | None = None, threads: int | None = None) -> Engine:
    return open_cluster(Resources(workers=workers, threads=threads), notes or Notes())


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_found_by_its_name() -> None:
    assert "ray" in names(ENGINES)
    assert load(ENGINES, "ray") is open_cluster


class TestWork:
    def test_every_item_is_answered_once_on_both_nodes(self, cluster: RayCluster) -> None:
        engine = open_here()
        assert engine.workers is None
        answers = dict(engine.map(make_worker, [f"item {number}" for number in range(12)]))
        assert sorted(answers) == list(range(12))
        assert len({node for node, _ in answers.values()}) == 2
        assert len(set(answers.values())) == 2

    def test_there_are_as_many_workers_as_are_asked_for_and_find_room(self, cluster: RayCluster) -> None:
        assert list(open_here().map(make_worker, [])) == []
        for workers, found in [(1, 1), (5, 2)]:
            engine = open_here(workers=workers)
            assert engine.workers == workers
            assert len({place for _, place in engine.map(make_worker, range(8))}) == found

    def test_another_cluster_needs_another_process(self, cluster: RayCluster) -> None:
        with pytest.raises(EngineError, match=r"this process has joined another Ray: for 127\.0\.0\.1:9, start"):
            open_cluster(Resources(address="127.0.0.1:9"), Notes())

    def test_whoever_stops_listening_ends_all(self, cluster: RayCluster) -> None:
        answers = open_here().map(make_worker, range(50))
        places = {next(answers)[1] for _ in range(6)}
        answers.close()  # type: ignore[attr-defined]
        wait_for(lambda: not any(runs(process) for _, process in places))


class TestFaults:
    def test_errors_are_the_same_as_here(self, cluster: RayCluster) -> None:
        with pytest.raises(InvalidTask, match="2 faults: no trees; no birds") as raised:
            list(open_here().map(make_worker, ["fault"]))
        assert raised.value.faults == ("no trees", "no birds")

    def test_what_is_not_the_users_says_where_it_arose(self, cluster: RayCluster) -> None:
        with pytest.raises(EngineError, match=r"^a worker at memory on 127\.0\.0\.1 ran out of memory: give fewer"):
            list(open_here().map(make_worker, ["memory"]))
        with pytest.raises(InternalError, match=r"^a worker at nought on .*: ZeroDivisionError: by nought$") as raised:
            list(open_here().map(make_worker, ["nought"]))
        assert "in work" in str(raised.value.__cause__)

    def test_an_item_that_ends_its_workers_is_given_up(self, cluster: RayCluster) -> None:
        notes = Notes()
        with pytest.raises(EngineError, match=r"^exit: 3 workers were lost over it, .* died on 127\.0\.0\.1: if memor"):
            list(open_here(notes).map(make_worker, ["item", "exit", "another"]))
        assert notes.said == ["warning: a worker was lost at exit: it died on 127.0.0.1"] * 3

    def test_a_node_with_another_version_is_refused(self, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray_engine, "__version__", "0.0.1")
        with pytest.raises(EngineError, match=r"^127\.0\.0\.1 has mlbench .* here are mlbench 0\.0\.1 .*: install the"):
            list(open_here().map(make_worker, ["item"]))

    def test_no_room_is_an_error_after_a_while(self, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray_engine, "ROOM", 2.0)
        with pytest.raises(
            EngineError, match=r"^no room .* each wants 3 CPU of one node, .* has 2 CPU in all, . CPU fr"
        ):
            list(open_here(threads=3).map(make_worker, ["item"]))


class TestNodes:
    """In this order: a node is killed, and another joins what is under way."""

    def test_what_a_killed_node_had_is_done_by_another(self, cluster: RayCluster) -> None:
        notes, answers = Notes(), dict[int, Place]()
        for number, place in open_here(notes).map(make_worker, [f"item {number}" for number in range(20)]):
            assert number not in answers
            answers[number] = place
            if len(answers) == 6:
                before = set(answers.values())
                cluster.kill(1)
        assert sorted(answers) == list(range(20))
        assert len(before) == 2
        # Whether it was the node is not always known by then, and another may be tried there.
        pattern = r"warning: a worker was lost( at item \d+)?: it died( with its node)?( on 127\.0\.0\.1)?"
        assert notes.said
        assert all(re.fullmatch(pattern, note) for note in notes.said)

    def test_a_node_that_joins_takes_part(self, cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        import ray

        monkeypatch.setattr(ray_engine, "_PATROL", 0.3)
        wait_for(lambda: sum(node["Alive"] for node in ray.nodes()) == 1)
        places = set()
        answers = open_here().map(make_worker, range(600))
        for number, (_, place) in enumerate(answers):
            places.add(place)
            if number == 0:
                cluster.add()
            if len(places) == 2:
                break
        answers.close()  # type: ignore[attr-defined]
        assert len({node for node, _ in places}) == 2


PROGRAM = """
import sys
from mlbench.evaluation.distributed.ray_cluster import open_cluster
from mlbench.protocols import Silence
from mlbench.protocols import Resources
from test_ray_cluster import make_worker
engine = open_cluster(Resources(address=sys.argv[2] or None, workers=2), Silence())
for number, place in engine.map(make_worker, range(int(sys.argv[1]))):
    print(number, flush=True)
"""


def start(folder: Path, items: int, address: str = "") -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(items), address],
        env={**environment, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parent)},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def left(group: int) -> list[str]:
    """The processes of a group that are still there."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats.append(path.read_text())
        except OSError:
            continue
    fields = [(stat.partition(" ")[0], *stat.rpartition(")")[2].split()[:3]) for stat in stats]
    return [process for process, state, _, its_group in fields if int(its_group) == group and state != "Z"]


class TestProgram:
    """Seen from outside: without an address a Ray is started, and nobody else is told of it."""

    @pytest.mark.parametrize("own", [True, False])
    def test_it_is_quiet_and_leaves_nothing_behind(self, cluster: RayCluster, tmp_path: Path, own: bool) -> None:
        process = start(tmp_path, 5, "" if own else cluster.address)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, "")
        assert sorted(out.split()) == ["0", "1", "2", "3", "4"]
        wait_for(lambda: left(process.pid) == [])
        assert list(tmp_path.iterdir()) == []

    def test_an_interruption_ends_all(self, tmp_path: Path) -> None:
        process = start(tmp_path, 5_000)
        assert process.stdout
        assert process.stdout.readline()
        assert len(left(process.pid)) > 3
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert err.strip().endswith("KeyboardInterrupt")
        assert err.count("Traceback") == 1
        wait_for(lambda: left(process.pid) == [])
