"""A sweep as one HTML page that needs nothing else, with its figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pydantic import JsonValue

from mlbench.collection.languages import KINDS, Kind
from mlbench.compare.sweep import Arm, ArmFigure, ArmPair, Sweep, SweepAxis, TaskSweep
from mlbench.reports.formatting import ABSENT, Quantity, decimal, heading, spoken, written
from mlbench.reports.html import render_page
from mlbench.reports.svg import Chart, ChartAxis, ChartSeries, Drawing, Mark, chart_svg
from mlbench.reports.sweep.content import (
    LEGEND,
    arm_notes,
    base_pairs,
    by_language,
    claims,
    confounding,
    difference_cell,
    differences,
    figure_cell,
    header,
    how,
    quantities,
    value_text,
)

DATA_FRACTION = "data_fraction"
ALPHA = "alpha"
# Values that span so much stand on a logarithmic axis.
_WIDE = 8.0


def drawings(sweep: Sweep, task: TaskSweep) -> list[Drawing]:
    """Return the figures of a task, those whose numbers it has."""
    return [*_cross_against_mono(sweep, task), *_bias(sweep, task), *_scaling(sweep, task)]


def _cross_against_mono(sweep: Sweep, task: TaskSweep) -> Iterator[Drawing]:
    axis = _axis(sweep, ALPHA)
    series, described = [], []
    for name, arms in _lines(sweep, axis):
        means, seeds = [], []
        for arm in arms:
            mono, cross = (_mean(task, arm, task.primary_measure, kind) for kind in ("monolingual", "cross_lingual"))
            if mono is None or cross is None or mono.mean is None or cross.mean is None:
                continue
            exact = f"{arm.name}: mono {decimal(mono.mean, 4)}, cross {decimal(cross.mean, 4)}"
            described.append(exact)
            means.append(Mark(mono.mean, cross.mean, exact, value_text(arm.values[axis.name])))
            if len(sweep.seeds) > 1:
                seeds += _points(mono.values, cross.values)
        series.append(ChartSeries(name, tuple(means), tuple(seeds)))
    if not described:
        return
    measure = heading(task.primary_measure)
    title = f"Cross-lingual against monolingual {measure}, by {spoken(axis.name)}"
    chart = Chart(
        ChartAxis(f"monolingual {measure}"),
        ChartAxis(f"cross-lingual {measure}"),
        tuple(series),
        f"{title}: {'; '.join(described)}",
    )
    yield Drawing(title, chart_svg(chart))


def _bias(sweep: Sweep, task: TaskSweep) -> Iterator[Drawing]:
    of_captions = [(name, _axis(sweep)) for name in ("r_mean", "clip_score")]
    for name, axis in (*of_captions, ("rank_distance", _axis(sweep)), ("own_language_preference", _axis(sweep, ALPHA))):
        yield from _against(sweep, task, axis, name, None)


def _scaling(sweep: Sweep, task: TaskSweep) -> Iterator[Drawing]:
    axis = _axis(sweep, DATA_FRACTION)
    if axis.name == DATA_FRACTION and len(axis.values) > 1:
        for kind in KINDS:
            yield from _against(sweep, task, axis, task.primary_measure, kind)


def _against(sweep: Sweep, task: TaskSweep, axis: SweepAxis, name: str, kind: Kind | None) -> Iterator[Drawing]:
    """Yield one figure by the values of an axis, where there are any: a line for each value of the others."""
    series, described = [], []
    for line, arms in _lines(sweep, axis):
        means, seeds = [], []
        for arm in arms:
            figure = _mean(task, arm, name, kind)
            if figure is None or figure.mean is None:
                continue
            at, bounds = _place(axis, arm.values[axis.name]), figure.interval
            shown = f" [{written(name, bounds.low)}, {written(name, bounds.high)}]" if bounds else ""
            exact = f"{arm.name}: {written(name, figure.mean)}{shown}"
            described.append(exact)
            means.append(Mark(at, figure.mean, exact, interval=bounds))
            if len(sweep.seeds) > 1:
                seeds += _points([at] * len(figure.values), figure.values)
        series.append(ChartSeries(line, tuple(means), tuple(seeds)))
    if not described:
        return
    what = spoken(name) if kind is None else f"{spoken(kind)} {heading(name)}"
    title = f"{what[:1].upper()}{what[1:]} by {spoken(axis.name)}"
    ticks = tuple((_place(axis, value), value_text(value)) for value in _ordered(axis))
    chart = Chart(
        ChartAxis(f"{spoken(axis.name)}{', logarithmic' if _is_wide(axis) else ''}", ticks, _is_wide(axis)),
        ChartAxis(what),
        tuple(series),
        f"{title}: {'; '.join(described)}",
    )
    yield Drawing(title, chart_svg(chart))


def _axis(sweep: Sweep, preferred: str | None = None) -> SweepAxis:
    """Return the preferred axis, else the first with numbers, else the first."""
    named = [axis for axis in sweep.axes if axis.name == preferred]
    return next(iter([*named, *(axis for axis in sweep.axes if _is_numeric(axis)), *sweep.axes]))


def _lines(sweep: Sweep, axis: SweepAxis) -> Iterator[tuple[str, list[Arm]]]:
    """Yield the arms that differ in nothing but `axis`, in its order, and what they have in common."""
    order = _ordered(axis)

    def rest(arm: Arm) -> list[str]:
        return [f"{spoken(key)} {value_text(value)}" for key, value in arm.values.items() if key != axis.name]

    seen = {tuple(rest(arm)): number for number, arm in reversed(list(enumerate(sweep.arms)))}
    arms = sorted(sweep.arms, key=lambda arm: (seen[tuple(rest(arm))], order.index(arm.values[axis.name])))
    for common, group in groupby(arms, key=rest):
        yield ", ".join(common), list(group)


def _ordered(axis: SweepAxis) -> list[JsonValue]:
    return sorted(axis.values, key=_number) if _is_numeric(axis) else list(axis.values)


def _place(axis: SweepAxis, value: JsonValue) -> float:
    return _number(value) if _is_numeric(axis) else float(axis.values.index(value))


def _is_numeric(axis: SweepAxis) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in axis.values)


def _is_wide(axis: SweepAxis) -> bool:
    if not _is_numeric(axis):
        return False
    numbers = [_number(value) for value in axis.values]
    return min(numbers) > 0 and (axis.name == DATA_FRACTION or max(numbers) / min(numbers) >= _WIDE)


def _number(value: JsonValue) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _mean(task: TaskSweep, arm: Arm, name: str, kind: Kind | None) -> ArmFigure | None:
    return task.row(arm.name).figure(name, kind)


def _points(xs: Sequence[float | None], ys: Sequence[float | None]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]


@dataclass(frozen=True)
class SweepCell:
    """A number with what stands in small letters below it; one that `stands_out` is in bold."""

    text: str
    notes: Sequence[str]
    stands_out: bool = False


@dataclass(frozen=True)
class SweepRow:
    """A labelled row; `notes` stand below the label."""

    label: str
    notes: Sequence[str]
    cells: Sequence[SweepCell]


@dataclass(frozen=True)
class SweepTable:
    """A table: `caption` for those who hear it, titles of the columns but the first."""

    caption: str
    first: str
    titles: Sequence[str]
    rows: Sequence[SweepRow]


@dataclass(frozen=True)
class SweepSection:
    """All that the page says of one task."""

    task: TaskSweep
    figures: SweepTable
    claims: Sequence[str]
    drawings: Sequence[Drawing]
    base: SweepTable | None
    by_language: Sequence[SweepTable]
    others: SweepTable | None
    how: Sequence[str]


def sweep_page(sweep: Sweep) -> str:
    """Return the page; everything that comes from the sweep is escaped."""
    legend = list(LEGEND) if len(sweep.arms) > 1 else []
    legend += [confounding()] if any(arm.confounded for arm in sweep.arms) else []
    return render_page(
        "sweep.html",
        sweep=sweep,
        header=header(sweep),
        legend=legend,
        differences=differences(sweep),
        sections=[_section(sweep, task) for task in sweep.tasks],
    )


def _section(sweep: Sweep, task: TaskSweep) -> SweepSection:
    base = base_pairs(sweep, task)
    others = [pair for pair in task.pairs if pair not in base]
    return SweepSection(
        task=task,
        figures=_figures("All arms", sweep, task, quantities(task)),
        claims=claims(task),
        drawings=drawings(sweep, task),
        base=_differences(f"Differences from {sweep.base}", quantities(task), base) if base else None,
        by_language=list(_language_tables(sweep, task, base)),
        others=_differences("Differences of all other pairs of arms", quantities(task), others) if others else None,
        how=how(task, sweep),
    )


def _language_tables(sweep: Sweep, task: TaskSweep, base: Sequence[ArmPair]) -> Iterator[SweepTable]:
    for title, columns in by_language(task).items():
        yield _figures(title, sweep, task, columns)
        if base:
            yield _differences(f"{title}: differences from {sweep.base}", columns, base)


def _figures(caption: str, sweep: Sweep, task: TaskSweep, columns: Sequence[Quantity]) -> SweepTable:
    rows = []
    for row in task.rows:
        cells = [figure_cell(task, row.arm, quantity) for quantity in columns]
        shown = [SweepCell(f"{c.value}{c.mark}", [n for n in (c.interval, c.spread) if n], bool(c.mark)) for c in cells]
        rows.append(SweepRow(row.arm, arm_notes(sweep, sweep.arm(row.arm)), shown))
    return SweepTable(caption, "arm", [quantity.title for quantity in columns], rows)


def _differences(caption: str, columns: Sequence[Quantity], pairs: Sequence[ArmPair]) -> SweepTable:
    rows = []
    for pair in pairs:
        cells = []
        for quantity in columns:
            found = difference_cell(pair, quantity)
            if found is None:
                cells.append(SweepCell(ABSENT, []))
                continue
            p = f"p {found.p}" if found.p else ""
            seeds = f"{found.seeds}: {found.seed_range}" if found.seeds else ""
            notes = [note for note in (found.interval, p, seeds) if note]
            cells.append(SweepCell(f"{found.difference}{'*' if found.significant else ''}", notes, found.significant))
        rows.append(SweepRow(pair.candidate, [f"− {pair.base}"], cells))
    return SweepTable(caption, "arm", [quantity.title for quantity in columns], rows)
