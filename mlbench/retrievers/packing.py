"""Lays texts side by side in one row of tokens, so that a network spends no work on padding."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from numpy.typing import NDArray

from mlbench.retrievers.batching import packed_batches

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedConfig, PreTrainedModel

Batch = tuple[NDArray[np.intp], "dict[str, Tensor]"]
"""The texts of a batch, by their numbers, and the features of it that a network takes."""
# Encoders that take positions as an input, and in which a token attends to all tokens of its text and to no others.
_NETWORKS = {"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta", "xlm-roberta-xl"}
_LIBRARY = "transformers.models."
_ATTENTION = "mlbench_within_texts"
# The library computes so many weights of attention at once, and those that are left over one by one, which takes longer
# than to pad the keys where there are many.
_LANES = 16


@dataclass(frozen=True, slots=True)
class Packing:
    """How a network takes several texts in one row: its configuration, its first position and how many it has."""

    config: "PreTrainedConfig"
    first: int
    positions: int

    @classmethod
    def of(cls, model: "SentenceTransformer") -> Self | None:
        """Return how the texts of a model are packed; None where they cannot be.

        They can be on a processor, where a transformer of a known kind is followed by a pooling and attends as the
        library lets it by default.
        """
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
        from transformers import AttentionInterface

        modules = list(model)
        if model.device.type != "cpu" or len(modules) < 2 or type(modules[0]) is not Transformer:
            return None
        network = cast("PreTrainedModel", modules[0].auto_model)
        config = network.config
        known = type(network).__module__.startswith(_LIBRARY) and config.model_type in _NETWORKS
        if (
            not known
            or getattr(config, "is_decoder", False)
            or not isinstance(modules[1], Pooling)
            or config._attn_implementation != "sdpa"
        ):
            return None
        AttentionInterface.register(_ATTENTION, _attend_within_texts)
        first = _first_position(network)
        return cls(config, first, int(config.max_position_embeddings) - first)

    def takes(self, features: "Mapping[str, Tensor]", lengths: NDArray[np.int64]) -> bool:
        """Say whether texts of so many tokens, int64 (texts,), can be packed: each has a token, and none too many.

        Networks that count positions behind that of padding do not count a token of padding inside a text.
        """
        if lengths.min() == 0 or lengths.max() > self.positions:
            return False
        inside = features["attention_mask"].bool()
        return self.first == 0 or not bool((features["input_ids"] == self.first - 1)[inside].any())

    def batches(self, features: "Mapping[str, Tensor]", lengths: NDArray[np.int64], budget: int) -> "Iterator[Batch]":
        """Yield texts that it `takes`, padded (texts, tokens), in batches of `budget` tokens, each (1, tokens)."""
        import torch

        for rows in packed_batches(lengths, budget):
            index = torch.from_numpy(rows)
            mask, sizes = features["attention_mask"][index].bool(), torch.from_numpy(lengths[rows])
            batch = {
                name: value[index][mask][None] if isinstance(value, torch.Tensor) else value
                for name, value in features.items()
                if name != "attention_mask"
            }
            ends = sizes.cumsum(0)
            starts = torch.repeat_interleave(ends - sizes, sizes)
            # By this name the libraries know where texts begin in a row; the pooling reads it as well.
            batch["cu_seq_lens_q"] = torch.cat((ends.new_zeros(1), ends))
            batch["position_ids"] = (torch.arange(len(starts)) - starts + self.first)[None]
            yield rows, batch

    @contextmanager
    def attention(self) -> Iterator[None]:
        """Let the network attend within packed texts for a while; it is left as it was."""
        before = self.config._attn_implementation
        self.config._attn_implementation = _ATTENTION
        try:
            yield
        finally:
            self.config._attn_implementation = before


def _first_position(network: "PreTrainedModel") -> int:
    """Return the position of a text's first token: those of RoBERTa's kin come after that of padding."""
    tables = (getattr(module, "position_embeddings", None) for module in network.modules())
    padding = [number for table in tables if isinstance(number := getattr(table, "padding_idx", None), int)]
    return padding[0] + 1 if padding else 0


def _attend_within_texts(
    module: "Module",
    query: "Tensor",
    key: "Tensor",
    value: "Tensor",
    attention_mask: "Tensor | None",
    **options: object,
) -> "tuple[Tensor, None]":
    """Return the attention (1, tokens, heads, dim) of packed texts, neighbours of one length together.

    `query`, `key` and `value` are (1, heads, tokens, dim); `cu_seq_lens_q` among the options has where each text
    begins, and the end.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    edges = cast("Tensor", options.pop("cu_seq_lens_q"))
    lengths, texts = torch.unique_consecutive(edges.diff(), return_counts=True)
    apart = [part[0].split((lengths * texts).tolist(), dim=1) for part in (query, key, value)]
    attended = []
    for length, *parts in zip(lengths.tolist(), *apart, strict=True):
        queries, keys, values = (part.unflatten(1, (-1, length)).transpose(0, 1) for part in parts)
        mask, spare = None, -length % _LANES
        if 0 < spare <= _LANES // 2:
            keys, values = (torch.nn.functional.pad(rows, (0, 0, 0, spare)) for rows in (keys, values))
            mask = query.new_zeros((1, 1, 1, length + spare))
            mask[..., length:] = -torch.inf
        attended.append(sdpa_attention_forward(module, queries, keys, values, mask, **options)[0].flatten(0, 1))
    return torch.cat(attended)[None], None
