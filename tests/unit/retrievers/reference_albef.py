"""ALBEF's arithmetic written out in double precision, from what albef-keys.txt says of it and nothing else."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
HEAD = 64


class Weights:
    """The weights of a checkpoint under one prefix."""

    def __init__(self, state: "Mapping[str, Tensor]", prefix: str = "") -> None:
        self.state, self.prefix = state, prefix

    def __getitem__(self, name: str) -> "Tensor":
        return self.state[self.prefix + name].double()

    def under(self, prefix: str) -> "Weights":
        return Weights(self.state, f"{self.prefix}{prefix}.")

    def count(self, prefix: str) -> int:
        whole = self.prefix + prefix
        return len({name[len(whole) :].split(".")[0] for name in self.state if name.startswith(whole)})

    def linear(self, name: str, states: "Tensor") -> "Tensor":
        return states @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def norm(self, name: str, states: "Tensor", epsilon: float) -> "Tensor":
        centred = states - states.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + epsilon).sqrt()
        return centred / scale * self[f"{name}.weight"] + self[f"{name}.bias"]


def gelu(states: "Tensor") -> "Tensor":
    import torch

    return states * (1 + torch.erf(states / 2**0.5)) / 2


def attention(query: "Tensor", key: "Tensor", value: "Tensor", mask: "Tensor | None" = None) -> "Tensor":
    """One head of 64 coordinates after the other; `mask` is 1 for the tokens to be seen."""
    import torch

    seen = []
    for start in range(0, query.shape[-1], HEAD):
        part = slice(start, start + HEAD)
        weights = torch.exp(query[..., part] @ key[..., part].transpose(-1, -2) / HEAD**0.5)
        if mask is not None:
            weights = weights * mask[:, None, :]
        seen.append(weights / weights.sum(-1, keepdim=True) @ value[..., part])
    return torch.cat(seen, dim=-1)


def pixels(image: Any, side: int) -> "Tensor":
    """The image as a bicubic square of numbers, (1, 3, side, side)."""
    import torch
    from PIL import Image

    levels = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    return torch.from_numpy((levels - MEAN) / DEVIATION).permute(2, 0, 1)[None]


def see(weights: Weights, image: "Tensor") -> "Tensor":
    import torch

    vision = weights.under("visual_encoder")
    kernel = vision["patch_embed.proj.weight"]
    size, side = kernel.shape[-1], image.shape[-1] // kernel.shape[-1]
    patches = [
        (image[0, :, row * size : (row + 1) * size, column * size : (column + 1) * size] * kernel).sum((1, 2, 3))
        for row in range(side)
        for column in range(side)
    ]
    states = torch.stack(patches)[None] + vision["patch_embed.proj.bias"]
    states = torch.cat([vision["cls_token"], states], dim=1) + vision["pos_embed"]
    for number in range(vision.count("blocks.")):
        block = vision.under(f"blocks.{number}")
        query, key, value = block.linear("attn.qkv", block.norm("norm1", states, 1e-6)).chunk(3, dim=-1)
        states = states + block.linear("attn.proj", attention(query, key, value))
        states = states + block.linear("mlp.fc2", gelu(block.linear("mlp.fc1", block.norm("norm2", states, 1e-6))))
    return vision.norm("norm", states, 1e-6)


def look(layer: Weights, name: str, states: "Tensor", at: "Tensor", mask: "Tensor | None") -> "Tensor":
    part = layer.under(name)
    seen = attention(
        part.linear("self.query", states), part.linear("self.key", at), part.linear("self.value", at), mask
    )
    return part.norm("output.LayerNorm", part.linear("output.dense", seen) + states, 1e-12)


def read(weights: Weights, states: "Tensor", mask: "Tensor", image: "Tensor | None") -> "Tensor":
    """The layers that read texts alone (no `image`), or the others."""
    encoder = weights.under("text_encoder.encoder")
    for number in range(encoder.count("layer.")):
        layer = encoder.under(f"layer.{number}")
        fuses = f"{layer.prefix}crossattention.self.query.weight" in layer.state
        if fuses != (image is not None):
            continue
        states = look(layer, "attention", states, states, mask)
        if image is not None:
            states = look(layer, "crossattention", states, image, None)
        inner = layer.linear("output.dense", gelu(layer.linear("intermediate.dense", states)))
        states = layer.norm("output.LayerNorm", inner + states, 1e-12)
    return states


def begin(weights: Weights, tokens: "Tensor", mask: "Tensor") -> "Tensor":
    table = weights.under("text_encoder.embeddings")
    states = table["word_embeddings.weight"][tokens] + table["token_type_embeddings.weight"][0]
    states = states + table["position_embeddings.weight"][: tokens.shape[1]]
    return read(weights, table.norm("LayerNorm", states, 1e-12), mask, None)


def vector(weights: Weights, name: str, states: "Tensor") -> "Tensor":
    projected = weights.linear(name, states[:, 0])
    return projected / projected.norm(dim=-1, keepdim=True)


def match(weights: Weights, states: "Tensor", mask: "Tensor", image: "Tensor") -> float:
    return float(weights.linear("itm_head", read(weights, states, mask, image)[:, 0])[0, 1])
