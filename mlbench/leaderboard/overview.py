"""The overview of the site: one table for each task and each group of numbers that may stand together."""

from collections.abc import Sequence
from dataclasses import dataclass

from mlbench.leaderboard.columns import COLUMNS, FIRST, BoardColumn, title
from mlbench.leaderboard.standings import Group, RankRange, Score, Standing, Standings
from mlbench.reports.captions import sizes
from mlbench.reports.formatting import ABSENT, SHORT, count, decimal, spoken, written
from mlbench.results import Bounds

_HEADINGS: dict[Group, str] = {
    "verified": "Verified",
    "macro": "Reported in papers",
    "micro": "Reported in papers, as micro means",
}
_MILLION = 1e6


@dataclass(frozen=True)
class Head:
    """The head of a column: two lines, what limits it, and the word after which its explanation is looked up."""

    column: BoardColumn
    title: str
    kind: str
    note: str
    first: bool


@dataclass(frozen=True)
class EntryCell:
    """A number as it is shown."""

    text: str
    bounds: str = ""
    rank: str = ""


@dataclass(frozen=True)
class EntryRow:
    """One entry; `parameters` is what it is filtered by, empty where unknown."""

    name: str
    title: str
    notes: Sequence[str]
    size: str
    parameters: str
    cells: Sequence[EntryCell]


@dataclass(frozen=True)
class BoardTable:
    """A table of the overview, sorted by the first column of the site."""

    group: Group
    heading: str
    caption: str
    heads: Sequence[Head]
    rows: Sequence[EntryRow]


@dataclass(frozen=True)
class TaskPart:
    """What the overview says of one task."""

    task: str
    facts: str
    confidence: str
    unit: str
    tables: Sequence[BoardTable]
    has_images: bool


def overview(standings: Standings) -> TaskPart:
    """Return the tables of a task, their rows in order of the first column that has numbers."""
    tables = [_table(standings, group, rows) for group, rows in standings.groups.items()]
    statistics = standings.result.statistics if standings.result else None
    return TaskPart(
        task=standings.task,
        facts=facts(standings),
        confidence=f"{statistics.confidence * 100:g} %" if statistics else "",
        unit=statistics.clustered_by if statistics else "",
        tables=tables,
        has_images=standings.result is not None and standings.result.image_text is not None,
    )


def facts(standings: Standings) -> str:
    """Say in one line what a task is, as far as a verified result tells it."""
    result = standings.result
    if result is None:
        return ""
    unit = count(result.statistics.n_clusters, result.statistics.clustered_by)
    if result.image_text is not None:
        parts = [count(len(result.task.languages), "caption language"), *sizes(result)]
        return ", ".join([*parts, *([] if unit in parts else [unit])])
    parts = [
        count(len(result.task.languages), "language"),
        *([count(result.bias.n_topics, "topic")] if result.bias else []),
        unit,
        *([f"a pool of {count(result.bias.n_documents, 'document')}"] if result.bias else []),
        f"a document is a {spoken(result.task.document_text)}",
    ]
    return ", ".join(parts)


def _table(standings: Standings, group: Group, rows: Sequence[Standing]) -> BoardTable:
    # Those that stand below one another line up; what a group has no number of is a dot.
    like = [*rows, *standings.groups.get("verified", [])] if group == "macro" else rows
    columns = [column for column in COLUMNS if any(column in row.scores for row in like)]
    numbered = [column for column in columns if any(column in row.scores for row in rows)]
    first = FIRST if FIRST in numbered or not numbered else numbered[0]
    ordered = sorted(rows, key=lambda row: (_order(row.scores.get(first), first), row.entry.name))
    return BoardTable(
        group=group,
        heading=_HEADINGS[group],
        caption=f"{standings.task}: {_HEADINGS[group].lower()}",
        heads=[_head(column, standings, column == first) for column in columns],
        rows=[_row(row, columns) for row in ordered],
    )


def _order(score: Score | None, column: BoardColumn) -> float:
    if score is None:
        return float("inf")
    return column.loss(score.number.value)


def _head(column: BoardColumn, standings: Standings, first: bool) -> Head:
    if column.kind is None:
        score = standings.result.bias.score(column.name) if standings.result and standings.result.bias else None
        random = score.references.get("chance") if score else None
        chance = "" if random is None else f"chance {written(column.name, random)}"
        return Head(column, spoken(column.name), "", ", ".join(filter(None, (column.note, chance))), first)
    mean = standings.result.aggregate(column.kind) if standings.result else None
    ceiling = mean.ceilings.get(column.name) if mean else None
    note = f"at most {decimal(ceiling)}" if ceiling is not None and ceiling < 1 else ""
    return Head(column, title(column.name), SHORT[column.kind], note, first)


def _row(standing: Standing, columns: Sequence[BoardColumn]) -> EntryRow:
    entry, said = standing.entry, standing.reported
    return EntryRow(
        name=entry.name,
        title=entry.title,
        notes=[f"not stated: {', '.join(said.unstated)}"] if said and said.unstated else [],
        size=size(entry.parameters),
        parameters="" if entry.parameters is None else str(entry.parameters),
        cells=[cell(column, standing.scores.get(column)) for column in columns],
    )


def cell(column: BoardColumn, score: Score | None) -> EntryCell:
    """Return how a number is written in a column."""
    if score is None:
        return EntryCell(ABSENT)
    value, bounds = score.number.value, score.number.bounds
    return EntryCell(number(column, value), interval(column, bounds), rank_text(score.rank))


def number(column: BoardColumn, value: float) -> str:
    """Write a number of a column with as many decimals as it deserves."""
    return decimal(value) if column.kind else written(column.name, value)


def interval(column: BoardColumn, bounds: Bounds | None) -> str:
    """Write an interval such as `.401 to .423`; without one, the empty string."""
    return f"{number(column, bounds.low)}–{number(column, bounds.high)}" if bounds else ""


def rank_text(rank: RankRange | None) -> str:
    """Write the interval of a rank such as `2` or `2–4`; none is the empty string."""
    if rank is None:
        return ""
    return str(rank.low) if rank.low == rank.high else f"{rank.low}–{rank.high}"


def size(parameters: int | None) -> str:
    """Write a number of parameters such as `118 M`; None is `·`."""
    if parameters is None:
        return ABSENT
    if parameters < _MILLION:
        return f"{parameters / 1e3:.0f} k" if parameters else "0"
    millions = parameters / _MILLION
    return f"{millions:,.0f} M" if millions >= 10 else f"{millions:.1f} M"
