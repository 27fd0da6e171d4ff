import io
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import DataError
from mlbench.io import untrusted
from mlbench.io.untrusted import read_members, unpack
from mlbench.tasks.readers.captions import content_of

Members = dict[str, bytes]
Packing = Callable[[Path, Members], Path]

MEMBERS = {"val2014/a.jpg": b"A" * 100, "val2014/b.jpg": b"B", "deep/er/c.jpg": b"C", "README": b"readme"}


def zipped(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, members: Members, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def xz_tar(path: Path, members: Members) -> Path:
    return tarred(path, members, "w:xz")


def lzma_zip(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def plain_tar(path: Path, members: Members) -> Path:
    return tarred(path, members, "w")


both = pytest.mark.parametrize("pack", [zipped, tarred, plain_tar])


def wanted(folder: Path, *names: str) -> dict[str, Path]:
    return {name: folder / "out" / name for name in names}


@both
def test_what_is_wanted_is_written_and_nothing_else(tmp_path: Path, pack: Packing) -> None:
    archive = pack(tmp_path / "archive", MEMBERS)
    names = unpack(archive, wanted(tmp_path, "b.jpg", "er/c.jpg", "absent.jpg"))
    assert sorted(names) == ["b.jpg", "er/c.jpg"]
    written = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert written == {"b.jpg", "er/c.jpg"}
    assert (tmp_path / "out" / "er" / "c.jpg").read_bytes() == b"C"
    assert list(unpack(archive, {})) == []


@both
def test_no_member_writes_anywhere_else(tmp_path: Path, pack: Packing) -> None:
    evil = {"../../evil.jpg": b"1", "/evil.jpg": b"2", "x/../evil.jpg": b"3", "C:\\evil.jpg": b"4"}
    archive = pack(tmp_path / "archive", evil)
    assert list(unpack(archive, wanted(tmp_path, "evil.jpg"))) == ["evil.jpg"]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == [archive, tmp_path / "out" / "evil.jpg"]
    assert not (tmp_path.parent / "evil.jpg").exists()
    assert not Path("/evil.jpg").exists()


def test_links_folders_and_devices_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("x/a.jpg")
            info.type, info.linkname = kind, str(tmp_path / "secret")
            packed.addfile(info)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("x/a.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(tmp_path / "secret"))
        archive.writestr("a.jpg/", b"")
    for name in ("a.tar", "a.zip"):
        assert list(unpack(tmp_path / name, wanted(tmp_path, "a.jpg"))) == []
    assert not (tmp_path / "out").exists()


@both
def test_a_repeated_member_is_taken_once(tmp_path: Path, pack: Packing) -> None:
    archive = pack(tmp_path / "archive", {"one/a.jpg": b"1", "two/a.jpg": b"2"})
    assert list(unpack(archive, wanted(tmp_path, "a.jpg"))) == ["a.jpg"]
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"1"


@both
@pytest.mark.parametrize(
    ("name", "expected"), [("a.jpg", b"2"), ("two/a.jpg", b"1"), ("one/two/a.jpg", b"1"), ("o/a.jpg", None)]
)
def test_what_a_name_is_given_does_not_depend_on_the_others(
    tmp_path: Path, pack: Packing, name: str, expected: bytes | None
) -> None:
    archive = pack(tmp_path / "archive", {"one/two/a.jpg": b"1", "three/a.jpg": b"2", "four/a.jpg": b"3"})
    for others in ((), ("a.jpg", "two/a.jpg", "four/a.jpg")):
        done = set(unpack(archive, wanted(tmp_path, name, *others)))
        assert done == {*others} | ({name} if expected else set())
        assert expected is None or (tmp_path / "out" / name).read_bytes() == expected


@both
def test_a_member_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Packing) -> None:
    archive = pack(tmp_path / "archive", {"a.jpg": bytes(1001)})
    monkeypatch.setattr(untrusted, "LARGEST_MEMBER", 1000)
    with pytest.raises(DataError, match=r"a\.jpg has 1,001 bytes, at most 1,000 are unpacked"):
        list(unpack(archive, wanted(tmp_path, "a.jpg")))
    assert not (tmp_path / "out").exists()


@both
def test_damage_is_one_line_and_leaves_no_half_file(tmp_path: Path, pack: Packing) -> None:
    content = pack(tmp_path / "whole", {"a.jpg": bytes(range(256)) * 4000, "b.jpg": b"B"}).read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 300):
        (tmp_path / "cut").write_bytes(content[:cut])
        names = wanted(tmp_path, "a.jpg")
        done, said = [], ""
        try:
            done = list(unpack(tmp_path / "cut", names))
        except DataError as error:
            said = str(error)
        assert bool(done) != said.startswith(f"{tmp_path / 'cut'} is damaged, or no archive (")
        assert "\n" not in said
        there = names["a.jpg"].is_file()
        assert there == bool(done)
        assert not there or names["a.jpg"].read_bytes() == bytes(range(256)) * 4000
        names["a.jpg"].unlink(missing_ok=True)
        assert not list(tmp_path.rglob("*.tmp"))


def test_a_member_without_a_name_is_passed_over(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.jpg": b"A"})
    with zipfile.ZipFile(archive, "a") as writing:
        writing.writestr(zipfile.ZipInfo(""), b"nothing")
    assert list(read_members(archive)) == [("a.jpg", b"A")]


@pytest.mark.parametrize("length", [512, 1024, 1100, 1536, 2048, 2060])
def test_a_tar_file_that_is_cut_is_damaged_and_not_shorter(tmp_path: Path, length: int) -> None:
    archive = plain_tar(tmp_path / "a.tar", dict.fromkeys(("a", "b", "c"), b"x" * 100))
    assert len(list(read_members(archive))) == 3
    archive.write_bytes(archive.read_bytes()[:length])
    with pytest.raises(DataError, match="is damaged, or no archive"):
        list(read_members(archive))


def test_a_tar_file_with_a_damaged_header_is_damaged_and_not_shorter(tmp_path: Path) -> None:
    archive = plain_tar(tmp_path / "a.tar", dict.fromkeys(("a", "b", "c"), b"x" * 100))
    content = bytearray(archive.read_bytes())
    content[1024:1026] = b"??"
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is damaged, or no archive"):
        list(read_members(archive))


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_damage_is_found_or_harmless(tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    folder = tmp_path_factory.mktemp("damage")
    for pack in (zipped, tarred):
        content = bytearray(pack(folder / "archive", MEMBERS).read_bytes())
        content[place % len(content)] = byte
        (folder / "archive").write_bytes(content)
        names = wanted(folder, "a.jpg")
        try:
            done = list(unpack(folder / "archive", names))
        except DataError:
            continue
        assert not done or names["a.jpg"].is_file()


@pytest.mark.parametrize("pack", [xz_tar, lzma_zip])
def test_damage_to_what_lzma_packed_is_one_line(tmp_path: Path, pack: Packing) -> None:
    content = bytearray(pack(tmp_path / "archive", {"a.jpg": random.Random(0).randbytes(100_000)}).read_bytes())
    for place in (60, len(content) // 2):
        content[place] ^= 255
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(DataError, match="archive is damaged, or no archive"):
        list(unpack(tmp_path / "archive", wanted(tmp_path, "a.jpg")))
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_name_that_is_no_text_is_damage(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"\u00e9.jpg": b"A"})
    archive.write_bytes(archive.read_bytes().replace("\u00e9".encode(), b"\xff\xfe"))
    with pytest.raises(DataError, match=r"a\.zip is damaged, or no archive"):
        list(unpack(archive, wanted(tmp_path, "a.jpg")))
    with pytest.raises(DataError, match=r"a\.zip is damaged"):
        content_of(archive, "captions.jsonl")


def test_an_encrypted_archive_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.jpg": b"A"})
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(DataError, match=r"a\.zip cannot be unpacked") as caught:
        list(unpack(archive, wanted(tmp_path, "a.jpg")))
    assert str(tmp_path / "out") in str(caught.value)
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is damaged, or no archive"):
        list(unpack(archive, {"a.jpg": tmp_path / "a.jpg"}))


@both
def test_what_macos_packs_beside_files_is_passed_over(pack: Packing, tmp_path: Path) -> None:
    members = {"__MACOSX/set/._en.tsv": b"\x00", "set/._en.tsv": b"\x00", "set/en.tsv": b"a", "._x": b"", "_.tsv": b"b"}
    found = read_members(pack(tmp_path / "archive", members))
    assert dict(found) == {"set/en.tsv": b"a", "_.tsv": b"b"}
