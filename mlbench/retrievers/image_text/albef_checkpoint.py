"""The file of an ALBEF checkpoint: where it is, and the names and shapes of its weights."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING
from zipfile import is_zipfile

from mlbench.errors import RetrieverError

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
Sizes = Mapping[str, int]
BLOCK = "visual_encoder.blocks."
LAYER = "text_encoder.encoder.layer."
POSITION_IDS = "text_encoder.embeddings.position_ids"
# Each has a weight of this shape and a bias of its first size.
_VISION = {"patch_embed.proj": "width 3 patch patch", "norm": "width"}
_BLOCK = {
    "norm1": "width",
    "attn.qkv": "3*width width",
    "attn.proj": "width width",
    "norm2": "width",
    "mlp.fc1": "mlp width",
    "mlp.fc2": "width mlp",
}
_LAYER = {
    "attention.self.query": "hidden hidden",
    "attention.self.key": "hidden hidden",
    "attention.self.value": "hidden hidden",
    "attention.output.dense": "hidden hidden",
    "attention.output.LayerNorm": "hidden",
    "intermediate.dense": "inner hidden",
    "output.dense": "hidden inner",
    "output.LayerNorm": "hidden",
}
_CROSS = {
    "crossattention.self.query": "hidden hidden",
    "crossattention.self.key": "hidden width",
    "crossattention.self.value": "hidden width",
    "crossattention.output.dense": "hidden hidden",
    "crossattention.output.LayerNorm": "hidden",
}
_HEADS = {"vision_proj": "dim width", "text_proj": "dim hidden", "itm_head": "2 hidden"}
_SINGLE = {
    "temp": "",
    "visual_encoder.cls_token": "1 1 width",
    "visual_encoder.pos_embed": "1 positions width",
    "text_encoder.embeddings.word_embeddings.weight": "vocabulary hidden",
    "text_encoder.embeddings.position_embeddings.weight": "places hidden",
    "text_encoder.embeddings.token_type_embeddings.weight": "types hidden",
    POSITION_IDS: "1 places",
}
# What only training needs: the momentum model, its queues, and the masked-language head of pre-training.
_TRAINING = re.compile(
    r"(visual_encoder_m|text_encoder_m|vision_proj_m|text_proj_m|text_encoder\.cls)\."
    r"|(image_queue|text_queue|idx_queue|queue_ptr)$"
)
_SHOWN = 3
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


def official_name(name: str) -> str | None:
    """Return the name that a weight has in a retrieval checkpoint, None for what only training needs.

    A pre-training checkpoint has the text encoder's weights under `text_encoder.bert.`.
    """
    return None if _TRAINING.match(name) else re.sub(r"^text_encoder\.bert\.", "text_encoder.", name)


def _read_pickle(path: Path) -> object:
    import torch

    # Mapped, as half of the file is only for training; files of old versions cannot be.
    return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))


def _read_safetensors(path: Path) -> object:
    from safetensors.torch import load_file

    return load_file(path)


def read_sizes(shapes: Mapping[str, Shape], source: str) -> Sizes:
    """Return the sizes of a model from the shapes of its weights, by their official names.

    They are `width`, `patch`, `positions`, `mlp` and `blocks` of the image encoder; `hidden`, `inner`, `vocabulary`,
    `places`, `types`, `layers` and `fusion` (how many of them, the last ones, look at the image) of the text encoder;
    and `dim`. Raises `RetrieverError`, which names weights of `source` that are missing, not known or of a wrong shape:
    a size is what most of the weights say, so that the odd one is named.
    """
    counts = {
        "blocks": _complete(shapes, BLOCK, _BLOCK),
        "layers": _complete(shapes, LAYER, _LAYER),
        "fusion": _complete(shapes, LAYER, _CROSS),
    }
    expected = dict(_expected(counts))
    sizes = counts | _voted(shapes, expected)
    wanted = {name: tuple(_evaluate(size, sizes) for size in shape.split()) for name, shape in expected.items()}
    # Newer libraries do not save this list of 0, 1, 2, ...
    missing = [f"{name} is missing" for name in wanted if name not in shapes and name != POSITION_IDS]
    unknown = [f"{name} is not known" for name in shapes if name not in wanted]
    wrong = [
        f"{name} is {_show(shapes[name])} instead of {_show(shape)}"
        for name, shape in wanted.items()
        if shapes.get(name, shape) != shape
    ]
    if faults := [*missing, *unknown, *wrong]:
        rest = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise RetrieverError(f"{source}: not the weights of an ALBEF model: {', '.join(faults[:_SHOWN])}{rest}")
    return sizes


def _expected(counts: Sizes) -> Iterator[tuple[str, str]]:
    """Yield the name and the shape, in words, of every weight."""
    yield from _SINGLE.items()
    modules = {f"visual_encoder.{name}": shape for name, shape in _VISION.items()}
    modules["text_encoder.embeddings.LayerNorm"] = "hidden"
    for block in range(counts["blocks"]):
        modules |= {f"{BLOCK}{block}.{name}": shape for name, shape in _BLOCK.items()}
    for layer in range(counts["layers"]):
        looks = layer >= counts["layers"] - counts["fusion"]
        modules |= {f"{LAYER}{layer}.{name}": shape for name, shape in {**_LAYER, **(_CROSS if looks else {})}.items()}
    for name, shape in {**modules, **_HEADS}.items():
        yield f"{name}.weight", shape
        yield f"{name}.bias", shape.split()[0]


def _complete(shapes: Mapping[str, Shape], prefix: str, modules: Mapping[str, str]) -> int:
    """Return how many numbered parts have at least half of the weights of `modules`; one where there is none."""
    number = re.compile(re.escape(prefix) + r"(\d+)\.(.+)\.(?:weight|bias)$")
    matches = filter(None, map(number.match, shapes))
    found = Counter(match[1] for match in matches if match[2] in modules)
    return sum(count >= len(modules) for count in found.values()) or 1


def _voted(shapes: Mapping[str, Shape], expected: Mapping[str, str]) -> dict[str, int]:
    """Return for each size the number that most weights have in its place; 0 where none has it."""
    votes: dict[str, Counter[int]] = {}
    for name, words in expected.items():
        sizes = words.split()
        shape = shapes.get(name, ())
        for word, size in zip(sizes, shape if len(shape) == len(sizes) else [None] * len(sizes), strict=True):
            if word.isalpha():
                votes.setdefault(word, Counter()).update([] if size is None else [size])
    return {word: next((size for size, _ in counter.most_common(1)), 0) for word, counter in votes.items()}


def _evaluate(word: str, sizes: Sizes) -> int:
    times, _, name = word.rpartition("*")
    return int(times or 1) * (int(name) if name.isdigit() else sizes[name])


def _show(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"
