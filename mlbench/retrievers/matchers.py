"""Networks that read an image and a text together, by the `model_type` of their checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlbench.errors import RetrieverError
from mlbench.retrievers.loading import LoadOptions
from mlbench.retrievers.towers import Features, Towers, check_kind

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import ModuleList


@dataclass(frozen=True)
class Matcher:
    """What says how well a text fits an image, both read together.

    `see` takes what `towers.image.prepare` returns and gives the states of images, (images, patches + 1, width), from
    which `project` gives the vectors (images, dim) that `towers.image.embed` returns. `begin` does with tokenised texts
    what does not depend on the image; the first two axes of all that it returns are (texts, longest). `match` takes
    that and the states of one image, (1, patches + 1, width), and returns logits (texts,). All are on one device.
    `adds_similarity` says whether those who made the model add the cosine of both towers to the logit.
    """

    towers: Towers
    see: Callable[[Features], "Tensor"]
    project: Callable[["Tensor"], "Tensor"]
    begin: Callable[[Features], Features]
    match: Callable[[Features, "Tensor"], "Tensor"]
    adds_similarity: bool


Opener = Callable[[Path, LoadOptions, int | None], Matcher]
"""Returns the matcher of a checkpoint's folder; raises as an `Opener` of towers does."""

OPENERS: dict[str, tuple[str, str]] = {
    "blip": ("mlbench.retrievers.blip", "open_blip_matcher"),
    "albef": ("mlbench.retrievers.albef", "open_albef_matcher"),
}


def open_matcher(folder: Path, options: LoadOptions, max_length: int | None) -> Matcher:
    """Return the matcher of a checkpoint's folder; raises `RetrieverError` as an `Opener` does."""
    kind = check_kind(folder, options)
    if kind not in OPENERS:
        known = " and ".join(sorted(OPENERS))
        raise RetrieverError(f"{folder}: a {kind or 'model of no known kind'} reads no pairs: {known} checkpoints do")
    module, name = OPENERS[kind]
    return cast(Opener, getattr(import_module(module), name))(folder, options, max_length)


def fuse(layers: "ModuleList", texts: "Tensor", attention_mask: "Tensor", image: "Tensor") -> "Tensor":
    """Return the states (texts, longest, width) of texts that have looked at one image, after all `layers`.

    `layers` are a BERT's, with cross-attention; `texts` are (texts, longest, width), `attention_mask` is 0 at padding,
    and `image` is (1, patches + 1, width).
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    ignored = (attention_mask == 0)[:, None, None, :]
    mask = torch.zeros_like(ignored, dtype=texts.dtype).masked_fill_(ignored, torch.finfo(texts.dtype).min)

    def heads(states: "Tensor", size: int) -> "Tensor":
        return states.reshape(1, -1, states.shape[-1] // size, size).transpose(1, 2)

    for layer in layers:
        texts, _ = layer.attention(texts, attention_mask=mask)
        cross = layer.crossattention.self
        size = cross.attention_head_size
        # All tokens of all texts look at the same patches, so they are one sequence, and these are projected once.
        seen = scaled_dot_product_attention(
            heads(cross.query(texts), size), heads(cross.key(image), size), heads(cross.value(image), size)
        )
        texts = layer.crossattention.output(seen.transpose(1, 2).reshape(texts.shape), texts)
        texts = layer.feed_forward_chunk(texts)
    return texts
