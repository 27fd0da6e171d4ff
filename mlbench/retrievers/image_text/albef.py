"""ALBEF from its authors' checkpoints: their weights in transformers' ViT and BERT.

The arithmetic is that of salesforce/ALBEF (models/model_retrieval.py, vit.py, xbert.py); captions and images are
prepared as for its evaluation (dataset/utils.py, dataset/__init__.py, Retrieval.py).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError
from mlbench.retrievers.checkpoint_folder import read_json
from mlbench.retrievers.image_text.albef_checkpoint import (
    BLOCK,
    LAYER,
    POSITION_IDS,
    Sizes,
    find_weights,
    read_sizes,
    read_weights,
)
from mlbench.retrievers.image_text.clip import check_length
from mlbench.retrievers.image_text.matching import Matcher, fuse
from mlbench.retrievers.image_text.towers import Features, ImageTower, TextTower, Towers
from mlbench.retrievers.load_checkpoint import DTYPES, LoadOptions, first_line, hold_tensors, quiet
from mlbench.retrievers.model_limits import whole_texts

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from torch.nn import Linear, Module, ModuleDict
    from transformers import BertConfig, BlipImageProcessorPil, PreTrainedTokenizerBase, ViTConfig


# Of the evaluation, in words and in tokens.
_MOST_WORDS = 30
_MAX_LENGTH = 30
_HEAD = 64
_HEADS = ("vision_proj", "text_proj", "itm_head")
# Of new weights, as BERT has it; and what the authors begin with, which training leaves alone.
_DEVIATION = 0.02
_TEMPERATURE = 0.07
_VISION_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "norm": "layernorm",
}
_BLOCK_NAMES = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.o_proj",
}
_PROJECTIONS = ("attention.q_proj", "attention.k_proj", "attention.v_proj")


def open_albef(path: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return the towers of an ALBEF checkpoint; raises as `open_albef_matcher` does."""
    return open_albef_matcher(path, options, max_length).towers


def open_albef_matcher(path: Path, options: LoadOptions, max_length: int | None) -> Matcher:
    """Return the matcher of an ALBEF checkpoint: a folder, or the file of its weights.

    Captions are cut off after 30 words, and after `max_length` tokens (30). Raises `RetrieverError` for weights that
    are missing, not known, of a wrong shape, not finite, or pickled where that is not allowed, and for a tokenizer that
    is missing or has more tokens than the model.
    """
    import torch
    from sentence_transformers.util import get_device_name

    weights = find_weights(path)
    tokenizer = open_albef_tokenizer(options.tokenizer or weights.parent)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    tensors = read_weights(weights, allow_pickle=options.allow_pickle)
    sizes = read_sizes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(weights))
    if len(tokenizer) > sizes["vocabulary"]:
        raise RetrieverError(
            f"{weights} knows {sizes['vocabulary']} tokens and its tokenizer {len(tokenizer)}: name the right one's "
            "folder with --set tokenizer=FOLDER"
        )
    model = _build(tensors, sizes, options.image_size, weights)
    device = options.device or get_device_name()
    model = model.eval().to(device=device, dtype=getattr(torch, DTYPES[options.dtype]))
    length = check_length(max_length or min(_MAX_LENGTH, sizes["places"]), sizes["places"])
    return albef_matcher(model, tokenizer, length)


def clean_caption(caption: str) -> str:
    """Return a caption as ALBEF reads it: lower case, no punctuation, single blanks, at most 30 words.

    As `pre_caption` of salesforce/ALBEF, dataset/utils.py.
    """
    return " ".join(_words(caption)[:_MOST_WORDS])


def _words(caption: str) -> list[str]:
    plain = re.sub(r"""[,.'!?"()*#:;~]""", "", caption.lower())
    plain = plain.replace("-", " ").replace("/", " ").replace("<person>", "person")
    return re.sub(r"\s{2,}", " ", plain).rstrip("\n").strip(" ").split(" ")


