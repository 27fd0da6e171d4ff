"""Image-text encoders: CLIP and its kin, BLIP, ALBEF, and multilingual text towers beside an image tower."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.protocols import Parameter, Runtime
from mlbench.retrievers.adopted_towers import as_library, as_pair
from mlbench.retrievers.dense import Dense, require_torch
from mlbench.retrievers.dense_encoder import DenseEncoder, Use
from mlbench.retrievers.image_text_encoder import ImageTextEncoder, Texts
from mlbench.retrievers.library_towers import image_tower_of, open_library
from mlbench.retrievers.loading import DType, LoadOptions, digest_model
from mlbench.retrievers.tower_encoders import TowerImages, TowerTexts
from mlbench.retrievers.towers import (
    OPENERS,
    Towers,
    check_kind,
    digest_towers,
    find_towers,
    kind_of,
    open_towers,
)

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class ImageText:
    """Image-text models such as CLIP, SigLIP, AltCLIP, BLIP and ALBEF (locator: a folder or hub id)."""

    extra = "images"
    libraries = ("torch", "transformers", "sentence_transformers", "PIL")
    example = "image_text:google/siglip-base-patch16-256-multilingual"

    class Settings(BaseModel):
        """Keys of `image_text:`; what is not set comes from the checkpoint."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        text_prefix: str = Field("", description="put before each text, with its blank, as in 'A photo depicts '")
        image_model: str | None = Field(None, description="encodes the images, where the locator reads texts alone")
        max_length: int | None = Field(None, ge=1, description="tokens after which a text is cut off")
        dtype: DType = Field("fp32", description="precision: bf16 is fastest where the processor knows it")
        revision: str | None = Field(None, description="branch, tag or commit of the locator on the hub")
        batch_tokens: int | None = Field(None, ge=1, description="tokens per batch, padding included")
        image_batch_size: int = Field(32, ge=1, description="images per batch")
        image_size: int | None = Field(None, ge=1, description="side of the images in pixels (ALBEF)")
        tokenizer: str | None = Field(None, description="folder of the tokenizer, where it lies apart (ALBEF)")

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> ImageTextEncoder:
        """Load the checkpoint, or the two of a text and an image tower.

        Raises `MissingExtra` without torch, transformers, sentence-transformers or Pillow, and `RetrieverError` as
        `Dense.open` does, where the image processor is missing, and where the towers do not fit together.
        """
        assert isinstance(settings, ImageText.Settings)
        require_images()
        find = partial(find_towers, allow_pickle=runtime.allow_pickle)
        folder = find(locator, settings.revision)
        loaded: dict[str, Parameter] = {
            "allow_pickle": runtime.allow_pickle,
            "trust_remote_code": runtime.trust_remote_code,
        }
        if settings.image_model is None:
            both = _open(folder, settings, runtime)
            return ImageTextEncoder(both.texts, both.images, settings.text_prefix, loaded=loaded, folder=folder)
        other = find(settings.image_model, None)
        images = _open(other, settings.model_copy(update={"max_length": None}), runtime).images
        texts = _open_texts(folder, settings, runtime)
        # A folder's whole path is nobody's business.
        loaded["image_model"] = other.name if Path(settings.image_model).expanduser().exists() else settings.image_model
        return ImageTextEncoder(texts, images, settings.text_prefix, loaded=loaded, folder=folder)

    @staticmethod
    def adopt(model: object, settings: BaseModel, runtime: Runtime) -> ImageTextEncoder | None:
        """Return the encoder of a model already built, as it is: a SentenceTransformer that encodes images, or a pair
        of a network of transformers and its processor.

        None for any other object. Fingerprints follow its tensors, and `RetrieverError` is raised, as `Dense.adopt`
        does.
        """
        assert isinstance(settings, ImageText.Settings)
        sides = _adopt(model, settings, runtime)
        late = settings.model_fields_set - {"text_prefix", "batch_tokens", "image_batch_size"}
        if sides is not None and late:
            raise RetrieverError(
                f"a model in memory is taken as it is: set {', '.join(sorted(late))} where it is built"
            )
        return None if sides is None else ImageTextEncoder(sides.texts, sides.images, settings.text_prefix)

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say whether the folder's network has a tower for images."""
        try:
            return kind_of(folder) in OPENERS
        except RetrieverError:
            return False


