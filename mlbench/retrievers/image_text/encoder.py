"""Image-text encoders: CLIP and its kin, OpenCLIP, BLIP, ALBEF, and multilingual text towers beside an image tower."""

import json
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from mlbench.collection.records import Image
from mlbench.errors import MissingExtra, RetrieverError
from mlbench.io.libraries import versions_installed
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors
from mlbench.provenance import Provenance, RegistryInfo, read_provenance
from mlbench.retrievers.backends import Backend, check_backend
from mlbench.retrievers.batching import batch_budget, image_batches, token_batches
from mlbench.retrievers.checkpoint_folder import Origin
from mlbench.retrievers.dense import LIBRARIES, Dense, DenseEncoder, EncodingOptions, require_torch
from mlbench.retrievers.image_text.clip import (
    STANDS_BESIDE,
    as_pair,
    image_tower_of,
    open_library,
    reads_images,
    routes_images,
)
from mlbench.retrievers.image_text.graphs import use_graphs
from mlbench.retrievers.image_text.towers import (
    IMAGE_OPENERS,
    OPEN_CLIP_HUB,
    OPENERS,
    TEXT_OPENERS,
    Features,
    ImageTower,
    LoadedTower,
    TextTower,
    Towers,
    check_kind,
    find_towers,
    has_own_code,
    kind_of,
    open_image_tower,
    open_text_tower,
    open_towers,
    read_towers,
)
from mlbench.retrievers.kinds import check_kind as check_scheme
from mlbench.retrievers.kinds import has_matching_head
from mlbench.retrievers.load_checkpoint import (
    PADDED,
    DType,
    LoadOptions,
    as_library,
    digest_loaded,
    digest_model,
    is_rounding,
    name_of,
    short_dtype,
)
from mlbench.retrievers.prompts import PromptSettings
from mlbench.retrievers.registered import REGISTRY_KEY, apply_registry
from mlbench.retrievers.truncation import TokenLimit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


# What opens, decodes and resizes images, and what computes beside the libraries of texts.
_IMAGES = ("pillow", "pillow-heif", "torchvision")
_TOWERS = (*LIBRARIES, "ftfy", "open_clip_torch", "timm")


