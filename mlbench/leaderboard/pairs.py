"""What is told of two entries of a task: which settings they differ in, and what the page tests their means by.

All pairs of many entries are too many to be tested ahead and sent. So single settings are tested for entries that stand
near each other, and means and bias scores by the page itself, from what groups of clusters contribute to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.leaderboard.columns import FIRST, BoardColumn
from mlbench.leaderboard.evidence import Evidence
from mlbench.leaderboard.kept import kept_arrays
from mlbench.leaderboard.standings import LEVEL
from mlbench.statistics.paired_tests import FLIPS
from mlbench.statistics.resampling import difference_p_values

Floats = NDArray[np.float64]
Differing = Mapping[tuple[str, str], NDArray[np.bool_]]
"""By the names of two entries, in alphabetical order: bool (settings,), which settings differ significantly."""
MOST_PAIRS = 2_000
"""So many pairs of a task are tested in single settings: all pairs of 63 entries, and the four next of each of 500."""
MOST_GROUPS = 48
"""Clusters are sent in so many groups: the sums of groups of clusters are independent if those of clusters are."""


@dataclass(frozen=True, eq=False)
class Groups:
    """What groups of clusters contribute to the loss of a number, beyond their share of it, float64 (groups,) both.

    The loss of a group is `residuals` + `shares` times the loss; residuals sum to 0, and shares to 1.
    """

    residuals: Floats
    shares: Floats


def near_pairs(entries: Mapping[str, Evidence], most: int = MOST_PAIRS) -> list[tuple[str, str]]:
    """Return the pairs of entries next to each other by the first column of the site, at most `most` of them.

    Each entry is paired with equally many that follow, with one at least. Fewer than two entries give none.
    """
    ordered = sorted(entries, key=lambda name: (_main_loss(entries[name]), name))
    followers = max(1, most // max(1, len(ordered)))
    if len(ordered) * (len(ordered) - 1) <= 2 * most:
        followers = len(ordered)
    pairs = ((a, b) for place, a in enumerate(ordered) for b in ordered[place + 1 : place + 1 + followers])
    return sorted((min(pair), max(pair)) for pair in pairs)


def _main_loss(evidence: Evidence) -> float:
    losses = evidence.columns.get(FIRST, next(iter(evidence.summary.values()), None))
    return float("inf") if losses is None else float(losses.sum())


def differing_settings(
    task: str, entries: Mapping[str, Evidence], *, most: int = MOST_PAIRS, flips: int = FLIPS, seed: int = 0
) -> Differing:
    """Test the settings of near entries by the primary measure, as `mlbench compare` does, and keep what was found.

    The settings of a pair are one family, adjusted by step-down max-T. Nothing is tested of tasks with so many settings
    that evidence has none.
    """
    pairs = [pair for pair in near_pairs(entries, most) if entries[pair[0]].settings.shape[1]]
    parts = [f"{flips} {seed} {pairs}".encode(), *(entries[name].settings.tobytes() for name in sorted(entries))]

    def find() -> dict[str, NDArray[np.bool_]]:
        return {"differing": _differ(entries, pairs, flips, seed)}

    return dict(zip(pairs, kept_arrays(task, parts, find)["differing"], strict=True)) if pairs else {}


def _differ(
    entries: Mapping[str, Evidence], pairs: Sequence[tuple[str, str]], flips: int, seed: int
) -> NDArray[np.bool_]:
    """Tell in which settings the entries of each pair differ, (pairs, settings)."""
    # Signs are drawn and summed once, for the settings of all entries side by side.
    width = next(iter(entries.values())).settings.shape[1]
    places = {name: np.arange(width) + width * place for place, name in enumerate(entries)}
    columns = np.hstack([each.settings for each in entries.values()])
    p = difference_p_values(columns, [(places[a], places[b]) for a, b in pairs], flips=flips, seed=seed)
    # A comparison with NaN, of a setting without topics, is false.
    return np.array(p) <= LEVEL


def groups_of(evidence: Evidence, column: BoardColumn, most: int = MOST_GROUPS) -> Groups | None:
    """Return what groups of clusters contribute to a column of the summary; None where the entry has no such number."""
    if column not in evidence.summary:
        return None
    losses, shares = _grouped(evidence.summary[column], most), _grouped(evidence.shares[column], most)
    return Groups(losses - shares * losses.sum(), shares)


def _grouped(added: Floats, most: int) -> Floats:
    """Sum float64 (clusters,) in at most `most` groups, each of clusters that are far apart in their order."""
    groups = np.arange(len(added)) % most
    return np.bincount(groups, weights=added, minlength=min(len(added), most)).astype(np.float64)
