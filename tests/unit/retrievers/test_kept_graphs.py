"""Graphs in the cache folder: made once, checked whenever they are taken, made again where they are damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbench.io.cache import GRAPHS
from mlbench.retrievers.backends import kept_graph


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Writes a graph, and its weights beside it as of a large one, and counts."""

    times = 0

    def __call__(self, path: Path) -> None:
        self.times += 1
        path.write_bytes(b"graph")
        path.with_name("model.onnx.data").write_bytes(b"weights")


def taken(make: Maker) -> tuple[bytes, bytes]:
    with kept_graph("bert-0123456789abcdef", make) as path:
        return path.read_bytes(), path.with_name("model.onnx.data").read_bytes()


def test_is_made_once(cache: Path) -> None:
    make = Maker()
    assert [taken(make) for _ in range(3)] == [(b"graph", b"weights")] * 3
    assert make.times == 1
    folder = cache / GRAPHS / "bert-0123456789abcdef"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model.onnx.data", "sums.json"}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_was_renamed_is_of_another_checkpoint(cache: Path) -> None:
    make = Maker()
    taken(make)
    folder = cache / GRAPHS / "bert-0123456789abcdef"
    folder.rename(folder.with_name("bert-fedcba9876543210"))
    with (
        pytest.warns(UserWarning, match="holds bert-0123456789abcdef: the graph is made again"),
        kept_graph("bert-fedcba9876543210", make),
    ):
        pass
    assert make.times == 2


def altered(folder: Path) -> None:
    (folder / "model.onnx.data").write_bytes(b"weightz")


def gone(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def cut(folder: Path) -> None:
    (folder / "sums.json").write_bytes((folder / "sums.json").read_bytes()[:-5])


def unlisted(folder: Path) -> None:
    (folder / "sums.json").write_text(json.dumps({}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (altered, r"is damaged \(model.onnx.data\): the graph is made again"),
        (gone, "lacks model.onnx: the graph is made again"),
        (cut, "cannot be read: the graph is made again"),
        (unlisted, "cannot be read: the graph is made again"),
    ],
)
def test_is_made_again_where_damaged(damage: Callable[[Path], None], message: str, cache: Path) -> None:
    make = Maker()
    taken(make)
    damage(cache / GRAPHS / "bert-0123456789abcdef")
    with pytest.warns(UserWarning, match=message):
        assert taken(make) == (b"graph", b"weights")
    assert taken(make) == (b"graph", b"weights")
    assert make.times == 2


def test_one_that_cannot_be_kept_lasts_for_now(cache: Path) -> None:
    cache.write_bytes(b"a file where the folder should be")
    make = Maker()
    with (
        pytest.warns(UserWarning, match=r"not kept for later runs: .*; set MLBENCH_CACHE to a usable folder"),
        kept_graph("bert-0123456789abcdef", make) as path,
    ):
        assert path.read_bytes() == b"graph"
    assert not path.exists()


def test_nothing_is_left_of_one_that_cannot_be_made(cache: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), kept_graph("bert-0123456789abcdef", fail):
        pass
    assert list((cache / GRAPHS).iterdir()) == []
