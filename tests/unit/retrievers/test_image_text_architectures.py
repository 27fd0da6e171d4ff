"""Every kind of image-text model against its library's own vectors, and each text alone against a batch."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers import image_text_architectures as architectures
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_architectures import ARCHITECTURES, CASED, Architecture, unit
from unit.retrievers.image_text_checkpoints import CAPTIONS

from mlbench.collection.records import Image
from mlbench.errors import RetrieverError
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


def text_only(folder: Path) -> Path:
    return checkpoints.save_text_tower(folder)


def without_projection(name: str) -> Callable[[Path], Path]:
    """Return what writes a tower of a CLIP as `name`, a class of transformers that has no projection."""

    def save(folder: Path) -> Path:
        whole = checkpoints.save_clip(folder / "whole", wrapper=None)
        getattr(transformers, name).from_pretrained(whole).save_pretrained(folder / "tower")
        transformers.AutoTokenizer.from_pretrained(whole).save_pretrained(folder / "tower")
        checkpoints.clip_processor().save_pretrained(folder / "tower")
        return folder / "tower"

    return save


def unnamed_projection(folder: Path) -> Path:
    tower = without_projection("CLIPVisionModel")(folder)
    config = json.loads((tower / "config.json").read_text())
    (tower / "config.json").write_text(json.dumps(config | {"architectures": None}))
    return tower


def own_code(folder: Path) -> Path:
    return architectures.save_own_code(folder)


def nomic(folder: Path) -> Path:
    architectures.save_nomic(folder)
    return folder / "images"


def flava(folder: Path) -> Path:
    checkpoints.save_clip(folder)
    (folder / "config.json").write_text('{"model_type": "flava", "architectures": ["FlavaModel"]}')
    return folder


def late(folder: Path) -> Path:
    checkpoints.save_clip(folder)
    (folder / "config.json").write_text('{"model_type": "colpali", "architectures": ["ColPaliForRetrieval"]}')
    return folder


def without_pooler(folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    architectures.save_lit(folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("text_model.pooler")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def videos(folder: Path) -> Path:
    whole = checkpoints.save_library_clip(folder)
    content = json.loads((whole / "processor_config.json").read_text())
    (whole / "processor_config.json").write_text(json.dumps(content | {"video_processor": {}}))
    return whole


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (text_only, "reads texts alone: name its image tower with --set image_model=FOLDER"),
        (without_projection("CLIPTextModel"), "no images of model_type clip_text_model.*--set image_model=FOLDER"),
        (without_projection("CLIPVisionModel"), "reads images alone: name the text tower as the model, and this one"),
        (own_code, "names code of the checkpoint's own.*pass --trust-remote-code if you trust it"),
        (flava, "mlbench knows no images of model_type flava"),
        (without_pooler, "2 weights are missing, among them text_model.pooler.dense.bias"),
        (late, "is a late-interaction encoder, such as ColBERT: open it as late:"),
    ],
)
def test_what_is_no_model_of_both_is_refused(save: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match=message) as caught:
        open_retriever(f"image_text:{save(tmp_path / 'saved')}", {}, Runtime(device="cpu"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (without_projection("CLIPVisionModel"), "a CLIPVisionModel has no projection into the space that texts and"),
        (unnamed_projection, "1 weights are missing, among them visual_projection.weight"),
        (nomic, "names code of the checkpoint's own.*pass --trust-remote-code if you trust it"),
        (text_only, "reads texts alone"),
    ],
)
def test_what_is_no_image_tower_is_refused(save: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    texts, tower = checkpoints.save_text_tower(tmp_path / "texts"), save(tmp_path / "saved")
    with pytest.raises(RetrieverError, match=message) as caught:
        open_retriever(f"image_text:{texts}", {"image_model": str(tower)}, Runtime(device="cpu"))
    assert "\n" not in str(caught.value)


def test_a_text_tower_without_its_projection_is_refused(tmp_path: Path) -> None:
    tower = without_projection("CLIPTextModel")(tmp_path / "tower")
    images = checkpoints.save_clip(tmp_path / "images")
    with pytest.raises(RetrieverError, match="a CLIPTextModel has no projection into the space that texts and images"):
        open_retriever(f"image_text:{tower}", {"image_model": str(images)}, Runtime(device="cpu"))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_processor_of_videos_needs_torchvision(tmp_path: Path) -> None:
    with pytest.raises(RetrieverError, match="takes videos as well, for which transformers needs torchvision"):
        open_retriever(f"image_text:{videos(tmp_path)}", {}, Runtime(device="cpu"))
