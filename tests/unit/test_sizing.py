"""What a corpus takes, against sums by hand."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from mlbench.evaluation.streaming.corpus import PART

# `python -m pytest` has the root on the path, `pytest` has not.
sys.path.append(str(Path(__file__).parents[2]))
sizing = import_module("docs.sizing")


@pytest.mark.parametrize(("documents", "parts"), [(0, 0), (1, 1), (16_384, 1), (16_385, 2), (100_000_000, 6104)])
def test_parts(documents: int, parts: int) -> None:
    assert sizing.Load(documents, 1, 1).parts == parts
    assert PART == 16_384


def test_a_hundred_million_documents() -> None:
    load = sizing.Load(100_000_000, 1000, 768)
    # 3,072 bytes of vector and 32 of hash for each.
    assert load.vector_bytes == 310_400_000_000
    # 800 MB of ids, and 6,104 parts of 1,000 queries with 400 bytes each.
    assert load.stream_bytes(400) == 800_000_000 + 2_441_600_000
    assert load.operations == 153_600_000_000_000


def test_kept_vectors_take_as_much_on_disk() -> None:
    hashes, vectors = np.zeros((1000, 32), np.uint8), np.zeros((1000, 768), np.float32)
    written = len(save({"hashes": hashes, "vectors": vectors}))
    assert written == pytest.approx(sizing.Load(1000, 1, 768).vector_bytes, rel=1e-4)


def test_the_memory_of_a_part() -> None:
    # 16,384 documents: 5 copies of 4 bytes and one of 8 for each of 10 numbers, 100 bytes of text; 3 queries; tiles.
    assert sizing.Load(10**9, 3, 10).part_bytes(100) == 16_384 * (10 * 28 + 100) + 240 + 4 * 512 * 2048 * 8
    # It does not grow with the corpus, only with fewer documents than a part has.
    assert sizing.Load(10**6, 3, 10).part_bytes(100) == sizing.Load(10**9, 3, 10).part_bytes(100)
    assert sizing.Load(1000, 3, 10).part_bytes(100) < sizing.Load(10**6, 3, 10).part_bytes(100)


def test_hours_and_money() -> None:
    assert sizing.hours(3600, 1) == 1
    assert sizing.hours(10_000_000, 500, 4) == pytest.approx(1.3889, abs=1e-4)
    assert sizing.money(10_000_000, 500, 2.0) == pytest.approx(4 * 2.0 * sizing.hours(10_000_000, 500, 4))


def test_the_rate_of_a_gpu() -> None:
    # 85 million weights, 100 tokens: 17 billion operations for a text.
    assert sizing.gpu_rate(85e6, 100, 17e9) == 1
    # What the authors of DPR tell.
    assert sizing.hours(21e6, 83, 8) == pytest.approx(8.8, abs=0.05)
    assert sizing.gpu_rate(sizing.LAYERS[768]) / 83 == pytest.approx(12, abs=0.5)


def test_the_most_workers_that_are_kept_busy() -> None:
    # A part takes a worker 16.384 seconds, and the command a tenth of one.
    assert sizing.most_workers(1000, 0.1) == pytest.approx(163.84)


def test_how_the_largest_stream_differs() -> None:
    small = {"documents": 100, "peak_bytes": 1000, "processor_seconds": 2.0}
    large = {"documents": 400, "peak_bytes": 1100, "processor_seconds": 10.0}
    found = sizing.growth([large, small])
    assert found == pytest.approx({"times": 4, "memory": 0.1, "pace": 0.25})
