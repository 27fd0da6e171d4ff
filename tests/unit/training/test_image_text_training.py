"""Small models of images and captions, trained to a checkpoint that other libraries read."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from unit.retrievers.image_text_checkpoints import save_siglip, save_siglip2
from unit.training.forked import KilledAfter, end_of, start
from unit.training.image_cases import image_recipe, read_images, rows_of, write_images

from mlbench.collection.images import open_image
from mlbench.errors import UserError
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime, Silence
from mlbench.provenance import read_manifest, read_provenance
from mlbench.training.contamination import Probe, evaluation_texts
from mlbench.training.data import _places, load_data
from mlbench.training.image_text import Pixels, caption_tokenizer, load_image_text, logit_scale
from mlbench.training.manifest import Destination
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import Loss
from mlbench.training.train import fit
from mlbench.training.transformer import train_transformer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")
tensors = pytest.importorskip("safetensors.torch")

torch.set_num_threads(1)

CPU = Runtime(device="cpu")
JUDGED = {"share": 0.4, "every": 4, "batches": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "drawn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="module")
def checkpoint(root: Path) -> Path:
    recipe = image_recipe(root, image_share={"th": 0.3})
    fit(recipe, read_images(recipe), Destination(root / "checkpoint"), runtime=CPU, command="mlbench train toy")
    return root / "checkpoint"


def opened(image: Any) -> Any:
    return open_image(image.path)


def weights(folder: Path) -> dict[str, list[float]]:
    loaded = tensors.load_file(folder / "model.safetensors")
    return {name: tensor.flatten().tolist() for name, tensor in loaded.items()}


class TestCheckpoint:
    @pytest.mark.slow
    def test_is_read_alike_by_all(self, root: Path, checkpoint: Path) -> None:
        rows = rows_of(root / "drawn")
        texts = rows.read(np.arange(12))
        images = [rows.images[text] for text in texts if text in rows.images]
        captions = [text for text in texts if text not in rows.images]
        pictures = [opened(image) for image in images]
        library = sentence_transformers.SentenceTransformer(str(checkpoint), device="cpu", local_files_only=True)
        network = transformers.CLIPModel.from_pretrained(checkpoint).eval()
        processor = transformers.AutoProcessor.from_pretrained(checkpoint)
        encoder = open_retriever(f"image_text:{checkpoint}", {}, CPU)
        with torch.no_grad():
            seen = network.get_image_features(**processor(images=pictures, return_tensors="pt")).pooler_output
            read = network.get_text_features(
                **processor(text=captions, padding=True, return_tensors="pt")
            ).pooler_output
        for vectors, role, inputs, raw in ((seen, "image", images, pictures), (read, "query", captions, captions)):
            np.testing.assert_allclose(library.encode(raw), vectors.numpy(), atol=1e-5)
            own = encoder.encode(inputs, role)
            unit = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1, keepdims=True)
            np.testing.assert_allclose(own / np.linalg.norm(own, axis=1, keepdims=True), unit, atol=1e-5)

    def test_says_how_it_was_trained(self, root: Path, checkpoint: Path) -> None:
        manifest, provenance = read_manifest(checkpoint), read_provenance(checkpoint)
        assert manifest is not None
        assert provenance is not None
        assert (provenance.steps, provenance.recipe["image_share"]) == (8, {"th": 0.3})
        tally: Any = manifest["tally"]
        assert sum(tally["kinds"].values()) == 8
        assert tally["kinds"].keys() == tally["languages"].keys()
        assert all(
            sum(counted.values()) == 2 * 6 * tally["kinds"][kind] for kind, counted in tally["languages"].items()
        )
        assert manifest["views"] == {"overlap": 1.0}
        assert manifest["seconds"] > 0

    def test_is_small_and_has_the_subwords_of_its_captions(self, root: Path, checkpoint: Path) -> None:
        config = json.loads((checkpoint / "config.json").read_text())
        assert (config["model_type"], config["projection_dim"]) == ("clip", 8)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        assert tokenizer.model_max_length == 16
        begin, *pieces, end = tokenizer("klein rot")["input_ids"]
        assert (begin, end) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert tokenizer.unk_token_id not in pieces
        # No image is among what they are learned from.
        recipe = image_recipe(root)
        assert "sha" not in " ".join(caption_tokenizer(recipe, read_images(recipe), Silence()).get_vocab())

    def test_learns_other_subwords_where_more_are_asked_for(self, root: Path) -> None:
        made = [image_recipe(root, image_text={"pieces": pieces}) for pieces in (80, 64)]
        sizes = [caption_tokenizer(recipe, read_images(recipe), Silence()).get_vocab_size() for recipe in made]
        assert sizes[0] > sizes[1]


class TestLearning:
    @pytest.mark.slow
    def test_finds_the_image_of_a_caption(self, root: Path, tmp_path: Path) -> None:
        batches = {"size": 12, "captions": 0.3}
        recipe = image_recipe(root, steps=150, batches=batches, optimizer={"learning_rate": 0.005})
        outcome = train_transformer(recipe, read_images(recipe), Destination(tmp_path), runtime=CPU)
        assert outcome.losses[-1][1] < 0.5 * outcome.losses[0][1]
        rows = rows_of(root / "drawn")
        # One drawing of each combination.
        texts = rows.read(np.concatenate([rows.index.first_text[row] + np.arange(4) for row in range(0, 60, 5)]))
        model = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
        images = model.encode([opened(rows.images[text]) for text in texts if text in rows.images])
        hits = [
            np.argmax(images @ model.encode([caption])[0]) == number
            for number in range(12)
            for caption in texts[4 * number : 4 * number + 4]
            if caption not in rows.images
        ]
        assert len(hits) == 36
        # Chance is 1 in 12; how far 150 steps get depends on the processor.
        assert np.mean(hits) > 1 / 3

    @pytest.mark.parametrize("learned", [True, False])
    def test_the_temperature(self, root: Path, tmp_path: Path, learned: bool) -> None:
        recipe = image_recipe(
            root, loss={"temperature": 0.2, "learn_temperature": learned}, optimizer={"weight_decay": 0.5}
        )
        data = read_images(recipe)
        before = load_image_text(recipe, data, progress=Silence(), runtime=CPU)
        train_transformer(recipe, data, Destination(tmp_path), runtime=CPU)
        found = float(tensors.load_file(tmp_path / "model.safetensors")["logit_scale"])
        scale = logit_scale(before)
        assert scale is not None
        assert scale.requires_grad == learned
        assert float(scale.detach()) == pytest.approx(np.log(5), abs=1e-6)
        assert (found == pytest.approx(np.log(5), abs=1e-6)) is not learned

    @pytest.mark.slow
    def test_image_batches_alone_and_captions_alone(self, root: Path, tmp_path: Path) -> None:
        start = load_image_text(image_recipe(root), read_images(image_recipe(root)), progress=Silence(), runtime=CPU)
        vision = [name for name, _ in start.named_parameters() if "vision" in name]
        for captions, changes in ((0.0, True), (1.0, False)):
            recipe = image_recipe(root, steps=2, batches={"captions": captions, "size": 4})
            transformers.set_seed(recipe.seed)
            first = load_image_text(recipe, read_images(recipe), progress=Silence(), runtime=CPU)
            train_transformer(recipe, read_images(recipe), Destination(tmp_path / str(captions)), runtime=CPU)
            trained = sentence_transformers.SentenceTransformer(str(tmp_path / str(captions)), device="cpu")
            pairs = zip(first.named_parameters(), trained.parameters(), strict=True)
            moved = {name for (name, one), other in pairs if not torch.equal(one, other)}
            assert any(name in moved for name in vision) is changes


def train_killed(recipe: Recipe, root: Path, out: Path) -> None:
    # What is private to a recipe is not pickled with it.
    recipe._root = root
    train_transformer(recipe, read_images(recipe), Destination(out), progress=KilledAfter(6), runtime=CPU)


@pytest.mark.slow
def test_resumed_after_a_kill_it_is_as_if_nothing_had_been(root: Path, tmp_path: Path) -> None:
    recipe = image_recipe(root, validation=JUDGED, batches={"captions": 0.5, "size": 4})
    whole = train_transformer(recipe, read_images(recipe), Destination(tmp_path / "whole"), runtime=CPU)
    assert end_of(start(train_killed, recipe, root, tmp_path / "out")) == -signal.SIGKILL
    assert not (tmp_path / "out" / "modules.json").exists()
    assert train_transformer(recipe, read_images(recipe), Destination(tmp_path / "out"), runtime=CPU) == whole
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


class TestPixels:
    def images(self, root: Path) -> list[Any]:
        return list(rows_of(root / "drawn").images.values())[:7]

    @pytest.mark.parametrize("most_bytes", [0, 3 * 3 * 12 * 12, 2**30])
    def test_are_those_of_the_processor(self, root: Path, most_bytes: int) -> None:
        processor = transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 14}, crop_size={"height": 12, "width": 12}
        )
        images = self.images(root)
        expected = processor([opened(image) for image in images], return_tensors="np")["pixel_values"]
        pixels = Pixels(processor, most_bytes=most_bytes)
        for chosen in ([0, 1, 2], [2, 2, 0, 5], range(7)):
            found = pixels.read([images[number] for number in chosen])
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected[list(chosen)], atol=1e-6)
        assert sum(kept.nbytes for kept in pixels._kept.values()) <= most_bytes
        assert len(pixels._kept) == min(7, most_bytes // (3 * 12 * 12))

    def test_are_opened_once(self, root: Path) -> None:
        seen = []

        def processor(images: list[Any], **options: object) -> dict[str, Any]:
            seen.extend(images)
            return {"pixel_values": np.zeros((len(images), 3, 2, 2), np.uint8)}

        processor_like: Any = processor
        processor_like.do_rescale = processor_like.do_normalize = False
        pixels = Pixels(processor_like)
        for _ in range(3):
            pixels.read(self.images(root))
        assert len(seen) == 7


def test_images_of_a_task_are_found_among_those_of_training(root: Path) -> None:
    rows = rows_of(root / "drawn")
    image = next(iter(rows.images.values()))
    empty = SimpleNamespace(languages=("image",), queries={"image": [("topic", image)]}, documents={"image": []})
    texts: Any = list(evaluation_texts("task", empty, empty))  # type: ignore[arg-type]
    findings = Probe.of(texts).scan(_places([rows], Silence()))
    (hit,) = findings.hits
    assert (hit.place.row, hit.place.language, hit.place.role) == (0, "image", "text")


class TestFaults:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"static": {}}, "give [static], [transformer] or [image_text], one of them"),
            ({"image_text": {"patch": 5}}, "image_size 16 is no multiple of patch 5"),
            ({"image_text": {"checkpoint": "x"}}, "dim is for a new model, and checkpoint brings its own"),
            ({"image_text": {"revision": "x"}}, "revision is that of a checkpoint: name one"),
            ({"batches": {"alpha": 0.3}}, "batches.alpha is for texts: [image_text] has batches.captions"),
            ({"batches": {"monolingual": "mixed"}}, "batches.monolingual is for texts"),
            ({"views": {"overlap": 0.3}}, "views.overlap is for texts"),
            ({"loss": {"symmetric": False, "negatives": "hard_only"}}, "loss.negatives is for texts"),
            ({"languages": ["de"]}, "captions above 0 asks for captions beside captions, which need two languages"),
            ({"image_share": {"fr": 0.1}}, "image_share: 'fr' is not among the languages: de, en, th"),
            ({"image_share": {"th": 2}}, "less than or equal to 1"),
            ({"image_share": {"Thai": 1}}, "'Thai' is not a language tag"),
            (
                {"datasets": [{"name": "a", "files": [{"path": "a"}]}]},
                "a: [image_text] is trained on a folder of images",
            ),
            ({"datasets": [{"name": "a"}]}, "give tasks, files, captions or hub, one of them"),
            ({"image_text": None, "static": {}}, "batches.captions is for images: give [image_text] or leave it out"),
        ],
    )
    def test_of_recipes(self, root: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match="validation error") as caught:
            image_recipe(root, **({"batches": {"captions": 0.4}} | changes))
        assert message in str(caught.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"datasets": [{"name": "a", "captions": "none"}]}, "none is no folder with images/ and captions.LANGUAGE"),
            ({"languages": ["de", "fr"]}, "languages: no data for fr: the data sets have de, en, th"),
            ({"image_share": {"default": 0}}, "batches: no data set can give image (two images with a caption"),
        ],
    )
    def test_of_data(self, root: Path, changes: dict[str, Any], message: str) -> None:
        _, faults = load_data(image_recipe(root, **changes))
        (fault,) = faults
        assert message in fault
        assert "\n" not in fault

    def test_of_images(self, root: Path, tmp_path: Path) -> None:
        folder = write_images(tmp_path / "drawn")
        (folder / "images" / "red-0-0.png").unlink()
        _, faults = load_data(image_recipe(tmp_path))
        assert "red-0-0.png" in faults[0]
        (folder / "images" / "red-0-0.png").write_bytes(b"")
        assert len(read_images(image_recipe(tmp_path)).training.indexes[0]) == 59

    def test_of_a_checkpoint_that_reads_no_images(self, root: Path, tmp_path: Path) -> None:
        from encoders import save_encoder

        save_encoder(tmp_path / "texts")
        recipe = image_recipe(root)
        texts = recipe.model_copy(update={"image_text": type(recipe.image_text)(checkpoint=str(tmp_path / "texts"))})
        with pytest.raises(UserError, match="does not read both images and texts"):
            load_image_text(texts, read_images(recipe), progress=Silence(), runtime=CPU)


def weights_after(root: Path, start: Path, out: Path, **changes: Any) -> dict[str, list[float]]:
    """Return the weights after training from the checkpoint `start`."""
    recipe = image_recipe(root, **changes)
    table = recipe.model_dump(mode="json") | {"image_text": {"checkpoint": str(start)}}
    train_transformer(Recipe.model_validate(table), read_images(recipe), Destination(out), runtime=CPU)
    return weights(out)


def test_goes_on_from_a_checkpoint(root: Path, checkpoint: Path, tmp_path: Path) -> None:
    before = weights(checkpoint)
    after = weights_after(root, checkpoint, tmp_path, steps=1, optimizer={"learning_rate": 1e-9})
    del before["logit_scale"], after["logit_scale"]
    assert before.keys() == after.keys()
    assert all(np.allclose(before[name], after[name], atol=1e-7) for name in before)


@pytest.mark.slow
def test_siglip_goes_on_too(root: Path, tmp_path: Path) -> None:
    after = weights_after(root, save_siglip(tmp_path / "siglip"), tmp_path / "out", steps=2)
    before = weights(tmp_path / "siglip")
    assert before.keys() == after.keys()
    assert any(before[name] != after[name] for name in before if "vision" in name)
    library = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    vectors = open_retriever(f"image_text:{tmp_path / 'out'}", {}, CPU).encode(["klein rot", "red"], "query")
    # The network looks at the padding, which the library puts beside the shorter text of a batch.
    np.testing.assert_allclose(vectors, library.encode(["klein rot", "red"], batch_size=1), atol=1e-4)


def test_what_reads_images_in_pieces_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="reads images in pieces, and cannot be trained here"):
        weights_after(root, save_siglip2(tmp_path / "siglip2"), tmp_path / "out")


@pytest.mark.parametrize("temperature", [0.002, 0.05])
def test_a_temperature_that_is_not_learned_is_that_of_the_recipe(temperature: float) -> None:
    from mlbench.training.trainer import BatchLoss

    random = torch.Generator().manual_seed(0)
    columns = [{"sentence_embedding": torch.randn(4, 8, generator=random)} for _ in range(2)]
    scale = torch.nn.Parameter(torch.tensor(-np.log(temperature)), requires_grad=False)
    kept = BatchLoss(torch.nn.Identity(), Loss(temperature=temperature), scale)
    plain = BatchLoss(torch.nn.Identity(), Loss(temperature=temperature))
    assert float(kept(columns)) == pytest.approx(float(plain(columns)), rel=1e-4)
    learned = BatchLoss(torch.nn.Identity(), Loss(temperature=temperature, learn_temperature=True), scale)
    lowest = BatchLoss(torch.nn.Identity(), Loss(temperature=max(temperature, 0.01)))
    assert float(learned(columns)) == pytest.approx(float(lowest(columns)), rel=1e-4)
