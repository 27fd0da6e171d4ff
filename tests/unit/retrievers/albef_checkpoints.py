"""ALBEF checkpoints with random weights, under the official names, and small ones as well."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unit.retrievers.image_text_checkpoints import bert_tokenizer

Shapes = Mapping[str, tuple[int, ...]]

DEPTH = 4
"""Blocks and layers of the small model; the last two of its layers look at the image."""

SMALL = {768: 128, 2304: 384, 3072: 80, 577: 17, 16: 8, 30522: 400, 512: 40, 256: 24}
"""The official sizes, and what the small model has instead: two heads, and 4 x 4 patches of 8 x 8 pixels."""


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of the official retrieval checkpoint."""
    lines = Path(__file__).with_name("albef-keys.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {name: () if shape == "scalar" else tuple(map(int, shape.split(" x "))) for name, shape in rows}


def small_shapes() -> dict[str, tuple[int, ...]]:
    """Return the same for a small model: its first blocks, and the layers around the first that sees the image."""
    shapes = {}
    for name, shape in official_shapes().items():
        match = re.fullmatch(r"(visual_encoder\.blocks\.|text_encoder\.encoder\.layer\.)(\d+)(.*)", name)
        number = int(match[2]) - (6 - DEPTH // 2 if "layer" in match[1] else 0) if match else 0
        if 0 <= number < DEPTH:
            shorter = f"{match[1]}{number}{match[3]}" if match else name
            shapes[shorter] = tuple(SMALL.get(size, size) for size in shape)
    return shapes


def random_state(shapes: Shapes, seed: int = 1) -> dict[str, Any]:
    """Return weights of these shapes, spread so widely that different texts and images get different scores."""
    import torch

    torch.manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if name.endswith("position_ids"):
            state[name] = torch.arange(shape[1]).reshape(shape)
        else:
            is_scale = "norm" in name.lower() and name.endswith("weight")
            state[name] = float(is_scale) + 0.1 * torch.randn(shape)
    return state


def save_albef(folder: Path, state: Mapping[str, Any] | None = None, *, wrapped: bool = True) -> Path:
    """Write weights, those of the small model where none are given, and a vocabulary, as people download them."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = dict(random_state(small_shapes()) if state is None else state)
    torch.save({"model": state, "epoch": 4} if wrapped else state, folder / "flickr30k.pth")
    words = sorted((number, word) for word, number in bert_tokenizer().get_vocab().items())
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for _, word in words), encoding="utf-8")
    return folder
