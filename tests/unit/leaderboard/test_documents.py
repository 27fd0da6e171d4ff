"""Files that are read with suspicion."""

import os
import socket
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from mlbench.errors import RefusedEntry
from mlbench.leaderboard.check_files import canonical, list_folder, read_plain, read_regular, validate

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links and special files are POSIX")


def test_a_regular_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 100)
    assert read_regular(path, 100) == b"a" * 100
    with pytest.raises(RefusedEntry, match="file is larger than"):
        read_regular(path, 99)


@POSIX
def test_nothing_else_is_opened(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("secret")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name in ("link", "pipe", "folder", "socket", "missing"):
            with pytest.raises(RefusedEntry, match=rf"^{name} (is a|cannot be read)"):
                read_regular(tmp_path / name, 100)
    with pytest.raises(RefusedEntry, match="special file"):
        read_regular(Path(os.devnull), 100)


@POSIX
def test_what_is_swapped_for_a_link_or_a_pipe_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = tmp_path / "file", tmp_path / "target"
    target.write_text("secret")
    regular = target.lstat()
    monkeypatch.setattr(Path, "lstat", lambda self: regular)
    path.symlink_to(target)
    with pytest.raises(RefusedEntry, match="cannot be read"):
        read_regular(path, 100)
    path.unlink()
    os.mkfifo(path)
    assert read_regular(path, 100) == b""


def test_a_folder_is_listed_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", ".c"):
        (tmp_path / name).write_text("")
    assert list_folder(tmp_path, 3) == (".c", "a", "b")
    with pytest.raises(RefusedEntry, match="more than 2 files"):
        list_folder(tmp_path, 2)


class Small(BaseModel):
    """Something to read, of which a newer mlbench knows more."""

    values: list[float]
    more: dict[str, float] = {}
    newer: int | None = None


def test_what_a_newer_mlbench_would_add_may_be_missing() -> None:
    assert validate("file", {"values": [0.5, 1.0]}, Small) == Small(values=[0.5, 1.0])


@pytest.mark.parametrize("document", [{"values": [1]}, {"values": [0.5], "more": {"a": 0}}])
def test_a_whole_number_is_no_other(document: dict[str, object]) -> None:
    with pytest.raises(RefusedEntry, match=r"such as 1 for 1\.0"):
        validate("file", document, Small)


def test_a_document_is_read_as_it_is_written() -> None:
    document = {"b": [1, 0.1, None, True, "ö"], "a": {"c": 1e-9}}
    assert read_plain("file", canonical(document)) == document
    assert canonical(document) == canonical(dict(reversed(document.items())))


@pytest.mark.parametrize(
    "content", [b'{"a": 1}', b'{\n "a": 1.50\n}\n', b'{\n "a": "\\u00f6"\n}\n', b'{\n "b": 1,\n "a": 1\n}\n']
)
def test_the_same_written_otherwise_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedEntry, match="file is not written as mlbench writes it"):
        read_plain("file", content)
