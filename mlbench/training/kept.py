"""What is made of training data once, and kept in the cache folder for the next training."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlbench.atomic import remove_leftovers, whole_folder
from mlbench.errors import DataError
from mlbench.files import cache_dir
from mlbench.inventory import TRAINING


def kept_folder(name: str, write: Callable[[Path], None], *, last: str) -> Path:
    """Return the folder called `name`, which `write` fills unless it is there; `last` is the file it writes last.

    That file's time is when the folder was used last. Raises `DataError` where the folder cannot be written, and as
    `write` does.
    """
    folder = cache_dir() / TRAINING / name
    if not (folder / last).is_file():
        remove_leftovers(folder.parent)
        try:
            with whole_folder(folder, last) as unfinished:
                write(unfinished)
        except OSError as error:
            raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
    # A cache that may only be read is no fault.
    with suppress(OSError):
        os.utime(folder / last)
    return folder
