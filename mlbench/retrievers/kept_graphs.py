"""Graphs made from checkpoints, kept in the cache folder, so that the next run need not make them again."""

import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory

from mlbench.atomic import remove_leftovers, whole_folder
from mlbench.files import GRAPHS, cache_dir

_GRAPH = "model.onnx"
_SUMS = "sums.json"


@contextmanager
def kept_graph(name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield the file of the graph `name`, which `make` writes where it is not kept yet or is damaged.

    A large graph has its weights in files beside it. Warns of a damaged one, and of a cache folder that cannot be
    written: the graph then lasts as long as the context. What `make` raises goes through, but for `OSError`.
    """
    folder = cache_dir() / GRAPHS / name
    fault = _fault(folder)
    if fault:
        warnings.warn(f"{folder} {fault}: the graph is made again", stacklevel=3)
    try:
        _provide(folder, make, anew=fault != "")
    except OSError as error:
        warnings.warn(
            f"the graph is not kept for later runs: {error}; set MLBENCH_CACHE to a usable folder", stacklevel=3
        )
        with TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            make(Path(temporary) / _GRAPH)
            yield Path(temporary) / _GRAPH
        return
    yield folder / _GRAPH


def _provide(folder: Path, make: Callable[[Path], None], *, anew: bool) -> None:
    """Make the graph unless it is there; raises `OSError`."""
    if anew:
        # Without its sums a folder is replaced.
        (folder / _SUMS).unlink(missing_ok=True)
    if (folder / _SUMS).is_file():
        with suppress(OSError):
            os.utime(folder / _SUMS)
        return
    remove_leftovers(folder.parent)
    with whole_folder(folder, _SUMS) as unfinished:
        make(unfinished / _GRAPH)
        sums = {path.name: _sum(path) for path in unfinished.iterdir()}
        (unfinished / _SUMS).write_text(json.dumps(sums), encoding="utf-8")


def _fault(folder: Path) -> str:
    """Say what is wrong with a kept graph; an empty text where it is whole, or not there."""
    try:
        sums = json.loads((folder / _SUMS).read_bytes())
        damaged = [name for name in {_GRAPH, *sums} if _sum(folder / name) != sums[name]]
    except NotADirectoryError:
        return ""
    except FileNotFoundError as error:
        return "" if error.filename == str(folder / _SUMS) else f"lacks {Path(error.filename).name}"
    except (OSError, ValueError, TypeError, KeyError):
        return "cannot be read"
    return f"is damaged ({damaged[0]})" if damaged else ""


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
