"""Every kind of image-text model against its library's own vectors, and each text alone against a batch."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_architectures import ARCHITECTURES, CASED, Architecture, unit
from unit.retrievers.image_text_checkpoints import CAPTIONS

from mlbench.collection.records import Image
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime
from mlbench.retrievers.image_text.encoder import ImageTextEncoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")
pytest.importorskip("PIL")

# Two threads that spin are slow beside other processes.
torch.set_num_threads(1)

TEXTS = [*CAPTIONS, *CASED]


def opened(folder: Path, row: Architecture, **settings: str) -> ImageTextEncoder:
    if row.apart:
        settings["image_model"] = str(folder / "images")
    place = folder / "model" if (folder / "model").is_dir() else folder
    runtime = Runtime(device="cpu", trust_remote_code=row.trusted)
    encoder = open_retriever(f"image_text:{place}", {**row.settings, **settings}, runtime)
    assert isinstance(encoder, ImageTextEncoder)
    return encoder


@pytest.fixture(scope="module", params=ARCHITECTURES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Architecture]:
    row = ARCHITECTURES[request.param]
    folder = tmp_path_factory.mktemp("architecture")
    row.save(folder)
    return folder, row


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return checkpoints.save_pictures(tmp_path_factory.mktemp("pictures"), 5)


def test_vectors_are_those_of_the_library(written: tuple[Path, Architecture], images: list[Image]) -> None:
    folder, row = written
    with torch.inference_mode():
        texts, seen = row.texts(folder, TEXTS), row.images(folder, checkpoints.opened(images))
    # Otherwise vectors of other texts would do as well.
    assert min(np.ptp(unit(texts), axis=0).max(), np.ptp(unit(seen), axis=0).max()) > 0.01
    for batch_tokens, image_batch_size in (("40", "3"), ("1024", "32")):
        encoder = opened(folder, row, batch_tokens=batch_tokens, image_batch_size=image_batch_size)
        np.testing.assert_allclose(unit(list(encoder.encode(TEXTS, "query"))), unit(texts), atol=1e-5)
        np.testing.assert_allclose(unit(list(encoder.encode(images, "image"))), unit(seen), atol=1e-5)


def test_a_text_alone_is_as_in_a_batch(written: tuple[Path, Architecture]) -> None:
    encoder = opened(*written, batch_tokens="1024")
    alone = [encoder.encode([text], "query")[0] for text in TEXTS]
    np.testing.assert_allclose(unit(list(encoder.encode(TEXTS, "query"))), unit(alone), atol=1e-5)


def test_tokenizers_that_pad_left(written: tuple[Path, Architecture], tmp_path: Path) -> None:
    folder, row = written
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in copy.rglob("tokenizer_config.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "left"}))
    expected = unit(list(opened(folder, row).encode(TEXTS, "query")))
    np.testing.assert_allclose(unit(list(opened(copy, row).encode(TEXTS, "query"))), expected, atol=1e-5)
