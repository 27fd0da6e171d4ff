"""Reads a file as it is, or one member of a zip file."""

import lzma
import zipfile
import zlib
from pathlib import Path

from mlbench.errors import DataError

_MOST_NAMED = 10


def content_of(path: Path, member: str) -> bytes:
    """Return the bytes of a file, or of the `member` of a zip file, which may lie in a folder there.

    Raises `DataError` for a file that cannot be read or is damaged, and a zip file without such a member.
    """
    try:
        if not zipfile.is_zipfile(path):
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            found = [name for name in names if member and (name == member or name.endswith(f"/{member}"))]
            if not found:
                raise DataError(f"{path} holds no {member or 'named member'}, only {', '.join(names[:_MOST_NAMED])}")
            return archive.read(found[0])
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}): replace it by the original") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
