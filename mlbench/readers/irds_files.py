"""The files that a collection of ir_datasets is read from, and the record of what they were at first use.

ir_datasets checks a download once, by MD5. Here the SHA-256 of every file is kept at first use and compared later.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import TypeVar

from mlbench.atomic import write_whole
from mlbench.errors import DataError
from mlbench.files import cache_dir

Found = TypeVar("Found")

_HOLDERS = {"Download", "LocalDownload", "ExpectedFile", "Cache", "RelativePath"}
"""The classes of ir_datasets that stand for one file on this machine."""


def files_of(*roots: object) -> tuple[Path, ...]:
    """Return the files on this machine that the handlers and stores in `roots` read, sorted; nothing is downloaded."""
    paths = {path.resolve() for each in _reachable(roots) for path in _paths(each) if path.is_file()}
    return tuple(sorted(paths))


@dataclass(frozen=True)
class Record:
    """What the files of one collection were when they were first read."""

    dataset_id: str
    home: Path

    @property
    def path(self) -> Path:
        """Where it is kept, in the cache folder."""
        return cache_dir() / "irds" / (re.sub(r"[^\w.-]+", "+", self.dataset_id) + ".json")

    def check(self, files: Iterable[Path], *, at_a_glance: bool = False) -> None:
        """Compare `files` with the record, and add those that it has not.

        With `at_a_glance` only sizes are compared, and nothing is added. Raises `DataError` for a file that changed.
        """
        known = self._read()
        found = dict(known)
        for path in files:
            name, size = self._name(path), _told(path, lambda file: file.stat().st_size)
            if name in known and size != known[name][0]:
                raise self._changed(path, f"{size:,} bytes instead of {known[name][0]:,}")
            if not at_a_glance:
                found[name] = size, _told(path, _sha256)
            if name in known and found[name] != known[name]:
                raise self._changed(
                    path, f"its SHA-256 is {found[name][1][:12]}... instead of {known[name][1][:12]}..."
                )
        if found != known:
            self._write(found)

    def _name(self, path: Path) -> str:
        home = self.home.resolve()
        return path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path)

    def _read(self) -> dict[str, tuple[int, str]]:
        try:
            rows = json.loads(self.path.read_bytes())
            return {str(name): (int(row["bytes"]), str(row["sha256"])) for name, row in rows.items()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise DataError(f"{self.path} is damaged: remove it, and files are recorded anew") from error

    def _write(self, found: dict[str, tuple[int, str]]) -> None:
        rows = {name: {"bytes": size, "sha256": digest} for name, (size, digest) in sorted(found.items())}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def _changed(self, path: Path, how: str) -> DataError:
        return DataError(
            f"irds:{self.dataset_id}: {path} has changed since its first use ({how}): remove it, so that it is fetched "
            f"again, or remove {self.path} to take it as it is now"
        )


def _reachable(roots: Iterable[object]) -> Iterator[object]:
    """Yield the objects of ir_datasets that `roots` hold, directly or through others, each once."""
    waiting, seen = list(roots), set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, list | tuple):
            waiting += each
        elif type(each).__module__.partition(".")[0] == "ir_datasets":
            yield each
            waiting += vars(each).values() if hasattr(each, "__dict__") else ()


def _paths(each: object) -> Iterator[Path]:
    kind = type(each).__name__
    if kind in _HOLDERS:
        # A download without a place of its own would be fetched only to tell a path.
        if vars(each).get("_cache_path", each) is not None:
            path: Callable[..., object] = getattr(each, "path")  # noqa: B009
            yield Path(str(path(force=False)))
    elif kind.endswith("Store") and vars(each).get("path"):
        # Where a store of documents has been built, they are read from it.
        yield Path(str(vars(each)["path"]), "bin")


def _sha256(path: Path) -> str:
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file, which several collections of one run may share."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _told(path: Path, look: Callable[[Path], Found]) -> Found:
    try:
        return look(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
