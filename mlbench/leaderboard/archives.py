"""The archive of a ranks file to the byte: nothing stands in it but what numpy writes for its arrays.

Any zip reader passes over comments, gaps, extra fields and what follows the end; a submission could carry anything
there. What is left to choose is how an array is deflated, since libraries differ in that.
"""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlbench.errors import RefusedEntry

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_SIZES = struct.Struct("<HHQQ")
_DEFLATED, _TIME, _FIRST_OF_1980, _READ_WRITE = 8, 0, 0x21, 0o600 << 16
# In a member's header, from Python 3.11.4 on: its sizes stand in the field behind its name alone. Before, they stand in
# both, and an older version is asked for.
_ELSEWHERE = 2**32 - 1
_VERSION, _OLDER_VERSION = 45, 20
_SYSTEMS = (3, 0)
_CHUNK = 2**20


def check_archive(content: bytes, names: Sequence[str], largest: int) -> None:
    """Refuse an npz file that is not, to the byte, an archive of the arrays called `names` in this order.

    The arrays may take `largest` bytes together. Raises `RefusedEntry`.
    """
    offset, directory = 0, []
    version = _OLDER_VERSION if content[4:6] == struct.pack("<H", _OLDER_VERSION) else _VERSION
    for name in names:
        member = f"{name}.npy".encode()
        start = offset + _LOCAL.size + len(member) + _SIZES.size
        header = content[offset:start]
        if len(header) < start - offset:
            raise RefusedEntry(f"it ends before {name}")
        crc = _LOCAL.unpack_from(header)[6]
        _, _, size, packed = _SIZES.unpack_from(header, len(header) - _SIZES.size)
        if max(size, packed) >= _ELSEWHERE or header != _local(version, member, crc, size, packed):
            raise RefusedEntry(f"the header of {name} is not as numpy writes it")
        largest -= size
        if largest < 0:
            raise RefusedEntry(f"its arrays are larger than those of the accepted task: {name} takes {size:,} bytes")
        _check_packed(name, content[start : start + packed], packed, size, crc)
        directory.append((member, crc, size, packed, offset))
        offset = start + packed
    if content[offset:] not in [_directory(directory, offset, version, system) for system in _SYSTEMS]:
        raise RefusedEntry("its directory is not as numpy writes it, or something follows the end")


def check_plain(name: str, content: bytes, array: NDArray[np.generic]) -> None:
    """Refuse a member that is not, to the byte, what numpy writes for `array`; raises `RefusedEntry`."""
    plain: NDArray[np.generic]
    if array.dtype.kind == "U":
        plain = np.array(array.tolist(), dtype=np.str_)
    elif array.dtype.kind == "f":
        # What is no number could hold anything in bits that nobody reads.
        plain = np.where(np.isnan(array), np.float32(np.nan), array).astype(np.float32)
    else:
        plain = np.ascontiguousarray(array, dtype=np.int32)
    buffer = BytesIO()
    npy.write_array(buffer, plain, allow_pickle=False)
    if buffer.getvalue() != content:
        raise RefusedEntry(f"{name} is not as numpy writes it: 32-bit numbers, or texts no wider than the longest")


def _local(version: int, member: bytes, crc: int, size: int, packed: int) -> bytes:
    sizes = (packed, size) if version == _OLDER_VERSION else (_ELSEWHERE, _ELSEWHERE)
    fixed = (version, 0, _DEFLATED, _TIME, _FIRST_OF_1980, crc, *sizes, len(member), _SIZES.size)
    return _LOCAL.pack(b"PK\x03\x04", *fixed) + member + _SIZES.pack(1, 16, size, packed)


def _directory(members: Sequence[tuple[bytes, int, int, int, int]], start: int, version: int, system: int) -> bytes:
    entries = b"".join(
        _CENTRAL.pack(
            b"PK\x01\x02",
            *(version | system << 8, version, 0, _DEFLATED, _TIME, _FIRST_OF_1980, crc, packed, size),
            *(len(member), 0, 0, 0, 0, _READ_WRITE, offset),
        )
        + member
        for member, crc, size, packed, offset in members
    )
    return entries + _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(entries), start, 0)


def _check_packed(name: str, packed: bytes, length: int, size: int, crc: int) -> None:
    """Refuse deflated data that does not unfold to `size` bytes with this checksum, or goes on after its end."""
    broken = RefusedEntry(f"what {name} unfolds to is not what its header says")
    if len(packed) != length or not length:
        raise broken
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found, check = _unfold(stream, packed[:-1], size)
        last = packed[-1]
        end = _finish(stream, last, size - found + 1)
    except zlib.error as error:
        raise broken from error
    if end is None or found + len(end) != size or zlib.crc32(end, check) != crc:
        raise broken
    # A reader passes over the bits behind the end of the data, from the highest one down to the first that matters.
    for bit in reversed(range(8)):
        if _finish(stream, last ^ 1 << bit, size - found + 1) != end:
            break
        if last >> bit & 1:
            raise RefusedEntry(f"something stands behind the end of {name}")


def _unfold(stream: "zlib._Decompress", packed: bytes, size: int) -> tuple[int, int]:
    """Return how many bytes `packed` unfolds to and their checksum, at most about `size` and a chunk."""
    found, check, left = 0, 0, packed
    while found <= size:
        part = stream.decompress(left, _CHUNK)
        left = stream.unconsumed_tail
        found, check = found + len(part), zlib.crc32(part, check)
        if not part and not left:
            break
    if found > size or stream.eof:
        raise zlib.error("it unfolds to more, or ends before its last byte")
    return found, check


def _finish(stream: "zlib._Decompress", last: int, most: int) -> bytes | None:
    """Return what the last byte adds, in at most `most` bytes; None where the data does not end in it."""
    copy = stream.copy()
    try:
        part = copy.decompress(bytes([last]), most)
    except zlib.error:
        return None
    return part if copy.eof and not copy.unused_data else None
