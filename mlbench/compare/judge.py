"""Judges differences by the lines of a gate: thresholds, adjusted p-values, and how large a worsening could be seen."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt
from statistics import NormalDist
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE_KINDS, KINDS, TEXT_KINDS, Kind, find_language
from mlbench.compare.document import Check, Verdict
from mlbench.compare.gate import DEFAULT, EVERY_LANGUAGE, MEAN, PRIMARY, Gate, GateLines, Rule
from mlbench.errors import UserError
from mlbench.io.threads import one_blas_thread
from mlbench.measures.bias import BIAS_SCORES
from mlbench.statistics.clusters import finite
from mlbench.statistics.differences import Contributions, Difference, Differences, Subject, row_subject
from mlbench.statistics.direction import loss
from mlbench.statistics.paired_tests import FLIPS, Line
from mlbench.statistics.resampling import critical_value, paired_randomization, smallest_p, student_quantile

Floats = NDArray[np.float64]
POWER = 0.8
"""How often a worsening of the size that is told would have been found."""
_NORMAL = NormalDist()


def standard_error(contributions: Contributions) -> float:
    """Return the standard error of a difference over clusters; NaN with fewer than two.

    With d the difference, w a cluster's share of the topics and n clusters it is sqrt(n / (n - 1) sum (u - w d)^2), the
    linearised error of a ratio (Cochran 1977, equation 6.13): what a cluster adds beyond its share is by chance.
    """
    added, shares = contributions.added, contributions.shares
    n = int(np.count_nonzero(shares))
    if n < 2:
        return float("nan")
    return float(np.sqrt(n / (n - 1) * ((added - shares * added.sum()) ** 2).sum()))


def reach(contributions: Contributions, critical: float) -> float:
    """Return how many standard errors a difference must have for its studentised sum to reach `critical`.

    That sum is divided by the root of the sum of squares around zero, which the difference makes larger itself. Where
    few clusters have most topics, a difference that is the same in all topics may never reach it, and one that clusters
    add equally to is taken. Infinity is returned where none reaches it: for a critical value as large as the root of
    the number of clusters.
    """
    shares = contributions.shares
    for squares in (float((shares**2).sum()), 1 / max(1, int(np.count_nonzero(shares)))):
        bend = 1 - critical**2 * squares
        if bend > 0:
            return critical / sqrt(bend)
    return inf


def found_at_a_point(allowed: float, error: float) -> float:
    """Return the smallest true worsening of which an estimate beyond `allowed` is seen four times of five."""
    return allowed + _NORMAL.inv_cdf(POWER) * error


def found_by_test(allowed: float, error: float, errors: float) -> float:
    """Return the same for estimates that must be at least so many `errors` beyond `allowed`."""
    return allowed + (errors + _NORMAL.inv_cdf(POWER)) * error


def margin_that_passes(error: float, level: float, n_clusters: int) -> float:
    """Return the smallest margin within which one that is no worse is shown to be, four times of five."""
    return (student_quantile(1 - level, n_clusters - 1) + _NORMAL.inv_cdf(POWER)) * error


Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GateLine:
    """One line: `bound` is the largest worsening, or what the candidate's own value may not fall below or rise above.

    A `drop` is a worsening of what is better when higher, a `rise` of what is better when lower or of the distance from
    an ideal. The ceiling of a score that is better nearer to its ideal holds on both sides of the ideal.
    """

    what: Literal["drop", "rise", "floor", "ceiling"]
    subject: Subject
    bound: float


def lines_of(gate: Gate, differences: Differences, task: str) -> tuple[GateLine, ...]:
    """Return the lines of `gate` on `task`, drops and rises first.

    Lines for every query language hold for those that have topics. Raises `UserError` in one line with everything that
    the gate asks for and that is not there; what `DEFAULT` asks for, it asks for where it is there.
    """
    asked = list(dict.fromkeys(_lines(_merge(gate, differences.primary_measure, task), differences)))
    known = {each.subject for each in differences.each if isfinite(each.difference)}
    missing = [line for line in asked if line.subject not in known]
    if missing and (gate.drop, gate.rise, gate.floor, gate.ceiling) != (DEFAULT.drop, DEFAULT.rise, {}, {}):
        names = {each.subject.name for each in differences.each}
        named = ", ".join(dict.fromkeys(_describe(line, names) for line in missing))
        reason = ""
        for line in missing:
            if not reason and line.subject.name in BIAS_SCORES:
                why = differences.untested.get(line.subject.name, "scores of bias need parallel topics")
                reason = f" ({why})"
        raise UserError(
            f"the gate asks for what {task} has not: {named}{reason}; put lines of other tasks under [task.NAME]"
        )
    return tuple(line for line in asked if line.subject in known)


def _merge(gate: Gate, primary: str, task: str) -> GateLines:
    """Return the lines for every task with those for this one in their places, measures by their own names."""
    own = gate.task.get(task, GateLines())
    return GateLines.model_construct(
        drop=_by_name(gate.drop, primary) | _by_name(own.drop, primary),
        rise=gate.rise | own.rise,
        floor=_by_name(gate.floor, primary) | _by_name(own.floor, primary),
        ceiling=gate.ceiling | own.ceiling,
    )


def _by_name(table: Mapping[str, Value], primary: str) -> dict[str, Value]:
    """Return a table with the primary measure called by its name, which wins where both are there."""
    general = {primary: table[PRIMARY]} if PRIMARY in table else {}
    return general | {name: value for name, value in table.items() if name != PRIMARY}


def _lines(lines: GateLines, differences: Differences) -> Iterator[GateLine]:
    rows = [each.subject for each in differences.each if each.subject.family == "query_languages" and each.n_topics]
    means = {(each.subject.name, each.subject.kind) for each in differences.each if each.subject.family == "aggregates"}
    has_images = any(each.subject.kind in IMAGE_KINDS for each in differences.each)
    own_kinds, others = (IMAGE_KINDS, TEXT_KINDS) if has_images else (TEXT_KINDS, IMAGE_KINDS)
    for name, drops in lines.drop.items():
        of_own = any(getattr(drops, kind) is not None for kind in own_kinds)
        gated = own_kinds if of_own else others
        if all(getattr(drops, kind) is not None for kind in KINDS):
            # Asked for as a whole: a task of one language has no other kind than monolingual.
            gated = tuple(kind for kind in gated if (name, kind) in means) or gated
        for kind in gated:
            if (allowed := getattr(drops, kind)) is not None:
                yield GateLine("drop", Subject(family="aggregates", name=name, kind=kind), allowed)
        if drops.query_languages is not None:
            own = [row for row in rows if row.name == name]
            yield from (GateLine("drop", row, drops.query_languages) for row in own or [row_subject(name, None, None)])
    for score, allowed in lines.rise.items():
        yield GateLine("rise", Subject(family="aggregates", name=score), allowed)
    for name, kinds in lines.floor.items():
        for kind, floors in kinds.items():
            own = [row for row in rows if (row.name, row.kind) == (name, kind)]
            yield from _floors(name, kind, floors, own)
    for score, bound in lines.ceiling.items():
        yield GateLine("ceiling", Subject(family="aggregates", name=score), bound)


def _floors(name: str, kind: Kind, floors: Mapping[str, float], rows: Sequence[Subject]) -> Iterator[GateLine]:
    """Yield the floors of a measure over a kind; a language's own one wins over that of every language."""
    if MEAN in floors:
        yield GateLine("floor", Subject(family="aggregates", name=name, kind=kind), floors[MEAN])
    own = {tag: bound for tag, bound in floors.items() if tag not in (MEAN, EVERY_LANGUAGE)}
    known = [row.language for row in rows if row.language]
    by_row = {row_subject(name, kind, find_language(tag, known) or tag): bound for tag, bound in own.items()}
    if EVERY_LANGUAGE in floors:
        by_row = dict.fromkeys(rows or [row_subject(name, kind, None)], floors[EVERY_LANGUAGE]) | by_row
    yield from (GateLine("floor", row, bound) for row, bound in by_row.items())


