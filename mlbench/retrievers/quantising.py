"""Writes a static checkpoint with rows of int8: a quarter of the size, read by `static` alone."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from mlbench.atomic import write_whole
from mlbench.errors import RetrieverError
from mlbench.protocols import Vectors
from mlbench.provenance import MANIFEST
from mlbench.retrievers.static_checkpoint import (
    CONFIGURATION,
    MODULES,
    SCALE,
    WEIGHT,
    read_folder,
    read_table,
    read_tokenizer,
)

_LARGEST = 127


def quantise(folder: Path, target: Path) -> None:
    """Write the static checkpoint in `folder` to `target`, made where it is missing, with a table of int8.

    Tokenizer, configuration and provenance are copied, other files are left where they are. The same checkpoint gives
    the same bytes. Raises `RetrieverError` for a folder that is no static checkpoint, and where `target` is the same
    folder or cannot be written.
    """
    checkpoint = read_folder(folder)
    if target.exists() and target.samefile(folder):
        raise RetrieverError(f"{target}: write the quantised model to another folder")
    read_tokenizer(checkpoint)
    table, _ = read_table(checkpoint)
    rows, scale = to_int8(table)
    # What makes the folder a checkpoint comes last.
    copied = (checkpoint.tokenizer, folder / CONFIGURATION, folder / MANIFEST, folder / MODULES)
    contents = {checkpoint.weights: save({WEIGHT: rows, SCALE: scale})}
    contents |= {path: path.read_bytes() for path in copied if path.exists()}
    try:
        for path, content in contents.items():
            written = target / path.relative_to(folder)
            written.parent.mkdir(parents=True, exist_ok=True)
            write_whole(written, content)
    except OSError as error:
        raise RetrieverError(f"{target} cannot be written: {error.strerror or error}; name another folder") from error


def to_int8(table: Vectors) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 (pieces, dim) and float32 (pieces,) whose product is `table` but for rounding.

    Symmetric for each row: its largest magnitude is 127 steps, so no value is off by more than half a step. A row of
    zeros has scale 1.
    """
    scale: NDArray[np.float32] = np.abs(table).max(axis=1) / np.float32(_LARGEST)
    scale[scale == 0] = 1
    steps = np.rint(table / scale[:, np.newaxis])
    return np.clip(steps, -_LARGEST, _LARGEST).astype(np.int8), scale
