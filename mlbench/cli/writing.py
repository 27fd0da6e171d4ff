"""The files of `--write`: the ending of a name says the format, and no result is written over."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mlbench.errors import UserError

Writer = TypeVar("Writer")


def find_writers(paths: Sequence[Path], writers: Mapping[str, Writer]) -> dict[Path, Writer]:
    """Return what writes each file, by its suffix; raises `UserError` where none does, or its folder is missing."""
    for path in paths:
        if path.suffix.lower() not in writers:
            raise UserError(f"--write {path}: no format has this suffix: choose among {', '.join(writers)}")
        if not path.parent.is_dir():
            raise UserError(f"--write {path}: there is no folder {path.parent}")
    return {path: writers[path.suffix.lower()] for path in paths}


def keep_results(paths: Sequence[Path], results: Iterable[Path]) -> None:
    """Raise `UserError` where a file to write is one of the results that were read."""
    read = {result.resolve() for result in results}
    for path in paths:
        if path.resolve() in read:
            raise UserError(f"--write {path}: that is one of the results: name another file")
