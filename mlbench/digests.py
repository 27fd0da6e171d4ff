"""A digest of lines that depends on no order, so that the digests of parts add up to that of the whole."""

from hashlib import sha256, shake_128

import numpy as np
from numpy.typing import NDArray

_WORDS = 1024


class LineDigest:
    """LtHash (Bellare and Micciancio 1997; Lewi et al. 2019, 16 bits x 1,024): each line is hashed to a vector.

    The vectors are added modulo 2^16 in every word; a line that is there twice counts twice.
    """

    def __init__(self, state: NDArray[np.uint16] | None = None) -> None:
        """Begin with no lines, or with the `state` of another, uint16 (1024,)."""
        self.state = np.zeros(_WORDS, np.uint16) if state is None else state.copy()

    def add(self, line: str) -> None:
        """Add one line."""
        self.state += np.frombuffer(shake_128(line.encode()).digest(2 * _WORDS), "<u2")

    def merge(self, other: "LineDigest") -> None:
        """Add all lines of `other`."""
        self.state += other.state

    def hexdigest(self) -> str:
        """Return the SHA-256 (hex) of the sum; without lines that of zeros."""
        return sha256(self.state.astype("<u2").tobytes()).hexdigest()
