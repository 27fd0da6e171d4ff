"""The page of an entry: its means, what it took, how to make it again and how to check it; figures are drawn in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlbench.collection.languages import KINDS
from mlbench.leaderboard.columns import BoardColumn, measures_of, title
from mlbench.leaderboard.entries import Entry, ReportedTask
from mlbench.leaderboard.overview import EntryCell, cell, facts
from mlbench.leaderboard.page_data import file_name
from mlbench.leaderboard.standings import BoardEntry, Standing, Standings
from mlbench.reports.captions import caption_map
from mlbench.reports.formatting import cost, intervals, spoken, unlisted_note, written
from mlbench.reports.provenance import command, provenance, training_note
from mlbench.reports.report import Facts, HeatMap
from mlbench.results import Result

_AGGREGATION = {"macro": "means over settings (macro)", "micro": "means over all queries (micro)"}
_TOLD = frozenset({"cost", "ranks"})


@dataclass(frozen=True)
class Means:
    """Means of one kind of settings, a cell for each measure."""

    kind: str
    cells: Sequence[EntryCell]


@dataclass(frozen=True)
class EntryPart:
    """What the page says of one task; `notes` are warnings, or what a source leaves open.

    `intervals` says how these were made, empty for reported numbers; `scores` are bias scores that are reported.
    `captions` is the table of captioned images, None for texts.
    """

    task: str
    facts: str
    notes: Sequence[str]
    measures: Sequence[str]
    means: Sequence[Means]
    intervals: str = ""
    scores: Sequence[tuple[str, str]] = ()
    captions: HeatMap | None = None


@dataclass(frozen=True)
class EntryProvenance:
    """How a verified entry was made: what each run took, and the commands; not `recorded` are commands like them.

    `facts` are what all runs have in common, then what is each one's own.
    """

    cost: Sequence[tuple[str, str]]
    commands: Sequence[str]
    recorded: bool
    facts: Sequence[Facts]


@dataclass(frozen=True)
class EntryPage:
    """What the page says of an entry; how it was made is None for a reported one.

    `task_files` are the names of the data files of its tasks.
    """

    entry: Entry
    task_files: Sequence[str]
    parts: Sequence[EntryPart]
    making: EntryProvenance | None


def entry_page(shown: BoardEntry, every: Sequence[Standings]) -> EntryPage:
    """Return the page of an entry; `every` are the standings of all tasks."""
    standing = [
        (standings, standing)
        for standings in every
        for group in standings.groups.values()
        for standing in group
        if standing.entry.name == shown.name
    ]
    results = [shown.tasks[standings.task].result for standings, _ in standing if standings.task in shown.tasks]
    return EntryPage(
        entry=shown.entry,
        task_files=[file_name(task) for task in shown.tasks],
        parts=[
            _reported(each, each.reported) if each.reported else _measured(each, standings, shown)
            for standings, each in standing
        ],
        making=_making(results) if results else None,
    )


def _measured(standing: Standing, standings: Standings, shown: BoardEntry) -> EntryPart:
    result = shown.tasks[standings.task].result
    ties = result.bias.warning if result.bias else None
    measures = measures_of(result)
    return EntryPart(
        task=standings.task,
        facts=facts(standings),
        notes=[note for note in (*training_note(result), ties, unlisted_note(result)) if note],
        measures=[title(measure) for measure in measures],
        means=list(_means(standing, measures)),
        intervals=", ".join(intervals(result.statistics)),
        captions=caption_map(result),
    )


def _reported(standing: Standing, said: ReportedTask) -> EntryPart:
    measures = list(dict.fromkeys(column.name for column in standing.scores if column.kind))
    text = "not stated" if said.document_text is None else spoken(said.document_text)
    scores = {column.name: score.number.value for column, score in standing.scores.items() if column.kind is None}
    return EntryPart(
        task=said.task,
        facts=f"{_AGGREGATION[said.aggregation]}; what a document was: {text}",
        notes=[f"The source does not state: {', '.join(said.unstated)}."] if said.unstated else [],
        measures=[title(measure) for measure in measures],
        means=list(_means(standing, measures)),
        scores=[(name, written(name, value)) for name, value in scores.items()],
    )


def _means(standing: Standing, measures: Sequence[str]) -> Iterator[Means]:
    for kind in KINDS:
        columns = [BoardColumn(measure, kind) for measure in measures]
        if any(column in standing.scores for column in columns):
            yield Means(spoken(kind), [cell(column, standing.scores.get(column)) for column in columns])


def _making(results: Sequence[Result]) -> EntryProvenance:
    return EntryProvenance(
        cost=[(result.task.name, ", ".join(cost(result))) for result in results],
        commands=list(dict.fromkeys(map(command, results))),
        recorded=all(result.environment.command is not None for result in results),
        facts=[*_shared(results), *_own(results)],
    )


def _shared(results: Sequence[Result]) -> Iterator[Facts]:
    """Yield the facts that all results have in common."""
    first, *others = [_facts(result) for result in results]
    for name, held in first.items():
        common = [fact for fact in held.items() if all(fact in other.get(name, {}).items() for other in others)]
        if common:
            yield Facts(name, tuple(common))


def _own(results: Sequence[Result]) -> Iterator[Facts]:
    """Yield for each result the facts that not all of them have in common."""
    common = {(part.title, *fact) for part in _shared(results) for fact in part.facts}
    for result in results:
        facts = [fact for name, held in _facts(result).items() for fact in held.items() if (name, *fact) not in common]
        if facts:
            yield Facts(result.task.name, tuple(facts))


def _facts(result: Result) -> dict[str, dict[str, str]]:
    """Return what is known of retriever, training and run, and told nowhere else on the site."""
    return {
        part.title: {name: value for name, value in part.facts if name not in _TOLD}
        for part in provenance(result)
        if part.title != "Task"
    }
