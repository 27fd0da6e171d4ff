"""BLIP, from transformers: two towers, and a text encoder that looks at the image.

What stands first in a text is [CLS] for both, as transformers does it. The original evaluation (salesforce/BLIP,
train_retrieval.py) puts a token of its own, [ENC], in its place where the text encoder looks at the image; with
`matching_token` so does the reranker.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlbench.errors import RetrieverError
from mlbench.retrievers.checkpoint_folder import check_checkpoint
from mlbench.retrievers.image_text.clip import check_length, open_tokenizer
from mlbench.retrievers.image_text.matching import Matcher, fuse
from mlbench.retrievers.image_text.towers import (
    Features,
    ImageTower,
    TextTower,
    Towers,
    open_image_processor,
)
from mlbench.retrievers.load_checkpoint import LoadOptions, load_network
from mlbench.retrievers.model_limits import whole_texts

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def open_blip(folder: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return the towers of a BLIP checkpoint for retrieval; raises as `open_blip_matcher` does."""
    return open_blip_matcher(folder, options, max_length).towers


def open_blip_matcher(folder: Path, options: LoadOptions, max_length: int | None) -> Matcher:
    """Return the matcher of a BLIP checkpoint of transformers' `BlipForImageTextRetrieval`.

    Raises `RetrieverError` as `open_contrastive` does; a checkpoint for captions or questions lacks the two towers.
    """
    from transformers import BlipForImageTextRetrieval

    check_checkpoint(folder, allow_pickle=options.allow_pickle)
    prepare = open_image_processor(folder)
    tokenizer = open_tokenizer(folder)
    network: PreTrainedModel = load_network(folder, options, BlipForImageTextRetrieval.from_pretrained)
    text = network.config.text_config
    if not text.is_decoder:
        raise RetrieverError(f"{folder}: its text encoder has no cross-attention (is_decoder is false)")
    length = check_length(max_length, min(int(text.max_position_embeddings), int(tokenizer.model_max_length)))
    return blip_matcher(network, tokenizer, prepare, length)


def blip_matcher(
    network: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prepare: "Callable[[Sequence[Image]], Features]",
    max_length: int,
) -> Matcher:
    """Return the matcher of a network; `prepare` is that of its image tower."""
    from torch.nn.functional import normalize

    encoder = network.text_encoder

    def tokenise(texts: Sequence[str]) -> Features:
        # Rows are cut on the right, to the longest of a batch.
        given = {"padding": True, "padding_side": "right", "truncation": True, "max_length": max_length}
        rows = tokenizer(list(texts), **given, return_tensors="pt")
        return {name: rows[name] for name in ("input_ids", "attention_mask")}

    def read(features: Features) -> "Tensor":
        states = encoder(input_ids=features["input_ids"], attention_mask=features["attention_mask"]).last_hidden_state
        return normalize(network.text_proj(states[:, 0]), dim=-1)

    def encode_image(features: Features) -> "Tensor":
        return cast("Tensor", network.vision_model(pixel_values=features["pixel_values"]).last_hidden_state)

    def project(states: "Tensor") -> "Tensor":
        return normalize(network.vision_proj(states[:, 0]), dim=-1)

    def match(texts: Features, image: "Tensor") -> "Tensor":
        states = encoder.embeddings(input_ids=texts["input_ids"])
        states = fuse(encoder.encoder.layer, states, texts["attention_mask"], image)
        return cast("Tensor", network.itm_head(states[:, 0]))

    towers = Towers(
        TextTower(tokenise, read, max_length, count_tokens=whole_texts(tokenizer)),
        ImageTower(prepare, lambda features: project(encode_image(features))),
        str(network.device),
    )
    return Matcher(network, towers, encode_image, project, dict, read, match, adds_similarity=True)
