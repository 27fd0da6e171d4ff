"""Folders that one process at a time changes."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from mlbench.io.lock import locked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="folders are locked as POSIX does")

HOLDER = dedent("""
    import sys
    from pathlib import Path

    from mlbench.io.lock import locked

    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
        Path(sys.argv[1], "done").touch()
""")


@pytest.mark.parametrize("killed", [False, True])
def test_another_process_is_waited_for_until_it_ends(tmp_path: Path, killed: bool) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
            raise AssertionError
        if killed:
            other.kill()
        else:
            other.stdin.close()
        with locked(tmp_path):
            assert (tmp_path / "done").exists() != killed


def test_a_folder_is_held_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "nothing"):
        pass
