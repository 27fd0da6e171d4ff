"""What the towers of a model give for many texts, and for many images: batches, and vectors in their order."""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.protocols import Parameter, Role, Vectors
from mlbench.retrievers.image_batches import image_batches
from mlbench.retrievers.token_batches import batch_budget, token_batches
from mlbench.retrievers.towers import Features, ImageTower, TextTower

if TYPE_CHECKING:
    from torch import Tensor


class TowerTexts:
    """The vectors of texts; `tokens` counts what it has encoded, padding excluded.

    `digest` tells the checkpoint from others, `identity` says how it is computed.
    """

    def __init__(
        self,
        tower: TextTower,
        device: str,
        digest: Callable[[], str],
        identity: Mapping[str, Parameter],
        batch_tokens: int | None,
    ) -> None:
        self.tokens = 0
        self._tower, self._device, self._digest = tower, device, digest
        self._identity = {**identity, "max_length": tower.max_length}
        budget, self._max_rows = batch_budget(device.partition(":")[0])
        self._budget = batch_tokens or budget
        self.dim = self.encode(["dim"], "document").shape[1]
        self.tokens = 0

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        return {**self._identity, "batch_tokens": self._budget}

    def fingerprint(self, role: Role) -> str:
        """Return a digest of all that decides the vectors of texts, the same in either role."""
        return fingerprint_of(self._digest(), self._identity, "text")

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
            self.tokens += int(lengths.sum())
            widths = np.full_like(lengths, mask.shape[1]) if self._tower.fixed_width else lengths
            for rows in token_batches(widths, self._budget, self._max_rows):
                index, width = torch.from_numpy(rows), int(widths[rows[0]])
                batch = {name: value[index, :width].to(self._device) for name, value in features.items()}
                outputs.append(self._tower.embed(batch))
                order.append(rows)
            stacked: Vectors = torch.cat(outputs).float().cpu().numpy()
        vectors: Vectors = np.empty_like(stacked)
        vectors[np.concatenate(order)] = stacked
        return vectors


class TowerImages:
    """The vectors of images, which are opened a few at a time; `digest` and `identity` are as for texts."""

    def __init__(
        self,
        tower: ImageTower,
        device: str,
        digest: Callable[[], str],
        identity: Mapping[str, Parameter],
        batch_size: int,
        threads: int | None,
    ) -> None:
        self._tower, self._device, self._digest, self._identity = tower, device, digest, dict(identity)
        self._batch_size, self._threads = batch_size, threads
        self.dim = self._dim()

    @property
    def parameters(self) -> dict[str, Parameter]:
        """What decides the vectors, and how they are computed."""
        return {**self._identity, "image_batch_size": self._batch_size}

    def fingerprint(self) -> str:
        """Return a digest of all that decides the vectors of images."""
        return fingerprint_of(self._digest(), self._identity, "image")

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
