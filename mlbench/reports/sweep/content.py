"""A sweep in words and numbers, for the terminal, Markdown and a page: figures, tests, and what is best."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from mlbench.compare.sweep import Arm, ArmFigure, ArmPair, Claim, Sweep, SweepAxis, TaskSweep, is_significant
from mlbench.reports.formatting import ABSENT, Quantity, count, intervals, p_text, sign_flip_test, spoken
from mlbench.statistics.paired_tests import Line

SIGNIFICANT, NOT_SIGNIFICANT = "*", "~"
"""The marks of a best value: significantly better than the second, or not."""
LEGEND = (
    f"{SIGNIFICANT} best, and significantly better than the second",
    f"{NOT_SIGNIFICANT} best, but not significantly better than the second",
    "own language preference is best nearest to .500",
)


@dataclass(frozen=True, slots=True)
class FigureCell:
    """A mean over seeds, its interval, and the lowest and highest seed; texts are empty where there is nothing."""

    value: str
    interval: str
    spread: str
    mark: str


@dataclass(frozen=True, slots=True)
class DifferenceCell:
    """A difference with its interval, its p-value, and how seed pairs stand to it."""

    difference: str
    interval: str
    p: str
    seeds: str
    seed_range: str
    significant: bool


def quantities(task: TaskSweep) -> list[Quantity]:
    """Return what a task has numbers of over all languages, in the order of its columns."""
    return [Quantity(figure.name, figure.kind) for figure in task.rows[0].figures if figure.language is None]


def by_language(task: TaskSweep) -> dict[str, list[Quantity]]:
    """Return the columns of the tables that have one for each language, by their title; empty for texts."""
    tables: dict[str, list[Quantity]] = {}
    for figure in task.rows[0].figures:
        if figure.language is not None:
            title = f"{Quantity(figure.name, figure.kind).title}, by language"
            tables.setdefault(title, []).append(Quantity(figure.name, figure.kind, figure.language))
    return tables


def figure_cell(task: TaskSweep, arm: str, quantity: Quantity) -> FigureCell:
    """Return the cell of an arm."""
    figure = task.row(arm).figure(quantity.name, quantity.kind, quantity.language)
    if figure is None or figure.mean is None:
        return FigureCell(ABSENT, "", "", "")
    return FigureCell(
        quantity.write(figure.mean), _bounds(quantity, figure), _spread(quantity, figure), _mark(task, arm, quantity)
    )


def difference_cell(pair: ArmPair, quantity: Quantity) -> DifferenceCell | None:
    """Return the cell of a pair of arms, None where there is nothing to compare."""
    line = pair.line(quantity.name, quantity.kind, quantity.language)
    if line is None or line.difference is None:
        return None
    beside = line.base
    low, high = (line.interval.low, line.interval.high) if line.interval else (None, None)
    agreeing, total, range_ = _seed_pairs(line, quantity)
    return DifferenceCell(
        difference=quantity.signed(line.difference, beside=beside),
        interval=f"[{quantity.signed(low, beside=beside)}, {quantity.signed(high, beside=beside)}]"
        if line.interval
        else "",
        p=p_text(line.adjusted.two_sided) if line.adjusted else "",
        seeds=f"{agreeing}/{total}" if total > 1 else "",
        seed_range=range_ if total > 1 else "",
        significant=bool(is_significant(line)),
    )


def claims(task: TaskSweep) -> list[str]:
    """Return a sentence for each figure: which arm is best, by how much, and whether that is significant."""
    return [_claim(claim) for claim in task.claims]


def arm_notes(sweep: Sweep, arm: Arm) -> list[str]:
    """Return what must be known of an arm beside its name."""
    notes = ["base"] if arm.name == sweep.base else []
    return notes + ([f"confounded: {', '.join(arm.confounded)}"] if arm.confounded else [])


def header(sweep: Sweep) -> list[str]:
    """Return in a few words each what was swept."""
    settings = [f"{key} {value_text(value)}" for key, value in sweep.settings.items()]
    return [
        *(f"{axis.name} {', '.join(map(value_text, axis.values))}" for axis in sweep.axes),
        *settings,
        count(len(sweep.arms), "arm"),
        count(len(sweep.seeds), "seed"),
        f"base {sweep.base}",
    ]


def how(task: TaskSweep, sweep: Sweep) -> list[str]:
    """Return in a few words each how intervals and tests were made."""
    parts = intervals(task.statistics)
    if len(sweep.seeds) > 1:
        parts.append("topics averaged over seeds")
    if task.pairs:
        parts.append(f"{sign_flip_test(task.flips)}, adjusted within a pair of arms")
        parts.append("by the interval alone where there is no p")
    return parts


def differences(sweep: Sweep, *, ranges: bool = True) -> str:
    """Say what stands in a cell of differences, with or without the range over pairs of seeds."""
    n_pairs, range_ = len(sweep.seeds) ** 2, ", and their range" if ranges else ""
    seeds = f"; n/{n_pairs}: pairs of seeds in which it has the same sign{range_}" if n_pairs > 1 else ""
    return f"{SIGNIFICANT}: significant{seeds}"


def confounding() -> str:
    """Say what the word means, for those who meet it."""
    return (
        "confounded: the arm differs from the base arm in data, rows drawn, their views or the number of updates, so "
        "its differences need not come from what is swept"
    )


def base_pairs(sweep: Sweep, task: TaskSweep) -> list[ArmPair]:
    """Return the pairs of all arms with the base arm."""
    return [pair for pair in task.pairs if pair.base == sweep.base]


def swept(axes: Sequence[SweepAxis]) -> str:
    """Name the axes in one phrase."""
    return " and ".join(spoken(axis.name) for axis in axes)


def value_text(value: JsonValue) -> str:
    """Write a value of a recipe's key: `0.5`, `1`, `mono`."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(quantity: Quantity, figure: ArmFigure) -> str:
    if figure.interval is None:
        return ""
    low, high = (quantity.write(bound, beside=figure.mean) for bound in (figure.interval.low, figure.interval.high))
    return f"[{low}, {high}]"


