"""The file of an ALBEF checkpoint: where it is, and its weights by their official names."""

from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from mlbench.errors import RetrieverError
from mlbench.retrievers.albef_keys import official_name

if TYPE_CHECKING:
    from torch import Tensor

_PATTERNS = ("*.safetensors", "*.pth")


def find_weights(path: Path) -> Path:
    """Return the file of weights at `path`, or the only one in that folder, safetensors before `.pth`.

    Raises `RetrieverError` where there is none, or several.
    """
    if path.is_file():
        return path
    for pattern in _PATTERNS:
        found = sorted(path.glob(pattern))
        if len(found) > 1:
            raise RetrieverError(f"{path}: {found[0].name} and {found[1].name} both hold weights: name the file itself")
        if found:
            return found[0]
    raise RetrieverError(f"{path}: no weights (.pth or .safetensors): save them in this folder")


def read_weights(path: Path, *, allow_pickle: bool) -> "dict[str, Tensor]":
    """Return the weights in a file by their names in a retrieval checkpoint, without what only training needs.

    A `.pth` is a pickle, opened only with `allow_pickle`, and even then only tensors and plain values are read from it.
    Raises `RetrieverError` for a file that cannot be read, holds other things, or weights that are not finite.
    """
    pickled = path.suffix != ".safetensors"
    if pickled and not allow_pickle:
        raise RetrieverError(
            f"{path} is a pickle, and opening one can run code: pass --allow-pickle if you trust it, "
            "or save its state dict as safetensors"
        )
    try:
        content = _read_pickle(path) if pickled else _read_safetensors(path)
    except UnpicklingError as error:
        raise RetrieverError(
            f"{path} is broken or holds more than tensors and plain values: save its state dict alone"
        ) from error
    except Exception as error:  # A broken file may fail in any way.
        raise RetrieverError(f"{path}: cannot be loaded ({type(error).__name__}): download it again") from error
    weights = _weights(content, path)
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise RetrieverError(f"{path}: weight {name} has NaN or infinite values; the checkpoint is broken")
    return weights


def _weights(content: object, path: Path) -> "dict[str, Tensor]":
    from torch import Tensor

    state = content.get("model", content) if isinstance(content, dict) else content
    if not isinstance(state, dict):
        raise RetrieverError(f"{path} holds a {type(state).__name__}, no weights by name")
    weights: dict[str, Tensor] = {}
    for name, tensor in state.items():
        official = official_name(str(name))
        if official is None:
            continue
        if not isinstance(tensor, Tensor):
            raise RetrieverError(f"{path}: {name} is a {type(tensor).__name__}, no tensor")
        if official in weights:
            raise RetrieverError(f"{path}: {official} is there twice, with and without bert.")
        # The file is only mapped, and may be written anew.
        weights[official] = tensor.clone()
    return weights


def _read_pickle(path: Path) -> object:
    import torch

    # Mapped, as half of the file is only for training; files of old versions cannot be.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))


def _read_safetensors(path: Path) -> object:
    from safetensors.torch import load_file

    return load_file(path)
