"""`mlbench run --model FOLDER` of a static checkpoint: no torch, and the result says how it was trained."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from safetensors.numpy import save_file

OWN = ("--task", "own", "--resamples", "2")
TRAINING = {
    "recipe": {"name": "static-hybrid", "seed": 7, "batches": {"alpha": 0.5}},
    "recipe_fingerprint": "a" * 64,
    "data": [{"name": "ntrex", "fingerprint": "b" * 64, "rows": 1997}],
    "code_version": "0.1.0",
    "code_commit": None,
    "steps": 4000,
}
LOADED = """
import sys
from mlbench import cli
code = cli.call(sys.argv[1:])
heavy = {"torch", "transformers", "sentence_transformers", "huggingface_hub", "scipy", "pandas"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture
def checkpoint(mlbench: CommandLine) -> Path:
    """A table of random vectors for bytes, without a word on how it was trained."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = mlbench.folder / "checkpoint"
    folder.mkdir()
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "sentence_transformers.StaticEmbedding"}]))
    pieces = ["[UNK]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({piece: n for n, piece in enumerate(pieces)}, [], unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    table = np.random.RandomState(0).normal(0, 1, (len(pieces), 16)).astype(np.float32)
    save_file({"embedding.weight": table}, folder / "model.safetensors")
    return folder


def test_runs_without_torch(mlbench: CommandLine, own: Path, checkpoint: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "run", "-q", "--threads", "1", "--model", "checkpoint", *OWN],
        cwd=mlbench.folder,
        env=mlbench.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "\n")
    assert done.stdout.startswith("checkpoint on own")


def test_a_folder_is_opened_as_what_it_is(mlbench: CommandLine, own: Path, checkpoint: Path) -> None:
    plain, named = (mlbench.result("--model", model, *OWN) for model in ("checkpoint", "static:checkpoint"))
    assert plain["retriever"] == named["retriever"]
    assert plain["settings"] == named["settings"]
    assert plain["retriever"]["parameters"]["backend"] == "numpy"
    assert plain["cost"]["tokens"] > 0
    assert named["cost"]["encoded_texts"] == 0


def test_the_result_says_how_it_was_trained(mlbench: CommandLine, own: Path, checkpoint: Path) -> None:
    before = mlbench.result("--model", "checkpoint", *OWN)
    assert before["retriever"]["training"] is None
    manifest = {"schema_version": 1, **TRAINING, "epochs": [], "contamination": {}}
    (checkpoint / "mlbench-training.json").write_text(json.dumps(manifest))
    after = mlbench.result("--model", "checkpoint", *OWN)
    training = after["retriever"].pop("training")
    assert training == {
        **TRAINING,
        "seed": 7,
        "contamination": None,
    }
    # The same model under the same name: nothing is encoded again.
    assert after["retriever"] | {"training": None} == before["retriever"]
    assert after["ranks"] == before["ranks"]
    assert after["cost"]["encoded_texts"] == 0
    (document,) = (mlbench.folder / "results").glob("*.json")
    assert mlbench("verify", str(document)).code == 0
    shown = mlbench("report", str(document), "--format", "html", "--output", "page.html")
    assert shown.code == 0, shown.err
    page = (mlbench.folder / "page.html").read_text(encoding="utf-8")
    assert "trained by recipe static-hybrid; seed 7; 4,000 steps; data ntrex" in page


def test_a_damaged_manifest_fails_no_run(mlbench: CommandLine, own: Path, checkpoint: Path) -> None:
    (checkpoint / "mlbench-training.json").write_text('{"schema_version"')
    done = mlbench("run", "-q", "--json", "--model", "checkpoint", *OWN)
    assert done.code == 0
    assert json.loads(done.out)["retriever"]["training"] is None
    (warning,) = done.err.splitlines()
    assert warning.startswith("warning: ")
    assert "mlbench-training.json is not JSON that can be used" in warning


def test_a_broken_checkpoint_is_one_line(mlbench: CommandLine, own: Path, checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    done = mlbench("run", "--model", "checkpoint", *OWN)
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlbench: error: checkpoint: no tokenizer.json; save the tokenizer in this folder too\n"
