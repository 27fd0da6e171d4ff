"""Which of several systems differ: all pairs of them are tested as one family.

Two systems are compared by the cluster-level sign-flip permutation test of `resampling.paired_randomization`. The
differences of all pairs are studentised, and pairs are rejected whose difference exceeds what the largest one of the
family reaches by chance: max-T, step by step (Westfall and Young 1993; Romano and Wolf 2005, algorithm 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
    tested = [_AllPairs.of(family) for family in families]
    left = [family for family in tested if family.open.any()]
    while left:
        left = [
            family
            for family, largest in zip(left, _largest(left, flips, seed), strict=True)
            if family.reject(largest, level)
        ]
    return [family.larger for family in tested]


def _largest(families: Sequence["_AllPairs"], flips: int, seed: int) -> list[Floats]:
    """Return for each family the largest difference of its open pairs in each pattern of signs, (patterns,).

    All patterns include the observed one; where they are random it is added, as larger than any difference.
    """
    n_clusters = len(families[0].columns)
    exact, patterns = count_patterns(n_clusters, flips)
    widest = max(family.columns.shape[1] for family in families)
    blocks = sign_blocks(n_clusters, max(1, _BLOCK_CELLS // widest), flips, seed)

    def work(signs: Floats) -> list[Floats]:
        return [family.largest(signs) for family in families]

    found = in_threads(work, blocks) if patterns * widest > _BLOCK_CELLS else map(work, blocks)
    return [np.append(np.concatenate(each), [] if exact else np.inf) for each in zip(*found, strict=True)]


@dataclass(frozen=True, eq=False)
class _AllPairs:
    """All pairs of `columns` (clusters, n), each with the lower index first; what is about pairs is (n, n).

    `totals` are differences of sums, times the `inverse` of the root of the sum of squares, which no flip changes.
    `open` are the pairs that are not rejected yet, `larger` says in which of the others the first is larger.
    """

    columns: Floats
    totals: Floats
    inverse: Floats
    open: Booleans
    larger: Booleans

    @staticmethod
    def of(columns: Floats) -> "_AllPairs":
        n = columns.shape[1]
        scale = np.sqrt([((columns - one[:, None]) ** 2).sum(axis=0) for one in columns.T]).reshape(n, n)
        sums = columns.sum(axis=0)
        # Two systems with the same contributions differ by nothing, however the signs are flipped.
        tested = np.triu(scale > 0, k=1)
        inverse = 1 / np.where(scale > 0, scale, 1.0)
        return _AllPairs(columns, (sums[:, None] - sums) * inverse, inverse, tested, np.zeros_like(tested))

    def largest(self, signs: Floats) -> Floats:
        """Return the largest difference of an open pair with each of the `signs` (patterns, clusters), (patterns,)."""
        flipped = self.columns.T @ signs.T
        n, found = len(flipped), np.zeros(len(signs))
        for place in range(n - 1):
            pairs = self.open[place, place + 1 :]
            # A slice is no copy, which most rows of the first step need not be.
            others = slice(place + 1, n) if pairs.all() else place + 1 + np.flatnonzero(pairs)
            if pairs.any():
                differences = flipped[others] - flipped[place]
                np.abs(differences, out=differences)
                differences *= self.inverse[place, others, None]
                np.maximum(found, differences.max(axis=0), out=found)
        return found

    def reject(self, largest: Floats, level: float) -> bool:
        """Reject the open pairs that at most a share `level` of the `largest` (patterns,) reaches.

        Tells whether others may follow: some were rejected, and some are open.
        """
        reached = len(largest) - np.searchsorted(np.sort(largest), np.abs(self.totals) - _TIE)
        rejected = self.open & (reached / len(largest) <= level)
        self.open[rejected] = False
        self.larger[rejected & (self.totals > 0)] = True
        self.larger.T[rejected & (self.totals < 0)] = True
        return bool(rejected.any() and self.open.any())
