"""`mlbench cache`: what is kept, whose it is, and nothing removed that was not asked for."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.corpus import Size, write_corpus

from mlbench.cli import call
from mlbench.cli.cache import size
from mlbench.embeddings.store import VectorStore, text_hash
from mlbench.evaluation.cache_contents import CachedVectors, cached_vectors, remove, to_remove
from mlbench.protocols import Silence

Captured = pytest.CaptureFixture[str]
DAY = 24 * 3600
KINDS = ("vectors", "streams", "graphs", "training", "checks", "data")
RUN = ("run", "-q", "--model", "hashing", "--resamples", "2", "--json")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(capsys: Captured, *arguments: str) -> dict[str, Any]:
    out = Path(os.environ["MLBENCH_CACHE"]).parent / "out"
    assert call([*RUN, "--out", str(out), *arguments]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def listed(capsys: Captured) -> dict[str, Any]:
    assert call(["cache", "list", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def printed(capsys: Captured, *arguments: str) -> list[str]:
    assert call(["cache", *arguments]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def keep(cache: Path, name: str, *, texts: int = 3, days: float = 0, dim: int = 4) -> Path:
    """Keep vectors of a made-up encoder that were used so many days ago."""
    hashes = np.frombuffer(b"".join(text_hash(f"{name} {i}") for i in range(texts)), np.uint8).reshape(-1, 32)
    store = VectorStore(cache, Silence(), {"retriever": f"spec-of-{name}", "parameters": {"dim": dim}})
    store.write(name, hashes, np.ones((texts, dim), np.float32))
    age(cache / "embeddings" / name, days)
    return cache / "embeddings" / name


def age(folder: Path, days: float) -> None:
    for path in folder.iterdir():
        then = path.stat().st_mtime - days * DAY
        os.utime(path, (then, then))


def test_empty_cache(capsys: Captured, cache: Path) -> None:
    assert printed(capsys) == [f"nothing is kept in {cache}"]
    assert listed(capsys) == {"folder": str(cache), **{kind: [] for kind in KINDS}}
    assert printed(capsys, "prune", "--all", "--yes") == ["nothing to remove: 0 kept, 0 B"]
    assert not cache.exists()


def test_lists_whose_vectors_are_kept(capsys: Captured, cache: Path) -> None:
    result = run(capsys, "--set", "dim=512")
    run(capsys)
    stores = listed(capsys)["vectors"]
    assert [(store["retriever"], store["dim"], store["parameters"]["dim"]) for store in stores] == [
        ("hashing", 1024, 1024),
        ("hashing", 512, 512),
    ]
    assert stores[1]["vectors"] == result["cost"]["texts"]
    assert stores[1]["bytes"] > 512 * 4 * stores[1]["vectors"]
    lines = printed(capsys, "list")
    assert lines[0].split() == ["retriever", "vectors", "dim", "size", "last", "used", "key"]
    assert lines[1].split()[:3] == ["hashing", f"{stores[0]['vectors']:,}", "1,024"]
    assert lines[-1].startswith("vectors ")


def test_what_is_counted_of_corpora_in_shards_is_listed_and_removed(
    capsys: Captured, cache: Path, tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpus", ("sw", "yo"), Size(400, 12, per_shard=150))
    first = run(capsys, "--task", str(tmp_path / "corpus" / "task.toml"), "--set", "dim=16")
    found = listed(capsys)
    assert [Path(each["folder"]).name.rpartition("-")[0] for each in found["streams"]] == [
        "synthetic-counts",
        "synthetic-scan",
    ]
    assert found["vectors"][0]["vectors"] == first["cost"]["texts"]
    assert "stream" in " ".join(printed(capsys, "list"))
    assert printed(capsys, "prune", "--all", "--yes")[-1].startswith("removed 3 of 3 kept")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_reading_counts_as_use(capsys: Captured, cache: Path) -> None:
    run(capsys, "--languages", "de")
    (folder,) = (cache / "embeddings").iterdir()
    age(folder, 40)
    assert datetime.now(UTC) - cached_vectors(cache)[0].last_used > timedelta(days=39)
    assert run(capsys, "--languages", "de")["cost"]["encoded_texts"] == 0
    assert datetime.now(UTC) - cached_vectors(cache)[0].last_used < timedelta(days=1)


def test_vectors_of_before_get_their_owner_when_they_are_used(capsys: Captured, cache: Path) -> None:
    run(capsys, "--languages", "de")
    (about,) = cache.rglob("about.json")
    about.write_text("[torn")
    assert cached_vectors(cache)[0].retriever is None
    assert printed(capsys)[1].startswith("(not known)")
    about.unlink()
    assert run(capsys, "--languages", "de")["cost"]["encoded_texts"] == 0
    assert cached_vectors(cache)[0].retriever == "hashing"


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (["--older-than", "30d"], {"old", "older"}),
        (["--older-than", "6w"], {"older"}),
        (["--older-than", "1000h"], {"older"}),
        (["--older-than", "400000w"], set()),
        (["--larger-than", "1GB"], set()),
        (["--larger-than", "0MB"], {"new", "old", "older"}),
        (["--larger-than", "15kB"], {"old", "older"}),
        (["--larger-than", "25.5 kb"], {"older"}),
        (["--older-than", "6w", "--larger-than", "15kB"], {"old", "older"}),
        (["--all"], {"new", "old", "older"}),
    ],
)
def test_prunes_what_was_asked_for(capsys: Captured, cache: Path, options: list[str], gone: set[str]) -> None:
    ages = {"new": 0, "older": 50, "old": 35}
    folders = {name: keep(cache, name, texts=100, dim=16, days=days) for name, days in ages.items()}
    assert all(9_600 < store.bytes < 10_200 for store in cached_vectors(cache))
    lines = printed(capsys, "prune", *options)
    assert {name for name in folders if any(f"spec-of-{name} " in line for line in lines)} == gone
    assert all(folder.exists() for folder in folders.values())
    if gone:
        assert lines[-1].startswith(f"would remove {len(gone)} of 3 kept, ")
        assert lines[-1].endswith("add --yes to do it")
    assert (printed(capsys, "prune", *options, "--yes")[-1].startswith("removed")) == bool(gone)
    assert {name for name, folder in folders.items() if not folder.exists()} == gone


def test_the_least_recently_used_go_first() -> None:
    now = datetime.now(UTC)
    stores = [
        CachedVectors(
            folder=Path(name),
            key=name,
            retriever=None,
            parameters={},
            vectors=1,
            dim=1,
            bytes=n_bytes,
            last_used=now - timedelta(days=days),
        )
        for name, n_bytes, days in (("a", 10, 1), ("b", 20, 3), ("c", 30, 2))
    ]
    for most, expected in ((60, ""), (59, "b"), (40, "b"), (39, "bc"), (9, "bca"), (0, "bca")):
        assert "".join(store.key for store in to_remove(stores, most_bytes=most)) == expected
    assert to_remove(stores) == ()


def test_files_of_others_stay(capsys: Captured, cache: Path) -> None:
    folder = keep(cache, "mixed", days=50)
    (folder / "notes.txt").write_text("mine")
    (folder / "chunk.safetensors").write_text("not named by its content")
    (folder / ".young.tmp").write_text("somebody is writing")
    (folder / ".old.tmp").write_text("left by a killed process")
    os.utime(folder / ".old.tmp", (0, 0))
    foreign = cache / "embeddings" / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    data = cache / "data" / "xquad-r" / "ar.json"
    data.parent.mkdir(parents=True)
    data.write_text("{}")
    outside = cache.parent / "outside"
    shutil.copytree(keep(cache, "copied"), outside)
    (cache / "embeddings" / "link").symlink_to(outside)
    printed(capsys, "prune", "--all", "--yes")
    assert sorted(path.name for path in folder.iterdir()) == [".young.tmp", "chunk.safetensors", "notes.txt"]
    assert (foreign / "thesis.txt").exists()
    assert data.exists()
    assert len(list(outside.iterdir())) == 2
    assert listed(capsys)["vectors"] == []


def test_data_are_listed_with_the_tasks_that_read_them(capsys: Captured, cache: Path) -> None:
    for name, content in (("xquad-r/ar.json", "12345"), ("xquad-r/de.json", "1"), ("own/x", "12")):
        path = cache / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    own, xquad = listed(capsys)["data"]
    assert (own["tasks"], own["files"], own["bytes"]) == ([], 1, 2)
    assert (xquad["files"], xquad["bytes"]) == (2, 6)
    assert {"xquad-r", "xquad-r-context"} <= set(xquad["tasks"])
    assert printed(capsys)[2].split()[:4] == ["xquad-r", "2", "6", "B"]


def test_a_run_goes_on_when_its_vectors_are_removed(cache: Path) -> None:
    hashes = np.frombuffer(text_hash("a"), np.uint8).reshape(1, 32)
    vectors, out = np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32)
    store = VectorStore(cache, Silence(), {"retriever": "x", "parameters": {}})
    store.write("f", hashes, vectors)
    remove(cached_vectors(cache)[0])
    assert store.load("f", [hashes], [out]) == [False]
    store.write("f", hashes, vectors)
    assert store.load("f", [hashes], [out]) == [True]
    assert (out == vectors).all()
    gone = cached_vectors(cache)[0]
    shutil.rmtree(gone.folder)
    remove(gone)


def test_a_damaged_chunk_can_be_listed_and_removed(capsys: Captured, cache: Path) -> None:
    folder = keep(cache, "torn")
    (chunk,) = folder.glob("*.safetensors")
    chunk.write_bytes(b"torn")
    (store,) = listed(capsys)["vectors"]
    assert (store["vectors"], store["dim"], store["retriever"]) == (0, None, "spec-of-torn")
    printed(capsys, "prune", "--all", "--yes")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["prune"], "say what may go: --older-than 30d, --larger-than 2GB or --all"),
        (["prune", "--yes"], "say what may go"),
        (["prune", "--older-than", "30"], "'30' is no age: write 12h, 30d or 8w"),
        (["prune", "--older-than", "-1d"], "is no age"),
        (["prune", "--older-than", "9" * 20 + "w"], "longer than any cache is old"),
        (["prune", "--larger-than", "2"], "'2' is no size: write 500MB or 2GB"),
        (["prune", "--larger-than", "much"], "is no size"),
        (["prune", "--larger-than", "9" * 400 + "B"], "is larger than any cache"),
    ],
)
def test_wrong_options_are_one_line(capsys: Captured, cache: Path, options: list[str], message: str) -> None:
    folder = keep(cache, "kept", days=99)
    assert call(["cache", *options]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert message in line
    assert shown.out == ""
    assert folder.exists()


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (12_345, "12 kB"),
        (3_449_999, "3.4 MB"),
        (999_999_999, "1.0 GB"),
        (5 * 10**15, "5,000.0 TB"),
    ],
)
def test_sizes_for_people(n_bytes: int, text: str) -> None:
    assert size(n_bytes) == text
