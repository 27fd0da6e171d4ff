"""`mlbench mine`: rows with hard negatives, and every mistake in one line."""

import json
from pathlib import Path

import pytest
from command_line import LANGUAGES, CommandLine

pytest.importorskip("datasets")
pytest.importorskip("sentence_transformers")

RECIPE = """
name = "toy"
steps = 5
languages = ["de", "en", "es"]

[static]
pieces = 200
dim = 8

[batches]
size = 16

[loss]
negatives = "hard_only"

[optimizer]
learning_rate = 0.02

[[datasets]]
name = "rows"
files = [{ path = "FILE" }]
"""


@pytest.fixture
def folder(mlbench: CommandLine) -> Path:
    rows = [{"id": str(n), "texts": {tag: f"{tag} has row {n} of {n % 7}" for tag in LANGUAGES}} for n in range(80)]
    (mlbench.folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (mlbench.folder / "toy.toml").write_text(RECIPE.replace("FILE", "rows.jsonl"))
    (mlbench.folder / "mined.toml").write_text(RECIPE.replace("FILE", "mined.jsonl"))
    return mlbench.folder


def test_rows_are_mined_and_trained_on(mlbench: CommandLine, folder: Path) -> None:
    done = mlbench("mine", "toy.toml", "--model", "hashing:", "--negatives", "2", "--out", "mined.jsonl")
    assert (done.code, done.out) == (0, "saved mined.jsonl: 80 rows, 80 of them with negatives\n")
    rows = [json.loads(line) for line in (folder / "mined.jsonl").read_text().splitlines()]
    assert all(len(texts) <= 2 for row in rows for texts in row["negatives"].values())
    assert all(
        text not in row["texts"].values() for row in rows for texts in row["negatives"].values() for text in texts
    )
    assert mlbench("train", "mined.toml").code == 0


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (["--out", "rows.jsonl"], "--out rows.jsonl is there already: name another file"),
        (
            ["--out", "none/mined.jsonl"],
            "--out none/mined.jsonl: there is no folder none: make it, or name another file",
        ),
        (["--out", "mined.jsonl", "--model", "bm25:"], "--model bm25: gives no vectors: name an encoder"),
        (["--out", "mined.jsonl", "--set", "alpah=1"], "unknown key of recipes 'alpah': did you mean alpha"),
    ],
)
def test_mistakes_are_one_line(args: list[str], fault: str, mlbench: CommandLine, folder: Path) -> None:
    model = [] if "--model" in args else ["--model", "hashing:"]
    failed = mlbench("mine", "toy.toml", *model, *args)
    assert failed.code == 2
    assert fault in failed.err
    assert len([line for line in failed.err.splitlines() if line.startswith("mlbench: error: ")]) == 1
    assert not (folder / "mined.jsonl").exists()
