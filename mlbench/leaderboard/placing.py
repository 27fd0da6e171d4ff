"""Ranks that say what the data can tell: how many entries are significantly better, and how many worse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.paired import FLIPS
from mlbench.significance import difference_p_values

Floats = NDArray[np.float64]

LEVEL = 0.05
"""The chance that any two entries of a column are told apart although nothing differs but the draw of topics."""


@dataclass(frozen=True, slots=True)
class Place:
    """A rank, 1 + the number of entries that are significantly better, and the last that the data leaves open."""

    rank: int
    last: int


def place(
    contributions: Sequence[Floats],
    *,
    lower_is_better: bool = False,
    level: float = LEVEL,
    flips: int = FLIPS,
    seed: int = 0,
) -> tuple[Place | None, ...]:
    """Rank entries by what each cluster of topics adds to their means, one float64 (clusters,) for each entry.

    Every pair of entries is tested by joint sign flips of the clusters, all pairs as one family (step-down max-T), so
    that at `level` no rank is owed to chance but in that share of columns. An entry with NaN stands outside and has no
    place. No entries give no places.
    """
    known = [index for index, each in enumerate(contributions) if not np.isnan(each).any()]
    places: list[Place | None] = [None] * len(contributions)
    better, worse = _beaten(np.array([contributions[index] for index in known]), level, flips, seed)
    if lower_is_better:
        better, worse = worse, better
    for index, n_better, n_worse in zip(known, better, worse, strict=True):
        places[index] = Place(1 + n_better, len(known) - n_worse)
    return tuple(places)


def _beaten(entries: Floats, level: float, flips: int, seed: int) -> tuple[list[int], list[int]]:
    """Count for each of `entries` (entries, clusters) those that are significantly higher, and lower."""
    if len(entries) < 2:
        return [0] * len(entries), [0] * len(entries)
    one, other = np.triu_indices(len(entries), k=1)
    p = difference_p_values(entries.T, [(one, other)], flips=flips, seed=seed)[0]
    totals = entries.sum(axis=1)
    higher, lower = np.where(totals[other] > totals[one], [other, one], [one, other])
    told_apart = p <= level
    n_higher = np.bincount(lower[told_apart], minlength=len(entries))
    n_lower = np.bincount(higher[told_apart], minlength=len(entries))
    return n_higher.tolist(), n_lower.tolist()
