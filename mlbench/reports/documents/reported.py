"""Numbers that others report beside those measured here: a table, and differences that cannot be tested."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from mlbench.collection.languages import KINDS, Kind
from mlbench.compare.reported import ReportedMeans, ReportedResult
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.reports.formatting import SHORT, Quantity, decimal, heading, spoken, task_label
from mlbench.reports.report import Block, Cell, Column, Report, Row, Scalar, Section, Sentence, Table
from mlbench.results import Result

NO_TEST = "reported numbers have no ranks: they have no intervals, and can be neither verified nor tested"
_USUAL = ("nDCG@10", "R@100")


class _Values(DocumentPart):
    """What stands in one row: measures by kind of settings, each with the number of settings behind it."""

    model: str
    task: str
    source: str
    means: dict[Kind, dict[str, float]]
    sizes: dict[Kind, int]
    by_language: dict[str, dict[str, float]]
    bias: dict[str, float] = Field(default={})

    def value(self, name: str, kind: Kind | None) -> float | None:
        """Return a mean over a kind of settings, or without a kind a bias score; None where there is none."""
        return self.bias.get(name) if kind is None else self.means.get(kind, {}).get(name)


def reported_report(
    reported: Sequence[ReportedResult | ReportedMeans],
    measured: Sequence[Result] = (),
    *,
    measure: str | None = None,
) -> Report:
    """Return the report of what others report, beside results that were measured here.

    `measure` is the one that is shown, by default those of a paper, or else those that most of the rows have. Of a
    paper, the tasks that were measured are shown, all where none was. Raises `UserError` where no row has the measure.
    """
    reported = _on_tasks_of(measured, reported)
    rows = [*map(_measured, measured), *map(_values, reported)]
    order = list(dict.fromkeys(row.task for row in rows))
    rows.sort(key=lambda row: order.index(row.task))
    columns = _columns(rows, reported, measure)
    table = Table(
        "Numbers measured here, and those that others report",
        "model",
        (
            Column("task", align="left", folds=True),
            Column("from", align="left"),
            *(Column(SHORT[kind], heading(name)) if kind else Column(spoken(name)) for name, kind in columns),
        ),
        tuple(
            Row(
                Cell(row.model),
                (Cell(row.task), Cell(row.source), *(Cell(_text(row, rows, name, kind)) for name, kind in columns)),
            )
            for row in rows
        ),
        titled=False,
        paper=True,
    )
    papers = dict.fromkeys(f"reported: {each.source}" for each in reported if isinstance(each, ReportedMeans))
    blocks: list[Block] = [
        table,
        Sentence((f"macro means over settings; {NO_TEST}",), style="warning"),
        Sentence(tuple(papers), "; ", "soft"),
    ]
    return Report(
        title="Reported numbers",
        blocks=(Section(("Reported numbers",), tuple(blocks), titled=False),),
        documents=(*measured, *reported),
        several=True,
        records=tuple(record for row in rows for record in _records(row)),
    )


def differences_report(base: ReportedResult | Result, candidate: ReportedResult | Result) -> Report:
    """Return the report of the differences between two, of which at least one is reported: no test is possible.

    Macro means of a kind are set against each other where they are over as many settings; in one language, over the
    languages that both have. Raises `UserError` where they have no measure of one kind in common.
    """
    sides = _values(base), _values(candidate)
    pairs = list(_pairs(*sides))
    if not pairs:
        raise UserError(
            f"{sides[0].model} on {sides[0].task} and {sides[1].model} on {sides[1].task} have no measure in common"
        )
    rows = tuple(
        Row(
            Cell(each.label),
            (
                Cell(heading(each.measure)),
                Cell(decimal(each.base)),
                Cell(decimal(each.candidate)),
                Cell(_signed(each.candidate - each.base)),
            ),
        )
        for each in pairs
    )
    names = tuple(f"{side.model} on {side.task} ({side.source})" for side in sides)
    table = Table(
        f"Differences of {names[1]} from {names[0]}",
        "settings",
        (Column("measure", align="left"), Column("base"), Column("candidate"), Column("difference")),
        rows,
        titled=False,
    )
    other = [] if sides[0].task == sides[1].task else [f"{sides[0].task} and {sides[1].task} may be other data"]
    return Report(
        title=f"{names[1]} against {names[0]}",
        blocks=(
            Section(
                (f"{names[1]} against {names[0]}",),
                (table, *(Sentence((text,), style="warning") for text in (f"no test is possible: {NO_TEST}", *other))),
            ),
        ),
        documents=(base, candidate),
        several=True,
        records=tuple(
            {
                "settings": each.label,
                "measure": each.measure,
                "base": each.base,
                "candidate": each.candidate,
                "difference": each.candidate - each.base,
            }
            for each in pairs
        ),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    label: str
    measure: str
    base: float
    candidate: float


def _pairs(base: _Values, candidate: _Values) -> Iterator[_Pair]:
    shared = sorted(set(base.by_language) & set(candidate.by_language))
    measures = list(dict.fromkeys(name for side in (base, candidate) for name in _names(side)))
    for name in measures:
        languages = [tag for tag in shared if name in base.by_language[tag] and name in candidate.by_language[tag]]
        if languages:
            means = [
                sum(side.by_language[tag][name] for tag in languages) / len(languages) for side in (base, candidate)
            ]
            yield _Pair(f"monolingual ({len(languages)})", name, *means)
        for kind in KINDS[1:]:
            one, other = base.means.get(kind, {}), candidate.means.get(kind, {})
            if name in one and name in other and base.sizes[kind] == candidate.sizes[kind]:
                yield _Pair(f"{spoken(kind)} ({base.sizes[kind]})", name, one[name], other[name])
    primary = _shown([base, candidate], None)[:1]
    for tag in shared if len(shared) > 1 else ():
        for name in primary:
            if name in base.by_language[tag] and name in candidate.by_language[tag]:
                yield _Pair(tag, name, base.by_language[tag][name], candidate.by_language[tag][name])


def _on_tasks_of(
    measured: Sequence[Result], reported: Sequence[ReportedResult | ReportedMeans]
) -> list[ReportedResult | ReportedMeans]:
    tasks = {result.task.name for result in measured}
    others = [each for each in reported if isinstance(each, ReportedMeans) and each.task not in tasks]
    papers = [each for each in reported if isinstance(each, ReportedMeans)]
    return [each for each in reported if each not in others] if len(others) < len(papers) else list(reported)


def _columns(
    rows: Sequence[_Values], reported: Sequence[ReportedResult | ReportedMeans], measure: str | None
) -> list[tuple[str, Kind | None]]:
    papers = [each for each in reported if isinstance(each, ReportedMeans)]
    if papers and measure is None:
        return list(dict.fromkeys((mean.name, mean.kind) for paper in papers for mean in paper.values))
    kinds = [(name, kind) for name in _shown(rows, measure) for kind in KINDS]
    return [(name, kind) for name, kind in kinds if any(row.value(name, kind) is not None for row in rows)]


def _values(side: ReportedResult | ReportedMeans | Result) -> _Values:
    if isinstance(side, ReportedMeans):
        return _of_paper(side)
    return _measured(side) if isinstance(side, Result) else _reported(side)


def _of_paper(paper: ReportedMeans) -> _Values:
    means: dict[Kind, dict[str, float]] = {}
    for mean in paper.values:
        if mean.kind is not None:
            means.setdefault(mean.kind, {})[mean.name] = mean.value
    return _Values(
        model=paper.model,
        task=paper.task,
        source="reported",
        means=means,
        sizes={},
        by_language={},
        bias={mean.name: mean.value for mean in paper.values if mean.kind is None},
    )


def _measured(result: Result) -> _Values:
    aggregates = {kind: result.aggregate(kind) for kind in KINDS}
    return _Values(
        model=result.retriever.label,
        task=task_label(result),
        source="measured here",
        means={kind: _present(row.measures) for kind, row in aggregates.items() if row},
        sizes={kind: row.n_settings for kind, row in aggregates.items() if row},
        by_language={
            each.query_language: _present(each.measures) for each in result.settings if each.kind == "monolingual"
        },
        bias=_present({score.name: score.value for score in result.bias.scores}) if result.bias else {},
    )


def _reported(result: ReportedResult) -> _Values:
    kinds = [kind for kind in KINDS if any(each.kind == kind for each in result.settings)]
    measures = list(dict.fromkeys(name for each in result.settings for name in each.measures))
    return _Values(
        model=result.model,
        task=result.task,
        source=f"reported ({result.source})",
        means={kind: _present({name: result.mean(name, kind) for name in measures}) for kind in kinds},
        sizes={kind: sum(each.kind == kind for each in result.settings) for kind in kinds},
        by_language={
            each.languages[0]: each.measures
            for each in result.settings
            if each.kind == "monolingual" and each.languages
        },
    )


def _present(measures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in measures.items() if value is not None}


def _names(row: _Values) -> list[str]:
    return list(dict.fromkeys(name for measures in row.means.values() for name in measures))


def _shown(rows: Sequence[_Values], asked: str | None) -> list[str]:
    """Return the measure that is asked for, or else the usual ones that most rows have."""
    found = {name: sum(name in _names(row) for row in rows) for row in rows for name in _names(row)}
    if asked is not None:
        if asked not in found:
            raise UserError(f"{asked} is neither measured nor reported: there are {', '.join(sorted(found))}")
        return [asked]
    most = max(found.values(), default=0)
    common = [name for name in found if found[name] == most]
    return [name for name in _USUAL if name in common] or common[:1]


def _text(row: _Values, rows: Sequence[_Values], name: str, kind: Kind | None) -> str:
    """Write a mean, with the number of its settings where the means of a column are over different numbers."""
    value = row.value(name, kind)
    if kind is None or kind not in row.sizes or value is None:
        return Quantity(name, kind).write(value)
    # What is beside a paper is on the tasks of the paper, each of which has other languages.
    peers = [each for each in rows if each.task == row.task] if any(not each.sizes for each in rows) else rows
    sizes = {each.sizes[kind] for each in peers if kind in each.sizes and name in each.means.get(kind, {})}
    return decimal(value) if len(sizes) == 1 else f"{decimal(value)} ({row.sizes[kind]})"


def _signed(value: float) -> str:
    text = decimal(value)
    return text if text.startswith("-") or not text.strip(".0") else f"+{text}"


def _records(row: _Values) -> Iterator[dict[str, Scalar]]:
    for kind, measures in row.means.items():
        for name, value in measures.items():
            yield {
                "model": row.model,
                "task": row.task,
                "source": row.source,
                "kind": kind,
                "n_settings": row.sizes.get(kind),
                "measure": name,
                "value": value,
            }
