import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from engine_workers import (
    ERRORS,
    make_doubler,
    make_environment,
    make_failing,
    make_nothing,
    make_slow_once,
    runs,
)

from mlbench.entry_points import ENGINES, load, names
from mlbench.errors import EngineError, InternalError, MlbenchError, UserError
from mlbench.evaluation.distributed.local import open_local, shares
from mlbench.protocols import Engine, Resources, Silence


class Notes(Silence):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


def engine(workers: int | None, notes: Notes | None = None) -> Engine:
    return open_local(Resources(workers=workers), notes or Notes())


def alive(folder: Path) -> list[int]:
    """The processes that began work and are still there."""
    processes = {int(path.name.rpartition("-")[2]) for path in folder.iterdir()}
    return [process for process in processes if runs(process)]


@pytest.mark.parametrize("workers", [None, 1, 2, 3])
def test_every_item_is_answered_once(workers: int | None) -> None:
    found = engine(workers)
    assert found.workers == (workers or 1)
    answers = list(found.map(make_doubler, range(10, 20)))
    assert sorted(answers) == list(enumerate(range(20, 40, 2)))


def test_this_process_works_when_it_is_asked() -> None:
    made, done = [], []

    def make_worker() -> Callable[[int], int]:
        made.append("worker")
        # A list of another scope cannot be pickled so that it stays the same.
        return lambda item: done.append(item) or item

    here = engine(None)
    assert list(here.map(make_worker, [])) == []
    assert made == []
    answers = here.map(make_worker, [5, 6, 7])
    assert made == []
    assert next(answers) == (0, 5)
    assert (made, done) == (["worker"], [5])
    assert [*answers, *here.map(make_worker, [8])] == [(1, 6), (2, 7), (0, 8)]
    assert made == ["worker", "worker"]


def test_no_items_need_no_process() -> None:
    # It would fail if it were called, or pickled.
    assert list(engine(2).map(lambda: 1 / 0, [])) == []


def test_processes_are_others_and_no_more_than_items(tmp_path: Path) -> None:
    items = [f"item {number}" for number in range(6)]
    found = {process for _, process in engine(2).map(partial(make_failing, tmp_path, 0.2), items)}
    assert len(found) == 2
    assert os.getpid() not in found
    assert len({process for _, process in engine(4).map(partial(make_failing, tmp_path), ["only"])}) == 1
    assert alive(tmp_path) == []


def test_work_in_a_process_may_have_processes(tmp_path: Path) -> None:
    assert len(list(engine(2).map(make_failing, ["child", "child"]))) == 2


class TestLoss:
    def test_what_a_killed_process_had_is_done_by_another(self, tmp_path: Path) -> None:
        notes = Notes()
        items = ["first death", *(f"item {number}" for number in range(5))]
        answers = list(engine(2, notes).map(partial(make_failing, tmp_path, 0.1), items))
        assert sorted(number for number, _ in answers) == list(range(6))
        assert notes.said == [
            "warning: a worker was lost at first death: it was killed by signal 9 (Killed), perhaps for want of memory"
        ]
        assert len(list(tmp_path.glob("first death-*"))) == 2

    @pytest.mark.parametrize(
        ("item", "cause"),
        [("death", "was killed by signal 9"), ("exit", "ended with exit code 7"), ("leave", "code 5")],
    )
    def test_an_item_that_kills_its_workers_is_given_up(self, tmp_path: Path, item: str, cause: str) -> None:
        notes = Notes()
        with pytest.raises(EngineError, match=f"^{item}: 3 workers were lost over it, .*{cause}.*fewer --workers"):
            list(engine(2, notes).map(partial(make_failing, tmp_path), ["item", item, "another"]))
        assert len(notes.said) == len(list(tmp_path.glob(f"{item}-*"))) == 3
        assert alive(tmp_path) == []

    def test_workers_that_die_as_they_start_are_given_up(self) -> None:
        notes = Notes()
        with pytest.raises(EngineError, match="no worker gets ready, the last one ended with exit code 9 as it star"):
            list(engine(2, notes).map(make_nothing, [1, 2, 3]))
        assert len(notes.said) >= 3

    def test_a_straggler_is_overtaken(self, tmp_path: Path) -> None:
        answers = engine(2).map(partial(make_slow_once, tmp_path), ["slow", "quick", "short"])
        assert sorted(answers) == [(0, "slow"), (1, "quick"), (2, "short")]


