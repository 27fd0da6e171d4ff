"""Archives to the byte: as numpy writes them, and everything else."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import RefusedEntry
from mlbench.leaderboard.check_files import check_archive, check_plain

NAMES = ("numbers", "words", "zeros", "noise")
ARRAYS = {
    "numbers": np.arange(600, dtype=np.int32).reshape(30, 20),
    "words": np.array(["ar", "de", "zh"]),
    "zeros": np.zeros(5000, dtype=np.int32),
    "noise": np.random.RandomState(0).randint(-(2**31), 2**31 - 1, 3000).astype(np.int32),
}
LARGEST = 10**6


def saved(**arrays: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


CONTENT = saved(**ARRAYS)


def infos(content: bytes) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return archive.infolist()


def rewritten(
    write: Callable[[zipfile.ZipFile, str, bytes], object],
    comment: bytes = b"",
    order: Callable[[list[str]], list[str]] = list,
    **options: int,
) -> bytes:
    """Write the members of `CONTENT` again with `write`."""
    buffer = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(CONTENT)) as old,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive,  # type: ignore[arg-type]
    ):
        archive.comment = comment
        for name in order(old.namelist()):
            write(archive, name, old.read(name))
    return buffer.getvalue()


def as_numpy(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    with archive.open(name, "w", force_zip64=True) as member:
        member.write(data)


def with_info(**changes: object) -> Callable[[zipfile.ZipFile, str, bytes], None]:
    def write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        for key, value in changes.items():
            setattr(info, key, value)
        with archive.open(info, "w", force_zip64=True) as member:
            member.write(data)

    return write


def repacked(pack: Callable[[bytes, bytes], bytes], name: str = "numbers") -> bytes:
    """Give one member other packed bytes, made of the old ones and what they unfold to, with all sizes put right."""
    out, directory = b"", b""
    for info in infos(CONTENT):
        start = info.header_offset
        length = 30 + len(info.filename) + 20
        packed = CONTENT[start + length : start + length + info.compress_size]
        if info.filename == f"{name}.npy":
            packed = pack(packed, zlib.decompress(packed, -15))
        header = with_packed_size(CONTENT[start : start + length], len(packed))
        entry = bytearray(CONTENT[central(info) : central(info) + 46 + len(info.filename)])
        entry[20:24] = struct.pack("<I", len(packed))
        entry[42:46] = struct.pack("<I", len(out))
        out += header + packed
        directory += bytes(entry)
    end = bytearray(CONTENT[-22:])
    end[12:20] = struct.pack("<II", len(directory), len(out))
    return out + directory + bytes(end)


def with_packed_size(header: bytes, size: int) -> bytes:
    """Return a member's header with another size of what is packed, in each place where this Python writes it."""
    before = header[:18] + struct.pack("<I", size) if header[18:22] != b"\xff" * 4 else header[:22]
    return before + header[22:-8] + struct.pack("<Q", size)


def central(info: zipfile.ZipInfo) -> int:
    """Return where the directory speaks of a member."""
    return CONTENT.index(b"PK\x01\x02", CONTENT.index(info.filename.encode(), len(CONTENT) - 400) - 46)


def deflated(data: bytes, level: int) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


def trailing_bits(packed: bytes, data: bytes) -> bytes:
    """Set the last bit that a reader passes over; there is one in what is packed here."""
    spoiled = packed[:-1] + bytes([packed[-1] | 0x80])
    assert spoiled != packed
    assert zlib.decompress(spoiled, -15) == data
    return spoiled


def replaced(old: bytes, new: bytes, start: int = 0) -> bytes:
    place = CONTENT.index(old, start)
    return CONTENT[:place] + new + CONTENT[place + len(old) :]


HOSTILE = {
    "a comment": rewritten(as_numpy, comment=b"hello"),
    "something in front": b"#!/bin/sh\n" + CONTENT,
    "something behind": CONTENT + b"\0",
    "another order": rewritten(as_numpy, order=lambda names: names[::-1]),
    "a member less": rewritten(as_numpy, order=lambda names: names[:-1]),
    "a member twice": saved(**ARRAYS, more=ARRAYS["words"]),
    "a date": rewritten(with_info(date_time=(2001, 2, 3, 4, 5, 6))),
    "a member's comment": rewritten(with_info(comment=b"hello")),
    "other rights": rewritten(with_info(external_attr=0o777 << 16)),
    "a folder's mark": rewritten(with_info(external_attr=0x10)),
    "another system": rewritten(with_info(create_system=7)),
    "an extra field": rewritten(with_info(extra=b"\x99\x99\x04\x00abcd")),
    "a zip of another hand": rewritten(lambda archive, name, data: archive.writestr(name, data)),
    "stored": rewritten(with_info(compress_type=zipfile.ZIP_STORED)),
    "packed with LZMA": rewritten(with_info(compress_type=zipfile.ZIP_LZMA)),
    "encrypted, it says": CONTENT[:6] + b"\x01\x00" + CONTENT[8:],
    "a version of another time": CONTENT[:4] + b"\x0a\x00" + CONTENT[6:],
    "a name in the directory alone": replaced(b"words", b"sword", len(CONTENT) - 400),
    "bytes behind the packed data": repacked(lambda packed, data: packed + b"hidden"),
    "bits behind the packed data": repacked(trailing_bits),
    "packed data cut short": repacked(lambda packed, data: packed[:-1]),
    "nothing packed": repacked(lambda packed, data: b""),
    "more data": repacked(lambda packed, data: deflated(data + b"\0", 6)),
    "less data": repacked(lambda packed, data: deflated(data[:-1], 6)),
    "other data": repacked(lambda packed, data: deflated(data[:-1] + b"\x09", 6)),
    "no zip": b"PK" * 500,
    "nothing": b"",
}


