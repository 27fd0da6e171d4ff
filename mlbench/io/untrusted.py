"""Reads zip, npz and JSON files of any origin: what they claim is checked before memory is taken for it."""

import json
import lzma
import math
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from mlbench.errors import DataError
from mlbench.io.atomic import whole_file

LARGEST_MEMBER = 2**28
"""Larger members are refused: no image has so many bytes."""
_OF_MACOS = re.compile(r"(.*/)?(__MACOSX/|\._[^/]*\Z)")
_BLOCK_BYTES = 1 << 20
# Names that are no UTF-8 are value errors, unknown ways of packing and passwords runtime errors.
_DAMAGES = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)
Opening = Callable[[], IO[bytes]]
# LZMA takes the memory that its header asks for; numpy writes these two.
_METHODS = (ZIP_STORED, ZIP_DEFLATED)
# Zeros fold a thousandfold, an archive with real numbers in some of its arrays some forty times.
_MOST_FOLDED = 100
_SPARE = 2**26
LARGEST_NUMBER = 10**15
"""No number of a document may be larger: no count, size or measurement is."""


def unpack(archive: Path, wanted: Mapping[str, Path]) -> Iterator[str]:
    """Write the wanted members of a zip or tar archive (packed in any way) to their files; yield the name of each.

    `wanted` are files by name; a member is known by its path in the archive, or the last parts of it. Of several, the
    one in the fewest folders is taken, then the first, whatever else is wanted. What is not a plain file is passed
    over. Each file appears whole or not at all. Raises `DataError` for an archive that is damaged or none, a member of
    more than `LARGEST_MEMBER` bytes, and a file that cannot be written.
    """
    with _readable(archive), _members(archive) as members:
        for number, name in _chosen([path for path, _, _ in members], wanted):
            path, size, opening = members[number]
            if size > LARGEST_MEMBER:
                raise DataError(f"{archive}: {path} has {size:,} bytes, at most {LARGEST_MEMBER:,} are unpacked")
            _write(opening, wanted[name])
            yield name


def walk_archive(archive: Path, is_read: Callable[[str], bool], largest: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield the path of each plain file in a zip or tar archive, in order, and its content where `is_read` says so.

    What is not a plain file is passed over, and so is what macOS packs beside files (`__MACOSX/`, `._name`). Raises
    `DataError` for an archive that is damaged or none, and for a file of more than `largest` bytes that is to be read.
    """
    with _readable(archive), _members(archive) as members:
        for path, size, opening in members:
            if _OF_MACOS.match(path):
                continue
            if not is_read(path):
                yield path, None
                continue
            with opening() as content:
                # A member may be longer than it says.
                packed = content.read(largest + 1) if size <= largest else b""
            if max(size, len(packed)) > largest:
                raise DataError(f"{archive}: {path} has more than {largest:,} bytes, the most that are read")
            yield path, packed


def read_members(archive: Path, pattern: str = "*") -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each plain file in an archive whose path fits `pattern`, in their order there.

    Raises `DataError` as `walk_archive` does, for files of more than `LARGEST_MEMBER` bytes.
    """
    for path, content in walk_archive(archive, lambda path: fnmatchcase(path, pattern), LARGEST_MEMBER):
        if content is not None:
            yield path, content


@contextmanager
def _members(archive: Path) -> Iterator[list[tuple[str, int, Opening]]]:
    """Give path, size and content of each plain file, in the order in which they lie there."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as members:
            # An empty name may come of damage, and is_dir does not take it.
            files = [info for info in members.infolist() if info.filename and not info.is_dir() and not _is_link(info)]
            yield [(info.filename, info.file_size, partial(members.open, info)) for info in files]
    else:
        with tarfile.open(archive, "r:*") as packed:
            plain = [member for member in packed.getmembers() if member.isreg()]
            _check_end(packed)
            yield [(member.name, member.size, partial(_content, packed, member)) for member in plain]


def _check_end(packed: tarfile.TarFile) -> None:
    """Raise `tarfile.ReadError` where no end mark follows the last member, since tarfile takes a cut for the end.

    What is compressed has checksums and an end of its own.
    """
    if isinstance(packed.fileobj, BufferedReader):
        packed.fileobj.seek(packed.offset)
        if packed.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it is cut short")


def _is_link(info: ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _content(packed: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = packed.extractfile(member)
    assert content is not None
    return content


def _chosen(paths: Sequence[str], wanted: Collection[str]) -> list[tuple[int, str]]:
    """Return the number of the path and the name of each file that is wanted and there, by number."""
    best: dict[str, tuple[int, int]] = {}
    for number, path in enumerate(paths):
        parts = PurePosixPath(path).parts
        for folders in range(len(parts)):
            name = "/".join(parts[folders:])
            if name in wanted:
                best[name] = min(best.get(name, (folders, number)), (folders, number))
    return sorted((number, name) for name, (_, number) in best.items())


def _write(opening: Opening, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with opening() as content, whole_file(target) as path, path.open("wb") as stream:
        # A member may be longer than it says.
        left = LARGEST_MEMBER
        while left > 0 and (block := content.read(min(_BLOCK_BYTES, left))):
            stream.write(block)
            left -= len(block)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Make one kind of error of the many that damaged archives raise."""
    try:
        yield
    except _DAMAGES as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:100].rstrip(":")
        raise DataError(f"{archive} is damaged, or no archive ({reason}): replace it by the original") from error
    except OSError as error:
        where = f" to {error.filename}" if error.filename and error.filename != str(archive) else ""
        raise DataError(f"{archive} cannot be unpacked{where}: {error.strerror or error}") from error


