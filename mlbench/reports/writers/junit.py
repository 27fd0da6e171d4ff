"""A comparison as JUnit XML, as CI systems read it: a suite for each task, a test case for each line of the gate."""

from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from mlbench.compare.document import Check, Comparison, TaskComparison
from mlbench.reports.documents.comparison import bound_text, check_title, side
from mlbench.reports.formatting import visible
from mlbench.reports.report import Report

# Some readers cannot do without it, and a line of a gate takes no time of its own.
_TIME = "0"
_REQUIRED = "required tasks"


def write_junit(report: Report) -> str:
    """Return an XML document in the JUnit format that Jenkins documents, which GitLab and GitHub's actions read.

    The numbers of a line are in its output, how they were made in the properties of its suite. Characters that XML
    forbids are visible escapes. A gate without lines gives suites without test cases. The report is that
    of one comparison.
    """
    (comparison,) = (document for document in report.documents if isinstance(document, Comparison))
    root = Element("testsuites", {"name": "mlbench compare", **_counts(comparison.every_check)})
    for task in comparison.tasks:
        _suite(root, task.task, task.checks, _properties(task, comparison))
    if comparison.checks:
        _suite(root, _REQUIRED, comparison.checks, {})
    indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(root: Element, name: str, checks: Sequence[Check], properties: Mapping[str, str]) -> None:
    suite = _add(root, "testsuite", name=name, **_counts(checks), skipped="0")
    if properties:
        listed = _add(suite, "properties")
        for key, value in properties.items():
            _add(listed, "property", name=key, value=value)
    for check in checks:
        titled = check_title(check) if check.subject else f"{check.task} {check_title(check)}"
        case = _add(suite, "testcase", name=titled, classname=name, time=_TIME)
        told = "\n".join(f"{key}: {visible(value)}" for key, value in _numbers(check))
        if not check.passed:
            _add(case, "failure", message=check.reason, type=check.rule).text = told
        _add(case, "system-out").text = told


def _add(parent: Element, tag: str, **attributes: str) -> Element:
    return SubElement(parent, tag, {name: visible(value) for name, value in attributes.items()})


def _counts(checks: Sequence[Check]) -> dict[str, str]:
    failed = sum(not check.passed for check in checks)
    return {"tests": str(len(checks)), "failures": str(failed), "errors": "0", "time": _TIME}


def _properties(task: TaskComparison, comparison: Comparison) -> dict[str, str]:
    tests = task.tests
    return {
        "base": side(task.base, task.candidate).text,
        "candidate": side(task.candidate, task.base).text,
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


def _numbers(check: Check) -> Iterator[tuple[str, str]]:
    """Yield the outcome of a line, and those numbers in full that it has."""
    yield "outcome", check.reason
    interval = check.interval and f"{check.interval.low} to {check.interval.high}"
    numbers = {
        "base": check.base,
        "candidate": check.candidate,
        "difference": check.difference,
        "interval": interval,
        "allowed": check.allowed,
        "adjusted one-sided p": check.p,
        "would have found": check.detectable,
    }
    yield from ((name, str(value)) for name, value in numbers.items() if value is not None)
