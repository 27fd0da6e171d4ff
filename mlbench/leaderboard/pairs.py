"""Two entries on one task: what they differ by, and in which settings by more than the draw of topics explains."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.leaderboard.columns import Column
from mlbench.leaderboard.evidence import Evidence
from mlbench.leaderboard.placing import LEVEL
from mlbench.paired import FLIPS
from mlbench.results import Bounds
from mlbench.significance import paired_randomization, percentile_bounds


@dataclass(frozen=True, slots=True)
class Difference:
    """The second entry minus the first: its interval, None where there is none, and its adjusted two-sided p-value."""

    interval: Bounds | None
    p: float


@dataclass(frozen=True, eq=False)
class Pair:
    """Two entries on one task: their summary, and bool (settings,) where they differ significantly."""

    summary: Mapping[Column, Difference]
    differs: NDArray[np.bool_]


def compare_pair(first: Evidence, second: Evidence, *, flips: int = FLIPS, seed: int = 0) -> Pair:
    """Compare two entries as `mlbench compare` does: two families, each adjusted by step-down max-T.

    One is the summary, the other the single settings by the primary measure. Both entries are of the same data.
    """
    columns = [column for column in first.summary if column in second.summary]
    summary: dict[Column, Difference] = {}
    if columns:
        changes = np.stack([second.summary[column] - first.summary[column] for column in columns], axis=1)
        p = paired_randomization(changes, flips=flips, seed=seed).adjusted.two_sided
        for index, column in enumerate(columns):
            summary[column] = Difference(_interval(first, second, column), float(p[index]))
    test = paired_randomization(second.settings - first.settings, flips=flips, seed=seed)
    # Comparisons with NaN, of settings without topics, are false.
    return Pair(summary, test.adjusted.two_sided <= LEVEL)


def _interval(first: Evidence, second: Evidence, column: Column) -> Bounds | None:
    low, high = percentile_bounds(second.replicates[column] - first.replicates[column], first.confidence)
    return None if np.isnan(low) else Bounds(low=float(low), high=float(high))
