"""Images reach the network in their order, a few at a time, whoever opens and prepares them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.retrievers.image_text_checkpoints import save_pictures

from mlbench.errors import DataError, RetrieverError
from mlbench.retrievers.batching import image_batches

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [image.path for image in save_pictures(tmp_path_factory.mktemp("pictures"), 40)]


def mean(images: Sequence[Any]) -> dict[str, Any]:
    return {"mean": torch.tensor([np.asarray(image).mean() for image in images])}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 40), size=st.integers(1, 50), threads=st.integers(1, 4))
def test_batches_hold_all_images_in_their_order(paths: list[Path], n: int, size: int, threads: int) -> None:
    batches = [batch["mean"] for batch in image_batches(paths[:n], mean, size, threads)]
    assert [len(batch) for batch in batches] == [min(size, n - start) for start in range(0, n, size)]
    from mlbench.collection.images import open_image

    expected = [np.asarray(open_image(path)).mean() for path in paths[:n]]
    assert torch.cat([torch.zeros(0), *batches]).tolist() == pytest.approx(expected)


def counting(lock: Lock, made: list[int]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    def prepare(images: Sequence[Any]) -> dict[str, Any]:
        with lock:
            made.append(len(images))
        return mean(images)

    return prepare


def test_few_are_in_memory(paths: list[Path]) -> None:
    made: list[int] = []
    batches = image_batches(paths, counting(Lock(), made), 5, threads=2)
    next(batches)
    assert 5 <= len(made) <= 11
    assert set(made) == {1}
    assert sum(len(batch["mean"]) for batch in batches) == 35


def test_what_is_in_the_way_is_told(paths: list[Path], tmp_path: Path) -> None:
    def by_size(images: Sequence[Any]) -> dict[str, Any]:
        return {"pixels": torch.from_numpy(np.asarray(images[0]).copy())[None]}

    with pytest.raises(RetrieverError, match="gives images of different sizes"):
        list(image_batches(paths, by_size, 4))
    with pytest.raises(DataError, match=r"gone\.png is missing"):
        list(image_batches([*paths[:3], tmp_path / "gone.png"], mean, 2))
