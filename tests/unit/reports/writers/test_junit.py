import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.reports.comparison_cases import floor, make_comparison, required, spoiled
from unit.reports.conftest import make_result

from mlbench.compare.document import Comparison
from mlbench.errors import UserError
from mlbench.reports.documents.comparison import comparison_report
from mlbench.reports.documents.result import results_report
from mlbench.reports.formats import render
from mlbench.reports.writers.junit import write_junit

# The JUnit schema that Jenkins documents (junit-10.xsd): children in their order, attributes required and allowed.
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out", "system-err"],
    "properties": ["property"],
    "testcase": ["skipped", "error", "failure", "system-out", "system-err"],
}
SUMS = {"tests", "failures", "errors", "time"}
ATTRIBUTES = {
    "testsuites": (set(), {"name", "disabled", *SUMS}),
    "testsuite": ({"name", "tests"}, {"name", "skipped", "timestamp", "hostname", "id", "package", *SUMS}),
    "property": ({"name", "value"}, {"name", "value"}),
    "testcase": ({"name"}, {"name", "classname", "time", "file", "assertions"}),
    "failure": (set(), {"message", "type"}),
}


def read(comparison: Comparison) -> ElementTree.Element:
    return ElementTree.fromstring(write_junit(comparison_report(comparison)).encode())


def check_schema(element: ElementTree.Element) -> None:
    required_, allowed = ATTRIBUTES.get(element.tag, (set(), set()))
    assert required_ <= set(element.attrib) <= allowed, element.tag
    order = CHILDREN.get(element.tag, [])
    places = [order.index(child.tag) for child in element]
    assert places == sorted(places), element.tag
    if element.tag == "testcase":
        assert len({child.tag for child in element}) == len(element)
    for child in element:
        check_schema(child)


def with_required() -> Comparison:
    checks = (required("mini", passed=True), required("mlqa-r", passed=False))
    return make_comparison(tasks=("xquad-r", "other")).model_copy(update={"checks": checks})


@pytest.mark.parametrize("comparison", [make_comparison(), make_comparison(fall=0), with_required(), spoiled()])
def test_keeps_to_the_schema(comparison: Comparison) -> None:
    root = read(comparison)
    assert root.tag == "testsuites"
    check_schema(root)


def test_counts_are_those_of_the_cases() -> None:
    root = read(with_required())
    suites = root.findall("testsuite")
    assert [suite.attrib["name"] for suite in suites] == ["xquad-r", "other", "required tasks"]
    for suite in (root, *suites):
        cases = list(suite.iter("testcase"))
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == sum(case.find("failure") is not None for case in cases)
    assert int(root.attrib["failures"]) == 5 + 5 + 1


def test_every_line_is_a_case_with_a_name_of_its_own() -> None:
    comparison = make_comparison()
    cases = list(read(comparison).iter("testcase"))
    names = [case.attrib["name"] for case in cases]
    assert len(set(names)) == len(names) == len(comparison.tasks[0].checks)
    assert "mAP cross of th queries: no significant drop beyond .005" in names
    assert {case.attrib["classname"] for case in cases} == {"xquad-r"}
    assert [case.attrib["name"] for case in read(with_required()).findall("testsuite")[2]] == [
        "mini measured on both sides",
        "mlqa-r measured on both sides",
    ]


def test_a_failure_has_its_reason_and_the_numbers_in_full() -> None:
    comparison = make_comparison()
    check = next(check for check in comparison.tasks[0].checks if not check.passed)
    case = next(case for case in read(comparison).iter("testcase") if case.find("failure") is not None)
    failure, out = case.find("failure"), case.findtext("system-out")
    assert failure is not None
    assert failure.attrib == {"message": check.reason, "type": "significant"}
    assert check.interval is not None
    for part in (f"base: {check.base}", f"difference: {check.difference}", f"interval: {check.interval.low} to "):
        assert out is not None
        assert part in out
    assert failure.text == out


def test_how_it_was_made_is_in_the_properties() -> None:
    found = {each.attrib["name"]: each.attrib["value"] for each in read(make_comparison()).iter("property")}
    assert found["base"] == "hybrid"
    assert found["candidate"] == "x-x-mono"
    assert found["gate.rule"] == "significant"
    assert found["gate.level"] == ".05"
    assert found["flips"] == "10000"


@given(st.text(max_size=30))
def test_any_text_gives_xml_that_can_be_read_again(text: str) -> None:
    line = floor(0.1, 0.2).model_copy(update={"reason": text})
    comparison = make_comparison().model_copy(update={"tasks": (), "checks": (line,), "mlbench": text})
    document = write_junit(comparison_report(comparison))
    failure = next(ElementTree.fromstring(document.encode()).iter("failure"))
    # What XML 1.0 forbids (section 2.2), or readers would change.
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", document)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    assert failure.attrib["message"] == shown


def test_other_documents_have_no_gate() -> None:
    with pytest.raises(UserError, match="the format junit is of a comparison only"):
        render("junit", results_report([make_result(("de", "en"))]))
