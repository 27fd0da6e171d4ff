"""The image processor of a checkpoint, which brings images to the size and the numbers that its network takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.errors import RetrieverError
from mlbench.retrievers.loading import first_line, quiet

if TYPE_CHECKING:
    from PIL.Image import Image

    from mlbench.retrievers.towers import Features

# transformers from version 5 on may write the second, with the tokenizer's options.
_FILES = ("preprocessor_config.json", "processor_config.json")


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
