"""The folder of a static checkpoint: a table of subword vectors, its tokenizer and settings; and its form in int8."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from tokenizers import Tokenizer

from mlbench.errors import RetrieverError
from mlbench.io.atomic import write_whole
from mlbench.protocols import Vectors
from mlbench.provenance import MANIFEST

MODULES = "modules.json"
CONFIGURATION = "config_sentence_transformers.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
WEIGHT = "embedding.weight"
SCALE = "embedding.scale"
_FLOATS = ("float16", "float32", "float64")
_LARGEST = 127


@dataclass(frozen=True)
class StaticFolder:
    """What the configuration of a static checkpoint in `root` says; `place` holds tokenizer and weights."""

    root: Path
    place: Path
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    truncate_dim: int | None

    @property
    def tokenizer(self) -> Path:
        """Where the tokenizer is."""
        return self.place / TOKENIZER

    @property
    def weights(self) -> Path:
        """Where the table is."""
        return self.place / WEIGHTS


def read_folder(folder: Path) -> StaticFolder:
    """Read the configuration; raises `RetrieverError` where the folder is no static checkpoint, or computes more."""
    modules = _read_json(folder / MODULES)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise _not_static(folder, f"{MODULES} is no list of modules")
    # The library has moved its modules from one package to another, and kept their names.
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        raise _not_static(folder, f"its modules are {', '.join(kinds) or 'none'}")
    configuration = _read_json(folder / CONFIGURATION) if (folder / CONFIGURATION).exists() else {}
    if not isinstance(configuration, dict):
        raise _not_static(folder, f"{CONFIGURATION} is no object")
    similarity = configuration.get("similarity_fn_name")
    if similarity not in (None, "cosine") and not (similarity == "dot" and len(kinds) == 2):
        raise _not_static(folder, f"it compares vectors by {similarity}")
    place = Path(str(modules[0].get("path") or ""))
    if place.is_absolute() or ".." in place.parts:
        raise _not_static(folder, f"its module lies elsewhere, in {place}")
    prompts, truncate_dim = configuration.get("prompts"), configuration.get("truncate_dim")
    default = configuration.get("default_prompt_name")
    return StaticFolder(
        root=folder,
        place=folder / place,
        prompts={name: str(prompt or "") for name, prompt in prompts.items()} if isinstance(prompts, dict) else {},
        default_prompt_name=default if isinstance(default, str) else None,
        truncate_dim=truncate_dim if isinstance(truncate_dim, int) and truncate_dim > 0 else None,
    )


def read_tokenizer(folder: StaticFolder) -> Tokenizer:
    """Return the tokenizer, without padding; raises `RetrieverError` where there is none or it cannot be read."""
    if not folder.tokenizer.is_file():
        raise RetrieverError(f"{folder.place}: no {TOKENIZER}; save the tokenizer in this folder too")
    try:
        tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    except Exception as error:  # The library raises nothing more special.
        raise RetrieverError(f"{folder.tokenizer}: cannot be read: {_first_line(error)}") from error
    tokenizer.no_padding()
    return tokenizer


def read_table(folder: StaticFolder) -> tuple[Vectors, str]:
    """Return the vectors of the pieces, float32 (pieces, dim), and the dtype in which they are saved.

    Raises `RetrieverError` where there are none, for another shape or dtype, and for values that are not finite or all
    zero.
    """
    weight, scale = _read_tensors(folder)
    if weight.ndim != 2 or not weight.size:
        raise RetrieverError(f"{folder.weights}: {WEIGHT} has shape {weight.shape}; need (pieces, dim)")
    if weight.dtype == np.int8:
        table = dequantise(weight.astype(np.int8, copy=False), _checked_scale(scale, len(weight), folder.weights))
    elif weight.dtype.name in _FLOATS and scale is None:
        with np.errstate(over="ignore"):
            table = weight.astype(np.float32, copy=False)
    else:
        beside = "" if scale is None else f" with {SCALE}"
        raise RetrieverError(
            f"{folder.weights}: {WEIGHT} is {weight.dtype}{beside}; need floating-point numbers, or int8 with {SCALE}"
        )
    if not np.isfinite(table).all():
        raise RetrieverError(f"{folder.weights}: {WEIGHT} has NaN or infinite values; the checkpoint is broken")
    if not table.any():
        raise RetrieverError(f"{folder.weights}: {WEIGHT} is all zeros; the checkpoint is broken")
    return table, weight.dtype.name


def dequantise(weight: NDArray[np.int8], scale: NDArray[np.floating]) -> Vectors:
    """Return float32 (pieces, dim): each row of `weight` times its entry of `scale`, (pieces,)."""
    # A scale that is infinite gives NaN, which whoever reads a table looks for.
    with np.errstate(invalid="ignore"):
        return weight.astype(np.float32) * scale.astype(np.float32)[:, np.newaxis]


def has_table(folder: StaticFolder) -> bool:
    """Say whether the weights are there under the name that is read here; a damaged file counts, to be told as such."""
    if not folder.weights.is_file():
        return True
    try:
        with safe_open(folder.weights, framework="numpy") as content:
            return WEIGHT in set(content.keys())
    except (SafetensorError, OSError):
        return True


def _read_tensors(folder: StaticFolder) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    if not folder.weights.is_file():
        pickled = next(iter(sorted(folder.place.glob("pytorch_model*.bin"))), None)
        raise RetrieverError(
            f"{folder.place}: no {WEIGHTS}; save the model in this folder"
            if pickled is None
            else f"{folder.place}: weights are pickled only ({pickled.name}), and opening a pickle can run code: "
            "save them as safetensors"
        )
    try:
        with safe_open(folder.weights, framework="numpy") as content:
            names = set(content.keys())
            if WEIGHT not in names:
                raise RetrieverError(
                    f"{folder.weights}: no tensor {WEIGHT}; write dense: in front if sentence-transformers opens it"
                )
            return content.get_tensor(WEIGHT), content.get_tensor(SCALE) if SCALE in names else None
    except RetrieverError:
        raise
    except Exception as error:  # A damaged header, and a dtype that numpy lacks, raise half a dozen kinds.
        raise RetrieverError(f"{folder.weights}: cannot be read: {_first_line(error)}") from error


def _checked_scale(scale: NDArray[np.generic] | None, pieces: int, path: Path) -> NDArray[np.floating]:
    if scale is None or scale.shape != (pieces,) or scale.dtype.name not in ("float16", "float32"):
        found = "none" if scale is None else f"{scale.dtype} {scale.shape}"
        raise RetrieverError(f"{path}: int8 needs {SCALE}, float16 or float32 of shape ({pieces},), not {found}")
    return scale.astype(np.float32)


def _read_json(path: Path) -> object:
    try:
        found: object = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _not_static(path.parent, f"no {path.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _not_static(path.parent, f"{path.name} cannot be read") from error
    return found


def _not_static(folder: Path, reason: str) -> RetrieverError:
    return RetrieverError(f"{folder}: no static checkpoint ({reason}); for any other encoder use dense:{folder}")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


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
