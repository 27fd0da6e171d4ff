"""A history of checkpoints: of each series the values, what changed, and charts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from mlbench.collection.languages import KINDS
from mlbench.compare.history import Checkpoint, History, HistoryFigure, ResultSeries, quantities
from mlbench.measures.bias import TESTED_BIAS_SCORES
from mlbench.reports.chart import Chart, ChartAxis, ChartSeries, Mark
from mlbench.reports.formatting import (
    ABSENT,
    SHORT,
    Quantity,
    count,
    decimal,
    heading,
    interval,
    listed,
    quick_look,
    signed,
    spoken,
    told_references,
)
from mlbench.reports.report import Cell, Charts, Column, Report, Row, Scalar, Section, Sentence, Span, Table, notes

_BEST = "*"
_ORDERS = {"steps": "training steps", "time": "time", "name": "name"}
_DIGEST = 8


def history_report(found: History) -> Report:
    """Return a section for each series; a history without series has none."""
    return Report(
        title="Checkpoints",
        blocks=tuple(_section(series, found) for series in found.series),
        documents=(found,),
        records=tuple(record for series in found.series for record in _records(series)),
    )


def _section(series: ResultSeries, found: History) -> Section:
    return Section(
        _title(series, found),
        (
            _values(series),
            _changes(series),
            _legend(series),
            Sentence(tuple(_beside(series)), "; ", "soft"),
            Sentence(tuple(_unlisted(series)), style="warning"),
            _charts(series),
        ),
    )


def _title(series: ResultSeries, found: History) -> tuple[Span, ...]:
    """Return what was measured, and what must be known of its data; usually nothing."""
    known = [f"partial: {listed(series.languages, 'language')}"] if series.partial else []
    known += [] if series.limit is None else [quick_look(series.limit)]
    alike = sum(each.task == series.task for each in found.series)
    known += [f"data {series.fingerprint[:_DIGEST]}, one of {alike} that are not comparable"] if alike > 1 else []
    size = f"{count(len(series.checkpoints), 'checkpoint')} by {_ORDERS[series.order]}"
    plain = Span(f"(version {series.version}); {size}{';' if known else ''}")
    return (Span(series.task, "strong"), plain, *([Span("; ".join(known), "warning")] if known else []))


def _values(series: ResultSeries) -> Table:
    table = _table(series, series.checkpoints, "values and their intervals", _value)
    return replace(table, titled=False, note_layout="beside_or_below")


def _value(quantity: Quantity, figure: HistoryFigure) -> Cell:
    value, bounds = _written(quantity, figure)
    below = notes(bounds)
    return Cell(value, below, _BEST, "strong") if figure.best else Cell(value, below)


def _changes(series: ResultSeries) -> Table:
    title = "Change from the checkpoint before, and from the best of all before"
    return _table(series, series.checkpoints[1:], title, _change)


def _change(quantity: Quantity, figure: HistoryFigure) -> Cell:
    """Write both changes, the second one as a note."""
    previous, best = (
        ABSENT if change is None else signed(quantity, change, beside=figure.value)
        for change in (figure.from_previous, figure.from_best)
    )
    return Cell(previous, (best,))


def _table(
    series: ResultSeries,
    checkpoints: Sequence[Checkpoint],
    title: str,
    cell: Callable[[Quantity, HistoryFigure], Cell],
) -> Table:
    rows = []
    for checkpoint in checkpoints:
        cells = [cell(each, checkpoint.figure(each.name, each.kind)) for each in _quantities(series)]
        rows.append(Row(Cell(checkpoint.name), (_when(series, checkpoint), *cells)))
    when = Column("steps") if series.order == "steps" else Column("finished", align="left", urgency=3, unnamed=True)
    return Table(title, "checkpoint", (when, *map(_column, _quantities(series))), tuple(rows))


def _column(quantity: Quantity) -> Column:
    if quantity.kind:
        return Column(SHORT[quantity.kind], group=heading(quantity.name))
    # The intervals of the rank distance are the widest, and missed least.
    return Column(quantity.title, urgency=1 + TESTED_BIAS_SCORES.index(quantity.name))


def _when(series: ResultSeries, checkpoint: Checkpoint) -> Cell:
    """Write the training steps, or when a run finished, to the minute; what is no time stands as it is."""
    if series.order == "steps":
        return Cell(f"{checkpoint.steps:,}")
    try:
        return Cell(datetime.fromisoformat(checkpoint.finished_at).strftime("%Y-%m-%d %H:%M"))
    except ValueError:
        return Cell(checkpoint.finished_at)


def _legend(series: ResultSeries) -> Sentence:
    """Say what the mark means, and how intervals were made, as far as all documents agree."""
    several = (
        f"{_BEST} best of the series, own language preference nearest to .500",
        "whether a change is significant: mlbench compare",
    )
    confidence = "" if series.confidence is None else f"{100 * series.confidence:g} % "
    resamples = "" if series.resamples is None else f": {count(series.resamples, 'resample')}"
    how = f"{confidence}intervals are those of the documents{resamples}"
    warned = [f"warning: {series.warning}"] if series.warning else []
    return Sentence((*(several if len(series.checkpoints) > 1 else ()), how, *warned), "; ", "soft")


def _beside(series: ResultSeries) -> list[str]:
    """Return what bias scores are read beside, from the first checkpoint that says it."""
    found = {
        figure.name: (figure.name, figure.ideal, figure.chance)
        for checkpoint in reversed(series.checkpoints)
        for figure in checkpoint.figures
        if figure.kind is None and figure.chance is not None
    }
    return told_references(found.values())


def _unlisted(series: ResultSeries) -> Iterator[str]:
    shares = [figure.unretrieved_share or 0.0 for each in series.checkpoints for figure in each.figures]
    if max(shares, default=0.0) > 0:
        yield (
            f"lists leave out up to {decimal(max(shares))} of the relevant documents: bias scores are not compared "
            "across depths, and none is the best"
        )


def _charts(series: ResultSeries) -> Charts:
    """Return a chart of the measure by kind, and one for each bias score."""
    means = [quantity for quantity in _quantities(series) if quantity.kind]
    scores = [quantity for quantity in _quantities(series) if not quantity.kind]
    charts = [_chart(series, heading(series.measure), means, 0)] if means else []
    charts += [
        _chart(series, spoken(score.name), [score], len(KINDS) + TESTED_BIAS_SCORES.index(score.name))
        for score in scores
    ]
    return Charts(tuple(charts))


def _chart(series: ResultSeries, title: str, quantities: Sequence[Quantity], first: int) -> Chart:
    """Draw steps at their numbers; else checkpoints at equal distances, numbered, with their names below."""
    by_steps, order = series.order == "steps", _ORDERS[series.order]
    places = [checkpoint.steps or 0 if by_steps else n for n, checkpoint in enumerate(series.checkpoints, 1)]
    names = tuple(f"{number}  {checkpoint.name}" for number, checkpoint in enumerate(series.checkpoints, 1))
    return Chart(
        f"{title} by {order if by_steps else 'checkpoint'}",
        ChartAxis(order if by_steps else f"checkpoint, by {order}", tuple((at, f"{at:,}") for at in sorted({*places}))),
        ChartAxis(title),
        tuple(ChartSeries(SHORT[each.kind] if each.kind else "", _marks(series, each, places)) for each in quantities),
        first,
        () if by_steps else names,
    )


def _marks(series: ResultSeries, quantity: Quantity, places: Sequence[int]) -> tuple[Mark, ...]:
    marks = []
    for at, checkpoint in zip(places, series.checkpoints, strict=True):
        figure = checkpoint.figure(quantity.name, quantity.kind)
        if figure.value is not None:
            exact = f"{checkpoint.name}, {quantity.title}: {' '.join(_written(quantity, figure)).strip()}"
            marks.append(Mark(at, figure.value, exact, interval=figure.interval))
    return tuple(marks)


def _written(quantity: Quantity, figure: HistoryFigure) -> tuple[str, str]:
    """Write a value and its interval, which is empty where there is none."""
    bounds = interval(figure.interval, partial(quantity.write, beside=figure.value))
    return quantity.write(figure.value), bounds if figure.value is not None else ""


def _quantities(series: ResultSeries) -> list[Quantity]:
    return [Quantity(name, kind) for name, kind in quantities(series)]


def _records(series: ResultSeries) -> Iterator[Mapping[str, Scalar]]:
    """Yield a row for each figure of each checkpoint; `data` is the fingerprint of the task's data."""
    for checkpoint in series.checkpoints:
        for name, kind in quantities(series):
            figure = checkpoint.figure(name, kind)
            bounds = figure.interval
            yield {
                "task": series.task,
                "version": series.version,
                "data": series.fingerprint,
                "languages": "+".join(series.languages),
                "limit": series.limit,
                "checkpoint": checkpoint.name,
                "retriever": checkpoint.spec,
                "fingerprint": checkpoint.fingerprint,
                "file": checkpoint.file,
                "finished_at": checkpoint.finished_at,
                "steps": checkpoint.steps,
                "kind": kind,
                "measure": name,
                "value": figure.value,
                "low": bounds.low if bounds else None,
                "high": bounds.high if bounds else None,
                "from_previous": figure.from_previous,
                "from_best": figure.from_best,
            }
