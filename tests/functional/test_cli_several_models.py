"""Several models in one run: names, keys of one model, what is checked before anything is measured, and memory."""

import json
import weakref
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from command_line import CommandLine, own_task

from mlbench import open_model
from mlbench.protocols import Retriever, Runtime
from mlbench.retrievers import static

OWN = ("--task", "own", "--resamples", "20")
PACKAGED = static._packaged()


def saved(mlbench: CommandLine) -> dict[str, dict[str, Any]]:
    """Return the results by what they call their retriever; no two may have one file or one name."""
    paths = sorted((mlbench.folder / "results").glob("*.json"))
    found = [json.loads(path.read_bytes()) for path in paths]
    by_name = {each["retriever"]["name"] or each["retriever"]["spec"]: each for each in found}
    assert len(by_name) == len(found)
    return by_name


def refused(mlbench: CommandLine, *arguments: str) -> str:
    """Return the one line that a run is refused with, which has measured nothing."""
    done = mlbench("run", "-q", *arguments, *OWN)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), done
    assert not (mlbench.folder / "results").exists()
    assert not mlbench.cache.exists()
    return done.err.removeprefix("mlbench: error: ").rstrip()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--model", "hashing", "--model", "./missing", "--model", "static:gone"),
            ["2 of 3 models cannot be measured: ", "no folder './missing'", "gone: "],
        ),
        (
            ("--model", "hashing", "--model", "static", "--set", "dim=64"),
            ["static: it has no key dim: write --set hashing.dim=64 to set that of hashing alone"],
        ),
        (
            ("--model", "hashing", "--model", "./missing", "--set", "dmi=64"),
            ["hashing: unknown key 'dmi': did you mean dim", "no folder './missing'"],
        ),
        (("--model", "hashing", "--model", "b=hashing", "--set", "b.dim=0"), ["1 of 2 models", "b: hashing: dim:"]),
        (
            ("--model", "hashing", "--model", "static", "--set", "hashign.dim=64"),
            ["--set hashign.dim: no model is called 'hashign': did you mean hashing?"],
        ),
        (("--model", "hashing", "--set", "3.dim=64"), ["no model is called '3'"]),
        (
            ("--model", "hashing", "--model", "hashing", "--set", "hashing.dim=64"),
            ["hashing is there 2 times: name its place, as in --set 1.dim"],
        ),
        (("--model", "hashing", "--set", "1.dim=64", "--set", "hashing.dim=32"), ["gives hashing the key dim twice"]),
        (("--model", "hashing", "--model", "hashing:"), ["same model as hashing:", "same files", "--model NAME=MODEL"]),
        (("--model", "a=hashing", "--model", "a=static"), ["two models are called a"]),
        (("--model", "static=hashing", "--model", "static"), ["two models are called static"]),
        (("--model", "2=hashing"), ["2 is no name of a model"]),
        (("--model", "=hashing"), ["'' is no name of a model"]),
        (("--model", "a=", "--model", "hashing"), ["a: the model is empty"]),
        (("--model", "hashing", "--model", "nosuch:x"), ["unknown retriever 'nosuch'"]),
    ],
)
def test_all_faults_are_told_in_one_line_before_anything_is_measured(
    mlbench: CommandLine, own: Path, arguments: tuple[str, ...], told: list[str]
) -> None:
    line = refused(mlbench, *arguments)
    assert [part for part in told if part not in line] == [], line


def test_what_only_opening_tells_is_told_before_the_first_is_measured(mlbench: CommandLine, own: Path) -> None:
    line = refused(mlbench, "--model", "hashing", "--model", "static", "--set", "static.truncate_dim=9999")
    assert line.startswith("1 of 2 models cannot be measured: static: truncate_dim=9999: the checkpoint has ")
    (mlbench.folder / "runs").mkdir()
    (mlbench.folder / "runs" / "de-en.trec").write_text("t0 Q0 en-d0-item 1 1.0 x\n")
    line = refused(mlbench, "--model", "hashing", "--model", "run:runs", "--index", "flat")
    assert "an index is built over an encoder's vectors, and run:runs is a ranker" in line


def test_tasks_are_looked_for_before_the_first_is_measured(mlbench: CommandLine, own: Path) -> None:
    own_task(mlbench.folder / "gone", languages=("th", "vi"))
    (mlbench.folder / "gone" / "task.toml").write_text(
        'name = "gone"\nreader = "squad_sentences"\nlanguages = ["th", "vi"]\n'
        'files = [{ path = "queries.th.jsonl", language = "th" }, { path = "lost.json", language = "vi" }]\n'
    )
    assert "lost.json is missing" in refused(mlbench, "--model", "hashing", "--task", "gone")
    assert "two tasks are called own" in refused(mlbench, "--model", "hashing", "--task", "own")
    line = refused(mlbench, "--model", "hashing", "--task", "mini", "--languages", "en,xx")
    assert "unknown language of" in line
    line = refused(mlbench, "--model", "hashing", "--task", "mini-images")
    assert "hashing reads no images, which mini-images asks for" in line


def test_each_model_has_its_own_name_and_keys(mlbench: CommandLine, own: Path) -> None:
    done = mlbench(
        *("run", "-q", *OWN, "--model", "small=hashing", "--model", "hashing", "--model", "epoch 3=hashing"),
        *("--set", "dim=1024", "--set", "small.dim=64", "--set", "2.dim=128"),
    )
    assert done.code == 0, done.err
    found = saved(mlbench)
    assert {name: each["retriever"]["dim"] for name, each in found.items()} == {
        "small": 64,
        "hashing": 128,
        "epoch 3": 1024,
    }
    assert {each["retriever"]["spec"] for each in found.values()} == {"hashing"}
    assert {each["ranks"]["name"].split(".")[1].rpartition("-")[0] for each in found.values()} == {
        "small",
        "hashing",
        "epoch-3",
    }
    assert {"small", "hashing", "epoch 3"} <= {line.partition("  ")[0] for line in done.out.splitlines()}
    assert done.err == ""
    for result in (mlbench.folder / "results").glob("*.json"):
        assert mlbench("verify", str(result)).code == 0


