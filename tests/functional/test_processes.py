"""Every command as a process of its own, which says to the byte what a call in this process says."""

import json
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
from command_line import CommandLine, Done, own_task

from mlbench.cli import COMMANDS

RUN = ("run", "-q", "--task", "own", "--resamples", "2")
COMPARE = ("--flips", "99", "--resamples", "2")
CALLS = {
    "run": ("run", "--task", "own", "--model", "hashing", "--out", "taken"),
    "compare": ("compare", "base", "candidate", *COMPARE, "--drop", "AP:monolingual=0.001", "--rule", "point"),
    "index-costs": ("index-costs", "base/exact.json", "base/exact.json"),
    "history": ("history", "base", "--svg", "history.svg"),
    "train": ("train", "--list"),
    "mine": ("mine", "static-hybrid", "--model", "hashing", "--out", "taken"),
    "sweep": ("sweep", "static-hybrid"),
    "tune": ("tune", "gone.toml", "--task", "own"),
    "tasks": ("tasks", "check", "own"),
    "benchmarks": ("benchmarks", "question-answering"),
    "models": ("models", "list"),
    "measures": ("measures", "AP", "nDCG@10"),
    "verify": ("verify", "base/exact.json"),
    "report": ("report", "base/exact.json"),
    "cache": ("cache", "list"),
    "leaderboard": ("leaderboard", "check", "--board", "gone"),
}
OTHERS = {
    "no command": (),
    "help": ("--help",),
    "version": ("--version",),
    "nothing but its name": ("train",),
    "a report for machines": ("report", "base/exact.json", "--format", "csv"),
    "an unknown command": ("rum",),
    "a traceback": ("report", "gone.json", "-v"),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A folder with a task, two results of it, and the file `taken`."""
    mlbench = CommandLine(tmp_path_factory.mktemp("processes"))
    own_task(mlbench.folder / "own")
    for out, dim in (("base", "32"), ("candidate", "64")):
        assert mlbench(*RUN, "--model", "hashing", "--set", f"dim={dim}", "--out", out).code == 0
        next((mlbench.folder / out).glob("*.json")).rename(mlbench.folder / out / "exact.json")
    (mlbench.folder / "taken").touch()
    return mlbench


@pytest.mark.parametrize("arguments", [*CALLS.values(), *OTHERS.values()], ids=[*CALLS, *OTHERS])
def test_says_what_a_call_says(measured: CommandLine, arguments: tuple[str, ...]) -> None:
    process, call = measured.process(*arguments), measured(*arguments)
    assert plain(process) == plain(call)
    assert process.out or process.err


def plain(done: Done) -> Done:
    """Leave out of a traceback who called."""
    if "Traceback" not in done.err:
        return done
    return Done(done.code, done.out, done.err.splitlines()[-1])


def test_every_command_is_run() -> None:
    assert CALLS.keys() == COMMANDS.keys()
    assert all(arguments[0] == name for name, arguments in CALLS.items())


def test_measures_what_a_call_measures(measured: CommandLine) -> None:
    left: list[tuple[dict[str, object], dict[Path, bytes]]] = []
    for run, out in ((measured.process, "process"), (measured, "call")):
        done = run(*RUN, "--json", "--save-run", f"{out}/runs", "--out", out)
        assert (done.code, done.err) == (0, "")
        document = json.loads(done.out)
        # Times differ, and this process has imported more libraries.
        del document["cost"], document["environment"]
        folder = measured.folder / out
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")
        left.append((document, {path.relative_to(folder): path.read_bytes() for path in files}))
    assert left[0] == left[1]


def test_a_call_leaves_this_process_as_it_was(measured: CommandLine) -> None:
    before = state()
    assert measured(*RUN, "--threads", "1").code == 0
    assert measured("run", "--task", "gone").code == 2
    assert state() == before


def state() -> list[object]:
    streams = [sys.stdin, sys.stdout, sys.stderr, *(os.fstat(number).st_ino for number in range(3))]
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return [Path.cwd(), dict(os.environ), sys.argv, *streams, *handlers, warnings.filters[:]]