def test_what_numpy_writes_is_taken() -> None:
    check_archive(CONTENT, NAMES, LARGEST)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_whatever_else_stands_in_an_archive_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedEntry) as raised:
        check_archive(content, NAMES, LARGEST)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_how_an_array_is_deflated_is_free(level: int) -> None:
    check_archive(repacked(lambda packed, data: deflated(data, level)), NAMES, LARGEST)


def test_a_bomb_is_refused_by_what_its_header_says() -> None:
    content = saved(numbers=np.zeros(10**6, dtype=np.int32))
    with pytest.raises(RefusedEntry, match="larger than those of the accepted task"):
        check_archive(content, ["numbers"], LARGEST)


@pytest.mark.slow
def test_a_bomb_that_lies_unfolds_no_further_than_it_says() -> None:
    packed = deflated(bytes(2**28), 9)
    content = with_packed_size(saved(numbers=ARRAYS["numbers"])[: 30 + 11 + 20], len(packed)) + packed
    with pytest.raises(RefusedEntry, match="what numbers unfolds to"):
        check_archive(bytes(content), ["numbers"], LARGEST)


def by_another_python(content: bytes) -> bytes:
    """Write headers as Python does on the other side of 3.11.4: with sizes in one place more, or one less."""
    older = content[4:6] == struct.pack("<H", 45)
    version, changed = struct.pack("<H", 20 if older else 45), bytearray(content)
    for info in infos(content):
        start, entry = info.header_offset, central(info)
        sizes = struct.pack("<II", info.compress_size, info.file_size) if older else b"\xff" * 8
        changed[start + 4 : start + 6], changed[start + 18 : start + 26] = version, sizes
        changed[entry + 4 : entry + 5] = changed[entry + 6 : entry + 7] = version[:1]
    return bytes(changed)


def test_what_another_python_writes_passes() -> None:
    other = by_another_python(CONTENT)
    assert other != CONTENT
    check_archive(other, NAMES, LARGEST)
    assert by_another_python(other) == CONTENT


@given(st.data())
def test_any_changed_byte_is_refused_or_lies_within_packed_data(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(CONTENT) - 1))
    spoiled = bytearray(CONTENT)
    spoiled[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        check_archive(bytes(spoiled), NAMES, LARGEST)
    except RefusedEntry:
        return
    # Some bits of deflated data say nothing: what they unfold to is the same.
    starts = [info.header_offset + 30 + len(info.filename) + 20 for info in infos(CONTENT)]
    assert any(start <= place < start + info.compress_size for start, info in zip(starts, infos(CONTENT), strict=True))
    with np.load(BytesIO(bytes(spoiled))) as arrays:
        assert all((arrays[name] == ARRAYS[name]).all() for name in NAMES)


def npy(array: np.ndarray, **header: object) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    content = buffer.getvalue()
    for old, new in header.items():
        content = content.replace(old.encode(), str(new).encode())
    return content


@pytest.mark.parametrize("name", NAMES)
def test_the_members_that_numpy_writes_are_plain(name: str) -> None:
    check_plain(name, npy(ARRAYS[name]), ARRAYS[name])


OTHERWISE = {
    "64 bits": npy(ARRAYS["numbers"].astype(np.int64)),
    "the other end first": npy(ARRAYS["numbers"].astype(">i4")),
    "columns first": npy(np.asfortranarray(ARRAYS["numbers"])),
    "wide texts": npy(ARRAYS["words"].astype("<U9")),
    "other blanks in the header": npy(ARRAYS["words"]).replace(b"', ", b"' ,", 1),
    "a header of more blanks": b"\x93NUMPY\x01\x00\xb6\x00"
    + npy(ARRAYS["words"])[10:127]
    + b" " * 64
    + npy(ARRAYS["words"])[127:],
}


@pytest.mark.parametrize("content", OTHERWISE.values(), ids=OTHERWISE)
def test_the_same_array_written_otherwise_is_refused(content: bytes) -> None:
    array = np.lib.format.read_array(BytesIO(content))
    with pytest.raises(RefusedEntry, match="not as numpy writes it"):
        check_plain("words", content, array)
