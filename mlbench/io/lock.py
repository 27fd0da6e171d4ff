"""Folders that one process at a time changes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Wait until nobody else holds a folder, and hold it; it is let go when the process ends, however it ends.

    Where folders cannot be locked, as on Windows, nobody is waited for. Raises `OSError` for a folder that cannot be
    opened, and without `wait` `BlockingIOError` for one that somebody else holds.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            # Some file systems have no locks.
            pass
        yield
    finally:
        os.close(handle)
