"""Checkpoints measured one after the other: results of the same data in their order, and what changed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mlbench.collection.languages import KINDS, Kind
from mlbench.errors import UnknownName, UserError
from mlbench.io.document import DocumentPart
from mlbench.measures.bias import TESTED_BIAS_SCORES
from mlbench.results import Bounds, Result
from mlbench.statistics.direction import loss

Order = Literal["steps", "time", "name"]


class HistoryFigure(DocumentPart):
    """The macro mean of a measure over a kind of settings, or without a kind a bias score, as its document has it.

    `from_previous` and `from_best` are this value minus that of the checkpoint before, and minus the best of all that
    stand before; null where there is none. `best` says that none of the series is better; no bias score is the best
    where lists leave out relevant documents. `ideal` and `chance` are those of a bias score over the same topics.
    """

    name: str
    kind: Kind | None
    value: float | None
    interval: Bounds | None
    from_previous: float | None = None
    from_best: float | None = None
    best: bool = False
    ideal: float | None = None
    chance: float | None = None
    unretrieved_share: float | None = None


class Checkpoint(DocumentPart):
    """One result: `steps` are those trained, null where the checkpoint is silent.

    `spec` is what the retriever is called, by its name or else its spec; `name` is as much of it as tells it apart.
    """

    name: str
    spec: str
    fingerprint: str
    file: str
    finished_at: str
    steps: int | None
    figures: tuple[HistoryFigure, ...]

    def figure(self, name: str, kind: Kind | None) -> HistoryFigure:
        """Return the figure of a measure and a kind, or of a bias score."""
        return next(each for each in self.figures if (each.name, each.kind) == (name, kind))


class ResultSeries(DocumentPart):
    """All results of one task on the same data, in the order of training `steps`, of `time`, or of `name`.

    `confidence`, `resamples` and `n_clusters` are those of the intervals, null where they differ. `warning` says where
    few clusters make them approximate.
    """

    task: str
    version: str
    fingerprint: str
    languages: tuple[str, ...]
    partial: bool
    limit: int | None
    measure: str
    order: Order
    confidence: float | None
    resamples: int | None
    n_clusters: int
    warning: str | None = None
    checkpoints: tuple[Checkpoint, ...]


class History(DocumentPart):
    """Every series; results of a task on other data are series of their own."""

    schema_version: Literal["2.0"] = "2.0"
    series: tuple[ResultSeries, ...]


def history(
    results: Iterable[tuple[str, Result]],
    *,
    task: str | None = None,
    by: Order | None = None,
    measure: str | None = None,
) -> History:
    """Arrange results, each with the name of its file, into series; without results there is no series.

    `task` leaves other tasks out. Without `by`, the order is that of training steps where all of a series tell theirs
    and are of one recipe, else that of time. `measure` is by default the primary one of each task. Raises
    `UnknownName` for a task or a measure that no result has, and `UserError` where steps are asked for and missing.
    """
    found = [_Filed(file, _without_settings(result)) for file, result in results]
    names = {each.result.task.name for each in found}
    if task is not None and names and task not in names:
        raise UnknownName("task of these results", task, names)
    chosen = [each for each in found if task in (None, each.result.task.name)]
    measures = {name for each in chosen for name in each.result.task.measures}
    if measure is not None and chosen and measure not in measures:
        raise UnknownName("measure of these results", measure, measures)
    groups: dict[tuple[str, str, str], list[_Filed]] = {}
    for each in sorted(chosen, key=lambda one: (one.result.task.name, one.file)):
        info = each.result.task
        groups.setdefault((info.name, info.version, info.fingerprint), []).append(each)
    return History(series=tuple(_series(group, by, measure) for group in groups.values()))


def quantities(series: ResultSeries) -> list[tuple[str, Kind | None]]:
    """Return what a series has values of, in the order of its columns."""
    wanted: list[tuple[str, Kind | None]] = [(series.measure, kind) for kind in KINDS] + [
        (name, None) for name in TESTED_BIAS_SCORES
    ]
    return [key for key in wanted if any(one.figure(*key).value is not None for one in series.checkpoints)]


@dataclass(frozen=True, slots=True)
class _Filed:
    """A result and the file that it is from."""

    file: str
    result: Result


def _without_settings(result: Result) -> Result:
    """Leave out what a history does not show, so that any number of results finds room."""
    return result.model_copy(update={"settings": ()})


def _series(group: Sequence[_Filed], by: Order | None, measure: str | None) -> ResultSeries:
    first = group[0].result
    order = by or ("steps" if _are_of_one_recipe(group) else "time")
    names = dict(zip([each.file for each in group], _short_names(group), strict=True))
    ordered = sorted(group, key=lambda each: _place(each, order))
    statistics = [each.result.statistics for each in group]
    confidence, resamples = ({getattr(each, key) for each in statistics} for key in ("confidence", "resamples"))
    shown = measure or first.task.primary_measure
    return ResultSeries(
        task=first.task.name,
        version=first.task.version,
        fingerprint=first.task.fingerprint,
        languages=first.task.languages,
        partial=first.task.partial,
        limit=first.task.limit,
        measure=shown,
        order=order,
        confidence=confidence.pop() if len(confidence) == 1 else None,
        resamples=resamples.pop() if len(resamples) == 1 else None,
        n_clusters=first.statistics.n_clusters,
        warning=first.statistics.warning,
        checkpoints=tuple(_changes([_checkpoint(each, names[each.file], shown) for each in ordered])),
    )


def _are_of_one_recipe(group: Sequence[_Filed]) -> bool:
    """Say whether all tell how they were trained, by recipes that differ in the number of steps alone."""
    recipes = [each.result.retriever.training.recipe if each.result.retriever.training else None for each in group]
    without = [None if recipe is None else {key: recipe[key] for key in recipe if key != "steps"} for recipe in recipes]
    return without[0] is not None and all(each == without[0] for each in without)


def _place(found: _Filed, order: Order) -> tuple[object, ...]:
    """Return where a result stands; what nothing else tells apart is in the order of time, then of files."""
    result = found.result
    last = (_moment(result.cost.finished_at), _natural(found.file))
    if order == "name":
        return (_natural(result.retriever.label), *last)
    if order == "time":
        return last
    if result.retriever.training is None:
        raise UserError(f"{found.file} does not say after how many steps it was saved: choose --by time or --by name")
    return (result.retriever.training.steps, *last)


def _short_names(group: Sequence[_Filed]) -> list[str]:
    """Return the labels without the folders that all have in common, and with a digest where they are the same."""
    labels = [each.result.retriever.label for each in group]
    folders = [label.split("/")[:-1] for label in labels]
    alike = [len(set(each)) == 1 for each in zip(*folders, strict=False)]
    shared = [*alike, False].index(False) if len(set(labels)) > 1 else 0
    short = ["/".join(label.split("/")[shared:]) for label in labels]
    return [
        name if short.count(name) == 1 else f"{name} {each.result.retriever.fingerprint[:8]}"
        for name, each in zip(short, group, strict=True)
    ]


def _moment(text: str) -> float:
    """Return when a run finished, in seconds; what is no time stands first."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("-inf")


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return a key in whose order step-9 stands before step-10; of two numbers, the one with more digits is larger."""
    parts = [(part.isdecimal(), part.lstrip("0") if part.isdecimal() else part) for part in re.split(r"(\d+)", text)]
    return tuple((is_number, len(part) if is_number else 0, part) for is_number, part in parts)


def _checkpoint(found: _Filed, name: str, measure: str) -> Checkpoint:
    result = found.result
    return Checkpoint(
        name=name,
        spec=result.retriever.label,
        fingerprint=result.retriever.fingerprint,
        file=found.file,
        finished_at=result.cost.finished_at,
        steps=result.retriever.training.steps if result.retriever.training else None,
        figures=tuple(_figures(result, measure)),
    )


def _figures(result: Result, measure: str) -> Iterator[HistoryFigure]:
    wanted: list[tuple[str, Kind | None]] = [(measure, kind) for kind in KINDS]
    for name, kind in [*wanted, *((score, None) for score in TESTED_BIAS_SCORES)]:
        value, bounds = result.figure(name, kind)
        score = result.bias.score(name) if result.bias and kind is None else None
        beside = score.references if score else {}
        yield HistoryFigure(
            name=name,
            kind=kind,
            value=value,
            interval=bounds,
            ideal=beside.get("ideal"),
            chance=beside.get("chance"),
            unretrieved_share=score.unretrieved_share if score else None,
        )


def _changes(checkpoints: Sequence[Checkpoint]) -> Iterator[Checkpoint]:
    """Yield the checkpoints with what their figures differ by from those before."""
    columns = [_column(each) for each in zip(*(one.figures for one in checkpoints), strict=True)]
    for one, figures in zip(checkpoints, zip(*columns, strict=True), strict=True):
        yield one.model_copy(update={"figures": figures})


def _column(figures: Sequence[HistoryFigure]) -> list[HistoryFigure]:
    """Compare the values of one figure, in their order, with the one before and with the best before."""
    name = figures[0].name
    losses = [None if figure.value is None else loss(name, figure.value) for figure in figures]
    known = [lost for lost in losses if lost is not None]
    least = min(known, default=None)
    comparable = not any(figure.unretrieved_share for figure in figures)
    compared: list[HistoryFigure] = []
    previous = best = best_loss = None
    for figure, lost in zip(figures, losses, strict=True):
        value = figure.value
        if value is None:
            compared.append(figure)
            previous = None
            continue
        compared.append(
            figure.model_copy(
                update={
                    "from_previous": None if previous is None else value - previous,
                    "from_best": None if best is None else value - best,
                    "best": comparable and len(known) > 1 and lost == least,
                }
            )
        )
        previous = value
        if lost is not None and (best_loss is None or lost < best_loss):
            best, best_loss = value, lost
    return compared
