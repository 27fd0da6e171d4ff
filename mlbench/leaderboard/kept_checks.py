"""What the checks of an entry's files found, kept by digest, so that an unchanged entry is not recomputed."""

import json
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path

import mlbench
from mlbench.errors import DataError
from mlbench.io.cache import CHECKS, cache_dir, kept_folder

_FOUND = "checked.json"


def kept_check(task: str, files: tuple[str, ...]) -> int | None:
    """Return how many numbers followed from the ranks when these files were checked; None where they were not yet.

    `files` are SHA-256 digests: of what the board accepts for the task, of the result and of its ranks. Whatever the
    code of mlbench is part of what was checked, so that another version checks anew.
    """
    key = _key(files)
    try:
        found = json.loads((cache_dir() / CHECKS / _name(task, key) / _FOUND).read_bytes())
    except (OSError, ValueError):
        return None
    # The folder's name has the start of the key alone.
    if not isinstance(found, dict) or found.get("key") != key or not isinstance(found.get("n_numbers"), int):
        return None
    return int(found["n_numbers"])


def keep_check(task: str, files: tuple[str, ...], n_numbers: int) -> None:
    """Keep that these files passed, where the cache folder may be written."""
    key = _key(files)
    content = json.dumps({"key": key, "n_numbers": n_numbers})
    with suppress(DataError):
        kept_folder(_name(task, key), lambda made: _write(made / _FOUND, content), last=_FOUND, kind=CHECKS)


def _write(path: Path, content: str) -> None:
    path.write_text(content)


def _name(task: str, key: str) -> str:
    return f"{task}-{key[:16]}"


def _key(files: tuple[str, ...]) -> str:
    return sha256(" ".join((_code(), *files)).encode()).hexdigest()


@cache
def _code() -> str:
    """Return a digest of all modules of mlbench."""
    root, digest = Path(mlbench.__file__).parent, sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
