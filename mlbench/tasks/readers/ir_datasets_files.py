"""The library ir_datasets, its errors in one line each, and the files that its collections are read from."""

import importlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from mlbench.errors import DataError, MissingExtra, MlbenchError, UnknownName
from mlbench.io.atomic import write_whole
from mlbench.io.cache import cache_dir, offline

_KINDS = {"docs": "documents", "queries": "queries", "qrels": "judgments"}
_MOST_SHOWN = 6
Found = TypeVar("Found")
_HOLDERS = {"Download", "LocalDownload", "ExpectedFile", "Cache", "RelativePath"}
"""The classes of ir_datasets that stand for one file on this machine."""


class IrdsRecord(Protocol):
    """A document, a query or a judgment of ir_datasets: a named tuple, which has some of these."""

    doc_id: str
    query_id: str
    relevance: object
    _fields: tuple[str, ...]


class DocumentStore(Protocol):
    """Documents by id; `built` where it can answer without reading the whole corpus first."""

    def built(self) -> bool:
        """Say whether the store has been built."""
        ...

    def get_many_iter(self, doc_ids: Sequence[str]) -> Iterator[IrdsRecord]:
        """Yield those of the documents that there are, in any order."""
        ...


class _Raw(Protocol):
    def has(self, kind: str) -> bool: ...
    def docs_iter(self) -> Iterator[IrdsRecord]: ...
    def queries_iter(self) -> Iterator[IrdsRecord]: ...
    def qrels_iter(self) -> Iterator[IrdsRecord]: ...
    def docs_handler(self) -> object: ...
    def queries_handler(self) -> object: ...
    def qrels_handler(self) -> object: ...
    def docs_lang(self) -> str | None: ...
    def queries_lang(self) -> str | None: ...
    def docs_store(self) -> DocumentStore: ...


class _Registry(Protocol):
    def __getitem__(self, name: str) -> _Raw: ...
    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Dataset:
    """A collection of ir_datasets that has documents, queries and judgments."""

    dataset_id: str
    raw: _Raw

    def handlers(self) -> tuple[object, ...]:
        """Return what reads the documents, the queries and the judgments; two collections may share them."""
        return self.raw.docs_handler(), self.raw.queries_handler(), self.raw.qrels_handler()

    def count(self, kind: str) -> int | None:
        """Return how many `docs` or `queries` there are, where that is known without reading them."""
        with suppress(Exception):
            count: int | None = getattr(self.raw, f"{kind}_count")()
            return count
        return None

    def store(self) -> DocumentStore | None:
        """Return the store of the documents, None where there is none."""
        with suppress(AttributeError, NotImplementedError):
            return self.raw.docs_store()
        return None


class _OfflineError(BaseException):
    """Goes through handlers that would try another address."""


def open_dataset(dataset_id: str) -> Dataset:
    """Return the collection `dataset_id`, from which nothing is read yet.

    Raises `UnknownName`, `MissingExtra`, and `DataError` for one that lacks documents, queries or judgments.
    """
    registry: _Registry = library().registry  # type: ignore[attr-defined]
    with guarded(dataset_id):
        try:
            raw = registry[dataset_id]
        except KeyError as error:
            if error.args != (dataset_id,):
                raise
            raise UnknownName("collection of ir_datasets", dataset_id, _near(registry, dataset_id)) from error
        lacking = [name for kind, name in _KINDS.items() if not raw.has(kind)]
        if lacking:
            whole = [name for name in _below(registry, dataset_id) if all(map(registry[name].has, _KINDS))]
            more = ", ..." if len(whole) > _MOST_SHOWN else ""
            hint = f": take one of {', '.join(whole[:_MOST_SHOWN])}{more}" if whole else ", so it makes no task"
            raise DataError(f"irds:{dataset_id} has no {' and no '.join(lacking)}{hint}")
    return Dataset(dataset_id, raw)


