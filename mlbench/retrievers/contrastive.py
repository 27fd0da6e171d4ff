"""CLIP and its kin, from transformers: networks with a tower for texts and one for images that meet in one space."""

from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.errors import RetrieverError
from mlbench.retrievers.checkpoint import check_checkpoint
from mlbench.retrievers.image_processors import open_image_processor
from mlbench.retrievers.loading import LoadOptions, first_line, load_network, quiet
from mlbench.retrievers.towers import Features, ImageTower, TextTower, Towers

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# They were trained on texts of one width, and look at the padding.
_FIXED_WIDTH = ("siglip", "siglip2")


def open_contrastive(folder: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return the towers of a checkpoint of transformers whose network has features of texts and of images."""
    from transformers import AutoModel

    check_checkpoint(folder, allow_pickle=options.allow_pickle)
    prepare = open_image_processor(folder)
    tokenizer = open_tokenizer(folder)
    network: PreTrainedModel = load_network(folder, options, AutoModel.from_pretrained)
    return towers_of(network, tokenizer, prepare, max_length)


def towers_of(
    network: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prepare: "Callable[[Sequence[Image]], Features]",
    max_length: int | None = None,
) -> Towers:
    """Return the towers of a network, which is put into evaluation mode whenever they are used.

    Raises `RetrieverError` where it takes less than `max_length` tokens.
    """
    width = _width(network, tokenizer)
    fixed = network.config.model_type in _FIXED_WIDTH
    length = check_length(max_length, width, fixed_width=fixed)

    def tokenise(texts: Sequence[str]) -> Features:
        padding = "max_length" if fixed else "longest"
        rows = tokenizer(
            list(texts),
            padding=padding,
            truncation=True,
            max_length=length,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return dict(rows)

    # The mask is made in any case, to count tokens, yet only what the library's tokenizer gives reaches the network.
    embed_texts = _features(network, "get_text_features", tokenizer.model_input_names)
    embed_images = _features(network, "get_image_features", None)
    text = TextTower(tokenise, embed_texts, length, fixed_width=fixed)
    return Towers(text, ImageTower(prepare, embed_images), str(network.device))


def open_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer in a folder; raises `RetrieverError` where it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise RetrieverError(f"{folder}: the tokenizer cannot be loaded: {first_line(error)}") from error
    return tokenizer


def check_length(asked: int | None, width: int, *, fixed_width: bool = False) -> int:
    """Return after how many tokens texts are cut off: `asked`, or the `width` that the network takes.

    Raises `RetrieverError` where the network takes fewer than `asked`, or no other number.
    """
    if asked is not None and fixed_width and asked != width:
        raise RetrieverError(f"max_length={asked}: the checkpoint reads texts of {width} tokens, padding included")
    if asked is not None and asked > width:
        raise RetrieverError(f"max_length={asked}: the checkpoint takes {width} tokens at most")
    return asked or width


def _width(network: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return how many tokens of a text the network reads: what its tokenizer says, if it has so many positions."""
    text = network.config.text_config
    positions = int(text.max_position_embeddings)
    if network.config.model_type == "altclip":
        # As in XLM-R, the first position is the one behind the number of the padding token.
        positions -= int(text.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def _features(network: "PreTrainedModel", method: str, names: Sequence[str] | None) -> Callable[[Features], "Tensor"]:
    """Return the network's `method`, which gets those of `names` (None: all) that it takes."""
    call = getattr(network, method)
    taken = set(signature(call).parameters)
    wanted = taken if names is None else taken & set(names)

    def embed(features: Features) -> "Tensor":
        network.eval()
        vectors: Tensor = call(**{name: value for name, value in features.items() if name in wanted}).pooler_output
        return vectors

    return embed
