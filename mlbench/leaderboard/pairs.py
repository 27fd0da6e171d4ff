"""Every two entries of a task: what they differ by, and in which settings by more than the draw of topics explains."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mlbench.leaderboard.columns import Column
from mlbench.leaderboard.evidence import Evidence
from mlbench.leaderboard.placing import LEVEL
from mlbench.paired import FLIPS
from mlbench.results import Bounds
from mlbench.significance import difference_p_values, percentile_bounds

Floats = NDArray[np.float64]


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


def compare_pairs(entries: Mapping[str, Evidence], *, flips: int = FLIPS, seed: int = 0) -> dict[tuple[str, str], Pair]:
    """Compare every two entries of a task, in their order, as `mlbench compare` does.

    Two families of each pair are adjusted by step-down max-T: the summary, and the single settings by the primary
    measure. All entries are of the same data; fewer than two give nothing.
    """
    names = list(combinations(entries, 2))
    if not names:
        return {}
    first = next(iter(entries.values()))
    columns = list(dict.fromkeys(column for each in entries.values() for column in each.summary))
    # One block of columns for each entry: its summary, then its settings.
    stacked = np.concatenate([np.hstack([_summary(each, columns), each.settings]) for each in entries.values()], axis=1)
    width = len(columns) + len(first.order)
    starts = {name: place * width for place, name in enumerate(entries)}
    parts = np.arange(len(columns)), np.arange(len(columns), width)
    families = [(starts[a] + part, starts[b] + part) for a, b in names for part in parts]
    p = difference_p_values(stacked, families, flips=flips, seed=seed)
    return {
        (a, b): Pair(
            {
                column: Difference(_interval(entries[a], entries[b], column), float(value))
                for column, value in zip(columns, summary, strict=True)
                if not np.isnan(value)
            },
            # A comparison with NaN, of a setting without topics, is false.
            settings <= LEVEL,
        )
        for (a, b), summary, settings in zip(names, p[::2], p[1::2], strict=True)
    }


def _summary(entry: Evidence, columns: list[Column]) -> Floats:
    """Return contributions (clusters, columns), NaN in a column that the entry lacks."""
    missing = np.full(len(entry.settings), np.nan)
    return np.stack([entry.summary.get(column, missing) for column in columns], axis=1)


def _interval(first: Evidence, second: Evidence, column: Column) -> Bounds | None:
    low, high = percentile_bounds(second.replicates[column] - first.replicates[column], first.confidence)
    return None if np.isnan(low) else Bounds(low=float(low), high=float(high))
