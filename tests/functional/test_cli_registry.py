"""Checkpoints that say that they are, or are made from, a model of the registry; `mlbench models known`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, own_task, tiny_checkpoint

E5 = "intfloat/multilingual-e5-small"
PROMPTS = ("--set", "query_prompt=query: ", "--set", "document_prompt=passage: ")
FEW = ("--task", "own", "--resamples", "20")
CARD = "---\nlanguage: multilingual\n{}\n---\n# A card\n"


@pytest.fixture
def checkpoint(mlbench: CommandLine) -> Path:
    pytest.importorskip("torch")
    own_task(mlbench.folder / "own")
    return tiny_checkpoint(mlbench.folder / "checkpoint")


def claim(checkpoint: Path, line: str) -> None:
    (checkpoint / "README.md").write_text(CARD.format(line), encoding="utf-8")


def prompts(result: dict[str, Any]) -> tuple[str, str]:
    parameters = result["retriever"]["parameters"]
    return parameters["query_prompt"], parameters["document_prompt"]


def fingerprint(result: dict[str, Any]) -> str:
    return str(result["retriever"]["fingerprint"])


def test_a_copy_is_used_as_the_model_that_it_is(mlbench: CommandLine, checkpoint: Path) -> None:
    by_hand = mlbench.result("--model", "checkpoint", *FEW, *PROMPTS)
    plain = mlbench.result("--model", "checkpoint", *FEW)
    assert (by_hand["retriever"]["registry"], prompts(plain)) == (None, ("", ""))
    claim(checkpoint, "model-index:\n- name: multilingual-e5-small")
    done = mlbench("run", "--json", "--model", "checkpoint", *FEW)
    result = json.loads(done.out)
    known = result["retriever"]["registry"]
    assert (known["name"], known["made_from"]) == (E5, False)
    both = {"query_prompt": "query: ", "document_prompt": "passage: "}
    assert known["applied"] == {"pooling": "mean", **both, "similarity": "cosine"}
    assert "checkpoint: pooling='mean', query_prompt='query: ', document_prompt='passage: '" in done.err
    assert "from the registry of models; --set registry=false leaves it out" in done.err
    assert "warning" not in done.err
    assert prompts(result) == ("query: ", "passage: ")
    assert result["settings"] == by_hand["settings"]
    assert result["ranks"]["sha256"] == by_hand["ranks"]["sha256"]
    off = mlbench.result("--model", "checkpoint", *FEW, "--set", "registry=false")
    assert (off["retriever"]["registry"], prompts(off)) == (None, ("", ""))
    own = mlbench.result("--model", "checkpoint", *FEW, "--set", "query_prompt=ask: ")
    assert prompts(own) == ("ask: ", "passage: ")
    assert "query_prompt" not in own["retriever"]["registry"]["applied"]


@pytest.mark.slow
def test_a_snapshot_in_the_cache_of_the_hub_is_the_model(mlbench: CommandLine, checkpoint: Path) -> None:
    repository = mlbench.folder / "hub" / "hub" / "models--intfloat--multilingual-e5-small"
    snapshot = repository / "snapshots" / ("1a" * 20)
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(checkpoint, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1a" * 20)
    by_folder = mlbench.result("--model", str(snapshot), *FEW)
    assert prompts(by_folder) == ("query: ", "passage: ")
    environment = {"HF_HOME": str(mlbench.folder / "hub"), "HF_HUB_OFFLINE": "1"}
    done = mlbench.process("run", "-q", "--json", "--model", E5, *FEW, environment=environment)
    assert done.code == 0, done.err
    by_id = json.loads(done.out)
    assert fingerprint(by_id) == fingerprint(by_folder)
    assert by_id["retriever"]["registry"] == by_folder["retriever"]["registry"]
    assert by_id["ranks"]["sha256"] == by_folder["ranks"]["sha256"]


def test_what_is_made_from_a_model_is_used_as_that_with_a_warning(mlbench: CommandLine, checkpoint: Path) -> None:
    claim(checkpoint, f"base_model: {E5}")
    done = mlbench("run", "-q", "--json", "--model", "checkpoint", *FEW)
    assert f"warning: checkpoint is made from {E5}, so it is used as that: " in done.err
    assert "--set registry=false leaves it out" in done.err
    result = json.loads(done.out)
    assert result["retriever"]["registry"]["made_from"] is True
    assert prompts(result) == ("query: ", "passage: ")


def test_the_longest_input_is_that_of_the_registry(mlbench: CommandLine, checkpoint: Path) -> None:
    (mlbench.folder / "own.toml").write_text(
        '[[models]]\nname = "our/model"\nmax_length = 9\nunconfirmed = ["max_length"]\n', encoding="utf-8"
    )
    claim(checkpoint, "model_name: our/model")
    plain, short = (
        mlbench.result("--model", "checkpoint", *FEW, "--set", f"registry={registry}")["retriever"]
        for registry in ("true", "own.toml")
    )
    assert (plain["parameters"]["max_length"], short["parameters"]["max_length"]) == (64, 9)
    assert short["registry"]["applied"] == {"max_length": 9}
    assert plain["fingerprint"] != short["fingerprint"]


def test_numbers_on_training_data_are_not_zero_shot(mlbench: CommandLine, checkpoint: Path) -> None:
    claim(checkpoint, "model_name: multilingual-e5-small")
    with (mlbench.folder / "own" / "task.toml").open("a", encoding="utf-8") as file:
        file.write('built_from = ["squad", "xquad"]\n')
    done = mlbench("run", "--model", "checkpoint", *FEW, "--out", "results")
    assert (
        f"warning: {E5} was trained on SQuAD, which own is built from: its numbers there are not zero-shot" in done.err
    )
    assert "trained on SQuAD: not zero-shot" in done.out
    [path] = (mlbench.folder / "results").glob("*.json")
    document = json.loads(path.read_bytes())
    assert document["retriever"]["registry"]["trained_on"]["squad"] == "yes"
    assert document["retriever"]["registry"]["seen"] == ["squad"]
    assert mlbench("report", str(path), "--output", "page.html").code == 0
    assert "trained on SQuAD: not zero-shot" in (mlbench.folder / "page.html").read_text(encoding="utf-8")
    assert mlbench("verify", str(path)).code == 0
    indexed = mlbench.result("--model", "checkpoint", *FEW, "--index", "flat", "--out", "indexed")
    assert indexed["retriever"]["registry"]["seen"] == ["squad"]
    off = mlbench("run", "--model", "checkpoint", *FEW, "--out", "off", "--set", "registry=false")
    assert "zero-shot" not in off.err + off.out


def test_names_that_are_not_known(mlbench: CommandLine, checkpoint: Path) -> None:
    done = mlbench("run", "--model", "checkpoint", *FEW, "--set", "registry=intfloat/multilingual-e5-smal")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"did you mean {E5}" in done.err
    shown = mlbench("models", "show", "multilingual-e5-smal")
    assert (shown.code, shown.err.count("\n")) == (2, 1)
    assert E5 in shown.err


def test_known_models_are_listed_and_shown(mlbench: CommandLine) -> None:
    listed = json.loads(mlbench("models", "known", "--json").out)
    assert E5 in [entry["name"] for entry in listed]
    assert E5 in mlbench("models", "known").out
    shown = mlbench("models", "show", E5)
    assert "passage: " in shown.out
    assert "https://" in shown.out
    assert json.loads(mlbench("models", "show", E5, "--json").out)["dim"] == 384
    (mlbench.folder / "own.toml").write_text(
        '[[models]]\nname = "our/model"\ndim = 7\nunconfirmed = ["dim"]\n', encoding="utf-8"
    )
    own = mlbench("models", "show", "our/model", "--registry", "own.toml")
    assert (own.code, "not confirmed" in own.out) == (0, True)
