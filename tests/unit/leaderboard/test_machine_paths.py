"""Paths that are taken out of a result before it is published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.compare.cases import skilled, trained
from unit.leaderboard.boards import honest

from mlbench.leaderboard.check_files import text_fault
from mlbench.leaderboard.submission import last_part, without_paths

KEPT = (
    "",
    "hashing",
    "dense:intfloat/multilingual-e5-base",
    "./hybrid",
    "train/a.gz",
    "https://example.org/a/b",
    "--homepage=https://example.org/a",
    "query: ",
    "a / b",
    "1..5",
    "--set",
    "dim=256",
)
REDUCED = {
    "/data/models/e5": "e5",
    "/data/models/e5/": "e5",
    "dense:/data/models/e5": "dense:e5",
    "--out=/data/results": "--out=results",
    "~/models/e5": "e5",
    "~someone/e5": "e5",
    "dense:~/e5": "dense:e5",
    "../models/e5": "e5",
    "a/../../e5": "e5",
    "C:\\Users\\me\\e5": "e5",
    "dense:C:\\Users\\me\\e5": "dense:e5",
    "d:/models/e5": "e5",
    "\\\\server\\share\\e5": "e5",
    "/": ".",
    "~": ".",
    "..": ".",
    "../..": ".",
    "C:\\": ".",
}


@pytest.mark.parametrize("text", KEPT)
def test_other_texts_stay(text: str) -> None:
    assert last_part(text) == text


@pytest.mark.parametrize(("text", "last"), REDUCED.items(), ids=repr)
def test_paths_are_reduced_to_their_last_part(text: str, last: str) -> None:
    assert last_part(text) == last
    assert text_fault(text) != ""
    assert text_fault(last) == ""


@given(
    front=st.sampled_from(["", "dense:", "--data-dir=", "static:"]),
    root=st.sampled_from(["/", "~/", "../", "C:\\", "\\\\"]),
    parts=st.lists(st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True), min_size=1, max_size=5),
)
def test_nothing_of_a_path_but_its_last_part_is_left(front: str, root: str, parts: list[str]) -> None:
    separator = "\\" if "\\" in root else "/"
    found = last_part(front + root + separator.join(parts))
    assert text_fault(found) == ""
    if root != "\\\\":  # The first two parts of such a path are one.
        assert found == front + parts[-1]


def test_paths_leave_every_part_of_a_result_that_a_user_writes() -> None:
    result = honest(skilled(), spec="dense:/data/e5", training=trained(0))
    recipe = {"folder": "/data/train", "datasets": [{"path": "~/a.gz"}], "title": "One / two"}
    plain = result.model_dump(mode="json")
    plain["retriever"]["training"]["recipe"] = recipe
    plain["retriever"]["parameters"] = {"tokenizer": "/data/tokenizer", "query_prompt": "query: ", "dim": 4}
    plain["environment"]["command"] = "mlbench run --model 'dense:/data/my models/e5' --data-dir /data --set a=b"
    found = without_paths(type(result).model_validate(plain))
    assert found.retriever.spec == "dense:e5"
    assert found.retriever.training is not None
    assert found.retriever.training.recipe == {
        "folder": "train",
        "datasets": [{"path": "a.gz"}],
        "title": "One / two",
    }
    assert found.retriever.parameters == {"tokenizer": "tokenizer", "query_prompt": "query: ", "dim": 4}
    assert found.environment.command == "mlbench run --model dense:e5 --data-dir data --set a=b"
    assert (found.settings, found.task) == (result.settings, result.task)


@pytest.mark.parametrize("command", ["mlbench run '", "mlbench sweep recipe.toml --task mini", "python evaluate.py"])
def test_a_command_that_is_not_one_of_a_run_is_left_out(command: str) -> None:
    plain = honest(skilled()).model_dump(mode="json")
    plain["environment"]["command"] = command
    assert without_paths(type(honest(skilled())).model_validate(plain)).environment.command is None
