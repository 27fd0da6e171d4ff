"""Multilingual-CLIP: a text encoder of transformers, mean pooling, and a linear layer into the space of a CLIP.

The arithmetic is that of FreddeFrallan/Multilingual-CLIP (multilingual_clip/pt_multilingual_clip.py), where texts are
not cut off; here they are at as many tokens as the encoder reads.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.retrievers.checkpoint_folder import check_checkpoint, read_json
from mlbench.retrievers.image_text.clip import check_length, open_tokenizer, positions_of
from mlbench.retrievers.image_text.towers import Features, LoadedTower, TextTower
from mlbench.retrievers.load_checkpoint import (
    DTYPES,
    LoadOptions,
    check_complete,
    check_finite,
    first_line,
    hold_tensors,
    quiet,
)
from mlbench.retrievers.model_limits import whole_texts

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import ModuleDict
    from transformers import PreTrainedConfig

# Of the encoder's weights, these are not used or no longer there.
_UNUSED = ("transformer.pooler.", "transformer.embeddings.position_ids")


def open_multilingual_clip(folder: Path, options: LoadOptions, max_length: int | None) -> LoadedTower[TextTower]:
    """Return the text tower of a checkpoint of Multilingual-CLIP.

    The encoder's configuration is that of `modelBase` in config.json, a folder or a hub id, or config.json itself.
    Raises `RetrieverError` where it cannot be loaded, lacks weights or has some that are not finite.
    """
    import torch
    from sentence_transformers.util import get_device_name

    check_checkpoint(folder, allow_pickle=options.allow_pickle)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    tokenizer, config = open_tokenizer(folder), _encoder_config(folder)
    model = _build(folder, config, _read_weights(folder))
    device = options.device or get_device_name()
    model = model.eval().to(device=device, dtype=getattr(torch, DTYPES[options.dtype]))
    length = check_length(max_length, min(positions_of(config), int(tokenizer.model_max_length)))

    def tokenise(texts: Sequence[str]) -> Features:
        given = {"padding": True, "padding_side": "right", "truncation": True, "max_length": length}
        rows = tokenizer(list(texts), **given, return_tensors="pt")
        return {name: rows[name] for name in ("input_ids", "attention_mask")}

    def embed(features: Features) -> "Tensor":
        states = model["transformer"](**features).last_hidden_state
        mask = features["attention_mask"][:, :, None]
        return cast("Tensor", model["LinearTransformation"]((states * mask).sum(dim=1) / mask.sum(dim=1)))

    digest = sha256(config.to_json_string(use_diff=False).encode()).hexdigest()
    return LoadedTower(TextTower(tokenise, embed, length, count_tokens=whole_texts(tokenizer)), device, digest)


def _encoder_config(folder: Path) -> "PreTrainedConfig":
    from transformers import AutoConfig

    base = read_json(folder / "config.json").get("modelBase", folder)
    try:
        with quiet():
            config: PreTrainedConfig = AutoConfig.from_pretrained(
                str(base), local_files_only=offline(), trust_remote_code=False
            )
    except Exception as error:
        raise RetrieverError(
            f"{folder}: the configuration of its encoder, {base}, cannot be loaded ({first_line(error)}): download it "
            "once, or name its folder as modelBase in config.json"
        ) from error
    return config


def _read_weights(folder: Path) -> "Mapping[str, Tensor]":
    import torch
    from safetensors.torch import load_file

    safe = folder / "model.safetensors"
    try:
        # Nothing but tensors is read from a pickle, and that only where the user allows it.
        found = (
            load_file(safe) if safe.is_file() else torch.load(folder / "pytorch_model.bin", "cpu", weights_only=True)
        )
    except Exception as error:
        raise RetrieverError(f"{folder}: the weights cannot be loaded: {first_line(error)}") from error
    return {name: tensor for name, tensor in found.items() if not name.startswith(_UNUSED)}


def _build(folder: Path, config: "PreTrainedConfig", weights: "Mapping[str, Tensor]") -> "ModuleDict":
    from torch.nn import Linear, ModuleDict
    from transformers import AutoModel

    head = weights.get("LinearTransformation.weight")
    if head is None or head.ndim != 2:
        raise RetrieverError(f"{folder}: no weight LinearTransformation.weight; is it a model of Multilingual-CLIP?")
    try:
        with quiet():
            encoder = AutoModel.from_config(config, trust_remote_code=False)
            model = ModuleDict({"transformer": encoder, "LinearTransformation": Linear(head.shape[1], head.shape[0])})
            found = model.load_state_dict(weights, strict=False)
            hold_tensors(model)
    except Exception as error:
        raise RetrieverError(f"{folder}: cannot be loaded: {first_line(error)}") from error
    check_complete(sorted(name for name in found.missing_keys if not name.startswith(_UNUSED)), folder)
    if found.unexpected_keys:
        raise RetrieverError(
            f"{folder}: weight {found.unexpected_keys[0]} is not known to a {config.model_type} encoder"
        )
    check_finite(model, str(folder))
    return model
