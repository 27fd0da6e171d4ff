"""Corpora that stream by: the same as in memory, whoever counts, however they are cut, and killed on the way."""

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.by_hand import differences, sample
from bench.corpus import Size, write_corpus
from command_line import CommandLine
from test_resume import wait_for

from mlbench.retrievers.hashing import Hashing, HashingEncoder

TAGS = ("sw", "yo", "te")
SIZE = Size(6000, 60, per_shard=700)
PLUGIN = '''
"""A reader that holds everything in memory, and an encoder that takes its time."""

import time

from mlbench.tasks.readers.miracl import reader
from mlbench.retrievers.hashing import Hashing, HashingEncoder


def held(request):
    return reader(request)


class Slow:
    Settings = Hashing.Settings

    @staticmethod
    def open(locator, settings, runtime):
        encoder = SlowEncoder(settings)
        encoder.seconds = float(locator or 0.1)
        return encoder


class SlowEncoder(HashingEncoder):
    def encode(self, texts, role):
        time.sleep(self.seconds)
        return super().encode(texts, role)
'''
RUN = ("run", "-q", "--json", "--set", "dim=64", "--resamples", "20")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one corpus, in shards of 700 and of 900 documents, and with a reader that holds it."""
    folder = tmp_path_factory.mktemp("corpora")
    write_corpus(folder / "stream", TAGS, SIZE)
    write_corpus(folder / "cut", TAGS, Size(SIZE.documents, SIZE.queries, per_shard=900))
    task = folder / "stream" / "task.toml"
    held = task.read_text(encoding="utf-8").replace('reader = "miracl"', 'reader = "held"')
    (task.parent / "held.toml").write_text(held, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An installed plugin with the reader `held` and the scheme `slow`; returns the environment that finds it."""
    return {"PYTHONPATH": str(install(tmp_path_factory.mktemp("plugin")))}


def install(folder: Path) -> Path:
    """Put the plugin into a folder of its own, and return it."""
    points = "[mlbench.retrievers]\nslow = slow_parts:Slow\n[mlbench.readers]\nheld = slow_parts:held\n"
    return install_scheme(folder, "slow", PLUGIN, points)


def install_scheme(folder: Path, name: str, code: str, entry_points: str) -> Path:
    """Install a module `NAME_parts` with its entry points into a folder, and return it."""
    metadata = folder / f"{name}-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{name}_parts.py").write_text(code, encoding="utf-8")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    return folder


class Outcome:
    """What a finished run left: its document without what differs between any two runs, and its ranks.

    Where it ran differs as well: a call in the process of the tests has imported more libraries.
    """

    def __init__(self, line: CommandLine, out: str) -> None:
        document: dict[str, Any] = json.loads(out)
        self.cost = document.pop("cost")
        del document["environment"]["command"], document["environment"]["libraries"]
        self.document = document
        self.path = line.folder / "results" / document["ranks"]["name"]
        self.ranks = self.path.read_bytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outcome) and (self.document, self.ranks) == (other.document, other.ranks)


def measured(folder: Path, task: Path, *options: str, environment: dict[str, str] | None = None) -> Outcome:
    """Run in a folder of its own, and return what the run left."""
    folder.mkdir(exist_ok=True)
    line = CommandLine(folder)
    call = line if environment is None else line.process
    done = call(*RUN, "--task", str(task), *options, environment=environment)
    assert done.code == 0, done.err
    return Outcome(line, done.out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpora: Path) -> Outcome:
    """A run of one process that nothing stopped."""
    return measured(tmp_path_factory.mktemp("whole"), corpora / "stream" / "task.toml", "--model", "hashing")


def test_is_what_a_run_in_memory_finds(tmp_path: Path, corpora: Path, whole: Outcome, plugin: dict[str, str]) -> None:
    held = measured(tmp_path, corpora / "stream" / "held.toml", "--model", "hashing", environment=plugin)
    assert whole == held
    assert not (tmp_path / "cache" / "streams").exists()
    # A text that several parts have is encoded in each.
    assert held.cost["texts"] <= whole.cost["texts"] < held.cost["texts"] + SIZE.documents // 100


