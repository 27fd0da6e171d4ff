"""`mlbench train` on a machine without the data: the publishers' files are fetched, or the user is told why not."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine
from http_servers import serving_files
from published_files import publish

from mlbench import recipe_files

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

from mlbench.training.sources import load_training_set

SETS = ("tico-19", "xnli-entailment", "arcd", "iapp-wiki-qa", "tydiqa-part")
RECIPE = """
name = "toy"
steps = 5
languages = ["ar", "en", "ru", "th"]

[static]
pieces = 64
dim = 4

[batches]
size = 4

[optimizer]
learning_rate = 0.02
"""


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLBENCH_DATA", raising=False)


@pytest.mark.usefixtures("nothing")
def test_publishers_files_are_fetched_once(mlbench: CommandLine) -> None:
    served = mlbench.folder / "served"
    served.mkdir()
    with serving_files(served) as (address, asked):
        paths = [publish(load_training_set(name), declaration(name), served, address) for name in SETS]
        names = ", ".join(json.dumps(str(path)) for path in paths)
        (mlbench.folder / "toy.toml").write_text(f'{RECIPE}\n[[datasets]]\nname = "all"\ntasks = [{names}]\n')
        refused = mlbench("train", "toy.toml", environment={"MLBENCH_OFFLINE": "1"})
        assert (refused.code, asked) == (2, [])
        assert refused.err.count("downloads are forbidden by MLBENCH_OFFLINE") == 1
        done = mlbench("train", "toy.toml")
        assert done.code == 0, done.err
        assert len(asked) == len(set(asked)) == sum(len(load_training_set(name).files) for name in SETS)
        again = mlbench("train", "toy.toml", "--out", "again")
        assert again.code == 0, again.err
        assert len(asked) == len(set(asked))
    for name in SETS:
        assert f"{name}: licence {load_training_set(name).licence}" in done.err
        assert f"{name}: please cite " in done.err
        assert f"{name}: licence" not in again.err
    manifest = json.loads((mlbench.folder / "checkpoints/toy/mlbench-training.json").read_text(encoding="utf-8"))
    (data,) = manifest["data"]
    assert [file["path"] for file in data["files"]] == [
        file.path for name in SETS for file in load_training_set(name).files
    ]
    assert data["licence"].startswith("tico-19: CC0 1.0; xnli-entailment: CC BY-NC 4.0; arcd: MIT")
    weights = [mlbench.folder / folder / "model.safetensors" for folder in ("checkpoints/toy", "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def declaration(name: str) -> Path:
    return Path(recipe_files.__path__[0], f"data/{name}.toml")


def test_training_sets_are_shown_and_downloaded_as_tasks_are(mlbench: CommandLine) -> None:
    shown = mlbench("tasks", "show", "tico-19")
    assert shown.code == 0, shown.err
    assert "TICO-19" in shown.out
    refused = mlbench("tasks", "download", "tico-19", environment={"MLBENCH_OFFLINE": "1", "MLBENCH_DATA": ""})
    assert refused.code == 2
    assert "tico-19/all.en-ar.tmx.zip is not on this machine" in refused.err
    assert "tico-19" not in mlbench("tasks").out
