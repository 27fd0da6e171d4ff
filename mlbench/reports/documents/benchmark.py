"""Models on a benchmark: the mean over its tasks, the Borda rank, and the score of each task."""

from collections.abc import Iterator

from mlbench.compare.benchmark import BenchmarkScores, MeasuredTask
from mlbench.reports.formatting import ABSENT, count, decimal, heading, interval, listed, quick_look, spoken
from mlbench.reports.report import Block, Cell, Column, Report, Row, Scalar, Section, Sentence, Table, notes

_BEST = "*"


def benchmark_report(found: BenchmarkScores) -> Report:
    """Return a table with a row for each model, and what its numbers are."""
    title = found.title or found.benchmark
    blocks: tuple[Block, ...] = (_table(found), *_missing(found), _caveats(found), _legend(found), _tasks(found))
    return Report(
        title=title,
        blocks=(Section((f"{title} (version {found.version})",), blocks),),
        documents=(found,),
        records=tuple(_records(found)),
    )


def _table(found: BenchmarkScores) -> Table:
    tasks = [task.task for task in found.tasks]
    columns = [Column("mean"), Column("Borda rank", urgency=1), *(Column(name, urgency=2) for name in tasks)]
    best = {
        name: max((score.value for model in found.models if (score := model.score(name))), default=None)
        for name in tasks
    }
    highest = max((model.mean for model in found.models if model.mean is not None), default=None)
    several = len(found.models) > 1
    rows = []
    for model in found.models:
        cells = [_cell(model.mean, interval(model.interval), best=several and model.mean == highest)]
        cells.append(Cell(ABSENT if model.borda_rank is None else str(model.borda_rank)))
        for name in tasks:
            score = model.score(name)
            value, bounds = (score.value, interval(score.interval)) if score else (None, "")
            cells.append(_cell(value, bounds, best=several and value is not None and value == best[name]))
        rows.append(Row(Cell(model.model), tuple(cells)))
    return Table("Scores of models", "model", tuple(columns), tuple(rows), titled=False, note_layout="beside_or_below")


def _cell(value: float | None, bounds: str, *, best: bool) -> Cell:
    if value is None:
        return Cell(ABSENT)
    return Cell(decimal(value), notes(bounds), _BEST if best else "", "strong" if best else "plain")


def _missing(found: BenchmarkScores) -> Iterator[Sentence]:
    for model in found.models:
        if model.missing:
            lacking = ", ".join(model.missing)
            told = f"{model.model} has no mean and no Borda rank: it was not measured on {lacking}"
            yield Sentence((told,), style="warning")


def _caveats(found: BenchmarkScores) -> Sentence:
    """Say which tasks were not measured whole, so that the means are not those of the benchmark."""
    partial = [f"{task.task}: {_part(task)}" for task in found.tasks if task.partial or task.limit is not None]
    return Sentence((*partial, "these are not the benchmark's scores") if partial else (), "; ", "warning")


def _part(task: MeasuredTask) -> str:
    told = [f"{listed(task.languages or (), 'language')} only"] if task.partial else []
    return "; ".join([*told, *([] if task.limit is None else [quick_look(task.limit)])])


def _legend(found: BenchmarkScores) -> Sentence:
    return Sentence(
        (
            "mean: each task counts alike",
            f"{100 * found.confidence:g} % intervals of new topics for the same tasks: "
            f"{count(found.resamples, 'resample')} of the clusters of topics in each task",
            "Borda: a model has one point for each model behind it on each task, the rank is that of the points",
        ),
        "; ",
        "soft",
    )


def _tasks(found: BenchmarkScores) -> Table:
    """Return what each task's score is the mean of."""
    return Table(
        "The score of each task",
        "task",
        (Column("measure", align="left"), Column("mean of settings", align="left", folds=True)),
        tuple(
            Row(
                Cell(task.task),
                (Cell(heading(task.measure)), Cell(", ".join(spoken(kind) for kind in task.settings))),
            )
            for task in found.tasks
        ),
    )


def _records(found: BenchmarkScores) -> Iterator[dict[str, Scalar]]:
    """Yield a row for each mean and each score of a task."""
    for model in found.models:
        for name, value, bounds in (
            ("mean", model.mean, model.interval),
            *((score.task, score.value, score.interval) for score in model.scores),
        ):
            yield {
                "benchmark": found.benchmark,
                "version": found.version,
                "model": model.model,
                "score": name,
                "value": value,
                "low": bounds.low if bounds else None,
                "high": bounds.high if bounds else None,
                "borda_rank": model.borda_rank if name == "mean" else None,
            }