def test_a_key_of_one_model_gives_what_a_run_of_it_alone_gives(mlbench: CommandLine, own: Path) -> None:
    alone = mlbench.result(*OWN, "--model", "hashing", "--set", "dim=64", "--out", "alone")
    done = mlbench("run", *OWN, "--model", "small=hashing", "--model", "hashing", "--set", "small.dim=64")
    assert done.code == 0, done.err
    assert done.err.startswith("open: 2 models in ")
    small = saved(mlbench)["small"]
    assert small["ranks"]["sha256"] == alone["ranks"]["sha256"]
    assert small["retriever"] | {"name": None} == alone["retriever"]
    assert small["aggregates"] == alone["aggregates"]


def test_a_file_lists_models_with_paths_from_its_folder(mlbench: CommandLine, own: Path) -> None:
    copytree(PACKAGED, mlbench.folder / "list" / "checkpoint")
    (mlbench.folder / "list" / "models.toml").write_text(
        'models = [{ name = "small", model = "hashing", set = { dim = 64 } }, "hashing", '
        '{ name = "ours", model = "./checkpoint", set = { truncate_dim = 2 } }]\n'
    )
    done = mlbench(
        *("run", "-q", *OWN, "--model", "first=hashing", "--models", "list/models.toml"),
        *("--set", "first.dim=512", "--set", "2.dim=32", "--set", "hashing.dim=128"),
    )
    assert done.code == 0, done.err
    assert {name: each["retriever"]["dim"] for name, each in saved(mlbench).items()} == {
        "first": 512,
        "small": 32,
        "hashing": 128,
        "ours": 2,
    }
    assert saved(mlbench)["ours"]["retriever"]["spec"] == "list/checkpoint"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models = []", ["1 fault", "models"]),
        ('[[models]]\nmodle = "hashing"', ["models[0].model", "models[0].modle"]),
        ('models = ["./gone", { name = "two\\nlines", model = "x" }]', ["models[1].name", "is no name of a model"]),
        ('models = ["./gone", "./lost"]', ["2 faults", "models[0]: there is no './gone' in the folder", "models[1]"]),
        ("models = ", ["not valid TOML"]),
    ],
)
def test_faults_of_a_list_are_told_together(mlbench: CommandLine, own: Path, text: str, told: list[str]) -> None:
    (mlbench.folder / "models.toml").write_text(text)
    line = refused(mlbench, "--models", "models.toml")
    assert line.startswith("models.toml: ")
    assert [part for part in told if part not in line] == [], line


def test_folders_of_one_name_are_told_apart_by_more_of_their_path(mlbench: CommandLine, own: Path) -> None:
    folders = [mlbench.folder / "runs" / run / "out" / "checkpoint-500" for run in ("1", "2")]
    for folder in folders:
        copytree(PACKAGED, folder)
    done = mlbench("run", "-q", *OWN, *(part for folder in folders for part in ("--model", str(folder))))
    assert done.code == 0, done.err
    found = saved(mlbench)
    assert set(found) == {"1/out/checkpoint-500", "2/out/checkpoint-500"}
    assert {each["retriever"]["spec"] for each in found.values()} == {"out/checkpoint-500"}


def test_one_name_of_two_models_is_shown_with_their_fingerprints(mlbench: CommandLine, own: Path) -> None:
    models = ("--model", "hashing", "--model", "hashing", "--languages", "de,en")
    done = mlbench("run", "-q", *OWN, *models, "--set", "2.dim=64")
    assert done.code == 0, done.err
    results = sorted((mlbench.folder / "results").glob("*.json"))
    names = {f"hashing {json.loads(path.read_bytes())['retriever']['fingerprint'][:8]}" for path in results}
    assert len(names) == 2
    for shown in (done, mlbench("report", "results"), mlbench("history", "results")):
        assert [name for name in names if name not in shown.out.replace("  ", " ")] == [], shown.out
    compared = mlbench("compare", *map(str, results), "--json")
    assert compared.code in (0, 1), compared.err


def test_no_two_models_are_in_memory(mlbench: CommandLine, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[weakref.ref[Retriever]] = []
    alive: list[int] = []
    open_retriever = open_model.open_retriever

    def watched(spec: str, settings: dict[str, str], runtime: Runtime) -> Retriever:
        alive.append(sum(each() is not None for each in opened))
        retriever = open_retriever(spec, settings, runtime)
        # Models of libraries are in such circles.
        vars(retriever)["itself"] = retriever
        opened.append(weakref.ref(retriever))
        return retriever

    monkeypatch.setattr(open_model, "open_retriever", watched)
    models = ("--model", "a=hashing", "--model", "b=hashing", "--model", "c=hashing", "--languages", "en")
    done = mlbench("run", "-q", *OWN, *models, "--set", "b.dim=64")
    assert done.code == 0, done.err
    # All three are checked, the last one first, and the second and third are opened again to be measured.
    assert alive == [0, 0, 0, 0, 0]


def test_a_key_in_an_address_is_not_repeated(mlbench: CommandLine, own: Path) -> None:
    told = refused(mlbench, "--model", "api:https://user:sk-secret@127.0.0.1:9/v1#m", "--model", "hashing")
    assert "sk-secret" not in told
    assert "api: the address has a user or a query" in told
