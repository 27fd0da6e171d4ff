"""`mlbench verify`: every number of a result follows from its ranks, and a changed one is found."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, own_task


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mlbench = CommandLine(tmp_path_factory.mktemp("measured"))
    own_task(mlbench.folder / "own")
    assert mlbench("run", "--task", "own", "--model", "hashing", "--resamples", "50").code == 0
    return mlbench.folder / "results"


@pytest.fixture
def result(mlbench: CommandLine, measured: Path) -> Path:
    shutil.copytree(measured, mlbench.folder, dirs_exist_ok=True)
    return next(mlbench.folder.glob("*.json"))


def test_every_number_follows_wherever_the_files_lie(mlbench: CommandLine, result: Path) -> None:
    renamed = result.with_name("renamed.json")
    shutil.copy(result, renamed)
    done = mlbench("verify", result.name, str(renamed))
    assert (done.code, done.err) == (0, "")
    first, second = done.out.splitlines()
    assert first.startswith(f"{result.name}: all ")
    assert second.startswith(f"{renamed}: all ")
    assert first.endswith(" numbers follow from the ranks")


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all numbers in a document."""
    if isinstance(value, dict):
        return [found for key in value for found in leaves(value[key], (*place, key))]
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in leaves(item, (*place, index))]
    return [place] if isinstance(value, int | float) and not isinstance(value, bool) else []


def change(document: dict[str, Any], place: tuple[Any, ...]) -> None:
    parent: Any = document
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] += 1 if isinstance(parent[place[-1]], int) else 1e-6


def test_any_changed_number_is_named(mlbench: CommandLine, result: Path) -> None:
    document = json.loads(result.read_bytes())
    parts = ("settings", "aggregates", "bias")
    places = [place for place in leaves(document) if place[0] in parts]
    chosen = places[:: len(places) // 40]
    paths = []
    for number, place in enumerate(chosen):
        altered = json.loads(result.read_bytes())
        change(altered, place)
        paths.append(result.with_name(f"altered-{number}.json"))
        paths[-1].write_text(json.dumps(altered), encoding="utf-8")
    from mlbench.errors import MlbenchError
    from mlbench.evaluation.verify import verify

    for path, place in zip(paths, chosen, strict=True):
        try:
            differences = verify(path).differences
        except MlbenchError as error:
            differences = (str(error),)
        assert len(differences) >= 1, place
    done = mlbench("verify", "-q", paths[0].name)
    assert (done.code, done.out) == (2, "")
    *named, last = done.err.splitlines()
    assert len(named) == 1
    assert named[0].startswith(f"{chosen[0][0]}[")
    assert last.startswith(f"mlbench: error: {paths[0].name}: 1 of ")
    assert last.endswith(" numbers do not follow from the ranks")


def test_every_result_is_looked_at_though_one_fails(mlbench: CommandLine, result: Path) -> None:
    done = mlbench("verify", "gone.json", result.name)
    assert done.code == 2
    assert done.out.startswith(f"{result.name}: all ")
    assert done.err.splitlines() == [
        "cannot read gone.json: No such file or directory",
        "mlbench: error: 1 of 2 results do not follow from their ranks",
    ]


def test_a_folder_of_results(mlbench: CommandLine, result: Path) -> None:
    done = mlbench("verify", str(result.parent))
    assert (done.code, done.err) == (0, "")
    assert f"{result.name}: all " in done.out


@pytest.mark.data
def test_a_real_task(mlbench: CommandLine, data_dir: Path) -> None:
    options = ("--model", "hashing", "--languages", "de,es", "--data-dir", str(data_dir), "--resamples", "5")
    document = mlbench.result("--task", "mlqa-r", *options)
    name = document["ranks"]["name"].replace(".ranks.npz", ".json")
    done = mlbench("verify", f"results/{name}")
    assert (done.code, done.err) == (0, "")
