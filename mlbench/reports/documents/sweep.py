"""A sweep as a report: what each arm of a recipe reaches, which is best, and how the arms differ."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from statistics import fmean

from pydantic import JsonValue

from mlbench.collection.languages import KINDS, Kind
from mlbench.compare.sweep import (
    RATIOS,
    Arm,
    ArmFigure,
    ArmPair,
    Claim,
    Sweep,
    SweepAxis,
    TaskSweep,
    is_significant,
    kinds_of,
    written,
)
from mlbench.reports.chart import Chart, ChartAxis, ChartSeries, Mark
from mlbench.reports.formatting import (
    ABSENT,
    Quantity,
    count,
    decimal,
    heading,
    interval,
    intervals,
    p_text,
    sign_flip_test,
    spoken,
    told_references,
)
from mlbench.reports.report import (
    Block,
    Bullets,
    Cell,
    Charts,
    Column,
    Report,
    Row,
    Scalar,
    Section,
    Sentence,
    Span,
    Table,
    notes,
)
from mlbench.reports.ternary import Standing, TernaryPlot, TernaryPoint
from mlbench.results import Bounds
from mlbench.statistics.direction import loss
from mlbench.statistics.paired_tests import Line

_SIGNIFICANT, _NOT_SIGNIFICANT, _UNKNOWN = "*", "~", "?"
_LEGEND = (
    f"{_SIGNIFICANT} best, and significantly better than the second",
    f"{_NOT_SIGNIFICANT} best, but not significantly better than the second",
    "own language preference is best nearest to .500",
)
_CONFOUNDED = (
    "confounded: the arm differs from the base arm in data, rows drawn, their views or the number of updates, so its "
    "differences need not come from what is swept"
)
# Of the columns that find no room, these are missed least.
_MISSED_LEAST = ("rank_distance_median", "max_rank_norm")
_ALPHA, _DATA_FRACTION, _STEPS = "alpha", "data_fraction", "steps"
_OF_TRIANGLES = (
    "Corners: batches of one kind alone; ring: the best mean over seeds; dashed ring: an arm that is not significantly "
    "different from the best, by the test of these two arms, which is adjusted for the figures of the pair and not for "
    "the number of arms"
)
_TO_IMAGE: Kind = "text_to_image"
_ENGLISH = "en"
# Values that span so much stand on a logarithmic axis.
_WIDE = 8.0

# The mean of an arm in a chart, and the places of its seeds.
_Drawn = tuple[Mark, Iterable[tuple[float | None, float | None]]]


def sweep_report(sweep: Sweep) -> Report:
    """Return a section for each task, and the files of every point.

    Its records are the mean of every figure of an arm and of every difference of two arms, each followed by the values
    of the seeds.
    """
    title = f"Sweep of {sweep.recipe}"
    blocks: tuple[Block, ...] = (
        Sentence((sweep.title,) if sweep.title else ()),
        Sentence(tuple(_swept(sweep)), "; ", "soft"),
        *(_task(sweep, task) for task in sweep.tasks),
        Section(("Points",), (_points(sweep),), shown="on_pages"),
    )
    return Report(
        title=title,
        blocks=(Section((title,), blocks),),
        documents=(sweep,),
        records=tuple(record for task in sweep.tasks for record in _records(sweep, task)),
    )


def _swept(sweep: Sweep) -> Iterator[str]:
    yield from (_axis_text(axis) for axis in sweep.axes)
    for key, value in sweep.settings.items():
        yield f"without {key}" if value is None else f"{key} {_value_text(value)}"
    yield from (count(len(sweep.arms), "arm"), count(len(sweep.seeds), "seed"), f"base {sweep.base}")


def _axis_text(axis: SweepAxis) -> str:
    # The shares of three kinds would be told at length, and every arm is named for its own.
    values = _kinds(axis) if axis.key == RATIOS else map(_value_text, axis.values)
    return f"{axis.name}{' of' if axis.key == RATIOS else ''} {', '.join(values)}"


def _task(sweep: Sweep, task: TaskSweep) -> Section:
    columns = [Quantity(figure.name, figure.kind) for figure in task.rows[0].figures if figure.language is None]
    return Section(
        (task.name, Span(f"(version {task.version})", "soft")),
        (
            _figures(sweep, task, "All arms", columns),
            Sentence(_legend(task.claims), "; ", "soft"),
            Sentence(tuple(_beside(task)), "; ", "soft"),
            Sentence((_CONFOUNDED,) if any(arm.confounded for arm in sweep.arms) else (), style="warning"),
            *_best(task),
            *_drawn(sweep, task),
            *_from_base(sweep, task, columns),
            *_by_language(sweep, task),
            *_others(sweep, task, columns),
            Sentence(tuple(_how(sweep, task)), style="soft"),
        ),
    )


def _beside(task: TaskSweep) -> list[str]:
    """Return what bias scores are read beside; nothing with a single arm."""
    lines = task.pairs[0].lines if task.pairs else ()
    return told_references((line.name, line.ideal, line.chance) for line in lines if line.kind is None)


def _figures(sweep: Sweep, task: TaskSweep, title: str, columns: Sequence[Quantity], *, titled: bool = False) -> Table:
    rows = tuple(
        Row(_arm(sweep, row.arm), tuple(_figure(task, row.arm, quantity) for quantity in columns)) for row in task.rows
    )
    return Table(title, "arm", tuple(map(_column, columns)), rows, titled, "below")


def _arm(sweep: Sweep, name: str) -> Cell:
    confounded = sweep.arm(name).confounded
    notes = (["base"] if name == sweep.base else []) + ([f"confounded: {', '.join(confounded)}"] if confounded else [])
    return Cell(name, tuple(notes))


def _column(quantity: Quantity) -> Column:
    return Column(quantity.title, urgency=int(quantity.name in _MISSED_LEAST))


def _figure(task: TaskSweep, arm: str, quantity: Quantity) -> Cell:
    """Return a mean over seeds with its interval, and the lowest and the highest seed."""
    figure = task.row(arm).figure(quantity.name, quantity.kind, quantity.language)
    if figure is None or figure.mean is None:
        return Cell(ABSENT)

    def write(value: float) -> str:
        return quantity.write(value, beside=figure.mean)

    mark = _mark(task, arm, quantity)
    below = notes(interval(figure.interval, write), _range(figure.spread, write))
    return Cell(quantity.write(figure.mean), below, mark, "strong" if mark else "plain")


def _legend(claims: Sequence[Claim]) -> tuple[str, ...]:
    unknown = any(claim.significant is None and claim.difference for claim in claims)
    told = (f"{_UNKNOWN} best, but nothing tells whether significantly so",) if unknown else ()
    return (*_LEGEND, *told) if claims else ()


def _mark(task: TaskSweep, arm: str, quantity: Quantity) -> str:
    claim = task.claim(quantity.name, quantity.kind) if quantity.language is None else None
    if claim is None or claim.best != arm or not claim.difference:
        return ""
    return {True: _SIGNIFICANT, False: _NOT_SIGNIFICANT, None: _UNKNOWN}[claim.significant]


def _range(spread: Bounds | None, write: Callable[[float], str]) -> str:
    return f"{write(spread.low)} to {write(spread.high)}" if spread else ""


def _best(task: TaskSweep) -> Iterator[Section]:
    if task.claims:
        claims = tuple(Sentence((_claim(claim),)) for claim in task.claims)
        yield Section(("What is best",), (Bullets(claims),), titled=False)


def _claim(claim: Claim) -> str:
    quantity = Quantity(claim.name, claim.kind)
    title = quantity.title if claim.kind else spoken(claim.name)
    if not claim.difference:
        return f"{title}: {claim.best} and {claim.second} are equal, and none is better"
    bounds = interval(claim.interval, lambda bound: quantity.signed(bound, beside=claim.difference))
    size = " ".join(notes(quantity.signed(claim.difference), bounds))
    unknown = "not tested" if claim.p is None else "cannot tell, of so few clusters"
    verdict = {True: "significant", False: "not significant", None: unknown}[claim.significant]
    p = "" if claim.p is None else f", p {p_text(claim.p)}"
    return f"{title}: {claim.best} is best, {claim.second} second; {size}{p}: {verdict}"


def _from_base(sweep: Sweep, task: TaskSweep, columns: Sequence[Quantity]) -> Iterator[Section]:
    pairs = _base_pairs(sweep, task)
    if pairs:
        title, n = f"Differences from {sweep.base}", len(sweep.seeds) ** 2
        seeds = (f"{n}/{n}: pairs of seeds in which it has the same sign, and their range",) if n > 1 else ()
        legend = Sentence((f"{_SIGNIFICANT}: significant", *seeds), "; ", "soft")
        yield Section((title,), (_differences(sweep, task, title, columns, pairs), legend))


def _by_language(sweep: Sweep, task: TaskSweep) -> Iterator[Section]:
    """Yield the figures of single languages, which captions of images have."""
    tables: dict[str, list[Quantity]] = {}
    for figure in task.rows[0].figures:
        if figure.language is not None:
            title = f"{Quantity(figure.name, figure.kind).title}, by language"
            tables.setdefault(title, []).append(Quantity(figure.name, figure.kind, figure.language))
    pairs = _base_pairs(sweep, task)
    shown = [
        table
        for title, columns in tables.items()
        for table in (
            _figures(sweep, task, title, columns, titled=True),
            _differences(sweep, task, f"{title}: differences from {sweep.base}", columns, pairs, titled=True),
        )
    ]
    if shown:
        yield Section(("By language",), tuple(shown))


def _others(sweep: Sweep, task: TaskSweep, columns: Sequence[Quantity]) -> Iterator[Section]:
    pairs = [pair for pair in task.pairs if pair.base != sweep.base]
    if pairs:
        title = "All other pairs of arms"
        yield Section(
            (title,), (_differences(sweep, task, f"Differences of {title.lower()}", columns, pairs),), shown="folded"
        )


def _base_pairs(sweep: Sweep, task: TaskSweep) -> list[ArmPair]:
    return [pair for pair in task.pairs if pair.base == sweep.base]


def _differences(
    sweep: Sweep,
    task: TaskSweep,
    title: str,
    columns: Sequence[Quantity],
    pairs: Sequence[ArmPair],
    *,
    titled: bool = False,
) -> Table:
    """Return the differences of pairs of arms, in the columns that any of them has."""
    flips = task.flips
    known = [
        quantity for quantity in columns if any(_difference(pair, quantity, flips).text != ABSENT for pair in pairs)
    ]
    rows = [
        Row(
            Cell(pair.candidate, () if pair.base == sweep.base else (f"− {pair.base}",)),
            tuple(_difference(pair, quantity, flips) for quantity in known),
        )
        for pair in pairs
    ]
    return Table(title, "arm", tuple(map(_column, known)), tuple(rows), titled, "below")


def _difference(pair: ArmPair, quantity: Quantity, flips: int) -> Cell:
    """Return a difference with its interval, its p-value, how many pairs of seeds have its sign, and their range."""
    line = pair.line(quantity.name, quantity.kind, quantity.language)
    if line is None or line.difference is None:
        return Cell(ABSENT)
    base, sign = line.base, line.difference

    def write(value: float) -> str:
        return quantity.signed(value, beside=base)

    seeds = [value for row in line.seed_pairs for value in row]
    if len(seeds) < 2:
        seeds = []
    tested = [f"p {p_text(line.adjusted.two_sided)}"] if line.adjusted else []
    tested += [f"{sum(value * sign > 0 for value in seeds)}/{len(seeds)}"] if seeds else []
    spread = Bounds(low=min(seeds), high=max(seeds)) if seeds else None
    below = notes(interval(line.interval, write), ", ".join(tested), _range(spread, write))
    significant = bool(is_significant(line, flips))
    return Cell(write(sign), below, _SIGNIFICANT if significant else "", "strong" if significant else "plain")


def _how(sweep: Sweep, task: TaskSweep) -> Iterator[str]:
    yield from intervals(task.statistics)
    if len(sweep.seeds) > 1:
        yield "topics averaged over seeds"
    if task.pairs:
        yield f"{sign_flip_test(task.flips)}, adjusted within a pair of arms"
        yield "by the interval alone where there is no p"


def _points(sweep: Sweep) -> Table:
    """Return every point with its files, which lie beside the page."""
    tasks = sorted({task for point in sweep.points for task in point.results})
    rows = [
        Row(
            Cell(point.arm),
            (
                Cell(str(point.seed)),
                Cell(f"{point.steps:,}"),
                Cell((point.rows_digest or "not known")[:12], style="code" if point.rows_digest else "plain"),
                Cell("checkpoint", link=point.checkpoint),
                *(Cell(task, link=point.results[task]) if task in point.results else Cell() for task in tasks),
            ),
        )
        for point in sweep.points
    ]
    left = [Column(title, align="left") for title in ("rows and views", "checkpoint", *tasks)]
    title = "Every point, with its files beside this page"
    return Table(title, "arm", (Column("seed"), Column("updates"), *left), tuple(rows), titled=False)


def _drawn(sweep: Sweep, task: TaskSweep) -> Iterator[Section]:
    """Yield the charts whose numbers there are."""
    ratios = next((axis for axis in sweep.axes if axis.key == RATIOS), None)
    charts = Charts(tuple(_triangles(sweep, task, ratios)), _OF_TRIANGLES) if ratios else _on_two_axes(sweep, task)
    if charts.charts:
        yield Section((f"Figures of {task.name}",), (charts,), shown="on_pages")


def _on_two_axes(sweep: Sweep, task: TaskSweep) -> Charts:
    by_key, by_alpha, by_fraction = _axis(sweep), _axis(sweep, _ALPHA), _axis(sweep, _DATA_FRACTION)
    charts = [_cross_against_mono(sweep, task, by_alpha if by_alpha.name == _ALPHA else by_fraction)]
    charts += [
        _against(sweep, task, by_key, Quantity(name, None)) for name in ("r_mean", "clip_score", "rank_distance")
    ]
    charts.append(_against(sweep, task, by_alpha, Quantity("own_language_preference", None)))
    if by_fraction.name == _DATA_FRACTION and len(by_fraction.values) > 1:
        charts += [_against(sweep, task, by_fraction, Quantity(task.primary_measure, kind)) for kind in KINDS]
    charts += _by_budget(sweep, task)
    found = tuple(chart for chart in charts if any(series.means for series in chart.series))
    circles = "circles: single seeds; " if len(sweep.seeds) > 1 else ""
    return Charts(found, f"Lines and filled marks: means over seeds; {circles}bars: intervals over clusters of topics")


def _by_budget(sweep: Sweep, task: TaskSweep) -> Iterator[Chart]:
    """Yield charts by the number of all batches, then by that of cross-lingual ones, where both are swept."""
    steps = _axis(sweep, _STEPS)
    if steps.name != _STEPS or len(steps.values) < 2:
        return
    quantities = [Quantity(task.primary_measure, kind) for kind in KINDS]
    quantities += [Quantity("rank_distance", None), Quantity("own_language_preference", None)]
    yield from (_against(sweep, task, steps, quantity) for quantity in quantities)
    if any(axis.name == _ALPHA for axis in sweep.axes):
        yield from (_against_cross_lingual_batches(sweep, task, steps, quantity) for quantity in quantities)


def _against_cross_lingual_batches(sweep: Sweep, task: TaskSweep, steps: SweepAxis, quantity: Quantity) -> Chart:
    """Return a chart by how many cross-lingual batches an arm has on average; arms without any are left out."""

    def draw(arm: Arm) -> _Drawn | None:
        figure = task.row(arm.name).figure(quantity.name, quantity.kind)
        at = _number(arm.values[_STEPS]) * (1 - _number(arm.values[_ALPHA]))
        if figure is None or figure.mean is None or not at:
            return None
        exact = f"{arm.name}: {at:,.0f} cross-lingual batches, {quantity.write(figure.mean)}"
        return Mark(at, figure.mean, exact, interval=figure.interval), ((at, value) for value in figure.values)

    subject = _subject(quantity)
    ticks = tuple((_number(value), f"{value:,}") for value in _ordered(steps))
    return Chart(
        f"{_capital(subject)} by cross-lingual batches",
        ChartAxis("cross-lingual batches, logarithmic", ticks, log=True),
        ChartAxis(subject),
        _series(sweep, steps, draw),
    )


def _triangles(sweep: Sweep, task: TaskSweep, axis: SweepAxis) -> Iterator[TernaryPlot]:
    """Yield a plot for each figure, and for each combination of the values of other keys."""
    for others, arms in _groups(sweep, axis).items():
        for each in task.rows[0].figures:
            if each.language is None and each.name not in _MISSED_LEAST:
                quantity = Quantity(each.name, each.kind)
                points = tuple(_points_of(task, axis, arms, quantity))
                if points:
                    title = f"{_capital(_subject(quantity))} by {axis.name}"
                    yield TernaryPlot(", ".join(notes(title, others)), _kinds(axis), points)


def _points_of(task: TaskSweep, axis: SweepAxis, arms: Sequence[Arm], quantity: Quantity) -> Iterator[TernaryPoint]:
    found = [(arm, task.row(arm.name).figure(quantity.name, quantity.kind)) for arm in arms]
    known = [(arm, figure, figure.mean) for arm, figure in found if figure is not None and figure.mean is not None]
    losses = [(lost, arm.name) for arm, _, mean in known if (lost := loss(quantity.name, mean)) is not None]
    best = min(losses, key=itemgetter(0))[1] if losses else None
    for arm, figure, mean in known:
        text = quantity.write(mean)
        exact = " ".join(notes(f"{arm.name}: {text}", interval(figure.interval, quantity.write)))
        shares = arm.values[axis.name]
        assert isinstance(shares, dict)
        first, second, third = (_number(shares[kind]) for kind in _kinds(axis))
        yield TernaryPoint((first, second, third), mean, text, exact, _standing(task, best, arm.name, quantity))


def _standing(task: TaskSweep, best: str | None, arm: str, quantity: Quantity) -> Standing:
    """Say whether an arm is the best, or not significantly different from it by the test of the two."""
    if best is None or arm == best:
        return "plain" if best is None else "best"
    pair = next(pair for pair in task.pairs if {pair.base, pair.candidate} == {best, arm})
    line = pair.line(quantity.name, quantity.kind)
    return "plain" if line is not None and is_significant(line, task.flips) else "tied"


def _kinds(axis: SweepAxis) -> tuple[str, str, str]:
    shares = axis.values[0]
    assert isinstance(shares, dict)
    first, second, third = kinds_of(shares)
    return first, second, third


def _cross_against_mono(sweep: Sweep, task: TaskSweep, axis: SweepAxis) -> Chart:
    """Return a chart of what retrieval between languages gains and what retrieval within one pays for it.

    Captions of images cross no languages by themselves: English ones, which standard CLIP is trained on, stand against
    those in the other languages.
    """
    measure = heading(task.primary_measure)
    of_images = any(figure.kind == _TO_IMAGE for figure in task.rows[0].figures)
    title = f"Cross-lingual against monolingual {measure}"
    x_title, y_title, short = f"monolingual {measure}", f"cross-lingual {measure}", ("mono", "cross")
    if of_images:
        title = f"{measure} to image, other languages against English"
        x_title, y_title, short = f"{measure}, English", f"{measure}, mean of the others", ("English", "others")

    def draw(arm: Arm) -> _Drawn | None:
        x, y = (_mean_of(figures) for figures in _sides(task, arm.name, of_images=of_images))
        if x is None or y is None:
            return None
        exact = f"{arm.name}: {short[0]} {decimal(x[0], 4)}, {short[1]} {decimal(y[0], 4)}"
        return Mark(x[0], y[0], exact, _value_text(arm.values[axis.name])), zip(x[1], y[1], strict=True)

    return Chart(f"{title}, by {spoken(axis.name)}", ChartAxis(x_title), ChartAxis(y_title), _series(sweep, axis, draw))


def _sides(task: TaskSweep, arm: str, *, of_images: bool) -> tuple[list[ArmFigure], list[ArmFigure]]:
    """Return the figures of an arm within a language, and those between languages."""
    every = [figure for figure in task.row(arm).figures if figure.name == task.primary_measure]
    if not of_images:
        kinds: tuple[Kind, Kind] = ("monolingual", "cross_lingual")
        mono, cross = ([figure for figure in every if figure.kind == kind] for kind in kinds)
        return mono, cross
    single = [figure for figure in every if figure.kind == _TO_IMAGE and figure.language is not None]
    return [each for each in single if each.language == _ENGLISH], [e for e in single if e.language != _ENGLISH]


def _mean_of(figures: Sequence[ArmFigure]) -> tuple[float, list[float | None]] | None:
    """Return the mean of figures, and that of each seed; None without any, or where one has no mean."""
    means = [figure.mean for figure in figures]
    known = [mean for mean in means if mean is not None]
    if not known or len(known) < len(means):
        return None
    seeds = zip(*(figure.values for figure in figures), strict=True)
    return fmean(known), [None if None in values else fmean(value or 0.0 for value in values) for values in seeds]


def _against(sweep: Sweep, task: TaskSweep, axis: SweepAxis, quantity: Quantity) -> Chart:
    """Return a chart by the values of an axis."""

    def draw(arm: Arm) -> _Drawn | None:
        figure = task.row(arm.name).figure(quantity.name, quantity.kind)
        if figure is None or figure.mean is None:
            return None
        at = _place(axis, arm.values[axis.name])
        exact = " ".join(notes(f"{arm.name}: {quantity.write(figure.mean)}", interval(figure.interval, quantity.write)))
        return Mark(at, figure.mean, exact, interval=figure.interval), ((at, value) for value in figure.values)

    what = _subject(quantity)
    ticks = tuple((_place(axis, value), _value_text(value)) for value in _ordered(axis))
    wide = _is_wide(axis)
    return Chart(
        f"{_capital(what)} by {spoken(axis.name)}",
        ChartAxis(f"{spoken(axis.name)}{', logarithmic' if wide else ''}", ticks, wide),
        ChartAxis(what),
        _series(sweep, axis, draw),
    )


def _subject(quantity: Quantity) -> str:
    return f"{spoken(quantity.kind)} {heading(quantity.name)}" if quantity.kind else spoken(quantity.name)


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _series(sweep: Sweep, axis: SweepAxis, draw: Callable[[Arm], _Drawn | None]) -> tuple[ChartSeries, ...]:
    """Return a line for each group of arms that differ in nothing but `axis`, in its order, named by the other keys."""
    order = _ordered(axis)
    series = []
    for name, arms in _groups(sweep, axis).items():
        arms.sort(key=lambda arm: order.index(arm.values[axis.name]))
        drawn = [found for arm in arms if (found := draw(arm)) is not None]
        seeds = [(x, y) for _, places in drawn for x, y in places if x is not None and y is not None]
        means = tuple(mark for mark, _ in drawn)
        series.append(ChartSeries(name, means, tuple(seeds) if len(sweep.seeds) > 1 else ()))
    return tuple(series)


def _groups(sweep: Sweep, axis: SweepAxis) -> dict[str, list[Arm]]:
    """Return the arms that differ in nothing but `axis`, by the other keys and their values; empty without others."""
    groups: dict[str, list[Arm]] = {}
    for arm in sweep.arms:
        others = [f"{spoken(key)} {_value_text(value)}" for key, value in arm.values.items() if key != axis.name]
        groups.setdefault(", ".join(others), []).append(arm)
    return groups


def _axis(sweep: Sweep, preferred: str = "") -> SweepAxis:
    """Return the preferred axis, else the first with numbers, else the first."""
    named = [axis for axis in sweep.axes if axis.name == preferred]
    return next(iter([*named, *(axis for axis in sweep.axes if _is_numeric(axis)), *sweep.axes]))


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
    return min(numbers) > 0 and (axis.name == _DATA_FRACTION or max(numbers) / min(numbers) >= _WIDE)


def _number(value: JsonValue) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _value_text(value: JsonValue) -> str:
    """Write a value of a recipe's key: `0.5`, `1`, `mono`."""
    return f"{value:g}" if isinstance(value, float) else written(value)