def _describe(line: GateLine, names: Collection[str]) -> str:
    """Return `floor of AP monolingual de`, or the name alone where nothing is called so."""
    about = line.subject
    if about.name not in names:
        return about.name
    return " ".join(part for part in (line.what, "of", about.name, about.kind, about.language) if part)


# What is equal on paper differs in the last bits.
_SLACK = 1e-12
# What makes a worsening of a difference.
_SIGNS = {"drop": -1.0, "rise": 1.0}


@one_blas_thread()
def judge(
    differences: Differences, lines: Sequence[GateLine], gate: Gate, *, task: str, flips: int = FLIPS, n_tasks: int = 1
) -> tuple[Check, ...]:
    """Return the outcome of each line on a task; `lines` are those that `lines_of` gives for these differences.

    The p-value of a drop or rise is one-sided against a worsening beyond what is allowed, adjusted by step-down max-T
    over all drops and rises as one family, and multiplied by the number of tasks that are judged (Bonferroni). So where
    the candidate is worse by no more than is allowed, the chance that any line of any task fails under `significant` is
    at most the level. Intervals are taken from the differences; `non_inferior` decides by them, and they must be of
    `gate.confidence` then.
    """
    by_subject = {each.subject: each for each in differences.each}
    family = _test(differences, [line for line in lines if line.what in _SIGNS], gate.level, flips, n_tasks)
    return tuple(_check(task, line, by_subject[line.subject], gate, family) for line in lines)


