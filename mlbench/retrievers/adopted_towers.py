"""Image-text models that were built in memory: what of them is taken, and their digest."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from mlbench.retrievers.contrastive import towers_of
from mlbench.retrievers.library_towers import reads_images
from mlbench.retrievers.loading import DTYPES, digest_network
from mlbench.retrievers.towers import Features, Towers

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from transformers import PreTrainedModel, ProcessorMixin


class Pair(NamedTuple):
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


def as_library(model: object) -> "SentenceTransformer | None":
    """Return a SentenceTransformer that encodes images; None for any other object."""
    # An object of a library that was never imported cannot exist.
    library = sys.modules.get("sentence_transformers")
    if library is None or not isinstance(model, library.SentenceTransformer):
        return None
    built = cast("SentenceTransformer", model)
    return built if reads_images(built) else None


def as_pair(model: object) -> Pair | None:
    """Return a tuple of a network with features of texts and images, and its processor; None for any other object."""
    if not isinstance(model, tuple) or len(model) != 2:
        return None
    network, processor = model
    whole = all(hasattr(network, name) for name in ("get_text_features", "get_image_features"))
    parts = all(hasattr(processor, name) for name in ("tokenizer", "image_processor"))
    return Pair(network, processor) if whole and parts else None
