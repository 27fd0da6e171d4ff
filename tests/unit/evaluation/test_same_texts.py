"""A model that was trained on the texts of a task is told of, also where they were called by another task."""

from importlib import import_module

import pytest

from mlbench import load_task

evaluate_module = import_module("mlbench.evaluation.evaluate")


@pytest.mark.parametrize(
    ("task", "trained", "same"),
    [
        ("flores-200", ("ntrex", "flores"), ["flores"]),
        ("flores", ("flores-200",), ["flores-200"]),
        ("ntrex-128", ("ntrex", "own.toml"), ["ntrex"]),
        ("mini", ("mini", "xquad-r"), ["mini"]),
        ("xquad-r", ("flores", "mlqa-r"), []),
    ],
)
def test_tasks_of_the_same_texts(task: str, trained: tuple[str, ...], same: list[str]) -> None:
    assert evaluate_module._of_same_texts(load_task(task), trained) == same
