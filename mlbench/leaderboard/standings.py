"""The entries of a leaderboard task by task: their numbers in every column, and their ranks with significance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import InvalidResult
from mlbench.leaderboard.audit import Audit
from mlbench.leaderboard.columns import (
    COLUMNS,
    BoardColumn,
    BoardNumber,
    measured,
    reported,
)
from mlbench.leaderboard.entries import Entry, ReportedTask
from mlbench.leaderboard.evidence import Evidence
from mlbench.leaderboard.kept import kept_arrays
from mlbench.leaderboard.repository import Change
from mlbench.reports.formatting import count
from mlbench.results import Result
from mlbench.statistics.all_pairs import significantly_larger
from mlbench.statistics.resampling import smallest_p

Floats = NDArray[np.float64]
_TIE = 1e-9
LEVEL = 0.05
"""The chance that the rank intervals of a column leave out a true rank: they hold all of them together at 95 %."""
RANK_FLIPS = 2_000
"""How many sign patterns ranks are made from: unlike a small p-value, a level of .05 needs no more."""
Group = Literal["verified", "macro", "micro"]
"""Numbers that may stand in one column: recomputed ones, and those that papers report as macro or as micro means."""


@dataclass(frozen=True, slots=True)
class RankRange:
    """The rank of an entry by its number, the simultaneous confidence interval of its rank, and its group.

    Entries of one `group`, counted from 1, tie: the interval of none leaves out the rank of the first of them.
    """

    rank: int
    low: int
    high: int
    group: int


ColumnRanks = tuple[RankRange | None, ...]
"""The ranks of the entries of one column; None for one that is not ranked."""
_NO_RANK = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class CheckedResult:
    """What a checked result says of an entry on one task."""

    result: Result
    evidence: Evidence


@dataclass(frozen=True, eq=False)
class BoardEntry:
    """An entry as the site shows it: `tasks` has the checked results of a verified one, `audit` what an audit found.

    `change` is the one that added it, where it can be seen on the web.
    """

    entry: Entry
    tasks: Mapping[str, CheckedResult]
    audit: Audit | None = None
    change: Change | None = None

    @property
    def name(self) -> str:
        """What the entry and its pages are called."""
        return self.entry.name


@dataclass(frozen=True, slots=True)
class Score:
    """A number of an entry and its rank; reported numbers have none, nor has what cannot be compared."""

    number: BoardNumber
    rank: RankRange | None = None


@dataclass(frozen=True, eq=False)
class Standing:
    """One entry in one group of a task, with its scores by column; columns without a number are not there."""

    entry: Entry
    scores: Mapping[BoardColumn, Score]
    reported: ReportedTask | None = None


@dataclass(frozen=True, eq=False)
class BoardBenchmark:
    """What standings over several tasks are about: `missing` has the tasks that entries lack, by the entry's name."""

    title: str
    tasks: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Standings:
    """All entries of a task, the verified first and then by kind of mean; groups without an entry are not there.

    `cannot_tell` says why a group has no ranks. Over a `benchmark`, `task` is its name and `result` is None. `chance`
    is what random orders have in the columns.
    """

    task: str
    result: Result | None
    groups: Mapping[Group, Sequence[Standing]]
    cannot_tell: Mapping[Group, str] = field(default_factory=dict)
    benchmark: BoardBenchmark | None = None
    chance: Mapping[BoardColumn, float] = field(default_factory=dict)


def standings(entries: Sequence[BoardEntry], *, flips: int = RANK_FLIPS) -> list[Standings]:
    """Return the standings of each task, tasks with the most languages first; no entries give none.

    Raises `InvalidResult` when two entries were measured on other data under the name of one task.
    """
    names = {task for each in entries for task in each.tasks}
    names |= {task.task for each in entries for task in each.entry.reported}
    found = [_of_task(task, entries, flips) for task in sorted(names)]
    return sorted(found, key=lambda each: (-_n_languages(each), each.task))


def _of_task(task: str, entries: Sequence[BoardEntry], flips: int) -> Standings:
    verified = {each.name: each for each in entries if task in each.tasks}
    ranks = _rank_columns(task, {name: each.tasks[task] for name, each in verified.items()}, flips)
    groups: dict[Group, list[Standing]] = {}
    for name, each in verified.items():
        scores = {
            column: Score(number, ranks[column].get(name))
            for column in COLUMNS
            if (number := measured(each.tasks[task].result, column)) is not None
        }
        groups.setdefault("verified", []).append(Standing(each.entry, scores))
    for group, standing in _reported(task, entries):
        groups.setdefault(group, []).append(standing)
    first = next((each.tasks[task] for each in verified.values()), None)
    order: tuple[Group, ...] = ("verified", "macro", "micro")
    ordered = [group for group in order if group in groups]
    return Standings(
        task,
        first.result if first else None,
        {group: groups[group] for group in ordered},
        cannot_tell(ordered, first.result.statistics.n_clusters if first else 0, flips),
        chance=first.evidence.chance if first else {},
    )


def _reported(task: str, entries: Sequence[BoardEntry]) -> Iterator[tuple[Group, Standing]]:
    for each in entries:
        for said in each.entry.reported:
            if said.task == task:
                scores = {column: Score(number) for column in COLUMNS if (number := reported(said, column)) is not None}
                yield said.aggregation, Standing(each.entry, scores, said)


