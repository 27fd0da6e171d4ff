"""A comparison as JUnit XML, as CI systems read it: a suite for each task, a test case for each line of the gate."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mlbench.compare.document import Check, Comparison, TaskComparison
from mlbench.reports.comparison.content import bound_text, check_title, side_names
from mlbench.reports.formatting import harmless
from mlbench.results import Bounds

# Some readers cannot do without it, and a line of a gate takes no time of its own.
_TIME = "0"
_REQUIRED = "required tasks"


def comparison_junit(comparison: Comparison) -> str:
    """Return an XML document in the JUnit format that Jenkins documents, which GitLab and GitHub's actions read.

    The numbers of a line are in its output, how they were made in the properties of its suite. Characters that XML
    forbids are visible escapes. A gate without lines gives suites without test cases.
    """
    comparison = harmless(comparison)
    root = Element("testsuites", {"name": "mlbench compare", **_counts(comparison.every_check)})
    for task in comparison.tasks:
        _suite(root, task.task, task.checks, _properties(task, comparison))
    if comparison.checks:
        _suite(root, _REQUIRED, comparison.checks, {})
    indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(root: Element, name: str, checks: Sequence[Check], properties: dict[str, str]) -> None:
    suite = SubElement(root, "testsuite", {"name": name, **_counts(checks), "skipped": "0"})
    if properties:
        listed = SubElement(suite, "properties")
        for key, value in properties.items():
            SubElement(listed, "property", {"name": key, "value": value})
    for check in checks:
        titled = check_title(check) if check.subject else f"{check.task} {check_title(check)}"
        case = SubElement(suite, "testcase", {"name": titled, "classname": name, "time": _TIME})
        told = "\n".join(f"{key}: {value}" for key, value in _numbers(check).items())
        if not check.passed:
            SubElement(case, "failure", {"message": check.reason, "type": check.rule}).text = told
        SubElement(case, "system-out").text = told


def _counts(checks: Sequence[Check]) -> dict[str, str]:
    failed = sum(not check.passed for check in checks)
    return {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "time": _TIME}


def _properties(task: TaskComparison, comparison: Comparison) -> dict[str, str]:
    tests, (base, candidate) = task.tests, side_names(task)
    return {
        "base": base,
        "candidate": candidate,
        "task.version": task.version,
        "task.fingerprint": task.fingerprint,
        "languages": " ".join(task.languages),
        "gate.rule": comparison.gate.rule,
        "gate.level": bound_text(comparison.gate.level),
        "flips": str(tests.flips),
        "resamples": str(tests.statistics.resamples),
        "clusters": str(tests.statistics.n_clusters),
        "seed": str(tests.statistics.seed),
        "mlbench": comparison.mlbench,
    }


def _numbers(check: Check) -> dict[str, str]:
    """Return the numbers of a line in full, those that it has, with the reason."""
    numbers: dict[str, float | Bounds | None] = {
        "base": check.base,
        "candidate": check.candidate,
        "difference": check.difference,
        "interval": check.interval,
        "allowed": check.allowed,
        "adjusted one-sided p": check.p,
        "would have found": check.detectable,
    }
    written = {
        key: f"{value.low} to {value.high}" if isinstance(value, Bounds) else str(value)
        for key, value in numbers.items()
        if value is not None
    }
    return {"outcome": check.reason, **written}
