"""From differences and the lines of a gate to what passes: pure arithmetic, with the same flips for every line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

import numpy as np

from mlbench.contrasts import Contrast, Contrasts, Contributions, Subject
from mlbench.paired import FLIPS, LOWER_IS_BETTER, Line
from mlbench.regression.document import Check, Verdict
from mlbench.regression.gate import Gate, Rule
from mlbench.regression.lines import GateLine
from mlbench.regression.power import found_at_a_point, found_by_test, margin_that_passes, reach, standard_error
from mlbench.significance import critical_value, paired_randomization

# What is equal on paper differs in the last bits.
_SLACK = 1e-12
# What makes a worsening of a difference.
_SIGNS = {"drop": -1.0, "rise": 1.0}


def judge(
    contrasts: Contrasts, lines: Sequence[GateLine], gate: Gate, *, task: str, flips: int = FLIPS, n_tasks: int = 1
) -> tuple[Check, ...]:
    """Return the outcome of each line on a task; `lines` are those that `lines_of` gives for these contrasts.

    The p-value of a drop or rise is one-sided against a worsening, adjusted by step-down max-T over all drops and rises
    as one family, and multiplied by the number of tasks that are judged (Bonferroni). So where the candidate is not
    worse, the chance that any line of any task fails under `significant` is at most the level. Intervals are taken from
    the contrasts; `non_inferior` decides by them, and they must be of `gate.confidence` then.
    """
    by_subject = {each.subject: each for each in contrasts.each}
    family = _test(contrasts, [line for line in lines if line.what in _SIGNS], gate.level, flips, n_tasks)
    return tuple(_check(task, line, by_subject[line.subject], gate, family) for line in lines)


def verdict(line: Line, level: float) -> Verdict | None:
    """Return whether a candidate is better or worse by the adjusted two-sided p-value; None where nothing is tested."""
    if line.adjusted is None or line.difference is None:
        return None
    if line.adjusted.two_sided > level:
        return "same"
    return "better" if (line.difference < 0) == (line.name in LOWER_IS_BETTER) else "worse"


@dataclass(frozen=True)
class _Family:
    """What is tested together: adjusted p-values, and the critical value of the largest studentised sum."""

    p: Mapping[Subject, float]
    critical: float


def _test(contrasts: Contrasts, lines: Sequence[GateLine], level: float, flips: int, n_tasks: int) -> _Family:
    signs = {line.subject: _SIGNS[line.what] for line in lines}
    columns = {
        each.subject: signs[each.subject] * each.contributions.added
        for each in contrasts.each
        if each.subject in signs and each.contributions is not None
    }
    if not columns:
        return _Family({}, inf)
    worsenings, seed = np.stack(list(columns.values()), axis=1), contrasts.statistics.seed
    adjusted = paired_randomization(worsenings, flips=flips, seed=seed).adjusted.greater
    return _Family(
        p={subject: min(1.0, n_tasks * float(p)) for subject, p in zip(columns, adjusted, strict=True)},
        critical=critical_value(worsenings, level / n_tasks, flips=flips, seed=seed),
    )


def _check(task: str, line: GateLine, each: Contrast, gate: Gate, family: _Family) -> Check:
    rule: Rule | Literal["floor", "ceiling"] = gate.rule
    if line.what == "floor" or line.what == "ceiling":
        rule, found = line.what, None
        passed, reason = _judge_value(line, each)
    else:
        passed, reason = _judge_worsening(line, each, gate, family)
        found = _detectable(line.bound, each.contributions, gate, family.critical)
    return Check(
        task=task,
        rule=rule,
        subject=line.subject,
        allowed=line.bound,
        base=_number(each.base.mean()),
        candidate=_number(each.candidate.mean()),
        difference=_number(each.difference),
        interval=each.interval,
        p=family.p.get(line.subject) if rule == gate.rule else None,
        detectable=found,
        passed=passed,
        reason=reason,
    )


def _judge_value(line: GateLine, each: Contrast) -> tuple[bool, str]:
    """Judge a floor or a ceiling by the candidate's own value."""
    value = float(each.candidate.mean())
    if line.what == "floor":
        passed, words = value >= line.bound - _SLACK, ("at or above", "below")
    else:
        passed, words = value <= line.bound + _SLACK, ("at or below", "above")
    return passed, f"{_written(value)} is {words[0 if passed else 1]} the {line.what} of {_bound(line.bound)}"


def _judge_worsening(line: GateLine, each: Contrast, gate: Gate, family: _Family) -> tuple[bool, str]:
    """Judge a drop or a rise by the rule of the gate."""
    worsening, verb = _SIGNS[line.what] * each.difference, "fell" if line.what == "drop" else "rose"
    if gate.rule == "non_inferior":
        return _judge_interval(line, each)
    if worsening <= line.bound + _SLACK:
        within = f"{verb} by {_written(worsening)}, {_bound(line.bound)} is allowed"
        return True, within if worsening > 0 else f"did not {'fall' if line.what == 'drop' else 'rise'}"
    beyond = f"{verb} by {_written(worsening)}, only {_bound(line.bound)} is allowed"
    if gate.rule == "point":
        return False, beyond
    p = family.p.get(line.subject, 1.0)
    if p <= gate.level:
        return False, f"{beyond}, and the topics asked do not explain it (p = {p:.2g})"
    if family.critical == inf:
        return True, f"{beyond}, but there are too few clusters of topics, or too few flips, to be sure of any"
    return True, f"{beyond}, but the choice of topics may explain it (p = {p:.2g})"


def _judge_interval(line: GateLine, each: Contrast) -> tuple[bool, str]:
    """Judge a drop or a rise by the end of its interval that is worst for the candidate."""
    bounds, allowed = each.interval, _bound(line.bound)
    if bounds is None:
        return False, f"there are too few clusters of topics to show that it is worse by less than {allowed}"
    worst = -bounds.low if line.what == "drop" else bounds.high
    if worst < line.bound - _SLACK:
        return True, f"shown to be worse by less than {allowed}: at most by {_written(max(0.0, worst))}"
    return False, f"not shown to be worse by less than {allowed}: it may be by {_written(worst)}"


def _detectable(allowed: float, contributions: Contributions | None, gate: Gate, critical: float) -> float | None:
    """Return the smallest worsening that would have been found; None where clusters do not say how they vary."""
    error = standard_error(contributions) if contributions else 0.0
    if contributions is None or not error > 0:
        return None
    match gate.rule:
        case "point":
            return found_at_a_point(allowed, error)
        case "non_inferior":
            return margin_that_passes(error, gate.level)
        case "significant":
            return _number(found_by_test(allowed, error, reach(contributions, critical)))


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None


def _written(value: float) -> str:
    """Write a value as people compare it: ranks with one decimal, shares with four and no zero before the point."""
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.4f}".replace("0.", ".", 1)


def _bound(value: float) -> str:
    """Write a bound as a gate states it."""
    text = f"{value:,.6g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
