"""A result is of the files that were opened: one that changes before the end leaves no result."""

import shutil
from pathlib import Path

import pytest

from mlbench import evaluate
from mlbench.errors import RetrieverError
from mlbench.evaluation.options import Options
from mlbench.io.watched import WatchedFiles
from mlbench.open_model import open_retriever
from mlbench.protocols import Parameter, Runtime
from mlbench.retrievers import hashing
from mlbench.retrievers.hashing import Hashing


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("change", ["written", "replaced", "removed", "linked elsewhere"])
def test_files_that_change_are_told(change: str, weights: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "link.safetensors", tmp_path / "other.safetensors"
    link.symlink_to(weights)
    shutil.copy(weights, other)
    files = WatchedFiles([link])
    files.check()
    if change == "written":
        weights.write_bytes(b"other weights")
    elif change == "replaced":
        other.replace(weights)
    elif change == "removed":
        weights.unlink()
    else:
        link.unlink()
        link.symlink_to(other)
    with pytest.raises(RetrieverError, match=r"link\.safetensors has been changed while it was in use"):
        files.check()


def test_no_result_is_written_where_a_file_changed_after_all_was_encoded(weights: Path, tmp_path: Path) -> None:
    files = WatchedFiles([weights])

    class Changing(hashing.HashingEncoder):
        @property
        def parameters(self) -> dict[str, Parameter]:
            return {}

        def check_files(self) -> None:
            files.check()

    encoder, options = Changing(Hashing.Settings()), Options(cache=tmp_path / "cache", resamples=50)
    evaluate(encoder, "mini", out=tmp_path / "first", options=options)
    weights.write_bytes(b"others")
    with pytest.raises(RetrieverError, match=r"model\.safetensors has been changed"):
        evaluate(encoder, "mini", out=tmp_path / "second", options=options)
    assert not list((tmp_path / "second").rglob("*.json"))


def test_a_system_asks_all_its_parts(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "vectors").mkdir()
    system = tmp_path / "system.toml"
    shutil.copytree(Path(__file__).parents[3] / "models" / "default", tmp_path / "static")
    system.write_text(
        f'kind = "fusion"\n[[systems]]\nmodel = "hashing"\n[[systems]]\nmodel = "static:{tmp_path / "static"}"\n'
    )
    opened = open_retriever(str(system), {}, Runtime())
    opened.check_files()  # type: ignore[union-attr]
    table = next((tmp_path / "static").rglob("model.safetensors"))
    table.write_bytes(table.read_bytes())
    with pytest.raises(RetrieverError, match=r"model\.safetensors has been changed"):
        opened.check_files()  # type: ignore[union-attr]