class TestFaults:
    @pytest.mark.parametrize("item", ["missing", "unknown", "faulty", "data", "retriever", "disk"])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_an_error_is_the_same_wherever_it_arose(self, tmp_path: Path, item: str, workers: int) -> None:
        expected = ERRORS[item]
        with pytest.raises(type(expected)) as raised:
            list(engine(workers).map(partial(make_failing, tmp_path), ["item", item, "another"]))
        assert type(raised.value) is type(expected)
        assert str(raised.value) == str(expected)
        assert vars(raised.value).get("faults") == vars(expected).get("faults")
        if isinstance(expected, OSError) and isinstance(raised.value, OSError):
            assert (raised.value.errno, raised.value.filename) == (expected.errno, expected.filename)
        assert alive(tmp_path) == ([] if workers > 1 else [os.getpid()])

    @pytest.mark.parametrize(
        ("item", "error", "message"),
        [
            ("memory", EngineError, "a worker at memory ran out of memory: give fewer --workers"),
            ("torch", EngineError, "a worker at torch ran out of memory"),
            ("ours", InternalError, "^the wood is inside out$"),
            ("nought", InternalError, "^a worker at nought: ZeroDivisionError: by nought$"),
            ("end of file", InternalError, "a worker at end of file: EOFError: in the middle of a shard"),
            ("lambda", InternalError, "a worker at lambda: .*pickle"),
        ],
    )
    def test_what_is_not_the_users_says_where_it_arose(
        self, tmp_path: Path, item: str, error: type[MlbenchError], message: str
    ) -> None:
        with pytest.raises(MlbenchError, match=message) as raised:
            list(engine(2).map(partial(make_failing, tmp_path), ["item", item]))
        assert type(raised.value) is error
        assert "in _answer" in str(raised.value.__cause__)

    def test_an_error_that_holds_what_cannot_travel_keeps_its_message(self) -> None:
        with pytest.raises(UserError, match=r"^only here$"):
            list(engine(2).map(make_failing, ["local class", "item"]))

    def test_a_worker_that_cannot_be_made_says_so(self) -> None:
        with pytest.raises(type(ERRORS["retriever"]), match="cannot see the wood"):
            list(engine(2).map(partial(make_nothing, "retriever"), [1, 2]))
        with pytest.raises(EngineError, match="a worker that was to start ran out of memory"):
            list(engine(2).map(partial(make_nothing, "memory"), [1, 2]))


class TestEnd:
    def test_whoever_stops_listening_ends_all(self, tmp_path: Path) -> None:
        answers = engine(2).map(partial(make_failing, tmp_path, 0.3), [f"item {number}" for number in range(9)])
        next(answers)
        assert isinstance(answers, Iterator)
        answers.close()  # type: ignore[attr-defined]
        begun = len(list(tmp_path.iterdir()))
        assert alive(tmp_path) == []
        time.sleep(0.7)
        assert len(list(tmp_path.iterdir())) == begun < 9

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["kill", "interrupt", "forget"])
    def test_processes_end_with_the_one_that_started_them(self, tmp_path: Path, how: str) -> None:
        program, folder = tmp_path / "program.py", tmp_path / "out"
        program.write_text(PROGRAM)
        folder.mkdir()
        command = [sys.executable, program, str(Path(__file__).parent), str(folder), how]
        parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(list(folder.iterdir())) >= 2)
        if how == "kill":
            parent.kill()
        elif how == "interrupt":
            # The parent last, because its end is that of the others.
            for process in [*alive(folder), parent.pid]:
                os.kill(process, signal.SIGINT)
        _, said = parent.communicate(timeout=60)
        wait_for(lambda: alive(folder) == [])
        # The children say nothing.
        assert said.count("Traceback") == (how == "interrupt")


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from engine_workers import make_failing
from mlbench.evaluation.distributed.local import open_local
from mlbench.protocols import Silence
from mlbench.protocols import Resources
if __name__ == "__main__":
    seconds = 0.5 if sys.argv[3] == "forget" else 30
    answers = open_local(Resources(workers=2), Silence()).map(
        partial(make_failing, Path(sys.argv[2]), seconds), [f"item {number}" for number in range(9)]
    )
    next(answers)
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestResources:
    @pytest.mark.parametrize(
        ("resources", "message"),
        [
            (Resources(address="auto"), "--address auto belongs to --engine ray"),
            (Resources(workers=0), "--workers 0: give at least 1"),
        ],
    )
    def test_what_it_does_not_have_is_refused(self, resources: Resources, message: str) -> None:
        with pytest.raises(EngineError, match=message):
            open_local(resources, Silence())

    def test_each_process_has_its_share_of_processors(self) -> None:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        (first, second) = shares(Resources(threads=3), 2, {})
        assert first == second == dict(zip(names, repeat("3")))
        assert set(shares(Resources(), 10_000, {})[0].values()) == {"1"}
        assert names[0] not in shares(Resources(threads=3), 2, {names[0]: "7"})[0]

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({}, ["0", "1"]),
            ({"CUDA_VISIBLE_DEVICES": "3,5,6"}, ["3", "5"]),
            ({"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}, ["GPU-a", "GPU-b"]),
        ],
    )
    def test_each_process_has_an_accelerator(self, environment: dict[str, str], expected: list[str]) -> None:
        found = shares(Resources(accelerators=True), 2, environment)
        assert [share["CUDA_VISIBLE_DEVICES"] for share in found] == expected

    @pytest.mark.parametrize("visible", ["0", ""])
    def test_too_few_accelerators_are_refused(self, visible: str) -> None:
        with pytest.raises(EngineError, match=r"--workers 2, but CUDA_VISIBLE_DEVICES has [01]: give one worker"):
            shares(Resources(accelerators=True), 2, {"CUDA_VISIBLE_DEVICES": visible})

    def test_the_environment_is_set_in_each_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,2")
        monkeypatch.setenv("OMP_NUM_THREADS", "5")
        monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
        found = open_local(Resources(workers=2, threads=3, accelerators=True), Silence())
        answers = dict(found.map(make_environment, ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]))
        assert answers[0] in ("4", "2")
        assert (answers[1], answers[2]) == ("5", "3")
        assert "MKL_NUM_THREADS" not in os.environ


def test_nothing_that_reads_the_environment_is_loaded_before_it_is_set() -> None:
    program = "import sys, mlbench.evaluation.distributed.serving; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"numpy", "pydantic"}.isdisjoint(done.stdout.split())


def test_it_is_found_by_its_name() -> None:
    assert "local" in names(ENGINES)
    assert load(ENGINES, "local") is open_local
