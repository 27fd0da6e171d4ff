"""The page of an entry: what it is, what it took, how to make it again and how to check it; figures are drawn in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlbench.languages import KINDS
from mlbench.leaderboard.columns import Column, title
from mlbench.leaderboard.drawings import measures_of
from mlbench.leaderboard.entries import Entry, ReportedTask
from mlbench.leaderboard.overview import Cell, cell, facts, written_place
from mlbench.leaderboard.standings import Shown, Standing, Standings
from mlbench.report.method import cost, intervals
from mlbench.report.notation import spoken
from mlbench.report.provenance import Facts, command, provenance
from mlbench.report.scores import score_ends, score_interval, score_references, score_value, written
from mlbench.results import BiasResult, Result

_OF_THE_RETRIEVER = ("Retriever", "Training")
_AGGREGATION = {"macro": "means over settings (macro)", "micro": "means over all queries (micro)"}


@dataclass(frozen=True)
class Means:
    """Means of one kind of settings, a cell for each measure."""

    kind: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class BiasRow:
    """A bias score as it is shown; `place` is empty where entries are not ranked by it."""

    name: str
    value: str
    bounds: str = ""
    reference: str = ""
    ends: str = ""
    place: str = ""


@dataclass(frozen=True)
class Run:
    """What the run on a task took, and how to make it again; not `recorded` is a command like it."""

    cost: Sequence[str]
    intervals: Sequence[str]
    command: str
    recorded: bool
    facts: Sequence[Facts]


@dataclass(frozen=True)
class EntryPart:
    """What the page says of one task; `notes` are warnings and what a source leaves open. What is reported has no run."""

    task: str
    facts: str
    notes: Sequence[str]
    measures: Sequence[str]
    means: Sequence[Means]
    bias: Sequence[BiasRow]
    run: Run | None


@dataclass(frozen=True)
class EntryPage:
    """What the page says of an entry; `shared` are the facts of the retriever, which are the same on all its tasks."""

    entry: Entry
    parts: Sequence[EntryPart]
    shared: Sequence[Facts]


def entry_page(shown: Shown, every: Sequence[Standings]) -> EntryPage:
    """Return the page of an entry; `every` are the standings of all tasks."""
    parts = []
    shared: dict[Facts, None] = {}
    for standings in every:
        for group in standings.groups.values():
            standing = next((each for each in group if each.entry.name == shown.name), None)
            if standing is None:
                continue
            if standing.reported:
                parts.append(_reported(standings, standing, standing.reported))
                continue
            result = shown.tasks[standings.task].result
            shared |= dict.fromkeys(each for each in provenance(result) if each.title in _OF_THE_RETRIEVER)
            parts.append(_measured(standings, standing, result))
    return EntryPage(shown.entry, parts, list(shared))


def _measured(standings: Standings, standing: Standing, result: Result) -> EntryPart:
    measures = measures_of(result)
    scores = result.bias.scores if result.bias else ()
    return EntryPart(
        task=standings.task,
        facts=facts(standings),
        notes=[result.bias.warning] if result.bias and result.bias.warning else [],
        measures=[title(measure) for measure in measures],
        means=list(_means(standing, measures)),
        bias=[_bias_row(score, standing) for score in scores if score.value is not None],
        run=Run(
            cost=cost(result),
            intervals=intervals(result.statistics),
            command=command(result),
            recorded=result.environment.command is not None,
            facts=[each for each in provenance(result) if each.title not in _OF_THE_RETRIEVER],
        ),
    )


def _reported(standings: Standings, standing: Standing, said: ReportedTask) -> EntryPart:
    measures = list(dict.fromkeys(column.name for column in standing.scores if column.kind))
    text = "not stated" if said.document_text is None else spoken(said.document_text)
    scores = {column.name: score.number.value for column, score in standing.scores.items() if column.kind is None}
    return EntryPart(
        task=standings.task,
        facts=f"{_AGGREGATION[said.aggregation]}; what a document was: {text}",
        notes=[f"The source does not state: {', '.join(said.unstated)}."] if said.unstated else [],
        measures=[title(measure) for measure in measures],
        means=list(_means(standing, measures)),
        bias=[BiasRow(name, written(name, value)) for name, value in scores.items()],
        run=None,
    )


def _means(standing: Standing, measures: Sequence[str]) -> Iterator[Means]:
    for kind in KINDS:
        columns = [Column(measure, kind) for measure in measures]
        if any(column in standing.scores for column in columns):
            yield Means(spoken(kind), [cell(column, standing.scores.get(column)) for column in columns])


def _bias_row(score: BiasResult, standing: Standing) -> BiasRow:
    ranked = standing.scores.get(Column(score.name))
    return BiasRow(
        name=score.name,
        value=score_value(score),
        bounds=score_interval(score),
        reference=score_references(score),
        ends=score_ends(score),
        place=written_place(ranked.place) if ranked else "",
    )
