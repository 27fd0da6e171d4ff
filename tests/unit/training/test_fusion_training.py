"""Small BLIPs and ALBEFs, trained on images and captions to a checkpoint that their library reads."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.training.forked import KilledAfter, end_of, start
from unit.training.image_cases import image_recipe, read_images, rows_of, write_images

from mlbench.collection.images import open_image
from mlbench.errors import UserError
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime, Silence
from mlbench.retrievers.pipelines.system import open_reranker
from mlbench.training.image_text import load_image_text
from mlbench.training.manifest import Destination
from mlbench.training.recipe import Recipe
from mlbench.training.train import fit
from mlbench.training.transformer import train_transformer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")
tensors = pytest.importorskip("safetensors.torch")

torch.set_num_threads(1)

CPU = Runtime(device="cpu")
SHAPES = {"blip": {"vision_width": 32, "text_width": 32}, "albef": {"vision_width": 64, "text_width": 64}}


def fusion_recipe(root: Path, architecture: str, **changes: Any) -> Recipe:
    shape = {"architecture": architecture, "text_layers": 2, **SHAPES[architecture]}
    changes["loss"] = {"learn_temperature": False, "temperature": 0.07, **changes.get("loss", {})}
    return image_recipe(root, image_text=shape, **changes)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="module", params=["blip", "albef"])
def checkpoint(root: Path, request: pytest.FixtureRequest) -> Path:
    recipe = fusion_recipe(root, request.param)
    fit(recipe, read_images(recipe), Destination(root / request.param), runtime=CPU)
    return root / str(request.param)


def pairs_of(root: Path) -> tuple[list[Any], list[str]]:
    rows = rows_of(root / "drawn")
    texts = rows.read(np.arange(12))
    return [rows.images[text] for text in texts if text in rows.images], [t for t in texts if t not in rows.images]


def test_scores_are_those_of_the_library(root: Path, checkpoint: Path) -> None:
    images, captions = pairs_of(root)
    encoder = open_retriever(f"image_text:{checkpoint}", {}, CPU)
    cosines = encoder.encode(captions, "query") @ encoder.encode(images, "image").T
    reranker = open_reranker(f"image_text:{checkpoint}", {"add_similarity": "false"}, CPU)
    logits = reranker.score([(caption, image) for caption in captions for image in images]).reshape(cosines.shape)
    library = sentence_transformers.SentenceTransformer(str(checkpoint), device="cpu", local_files_only=True)
    opened = [open_image(image.path) for image in images]
    np.testing.assert_allclose(library.encode(captions) @ library.encode(opened).T, cosines, atol=1e-6)
    if checkpoint.name == "blip":
        network = transformers.BlipForImageTextRetrieval.from_pretrained(checkpoint).eval()
        tokens = transformers.AutoTokenizer.from_pretrained(checkpoint)
        pixels = transformers.BlipImageProcessorPil.from_pretrained(checkpoint)(opened, return_tensors="pt")
        for row, caption in enumerate(captions):
            read = tokens([caption] * len(images), return_tensors="pt")
            asked = {"input_ids": read["input_ids"], "attention_mask": read["attention_mask"], **pixels}
            with torch.no_grad():
                contrast = network(**asked, use_itm_head=False).itm_score[:, 0].numpy()
                match = network(**asked).itm_score[:, 1].numpy()
            np.testing.assert_allclose(contrast, cosines[row], atol=1e-6)
            np.testing.assert_allclose(match, logits[row], atol=1e-6)
