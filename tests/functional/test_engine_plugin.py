"""The engine of docs/how-to/cluster.md, as a reader would type it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bench.corpus import Size, write_corpus
from command_line import CommandLine

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"
RUN = ("run", "-q", "--json", "--model", "hashing", "--set", "dim=32", "--resamples", "20", "--task", "corpus")


def block(file: str) -> str:
    found = re.search(rf"`{re.escape(file)}`:\n\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, file
    return found[1]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The engine, installed; returns the environment that finds it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for file in ("pyproject.toml", "mlbench_threads.py"):
        (source / file).write_text(block(file), encoding="utf-8")
    install = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=120)
    return {"PYTHONPATH": str(target)}


def test_an_engine_of_a_package_counts_what_ours_counts(tmp_path: Path, plugin: dict[str, str]) -> None:
    write_corpus(tmp_path / "corpus", ("sw", "te"), Size(400, 20, per_shard=90))
    line = CommandLine(tmp_path)
    found = []
    for options in ((), ("--engine", "threads", "--workers", "3")):
        done = line.process(*RUN, *options, environment=plugin)
        assert done.code == 0, done.err
        document = json.loads(done.out)
        found.append((document["settings"], (tmp_path / "results" / document["ranks"]["name"]).read_bytes()))
        shutil.rmtree(line.cache)
    assert found[0] == found[1]


def test_an_unknown_engine_is_told_what_there_is(tmp_path: Path, plugin: dict[str, str]) -> None:
    write_corpus(tmp_path / "corpus", ("sw",), Size(100, 5))
    done = CommandLine(tmp_path).process(*RUN, "--engine", "thread", environment=plugin)
    assert done.code == 2
    assert "threads" in done.err
    assert len(done.err.strip().splitlines()) == 1