def require_images() -> None:
    """Raise `MissingExtra` where a library of image-text models is not installed; imports none of them."""
    require_torch()
    if find_spec("PIL") is None:
        raise MissingExtra("image-text models", ImageText.extra)


@dataclass(frozen=True)
class _Both:
    """What encodes the texts and what encodes the images of one checkpoint."""

    texts: Texts
    images: TowerImages


def _open(folder: Path, settings: ImageText.Settings, runtime: Runtime) -> _Both:
    """Return both sides of a checkpoint; raises `RetrieverError` where it reads texts alone."""
    digest = _digest(folder, settings.tokenizer)
    options = _load_options(settings, runtime)
    kind = check_kind(folder, options)
    if (folder / "modules.json").is_file():
        return _library_sides(open_library(folder, options, settings.max_length), digest, settings, runtime)
    if kind is not None and kind not in OPENERS:
        raise RetrieverError(
            f"{folder}: mlbench knows no images of model_type {kind}, only of {', '.join(sorted(OPENERS))}: "
            "name an image tower for it with --set image_model=FOLDER"
        )
    towers = open_towers(folder, options, settings.max_length)
    return _tower_sides(towers, digest, settings.dtype, settings, runtime)


def _open_texts(folder: Path, settings: ImageText.Settings, runtime: Runtime) -> Texts:
    """Return what encodes the texts of a checkpoint, which may have no other tower."""
    if kind_of(folder) in OPENERS:
        return _open(folder, settings, runtime).texts
    keys = ("max_length", "dtype", "batch_tokens")
    return Dense.open(str(folder), Dense.Settings(**{key: getattr(settings, key) for key in keys}), runtime)


def _adopt(model: object, settings: ImageText.Settings, runtime: Runtime) -> _Both | None:
    """Return both sides of a model in memory; None for an object of another kind."""
    if library := as_library(model):
        return _library_sides(library, partial(digest_model, library), settings, runtime)
    pair = as_pair(model)
    return None if pair is None else _tower_sides(pair.towers(), pair.digest, pair.dtype(), settings, runtime)


def _library_sides(
    model: "SentenceTransformer", digest: Callable[[], str], settings: ImageText.Settings, runtime: Runtime
) -> _Both:
    texts = DenseEncoder(model, digest, Use(batch_tokens=settings.batch_tokens))
    kept = ("dtype", "backend", "device")
    identity = {name: value for name, value in texts.parameters.items() if name in kept}
    tower = image_tower_of(model)
    images = TowerImages(tower, str(model.device), digest, identity, settings.image_batch_size, threads=runtime.threads)
    return _Both(texts, images)


def _tower_sides(
    towers: Towers, digest: Callable[[], str], dtype: str, settings: ImageText.Settings, runtime: Runtime
) -> _Both:
    device = towers.device
    identity: dict[str, Parameter] = {"dtype": dtype, "backend": "torch", "device": device.partition(":")[0]}
    if settings.image_size is not None:
        identity["image_size"] = settings.image_size
    size, threads = settings.image_batch_size, runtime.threads
    return _Both(
        TowerTexts(towers.text, device, digest, identity, settings.batch_tokens),
        TowerImages(towers.image, device, digest, identity, size, threads=threads),
    )


def _digest(folder: Path, tokenizer: str | None) -> Callable[[], str]:
    """Return what tells the digest of a checkpoint, weights such as ALBEF's included."""
    digest = digest_towers(folder, tokenizer)
    return lambda: digest


def _load_options(settings: ImageText.Settings, runtime: Runtime) -> LoadOptions:
    return replace(
        LoadOptions.under(runtime, settings.dtype), image_size=settings.image_size, tokenizer=settings.tokenizer
    )
