"""`mlbench cache` knows the graphs that checkpoints were made into."""

import json
from pathlib import Path

import pytest

from mlbench.cli import call
from mlbench.io.cache import GRAPHS
from mlbench.retrievers.backends import kept_graph

Captured = pytest.CaptureFixture[str]
NAME = "xlm-roberta-0123456789abcdef"


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a graph of 1,000 bytes, sums aside."""
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))

    def make(path: Path) -> None:
        path.write_bytes(b"x" * 600)
        path.with_name("model.onnx.data").write_bytes(b"x" * 400)

    with kept_graph(NAME, make):
        pass
    return tmp_path / "cache" / GRAPHS / NAME


def test_graphs_are_listed(graph: Path, capsys: Captured) -> None:
    assert call(["cache", "list", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["graphs"]
    sums = (graph / "sums.json").stat().st_size
    assert (found["folder"], found["bytes"]) == (str(graph), 1000 + sums)
    assert call(["cache"]) == 0
    assert NAME in capsys.readouterr().out


def test_graphs_are_removed_where_asked(graph: Path, capsys: Captured) -> None:
    (graph / "mine.txt").write_text("not mlbench's")
    assert call(["cache", "prune", "--older-than", "1h", "--yes"]) == 0
    assert (graph / "model.onnx").exists()
    assert call(["cache", "prune", "--all", "--yes"]) == 0
    assert [path.name for path in graph.iterdir()] == ["mine.txt"]