def _spread(quantity: Quantity, figure: ArmFigure) -> str:
    spread = figure.spread
    if spread is None:
        return ""
    low, high = (quantity.write(bound, beside=figure.mean) for bound in (spread.low, spread.high))
    return f"{low} to {high}"


def _mark(task: TaskSweep, arm: str, quantity: Quantity) -> str:
    claim = task.claim(quantity.name, quantity.kind) if quantity.language is None else None
    if claim is None or claim.best != arm or not claim.difference:
        return ""
    return SIGNIFICANT if claim.significant else NOT_SIGNIFICANT


def _seed_pairs(line: Line, quantity: Quantity) -> tuple[int, int, str]:
    """Return how many seed pairs have the sign of the mean difference, how many there are, and their range."""
    differences = [value for row in line.seed_pairs for value in row]
    if not differences or line.difference is None:
        return 0, 0, ""
    agreeing = sum(value * line.difference > 0 for value in differences)
    low, high = (quantity.signed(value, beside=line.base) for value in (min(differences), max(differences)))
    return agreeing, len(differences), f"{low} to {high}"


def _claim(claim: Claim) -> str:
    quantity = Quantity(claim.name, claim.kind)
    bounds = claim.interval
    size = quantity.signed(claim.difference)
    if bounds is not None:
        low, high = (quantity.signed(bound, beside=claim.difference) for bound in (bounds.low, bounds.high))
        size += f" [{low}, {high}]"
    title = quantity.title if claim.kind else spoken(claim.name)
    if not claim.difference:
        return f"{title}: {claim.best} and {claim.second} are equal, and none is better"
    verdict = {True: "significant", False: "not significant", None: "not tested"}[claim.significant]
    p = "" if claim.p is None else f", p {p_text(claim.p)}"
    return f"{title}: {claim.best} is best, {claim.second} second; {size}{p}: {verdict}"
