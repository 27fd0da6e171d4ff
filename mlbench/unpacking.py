"""Takes single files out of zip and tar archives, and nothing else: no link, and nowhere but where it is asked for."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from mlbench.atomic import whole_file
from mlbench.errors import DataError

LARGEST_MEMBER = 2**28
"""Larger members are refused: no image has so many bytes."""

_BLOCK_BYTES = 1 << 20
# Names that are no UTF-8 are value errors, unknown ways of packing and passwords runtime errors.
_DAMAGES = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)

Opening = Callable[[], IO[bytes]]


def unpack(archive: Path, wanted: Mapping[str, Path]) -> Iterator[str]:
    """Write the wanted members of a zip or tar archive (packed in any way) to their files; yield the name of each.

    `wanted` are files by name; a member is known by its path in the archive, or the last parts of it. What is not a
    plain file is passed over, and so are repetitions. Each file appears whole or not at all. Raises `DataError` for an
    archive that is damaged or none, a member of more than `LARGEST_MEMBER` bytes, and a file that cannot be written.
    """
    waiting = dict(wanted)
    with _readable(archive):
        for path, size, opening in _members(archive):
            name = _name_of(path, waiting)
            if name is None:
                continue
            if size > LARGEST_MEMBER:
                raise DataError(f"{archive}: {path} has {size:,} bytes, at most {LARGEST_MEMBER:,} are unpacked")
            _write(opening, waiting.pop(name))
            yield name
            if not waiting:
                return


def _members(archive: Path) -> Iterator[tuple[str, int, Opening]]:
    """Yield path, size and content of each plain file, in the order in which they lie there."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as members:
            for info in members.infolist():
                if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16):
                    yield info.filename, info.file_size, lambda info=info: members.open(info)  # type: ignore[misc]
    else:
        with tarfile.open(archive, "r:*") as packed:
            for member in packed:
                content = packed.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield member.name, member.size, lambda content=content: content  # type: ignore[misc]


def _name_of(path: str, wanted: Mapping[str, Path]) -> str | None:
    """Return the longest end of `path` that is wanted."""
    parts = PurePosixPath(path).parts
    ends = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((end for end in ends if end in wanted), None)


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
