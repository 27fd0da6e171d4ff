"""What was found of certain files or numbers, kept in the cache folder, so that the same is not computed again."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

import mlbench
from mlbench.errors import DataError
from mlbench.io.cache import CHECKS, cache_dir, kept_folder

Arrays = Mapping[str, NDArray[Any]]
_FOUND, _KEY = "found.npz", "key"


def kept_arrays(name: str, parts: Iterable[bytes], find: Callable[[], Arrays]) -> Arrays:
    """Return what `find` returns for these `parts`, from the cache folder where it was found before.

    `parts` are all that it depends on, but for the code of mlbench, of which another version finds anew; `name` is what
    the folder in the cache is called by. Nothing is kept where `find` raises, or where the cache cannot be written.
    """
    key = _key(name, parts)
    folder = f"{re.sub('[^a-z0-9.-]', '', name)}-{key[:16]}"
    kept = _read(cache_dir() / CHECKS / folder / _FOUND, key)
    if kept is not None:
        return kept
    found = find()
    arrays: dict[str, Any] = {**found, _KEY: key}
    with suppress(DataError):
        kept_folder(folder, lambda made: np.savez(made / _FOUND, **arrays), last=_FOUND, kind=CHECKS)
    return found


def _read(path: Path, key: str) -> Arrays | None:
    """Return the arrays in a file, where it was kept under this very key, of which its folder has only the start."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile):
        return None
    return found if str(found.pop(_KEY, "")) == key else None


def _key(name: str, parts: Iterable[bytes]) -> str:
    digest = sha256(f"{_code()} {name}".encode())
    for part in parts:
        digest.update(sha256(part).digest())
    return digest.hexdigest()


@cache
def _code() -> str:
    """Return a digest of all modules of mlbench."""
    root, digest = Path(mlbench.__file__).parent, sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
