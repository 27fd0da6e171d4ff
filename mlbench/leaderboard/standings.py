"""The entries of a leaderboard task by task: their numbers in every column, and their places among the verified."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlbench.errors import InvalidResult
from mlbench.leaderboard.columns import COLUMNS, Column, Number, measured, reported
from mlbench.leaderboard.entries import Entry, ReportedTask
from mlbench.leaderboard.evidence import Evidence
from mlbench.leaderboard.placing import Place, place
from mlbench.paired import FLIPS
from mlbench.results import Result

Group = Literal["verified", "macro", "micro"]
"""Numbers that may stand in one column: recomputed ones, and those that papers report as macro or as micro means."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a checked result says of an entry on one task."""

    result: Result
    evidence: Evidence


@dataclass(frozen=True, eq=False)
class Shown:
    """An entry as the site shows it: `tasks` has the checked results of a verified one."""

    entry: Entry
    tasks: Mapping[str, Measured]

    @property
    def name(self) -> str:
        """What the entry and its pages are called."""
        return self.entry.name


@dataclass(frozen=True, slots=True)
class Score:
    """A number of an entry and its place; reported numbers have none, nor has what cannot be compared."""

    number: Number
    place: Place | None = None


@dataclass(frozen=True, eq=False)
class Standing:
    """One entry in one group of a task, with its scores by column; columns without a number are not there."""

    entry: Entry
    scores: Mapping[Column, Score]
    reported: ReportedTask | None = None


@dataclass(frozen=True, eq=False)
class Standings:
    """All entries of a task, the verified first and then by kind of mean; groups without an entry are not there."""

    task: str
    result: Result | None
    groups: Mapping[Group, Sequence[Standing]]


def standings(entries: Sequence[Shown], *, flips: int = FLIPS) -> list[Standings]:
    """Return the standings of each task, tasks with the most languages first; no entries give none.

    Raises `InvalidResult` when two entries were measured on other data under the name of one task.
    """
    names = {task for each in entries for task in each.tasks}
    names |= {task.task for each in entries for task in each.entry.reported}
    found = [_of_task(task, entries, flips) for task in sorted(names)]
    return sorted(found, key=lambda each: (-_n_languages(each), each.task))


def _of_task(task: str, entries: Sequence[Shown], flips: int) -> Standings:
    verified = {each.name: each for each in entries if task in each.tasks}
    places = _places(task, {name: each.tasks[task] for name, each in verified.items()}, flips)
    groups: dict[Group, list[Standing]] = {}
    for name, each in verified.items():
        scores = {
            column: Score(number, places[column].get(name))
            for column in COLUMNS
            if (number := measured(each.tasks[task].result, column)) is not None
        }
        groups.setdefault("verified", []).append(Standing(each.entry, scores))
    for group, standing in _reported(task, entries):
        groups.setdefault(group, []).append(standing)
    first = next((each.tasks[task].result for each in verified.values()), None)
    order: tuple[Group, ...] = ("verified", "macro", "micro")
    return Standings(task, first, {group: groups[group] for group in order if group in groups})


def _reported(task: str, entries: Sequence[Shown]) -> Iterator[tuple[Group, Standing]]:
    for each in entries:
        for said in each.entry.reported:
            if said.task == task:
                scores = {column: Score(number) for column in COLUMNS if (number := reported(said, column)) is not None}
                yield said.aggregation, Standing(each.entry, scores, said)


def _places(task: str, verified: Mapping[str, Measured], flips: int) -> dict[Column, dict[str, Place | None]]:
    every = list(verified.items())
    for name, each in every[1:]:
        if each.evidence.data != every[0][1].evidence.data:
            raise InvalidResult(f"{name} and {every[0][0]} were measured on different data of {task}")
    places = {}
    for column in COLUMNS:
        found = {name: each.evidence.columns[column] for name, each in every if column in each.evidence.columns}
        ranked = place(list(found.values()), lower_is_better=column.lower_is_better, flips=flips)
        places[column] = dict(zip(found, ranked, strict=True))
    return places


def _n_languages(standings: Standings) -> int:
    return len(standings.result.task.languages) if standings.result else 0
