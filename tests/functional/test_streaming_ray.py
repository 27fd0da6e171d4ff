"""Corpora counted by a Ray cluster of two nodes on this machine: the same as here, also when a node is lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.corpus import Size, write_corpus
from command_line import CommandLine
from ray_clusters import RayCluster, ray_cluster
from test_resume import wait_for
from test_streaming import RUN, TAGS, Outcome, counted, install, measured

pytestmark = pytest.mark.first

SIZE = Size(6000, 60, per_shard=250)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ray-corpora")
    write_corpus(folder, TAGS, SIZE)
    return folder / "task.toml"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def cluster(plugin: Path) -> Iterator[RayCluster]:
    with ray_cluster(2, plugin) as found:
        yield found


def test_a_cluster_finds_what_one_process_finds_and_a_lost_node_changes_nothing(
    tmp_path: Path, task: Path, plugin: Path, cluster: RayCluster
) -> None:
    environment = {"PYTHONPATH": str(plugin)}
    options = ("--model", "slow:0.4", "--engine", "ray", "--address", cluster.address)
    here = measured(tmp_path / "here", task, "--model", "slow:0.4", environment=environment)
    there = measured(tmp_path / "there", task, *options, environment=environment)
    assert there == here
    assert there.cost["texts"] == here.cost["texts"]

    line = CommandLine(tmp_path / "lost")
    line.folder.mkdir()
    process = line.start(
        *(word for word in RUN if word != "-q"), "--task", str(task), *options, environment=environment
    )
    wait_for(lambda: process.poll() is not None or counted(line.cache) > len(list(task.parent.rglob("*.gz"))))
    cluster.kill(1)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert Outcome(line, out) == here
    assert "warning: " in err
    assert "lost" in err


def test_an_address_that_does_not_answer_is_one_line(tmp_path: Path, task: Path) -> None:
    wrong, begin = ("--engine", "ray", "--address", "127.0.0.1:1"), time.monotonic()
    done = CommandLine(tmp_path).process(*RUN, "--task", str(task), "--model", "hashing", *wrong)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("mlbench: error: ")
    assert "127.0.0.1:1" in done.err
    assert done.err.count("\n") == 1
    assert time.monotonic() - begin < 60
