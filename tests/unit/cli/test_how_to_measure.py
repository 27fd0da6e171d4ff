"""What `mlbench train` says to measure a model with: a task that fits it, with data that are there."""

import json
import shutil
from pathlib import Path

import pytest

from mlbench.cli.train import how_to_measure
from mlbench.tasks.task import load_task
from mlbench.training.recipe import Recipe

STATIC = {"static": {}}
IMAGES = {"image_text": {}, "datasets": [{"name": "i", "captions": "images"}]}
LANGUAGES = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]


def recipe_of(**changes: object) -> Recipe:
    table: dict[str, object] = {
        "name": "toy",
        "steps": 1,
        "languages": LANGUAGES,
        "optimizer": {"learning_rate": 0.1},
        "datasets": [{"name": "rows", "files": [{"path": "rows.jsonl"}]}],
        **changes,
    }
    return Recipe.model_validate(table)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, on a machine without data; `own` is a task in it, `data` a folder with that of one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLBENCH_DATA", raising=False)
    own = tmp_path / "own"
    own.mkdir()
    for language in ("de", "sw"):
        (own / f"queries.{language}.jsonl").write_text(json.dumps({"id": "q", "text": "?"}) + "\n")
        (own / f"documents.{language}.jsonl").write_text(json.dumps({"id": "d", "text": "!"}) + "\n")
    (own / "qrels.tsv").write_text("q\t0\td\t1\n")
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        # Those that are named in the recipe come first, and the one in the package is always there.
        (STATIC, ["--task", "mini"]),
        (STATIC | {"contamination": {"tasks": ["xquad-r", "mlqa-r"]}}, ["--task", "xquad-r", "--data-dir", "data"]),
        (STATIC | {"contamination": {"tasks": ["mini", "mlqa-r"]}}, ["--task", "mini"]),
        # It has the languages of the recipe.
        (STATIC | {"languages": ["de", "en"]}, ["--task", "mini", "--languages", "de,en"]),
        (STATIC | {"languages": ["de", "en", "sw"]}, ["--task", "mini", "--languages", "de,en"]),
        (STATIC | {"languages": ["de"], "batches": {"alpha": 1}}, ["--task", "mini", "--languages", "de"]),
        (STATIC | {"languages": ["ha", "yo"]}, ["--task", "NAME"]),
        (STATIC | {"languages": ["ha", "yo"], "contamination": {"tasks": ["xquad-r"]}}, ["--task", "NAME"]),
        (
            STATIC | {"languages": ["de", "sw"], "contamination": {"tasks": ["own"]}},
            ["--task", "own"],
        ),
        # A pre-trained encoder may know others as well.
        ({"transformer": {"checkpoint": "a/b"}, "languages": ["de", "en"]}, ["--task", "mini"]),
        # It has not been trained on.
        (STATIC | {"datasets": [{"name": "m", "tasks": ["mini"]}]}, ["--task", "NAME"]),
        # Images for models of images, and none for others.
        (IMAGES, ["--task", "mini-images"]),
        (IMAGES | {"contamination": {"tasks": ["mini"]}}, ["--task", "mini-images"]),
        (STATIC | {"contamination": {"tasks": ["mini-images"]}}, ["--task", "mini"]),
        (IMAGES | {"languages": ["de", "en"]}, ["--task", "mini-images", "--languages", "de,en"]),
    ],
)
def test_a_task_that_fits_is_named(folder: Path, changes: dict[str, object], options: list[str]) -> None:
    assert how_to_measure(recipe_of(**changes), Path("data")) == options


@pytest.mark.data
@pytest.mark.parametrize(
    ("at", "named", "options"),
    [
        ("data", "data", ["--task", "xquad-r", "--data-dir", "data"]),
        ("cache/data", "data", ["--task", "xquad-r"]),
        ("cache/data", None, ["--task", "xquad-r"]),
        ("elsewhere", None, ["--task", "mini"]),
    ],
)
def test_data_are_where_it_says(data_dir: Path, folder: Path, at: str, named: str | None, options: list[str]) -> None:
    for file in load_task("xquad-r").files:
        (folder / at / file.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data_dir / file.path, folder / at / file.path)
    assert how_to_measure(recipe_of(**STATIC), None if named is None else Path(named)) == options