def encoder() -> HashingEncoder:
    return HashingEncoder(Hashing.Settings(dim=64))


def test_ranks_are_those_of_whole_lists(tmp_path: Path, corpora: Path, whole: Outcome) -> None:
    asked = sample(corpora / "stream", TAGS, 20)
    compared, found = differences(corpora / "stream", TAGS, encoder(), whole.path, asked)
    assert found == []
    assert compared > 200
    # Whoever compares must be able to find a difference.
    arrays = dict(np.load(whole.path))
    arrays["ahead"][arrays["ahead"] >= 0] += 1
    np.savez(tmp_path / "wrong.npz", **arrays)
    _, found = differences(corpora / "stream", TAGS, encoder(), tmp_path / "wrong.npz", asked)
    assert len(found) > 50


@pytest.mark.parametrize(
    ("corpus", "options"),
    [("cut", ()), ("stream", ("--workers", "2"))],
    ids=["other shards", "two workers"],
)
def test_no_matter_who_counts_and_how_it_is_cut(
    tmp_path: Path, corpora: Path, whole: Outcome, corpus: str, options: tuple[str, ...]
) -> None:
    assert measured(tmp_path, corpora / corpus / "task.toml", "--model", "hashing", *options) == whole


def counted(cache: Path) -> int:
    """Return how many files a stream has left."""
    return sum(1 for _ in (cache / "streams").rglob("*.npz"))


def alive(line: CommandLine) -> Iterator[int]:
    """Yield the processes that have the run's cache in their environment."""
    mark = f"MLBENCH_CACHE={line.cache}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
        except OSError:  # It is another's, or has just ended.
            continue


def kill(process: subprocess.Popen[str], line: CommandLine, target: int, seconds: float) -> None:
    """Kill a run so many seconds after a stream has left so many files, and wait for its workers to end."""
    wait_for(lambda: process.poll() is not None or counted(line.cache) >= target)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    # A worker that lived on would keep processor and memory.
    wait_for(lambda: not list(alive(line)), seconds=20)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_three_times_and_finished(tmp_path: Path, corpora: Path, plugin: dict[str, str], workers: int) -> None:
    task = corpora / "stream" / "task.toml"
    options = ("--model", "slow:", "--workers", str(workers))
    (tmp_path / "whole").mkdir()
    whole = measured(tmp_path / "whole", task, *options, environment=plugin)
    line = CommandLine(tmp_path)
    total, chance = counted(tmp_path / "whole" / "cache"), random.Random(workers)
    done = [0]
    for target in sorted(chance.sample(range(1, total - 2), 3)):
        process = line.start(*RUN, "--task", str(task), *options, environment=plugin)
        kill(process, line, target, chance.uniform(0, 0.1))
        done.append(counted(line.cache))
        assert not (tmp_path / "results").exists()
    finished = line.process(*RUN, "--task", str(task), *options, environment=plugin)
    assert finished.code == 0, finished.err
    again = Outcome(line, finished.out)
    assert again == whole
    assert done == sorted(done)
    assert 0 < again.cost["encoded_texts"] < whole.cost["encoded_texts"]
    assert again.cost["texts"] == whole.cost["texts"]


def test_two_runs_at_once_share_a_cache_and_find_the_same(
    tmp_path: Path, corpora: Path, whole: Outcome, plugin: dict[str, str]
) -> None:
    lines = [CommandLine(tmp_path / name) for name in ("one", "other")]
    cache = {"MLBENCH_CACHE": str(tmp_path / "shared")}
    processes = []
    for line in lines:
        line.folder.mkdir()
        task = str(corpora / "stream" / "task.toml")
        processes.append(line.start(*RUN, "--task", task, "--model", "hashing", environment=cache))
    for line, process in zip(lines, processes, strict=True):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert Outcome(line, out) == whole
    shutil.rmtree(tmp_path / "shared")
