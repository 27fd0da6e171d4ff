"""What a stream has done so far, on disk, so that a run that was killed goes on where it was."""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.io.atomic import remove_leftovers, write_whole
from mlbench.io.cache import STREAMS
from mlbench.io.untrusted import read_arrays
from mlbench.protocols import Progress

_LARGEST = 2**31
_WORK = "work"
Arrays = Mapping[str, NDArray[np.generic]]
Long = NDArray[np.uint64]
Found = TypeVar("Found")


class WorkFolder:
    """A folder `<cache>/streams/<name>-<digest of identity>/` of immutable files, named by what they are outcomes of.

    Runs of the same work share it without a lock: a file appears whole, and two runs write the same. What cannot be
    written is told to `progress` once, and the run goes on; a file that is damaged or of other work is told and done
    anew.
    """

    def __init__(self, cache: Path, name: str, identity: object, progress: Progress) -> None:
        self.folder = cache / STREAMS / f"{name}-{_digest(identity)[:16]}"
        self._identity, self._progress = identity, progress
        self._failed = False
        remove_leftovers(self.folder)

    def path(self, key: object) -> Path:
        """Return where the outcome of `key` lies, or will lie."""
        return self.folder / f"{_digest(key)}.npz"

    def load(self, key: object, names: tuple[str, ...], make: Callable[[Arrays], Found]) -> Found | None:
        """Return what `make` makes of the arrays called `names` that were saved; None where they have to be made."""
        path = self.path(key)
        try:
            arrays = read_arrays(path, (*names, _WORK), _LARGEST)
            if str(arrays.pop(_WORK)) != self._work(key):
                raise ValueError("it is of other work")
            return make(arrays)
        except FileNotFoundError:
            return None
        except Exception as error:  # Broken archives make zipfile, zlib and numpy raise a dozen kinds.
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            self._progress.note(f"warning: {path} is damaged ({reason[:200]}): its documents are counted again")
            return None

    def save(self, key: object, arrays: Arrays) -> None:
        """Save an outcome, whole or not at all."""
        buffer = BytesIO()
        np.savez_compressed(buffer, **arrays, **{_WORK: np.array(self._work(key))})  # type: ignore[arg-type]
        self._write(self.path(key), buffer.getvalue())

    def mapped(self, key: object) -> Long | None:
        """Return a long array that was put on disk, uint64 (n,), which takes no memory; None where there is none."""
        try:
            found: Long = np.load(self._long(key), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.dtype == np.uint64 and found.ndim == 1 else None

    def map(self, key: object, array: Long) -> Long:
        """Put a long array on disk and return it from there; as it is where that fails."""
        buffer = BytesIO()
        np.save(buffer, array, allow_pickle=False)
        self._write(self._long(key), buffer.getvalue())
        mapped = self.mapped(key)
        return array if mapped is None or mapped.shape != array.shape else mapped

    def _work(self, key: object) -> str:
        """Return what the file of an outcome names as its work."""
        return _digest([self._identity, key])

    def _long(self, key: object) -> Path:
        return self.folder / f"{_digest(key)}.npy"

    def _write(self, path: Path, content: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            if not self._failed:
                self._progress.note(
                    f"warning: what is counted cannot be saved: {error}; if this run is interrupted, it begins anew"
                )
            self._failed = True


def _digest(key: object) -> str:
    return sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
