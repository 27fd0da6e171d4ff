"""`mlbench train`: from a recipe to a checkpoint that `mlbench run` measures, and every fault in one line."""

import json
import re
import signal
import time
from pathlib import Path

import pytest
from command_line import LANGUAGES, CommandLine

pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

RECIPE = """
name = "toy"
steps = 20
languages = ["de", "en", "es"]

[static]
pieces = 200
dim = 8

[batches]
size = 16

[optimizer]
learning_rate = 0.02

[contamination]
tasks = ["own"]

[[datasets]]
name = "rows"
licence = "CC0"
files = [{ path = "rows.jsonl" }]
"""


@pytest.fixture
def recipe(mlbench: CommandLine, own: Path) -> Path:
    """A recipe in the working folder, with rows in the languages of the task `own`."""
    rows = [{"id": str(n), "texts": {tag: f"{tag} has row {n} of {n % 7}" for tag in LANGUAGES}} for n in range(80)]
    (mlbench.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    path = mlbench.folder / "toy.toml"
    path.write_text(RECIPE)
    (mlbench.folder / "extending.toml").write_text('extends = "./toy.toml"\nname = "extending"\n')
    (mlbench.folder / "nowhere-link").symlink_to("nowhere")
    return path


def test_a_task_that_was_trained_on_is_told_when_it_is_measured(mlbench: CommandLine, recipe: Path) -> None:
    named = RECIPE.replace('licence = "CC0"\nfiles = [{ path = "rows.jsonl" }]', 'tasks = ["mini"]')
    recipe.write_text(named.replace('[contamination]\ntasks = ["own"]', ""))
    assert mlbench("train", "toy.toml").code == 0
    told = [mlbench("run", "--model", "checkpoints/toy", "--task", task).err for task in ("mini", "own")]
    words = "was trained on mini: its numbers on mini are of known texts"
    assert [words in text for text in told] == [True, False]


def test_a_checkpoint_is_trained_and_measured(mlbench: CommandLine, recipe: Path) -> None:
    done = mlbench("train", "toy.toml", environment={"COLUMNS": "80"})
    assert done.code == 0, done.err
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert all(len(line) <= 80 for line in lines)
    assert lines[:2] == ["toy: trained", "model       static, 200 subwords x 8"]
    assert lines[2].startswith("training    20 steps in ")
    assert lines[3].startswith("loss        ")
    assert lines[3].endswith(" after 20 steps")
    assert lines[4].startswith("epochs      rows: ")
    assert lines[5:7] == [
        "evaluation  none of 240 training texts contains text of own",
        "checkpoint  checkpoints/toy",
    ]
    assert lines[7:] == ["Measure it: mlbench run --model checkpoints/toy --task own"]
    assert "train: 20 steps in " in done.err
    manifest = json.loads((mlbench.folder / "checkpoints" / "toy" / "mlbench-training.json").read_text())
    assert manifest["environment"]["command"] == "mlbench train toy.toml"

    training = mlbench.result("--model", "checkpoints/toy", "--task", "own", "--resamples", "2")["retriever"][
        "training"
    ]
    assert training["recipe"]["name"] == "toy"
    assert training["recipe_fingerprint"] == manifest["recipe_fingerprint"]
    assert training["data"] == [{"name": "rows", "fingerprint": manifest["data"][0]["fingerprint"], "rows": 80}]
    assert (training["seed"], training["steps"], training["code_version"]) == (0, 20, manifest["code_version"])
    assert training["contamination"] == {"tasks": ["own"], "texts": 240, "hits": 0, "rows": {}}

    again = mlbench("train", "toy.toml", "--json")
    assert again.code == 0
    assert "checkpoints/toy holds this training already" in again.err
    assert json.loads(again.out) == manifest

    other = mlbench("train", "toy.toml", "--set", "alpha=.25")
    assert (other.code, other.out) == (2, "")
    assert other.err.splitlines()[-1] == (
        "mlbench: error: checkpoints/toy holds a model of another recipe, or of other data: "
        "name another folder with --out"
    )

    quiet = mlbench("train", "-q", "toy.toml", "--set", "alpha=.25", "--set", "static.dim=4", "--out", "a b", "--json")
    assert (quiet.code, quiet.err) == (0, "")
    changed = json.loads(quiet.out)
    assert (changed["recipe"]["batches"]["alpha"], changed["recipe"]["static"]["dim"]) == (0.25, 4)
    assert changed["rows_digest"] == manifest["rows_digest"]


def test_a_killed_training_goes_on(mlbench: CommandLine, recipe: Path) -> None:
    recipe.write_text(RECIPE.replace('"own"', '"mini"'))
    validation = {"share": 0.1, "every": 20, "validation.batches": 2, "steps": 500}
    changes = [part for key, value in validation.items() for part in ("--set", f"{key}={value}")]
    arguments = ("train", "toy.toml", *changes, "--data-dir", ".")
    running = mlbench.start(*arguments, "--out", "killed")
    kept = mlbench.folder / "killed" / ".training"
    while running.poll() is None and not list(kept.glob("*/last.safetensors")):
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert not (mlbench.folder / "killed" / "modules.json").exists()
    for folder in ("killed", "not killed"):
        done = mlbench(*arguments, "--out", folder)
        assert done.code == 0, done.err
        assert ("goes on after " in done.err) == (folder == "killed")
    # It can be typed as it is.
    assert done.out.splitlines()[-1] == "Measure it: mlbench run --model 'not killed' --task mini --languages de,en,es"
    killed, whole = ((mlbench.folder / name / "model.safetensors").read_bytes() for name in ("killed", "not killed"))
    assert killed == whole
    assert not kept.exists()


def test_all_faults_are_told_in_one_line(mlbench: CommandLine, recipe: Path) -> None:
    question = json.loads((mlbench.folder / "own" / "queries.en.jsonl").read_text().splitlines()[0])["text"]
    with (mlbench.folder / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps({"id": "x", "texts": {"de": f"So: {question}!", "en": "no"}}) + "\n")
    recipe.write_text(RECIPE.replace("size = 16", "sise = 16").replace('"es"]', '"es", "th"]'))
    done = mlbench("train", "toy.toml", "--check", "--set", "alpha=1.5", "--set", "dimm=3")
    assert (done.code, done.out) == (2, "")
    *_, line = done.err.splitlines()
    assert line == (
        "mlbench: error: toy.toml: 5 faults: unknown key of recipes 'dimm': did you mean dim?; "
        "batches.alpha: input should be less than or equal to 1, not 1.5; "
        "batches.sise: unknown key: did you mean size?; "
        "languages: no data for th: the data sets have de, en, es; "
        "contamination: training text contains text of own: rows of rows 1; "
        "rows, de, text: own question in 1 of 81 texts; "
        "leave the rows out (contamination.action = 'drop') or go on ('warn')"
    )
    assert not (mlbench.folder / "checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["toy.tomI"], "unknown recipe 'toy.tomI': known are "),
        (["gone/toy.toml"], "there is no recipe gone/toy.toml"),
        (["static-hybird"], "unknown recipe 'static-hybird': did you mean static-hybrid"),
        (["toy.toml", "--set", "alpha"], "--set 'alpha': write KEY=VALUE, as in --set alpha=0.25"),
        (["toy.toml", "--set", "alpha=0", "--set", "alpha=1"], "--set alpha is there twice: give each key one value"),
        (["toy.toml", "--out", "toy.toml"], "cannot write results to toy.toml: toy.toml is not a folder"),
        (["toy.toml", "--data-dir", "nowhere"], "--data-dir nowhere is not a folder"),
        (["toy.toml", "--out", "toy.toml/x"], "cannot write results to toy.toml/x: "),
        (["toy.toml", "--out", "nowhere-link"], "cannot write results to nowhere-link: nowhere-link is not a folder"),
        (["toy.toml", "--unset", "alhpa"], "toy.toml: 1 fault: unknown key of recipes 'alhpa': did you mean alpha"),
        (
            ["toy.toml", "--unset", "steps"],
            "toy.toml: 1 fault: steps is required and cannot be unset: set another value",
        ),
        (["toy.toml", "--unset", "alpha", "--set", "alpha=1"], "alpha is set and unset: give --set alpha or --unset"),
        (
            ["toy.toml", "--set", "languages=de,en"],
            """toy.toml: 1 fault: languages: must be a list, such as ["a", "b"],""",
        ),
        (["extending.toml"], "extending.toml: 1 fault: extends: './toy.toml' is a file, and only shipped recipes are"),
        (["--check"], "name a recipe: mlbench train --list shows those that come with mlbench"),
        (["toy.toml", "--threads", "0"], "Invalid value for '--threads'"),
    ],
)
def test_a_fault_is_one_line(mlbench: CommandLine, recipe: Path, arguments: list[str], line: str) -> None:
    done = mlbench("train", "-q", *arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"mlbench: error: {line}")
    assert done.err.count("\n") == 1


