"""The towers of an image-text model, and the image processor of a checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlbench.errors import RetrieverError
from mlbench.io.watched import WatchedFiles
from mlbench.retrievers.checkpoint_folder import (
    check_checkpoint,
    checkpoint_files,
    digest_files,
    find_checkpoint,
    module_folders,
    read_json,
)
from mlbench.retrievers.load_checkpoint import LoadOptions, first_line, quiet
from mlbench.retrievers.truncation import CountTokens

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Features = dict[str, "Tensor"]
"""What a network takes, by name; the first axis of every tensor counts texts or images."""
# By the `model_type` of config.json: the module and the function in it, imported when it is asked for.
OPENERS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("clip", "siglip", "siglip2", "altclip", "chinese_clip", "metaclip_2"),
        ("mlbench.retrievers.image_text.clip", "open_contrastive"),
    ),
    "blip": ("mlbench.retrievers.image_text.blip", "open_blip"),
    "albef": ("mlbench.retrievers.image_text.albef", "open_albef"),
}
# What only a checkpoint needs whose authors publish nothing but its weights.
_BARE = ("image_size", "tokenizer")
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
    of texts that are not cut off, None where that cannot be told.
    """

    tokenise: Callable[[Sequence[str]], Features]
    embed: Callable[[Features], "Tensor"]
    max_length: int | None
    fixed_width: bool = False
    count_tokens: CountTokens | None = None


@dataclass(frozen=True)
class ImageTower:
    """What turns images into vectors.

    `prepare` takes 8-bit RGB images and returns what the network takes of them, on the CPU, in a thread of its own;
    `embed` takes that on the model's device and returns (images, dim).
    """

    prepare: Callable[[Sequence["Image"]], Features]
    embed: Callable[[Features], "Tensor"]


@dataclass(frozen=True)
class Towers:
    """Both towers of a model that lies on `device` (a torch device, such as `cuda:0`)."""

    text: TextTower
    image: ImageTower
    device: str


Opener = Callable[[Path, LoadOptions, int | None], Towers]
"""Returns the towers of a checkpoint's folder; the last argument is the `max_length` asked for.

Raises `RetrieverError` for a folder that cannot be loaded, lacks weights or whose weights are not finite.
"""


def find_towers(locator: str, revision: str | None, *, allow_pickle: bool) -> Path:
    """Return the folder of a checkpoint as `find_checkpoint` does, or the file of bare weights that is named."""
    path = Path(locator).expanduser()
    if path.suffix in _BARE_WEIGHTS and path.is_file() and revision is None:
        return path
    return find_checkpoint(locator, revision, allow_pickle=allow_pickle)


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
    """Return `kind_of(path)`; raises `RetrieverError` for options that only bare weights take."""
    kind = kind_of(path)
    given = next((name for name in _BARE if getattr(options, name) is not None), None)
    if kind != "albef" and given is not None:
        raise RetrieverError(f"{given}={getattr(options, given)}: only ALBEF takes it, and {path} is {kind or 'none'}")
    return kind


def kind_of(folder: Path) -> str | None:
    """Return the `model_type` of the network in a checkpoint's folder, None where it says none.

    A file of weights, or a folder of a `.pth` file without config.json, is `albef`, as its authors publish it. Raises
    `RetrieverError` for files that cannot be read.
    """
    if folder.is_file():
        return "albef"
    place = module_folders(folder)[0]
    if place == folder and not (folder / "config.json").is_file():
        return "albef" if any(folder.glob("*.pth")) else None
    kind = read_json(place / "config.json").get("model_type")
    return kind if isinstance(kind, str) else None


def open_towers(folder: Path, options: LoadOptions, max_length: int | None) -> Towers:
    """Return both towers of a checkpoint's folder; raises `RetrieverError` as an `Opener` does."""
    kind = check_kind(folder, options)
    if kind not in OPENERS:
        if kind is None and (folder / "open_clip_config.json").is_file():
            raise RetrieverError(
                f"{folder} is in OpenCLIP's own format, which mlbench does not read: give the model as transformers "
                "saves it, with config.json, preprocessor_config.json and model.safetensors"
            )
        check_checkpoint(folder, allow_pickle=options.allow_pickle)
        raise RetrieverError(f"{folder}: model_type {kind!r} is not known; known are {', '.join(sorted(OPENERS))}")
    module, name = OPENERS[kind]
    return cast(Opener, getattr(import_module(module), name))(folder, options, max_length)


def open_image_processor(folder: Path) -> "Callable[[Sequence[Image]], Features]":
    """Return what turns 8-bit RGB images into the tensors that the network in `folder` takes, float32 on the CPU.

    It is the library's own that works on Pillow's images: the one that works on torchvision resizes them a little
    otherwise, so that results would depend on what is installed. Raises `RetrieverError` where the folder has none.
    """
    from transformers import AutoImageProcessor

    if not any((folder / name).is_file() for name in _FILES):
        raise RetrieverError(f"{folder}: no {_FILES[0]}; save the image processor in this folder too")
    try:
        with quiet():
            processor = AutoImageProcessor.from_pretrained(
                str(folder), backend="pil", local_files_only=True, trust_remote_code=False
            )
    except Exception as error:
        raise RetrieverError(f"{folder}: the image processor cannot be loaded: {first_line(error)}") from error

    def prepare(images: "Sequence[Image]") -> "Features":
        return dict(processor(images=list(images), return_tensors="pt"))

    return prepare
