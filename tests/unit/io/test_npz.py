import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mlbench.errors import InvalidResult
from mlbench.io.untrusted import read_arrays
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import read_ranks

ARRAYS = {"a": np.arange(12, dtype=np.int32).reshape(3, 4), "b": np.array(["x", "zh-hant"]), "c": np.empty((0, 3))}


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def archive(content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "a.npy") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(name, content)
    return buffer.getvalue()


def array(shape: object, data: bytes = b"", dtype: str = "<i4", version: bytes = b"\x01\x00") -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode() + data


def understated(content: bytes, size: int) -> bytes:
    """Return an archive of `content` that states a smaller size in both of its headers."""
    made = archive(content)
    return made.replace(struct.pack("<L", len(content)), struct.pack("<L", size))


def test_reads_what_numpy_wrote(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(**ARRAYS))
    found = read_arrays(tmp_path / "a.npz", ARRAYS, 10_000)
    assert found.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)
    (tmp_path / "none.npz").write_bytes(npz())
    assert read_arrays(tmp_path / "none.npz", [], 0) == {}


LIES = {
    "larger than allowed": (lambda: npz(a=np.zeros(3000)), "would unfold from .* to 24,128 bytes"),
    "a shape of a million million": (lambda: archive(array((10**12,))), "its header says 4,000,000,000,128"),
    "a shape that wraps around": (lambda: archive(array((2**62, 4))), "header says"),
    "a negative shape": (lambda: archive(array((-1, -1), bytes(4))), "header says"),
    "items of no size": (lambda: archive(array((10**12,), dtype="<U0")), "header says 128"),
    "more than its header says": (lambda: archive(array((1,), bytes(400))), "has 528 bytes, its header says 132"),
    "less than its header says": (lambda: archive(array((100,), bytes(4))), "has 132 bytes, its header says 528"),
    "less than it holds": (lambda: understated(array((1000,), bytes(4000)), 132), "Bad CRC"),
    "a header to match": (lambda: understated(array((1,), bytes(4000)), 132), "Bad CRC"),
    "a method that asks for memory": (lambda: archive(array((1,), bytes(4)), zipfile.ZIP_LZMA), "numpy does not use"),
    "objects": (lambda: archive(array((1,), bytes(8), dtype="|O")), "Object arrays cannot be loaded"),
    "another version of npy": (lambda: archive(array((1,), bytes(4), version=b"\x02\x00")), "version"),
    "no array": (lambda: archive(b"text"), "magic"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("make", "says"), LIES.values(), ids=LIES)
def test_a_lie_is_refused_before_memory_is_taken(tmp_path: Path, make: Callable[[], bytes], says: str) -> None:
    (tmp_path / "a.npz").write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, zipfile.BadZipFile), match=says):
            read_arrays(tmp_path / "a.npz", ["a"], 10_000)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for value in (b"\1\0\0\0", b"\2\0\0\0"):
            file.writestr("a.npy", array((1,), value))
    with pytest.raises(ValueError, match=r"its arrays are a\.npy, a\.npy"):
        read_arrays(tmp_path / "a.npz", ["a"], 10_000)


@pytest.mark.slow
def test_a_ranks_file_may_not_unfold_without_measure(tmp_path: Path) -> None:
    names = [field.name for field in fields(Ranks)]
    bomb = npz(**{name: np.zeros((2**22 if name == "ahead" else 0, 8), dtype=np.int32) for name in names})
    (tmp_path / "bomb.ranks.npz").write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(
            InvalidResult,
            match=r"bomb.ranks.npz is not a ranks file: it would unfold from 1\d\d,\d{3} to 134,\d{3},\d{3}",
        ):
            read_ranks(tmp_path / "bomb.ranks.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