class TowerTexts:
    """The vectors of texts; `tokens` counts what it has encoded, padding excluded.

    `origin` tells the checkpoint from others, `identity` says how it is computed.
    """

    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        tower: TextTower,
        device: str,
        origin: Origin,
        identity: Mapping[str, Parameter],
        batch_tokens: int | None,
    ) -> None:
        self._counted = {"tokens": 0}
        self._tower, self._device, self._origin = tower, device, origin
        self._identity = {**identity, "max_length": tower.max_length}
        budget, self._max_rows = batch_budget(device.partition(":")[0])
        self._budget = batch_tokens or budget
        self._limit = TokenLimit(self._count, tower.count_tokens, tower.max_length)
        self._pads = True
        self.dim = self.encode(["dim"], "document").shape[1]
        beside = self.encode(PADDED, "document")
        # Only where a text has the same vector beside a longer one as alone.
        self._pads = False
        self._pads = is_rounding(beside, self.encode(PADDED, "document"), str(identity["dtype"]))
        self._counted["tokens"] = 0

    @property
    def tokens(self) -> int:
        """How many tokens it has encoded, padding excluded, in all languages together."""
        return self._counted["tokens"]

    @property
    def has_languages(self) -> bool:
        """Whether it must know the language of a text."""
        return self._tower.tokenise_in is not None

    def in_language(self, language: str) -> Self:
        """Return the same for texts in a language; raises `RetrieverError` as `tokenise_in` of the tower does."""
        assert self._tower.tokenise_in is not None
        other = copy(self)
        other._tower = replace(self._tower, tokenise=self._tower.tokenise_in(language))
        other._identity = {**self._identity, "language": language}
        return other

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        return {**self._identity, "batch_tokens": self._budget}

    def fingerprint(self, role: Role) -> str:
        """Return a digest of all that decides the vectors of texts, the same in either role."""
        return fingerprint_of(self._origin.digest(), self._identity, "text")

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return what decides how vectors are rounded: the size of batches, and versions of libraries."""
        return {"batch_tokens": self._budget, **versions_installed(_TOWERS)}

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._origin.files.check()

    def longest_input(self, role: Role) -> int | None:
        """Return after how many tokens a text is cut off, the same in either role; None where none is."""
        return self._limit.tokens

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether it is cut off, bool (len(texts),); None where that cannot be told."""
        return self._limit.exceeded_by(texts)

    def _count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        lengths: NDArray[np.int64] = self._tower.tokenise(texts)["attention_mask"].sum(dim=1).numpy()
        return lengths

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 (len(texts), dim), of any length; the same texts in the same order give the same bits."""
        import torch

        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        order, outputs = [], []
        with torch.inference_mode():
            features = self._tower.tokenise(texts)
            mask = features["attention_mask"]
            lengths: NDArray[np.int64] = mask.sum(dim=1).numpy()
            self._counted["tokens"] += int(lengths.sum())
            widths = np.full_like(lengths, mask.shape[1]) if self._tower.fixed_width else lengths
            for rows in token_batches(widths, self._budget, self._max_rows, padded=self._pads):
                index, width = torch.from_numpy(rows), int(widths[rows[0]])
                batch = {name: value[index, :width].to(self._device) for name, value in features.items()}
                outputs.append(self._tower.embed(batch))
                order.append(rows)
            stacked: Vectors = torch.cat(outputs).float().cpu().numpy()
        vectors: Vectors = np.empty_like(stacked)
        vectors[np.concatenate(order)] = stacked
        return vectors


class TowerImages:
    """The vectors of images, which are opened a few at a time; `origin` and `identity` are as for texts."""

    def __init__(
        self,
        tower: ImageTower,
        device: str,
        origin: Origin,
        identity: Mapping[str, Parameter],
        batch_size: int,
        threads: int | None,
    ) -> None:
        self._tower, self._device, self._origin, self._identity = tower, device, origin, dict(identity)
        self._batch_size, self._threads = 1 if tower.alone else batch_size, threads
        self.dim = self._dim()

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        return {**self._identity, "image_batch_size": self._batch_size}

    def fingerprint(self) -> str:
        """Return a digest of all that decides the vectors of images."""
        return fingerprint_of(self._origin.digest(), self._identity, "image")

    def computation(self) -> dict[str, Parameter]:
        """Return what decides how vectors are rounded: the size of batches, and versions of libraries."""
        return {"image_batch_size": self._batch_size, **versions_installed((*_TOWERS, *_IMAGES))}

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of the checkpoint has changed since it was read."""
        self._origin.files.check()

    def encode(self, paths: Sequence[Path]) -> Vectors:
        """Return float32 (len(paths), dim) of the images in these files; the same files in order give the same bits.

        Raises as `open_images` does.
        """
        import torch

        if not paths:
            return np.zeros((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            outputs = [
                self._embed(features)
                for features in image_batches(paths, self._tower.prepare, self._batch_size, self._threads)
            ]
            return np.asarray(torch.cat(outputs).float().cpu().numpy(), dtype=np.float32)

    def _embed(self, features: Features) -> "Tensor":
        return self._tower.embed({name: value.to(self._device) for name, value in features.items()})

    def _dim(self) -> int:
        import torch
        from PIL import Image

        with torch.inference_mode():
            return int(self._embed(self._tower.prepare([Image.new("RGB", (64, 64), "grey")])).shape[1])


def fingerprint_of(digest: str, identity: Mapping[str, Parameter], role: str) -> str:
    """Return a digest of a checkpoint's `digest` and of how it is used for texts or images."""
    return sha256(json.dumps({**identity, "model": digest, "role": role}, sort_keys=True).encode()).hexdigest()


Texts = TowerTexts | DenseEncoder
"""What encodes the texts: a text tower, or a dense encoder that was trained for the images' space."""


class ImageTextEncoder:
    """The vectors of texts, each behind the same prefix, and those of images, compared by their cosine."""

    similarity: Similarity = "cosine"
    reads_images = True

    def __init__(
        self,
        texts: Texts,
        images: TowerImages,
        prefix: str,
        *,
        loaded: Mapping[str, Parameter] | None = None,
        folder: Path | None = None,
        name: str | None = None,
    ) -> None:
        """Join both; raises `RetrieverError` where their vectors have different numbers of coordinates."""
        if texts.dim != images.dim:
            raise RetrieverError(
                f"texts get {texts.dim} coordinates, images {images.dim}: "
                "name a text and an image tower that were trained for one space"
            )
        self.dim = texts.dim
        self._texts, self._images, self._prefix = texts, images, prefix
        self._loaded, self._folder, self.name = dict(loaded or {}), folder, name
        self.registry: RegistryInfo | None = None

    @property
    def tokens(self) -> int:
        """How many tokens of texts it has encoded, padding excluded."""
        return self._texts.tokens

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        used = {"text_prefix": self._prefix, "similarity": self.similarity}
        return {**self._loaded, **self._images.parameters, **self._texts.parameters, **used}

    @property
    def provenance(self) -> Provenance | None:
        """How the checkpoint was trained, where its folder says so; raises `DataError` where that is damaged."""
        return None if self._folder is None else read_provenance(self._folder)

    def fingerprint(self, role: Role) -> str:
        """Return a digest of all that decides the vectors of texts in `role`, or of images."""
        if role == "image":
            return self._images.fingerprint()
        return sha256(f"{self._texts.fingerprint(role)}\x1f{self._prefix}".encode()).hexdigest()

    def computation(self, role: Role) -> dict[str, Parameter]:
        """Return what decides how vectors of texts, or of images, are rounded."""
        return self._images.computation() if role == "image" else self._texts.computation(role)

    def check_files(self) -> None:
        """Raise `RetrieverError` where a file of either tower has changed since it was read."""
        self._texts.check_files()
        self._images.check_files()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should be told of the prompts of texts."""
        return self._texts.warnings

    def longest_input(self, role: Role) -> int | None:
        """Return after how many tokens a text in `role` is cut off, with what stands before it; None where none is."""
        return self._texts.longest_input(role)

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        """Return for each text whether it is cut off, bool (len(texts),); None where that cannot be told."""
        return self._texts.is_truncated([self._prefix + text for text in texts], role)

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return float32 vectors of shape (len(texts), dim), as the libraries do but for rounding.

        In the role image, `texts` are `Image`s. The same texts or images in the same order are cut into the same
        batches and give the same bits; beside others, an image may differ by rounding.
        """
        if role == "image":
            return self._images.encode([image.path for image in texts if isinstance(image, Image)])
        return self._texts.encode([self._prefix + text for text in texts], role)


class LanguageAwareEncoder(ImageTextEncoder):
    """An `ImageTextEncoder` that must know the language of a text, as its tokenizer puts a language code beside it."""

    def in_language(self, language: str) -> ImageTextEncoder:
        """Return the encoder of texts in a language; raises `RetrieverError` for one that the model has no code for."""
        assert isinstance(self._texts, TowerTexts)
        other = copy(self)
        other._texts = self._texts.in_language(language)
        return other


class ImageTextLoader:
    """Image-text models such as CLIP, SigLIP, AltCLIP, BLIP and ALBEF (path or hub id)."""

    extra = "images"
    libraries = ("torch", "transformers", "sentence_transformers", "PIL")
    example = "image_text:google/siglip-base-patch16-256-multilingual"

    class Settings(PromptSettings):
        """Keys of `image_text:`; what is not set comes from the checkpoint."""

        text_prefix: str = Field("", description="put before each text, with its blank, as in 'A photo depicts '")
        image_model: str | None = Field(None, description="encodes the images, where the model reads texts alone")
        max_length: int | None = Field(None, ge=1, description="tokens after which a text is cut off")
        dtype: DType = Field("fp32", description="precision: bf16 is fastest where the processor knows it")
        backend: Backend = Field("torch", description="who computes the towers; onnx and openvino on a CPU only")
        revision: str | None = Field(None, description="branch, tag or commit of the hub id")
        batch_tokens: int | None = Field(None, ge=1, description="tokens per batch, padding included")
        image_batch_size: int = Field(32, ge=1, description="images per batch")
        image_size: int | None = Field(None, ge=1, description="side of the images in pixels (ALBEF)")
        tokenizer: str | None = Field(
            None, description="folder of the tokenizer, where it lies apart (ALBEF, OpenCLIP)"
        )
        registry: str = Field("true", description=REGISTRY_KEY)

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> ImageTextEncoder:
        """Load the checkpoint, or the two of a text and an image tower.

        Raises `MissingExtra` without torch, transformers, sentence-transformers or Pillow, and `RetrieverError` as
        `Dense.open` does, where the image processor is missing, and where the towers do not fit together.
        """
        assert isinstance(settings, ImageTextLoader.Settings)
        require_images()
        check_backend(settings.backend, settings.dtype, runtime)
        find = partial(find_towers, allow_pickle=runtime.allow_pickle)
        folder = find(locator, settings.revision)
        known = apply_registry(settings, locator.removeprefix(OPEN_CLIP_HUB), folder).info
        # Towers are used as they are saved.
        known = known and known.model_copy(update={"applied": {}, "unconfirmed": ()})
        loaded: dict[str, Parameter] = {
            "allow_pickle": runtime.allow_pickle,
            "trust_remote_code": runtime.trust_remote_code,
        }
        if settings.image_model is None:
            both = _open(folder, settings, runtime)
            loaded |= both.parameters
            encoder = _join(both.texts, both.images, settings.text_prefix, loaded=loaded, folder=folder)
            encoder.registry = known
            return encoder
        _check_torch(settings)
        other = find(settings.image_model, None)
        images = _open_images(other, settings, runtime)
        texts = _open_texts(folder, settings, runtime)
        # A folder's whole path is nobody's business.
        loaded["image_model"] = other.name if Path(settings.image_model).expanduser().exists() else settings.image_model
        encoder = _join(texts, images, settings.text_prefix, loaded=loaded, folder=folder)
        encoder.registry = (texts.registry if isinstance(texts, DenseEncoder) else None) or known
        return encoder

    @staticmethod
    def adopt(model: object, settings: BaseModel, runtime: Runtime) -> ImageTextEncoder | None:
        """Return the encoder of a model already built, as it is: a SentenceTransformer that encodes images, or a pair
        of a network of transformers and its processor.

        None for any other object. Fingerprints follow its tensors, and `RetrieverError` is raised, as `Dense.adopt`
        does.
        """
        assert isinstance(settings, ImageTextLoader.Settings)
        sides = _adopt(model, settings, runtime)
        kept = {*PromptSettings.model_fields, "text_prefix", "batch_tokens", "image_batch_size"}
        late = settings.model_fields_set - kept
        if sides is not None and late:
            raise RetrieverError(
                f"a model in memory is taken as it is: set {', '.join(sorted(late))} where it is built"
            )
        if sides is None:
            return None
        return ImageTextEncoder(sides.texts, sides.images, settings.text_prefix, name=name_of(model))

    @staticmethod
    def recognises(folder: Path) -> bool:
        """Say whether the folder's network has a tower for images, or one for texts that stands beside such a tower."""
        try:
            return kind_of(folder) in {*OPENERS, *TEXT_OPENERS, *IMAGE_OPENERS} or routes_images(folder)
        except RetrieverError:
            return False


def require_images() -> None:
    """Raise `MissingExtra` where a library of image-text models is not installed; imports none of them."""
    require_torch()
    if find_spec("PIL") is None:
        raise MissingExtra("image-text models", ImageTextLoader.extra)


@dataclass(frozen=True)
class _Both:
    """What encodes the texts and what encodes the images of one checkpoint."""

    texts: Texts
    images: TowerImages
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def _join(
    texts: Texts, images: TowerImages, prefix: str, *, loaded: Mapping[str, Parameter], folder: Path
) -> ImageTextEncoder:
    """Return the encoder of both sides, which is told of languages where the text tower asks for it."""
    aware = isinstance(texts, TowerTexts) and texts.has_languages
    return (LanguageAwareEncoder if aware else ImageTextEncoder)(texts, images, prefix, loaded=loaded, folder=folder)


def _open(folder: Path, settings: ImageTextLoader.Settings, runtime: Runtime) -> _Both:
    """Return both sides of a checkpoint; raises `RetrieverError` where it reads texts alone."""
    options = _load_options(settings, runtime)
    kind = check_kind(folder, options)
    if (folder / "modules.json").is_file() and not has_matching_head(folder):
        _check_torch(settings)
        model, origin = _open_library(folder, settings, options, texts=True)
        return _library_sides(model, origin, settings, runtime)
    files, digest = read_towers(folder, settings.tokenizer)
    if kind in IMAGE_OPENERS:
        raise RetrieverError(f"{folder} reads images alone: {STANDS_BESIDE}")
    if kind is not None and kind not in OPENERS and not has_own_code(folder):
        check_scheme(folder, str(folder), "dense")
        raise RetrieverError(
            f"{folder}: mlbench knows no images of model_type {kind}, only of {', '.join(sorted(OPENERS))}: "
            "name an image tower for it with --set image_model=FOLDER"
        )
    towers = open_towers(folder, options, settings.max_length)
    files.check()
    digest = _with_digest(digest, towers.digest)
    towers, computed = use_graphs(towers, settings.backend, settings.dtype, digest)
    return _tower_sides(towers, Origin(lambda: digest, files), settings.dtype, settings, runtime, computed)


def _check_torch(settings: ImageTextLoader.Settings) -> None:
    """Raise `RetrieverError` where another backend is asked for than the one that computes every model."""
    if settings.backend != "torch":
        raise RetrieverError(
            f"backend={settings.backend}: it computes both towers of one model that no modules.json describes; leave "
            "backend out"
        )


def _open_texts(folder: Path, settings: ImageTextLoader.Settings, runtime: Runtime) -> Texts:
    """Return what encodes the texts of a checkpoint, which may have no other tower."""
    options = _load_options(settings, runtime)
    kind = check_kind(folder, options)
    if kind in OPENERS:
        return _open(folder, settings, runtime).texts
    if kind in TEXT_OPENERS:
        files, digest = read_towers(folder, None)
        loaded = open_text_tower(folder, kind, options, settings.max_length)
        origin, identity = _one_side(loaded, files, digest, settings)
        return TowerTexts(loaded.tower, loaded.device, origin, identity, settings.batch_tokens)
    keys = (*PromptSettings.model_fields, "max_length", "dtype", "batch_tokens", "registry")
    return Dense.open(str(folder), Dense.Settings(**{key: getattr(settings, key) for key in keys}), runtime)


def _open_images(folder: Path, settings: ImageTextLoader.Settings, runtime: Runtime) -> TowerImages:
    """Return what encodes the images of a checkpoint, which may have no other tower."""
    settings = settings.model_copy(update={"max_length": None})
    options = _load_options(settings, runtime)
    kind = check_kind(folder, options)
    if kind in IMAGE_OPENERS:
        files, digest = read_towers(folder, None)
        loaded = open_image_tower(folder, kind, options)
        origin, identity = _one_side(loaded, files, digest, settings)
        size = settings.image_batch_size
        return TowerImages(loaded.tower, loaded.device, origin, identity, size, threads=runtime.threads)
    if (folder / "modules.json").is_file() and not has_matching_head(folder):
        model, origin = _open_library(folder, settings, options, texts=False)
        return _library_images(model, origin, settings, runtime)
    return _open(folder, settings, runtime).images


def _open_library(
    folder: Path, settings: ImageTextLoader.Settings, options: LoadOptions, *, texts: bool
) -> "tuple[SentenceTransformer, Origin]":
    files, digest = read_towers(folder, settings.tokenizer)
    model = open_library(folder, options, settings.max_length, texts=texts)
    digest = digest_loaded(digest, model)
    files.check()
    return model, Origin(lambda: digest, files)


def _one_side(
    loaded: LoadedTower[TextTower] | LoadedTower[ImageTower],
    files: WatchedFiles,
    digest: str,
    settings: ImageTextLoader.Settings,
) -> tuple[Origin, dict[str, Parameter]]:
    files.check()
    whole = _with_digest(digest, loaded.digest)
    return Origin(lambda: whole, files), _identity(settings.dtype, loaded.device)


def _with_digest(digest: str, beside: str) -> str:
    """Return the digest of a checkpoint's files and of what it takes from elsewhere, if there is such a thing."""
    return sha256(f"{digest}\x1f{beside}".encode()).hexdigest() if beside else digest


def _identity(dtype: str, device: str) -> dict[str, Parameter]:
    return {"dtype": dtype, "backend": "torch", "device": device.partition(":")[0]}


def _adopt(model: object, settings: ImageTextLoader.Settings, runtime: Runtime) -> _Both | None:
    """Return both sides of a model in memory; None for an object of another kind."""
    library = as_library(model)
    if library is not None and reads_images(library):
        return _library_sides(library, Origin(partial(digest_model, library)), settings, runtime)
    pair = as_pair(model)
    if pair is None:
        return None
    return _tower_sides(pair.towers(), Origin(pair.digest), pair.dtype(), settings, runtime)


def _library_sides(
    model: "SentenceTransformer", origin: Origin, settings: ImageTextLoader.Settings, runtime: Runtime
) -> _Both:
    texts = DenseEncoder(model, origin, EncodingOptions(settings, batch_tokens=settings.batch_tokens))
    return _Both(texts, _library_images(model, origin, settings, runtime))


def _library_images(
    model: "SentenceTransformer", origin: Origin, settings: ImageTextLoader.Settings, runtime: Runtime
) -> TowerImages:
    identity = _identity(short_dtype(model.dtype), str(model.device))
    tower, size = image_tower_of(model), settings.image_batch_size
    return TowerImages(tower, str(model.device), origin, identity, size, threads=runtime.threads)


def _tower_sides(
    towers: Towers,
    origin: Origin,
    dtype: str,
    settings: ImageTextLoader.Settings,
    runtime: Runtime,
    computed: Mapping[str, Parameter] | None = None,
) -> _Both:
    if given := sorted(PromptSettings.model_fields.keys() & settings.model_fields_set):
        raise RetrieverError(f"{', '.join(given)}: the checkpoint saves no prompts; set text_prefix")
    device = towers.device
    identity = _identity(dtype, device) | dict(computed or {})
    if settings.image_size is not None:
        identity["image_size"] = settings.image_size
    size, threads = settings.image_batch_size, runtime.threads
    return _Both(
        TowerTexts(towers.text, device, origin, identity, settings.batch_tokens),
        TowerImages(towers.image, device, origin, identity, size, threads=threads),
        towers.parameters,
    )


def _load_options(settings: ImageTextLoader.Settings, runtime: Runtime) -> LoadOptions:
    options = LoadOptions.under(runtime, settings.dtype)
    if settings.backend != "torch":
        # A graph is made of float32 and computed on the processor, whatever precision and machine there is.
        options = replace(options, dtype="fp32", device="cpu")
    return replace(options, image_size=settings.image_size, tokenizer=settings.tokenizer)
