"""The folder of a static checkpoint: a table of subword vectors, its tokenizer and settings; and its form in int8.

Two libraries save such folders: Sentence Transformers and model2vec.
"""

import json
from collections.abc import Container, Mapping
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
MODEL2VEC = "config.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"
WEIGHT = "embedding.weight"
SCALE = "embedding.scale"
# Names of model2vec: rows, the row of each token, and the factor of each token.
_ROWS, _MAPPING, _FACTORS = "embeddings", "mapping", "weights"
_MODEL2VEC_LENGTH = 512
_FLOATS = ("float16", "float32", "float64")
_LARGEST = 127


@dataclass(frozen=True)
class StaticFolder:
    """What the configuration of a static checkpoint in `root` says; `place` holds tokenizer and weights.

    `model2vec` says whether model2vec saved it: tokens that its vocabulary does not know are then left out, and texts
    are cut off after `max_length` tokens (None: never). In any other folder the tokenizer says where texts are cut off.
    """

    root: Path
    place: Path
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    truncate_dim: int | None
    model2vec: bool = False
    max_length: int | None = None

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
    model2vec = _is_model2vec(folder)
    if model2vec and not (folder / MODULES).exists():
        return StaticFolder(folder, folder, {}, None, None, model2vec=True, max_length=_max_length(folder))
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
        model2vec=model2vec,
        max_length=_max_length(folder) if model2vec else None,
    )


def _is_model2vec(folder: Path) -> bool:
    """Say whether model2vec saved the folder, and reads it by rules of its own."""
    if not (folder / MODEL2VEC).is_file():
        return False
    names = _tensor_names(folder / WEIGHTS)
    if names is None:
        configuration = _read_json(folder / MODEL2VEC)
        return isinstance(configuration, dict) and configuration.get("model_type") == "model2vec"
    return _ROWS in names and names <= {_ROWS, _MAPPING, _FACTORS}


def _max_length(folder: Path) -> int | None:
    """Return after how many tokens model2vec cuts a text off; None where it never does."""
    configuration = _read_json(folder / MODEL2VEC)
    length = configuration.get("max_length", _MODEL2VEC_LENGTH) if isinstance(configuration, dict) else 0
    if length is not None and not (type(length) is int and length > 0):
        raise _not_static(folder, f"{MODEL2VEC} has no usable max_length")
    return length


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


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the piece that stands for what the vocabulary does not know; None where there is none."""
    # A unigram model has its id, all others the piece itself.
    model = json.loads(tokenizer.to_str())["model"]
    if model.get("unk_token") is not None:
        return tokenizer.token_to_id(model["unk_token"])
    unknown = model.get("unk_id")
    return unknown if isinstance(unknown, int) else None


def read_table(folder: StaticFolder) -> tuple[Vectors, str]:
    """Return the vectors of the pieces, float32 (pieces, dim), and the dtype in which they are saved.

    Rows that several pieces share are repeated, and multiplied by the factor of each piece. Raises `RetrieverError`
    where there are none, for another shape or dtype, and for values that are not finite or all zero.
    """
    name, tensors = _read_tensors(folder)
    weight, scale = tensors[name], tensors.get(SCALE)
    if weight.ndim != 2 or not weight.size:
        raise RetrieverError(f"{folder.weights}: {name} has shape {weight.shape}; need (pieces, dim)")
    if weight.dtype == np.int8 and name == _ROWS:
        # One scale for all rows, which model2vec leaves out because no direction depends on it.
        table = weight.astype(np.float32)
    elif weight.dtype == np.int8:
        table = dequantise(weight.astype(np.int8, copy=False), _checked_scale(scale, len(weight), folder.weights))
    elif weight.dtype.name in _FLOATS and scale is None:
        with np.errstate(over="ignore"):
            table = weight.astype(np.float32, copy=False)
    else:
        beside = "" if scale is None else f" with {SCALE}"
        raise RetrieverError(
            f"{folder.weights}: {name} is {weight.dtype}{beside}; need floating-point numbers, or int8 with {SCALE}"
        )
    if name == _ROWS:
        table = _for_each_piece(table, tensors.get(_MAPPING), tensors.get(_FACTORS), folder.weights)
    if not np.isfinite(table).all():
        raise RetrieverError(f"{folder.weights}: {name} has NaN or infinite values; the checkpoint is broken")
    if not table.any():
        raise RetrieverError(f"{folder.weights}: {name} is all zeros; the checkpoint is broken")
    return table, weight.dtype.name


def _for_each_piece(
    rows: Vectors, mapping: NDArray[np.generic] | None, factors: NDArray[np.generic] | None, path: Path
) -> Vectors:
    """Return float32 (pieces, dim): the row that `mapping` names for each piece, times its factor."""
    table = rows
    if mapping is not None:
        indices = mapping.astype(np.int64) if mapping.ndim == 1 and mapping.dtype.kind in "iu" else np.full(1, -1)
        if not ((indices >= 0) & (indices < len(rows))).all():
            raise RetrieverError(f"{path}: {_MAPPING} names rows that {_ROWS} does not have; the checkpoint is broken")
        table = rows[indices]
    if factors is not None:
        if factors.shape != (len(table),) or factors.dtype.kind != "f":
            raise RetrieverError(f"{path}: {_FACTORS} has shape {factors.shape}; need ({len(table)},)")
        with np.errstate(over="ignore", invalid="ignore"):
            table = table * factors.astype(np.float32)[:, np.newaxis]
    return table


def dequantise(weight: NDArray[np.int8], scale: NDArray[np.floating]) -> Vectors:
    """Return float32 (pieces, dim): each row of `weight` times its entry of `scale`, (pieces,)."""
    # A scale that is infinite gives NaN, which whoever reads a table looks for.
    with np.errstate(invalid="ignore"):
        return weight.astype(np.float32) * scale.astype(np.float32)[:, np.newaxis]


def has_table(folder: StaticFolder) -> bool:
    """Say whether the weights are there under a name that is read here; a damaged file counts, to be told as such."""
    names = _tensor_names(folder.weights)
    return names is None or _table_name(names) is not None


def _table_name(names: Container[str]) -> str | None:
    return next((name for name in (WEIGHT, _ROWS) if name in names), None)


def _tensor_names(path: Path) -> set[str] | None:
    """Return the names of the tensors in a file of weights; None for one that is damaged, or not there."""
    try:
        with safe_open(path, framework="numpy") as content:
            return set(content.keys())
    except (SafetensorError, OSError):
        return None


def _read_tensors(folder: StaticFolder) -> tuple[str, dict[str, NDArray[np.generic]]]:
    """Return the name of the table, and by name all tensors of the weights that are read here."""
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
            table = _table_name(names)
            if table is None:
                raise RetrieverError(
                    f"{folder.weights}: no tensor {WEIGHT}; write dense: in front if sentence-transformers opens it"
                )
            beside = (SCALE,) if table == WEIGHT else (_MAPPING, _FACTORS)
            return table, {name: content.get_tensor(name) for name in (table, *beside) if name in names}
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
    if checkpoint.model2vec:
        raise RetrieverError(f"{folder}: saved by model2vec, which quantises to int8 itself (quantize_to='int8')")
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