def albef_matcher(model: "ModuleDict", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> Matcher:
    """Return the matcher of a network."""
    from torch.nn.functional import normalize

    side = model["vision"].config.image_size
    processor = image_processor(side)

    def tokenise(texts: Sequence[str]) -> Features:
        cleaned = [clean_caption(text) for text in texts]
        given = {"padding": True, "padding_side": "right", "truncation": True, "max_length": max_length}
        rows = tokenizer(cleaned, **given, return_tensors="pt")
        return {name: rows[name] for name in ("input_ids", "attention_mask")}

    def count_tokens(texts: Sequence[str]) -> NDArray[np.int64]:
        return whole_texts(tokenizer)([" ".join(_words(text)) for text in texts])

    def prepare(images: Sequence["Image"]) -> Features:
        return {"pixel_values": processor(list(images), return_tensors="pt")["pixel_values"]}

    def encode_image(features: Features) -> "Tensor":
        return cast("Tensor", model["vision"](pixel_values=features["pixel_values"]).last_hidden_state)

    def project(states: "Tensor") -> "Tensor":
        return normalize(model["vision_proj"](states[:, 0]), dim=-1)

    def encode_text(features: Features) -> Features:
        states = model["text"](features["input_ids"], attention_mask=features["attention_mask"]).last_hidden_state
        return {"states": states, "attention_mask": features["attention_mask"]}

    def project_text(features: Features) -> "Tensor":
        return normalize(model["text_proj"](features["states"][:, 0]), dim=-1)

    def match(texts: Features, image: "Tensor") -> "Tensor":
        states = fuse(model["fusion"].layer, texts["states"], texts["attention_mask"], image)
        return cast("Tensor", model["itm_head"](states[:, 0]))

    towers = Towers(
        TextTower(
            tokenise,
            lambda features: project_text(encode_text(features)),
            max_length,
            count_tokens=count_tokens,
        ),
        ImageTower(prepare, lambda features: project(encode_image(features))),
        str(model["itm_head"].weight.device),
    )
    return Matcher(model, towers, encode_image, project, encode_text, project_text, match, adds_similarity=False)


def image_processor(side: int) -> "BlipImageProcessorPil":
    """Return what prepares images as squares of `side` pixels: bicubic, with CLIP's means and deviations."""
    from transformers import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": side, "width": side})


def _build(tensors: "Mapping[str, Tensor]", sizes: Sizes, image_size: int | None, source: Path) -> "ModuleDict":
    from torch.nn import ModuleDict

    for size in ("width", "hidden"):
        if sizes[size] % _HEAD:
            raise RetrieverError(f"{source}: {sizes[size]} coordinates of a state are no multiple of {_HEAD}")
    if sizes["width"] != sizes["hidden"]:
        raise RetrieverError(f"{source}: images have {sizes['width']} coordinates and texts {sizes['hidden']}")
    heads = _heads(sizes)
    for name, head in heads.items():
        head.load_state_dict({part: tensors[f"{name}.{part}"] for part in ("weight", "bias")})
    text, fusion = _text(tensors, sizes)
    model = ModuleDict({**heads, "vision": _vision(tensors, sizes, image_size, source), "text": text, "fusion": fusion})
    hold_tensors(model)
    return model


def _heads(sizes: Sizes) -> "dict[str, Linear]":
    from torch.nn import Linear

    return {
        "vision_proj": Linear(sizes["width"], sizes["dim"]),
        "text_proj": Linear(sizes["hidden"], sizes["dim"]),
        "itm_head": Linear(sizes["hidden"], 2),
    }


def _vision_config(sizes: Sizes, side: int) -> "ViTConfig":
    from transformers import ViTConfig

    return ViTConfig(
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["blocks"],
        num_attention_heads=sizes["width"] // _HEAD,
        intermediate_size=sizes["mlp"],
        image_size=side,
        patch_size=sizes["patch"],
        layer_norm_eps=1e-6,
        attn_implementation="sdpa",
    )


def _text_configs(sizes: Sizes) -> "tuple[BertConfig, BertConfig]":
    """Return what BERT's first layers are, which read texts alone, and its last ones, which look at the image."""
    from transformers import BertConfig

    options = {
        "vocab_size": sizes["vocabulary"],
        "hidden_size": sizes["hidden"],
        "num_attention_heads": sizes["hidden"] // _HEAD,
        "intermediate_size": sizes["inner"],
        "max_position_embeddings": sizes["places"],
        "type_vocab_size": sizes["types"],
        "layer_norm_eps": 1e-12,
        "attn_implementation": "sdpa",
    }
    # BERT has cross-attention only as a decoder; `fuse` lets each token see the whole text all the same.
    decoding = {"is_decoder": True, "add_cross_attention": True}
    alone = BertConfig(**options, num_hidden_layers=sizes["layers"] - sizes["fusion"])
    return alone, BertConfig(**options, **decoding, num_hidden_layers=sizes["fusion"])


def _vision(tensors: "Mapping[str, Tensor]", sizes: Sizes, image_size: int | None, source: Path) -> "Module":
    from torch import device
    from transformers import ViTModel

    grid = isqrt(sizes["positions"] - 1)
    if grid**2 + 1 != sizes["positions"]:
        raise RetrieverError(
            f"{source}: visual_encoder.pos_embed has {sizes['positions']} positions, no square and one"
        )
    side = image_size or grid * sizes["patch"]
    if side % sizes["patch"]:
        raise RetrieverError(f"image_size={side}: must be a multiple of {sizes['patch']}, the side of a patch")
    # Without memory of its own, which would only be filled with random numbers.
    with device("meta"):
        model = ViTModel(_vision_config(sizes, side), add_pooling_layer=False)
    renamed = dict(_vision_weights(tensors))
    positions = _VISION_NAMES["pos_embed"]
    renamed[positions] = interpolate_positions(renamed[positions], side // sizes["patch"])
    model.load_state_dict(renamed, assign=True)
    return cast("Module", model)


def interpolate_positions(positions: "Tensor", side: int) -> "Tensor":
    """Return embeddings for a grid of `side` x `side` patches, (1, side^2 + 1, width), from those for another square.

    Bicubic over the grid; the first, of the class token, is kept. As `interpolate_pos_embed` of salesforce/ALBEF.
    """
    from torch import cat
    from torch.nn.functional import interpolate

    grid = isqrt(positions.shape[1] - 1)
    if side == grid:
        return positions
    patches = positions[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    patches = interpolate(patches, size=(side, side), mode="bicubic", align_corners=False)
    return cat((positions[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)), dim=1)


def _vision_weights(tensors: "Mapping[str, Tensor]") -> "Iterator[tuple[str, Tensor]]":
    """Yield the image encoder's weights under the names of transformers, queries, keys and values apart."""
    for name, tensor in tensors.items():
        if name.startswith(BLOCK):
            number, _, place = name.removeprefix(BLOCK).partition(".")
            module, _, kind = place.rpartition(".")
            if module == "attn.qkv":
                for projection, third in zip(_PROJECTIONS, tensor.chunk(3), strict=True):
                    yield f"layers.{number}.{projection}.{kind}", third
            else:
                yield f"layers.{number}.{_BLOCK_NAMES.get(module, module)}.{kind}", tensor
        elif name.startswith("visual_encoder."):
            place = name.removeprefix("visual_encoder.")
            module, dot, kind = place.rpartition(".")
            yield (f"{_VISION_NAMES[module]}.{kind}" if dot else _VISION_NAMES[place]), tensor


def new_albef(sizes: Sizes) -> "ModuleDict":
    """Return a network of these sizes (see `read_sizes`), whose weights torch draws as BERT has them."""
    from torch.nn import Embedding, Linear, ModuleDict
    from transformers import BertModel, ViTModel
    from transformers.models.bert.modeling_bert import BertEncoder

    side = isqrt(sizes["positions"] - 1) * sizes["patch"]
    text, fusion = _text_configs(sizes)
    modules = {
        **_heads(sizes),
        "vision": ViTModel(_vision_config(sizes, side), add_pooling_layer=False),
        "text": BertModel(text, add_pooling_layer=False),
        "fusion": BertEncoder(fusion),
    }
    network = ModuleDict(modules)
    for module in network.modules():
        if isinstance(module, Linear | Embedding):
            module.weight.data.normal_(std=_DEVIATION)
        if isinstance(module, Linear):
            module.bias.data.zero_()
    return network


def save_albef(network: "ModuleDict", folder: Path) -> None:
    """Write the weights of a network, by their names in a retrieval checkpoint, and what says that it is an ALBEF."""
    from safetensors.torch import save_file

    save_file(dict(_official_weights(network)), folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "albef"}\n', encoding="utf-8")


def _official_weights(network: "ModuleDict") -> "Iterator[tuple[str, Tensor]]":
    """Yield the weights of a network by their names in a retrieval checkpoint: what `_build` reads."""
    from torch import cat, tensor

    yield "temp", tensor(_TEMPERATURE)
    for name in _HEADS:
        yield from ((f"{name}.{part}", weight.contiguous()) for part, weight in network[name].state_dict().items())
    blocks = {theirs: ours for ours, theirs in _BLOCK_NAMES.items()}
    others = {theirs: ours for ours, theirs in _VISION_NAMES.items()}
    vision = network["vision"].state_dict()
    for name, weight in vision.items():
        if not name.startswith("layers."):
            module, _, kind = name.rpartition(".")
            official = others[name] if name in others else f"{others[module]}.{kind}"
            yield f"visual_encoder.{official}", weight.contiguous()
            continue
        _, number, place = name.split(".", 2)
        module, _, kind = place.rpartition(".")
        if module == _PROJECTIONS[0]:
            thirds = [vision[f"layers.{number}.{each}.{kind}"] for each in _PROJECTIONS]
            yield f"{BLOCK}{number}.attn.qkv.{kind}", cat(thirds)
        elif module not in _PROJECTIONS:
            yield f"{BLOCK}{number}.{blocks.get(module, module)}.{kind}", weight.contiguous()
    for name, weight in network["text"].state_dict().items():
        yield f"text_encoder.{name}", weight.contiguous()
    alone = network["text"].config.num_hidden_layers
    for name, weight in network["fusion"].state_dict().items():
        _, number, place = name.split(".", 2)
        yield f"{LAYER}{int(number) + alone}.{place}", weight.contiguous()


def _text(tensors: "Mapping[str, Tensor]", sizes: Sizes) -> "tuple[Module, Module]":
    """Return BERT's first layers, which read texts alone, and its last ones, which look at the image."""
    from torch import device
    from transformers import BertModel
    from transformers.models.bert.modeling_bert import BertEncoder

    alone = sizes["layers"] - sizes["fusion"]
    text_config, fusion_config = _text_configs(sizes)
    text = BertModel(text_config, add_pooling_layer=False)
    with device("meta"):
        fusion = BertEncoder(fusion_config)
    first, last = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(LAYER):
            number, _, place = name.removeprefix(LAYER).partition(".")
            if int(number) < alone:
                first[f"encoder.layer.{number}.{place}"] = tensor
            else:
                last[f"layer.{int(number) - alone}.{place}"] = tensor
        elif name.startswith("text_encoder.") and name != POSITION_IDS:
            first[name.removeprefix("text_encoder.")] = tensor
    text.load_state_dict(first, assign=True)
    fusion.load_state_dict(last, assign=True)
    return cast("Module", text), cast("Module", fusion)


def open_albef_tokenizer(folder: str | Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in a folder: BERT's, unless it says that it is another.

    Raises `RetrieverError` where there is none, or it cannot be loaded.
    """
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    place = Path(folder).expanduser()
    if not any((place / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise RetrieverError(
            f"{place}: no tokenizer.json or vocab.txt: put those of bert-base-uncased there, or name their folder with "
            "--set tokenizer=FOLDER"
        )
    try:
        with quiet():
            # By its class, as the library cannot guess it from either file alone.
            own = read_json(place / "tokenizer_config.json").get("tokenizer_class")
            tokenizer = (
                BertTokenizer if own in (None, "BertTokenizer", "BertTokenizerFast") else PreTrainedTokenizerFast
            )
            return cast("PreTrainedTokenizerBase", tokenizer.from_pretrained(str(place), local_files_only=True))
    except Exception as error:  # Two libraries read these files, each with errors of its own.
        raise RetrieverError(f"{place}: the tokenizer cannot be loaded: {first_line(error)}") from error
