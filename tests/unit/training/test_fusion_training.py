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
    library = sentence_transformers.SentenceTransformer(str(checkpoint), device="cpu", trust_remote_code=True)
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


def weights(folder: Path) -> dict[str, list[float]]:
    return {name: each.flatten().tolist() for name, each in tensors.load_file(folder / "model.safetensors").items()}


def train_killed(recipe: Recipe, root: Path, out: Path) -> None:
    # What is private to a recipe is not pickled with it.
    recipe._root = root
    train_transformer(recipe, read_images(recipe), Destination(out), progress=KilledAfter(6), runtime=CPU)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["blip", "albef"])
def test_resumed_after_a_kill_it_is_as_if_nothing_had_been(root: Path, tmp_path: Path, architecture: str) -> None:
    # The queue is longer than a batch, and not full when the training is killed.
    loss = {"momentum": 0.9, "queue": 20, "distillation": 0.4}
    judged = {"share": 0.4, "every": 4, "batches": 2}
    recipe = fusion_recipe(root, architecture, loss=loss, validation=judged, batches={"captions": 0.3, "size": 4})
    whole = train_transformer(recipe, read_images(recipe), Destination(tmp_path / "whole"), runtime=CPU)
    assert end_of(start(train_killed, recipe, root, tmp_path / "out")) == -signal.SIGKILL
    assert not (tmp_path / "out" / "modules.json").exists()
    assert train_transformer(recipe, read_images(recipe), Destination(tmp_path / "out"), runtime=CPU) == whole
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


class TestModel:
    def test_an_albef_is_saved_as_it_is(self, root: Path, tmp_path: Path) -> None:
        recipe = fusion_recipe(root, "albef")
        model = load_image_text(recipe, read_images(recipe), progress=Silence(), runtime=CPU)
        model.save_pretrained(str(tmp_path))
        again = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)
        for (name, one), (other_name, other) in zip(
            model.state_dict().items(), again.state_dict().items(), strict=True
        ):
            assert name == other_name
            assert torch.equal(one, other), name

    def test_a_checkpoint_of_another_architecture_is_refused(self, root: Path, checkpoint: Path) -> None:
        other = {"blip": "albef", "albef": "clip"}[checkpoint.name]
        recipe = image_recipe(root, loss={"learn_temperature": False})
        recipe = recipe.model_copy(
            update={"image_text": type(recipe.image_text)(architecture=other, checkpoint=str(checkpoint))}
        )
        with pytest.raises(UserError, match=f"is a {checkpoint.name}: say architecture = '{checkpoint.name}'"):
            load_image_text(recipe, read_images(recipe), progress=Silence(), runtime=CPU)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"image_text": {"architecture": "blip"}}, "the temperature of blip stays as it is"),
        ({"loss": {"matching": 0.5}}, "loss.matching is for a blip or an albef: give image_text.architecture"),
        ({"loss": {"queue": 8}}, "queue needs vectors of a momentum model: give momentum"),
        ({"loss": {"momentum": 0.9, "symmetric": False}}, "momentum needs symmetric = true"),
        ({"image_text": {"architecture": "albef"}}, "text_width 32: that of an albef is a multiple of 64"),
        ({"image_text": {"architecture": "albef", "text_width": 64}}, "vision_width and text_width of an albef are"),
        (
            {"image_text": {"architecture": "albef", "text_width": 64, "vision_width": 64}},
            "text_layers of an albef are at least 2",
        ),
    ],
)
def test_faults(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        image_recipe(tmp_path, **changes)
