import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest

from mlbench.errors import InternalError, MissingExtra, UserError
from mlbench.training.sweep import work_through

Note = Callable[[str], None]


def make_writer(folder: Path) -> Callable[[str, Note], None]:
    """Return work that leaves a file in `folder`, named for the item and the process.

    Some items fail in their own way; one that is called endless leaves its file and never ends.
    """

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
        note(f"at {item}")
        (folder / f"{item}-{os.getpid()}").touch()
        if item.startswith("endless"):
            threading.Event().wait()

    return work


def processes_of(folder: Path) -> list[int]:
    """Return for each file in `folder` the process that left it."""
    return [int(path.name.rpartition("-")[2]) for path in folder.iterdir()]


def test_every_item_is_done_once_by_as_many_processes(tmp_path: Path) -> None:
    notes: list[str] = []
    items = [f"item {number}" for number in range(7)]
    work = work_through(partial(make_writer, tmp_path), items, processes=2, note=notes.append)
    assert sorted(work) == items
    assert sorted(notes) == [f"at {item}" for item in items]
    found = processes_of(tmp_path)
    assert len(found) == 7
    assert len(set(found)) == 2
    assert os.getpid() not in found


def test_work_may_have_processes_of_its_own(tmp_path: Path) -> None:
    assert list(work_through(partial(make_writer, tmp_path), ["parent"], processes=2, note=print)) == ["parent"]


def test_whoever_stops_listening_ends_all(tmp_path: Path) -> None:
    items = ["first", *(f"endless {number}" for number in range(4))]
    work = work_through(partial(make_writer, tmp_path), items, processes=2, note=print)
    assert next(work) == "first"
    work.close()
    assert not any(map(_runs, processes_of(tmp_path)))
    assert len(list(tmp_path.iterdir())) < len(items)


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
    with pytest.raises(error, match=message):
        list(work_through(partial(make_writer, tmp_path), ["endless", item], processes=2, note=notes.append))
    assert not any(map(_runs, processes_of(tmp_path)))
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
    items = ["endless 1", "endless 2", "third"]
    list(work_through(partial(make_writer, Path(sys.argv[2])), items, processes=2, note=print))
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "out"
    program.write_text(PROGRAM)
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, program, str(Path(__file__).parent), str(folder)])
    while len(children := processes_of(folder)) < 2:
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while any(map(_runs, children)):
        time.sleep(0.05)
    assert processes_of(folder) == children


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
