"""What is said of a comparison beside its numbers: the verdict, what failed, and how it was made."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from mlbench.languages import KINDS
from mlbench.regression.document import Check, Comparison, System, TaskComparison, Verdict
from mlbench.report.differences import (
    EXPLAINED,
    Difference,
    Escape,
    asked_language,
    languages_of,
    signed,
    single_settings,
    title,
)
from mlbench.report.method import intervals
from mlbench.report.notation import ABSENT, SHORT, count, decimal, quick_look
from mlbench.report.sweep_rows import Quantity

LINES_LEGEND = (
    "p: one-sided against a worse candidate, adjusted over all drops and rises of the gate and over tasks; "
    "would find: the worsening that is found, or the margin that is kept to, four times of five"
)
"""What the columns of a table of gate lines mean."""

_VERDICTS: tuple[Verdict, ...] = ("better", "same", "worse")
# From so many query languages on, what failed is told in one line for all of them.
_MANY = 3
_DIGITS = 8
_FAILED_TOGETHER = {
    "point": "fell by more than {bound}",
    "significant": "fell by more than {bound}, and the topics asked do not explain it",
    "non_inferior": "are not shown to have fallen by less than {bound}",
}


def verdict(comparison: Comparison) -> str:
    """Say in one word whether the gate let the candidate pass."""
    return "passed" if comparison.passed else "failed"


def headline(comparison: Comparison) -> str:
    """Say how many lines of the gate failed."""
    every = comparison.every_check
    failed = sum(not check.passed for check in every)
    if not every:
        return "the gate has no line for what was compared"
    lines = count(len(every), "gate line")
    return f"{failed:,} of {lines}" if failed else f"{lines}, none failed"


def failures(checks: Sequence[Check], escape: Escape = str) -> list[tuple[str, str]]:
    """Return task and sentence for each line that failed, means first; many query languages of a kind share one.

    Sentences are escaped, names of tasks are not.
    """
    failed = [check for check in checks if not check.passed]
    failed.sort(key=lambda check: check.subject is not None and check.subject.language is not None)
    return [sentence for _, group in groupby(failed, key=_alike) for sentence in _sentences(list(group), escape)]


def check_title(check: Check, escape: Escape = str) -> str:
    """Say what a line of the gate asks, such as `mAP mono of th queries: no significant drop beyond .005`."""
    if check.subject is None:
        return "measured on both sides"
    drop, bound = "drop" if check.subject.kind else "rise", bound_text(check.allowed)
    asked = {
        "point": f"no {drop} beyond {bound}",
        "significant": f"no significant {drop} beyond {bound}",
        "non_inferior": f"shown not to {drop} by {bound}",
        "floor": f"at least {bound}",
        "ceiling": f"at most {bound}",
        "required": "measured on both sides",
    }
    return f"{title(check.subject, escape)}: {asked[check.rule]}"


def bound_text(bound: float | None) -> str:
    """Write what a gate states, with its digits: `.005`, `6,000`; None is `·`."""
    if bound is None:
        return ABSENT
    text = f"{bound:,.6g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def check_value(check: Check, value: float | None) -> str:
    """Write a value of what a line of the gate is about; None is `·`."""
    return Quantity(check.subject.name, check.subject.kind).write(value) if check.subject else decimal(value)


def sides(task: TaskComparison, escape: Escape = str) -> str:
    """Say what was compared with what on a task."""
    base, candidate = side_names(task, escape)
    return f"{candidate} against {base}"


def side_names(task: TaskComparison, escape: Escape = str) -> tuple[str, str]:
    """Name base and candidate and how many seeds they are; where both have one name, with digits of fingerprints."""
    alike = task.candidate.spec == task.base.spec
    return _side_name(task.base, escape, alike), _side_name(task.candidate, escape, alike)


def _side_name(system: System, escape: Escape, alike: bool) -> str:
    seeds = [count(len(system.files), "seed")] if len(system.files) > 1 else []
    notes = [*(fingerprint[:_DIGITS] for fingerprint in system.fingerprints if alike), *seeds]
    return f"{escape(system.spec)} ({', '.join(notes)})" if notes else escape(system.spec)


def both_sides(comparison: Comparison, escape: Escape = str) -> str:
    """Say what was compared with what, where that is the same on every task; the empty string where not."""
    found = {sides(task, escape) for task in comparison.tasks}
    return next(iter(found)) if len(found) == 1 else ""


def tally(task: TaskComparison) -> list[str]:
    """Say how many single settings are better, same and worse: of all, then of each kind; nothing without settings."""
    found = single_settings(task)
    by_kind = {kind: [each for each in found if each.line.kind == kind] for kind in KINDS}
    kinds = [f"{SHORT[kind]} {_counted(each)}" for kind, each in by_kind.items() if each]
    if not found:
        return []
    return [f"{count(len(found), 'single setting')}: {_counted(found)}", *(kinds if len(kinds) > 1 else [])]


def legend(level: float) -> str:
    """Say what the mark of a difference means."""
    return f"{EXPLAINED} more than topics explain: adjusted p at most {bound_text(level)}"


def labels(task: TaskComparison, escape: Escape = str) -> list[str]:
    """Return what must be known of the data of a task; usually nothing."""
    shared = [f"only the languages that both sides have: {', '.join(map(escape, task.languages))}"]
    return (shared if task.shared_only else []) + ([] if task.limit is None else [quick_look(task.limit)])


def how(task: TaskComparison) -> list[str]:
    """Return in a few words each how intervals and tests were made."""
    tests = task.tests
    parts = intervals(tests.statistics)
    if tests.flips:
        number = f"all {tests.flips:,}" if tests.exact else f"{tests.flips:,}"
        parts.append(
            f"p by {number} sign flips of clusters, adjusted within aggregates, {languages_of(task)}s and settings"
        )
    if max(tests.n_base, tests.n_candidate) > 1:
        parts.append(f"topics averaged over seeds: {tests.n_base} of the base, {tests.n_candidate} of the candidate")
    return parts


def not_compared(comparison: Comparison, escape: Escape = str) -> list[str]:
    """Say which tasks only one side has; often nothing."""
    names = ", ".join(map(escape, comparison.uncompared))
    return [f"not compared, as only one side has it: {names}"] if names else []


def _alike(check: Check) -> tuple[str, ...]:
    """Return what lines have in common that may share a sentence."""
    about = check.subject
    if about is None or about.language is None or check.rule not in _FAILED_TOGETHER:
        return check.task, check_title(check), check.rule
    return check.task, about.name, about.kind or "", check.rule, bound_text(check.allowed)


def _sentences(checks: Sequence[Check], escape: Escape) -> Iterator[tuple[str, str]]:
    first = checks[0].subject
    if first is None or len(checks) < _MANY:
        for check in checks:
            named = f"{title(check.subject, escape)} " if check.subject else ""
            yield check.task, f"{named}{escape(check.reason)}"
        return
    quantity = Quantity(first.name, first.kind)
    each = [
        f"{escape(check.subject.language or '')} {signed(quantity, check.difference, beside=check.base)}"
        for check in checks
        if check.subject
    ]
    said = _FAILED_TOGETHER[checks[0].rule].format(bound=bound_text(checks[0].allowed))
    named = f"{escape(quantity.title)} of {len(checks)} {asked_language([first.kind])}s"
    yield checks[0].task, f"{named} {said}: {', '.join(each)}"


def _counted(found: Sequence[Difference]) -> str:
    verdicts = [each.verdict for each in found]
    untested = verdicts.count(None)
    parts = [f"{verdicts.count(each):,} {each}" for each in _VERDICTS if untested < len(found)]
    return ", ".join([*parts, *([f"{untested:,} not tested"] if untested else [])])