def verdict(line: Line, level: float, flips: int = FLIPS) -> Verdict | None:
    """Return whether a candidate is better or worse by the adjusted two-sided p-value; None where nothing is tested.

    Where so few clusters, or flips, give no p-value that reaches the level, nobody can tell.
    """
    if line.adjusted is None or line.difference is None:
        return None
    if line.adjusted.two_sided > level:
        return "cannot_tell" if smallest_p(line.n_clusters, flips, two_sided=True) > level else "not_significant"
    lost = [None if value is None else loss(line.name, value, line.ideal) for value in (line.base, line.candidate)]
    if lost[0] is None or lost[1] is None:
        return None
    return "better" if lost[1] < lost[0] else "worse"


@dataclass(frozen=True)
class _Family:
    """What is tested together: adjusted p-values, and the critical value of the largest studentised sum.

    `within_reach` are the lines that some difference, however large, would have made fail.
    """

    p: Mapping[Subject, float]
    within_reach: frozenset[Subject]
    critical: float


def _test(differences: Differences, lines: Sequence[GateLine], level: float, flips: int, n_tasks: int) -> _Family:
    by_subject = {line.subject: line for line in lines}
    columns, n_clusters = dict[Subject, Floats](), dict[Subject, int]()
    for each in differences.each:
        line, found = by_subject.get(each.subject), each.contributions
        if line is not None and found is not None:
            # What a cluster may lose is its share of what the whole may.
            columns[each.subject] = _SIGNS[line.what] * found.added - line.bound * found.shares
            n_clusters[each.subject] = int(np.count_nonzero(found.shares))
    if not columns:
        return _Family({}, frozenset(), inf)
    worsenings, seed = np.stack(list(columns.values())).T, differences.statistics.seed
    adjusted = paired_randomization(worsenings, flips=flips, seed=seed).adjusted.greater
    critical = critical_value(worsenings, level / n_tasks, flips=flips, seed=seed)
    return _Family(
        p={subject: min(1.0, n_tasks * float(p)) for subject, p in zip(columns, adjusted, strict=True)},
        within_reach=frozenset(
            subject
            for subject, n in n_clusters.items()
            if smallest_p(n, flips, two_sided=False) <= level / n_tasks and critical**2 < n
        ),
        critical=critical,
    )


def _check(task: str, line: GateLine, each: Difference, gate: Gate, family: _Family) -> Check:
    rule: Rule | Literal["floor", "ceiling"] = gate.rule
    can_tell = True
    if line.what == "floor" or line.what == "ceiling":
        rule, found = line.what, None
        passed, reason = _judge_value(line, each)
    else:
        passed, reason = _judge_worsening(line, each, gate, family)
        can_tell = _can_tell(line, each, gate, family)
        found = _detectable(line.bound, each.contributions, gate, family.critical if can_tell else inf)
    return Check(
        task=task,
        rule=rule,
        subject=line.subject,
        allowed=line.bound,
        base=finite(each.base.mean()),
        candidate=finite(each.candidate.mean()),
        difference=finite(each.difference),
        interval=each.interval,
        p=family.p.get(line.subject) if rule == gate.rule else None,
        detectable=found,
        passed=passed,
        can_tell=can_tell,
        reason=reason,
    )


