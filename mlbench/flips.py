"""Sign patterns of clusters: all of them where they are few, else random ones from a frozen stream."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def count_patterns(n_clusters: int, flips: int) -> tuple[bool, int]:
    """Return whether all sign patterns are few enough to be tried, and how many are."""
    exact = n_clusters < 63 and 2**n_clusters <= flips
    return exact, 2**n_clusters if exact else flips


def sign_blocks(n_clusters: int, block: int, flips: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of at most `block` sign patterns, float64 (patterns, clusters): the same for every block size."""
    exact, _ = count_patterns(n_clusters, flips)
    return _all_signs(n_clusters, block) if exact else _random_signs(n_clusters, block, flips, seed)


def _all_signs(n_clusters: int, block: int) -> Iterator[Floats]:
    """Yield blocks of all sign patterns, (patterns, clusters)."""
    for first in range(0, 2**n_clusters, block):
        codes = np.arange(first, min(first + block, 2**n_clusters), dtype=np.int64)
        yield np.where(codes[:, None] >> np.arange(n_clusters) & 1, 1.0, -1.0)


def _random_signs(n_clusters: int, block: int, flips: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of random sign patterns, (patterns, clusters)."""
    random = np.random.RandomState(seed)
    # Whole 32-bit words for each pattern, so that the block size does not change the stream.
    n_bytes = 4 * -(-n_clusters // 32)
    for first in range(0, flips, block):
        size = min(block, flips - first)
        drawn = np.frombuffer(random.bytes(size * n_bytes), np.uint8).reshape(size, n_bytes)
        yield np.where(np.unpackbits(drawn, axis=1, count=n_clusters), 1.0, -1.0)