def test_what_would_be_trained(mlbench: CommandLine, recipe: Path) -> None:
    done = mlbench("train", "toy.toml", "--check", "--set", "validation.share=0.25", "--out", "out")
    assert done.code == 0
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert lines[:5] == [
        "toy: recipe and data are fine; nothing was trained",
        "model       static, 200 subwords x 8",
        "training    20 steps of 16 examples; seed 0",
        "batches     0.5 mono, 0.5 cross_example",
        "languages   de en es",
    ]
    assert lines[5].startswith("data        rows: ")
    assert lines[5].endswith(" of 80 rows; licence CC0")
    assert lines[6].startswith("held out    rows: ")
    assert not (mlbench.folder / "out").exists()
    as_json = json.loads(mlbench("train", "toy.toml", "--check", "--json").out)
    assert as_json["recipe"]["steps"] == 20
    assert as_json["data"][0]["used_rows"] == 80


def test_recipes_are_listed(mlbench: CommandLine) -> None:
    done = mlbench("train", "--list")
    assert done.code == 0
    assert re.search(r"^static-hybrid +Static encoder, hybrid batches *$", done.out, re.MULTILINE)
    listed = json.loads(mlbench("train", "--list", "--json").out)
    names = [recipe["name"] for recipe in listed]
    assert names == sorted(names)
    assert {"static-mono", "static-hybrid", "static-cross"} <= set(names)


def test_nothing_asked_is_answered_by_the_help(mlbench: CommandLine) -> None:
    done = mlbench("train")
    assert (done.code, done.out) == (2, "")
    assert "mlbench train static-hybrid --data-dir ./data" in done.err
