import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mlbench.io.atomic import (
    is_leftover,
    remove_leftovers,
    replaced_folder,
    whole_file,
    whole_folder,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFiles:
    def test_are_replaced(self, tmp_path: Path) -> None:
        for content in (b"one", b"two"):
            write_whole(tmp_path / "file", content)
            assert (tmp_path / "file").read_bytes() == content
        assert names(tmp_path) == ["file"]

    def test_stay_as_they_were_after_an_error(self, tmp_path: Path) -> None:
        write_whole(tmp_path / "file", b"one")
        with suppress(ZeroDivisionError), whole_file(tmp_path / "file") as unfinished:
            unfinished.write_bytes(b"tw")
            assert len(names(tmp_path)) == 2
            raise ZeroDivisionError
        assert (tmp_path / "file").read_bytes() == b"one"
        assert names(tmp_path) == ["file"]

    def test_that_a_full_disk_cuts_are_never_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / "file", b"one")
        assert names(tmp_path) == []

    def test_may_be_read_by_those_whom_the_user_lets(self, tmp_path: Path) -> None:
        before = os.umask(0o027)
        try:
            write_whole(tmp_path / "file", b"one")
        finally:
            os.umask(before)
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640

    def test_need_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            write_whole(tmp_path / "no" / "file", b"one")


class TestFolders:
    def test_appear_with_all_their_files(self, tmp_path: Path) -> None:
        with whole_folder(tmp_path / "above" / "folder", "last") as unfinished:
            (unfinished / "last").write_text("one")
            assert not (tmp_path / "above" / "folder").exists()
        assert names(tmp_path / "above") == ["folder"]
        assert (tmp_path / "above" / "folder" / "last").read_text() == "one"

    def test_leave_nothing_after_an_error(self, tmp_path: Path) -> None:
        with suppress(ZeroDivisionError), whole_folder(tmp_path / "folder", "last") as unfinished:
            (unfinished / "first").write_text("one")
            raise ZeroDivisionError
        assert names(tmp_path) == []

    @pytest.mark.parametrize(("file", "kept"), [("last", "faster"), ("first", "slower")])
    def test_of_a_faster_process_stay_where_they_are_whole(self, tmp_path: Path, file: str, kept: str) -> None:
        folder = tmp_path / "folder"
        with whole_folder(folder, "last") as unfinished:
            (unfinished / "last").write_text("slower")
            folder.mkdir()
            (folder / file).write_text("faster")
        assert (folder / "last").read_text() == kept
        assert names(tmp_path) == ["folder"]


class TestReplacedFolders:
    def test_hold_what_is_new_alone(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            with replaced_folder(tmp_path / "folder") as unfinished:
                (unfinished / name).write_text(name)
        assert names(tmp_path / "folder") == ["two"]
        assert names(tmp_path) == ["folder"]

    def test_stay_as_they_were_after_an_error(self, tmp_path: Path) -> None:
        with replaced_folder(tmp_path / "folder") as unfinished:
            (unfinished / "one").write_text("one")
        with suppress(ZeroDivisionError), replaced_folder(tmp_path / "folder") as unfinished:
            raise ZeroDivisionError
        assert names(tmp_path / "folder") == ["one"]
        assert names(tmp_path) == ["folder"]

    def test_come_back_where_the_new_one_cannot_be_put(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "one").write_text("one")
        with pytest.raises(FileNotFoundError), replaced_folder(tmp_path / "folder") as unfinished:
            unfinished.rmdir()
        assert names(tmp_path / "folder") == ["one"]
        assert names(tmp_path) == ["folder"]


def test_what_killed_processes_left_is_known_by_its_age(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in (".old.tmp", ".young.tmp", "old.json"))
    folder = tmp_path / ".folder.tmp"
    folder.mkdir()
    for path in (old, young, other, folder / "file"):
        path.write_text("")
    for path in (old, other, folder):
        os.utime(path, (0, 0))
    assert [is_leftover(path) for path in (old, young, other, folder)] == [True, False, False, True]
    assert not is_leftover(tmp_path / "gone.tmp")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".young.tmp", "old.json"]
    remove_leftovers(tmp_path / "no folder")
    assert young.stat().st_mtime > time.time() - 60
