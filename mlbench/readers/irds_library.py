"""ir_datasets, imported when it is asked for, with its errors in one line and no download where none is wanted."""

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from mlbench.errors import DataError, MissingExtra, MlbenchError, UnknownName
from mlbench.files import offline

_KINDS = {"docs": "documents", "queries": "queries", "qrels": "judgments"}
_MOST_SHOWN = 6


class Row(Protocol):
    """A document, a query or a judgment of ir_datasets: a named tuple, which has some of these."""

    doc_id: str
    query_id: str
    relevance: object
    _fields: tuple[str, ...]


class Store(Protocol):
    """Documents by id; `built` where it can answer without reading the whole corpus first."""

    def built(self) -> bool:
        """Say whether the store has been built."""
        ...

    def get_many_iter(self, doc_ids: Sequence[str]) -> Iterator[Row]:
        """Yield those of the documents that there are, in any order."""
        ...


class _Raw(Protocol):
    def has(self, kind: str) -> bool: ...
    def docs_iter(self) -> Iterator[Row]: ...
    def queries_iter(self) -> Iterator[Row]: ...
    def qrels_iter(self) -> Iterator[Row]: ...
    def docs_handler(self) -> object: ...
    def queries_handler(self) -> object: ...
    def qrels_handler(self) -> object: ...
    def docs_lang(self) -> str | None: ...
    def queries_lang(self) -> str | None: ...
    def docs_store(self) -> Store: ...


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

    def store(self) -> Store | None:
        """Return the store of the documents, None where there is none."""
        with suppress(AttributeError, NotImplementedError):
            return self.raw.docs_store()
        return None


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


def text_of(row: Row, dataset_id: str, field: str = "") -> str:
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


def _default_text(row: Row) -> object:
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


class _OfflineError(BaseException):
    """Goes through handlers that would try another address."""


def _refuse() -> NoReturn:
    raise _OfflineError


def _below(registry: _Registry, dataset_id: str) -> list[str]:
    return sorted(name for name in registry if name.startswith(f"{dataset_id}/"))


def _near(registry: _Registry, dataset_id: str) -> list[str]:
    """Return the names that may be meant: those of the same family, or the families."""
    family = dataset_id.partition("/")[0]
    names = list(registry)
    return [name for name in names if name.partition("/")[0] == family] or [name for name in names if "/" not in name]
