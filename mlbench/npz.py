"""Reads numpy archives that anybody may have made: what they claim is checked before memory is taken for it."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

# LZMA takes the memory that its header asks for; numpy writes these two.
_METHODS = (ZIP_STORED, ZIP_DEFLATED)
# Zeros fold a thousandfold, an archive with real numbers in some of its arrays some forty times.
_MOST_FOLDED = 100
_SPARE = 2**26


def read_arrays(
    path: Path, names: Collection[str], largest: int, *, optional: Collection[str] = ()
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an npz file that holds those called `names`, some of the `optional` ones, and no others.

    The sizes that the archive states must be at most `largest` bytes together and no more than honest arrays could be
    folded into it; each must be what its array's own header implies. So nothing is read beyond the one, nor made room
    for beyond the other. Raises `ValueError` where they are not, and what zipfile, zlib and numpy raise for a broken
    file.
    """
    with ZipFile(path) as archive:
        members = archive.infolist()
        found = sorted(member.filename for member in members)
        if sorted(set(found) - {f"{name}.npy" for name in optional}) != sorted(f"{name}.npy" for name in names) or (
            len(set(found)) < len(found)
        ):
            raise ValueError(f"its arrays are {', '.join(found) or 'none'}")
        stated = sum(member.file_size for member in members)
        packed = min(sum(member.compress_size for member in members), path.stat().st_size)
        if stated > min(largest, _SPARE + _MOST_FOLDED * packed):
            raise ValueError(f"it would unfold from {packed:,} to {stated:,} bytes")
        for member in members:
            _check(archive, member)
        return {member.filename.removesuffix(".npy"): _read(archive, member) for member in members}


def _check(archive: ZipFile, member: ZipInfo) -> None:
    if member.compress_type not in _METHODS:
        raise ValueError(f"{member.filename} is compressed in a way that numpy does not use")
    with archive.open(member) as stream:
        shape, dtype = _header(stream)
        size = stream.tell() + math.prod(shape) * dtype.itemsize
    # An item of no size would let any number of them pass.
    if size != member.file_size or not dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"{member.filename} has {member.file_size:,} bytes, its header says {size:,}")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = npy.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"npy version {version} is not used here")
    shape, _, dtype = npy.read_array_header_1_0(stream)
    return shape, dtype


def _read(archive: ZipFile, member: ZipInfo) -> NDArray[np.generic]:
    with archive.open(member) as stream:
        array: NDArray[np.generic] = npy.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError(f"{member.filename} goes on after its array")
    return array
