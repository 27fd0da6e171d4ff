"""Images as an image-text model reads them in training: decoded and cut once, and kept while they are small enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlbench.images import open_images
from mlbench.records import Image

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

MOST_BYTES = 2**30
"""So many bytes of images are kept by each process, as 8-bit numbers."""


class Processor(Protocol):
    """What `Pixels` needs of an image processor of transformers; its last two steps are to rescale and to normalise."""

    do_rescale: bool
    rescale_factor: float
    do_normalize: bool
    image_mean: Sequence[float]
    image_std: Sequence[float]

    def __call__(self, images: Sequence[object], **options: object) -> dict[str, NDArray[np.generic]]:
        """Return the `pixel_values` of images, (n, 3, height, width)."""


def reads_squares(processor: Processor) -> bool:
    """Say whether a processor makes one picture of each image, (3, height, width), not a list of its patches."""
    found = processor([np.zeros((8, 8, 3), np.uint8)], return_tensors="np")["pixel_values"]
    return found.ndim == 4 and found.shape[1] == 3


@dataclass(eq=False)
class Pixels:
    """What `processor` makes of images; they are opened when they are first wanted."""

    processor: Processor
    most_bytes: int = MOST_BYTES
    _kept: dict[str, Bytes] = field(default_factory=dict)
    _bytes: int = 0

    def read(self, images: Sequence[Image]) -> Floats:
        """Return the images as the network takes them, float32 (n, 3, height, width).

        Raises as `open_images` does for one that is gone or broken since it was checked.
        """
        new = [image for image in dict.fromkeys(images) if image not in self._kept]
        cut: dict[str, Bytes] = {}
        for image, opened in zip(new, open_images([image.path for image in new]), strict=True):
            options = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
            cut[image] = self.processor([opened], **options)["pixel_values"][0].astype(np.uint8)
            if self._bytes + cut[image].nbytes <= self.most_bytes:
                self._kept[image] = cut[image]
                self._bytes += cut[image].nbytes
        return self._scaled(np.stack([cut[image] if image in cut else self._kept[image] for image in images]))

    def _scaled(self, cut: Bytes) -> Floats:
        values = cut.astype(np.float32)
        if self.processor.do_rescale:
            values *= np.float32(self.processor.rescale_factor)
        if self.processor.do_normalize:
            mean, std = (
                np.asarray(each, np.float32)[:, None, None]
                for each in (self.processor.image_mean, self.processor.image_std)
            )
            values = (values - mean) / std
        return values
