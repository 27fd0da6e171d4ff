"""The towers of an image-text model, and the image processor of a checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from mlbench.errors import RetrieverError
from mlbench.io.cache import offline
from mlbench.io.watched import WatchedFiles
from mlbench.protocols import Parameter
from mlbench.retrievers.checkpoint_folder import (
    check_checkpoint,
    checkpoint_files,
    digest_files,
    find_checkpoint,
    module_folders,
    read_json,
)
from mlbench.retrievers.kinds import check_code
from mlbench.retrievers.load_checkpoint import LoadOptions, first_line, quiet
from mlbench.retrievers.truncation import CountTokens

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Tower = TypeVar("Tower", "TextTower", "ImageTower")
Features = dict[str, "Tensor"]
"""What a network takes, by name; the first axis of every tensor counts texts or images."""
_CONTRASTIVE = ("mlbench.retrievers.image_text.clip", "open_contrastive")
# By the `model_type` of config.json: the module and the function in it, imported when it is asked for.
OPENERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("clip", "siglip", "siglip2", "altclip", "chinese_clip", "metaclip_2", "align", "vision-text-dual-encoder"),
        _CONTRASTIVE,
    ),
    "blip": ("mlbench.retrievers.image_text.blip", "open_blip"),
    "albef": ("mlbench.retrievers.image_text.albef", "open_albef"),
    "open_clip": ("mlbench.retrievers.image_text.open_clip", "open_open_clip"),
}
# The same of a checkpoint of one tower, which stands beside another model's.
TEXT_OPENERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            "altclip_text_model",
            "chinese_clip_text_model",
            "clip_text_model",
            "metaclip_2_text_model",
            "siglip2_text_model",
            "siglip_text_model",
        ),
        ("mlbench.retrievers.image_text.clip", "open_text_tower"),
    ),
    "M-CLIP": ("mlbench.retrievers.image_text.multilingual_clip", "open_multilingual_clip"),
}
IMAGE_OPENERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        (
            "altclip_vision_model",
            "chinese_clip_vision_model",
            "clip_vision_model",
            "metaclip_2_vision_model",
            "siglip2_vision_model",
            "siglip_vision_model",
        ),
        ("mlbench.retrievers.image_text.clip", "open_image_tower"),
    ),
    "nomic_vision": ("mlbench.retrievers.image_text.nomic", "open_nomic_vision"),
}
# Kinds that are known by the class in config.json, as its `model_type` is that of something else as well.
_BY_CLASS = {"MultilingualCLIP": "M-CLIP", "NomicVisionModel": "nomic_vision"}
# The kinds that take an option of their own, and how they are spelled.
_OPTIONS = {"image_size": {"albef": "ALBEF"}, "tokenizer": {"albef": "ALBEF", "open_clip": "OpenCLIP"}}
_OPEN_CLIP = "open_clip_config.json"
OPEN_CLIP_HUB = "hf-hub:"
"""What OpenCLIP puts before a hub id."""
_BARE_WEIGHTS = (".pth", ".safetensors")
_WEIGHTS = "weights"
_TOKENIZER_FILES = (
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
# transformers from version 5 on may write the second, with the tokenizer's options.
_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class TextTower:
    """What turns texts into vectors.

    `tokenise` returns padded rows on the CPU, int64 (texts, longest), cut off after `max_length` tokens, with their
    `attention_mask`; `embed` takes such rows on the model's device and returns (texts, dim). Rows are cut to the
    longest of a batch unless `fixed_width`: then the network looks at the padding too. `count_tokens` counts the tokens
    of texts that are not cut off, None where that cannot be told. Where the tokenizer puts a language code beside each
    text, `tokenise_in` returns what `tokenise` is for texts in a language, given by its tag; it raises `RetrieverError`
    for a language without a code.
    """

    tokenise: Callable[[Sequence[str]], Features]
    embed: Callable[[Features], "Tensor"]
    max_length: int | None
    fixed_width: bool = False
    count_tokens: CountTokens | None = None
    tokenise_in: Callable[[str], Callable[[Sequence[str]], Features]] | None = None


@dataclass(frozen=True)
class ImageTower:
    """What turns images into vectors.

    `prepare` takes 8-bit RGB images and returns what the network takes of them, on the CPU, in a thread of its own;
    `embed` takes that on the model's device and returns (images, dim). Images are encoded `alone` where what is made of
    two cannot stand in one batch.
    """

    prepare: Callable[[Sequence["Image"]], Features]
    embed: Callable[[Features], "Tensor"]
    alone: bool = False


@dataclass(frozen=True)
class Towers:
    """Both towers of a model that lies on `device` (a torch device, such as `cuda:0`).

    `digest` tells what decides the vectors and lies outside the checkpoint's folder from others; `parameters` is what
    results record beside that.
    """

    text: TextTower
    image: ImageTower
    device: str
    digest: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedTower(Generic[Tower]):
    """One tower of a model that lies on `device`; `digest` is as in `Towers`."""

    tower: Tower
    device: str
    digest: str = ""


Opener = Callable[[Path, LoadOptions, int | None], Towers]
"""Returns the towers of a checkpoint's folder; the last argument is the `max_length` asked for.

