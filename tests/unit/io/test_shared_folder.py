"""Files that are written to a folder beside those of others."""

import json
from pathlib import Path

import pytest

from mlbench.errors import UserError
from mlbench.io.shared_folder import MANIFEST, write_files

PAGES = {"index.html": b"one", "entries/ours.html": b"two", "entries/twin.html": b"three"}


def held(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del found[MANIFEST]
    return found


@pytest.mark.parametrize("parts", [("site",), ("deep", "down", "site")])
def test_makes_the_folder(tmp_path: Path, parts: tuple[str, ...]) -> None:
    folder = tmp_path.joinpath(*parts)
    write_files(folder, PAGES)
    assert held(folder) == PAGES


def test_files_of_others_stay(tmp_path: Path) -> None:
    others = {"CNAME": b"board.example.org", ".git/HEAD": b"ref: main", "entries/notes.txt": b"mine"}
    for name, content in others.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    write_files(tmp_path, PAGES)
    assert held(tmp_path) == PAGES | others
    write_files(tmp_path, {"index.html": b"new"})
    assert held(tmp_path) == {"index.html": b"new"} | others
    write_files(tmp_path, {})
    assert held(tmp_path) == others


def test_what_is_no_longer_written_is_removed_with_its_folder(tmp_path: Path) -> None:
    write_files(tmp_path, PAGES)
    write_files(tmp_path, {"index.html": b"one"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", MANIFEST]


def test_what_somebody_changed_is_not_removed(tmp_path: Path) -> None:
    write_files(tmp_path, PAGES)
    (tmp_path / "entries" / "ours.html").write_text("edited")
    write_files(tmp_path, {"index.html": b"one"})
    assert held(tmp_path) == {"index.html": b"one", "entries/ours.html": b"edited"}


@pytest.mark.parametrize("name", ["index.html", "entries", "entries/twin.html", "entries/twin.html/inner", "."])
def test_what_is_in_the_way_is_not_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "site" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("years of work")
    with pytest.raises(UserError, match="mlbench did not write it"):
        write_files(tmp_path / "site", PAGES)
    assert [each.read_text() for each in tmp_path.rglob("*") if each.is_file()] == ["years of work"]


def test_a_file_that_is_already_as_it_should_be_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(b"one")
    write_files(tmp_path, PAGES)
    assert held(tmp_path) == PAGES


def test_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    write_files(tmp_path, PAGES)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_files(tmp_path, PAGES)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "elsewhere").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "entries").symlink_to(tmp_path / "real" / "elsewhere")
    write_files(tmp_path / "link", PAGES)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "entries").is_symlink()
    assert (tmp_path / "real" / "elsewhere" / "twin.html").read_bytes() == b"three"
    write_files(tmp_path / "link", {})
    assert (tmp_path / "real" / "entries").is_symlink()
    assert not list((tmp_path / "real" / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["../precious", "/precious", "entries/../../precious"])
def test_a_manifest_removes_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_bytes(b"one")
    folder = tmp_path / "site"
    write_files(folder, PAGES)
    listed = json.loads((folder / MANIFEST).read_text())
    absolute = f"{tmp_path}{name}" if name.startswith("/") else name
    listed["files"][absolute] = listed["files"]["index.html"]
    (folder / MANIFEST).write_text(json.dumps(listed))
    write_files(folder, {})
    assert (tmp_path / "precious").read_bytes() == b"one"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": []}', '{"files": {"index.html": 3}}'])
def test_a_manifest_that_is_none_lists_nothing(tmp_path: Path, content: str) -> None:
    write_files(tmp_path, PAGES)
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(UserError, match=r"index\.html is there"):
        write_files(tmp_path, {"index.html": b"new"})


def test_what_an_interrupted_call_wrote_is_known_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"about.html": b"old"})
    written: list[Path] = []

    def write(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        path.write_bytes(content)

    with monkeypatch.context() as patched:
        patched.setattr("mlbench.io.shared_folder.write_whole", write)
        with pytest.raises(KeyboardInterrupt):
            write_files(tmp_path, PAGES)
    assert [path.name for path in written] == [MANIFEST, "index.html"]
    write_files(tmp_path, {"index.html": b"new"})
    assert held(tmp_path) == {"index.html": b"new"}
