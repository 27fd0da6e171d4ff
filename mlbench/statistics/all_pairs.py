"""Which of several systems differ: all pairs of them are tested as one family.

Two systems are compared by the cluster-level sign-flip permutation test of `resampling.paired_randomization`. The
differences of all pairs are studentised, and pairs are rejected whose difference exceeds what the largest one of the
family reaches by chance: max-T, step by step (Westfall and Young 1993; Romano and Wolf 2005).
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlbench.io.threads import in_threads
from mlbench.statistics.resampling import count_patterns, sign_blocks

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
# Sums that are equal on paper differ in the last bits; counting them as ties errs on the safe side.
_TIE = 1e-9
_BLOCK_CELLS = 2**16


def significantly_larger(
    families: Sequence[Floats], level: float, *, flips: int = 10_000, seed: int = 0
) -> list[Booleans]:
    """Tell in each family of columns which of them have significantly larger sums than which others.

    A family is float64 (clusters, n) of contributions without NaN, all of the same clusters. Returns for each of them
    bool (n, n), true where the sum of the row's column is larger than that of the column's. Where columns differ by the
    sample of clusters alone, any of a family is true with the probability `level` at most. Another column in a family
    makes its tests stricter: it never separates two others. Signs are drawn once for all families.
    """
    tested = [_AllPairs(family, flips) for family in families]
    left = [family for family in tested if family.open.any()]
    while left:
        _flip(left, flips, seed)
        left = [family for family in left if family.reject(level)]
    return [family.larger for family in tested]


def _flip(families: Sequence["_AllPairs"], flips: int, seed: int) -> None:
    """Find the largest difference of the open pairs of each family in each pattern of signs."""
    n_clusters = len(families[0].columns)
    widest = max(family.columns.shape[1] for family in families)
    block = max(1, _BLOCK_CELLS // widest)

    def work(numbered: tuple[int, Floats]) -> None:
        for family in families:
            family.flip(numbered[0] * block, numbered[1])

    blocks = enumerate(sign_blocks(n_clusters, block, flips, seed))
    deque(in_threads(work, blocks) if flips * widest > _BLOCK_CELLS else map(work, blocks), maxlen=0)


class _AllPairs:
    """All pairs of `columns` (clusters, n), each with the lower index first; what is about pairs is bool (n, n).

    `open` are the pairs that are not rejected yet, `larger` says in which of the others the first is larger.
    """

    def __init__(self, columns: Floats, flips: int) -> None:
        n_clusters, n = columns.shape
        scale = np.sqrt([((columns - one[:, None]) ** 2).sum(axis=0) for one in columns.T]).reshape(n, n)
        sums = columns.sum(axis=0)
        # No flip changes the sums of squares.
        self._inverse = 1 / np.where(scale > 0, scale, 1.0)
        self._totals = (sums[:, None] - sums) * self._inverse
        self.columns = columns
        # Two systems with the same contributions differ by nothing, however the signs are flipped.
        self.open: Booleans = np.triu(scale > 0, k=1)
        self.larger: Booleans = np.zeros((n, n), dtype=np.bool_)
        exact, patterns = count_patterns(n_clusters, flips)
        # All patterns include the observed one; where they are random it is added, as larger than any difference.
        self._largest = np.full(patterns if exact else patterns + 1, np.inf)
        self._bound = 0.0

    def flip(self, first: int, signs: Floats) -> None:
        """Find the largest difference of an open pair with each of the `signs` (patterns, clusters).

        Where that was smaller than the bound before, it stays as it was: it has not grown since.
        """
        chosen = first + np.flatnonzero(self._largest[first : first + len(signs)] >= self._bound)
        flipped = self.columns.T @ signs[chosen - first].T
        n, found = len(flipped), np.zeros(len(chosen))
        for place in range(n - 1):
            pairs = self.open[place, place + 1 :]
            # A slice is no copy, which most rows of the first step need not be.
            others = slice(place + 1, n) if pairs.all() else place + 1 + np.flatnonzero(pairs)
            if pairs.any():
                differences = flipped[others] - flipped[place]
                np.abs(differences, out=differences)
                differences *= self._inverse[place, others, None]
                np.maximum(found, differences.max(axis=0), out=found)
        self._largest[chosen] = found

    def reject(self, level: float) -> bool:
        """Reject the open pairs that at most a share `level` of the patterns reaches; tell whether others may follow.

        Patterns below the bound are known to be below it and no more, so that pairs below it wait for the next step.
        """
        size, allowed = len(self._largest), int(level * len(self._largest) + _TIE)
        ordered, observed = np.sort(self._largest), np.abs(self._totals)
        reached = size - np.searchsorted(ordered, observed - _TIE)
        rejected = self.open & (reached <= allowed) & (observed >= self._bound)
        self.open[rejected] = False
        self.larger[rejected & (self._totals > 0)] = True
        self.larger.T[rejected & (self._totals < 0)] = True
        if rejected.any():
            # Twice as many as may reach a pair tell of nearly all that may follow.
            self._bound = ordered[max(0, size - 2 * allowed)]
        elif ordered[size - allowed - 1] >= self._bound:
            return False
        else:
            self._bound = 0.0
        return bool(self.open.any())
