"""Numbers that are saved can be read back, and others are refused where they are given."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlbench.cli import call
from mlbench.errors import RetrieverError, UserError
from mlbench.evaluation.options import Options
from mlbench.io.toml import Declared
from mlbench.io.untrusted import LARGEST_NUMBER, check_numbers, parse
from mlbench.training.recipe import load_recipe

NUMBERS = st.one_of(st.integers(), st.integers(-(10**40), 10**40), st.floats(), st.booleans(), st.none(), st.text())
VALUES = st.recursive(NUMBERS, lambda each: st.lists(each) | st.dictionaries(st.text(max_size=3), each), max_leaves=5)


@given(VALUES)
def test_what_is_accepted_is_read_back(value: object) -> None:
    try:
        check_numbers(value)
        text = json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return
    assert parse(text) == value


@pytest.mark.parametrize("value", [10**15 + 1, -(10**20), 1e16, math.inf, math.nan, [1, {"a": 2**64}], (1e300,)])
def test_what_would_not_be_read_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"must be at most 1e\+15"):
        check_numbers(value)


def test_a_file_that_declares_such_a_number_is_refused() -> None:
    class Table(Declared):
        steps: int
        weights: tuple[float, ...] = ()

    assert Table(steps=LARGEST_NUMBER, weights=(1e15,)).steps == LARGEST_NUMBER
    for values in ({"steps": LARGEST_NUMBER + 1}, {"steps": 1, "weights": (0.5, 1e17)}):
        with pytest.raises(ValidationError, match="larger numbers cannot be saved"):
            Table.model_validate(values)


@pytest.mark.parametrize("key", ["steps", "temperature", "learning_rate"])
def test_a_recipe_with_such_a_number_is_refused(key: str) -> None:
    with pytest.raises(UserError, match=r"at most|larger numbers cannot be saved"):
        load_recipe("static-hybrid", {key: 1e17 if key == "learning_rate" else 10**20})


@pytest.mark.parametrize("value", [10**16, math.nan, math.inf])
def test_a_retriever_with_such_a_parameter_is_refused(value: float) -> None:
    class Ranker:
        @property
        def parameters(self) -> dict[str, float]:
            return {"depth": value}

        def fingerprint(self) -> str:
            return "0" * 64

        def search(self, *_: object) -> list[list[str]]:
            return []

    with pytest.raises(RetrieverError, match="depth: must be at most"):
        Options().open_model(Ranker())


@pytest.mark.parametrize("limit", [0, 10**15 + 1, 2**64])
def test_a_quick_look_at_more_than_a_result_can_say_is_refused(limit: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="a quick look has at least one topic, and at most 1,000,000,000,000,000"):
        Options(limit=limit)
    assert call(["run", "--limit", str(limit)]) == 2
    assert "--limit" in capsys.readouterr().err