Raises `RetrieverError` for a folder that cannot be loaded, lacks weights or whose weights are not finite.
"""
TextOpener = Callable[[Path, LoadOptions, int | None], LoadedTower[TextTower]]
"""The same for a checkpoint of a text tower alone."""
ImageOpener = Callable[[Path, LoadOptions], LoadedTower[ImageTower]]
"""The same for a checkpoint of an image tower alone."""


def find_towers(locator: str, revision: str | None, *, allow_pickle: bool) -> Path:
    """Return the folder of a checkpoint as `find_checkpoint` does, or the file of bare weights that is named.

    A hub id may have OpenCLIP's `hf-hub:` in front.
    """
    path = Path(locator).expanduser()
    if path.suffix in _BARE_WEIGHTS and path.is_file() and revision is None:
        return path
    return find_checkpoint(locator.removeprefix(OPEN_CLIP_HUB), revision, allow_pickle=allow_pickle)


def read_towers(path: Path, tokenizer: str | None) -> tuple[WatchedFiles, str]:
    """Return the files of a checkpoint, watched from now on, and their SHA-256 (hex).

    They are those of its folder, or its file of weights, and those in the folder of its tokenizer. Of what lies beside
    a file of weights, only the tokenizer counts, and that only where no folder is named.
    """
    files = checkpoint_files(path, more=(".pth",)) if path.is_dir() else {_WEIGHTS: path}
    apart: dict[str, Path] = {}
    if tokenizer is not None:
        apart = checkpoint_files(Path(tokenizer).expanduser())
    elif not path.is_dir():
        apart = {name: path.parent / name for name in _TOKENIZER_FILES if (path.parent / name).is_file()}
    watched, digest = WatchedFiles((*files.values(), *apart.values())), digest_files(files)
    return watched, sha256(f"{digest}\x1f{digest_files(apart)}".encode()).hexdigest() if apart else digest


def check_kind(path: Path, options: LoadOptions) -> str | None:
    """Return `kind_of(path)`; raises `RetrieverError` for options that it does not take, and as `check_code` does."""
    kind = kind_of(path)
    if path.is_dir() and kind != "open_clip":
        check_code(path, trusted=options.trust_remote_code)
    for name, kinds in _OPTIONS.items():
        if kind not in kinds and getattr(options, name) is not None:
            taking = f"{' and '.join(kinds.values())} {'takes' if len(kinds) == 1 else 'take'}"
            raise RetrieverError(f"{name}={getattr(options, name)}: only {taking} it, and {path} is {kind or 'none'}")
    return kind


def kind_of(folder: Path) -> str | None:
    """Return the `model_type` of the network in a checkpoint's folder, None where it says none.

    A file of weights, or a folder of a `.pth` file without config.json, is `albef`, as its authors publish it. A folder
    in OpenCLIP's own format is `open_clip`, unless it has a network of transformers that is known as well. Raises
    `RetrieverError` for files that cannot be read.
    """
    if folder.is_file():
        return "albef"
    place = module_folders(folder)[0]
    config = read_json(place / "config.json")
    kind = config.get("model_type")
    if place == folder and (folder / _OPEN_CLIP).is_file() and (kind not in OPENERS or "auto_map" in config):
        return "open_clip"
    if place == folder and not (folder / "config.json").is_file():
        return "albef" if any(folder.glob("*.pth")) else None
    architectures = config.get("architectures")
    for name in architectures if isinstance(architectures, list) else ():
        if name in _BY_CLASS:
            return _BY_CLASS[name]
    return kind if isinstance(kind, str) else None


def open_towers(folder: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return both towers of a checkpoint's folder; raises `RetrieverError` as an `Opener` does."""
    kind = check_kind(folder, options)
    place = OPENERS.get(kind or "", _CONTRASTIVE if has_own_code(folder) else None)
    if place is None:
        check_checkpoint(folder, allow_pickle=options.allow_pickle)
        raise RetrieverError(f"{folder}: model_type {kind!r} is not known; known are {', '.join(sorted(OPENERS))}")
    return cast(Opener, _function(place))(folder, options, max_length)


def open_text_tower(folder: Path, kind: str, options: LoadOptions, max_length: int | None) -> LoadedTower[TextTower]:
    """Return the text tower of a folder of a `kind` of `TEXT_OPENERS`; raises `RetrieverError` as an `Opener` does."""
    return cast(TextOpener, _function(TEXT_OPENERS[kind]))(folder, options, max_length)


def open_image_tower(folder: Path, kind: str, options: LoadOptions) -> LoadedTower[ImageTower]:
    """Return the image tower of a folder of a `kind` of `IMAGE_OPENERS`; raises as an `Opener` does."""
    return cast(ImageOpener, _function(IMAGE_OPENERS[kind]))(folder, options)


def _function(place: tuple[str, str]) -> object:
    module, name = place
    return getattr(import_module(module), name)


def has_own_code(folder: Path) -> bool:
    """Say whether config.json names code of the checkpoint's own for the network."""
    classes = read_json(folder / "config.json").get("auto_map")
    return isinstance(classes, dict) and "AutoModel" in classes


def open_image_processor(folder: Path, *, own_code: bool = False) -> "Callable[[Sequence[Image]], Features]":
    """Return what turns 8-bit RGB images into the tensors that the network in `folder` takes, float32 on the CPU.

    It is the library's own that works on Pillow's images: the one that works on torchvision resizes them a little
    otherwise, so that results would depend on what is installed. With `own_code`, the checkpoint's own code makes it.
    Raises `RetrieverError` where the folder has none.
    """
    from transformers import AutoImageProcessor

    if not any((folder / name).is_file() for name in _FILES):
        raise RetrieverError(f"{folder}: no {_FILES[0]}; save the image processor in this folder too")
    try:
        with quiet():
            processor = AutoImageProcessor.from_pretrained(
                str(folder),
                backend="pil",
                local_files_only=offline() or not own_code,
                trust_remote_code=own_code,
            )
    except Exception as error:
        raise RetrieverError(f"{folder}: the image processor cannot be loaded: {first_line(error)}") from error

    def prepare(images: "Sequence[Image]") -> "Features":
        return dict(processor(images=list(images), return_tensors="pt"))

    return prepare
