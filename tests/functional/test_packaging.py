"""What a user gets by `pip install`: the wheel, and the command in an empty environment and folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

from mlbench.provenance import MANIFEST, read_provenance
from mlbench.training.recipe import Recipe, load_recipe
from mlbench.training.sources import load_training_set
from mlbench.version import __version__

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchmarks", "mlbench", "models", "recipes", "tasks", "tests")
SOURCES = ("setup.cfg", "pyproject.toml", "PACKAGE.md", "LICENSE", *FOLDERS)
MODEL = ROOT / "models" / "default"
MODEL_BYTES = 12_000_000


def call(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLBENCH_", "PYTHON"))}
    done = subprocess.run(
        command, cwd=folder, env=clean | environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder of before slips into it and none is left behind."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    call([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source], source)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_is_for_any_machine(wheel: Path) -> None:
    assert wheel.name == f"mlbench-{__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 1_000_000 + MODEL_BYTES


def test_the_wheel_has_every_module(contents: dict[str, bytes]) -> None:
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "mlbench").rglob("*.py")}
    assert modules | {"mlbench/py.typed"} <= set(contents)


def test_the_wheel_has_every_task(contents: dict[str, bytes]) -> None:
    tasks = [path for path in (ROOT / "tasks").rglob("*") if path.is_file() and path.suffix not in (".pyc", ".py")]
    assert {path.name for path in tasks} >= {"mini.toml", "documents.th.jsonl", "queries.zh.jsonl", "qrels.tsv"}
    for path in tasks:
        assert contents[f"mlbench/task_files/{path.relative_to(ROOT / 'tasks')}"] == path.read_bytes()


def test_the_wheel_has_every_recipe(contents: dict[str, bytes]) -> None:
    recipes = {path.relative_to(ROOT / "recipes").as_posix(): path for path in (ROOT / "recipes").rglob("*.toml")}
    assert {"static-hybrid.toml", "data/tydiqa.toml"} <= recipes.keys()
    for name, path in recipes.items():
        assert contents[f"mlbench/recipe_files/{name}"] == path.read_bytes()


def test_the_wheel_has_the_registry_of_models(contents: dict[str, bytes]) -> None:
    files = sorted((ROOT / "models" / "registry").glob("*.toml"))
    assert "e5.toml" in [path.name for path in files]
    for path in files:
        assert contents[f"mlbench/model_files/registry/{path.name}"] == path.read_bytes()


def test_the_wheel_has_the_site_of_the_leaderboard(contents: dict[str, bytes]) -> None:
    for folder in ("assets", "templates"):
        shipped = sorted((ROOT / "mlbench" / "leaderboard" / folder).iterdir())
        assert len(shipped) > 3
        for path in shipped:
            assert contents[f"mlbench/leaderboard/{folder}/{path.name}"] == path.read_bytes()


def test_the_wheel_has_the_default_model(contents: dict[str, bytes]) -> None:
    model = {path.name: path.read_bytes() for path in MODEL.iterdir()}
    assert {"README.md", MANIFEST, "model.safetensors", "modules.json", "tokenizer.json"} <= set(model)
    prefix = "mlbench/model_files/default/"
    assert {name.removeprefix(prefix): contents[name] for name in contents if name.startswith(prefix)} == model
    assert sum(map(len, model.values())) <= MODEL_BYTES


def test_the_default_model_was_made_by_the_recipe_that_comes_with_it() -> None:
    training, recipe = read_provenance(MODEL), load_recipe("default")
    assert training is not None
    # Its rows were read from copies of the publishers' files, which recipes do not name any more.
    others = {"datasets"}
    assert Recipe.model_validate(training.recipe).model_dump(exclude=others) == recipe.model_dump(exclude=others)
    assert [data.name for data in training.data] == [data.name for data in recipe.datasets]


AUTHORS = {"ntrex": "Federmann", "flores": "NLLB", "tico-19": "Anastasopoulos", "tatoeba": "Artetxe"}


def test_the_card_of_the_default_model_names_data_licences_attributions_recipe_and_results() -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    for task in (load_training_set(name) for data in load_recipe("default").datasets for name in data.tasks):
        licences = re.findall(r"CC0 \d\.\d|CC BY(?:-[A-Z]+)* \d\.\d(?: [A-Z]{2})?", task.licence)
        homes, authors = [task.homepage], [AUTHORS[task.name]]
        assert min(map(len, (licences, homes, authors))) > 0
        assert [wanted for wanted in (*licences, *homes, *authors) if wanted not in card] == []
    # Attribution is a link to the licence as well.
    assert "https://creativecommons.org/licenses/" in card
    assert [wanted for wanted in ("`default`", "`make model`", "XQuAD-R", "MLQA-R", "mAP") if wanted not in card] == []


def test_the_wheel_has_the_licence_and_the_readme(contents: dict[str, bytes]) -> None:
    about = f"mlbench-{__version__}.dist-info"
    assert contents[f"{about}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    metadata = contents[f"{about}/METADATA"].decode()
    assert re.search(r"^License(-Expression)?: Apache-2.0$", metadata, re.MULTILINE)
    assert (ROOT / "PACKAGE.md").read_text(encoding="utf-8").strip() in metadata


def test_the_wheel_has_nothing_else(contents: dict[str, bytes]) -> None:
    strange = [name for name in contents if not name.startswith(("mlbench/", f"mlbench-{__version__}.dist-info/"))]
    assert strange == []
    assert [name for name in contents if re.search(r"(^|/)(tests?(_|/)|conftest)|[.]pyc$", name)] == []


@pytest.mark.slow
def test_an_empty_environment_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, folder = tmp_path / "environment", tmp_path / "folder"
    folder.mkdir()
    call([sys.executable, "-m", "venv", environment], folder)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    pip = [programs / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
    call([*pip, "--constraint", ROOT / "constraints.txt", wheel], folder)
    cache = {"MLBENCH_CACHE": str(tmp_path / "cache")}
    assert call([programs / "mlbench", "--version"], folder, **cache) == f"mlbench {__version__}\n"
    out = call([programs / "mlbench", "run", "--out", "here"], folder, **cache)
    assert out.startswith("static on mini")
    (ranks,) = (folder / "here").rglob("*.ranks.npz")
    (result,) = (path for path in (folder / "here").rglob("*.json"))
    assert result.parent == ranks.parent
    call([programs / "mlbench", "verify", result], folder, **cache)
    assert "static-hybrid" in call([programs / "mlbench", "train", "--list"], folder, **cache)
    installed = call([programs / "python", "-m", "pip", "list", "--format", "freeze"], folder).lower()
    assert "torch" not in installed
    call([programs / "python", "-m", "pip", "check"], folder)
