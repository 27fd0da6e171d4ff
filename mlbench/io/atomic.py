"""Files and folders that appear whole or not at all: made beside their place, then renamed into it."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

_SUFFIX = ".tmp"
_LEFTOVER_SECONDS = 24 * 3600


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield where to write what becomes the file at `path`, which is replaced; after an error it is as it was.

    Raises `OSError`, for a missing folder too.
    """
    unfinished = _beside(path)
    try:
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises `OSError`, for a missing folder too."""
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def whole_folder(folder: Path, last: str) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes `folder`; after an error nothing is left of it.

    `last` names the file that is written last: a folder that has it, as another process was faster, may be in use and
    stays; one without it is replaced. Raises `OSError`.
    """
    unfinished = _beside(folder)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not (folder / last).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, which takes the place of `folder` and all that is in it.

    After an error that is as it was. Raises `OSError`.
    """
    unfinished, old = _beside(folder), _beside(folder)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            unfinished.rename(folder)
        except OSError:
            with suppress(FileNotFoundError):
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def is_unfinished(path: Path) -> bool:
    """Say whether a process is making this now, or was killed when it did."""
    return path.name.startswith(".") and path.suffix == _SUFFIX


def is_leftover(path: Path) -> bool:
    """Say whether a killed process left this behind; what is young may belong to a process that is writing now."""
    try:
        return path.suffix == _SUFFIX and path.stat().st_mtime < time.time() - _LEFTOVER_SECONDS
    except FileNotFoundError:
        return False


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in `folder`, as far as that is allowed."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if is_leftover(path):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f".{token_hex(8)}{_SUFFIX}")
