import pytest

from mlbench.provenance import Contamination, Provenance
from mlbench.reports.documents.result import results_report
from mlbench.reports.provenance import command, provenance, trained
from mlbench.reports.writers.html import write_html
from mlbench.results import Result


def of(result: Result) -> Provenance:
    assert result.retriever.training is not None
    return result.retriever.training


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "; data ntrex, flores; no text of xquad-r, mlqa-r"),
        ({"contamination": None}, "; contamination not looked for"),
        (
            {"contamination": Contamination(tasks=("mlqa-r",), texts=9, hits=5, rows={"ntrex": 1, "flores": 2})},
            "; text of mlqa-r in 3 rows",
        ),
        ({"recipe": {}}, "trained by recipe aaaaaaaa; seed 3; 4,000 steps; "),
        ({"seed": None, "steps": 1}, "trained by recipe static-hybrid; 1 step; "),
        ({"data": ()}, "; data none; "),
    ],
)
def test_training_in_a_line(change: dict[str, object], expected: str, trained_result: Result) -> None:
    assert expected in trained(of(trained_result).model_copy(update=change))


def test_training_is_shown_where_it_is_known(small: Result, trained_result: Result) -> None:
    assert [facts.title for facts in provenance(small)] == ["Retriever", "Task", "Run"]
    assert [facts.title for facts in provenance(trained_result)] == ["Retriever", "Training", "Task", "Run"]
    facts = dict(provenance(trained_result)[1].facts)
    assert facts == {
        "summary": trained(of(trained_result)),
        "fingerprint of the recipe": "a" * 64,
        "fingerprint of ntrex": "b" * 64,
        "fingerprint of flores": "c" * 64,
        "mlbench": "0.1.0",
    }


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ({}, ""),
        ({"limit": 20}, " --limit 20"),
        ({"partial": True}, " --languages de,en,th"),
        ({"partial": True, "limit": 5}, " --languages de,en,th --limit 5"),
    ],
)
def test_a_command_that_was_not_recorded_is_one_like_it(small: Result, task: dict[str, object], options: str) -> None:
    result = small.model_copy(update={"task": small.task.model_copy(update=task)})
    assert command(result) == f"mlbench run --model {small.retriever.spec} --task xquad-r{options}"


def test_the_page_has_it(small: Result, trained_result: Result) -> None:
    page = write_html(results_report([trained_result]))
    assert "<h4>Training</h4>" in page
    assert trained(of(trained_result)) in page
    assert "Training</h4>" not in write_html(results_report([small]))
