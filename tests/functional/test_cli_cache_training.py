"""`mlbench cache` knows what trainings keep, and what their killed processes left."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlbench.cli import call
from mlbench.io.cache import TRAINING, kept_folder

Captured = pytest.CaptureFixture[str]
DAY = 24 * 3600
DIGEST = "0123456789abcdef"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def keep(name: str, *, days: float = 0) -> Path:
    """Keep 1,000 bytes that were used so many days ago."""

    def write(folder: Path) -> None:
        (folder / "texts.arrow").write_bytes(b"x" * 990)
        (folder / "about.json").write_bytes(b"x" * 10)

    folder = kept_folder(name, write, last="about.json")
    age(folder, days)
    return folder


def age(folder: Path, days: float) -> None:
    for path in (*folder.iterdir(), folder):
        then = path.stat().st_mtime - days * DAY
        os.utime(path, (then, then))


def left_unfinished(cache: Path, *, days: float) -> Path:
    folder = cache / TRAINING / f".{DIGEST}.tmp"
    folder.mkdir(parents=True)
    (folder / "texts.arrow").write_bytes(b"x" * 500)
    age(folder, days)
    return folder


def listed(capsys: Captured) -> list[dict[str, Any]]:
    assert call(["cache", "list", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["training"]
    return found


def printed(capsys: Captured, *arguments: str) -> str:
    assert call(["cache", *arguments]) == 0
    return capsys.readouterr().out


def test_training_data_are_listed(capsys: Captured, cache: Path) -> None:
    rows, subwords = keep(f"rows-{DIGEST}-1", days=3), keep(f"subwords-{DIGEST}")
    left = left_unfinished(cache, days=2)
    assert [(Path(each["folder"]), each["bytes"]) for each in listed(capsys)] == [
        (subwords, 1000),
        (left, 500),
        (rows, 1000),
    ]
    shown = printed(capsys)
    assert all(folder.name in shown for folder in (rows, subwords, left))
    assert "vectors 0 B, streams 0 B, graphs 0 B, training 2 kB, checks 0 B, data 0 B" in shown


def test_what_is_used_again_is_young(capsys: Captured, cache: Path) -> None:
    keep(f"rows-{DIGEST}-1", days=40)
    assert "would remove 1 of 1 kept, 1 kB" in printed(capsys, "prune", "--older-than", "30d")
    kept_folder(f"rows-{DIGEST}-1", lambda _: pytest.fail("it is there"), last="about.json")
    assert "nothing to remove: 1 kept" in printed(capsys, "prune", "--older-than", "30d")


def test_what_was_not_used_is_removed(capsys: Captured, cache: Path) -> None:
    old, new = keep(f"rows-{DIGEST}-1", days=40), keep(f"subwords-{DIGEST}")
    left = left_unfinished(cache, days=50)
    assert "removed 2 of 3 kept, 2 kB" in printed(capsys, "prune", "--older-than", "30d", "--yes")
    assert [folder.exists() for folder in (old, new, left)] == [False, True, False]


def test_files_of_others_and_of_running_processes_stay(capsys: Captured, cache: Path) -> None:
    young = left_unfinished(cache, days=0)
    mine = keep(f"rows-{DIGEST}-1")
    (mine / "notes.txt").write_text("mine")
    other = cache / TRAINING / "thesis"
    other.mkdir()
    (other / "about.json").write_text("{}")
    printed(capsys, "prune", "--all", "--yes")
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    assert (young / "texts.arrow").exists()
    assert (other / "about.json").exists()
    assert listed(capsys) == []


def test_a_new_training_removes_what_a_killed_one_left(cache: Path) -> None:
    left = left_unfinished(cache, days=2)
    keep(f"rows-{DIGEST}-1")
    assert not left.exists()