def read_arrays(
    path: Path,
    names: Collection[str],
    largest: int,
    *,
    otherwise: Collection[str] | None = None,
    optional: Collection[str] = (),
) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of an npz file that holds those called `names`, some of the `optional` ones, and no others.

    With `otherwise`, it may hold the arrays of these names in place of those of `names`.

    The sizes that the archive states must be at most `largest` bytes together and no more than honest arrays could be
    folded into it; each must be what its array's own header implies. So nothing is read beyond the one, nor made room
    for beyond the other. Raises `ValueError` where they are not, and what zipfile, zlib and numpy raise for a broken
    file.
    """
    with ZipFile(path) as archive:
        members = archive.infolist()
        found = sorted(member.filename for member in members)
        wanted = [sorted(f"{name}.npy" for name in each) for each in (names, otherwise) if each is not None]
        if sorted(set(found) - {f"{name}.npy" for name in optional}) not in wanted or len(set(found)) < len(found):
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


def parse(content: bytes) -> object:
    """Return what the JSON text in `content` says.

    Raises `ValueError` with one line for what is no JSON, nested too deeply, has a key twice in one object, numbers
    that are none or larger than 10^15, or halves of surrogate pairs.
    """
    try:
        document: object = json.loads(
            content,
            object_pairs_hook=_unique_keys,
            parse_constant=lambda name: _refuse_constant(name),
            parse_int=_int,
            parse_float=_float,
        )
        # Halves of surrogate pairs may be escaped in JSON, but nothing could print or save them again.
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from error
    return document


def check_numbers(value: object) -> None:
    """Raise `ValueError` where a number, in lists and tables too, is one that `parse` would not read again."""
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, list | tuple | ValuesView):
        for each in value:
            check_numbers(each)
    elif isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"must be at most {LARGEST_NUMBER:.0e}, as larger numbers cannot be saved")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return keys


def _int(digits: str) -> int:
    """Return a whole number, or refuse one that no count can be."""
    if len(digits) > len(str(LARGEST_NUMBER)):
        raise ValueError(f"{digits[:20]}... is too large a number")
    return int(digits)


def _float(digits: str) -> float:
    """Return a number, infinity too, or refuse one that is no measurement, and that no sum or scale could bear."""
    number = float(digits)
    if LARGEST_NUMBER < abs(number) < math.inf:
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
