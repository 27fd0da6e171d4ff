"""Where mlbench keeps files between runs, and whether it may reach the network."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_dir

from mlbench.errors import DataError
from mlbench.io.atomic import remove_leftovers, whole_folder

_OFFLINE = ("MLBENCH_OFFLINE", "HF_HUB_OFFLINE")
CHECKS = "checks"
"""The folder in the cache folder where it is kept which files of a leaderboard passed its checks."""
GRAPHS = "graphs"
"""The folder in the cache folder where what was made of checkpoints for other libraries is kept, each in its own."""
PROBES = "probes"
"""The folder in the cache folder where what models behind HTTP answered first is kept, to know them again."""
STREAMS = "streams"
"""The folder in the cache folder where runs leave what they have counted of corpora that are read shard by shard."""
TRAINING = "training"
"""The folder in the cache folder where trainings keep what they make of their data, each thing in its own folder."""


def cache_dir() -> Path:
    """Return the cache folder: `$MLBENCH_CACHE`, else the platform's; it need not exist."""
    return Path(os.environ.get("MLBENCH_CACHE") or user_cache_dir("mlbench", appauthor=False)).expanduser()


def offline() -> bool:
    """Say whether `$MLBENCH_OFFLINE` or `$HF_HUB_OFFLINE` forbids downloads."""
    return any(os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"} for name in _OFFLINE)


def kept_folder(name: str, write: Callable[[Path], None], *, last: str, kind: str = TRAINING) -> Path:
    """Return the folder called `name`, which `write` fills unless it is there; `last` is the file it writes last.

    It lies in the folder of its `kind`. That file's time is when it was used last. Raises `DataError` where the folder
    cannot be written, and as `write` does.
    """
    folder = cache_dir() / kind / name
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