def _rank_columns(
    task: str, verified: Mapping[str, CheckedResult], flips: int
) -> dict[BoardColumn, dict[str, RankRange | None]]:
    every = list(verified.items())
    for name, each in every[1:]:
        if each.evidence.data != every[0][1].evidence.data:
            raise InvalidResult(f"{name} and {every[0][0]} were measured on different data of {task}")
    found = {
        column: {name: each.evidence.columns[column] for name, each in every if column in each.evidence.columns}
        for column in COLUMNS
    }
    ranked = kept_ranks(task, [list(losses.values()) for losses in found.values()], flips=flips)
    return {
        column: dict(zip(losses, ranks, strict=True))
        for (column, losses), ranks in zip(found.items(), ranked, strict=True)
    }


def _n_languages(standings: Standings) -> int:
    return len(standings.result.task.languages) if standings.result else 0


def rank_entries(
    losses: Sequence[Floats],
    *,
    level: float = LEVEL,
    flips: int = RANK_FLIPS,
    seed: int = 0,
) -> ColumnRanks:
    """Rank the entries of one column, one float64 (clusters,) for each; see `rank_families`."""
    return rank_families([losses], level=level, flips=flips, seed=seed)[0]


def rank_families(
    families: Sequence[Sequence[Floats]], *, level: float = LEVEL, flips: int = RANK_FLIPS, seed: int = 0
) -> list[ColumnRanks]:
    """Rank the entries of several columns by what each cluster of topics adds to their losses, float64 (clusters,).

    Every pair of entries of a column is tested by the cluster-level sign-flip permutation test, all pairs as one family
    (`statistics.all_pairs`). The true rank of an entry is at least 1 + the entries that are significantly better, and
    at most the number of entries less those that are significantly worse: with the confidence 1 - `level`, that holds
    for all of them together (Mogstad, Romano, Shaikh and Wilhelm 2024; Al Mohamad, Goeman and van Zwet 2022). An entry
    with NaN is not compared and has no rank. Several entries have none where clusters are so few that no difference can
    be significant (`can_tell`). No entries give no ranks.
    """
    n_clusters = next((len(each) for family in families for each in family), 0)
    known = [[place for place, each in enumerate(family) if not np.isnan(each).any()] for family in families]
    columns = [
        np.array([family[place] for place in places]).reshape(len(places), n_clusters).T
        for family, places in zip(families, known, strict=True)
    ]
    found = []
    larger = significantly_larger(columns, level, flips=flips, seed=seed)
    for family, places, losses, worse in zip(families, known, columns, larger, strict=True):
        told = len(places) == 1 or can_tell(n_clusters, level, flips)
        ranges = dict(zip(places, _rank_ranges(losses.sum(axis=0), worse), strict=True)) if told else {}
        found.append(tuple(ranges.get(place) for place in range(len(family))))
    return found


def kept_ranks(name: str, families: Sequence[Sequence[Floats]], *, flips: int = RANK_FLIPS) -> list[ColumnRanks]:
    """Return what `rank_families` does, from the cache folder where it was found before; `name` is that of the task."""
    parts = [
        f"ranks {flips} {list(map(len, families))}".encode(),
        *(np.concatenate(each).tobytes() for each in families if each),
    ]

    def find() -> dict[str, NDArray[np.int64]]:
        ranked = rank_families(families, flips=flips)
        return {
            str(number): np.array([astuple(each) if each else _NO_RANK for each in found], dtype=np.int64)
            for number, found in enumerate(ranked)
        }

    kept = kept_arrays(name, parts, find)
    return [
        tuple(RankRange(*row) if row[0] else None for row in kept[str(number)].tolist())
        for number in range(len(families))
    ]


def can_tell(n_clusters: int, level: float = LEVEL, flips: int = RANK_FLIPS) -> bool:
    """Tell whether any difference of so many clusters can be significant, however large it is."""
    return smallest_p(n_clusters, flips, two_sided=True) <= level


def cannot_tell(groups: Sequence[Group], n_clusters: int, flips: int = RANK_FLIPS) -> dict[Group, str]:
    """Say for each of the groups that has no ranks why; `n_clusters` are those of the verified numbers."""
    reasons: dict[Group, str] = dict.fromkeys(
        (group for group in groups if group != "verified"),
        "cannot tell: a source gives means, and entries are compared topic by topic",
    )
    if "verified" in groups and not can_tell(n_clusters, flips=flips):
        reasons["verified"] = (
            f"cannot tell: no difference of {count(n_clusters, 'cluster')} of topics can be significant"
        )
    return reasons


def _rank_ranges(losses: Floats, worse: NDArray[np.bool_]) -> list[RankRange]:
    """Return the ranks of `losses` (entries,); `worse` (entries, entries) says which are significantly larger.

    Intervals are widened until none begins or ends above that of an entry with a smaller loss: what the data say of a
    pair depends on how alike the two are, so that of two entries the worse may be known to be near the best less well.
    """
    order = np.argsort(losses, kind="stable")
    ordered = losses[order]
    # Losses that are equal on paper differ in the last bits.
    ahead = np.searchsorted(ordered, ordered - _TIE * np.maximum(1, np.abs(ordered)))
    behind = np.searchsorted(ordered, ordered + _TIE * np.maximum(1, np.abs(ordered)), side="right")
    low = np.minimum.accumulate((1 + worse.sum(axis=1))[order][::-1])[::-1][ahead]
    high = np.maximum.accumulate((len(losses) - worse.sum(axis=0))[order])[behind - 1]
    found: dict[int, RankRange] = {}
    group, leading = 0, 0
    for place, each, first, last in zip(order.tolist(), (ahead + 1).tolist(), low.tolist(), high.tolist(), strict=True):
        if first > leading:
            group, leading = group + 1, each
        found[place] = RankRange(each, first, last, group)
    return [found[place] for place in range(len(losses))]