@contextmanager
def guarded(dataset_id: str) -> Iterator[None]:
    """Turn whatever ir_datasets raises into a `DataError` of one line; where we are offline, it downloads nothing."""
    libraries = library().lazy_libs  # type: ignore[attr-defined]
    requests, logger = libraries.requests, logging.getLogger("ir_datasets")
    if offline():
        # It would tell of the download that it is about to begin.
        libraries.requests, logger.disabled = _refuse, True
    try:
        yield
    except _OfflineError as error:
        raise DataError(
            f"irds:{dataset_id} is not on this machine, and downloads are forbidden by MLBENCH_OFFLINE or "
            f"HF_HUB_OFFLINE: bring its files into {home()} (IR_DATASETS_HOME)"
        ) from error
    except MlbenchError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"irds:{dataset_id} cannot be read: {type(error).__name__}: {reason:.200}") from error
    finally:
        libraries.requests, logger.disabled = requests, False


def _refuse() -> NoReturn:
    raise _OfflineError


def library() -> object:
    """Import and return ir_datasets, which makes folders in `$IR_DATASETS_HOME`; raises `MissingExtra`."""
    try:
        return importlib.import_module("ir_datasets")
    except ModuleNotFoundError as error:
        raise MissingExtra("irds: tasks", "ir-datasets") from error


def home() -> Path:
    """Return the folder in which ir_datasets keeps its files."""
    path: Path = library().util.home_path()  # type: ignore[attr-defined]
    return path


def _below(registry: _Registry, dataset_id: str) -> list[str]:
    return sorted(name for name in registry if name.startswith(f"{dataset_id}/"))


def _near(registry: _Registry, dataset_id: str) -> list[str]:
    """Return the names that may be meant: those of the same family, or the families."""
    family = dataset_id.partition("/")[0]
    names = list(registry)
    return [name for name in names if name.partition("/")[0] == family] or [name for name in names if "/" not in name]


def text_of(row: IrdsRecord, dataset_id: str, field: str = "") -> str:
    """Return the text of a document or query: a field of it, or what ir_datasets takes by default (`default_text()`).

    What has no default text is its `text`; else a query is its `title`, a document all its texts with blanks between.
    Raises `DataError` for a row without such a field.
    """
    if field and field not in row._fields:
        raise DataError(f"irds:{dataset_id} has no field {field!r}: there are {', '.join(row._fields)}")
    text = getattr(row, field) if field else _default_text(row)
    if text is not None and not isinstance(text, str):
        raise DataError(
            f"irds:{dataset_id} has no text{f' in {field}' if field else ''}: there are {', '.join(row._fields)}; "
            f"the text of queries may be named, as in irds:{dataset_id}#{row._fields[-1]}"
        )
    return text or ""


def _default_text(row: IrdsRecord) -> object:
    """Return the text of a row, whatever it is; the row itself where there is none."""
    default = getattr(row, "default_text", None)
    if default is not None:
        return default()
    if "text" in row._fields:
        return getattr(row, "text")  # noqa: B009
    if row._fields[0] == "query_id":
        return getattr(row, "title", row)
    values = {name: getattr(row, name) for name in row._fields if name != "url" and not name.endswith("_id")}
    binary = any(isinstance(value, bytes) for value in values.values())
    return row if binary else " ".join(value for value in values.values() if isinstance(value, str) and value)


def files_of(*roots: object) -> tuple[Path, ...]:
    """Return the files on this machine that the handlers and stores in `roots` read, sorted; nothing is downloaded."""
    paths = {path.resolve() for each in _reachable(roots) for path in _paths(each) if path.is_file()}
    return tuple(sorted(paths))


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
            name, size = self._name(path), _read_or_raise(path, lambda file: file.stat().st_size)
            if name in known and size != known[name][0]:
                raise self._changed(path, f"{size:,} bytes instead of {known[name][0]:,}")
            if not at_a_glance:
                found[name] = size, _read_or_raise(path, _sha256)
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


def _sha256(path: Path) -> str:
    status = path.stat()
    return _digest(path, status.st_size, status.st_mtime_ns)


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    """Return the SHA-256 of a file, which several collections of one run may share."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def _read_or_raise(path: Path, look: Callable[[Path], Found]) -> Found:
    try:
        return look(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
