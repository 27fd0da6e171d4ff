"""Vectors are computed once, kept under what they were computed with, and a broken cache stops nobody."""

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, own_task, randomise, tiny_checkpoint

FEW = ("--resamples", "2")
OWN = ("--task", "own", "--model", "hashing", *FEW)


def parts(document: dict[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in left_out}


def chunks(mlbench: CommandLine) -> list[Path]:
    return sorted(mlbench.cache.rglob("*.safetensors"))


def overwrite_first(mlbench: CommandLine) -> None:
    chunks(mlbench)[0].write_bytes(b"not vectors at all")


def flip_bits(mlbench: CommandLine) -> None:
    for path in chunks(mlbench)[:2]:
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


def truncate(mlbench: CommandLine) -> None:
    for size, path in zip((0, 5, -1), chunks(mlbench), strict=False):
        os.truncate(path, size % path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "n_damaged"),
    [(overwrite_first, 1), (flip_bits, 2), (truncate, 3)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_cache_is_a_warning_and_what_it_held_is_encoded_again(
    mlbench: CommandLine, own: Path, damage: Callable[[CommandLine], None], n_damaged: int
) -> None:
    first = mlbench.result(*OWN)
    damage(mlbench)
    done = mlbench("run", "-q", "--json", *OWN)
    again = json.loads(done.out)
    assert done.code == 0
    warnings = done.err.splitlines()
    assert len(warnings) == n_damaged
    assert all(line.startswith("warning: ") and ".safetensors" in line for line in warnings)
    assert parts(again, "cost") == parts(first, "cost")
    assert 0 < again["cost"]["encoded_texts"] < first["cost"]["encoded_texts"]
    assert mlbench.result(*OWN)["cost"]["encoded_texts"] == 0


@pytest.mark.parametrize("place", ["taken", "taken/embeddings"])
def test_a_cache_that_cannot_be_used_is_one_warning(mlbench: CommandLine, own: Path, place: str) -> None:
    first = mlbench.result(*OWN)
    taken = mlbench.folder / place
    taken.parent.mkdir(exist_ok=True)
    taken.write_text("a file where a folder should be")
    done = mlbench("run", "-q", "--json", *OWN, environment={"MLBENCH_CACHE": str(mlbench.folder / "taken")})
    assert done.code == 0
    assert done.err.startswith("warning: vectors are not kept for later runs: ")
    assert done.err.endswith("; set MLBENCH_CACHE to a usable folder\n")
    assert done.err.count("\n") == 1
    assert parts(json.loads(done.out), "cost") == parts(first, "cost")
    assert taken.read_text() == "a file where a folder should be"


def test_a_full_disk_under_the_cache_is_one_warning(mlbench: CommandLine) -> None:
    own_task(mlbench.folder / "own", topics=100)
    small = ("--set", "dim=2048", "--languages", "de,en")
    # Room for the result, not for a chunk of 100 vectors.
    limit = 400_000
    run = ("run", "-q", "--json", *OWN, *small)
    done = mlbench.process(*run, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.code == 0, done.err
    assert done.err.startswith("warning: vectors are not kept for later runs: [Errno 27] File too large")
    assert done.err.count("\n") == 1
    assert [path for path in mlbench.cache.rglob("*") if path.is_file()] == []
    again = mlbench.process(*run)
    assert parts(json.loads(again.out), "cost") == parts(json.loads(done.out), "cost")


def test_each_distinct_text_is_encoded_once_and_then_never(mlbench: CommandLine) -> None:
    first = mlbench.result("--model", "hashing", *FEW)["cost"]
    assert (first["encoded_texts"], first["texts"]) == (792, 792)
    files = chunks(mlbench)
    for arguments, texts in (((), 792), (("--languages", "en,de"), 144), (("--languages", "th"), 72)):
        cost = mlbench.result("--model", "hashing", *FEW, *arguments)["cost"]
        assert (cost["encoded_texts"], cost["texts"]) == (0, texts)
    assert chunks(mlbench) == files


def test_a_text_that_stands_in_several_places_is_one_text(mlbench: CommandLine, own: Path) -> None:
    copies = (own / "documents.en.jsonl").read_text(encoding="utf-8")
    (own / "documents.es.jsonl").write_text(copies, encoding="utf-8")
    (own / "queries.es.jsonl").write_text((own / "queries.en.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    cost = mlbench.result(*OWN)["cost"]
    assert (cost["encoded_texts"], cost["texts"]) == (36, 36)


def test_what_decides_the_vectors_is_part_of_the_key(mlbench: CommandLine, own: Path) -> None:
    for key in ("dim=64", "dim=65", "n_max=3"):
        assert mlbench.result(*OWN, "--set", key)["cost"]["encoded_texts"] == 54
    assert mlbench.result(*OWN, "--set", "dim=64")["cost"]["encoded_texts"] == 0
    (own / "documents.en.jsonl").rename(own / "documents.fr.jsonl")
    (own / "queries.en.jsonl").rename(own / "queries.fr.jsonl")
    assert mlbench.result(*OWN, "--set", "dim=64")["cost"]["encoded_texts"] == 0


def test_weights_changed_in_place_are_another_model(mlbench: CommandLine, own: Path) -> None:
    pytest.importorskip("sentence_transformers", exc_type=ImportError)
    arguments = ("--task", "own", "--model", "model", "--threads", "1", *FEW)
    folder = tiny_checkpoint(mlbench.folder / "model", seed=1)
    first = mlbench.result(*arguments)
    before = {path.name: path.stat().st_size for path in folder.iterdir()}
    randomise(folder, seed=2)
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == before
    changed = mlbench.result(*arguments)
    randomise(folder, seed=1)
    again = mlbench.result(*arguments)
    assert [found["cost"]["encoded_texts"] for found in (first, changed, again)] == [54, 54, 0]
    assert changed["retriever"]["fingerprint"] != first["retriever"]["fingerprint"]
    assert changed["settings"] != first["settings"]
    assert parts(again, "cost") == parts(first, "cost")


def test_two_processes_may_share_a_cache(mlbench: CommandLine) -> None:
    own_task(mlbench.folder / "own", topics=400)
    arguments = ("run", "-q", "--json", *OWN)
    processes = [mlbench.start(*arguments, "--out", f"out-{number}") for number in range(2)]
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [err for _, err in said] == ["", ""]
    one, two = (parts(json.loads(out), "cost", "environment") for out, _ in said)
    assert one == two
    alone = mlbench.result(*OWN, environment={"MLBENCH_CACHE": str(mlbench.folder / "another")})
    assert parts(alone, "cost", "environment") == one
    assert mlbench.result(*OWN)["cost"]["encoded_texts"] == 0
