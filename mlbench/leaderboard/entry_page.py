"""The page of an entry: what it is good and bad at, its means, and how to make it again; figures are drawn in it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mlbench.collection.languages import KINDS
from mlbench.leaderboard.audit import STATUSES, Audit, Status, status_of
from mlbench.leaderboard.columns import FIRST, BoardColumn, title
from mlbench.leaderboard.entries import Entry, ReportedTask
from mlbench.leaderboard.findings import Medians, findings
from mlbench.leaderboard.overview import EntryCell, cell, heading, number
from mlbench.leaderboard.page_data import drawn_measures, file_name
from mlbench.leaderboard.repository import Change
from mlbench.leaderboard.standings import BoardEntry, Standing, Standings
from mlbench.reports.captions import caption_map
from mlbench.reports.formatting import cost, spoken, unlisted_note, written
from mlbench.reports.grid import MOST_IN_CELLS
from mlbench.reports.provenance import command, provenance, trained, training_note
from mlbench.reports.report import Facts, HeatMap
from mlbench.results import Result

_AGGREGATION = {"macro": "means over settings (macro)", "micro": "means over all queries (micro)"}
_MOST_NEAREST = 3


@dataclass(frozen=True)
class Means:
    """Means of one kind of settings, a cell for each measure."""

    kind: str
    cells: Sequence[EntryCell]


@dataclass(frozen=True)
class Nearest:
    """Another entry whose number in the first column is near; `within` says whether it is in the interval."""

    entry: Entry
    text: str
    within: bool


@dataclass(frozen=True)
class EntryPart:
    """What the page says of one task; `notes` are warnings, or what a source leaves open.

    `facts` are about reported numbers; `findings` are sentences, and `nearest` other entries by `column`, of measured
    ones. `scores` are bias scores that are reported. `captions` is the table of captioned images, None for texts.
    """

    task: str
    notes: Sequence[str]
    measures: Sequence[str]
    means: Sequence[Means]
    facts: str = ""
    findings: Sequence[str] = ()
    column: str = ""
    nearest: Sequence[Nearest] = ()
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

    `meaning` is what its status means, and `audited` what its audit found in each task. `change` is the one that added
    it, None where that is not known. `has_map` says whether a task has so many languages that its pairs are a map, and
    `task_files` are the names of the data files of its tasks.
    """

    entry: Entry
    status: Status
    meaning: str
    audit: Audit | None
    audited: Sequence[tuple[str, str]]
    change: Change | None
    has_map: bool
    task_files: Sequence[str]
    parts: Sequence[EntryPart]
    making: EntryProvenance | None


def entry_page(shown: BoardEntry, every: Sequence[Standings], of_all: Mapping[str, Medians]) -> EntryPage:
    """Return the page of an entry; `every` are the standings of all tasks, `of_all` the medians of measured ones."""
    standing = [
        (standings, standing)
        for standings in every
        for group in standings.groups.values()
        for standing in group
        if standing.entry.name == shown.name
    ]
    results = [shown.tasks[standings.task].result for standings, _ in standing if standings.task in shown.tasks]
    status, audited = status_of(shown.entry, shown.audit), shown.audit.tasks if shown.audit else {}
    return EntryPage(
        entry=shown.entry,
        status=status,
        meaning=STATUSES[status],
        audit=shown.audit,
        audited=[(task, ". ".join(found.faults or [found.summary])) for task, found in audited.items()],
        change=shown.change,
        has_map=any(len(result.task.languages) > MOST_IN_CELLS for result in results),
        task_files=[file_name(task) for task in shown.tasks],
        parts=[
            _reported(each, each.reported)
            if each.reported
            else _measured(each, standings, shown, of_all[standings.task])
            for standings, each in standing
        ],
        making=_making(results) if results else None,
    )


def _measured(standing: Standing, standings: Standings, shown: BoardEntry, of_all: Medians) -> EntryPart:
    result = shown.tasks[standings.task].result
    ties = result.bias.warning if result.bias else None
    measures = [result.task.primary_measure] if result.image_text is None else drawn_measures(result)
    return EntryPart(
        task=standings.task,
        notes=[note for note in (*training_note(result), ties, unlisted_note(result)) if note],
        measures=[title(measure) for measure in measures],
        means=list(_means(standing, measures)),
        findings=findings(result, of_all),
        column=heading(_main(standing)),
        nearest=_nearest(standing, standings),
        captions=caption_map(result),
    )


def _main(standing: Standing) -> BoardColumn:
    """Return the column that entries are held against one another by: the first of the site that this one has."""
    return FIRST if FIRST in standing.scores else next(iter(standing.scores))


def _nearest(standing: Standing, standings: Standings) -> list[Nearest]:
    """Return the entries whose numbers are nearest: those within the interval, then the others, the nearest first."""
    column = _main(standing)
    own = standing.scores[column].number
    others = {
        each.entry.name: (each.entry, score.number.value)
        for each in standings.groups["verified"]
        if each.entry.name != standing.entry.name and (score := each.scores.get(column))
    }

    def is_within(value: float) -> bool:
        return own.bounds is not None and own.bounds.low <= value <= own.bounds.high

    ordered = sorted(others.items(), key=lambda item: (not is_within(item[1][1]), abs(item[1][1] - own.value), item[0]))
    return [Nearest(entry, number(column, value), is_within(value)) for _, (entry, value) in ordered[:_MOST_NEAREST]]


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
    """Yield the means of each kind of settings, the first measure with its intervals."""
    for kind in KINDS:
        columns = [BoardColumn(measure, kind) for measure in measures]
        if any(column in standing.scores for column in columns):
            first, *others = [cell(column, standing.scores.get(column)) for column in columns]
            yield Means(spoken(kind), [first, *(replace(each, bounds="") for each in others)])


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
    """Return what is known of the retriever, and of its training in a line; the result document tells more."""
    found = {part.title: dict(part.facts) for part in provenance(result) if part.title == "Retriever"}
    training = result.retriever.training
    return found | ({"Training": {"training": trained(training)}} if training else {})
