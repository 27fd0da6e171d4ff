"""Models of Sentence Transformers that encode images as well as texts, whatever modules follow their network."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.errors import RetrieverError
from mlbench.retrievers.checkpoint import check_checkpoint
from mlbench.retrievers.loading import LoadOptions, load_as, set_max_length
from mlbench.retrievers.towers import Features, ImageTower

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


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
