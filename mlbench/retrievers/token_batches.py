"""How a chunk of texts is cut into batches: by a budget of tokens, so that little padding is computed."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Measured on a CPU with a 384-dimensional encoder: a larger budget only adds padding.
_BUDGETS = {"cpu": (512, 64)}
_ACCELERATOR_BUDGET = (16384, 512)


def batch_budget(device: str) -> tuple[int, int]:
    """Return how many tokens, padding included, and how many rows a batch may have on a type of device."""
    return _BUDGETS.get(device, _ACCELERATOR_BUDGET)


def token_batches(lengths: NDArray[np.int64], budget: int, max_rows: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, longest texts first, so that rows x longest stays within `budget` tokens.

    `lengths` has shape (texts,), in tokens; together the batches hold each row once. A text longer than `budget` is a
    batch of its own, no batch has more than `max_rows` rows, and no texts give no batches. The batches are a function
    of the arguments alone.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        rows = min(max(budget // longest, 1), max_rows)
        yield order[start : start + rows]
        start += rows
