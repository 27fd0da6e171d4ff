"""How the two sides of a comparison are found, and several results of one task told apart from seeds."""

import json
from pathlib import Path

import pytest
from unit.compare.cases import put, skilled, trained

from mlbench.compare.pairing import describe_system, find_side, read_side
from mlbench.errors import InvalidResult, UserError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def specs(name: str) -> dict[str, list[str]]:
    side = find_side(name)
    return {task: [each.result.retriever.spec for each in found] for task, found in side.by_task.items()}


def test_a_file_comes_before_a_folder_and_a_folder_before_an_entry(tmp_path: Path) -> None:
    entry = tmp_path / "leaderboard" / "entries" / "some"
    put(entry, skilled(), spec="entry")
    (entry / "entry.json").write_text('{"schema_version": 1, "kind": "verified", "title": "x", "tasks": ["small"]}')
    assert specs("some") == {"small": ["entry"]}
    path = put(tmp_path / "some", skilled(), spec="folder")
    assert specs("some") == {"small": ["folder"]}
    assert specs(str(path)) == {"small": ["folder"]}
    assert specs("leaderboard/entries/some") == {"small": ["entry"]}


def test_a_folder_has_one_result_of_each_task(tmp_path: Path) -> None:
    put(tmp_path / "a", skilled(), spec="one")
    put(tmp_path / "a", skilled(), spec="one", name="other")
    # What lies beside results is passed over where it is clearly something else.
    for name, content in {"package": {"name": "x"}, "sweep": {"schema_version": 1, "arms": []}, "list": [1]}.items():
        (tmp_path / "a" / f"{name}.json").write_text(json.dumps(content))
    assert specs("a") == {"other": ["one"], "small": ["one"]}


def test_seeds_of_one_recipe_are_one_system_in_the_order_of_seeds(tmp_path: Path) -> None:
    for seed in (7, 0, 11):
        put(tmp_path / "a", skilled(seed=seed), training=trained(seed))
    system = find_side("a").by_task["small"]
    assert [each.result.retriever.training.seed for each in system] == [0, 7, 11]
    described = describe_system(system)
    assert described.files == ("small.model-0.json", "small.model-7.json", "small.model-11.json")
    assert len(set(described.fingerprints)) == 3


@pytest.mark.parametrize(
    "others",
    [
        [{"spec": "other"}],
        [{"training": trained(1)}, {}],
        [{"training": trained(1)}, {"training": trained(2), "spec": "x"}, {"training": trained(3, alpha=0.1)}],
        [{"training": trained(0), "spec": "again"}],
        [{"training": trained(None)}, {"training": trained(None), "spec": "unseeded"}],
    ],
    ids=["no training", "one of them unknown", "another recipe", "one seed twice", "no seeds"],
)
def test_several_results_of_a_task_that_are_no_seeds_are_refused(others: list[dict], tmp_path: Path) -> None:
    put(tmp_path / "a", skilled(), training=None if "training" not in others[0] else trained(0))
    for number, other in enumerate(others):
        put(tmp_path / "a", skilled(seed=number), **other)
    message = r"a has \d results of small that are not training seeds of one recipe: name one file"
    with pytest.raises(UserError, match=message):
        find_side("a")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no result file, folder of results or leaderboard entry 'x'$"):
        find_side("x")
    put(tmp_path / "leaderboard" / "entries" / "hashing", skilled())
    with pytest.raises(UserError, match=r"entry 'hashin'; of its entries, did you mean hashing\?"):
        find_side("hashin")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no result document in empty: make one with mlbench run --out empty"):
        find_side("empty")


@pytest.mark.parametrize("name", ["..", ".", "a/../../..", ""])
def test_names_that_are_paths_lead_nowhere_else(name: str, tmp_path: Path) -> None:
    (tmp_path / "leaderboard" / "entries").mkdir(parents=True)
    with pytest.raises(UserError):
        find_side(name)


def test_damage_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "a", skilled())
    (tmp_path / "a" / "broken.json").write_text("{")
    with pytest.raises(InvalidResult, match=r"broken\.json is not JSON"):
        find_side("a")
    path.with_name("small.model.ranks.npz").write_bytes(b"")
    with pytest.raises(InvalidResult, match="is not the ranks file of"):
        read_side("a", [path])
