"""Runs that are killed or interrupted, and the same command again."""

import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Done, own_task
from safetensors.numpy import load_file

PLUGIN = '''
"""An encoder that takes its time."""

import time

import numpy as np
from pydantic import BaseModel


class Slow:
    class Settings(BaseModel):
        seconds: float = 0.1

    @staticmethod
    def open(locator, settings, runtime):
        return Encoder(settings.seconds)


class Encoder:
    dim, similarity, parameters = 32, "cosine", {}

    def __init__(self, seconds):
        self.seconds = seconds

    def fingerprint(self, role):
        return f"slow-{role}"

    def encode(self, texts, role):
        time.sleep(self.seconds)
        return np.array([np.bincount([ord(a) % 31 for a in text] + [31], minlength=32) for text in texts], np.float32)
'''
SLOW = ("run", "-q", "--task", "own", "--model", "slow:", "--resamples", "20", "--json")


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """An installed plugin with the scheme `slow`; returns the environment that finds it."""
    folder = tmp_path / "plugin"
    (folder / "slow-1.dist-info").mkdir(parents=True)
    (folder / "slow_encoder.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "slow-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1\n")
    (folder / "slow-1.dist-info" / "entry_points.txt").write_text("[mlbench.retrievers]\nslow = slow_encoder:Slow\n")
    return {"PYTHONPATH": str(folder)}


def without_cost(document: str | bytes) -> dict[str, object]:
    """Return a document without its cost, and without the libraries that its process had imported."""
    found: dict[str, Any] = json.loads(document)
    del found["cost"], found["environment"]["libraries"]
    return found


def encoded(document: str) -> tuple[int, int]:
    cost = json.loads(document)["cost"]
    return cost["encoded_texts"], cost["texts"]


def kept(cache: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in cache.rglob("*.safetensors")}


def n_texts(files: dict[Path, bytes]) -> int:
    return sum(len(load_file(path)["hashes"]) for path in files)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@dataclass(frozen=True)
class Moment:
    """When a run is killed: so many seconds after so many chunks were saved."""

    chunks: int
    seconds: float


def moments(seed: int, most_chunks: int) -> list[Moment]:
    draw = random.Random(seed)
    return [Moment(chunks, draw.uniform(0, 0.15)) for chunks in draw.sample(range(most_chunks), 5)]


def kill_at(mlbench: CommandLine, moment: Moment, *arguments: str, environment: dict[str, str]) -> bool:
    """Run the command and kill it at `moment`; returns whether it was still running."""
    process = mlbench.start(*arguments, environment=environment)
    wait_for(lambda: process.poll() is not None or len(kept(mlbench.cache)) >= moment.chunks)
    time.sleep(moment.seconds)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def check_resumed(mlbench: CommandLine, whole: Done, moment: Moment, *arguments: str, **options: dict[str, str]) -> int:
    """Kill a cold run, run it again and compare with the `whole` run; returns how many texts had been saved."""
    shutil.rmtree(mlbench.cache, ignore_errors=True)
    shutil.rmtree(mlbench.folder / "results", ignore_errors=True)
    killed = kill_at(mlbench, moment, *arguments, **options)
    results = sorted(path.suffix for path in mlbench.folder.glob("results/[!.]*"))
    assert not killed or results in ([], [".json", ".npz"])
    saved = kept(mlbench.cache)
    again = mlbench.process(*arguments, **options)
    assert again.code == 0, again.err
    assert without_cost(again.out) == without_cost(whole.out)
    now, distinct = encoded(again.out)
    assert now == distinct - n_texts(saved)
    assert saved.items() <= kept(mlbench.cache).items()
    return n_texts(saved)


def test_a_killed_run_goes_on_where_it_was(mlbench: CommandLine, own: Path, plugin: dict[str, str]) -> None:
    whole = mlbench.process(*SLOW, environment=plugin)
    assert encoded(whole.out) == (54, 54)
    saved = [check_resumed(mlbench, whole, moment, *SLOW, environment=plugin) for moment in moments(20, 6)]
    assert any(0 < texts < 54 for texts in saved), saved


@pytest.mark.data
def test_a_killed_run_on_real_data(mlbench: CommandLine, data_dir: Path) -> None:
    options = ("--model", "hashing", "--languages", "en,de,es", "--resamples", "20")
    arguments = ("run", "-q", "--json", "--task", "xquad-r", *options)
    environment = {"MLBENCH_DATA": str(data_dir)}
    whole = mlbench(*arguments, environment=environment)
    assert whole.code == 0, whole.err
    assert encoded(whole.out)[0] == encoded(whole.out)[1] > 7000
    for moment in moments(21, len(kept(mlbench.cache))):
        check_resumed(mlbench, whole, moment, *arguments, environment=environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_keeps_what_it_has(
    mlbench: CommandLine, own: Path, plugin: dict[str, str], number: signal.Signals
) -> None:
    arguments = (*SLOW, "--set", "seconds=0.3")
    process = mlbench.start(*arguments, environment=plugin)
    wait_for(lambda: len(kept(mlbench.cache)) >= 2)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "mlbench: interrupted; what was saved is kept\n")
    assert not (mlbench.folder / "results").exists()
    saved = kept(mlbench.cache)
    again = mlbench.process(*arguments, environment=plugin)
    assert encoded(again.out) == (54 - n_texts(saved), 54)
    assert 0 < n_texts(saved) < 54


def processor_time(process: int) -> float:
    """Return the seconds that a process has worked."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ended_processor_time() -> float:
    """Return the seconds that all ended processes of this one have worked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_an_interruption_after_encoding_ends_at_once(mlbench: CommandLine) -> None:
    own_task(mlbench.folder / "own", topics=1500)
    before = ended_processor_time()
    process = mlbench.start("run", "--task", "own", "--model", "hashing", "--set", "dim=2048", "--threads", "1")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("encode: ")
    time.sleep(0.5)
    until_then = processor_time(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    # However busy the machine is with others.
    assert ended_processor_time() - before - until_then < 2
    assert (process.returncode, err) == (130, "mlbench: interrupted; what was saved is kept\n")
