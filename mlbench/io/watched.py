"""Files that must stay as they are while a run uses what was read from them."""

from collections.abc import Iterable
from pathlib import Path

from mlbench.errors import RetrieverError


class WatchedFiles:
    """Files as they are when they are first seen, before they are read; links count as what they lead to."""

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._states = {path: _state(path) for path in paths}

    def check(self) -> None:
        """Raise `RetrieverError`, naming the file, where one has been replaced, written to or removed since."""
        for path, state in self._states.items():
            if _state(path) != state:
                raise RetrieverError(
                    f"{path} has been changed while it was in use: start the run again when nothing writes to it"
                )


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
