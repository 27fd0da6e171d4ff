"""Sweeps made by hand: numbers that look real, and no training behind them."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

from mlbench.collection.languages import Kind
from mlbench.compare.sweep import (
    Arm,
    ArmFigure,
    ArmFigures,
    ArmPair,
    Claim,
    Point,
    Sweep,
    SweepAxis,
    TaskSweep,
    is_significant,
    written,
)
from mlbench.results import Bounds, Statistics
from mlbench.statistics.direction import loss
from mlbench.statistics.paired_tests import Line, Tails

# Values for the first arm, and what each further arm adds.
START: dict[tuple[str, Kind | None], tuple[float, float]] = {
    ("AP", "monolingual"): (0.53, 0.004),
    ("AP", "cross_lingual"): (0.14, 0.02),
    ("AP", "multilingual"): (0.11, 0.012),
    ("rank_distance", None): (4908.3, -330.0),
    ("rank_distance_median", None): (2710.5, -250.0),
    ("own_language_preference", None): (0.966, -0.04),
    ("max_rank_norm", None): (21.3, 2.1),
}
MEDIAN = "rank_distance_median"
ALPHA = SweepAxis(name="alpha", key="batches.alpha", values=(1, 0, 0.5))
FRACTION = SweepAxis(name="data_fraction", key="data_fraction", values=(0.1, 1))
STEPS = SweepAxis(name="steps", key="steps", values=(1000, 2000))
RATIOS = SweepAxis(
    name="ratios",
    key="batches.ratios",
    values=(
        {"mono": 1.0, "cross": 0.0, "mixed": 0.0},
        {"mono": 0.5, "cross": 0.25, "mixed": 0.25},
        {"mono": 0.0, "cross": 1.0, "mixed": 0.0},
    ),
)
KIND = SweepAxis(name="monolingual", key="batches.monolingual", values=("mono", "mixed"))


def make_sweep(axes: Sequence[SweepAxis] = (ALPHA,), *, seeds: int = 2, tasks: Sequence[str] = ("xquad-r",)) -> Sweep:
    combined = list(product(*(axis.values for axis in axes)))
    values = [{axis.name: value for axis, value in zip(axes, each, strict=True)} for each in combined]
    names = [", ".join(f"{key} {written(value)}" for key, value in each.items()) for each in values]
    return Sweep(
        mlbench="0.1.0",
        recipe="toy",
        title="Made-up words",
        settings={"steps": 300},
        axes=tuple(axes),
        seeds=tuple(range(seeds)),
        base=names[0],
        arms=tuple(
            Arm(name=name, values=each, confounded=("rows",) if place == 1 else ())
            for place, (name, each) in enumerate(zip(names, values, strict=True))
        ),
        points=tuple(
            Point(
                arm=name,
                seed=seed,
                recipe_fingerprint="a" * 64,
                model_fingerprint="b" * 64,
                steps=300,
                rows_digest="c" * 64,
                checkpoint=f"checkpoints/{place}-{seed}",
                results={task: f"results/{place}-{seed}/{task}.json" for task in tasks},
            )
            for seed in range(seeds)
            for place, name in enumerate(names)
        ),
        tasks=tuple(make_task(task, names, seeds) for task in tasks),
    )


def make_task(task: str, arms: Sequence[str], seeds: int) -> TaskSweep:
    rows = tuple(ArmFigures(arm=arm, figures=tuple(_figures(place, seeds))) for place, arm in enumerate(arms))
    pairs = tuple(
        ArmPair(base=one.arm, candidate=other.arm, lines=tuple(_lines(one, other)))
        for one, other in combinations(rows, 2)
    )
    return TaskSweep(
        name=task,
        version="1",
        fingerprint="f" * 64,
        primary_measure="AP",
        n_topics=1190,
        statistics=Statistics(
            clustered_by="article", n_clusters=48, resamples=2000, seed=0, confidence=0.95, redraws=0
        ),
        flips=10_000 if pairs else 0,
        rows=rows,
        pairs=pairs,
        claims=tuple(_claims(rows, pairs)),
    )


def _figures(place: int, seeds: int) -> Iterator[ArmFigure]:
    for (name, kind), (start, step) in START.items():
        values = tuple(start + step * (place + 0.1 * seed) for seed in range(seeds))
        mean, wide = sum(values) / seeds, abs(step)
        bounds = None if name == MEDIAN else Bounds(low=mean - wide, high=mean + wide)
        yield ArmFigure(name=name, kind=kind, mean=mean, interval=bounds, values=values)


def _lines(one: ArmFigures, other: ArmFigures) -> Iterator[Line]:
    for base, candidate in zip(one.figures, other.figures, strict=True):
        assert base.mean is not None
        assert candidate.mean is not None
        difference = candidate.mean - base.mean
        tested = base.kind is not None or base.name in ("rank_distance", "own_language_preference")
        tails = Tails(two_sided=0.0007, greater=0.0004, less=1.0) if tested else None
        wide = abs(difference) / 2
        yield Line(
            family="aggregates",
            name=base.name,
            kind=base.kind,
            base=base.mean,
            candidate=candidate.mean,
            difference=difference,
            interval=None if base.name == MEDIAN else Bounds(low=difference - wide, high=difference + wide),
            raw=tails,
            adjusted=tails,
            n_topics=1190,
            n_clusters=48,
            seed_pairs=tuple(tuple(b - a for b in candidate.values if b and a) for a in base.values if a is not None),
        )


def _claims(rows: Sequence[ArmFigures], pairs: Sequence[ArmPair]) -> Iterator[Claim]:
    for figure in rows[0].figures:
        losses = {}
        for row in rows:
            found = row.figure(figure.name, figure.kind)
            if found is not None and found.mean is not None:
                losses[row.arm] = loss(found.name, found.mean)
        best, *others = sorted(losses, key=losses.__getitem__)
        if not others:
            continue
        pair = next(pair for pair in pairs if {pair.base, pair.candidate} == {best, others[0]})
        line = pair.line(figure.name, figure.kind)
        assert line is not None
        assert line.difference is not None
        yield Claim(
            name=figure.name,
            kind=figure.kind,
            best=best,
            second=others[0],
            difference=line.difference if pair.candidate == best else -line.difference,
            interval=None,
            p=line.adjusted.two_sided if line.adjusted else None,
            significant=is_significant(line),
        )