def _can_tell(line: GateLine, each: Difference, gate: Gate, family: _Family) -> bool:
    """Say whether a line could have come out either way with so many clusters and flips."""
    match gate.rule:
        case "point":
            return True
        case "non_inferior":
            return each.interval is not None
        case "significant":
            return line.subject in family.within_reach


def _judge_value(line: GateLine, each: Difference) -> tuple[bool, str]:
    """Judge a floor or a ceiling by the candidate's own value."""
    value = float(each.candidate.mean())
    if each.target is not None:
        passed = abs(value - each.target) <= abs(line.bound - each.target) + _SLACK
        told = f"{'no farther' if passed else 'farther'} from {_bound(each.target)} than the ceiling"
        return passed, f"{_written(value)} is {told} of {_bound(line.bound)}"
    if line.what == "floor":
        passed, words = value >= line.bound - _SLACK, ("at or above", "below")
    else:
        passed, words = value <= line.bound + _SLACK, ("at or below", "above")
    return passed, f"{_written(value)} is {words[0 if passed else 1]} the {line.what} of {_bound(line.bound)}"


def _judge_worsening(line: GateLine, each: Difference, gate: Gate, family: _Family) -> tuple[bool, str]:
    """Judge a drop or a rise by the rule of the gate."""
    worsening, verb = _SIGNS[line.what] * each.change, "fell" if line.what == "drop" else "rose"
    still = f"did not {'fall' if line.what == 'drop' else 'rise'}"
    if each.target is not None:
        verb, still = (f"{some} from {_bound(each.target)}" for some in ("moved away", "did not move away"))
    if gate.rule == "non_inferior":
        return _judge_interval(line, each)
    if worsening <= line.bound + _SLACK:
        within = f"{verb} by {_written(worsening)}, {_bound(line.bound)} is allowed"
        return True, within if worsening > 0 else still
    beyond = f"{verb} by {_written(worsening)}, only {_bound(line.bound)} is allowed"
    if gate.rule == "point":
        return False, beyond
    p = family.p.get(line.subject, 1.0)
    if p <= gate.level:
        return False, f"{beyond}: significantly more (p = {p:.2g})"
    if not _can_tell(line, each, gate, family):
        return True, f"{beyond}: cannot tell by so few clusters of topics, or flips, whether that is more than chance"
    return True, f"{beyond}: not significantly more (p = {p:.2g})"


def _judge_interval(line: GateLine, each: Difference) -> tuple[bool, str]:
    """Judge a drop or a rise by the end of its interval that is worst for the candidate."""
    bounds, allowed = each.interval if each.target is None else each.change_interval, _bound(line.bound)
    if bounds is None:
        return False, f"cannot tell by so few clusters of topics whether it is worse by less than {allowed}"
    worst = -bounds.low if line.what == "drop" else bounds.high
    if worst < line.bound - _SLACK:
        return True, f"shown to be worse by less than {allowed}: at most by {_written(max(0.0, worst))}"
    return False, f"not shown to be worse by less than {allowed}: it may be by {_written(worst)}"


def _detectable(allowed: float, contributions: Contributions | None, gate: Gate, critical: float) -> float | None:
    """Return the smallest worsening that would have been found; None where clusters do not vary, and tell nothing."""
    error = standard_error(contributions) if contributions else 0.0
    if contributions is None or not error > 0:
        return None
    match gate.rule:
        case "point":
            return found_at_a_point(allowed, error)
        case "non_inferior":
            return margin_that_passes(error, gate.level, int(np.count_nonzero(contributions.shares)))
        case "significant":
            return finite(found_by_test(allowed, error, reach(contributions, critical)))


def _written(value: float) -> str:
    """Write a value as people compare it: ranks with one decimal, shares with four and no zero before the point."""
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4f}".replace("0.", ".", 1)


def _bound(value: float) -> str:
    """Write a bound as a gate states it."""
    text = f"{value:,.6g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