def _records(sweep: Sweep, task: TaskSweep) -> Iterator[dict[str, Scalar]]:
    for row in task.rows:
        for figure in row.figures:
            record = _record(task, row.arm, None, figure)
            yield record | {"value": figure.mean} | _ends(figure.interval)
            yield from (
                record | {"seed": s, "value": value} for s, value in zip(sweep.seeds, figure.values, strict=True)
            )
    for pair in task.pairs:
        for line in pair.lines:
            record = _record(task, pair.candidate, pair.base, line)
            p = line.adjusted.two_sided if line.adjusted else None
            yield record | {"value": line.difference, "p": p} | _ends(line.interval)
            for base_seed, values in zip(sweep.seeds, line.seed_pairs, strict=False):
                for seed, value in zip(sweep.seeds, values, strict=False):
                    yield record | {"seed": seed, "base_seed": base_seed, "value": value}


def _record(task: TaskSweep, arm: str, base: str | None, about: ArmFigure | Line) -> dict[str, Scalar]:
    """Return a row without its numbers: of an arm, or with a `base` of its difference from that."""
    names: dict[str, Scalar] = {"task": task.name, "version": task.version, "arm": arm, "base": base}
    names |= {"kind": about.kind, "language": about.language, "measure": about.name}
    return names | dict.fromkeys(("seed", "base_seed", "value", "low", "high", "p"))


def _ends(interval: Bounds | None) -> dict[str, Scalar]:
    return {"low": interval.low, "high": interval.high} if interval else {}
