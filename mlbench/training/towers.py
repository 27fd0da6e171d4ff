"""Two models that were trained apart, joined into one of images and texts, of which a tower may be locked."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.images import open_images
from mlbench.collection.records import Image
from mlbench.errors import UserError
from mlbench.protocols import Progress, Runtime
from mlbench.retrievers.checkpoint_folder import find_checkpoint
from mlbench.retrievers.load_checkpoint import LoadOptions, load
from mlbench.training.recipe_tables import ImageTextModel

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch.nn import Module

_IMAGES_AT_ONCE = 64
_TEMPERATURE = "logit_scale"


def join_towers(settings: ImageTextModel, root: Path, runtime: Runtime) -> "SentenceTransformer":
    """Return both towers of a recipe as one model, float32, the text tower with a new projection that torch draws.

    Folders are looked for in `root`, then here; what is none is a hub id. The model routes texts and images to their
    tower. Raises `RetrieverError` for what cannot be loaded, and `UserError` for a tower that does not read what it is
    named for.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import Dense
    from torch.nn import Identity

    assert settings.image_tower is not None
    assert settings.text_tower is not None
    image = _load(settings.image_tower, root, runtime)
    text = _load(settings.text_tower, root, runtime, max_length=settings.max_length)
    for key, tower, modality in (("image_tower", image, "image"), ("text_tower", text, "text")):
        if modality not in getattr(tower[0], "modalities", ("text",)):
            raise UserError(f"image_text.{key}: {getattr(settings, key)} reads no {modality}s")
    sizes = [tower.get_embedding_dimension() for tower in (text, image)]
    projection = Dense(sizes[0], sizes[1], bias=False, activation_function=Identity())
    router = Router(
        {"text": [*text, projection], "image": [*image]},
        default_route="text",
        route_mappings={(None, "text"): "text", (None, "image"): "image"},
    )
    model = SentenceTransformer(modules=[router], device="cpu")
    model.prompts = {"query": settings.text_prefix, "document": settings.text_prefix}
    return model


def lock_tower(model: "SentenceTransformer", locked: str) -> None:
    """Keep the weights of the tower that is `locked` as they are, and its dropout off; but for the temperature."""
    if locked == "none":
        return
    modules = list(tower_of(model, locked))
    # The projection is new, and brings a locked text tower into the space of the images.
    for module in modules[:-1] if locked == "text" else modules:
        for name, parameter in module.named_parameters():
            if not name.endswith(_TEMPERATURE):
                parameter.requires_grad_(False)
        _stay_in_evaluation(module)


def _stay_in_evaluation(module: "Module") -> None:
    module.eval()
    # The trainer puts the whole model into training mode again and again.
    module.train = lambda mode=True: module


def tower_of(model: "SentenceTransformer", modality: str) -> "Iterable[Module]":
    """Return the modules that a modality takes in a model, be it of one tower for both or joined from two."""
    routes = getattr(model[0], "sub_modules", None)
    return cast("Iterable[Module]", model if routes is None else routes[modality])


def encode_images(
    model: "SentenceTransformer", images: Iterable[Image], progress: Progress
) -> Mapping[Image, NDArray[np.float32]]:
    """Return the vector of each image, float32 (dim,), as a tower that is locked gives it all through a training."""
    distinct = list(dict.fromkeys(images))
    progress.start("encode images", len(distinct))
    found: dict[Image, NDArray[np.float32]] = {}
    for some, vectors in _encoded(model, distinct):
        found |= zip(some, vectors, strict=True)
        progress.advance(len(some))
    progress.finish()
    return found


def _encoded(model: "SentenceTransformer", images: list[Image]) -> Iterator[tuple[list[Image], NDArray[np.float32]]]:
    for first in range(0, len(images), _IMAGES_AT_ONCE):
        some = images[first : first + _IMAGES_AT_ONCE]
        opened = list(open_images([image.path for image in some]))
        yield some, np.asarray(model.encode(opened, show_progress_bar=False), dtype=np.float32)


def _load(place: str, root: Path, runtime: Runtime, max_length: int | None = None) -> "SentenceTransformer":
    beside = root / Path(place).expanduser()
    folder = find_checkpoint(str(beside) if beside.is_dir() else place, None, allow_pickle=runtime.allow_pickle)
    return load(folder, LoadOptions(device="cpu", allow_pickle=runtime.allow_pickle), max_length=max_length)
