"""CLIP and similar dual encoders, from transformers, from Sentence Transformers, or built in memory."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlbench.errors import RetrieverError
from mlbench.retrievers.checkpoint_folder import check_checkpoint
from mlbench.retrievers.image_text.towers import (
    Features,
    ImageTower,
    TextTower,
    Towers,
    open_image_processor,
)
from mlbench.retrievers.load_checkpoint import (
    DTYPES,
    LoadOptions,
    digest_network,
    first_line,
    load_as,
    load_network,
    quiet,
    set_max_length,
)
from mlbench.retrievers.model_limits import whole_texts

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin


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
        # Rows are cut on the right, to the longest of a batch.
        padding, side = ("max_length", None) if fixed else ("longest", "right")
        rows = tokenizer(
            list(texts),
            padding=padding,
            padding_side=side,
            truncation=True,
            max_length=length,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return dict(rows)

    # The mask is made in any case, to count tokens, yet only what the library's tokenizer gives reaches the network.
    embed_texts = _features(network, "get_text_features", tokenizer.model_input_names)
    embed_images = _features(network, "get_image_features", None)
    text = TextTower(tokenise, embed_texts, length, fixed_width=fixed, count_tokens=whole_texts(tokenizer))
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


def open_library(folder: Path, options: LoadOptions, max_length: int | None) -> "SentenceTransformer":
    """Return the model in a folder; raises `RetrieverError` as `load` does, and for one that reads texts alone."""
    from sentence_transformers import SentenceTransformer

    check_checkpoint(folder, allow_pickle=options.allow_pickle)
    # The library's other image processor, where it is installed, resizes images a little otherwise.
    model = load_as(folder, options, partial(SentenceTransformer, processor_kwargs={"backend": "pil"}))
    if not reads_images(model):
        raise RetrieverError(f"{folder} reads texts alone: name its image tower with --set image_model=FOLDER")
    if max_length is not None:
        set_max_length(model, max_length)
    return model


def reads_images(model: "SentenceTransformer") -> bool:
    """Say whether the model encodes images alone, and not only beside texts."""
    return "image" in model.modalities


def image_tower_of(model: "SentenceTransformer") -> ImageTower:
    """Return what encodes the images of such a model, which is put into evaluation mode."""
    import torch

    def prepare(images: "Sequence[Image]") -> Features:
        made = model.preprocess(list(images))
        return {name: value for name, value in made.items() if isinstance(value, torch.Tensor)}

    def embed(features: Features) -> "Tensor":
        model.eval()
        vectors: Tensor = model({**features, "modality": "image"})["sentence_embedding"]
        return vectors

    return ImageTower(prepare, embed)


class ModelAndProcessor(NamedTuple):
    """A network of transformers with towers for texts and images, and its processor of both."""

    network: "PreTrainedModel"
    processor: "ProcessorMixin"

    def towers(self) -> Towers:
        """Return both towers, which follow the network in training."""
        processor = self.processor.image_processor

        def prepare(images: "Sequence[Image]") -> Features:
            return dict(processor(images=list(images), return_tensors="pt"))

        return towers_of(self.network, self.processor.tokenizer, prepare)

    def digest(self) -> str:
        """Return the SHA-256 (hex) of all that decides its vectors, taken now."""
        settings = self.processor.image_processor.to_json_string()
        return digest_network(self.network, self.processor.tokenizer, settings)

    def dtype(self) -> str:
        """Return the precision of its weights, as the key `dtype` has it."""
        name = str(self.network.dtype).removeprefix("torch.")
        return next((short for short, long in DTYPES.items() if long == name), name)


def as_pair(model: object) -> ModelAndProcessor | None:
    """Return a tuple of a network with features of texts and images, and its processor; None for any other object."""
    if not isinstance(model, tuple) or len(model) != 2:
        return None
    network, processor = model
    whole = all(hasattr(network, name) for name in ("get_text_features", "get_image_features"))
    parts = all(hasattr(processor, name) for name in ("tokenizer", "image_processor"))
    return ModelAndProcessor(network, processor) if whole and parts else None
