"""What lies in the cache folder: the vectors of earlier runs, what was made of models and data, and downloaded data.

Whatever can be made again from the others may go.
"""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel
from safetensors import SafetensorError, safe_open

from mlbench.embeddings.store import ABOUT, EMBEDDINGS, is_chunk, is_part
from mlbench.errors import UserError
from mlbench.io.atomic import is_leftover
from mlbench.io.cache import CHECKS, GRAPHS, STREAMS, TRAINING
from mlbench.protocols import Parameter
from mlbench.tasks.task import load_task, task_names

AnyItem = TypeVar("AnyItem", bound="CachedItem")
_MADE_OF = re.compile(r"[a-z0-9._-]+-[0-9a-f]{16}(-\d+)?")
_MADE = (".json", ".arrow", ".npy", ".npz", ".ids", ".onnx", ".data")


class CachedItem(BaseModel, frozen=True):
    """What can be made again, and when it was used last."""

    folder: Path
    bytes: int
    last_used: datetime


class CachedVectors(CachedItem, frozen=True):
    """The vectors under one key; a text that several chunks hold is counted in each. `retriever` is None if unknown."""

    key: str
    retriever: str | None
    parameters: dict[str, Parameter]
    vectors: int
    dim: int | None


class DownloadedData(BaseModel, frozen=True):
    """The downloaded files of one folder, and the shipped tasks that read some of them."""

    folder: Path
    bytes: int
    tasks: tuple[str, ...]
    files: int


class _About(BaseModel):
    retriever: str | None = None
    parameters: dict[str, Parameter] = {}


def cached_vectors(cache: Path) -> tuple[CachedVectors, ...]:
    """Return the stores in the cache folder, last used first; none where there is no such folder."""
    found = [_survey(folder) for folder in _folders(cache / EMBEDDINGS)]
    return tuple(sorted((store for store in found if store), key=lambda store: store.last_used, reverse=True))


def cached_items(cache: Path) -> dict[str, tuple[CachedItem, ...]]:
    """Return by the names of their folders what lies in the cache folder and can be made again, last used first.

    Beside the vectors that is what runs have counted of corpora in shards (`streams`), what checkpoints were made into
    for ONNX Runtime or OpenVINO (`graphs`), what trainings made of their data (`training`): rows and subwords, and
    which files of a leaderboard passed its checks (`checks`). What a killed process left unfinished is among it, what
    a process is writing now is not.
    """
    made = (STREAMS, GRAPHS, TRAINING, CHECKS)
    return {"vectors": cached_vectors(cache)} | {name: _measured(cache / name) for name in made}


def downloaded_data(cache: Path) -> tuple[DownloadedData, ...]:
    """Return the folders of downloaded files in the cache folder, by name; none where nothing was downloaded."""
    readers: dict[str, set[str]] = {}
    for name in task_names():
        task = load_task(name)
        paths = [file.path for file in task.files]
        if task.images is not None:
            paths += [task.images.folder, *(archive.path for archive in task.images.archives)]
        for path in paths:
            readers.setdefault(path.partition("/")[0], set()).add(name)
    found = []
    for folder in _folders(cache / "data"):
        sizes = [path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()]
        tasks = tuple(sorted(readers.get(folder.name, ())))
        found.append(DownloadedData(folder=folder, tasks=tasks, files=len(sizes), bytes=sum(sizes)))
    return tuple(found)


def to_remove(
    kept: Iterable[AnyItem], *, before: datetime | None = None, most_bytes: int | None = None
) -> tuple[AnyItem, ...]:
    """Return what was not used since `before`, then the least recently used until `most_bytes` suffice.

    The least recently used come first. With neither condition nothing goes.
    """
    waiting = sorted(kept, key=lambda each: each.last_used)
    gone = [each for each in waiting if before is not None and each.last_used < before]
    waiting = waiting[len(gone) :]
    left = sum(each.bytes for each in waiting)
    while most_bytes is not None and left > most_bytes:
        gone.append(waiting.pop(0))
        left -= gone[-1].bytes
    return tuple(gone)


def remove(kept: CachedItem) -> None:
    """Remove mlbench's files, and their folder if nothing else lies there; raises `UserError` where that is refused.

    A run that is using vectors encodes again what it misses; a training has read what it needs of its folder.
    """
    own = _own_files if isinstance(kept, CachedVectors) else _made_files
    try:
        for path in own(kept.folder):
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        # Somebody else has removed all of it.
        return
    except OSError as error:
        raise UserError(f"cannot remove {error.filename}: {error.strerror}") from error
    # What somebody else put there, or another process just did, stays.
    with suppress(OSError):
        kept.folder.rmdir()


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {parent}: {error.strerror}; set MLBENCH_CACHE to a usable folder") from error


def _own_files(folder: Path) -> list[Path]:
    """Return the chunks, what killed processes left, and last what says whose they are."""
    paths = sorted(folder.iterdir())
    chunks = [path for path in paths if is_chunk(path) or is_part(path) or is_leftover(path)]
    return [*chunks, *(path for path in paths if path.name == ABOUT)]


def _measured(parent: Path) -> tuple[CachedItem, ...]:
    """Return what the folders in `parent` keep that are mlbench's, or were left unfinished, last used first."""
    wanted = (
        folder
        for folder in _folders(parent)
        if (is_leftover(folder) if folder.name.startswith(".") else _MADE_OF.fullmatch(folder.name))
    )
    found = [_measure(folder) for folder in wanted]
    return tuple(sorted((each for each in found if each), key=lambda each: each.last_used, reverse=True))


def _made_files(folder: Path) -> list[Path]:
    """Return the files of such a folder; first those that are written last, without which it counts as unfinished."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in _MADE]
    return sorted(paths, key=lambda path: path.suffix != ".json")


def _measure(folder: Path) -> CachedItem | None:
    """Return what a folder keeps; None where nothing in it is mlbench's, or another process is removing it."""
    try:
        stats = [path.stat() for path in _made_files(folder)]
    except FileNotFoundError:
        return None
    if not stats:
        return None
    last_used = datetime.fromtimestamp(max(stat.st_mtime for stat in stats), UTC)
    return CachedItem(folder=folder, bytes=sum(stat.st_size for stat in stats), last_used=last_used)


def _survey(folder: Path) -> CachedVectors | None:
    """Return what a folder keeps; None where nothing in it is the store's."""
    try:
        paths = _own_files(folder)
        stats = [path.stat() for path in paths]
    except FileNotFoundError:
        # Another process is removing it.
        return None
    if not paths:
        return None
    shapes = [_shape(path) for path in paths if is_chunk(path) or is_part(path)]
    about = _about(folder / ABOUT)
    return CachedVectors(
        folder=folder,
        key=folder.name,
        retriever=about.retriever,
        parameters=about.parameters,
        vectors=sum(shape[0] for shape in shapes),
        dim=max((shape[1] for shape in shapes), default=0) or None,
        bytes=sum(stat.st_size for stat in stats),
        last_used=datetime.fromtimestamp(max(stat.st_mtime for stat in stats), UTC),
    )


def _shape(path: Path) -> Sequence[int]:
    """Return the shape of a chunk's vectors; a damaged one has none."""
    try:
        with safe_open(path, framework="numpy") as content:
            rows, dim = content.get_slice("vectors").get_shape()
    except (SafetensorError, OSError, ValueError):
        return (0, 0)
    return rows, dim


def _about(path: Path) -> _About:
    try:
        return _About.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return _About()
