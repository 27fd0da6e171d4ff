"""The instrument for a GPU, tried on the processor."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")
# `python -m pytest` has the root on the path, `pytest` has not.
sys.path.append(str(Path(__file__).parents[2]))
gpu = import_module("tests.bench.gpu")


@pytest.mark.slow
def test_a_trial_without_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--device", "cpu", "--out", str(tmp_path / "gpu.json")])
    figures = json.loads((tmp_path / "gpu.json").read_text())
    assert figures["ranking"]["equal_to_the_processor"] is True
    assert figures["ranking"]["compared"] == gpu.TINY.sample
    assert len(figures["encoding"]) == 2
    for row in figures["encoding"].values():
        assert row["largest_difference"] < 1e-5
        assert min(row["texts_per_second"].values()) > 0
    assert "ranking 3,000 x 3,000 x 32: " in capsys.readouterr().out


def test_counts_are_those_of_all_scores() -> None:
    random = np.random.default_rng(1)
    queries, documents = random.integers(-2, 3, (50, 4)).astype(float), random.integers(-2, 3, (1500, 4)).astype(float)
    relevant = random.integers(0, 1500, 50)
    counts = np.concatenate(list(gpu.count(queries, documents, relevant, "cpu", gpu.TINY)), axis=1)
    scores = queries @ documents.T
    own, place = scores[np.arange(50), relevant][:, None], np.arange(1500)
    before = (scores > own) | ((scores == own) & (place < relevant[:, None]))
    np.testing.assert_array_equal(counts[0], before.sum(axis=1))
    np.testing.assert_array_equal(counts[1], (scores == own).sum(axis=1) - 1)
    assert counts[1].max() > 0
