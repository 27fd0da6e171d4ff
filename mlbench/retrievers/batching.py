"""Cuts a chunk of texts or images into batches: texts by a budget of tokens, images a few ahead of the network."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.images import prepare_images
from mlbench.errors import RetrieverError

if TYPE_CHECKING:
    from PIL.Image import Image

    from mlbench.retrievers.image_text.towers import Features

# Measured on a CPU with a 384-dimensional encoder: a larger budget only adds padding.
_BUDGETS = {"cpu": (512, 64)}
_ACCELERATOR_BUDGET = (16384, 512)
# Without padding on a CPU: small products keep threads waiting, large arrays leave the cache; those of 16 bits are half
# as large, and their products are quick.
_PACKED_BUDGETS = {"fp32": 1024}
_PACKED_HALF_BUDGET = 4096


def image_batches(
    paths: Sequence[Path], prepare: "Callable[[Sequence[Image]], Features]", size: int, threads: int | None = None
) -> "Iterator[Features]":
    """Yield what `prepare` makes of the images in the files at `paths`, in their order, `size` at a time.

    Images are opened and prepared by `threads` (None: one for each processor), each alone, so that what is made of one
    does not depend on the others; while a batch is in use, the next is made. Two batches of what `prepare` makes are in
    memory, however many images there are, and those that are being opened and prepared, which take
    `collection.images.MOST_BYTES` at most or are a single one. No paths give no batches. Raises as `open_images` does,
    and `RetrieverError` for images that cannot stand in one batch.
    """
    import torch

    rows = prepare_images(paths, lambda image: prepare([image]), workers=threads, ahead=size)
    while batch := list(islice(rows, size)):
        try:
            yield {name: torch.cat([row[name] for row in batch]) for name in batch[0]}
        except RuntimeError as error:
            raise RetrieverError(
                "the image processor gives images of different sizes: the checkpoint's needs a resize or a crop"
            ) from error


def batch_budget(device: str) -> tuple[int, int]:
    """Return how many tokens, padding included, and how many rows a batch may have on a type of device."""
    return _BUDGETS.get(device, _ACCELERATOR_BUDGET)


def packed_budget(dtype: str) -> int:
    """Return how many tokens a batch without padding may have on a CPU in a precision such as fp32."""
    return _PACKED_BUDGETS.get(dtype, _PACKED_HALF_BUDGET)


def token_batches(
    lengths: NDArray[np.int64], budget: int, max_rows: int, *, padded: bool = True
) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, longest texts first, so that rows x longest stays within `budget` tokens.

    `lengths` has shape (texts,), in tokens; together the batches hold each row once. A text longer than `budget` is a
    batch of its own, no batch has more than `max_rows` rows, and no texts give no batches. Unless `padded`, all texts
    of a batch have one length. The batches are a function of the arguments alone.
    """
    order = np.argsort(-lengths, kind="stable")
    # How many texts are as long as each, or longer.
    ends = np.searchsorted(-lengths[order], -lengths[order], side="right")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        rows = min(max(budget // longest, 1), max_rows)
        if not padded:
            rows = min(rows, int(ends[start]) - start)
        yield order[start : start + rows]
        start += rows


def packed_batches(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, longest texts first, so that their tokens together stay within `budget`.

    `lengths` has shape (texts,), in tokens; together the batches hold each row once. A text longer than `budget` is a
    batch of its own, and no texts give no batches. The batches are a function of the arguments alone.
    """
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    start = 0
    while start < len(order):
        before = int(ends[start] - lengths[order[start]])
        end = max(int(np.searchsorted(ends, before + budget, side="right")), start + 1)
        yield order[start:end]
        start = end
