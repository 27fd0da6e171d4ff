import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from mlbench.errors import InternalError, MissingExtra, UserError
from mlbench.training.sweep import work_through

Note = Callable[[str], None]


def make_writer(folder: Path, seconds: float = 0.0) -> Callable[[str, Note], None]:
    """Return work that writes the item's name with the process into `folder`; some items fail in their own way."""

    def work(item: str, note: Note) -> None:
        if item == "fault":
            raise MissingExtra("trees", "forest")
        if item == "error":
            raise ZeroDivisionError("by nought")
        if item == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "parent":
            child = get_context("spawn").Process(target=time.sleep, args=(0,))
            child.start()
            child.join()
        time.sleep(seconds)
        note(f"at {item}")
        (folder / item).write_text(str(os.getpid()))

    return work


def test_every_item_is_done_once_by_as_many_processes(tmp_path: Path) -> None:
    notes: list[str] = []
    items = [f"item {number}" for number in range(7)]
    work = work_through(partial(make_writer, tmp_path, 0.1), items, processes=2, note=notes.append)
    assert sorted(work) == items
    assert sorted(notes) == [f"at {item}" for item in items]
    processes = {path.read_text() for path in tmp_path.iterdir()}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    assert len(list(tmp_path.iterdir())) == 7


def test_work_may_have_processes_of_its_own(tmp_path: Path) -> None:
    assert list(work_through(partial(make_writer, tmp_path), ["parent"], processes=2, note=print)) == ["parent"]


def test_whoever_stops_listening_ends_all(tmp_path: Path) -> None:
    items = [f"item {number}" for number in range(6)]
    work = work_through(partial(make_writer, tmp_path, 0.5), items, processes=2, note=print)
    next(work)
    work.close()
    done = {path.name for path in tmp_path.iterdir()}
    time.sleep(1)
    assert {path.name for path in tmp_path.iterdir()} == done < set(items)


def test_nothing_to_do_starts_no_process(tmp_path: Path) -> None:
    assert list(work_through(partial(make_writer, tmp_path), [], processes=2, note=print)) == []


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("fault", UserError, r"trees need: pip install 'mlbench\[forest\]'"),
        ("error", InternalError, "ZeroDivisionError: by nought"),
        ("death", UserError, "a process died .*fewer --jobs"),
    ],
)
def test_the_first_failure_ends_all(tmp_path: Path, item: str, error: type[Exception], message: str) -> None:
    notes: list[str] = []
    begin = time.monotonic()
    with pytest.raises(error, match=message):
        list(work_through(partial(make_writer, tmp_path, 20), [item, "slow"], processes=2, note=notes.append))
    assert time.monotonic() - begin < 15
    assert not (tmp_path / "slow").exists()
    # The traceback of an error of ours is not lost.
    assert ("Traceback" in "".join(notes)) == (item == "error")


PROGRAM = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_workers import make_writer
from mlbench.training.sweep import work_through
if __name__ == "__main__":
    list(work_through(partial(make_writer, Path(sys.argv[2]), 3), ["one", "two", "three"], processes=2, note=print))
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "out"
    program.write_text(PROGRAM)
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, program, str(Path(__file__).parent), str(folder)])
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    children = [int(path.read_text()) for path in folder.iterdir()]
    assert len(children) == 2
    parent.kill()
    parent.wait()
    while any(_runs(child) for child in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(_runs(child) for child in children)
    assert len(list(folder.iterdir())) == 2


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
