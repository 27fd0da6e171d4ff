"""Two towers joined: what is locked stays to the bit, what is trained learns, and the checkpoint opens alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from unit.training.image_cases import COLOURS, SIZES, image_recipe, read_images, rows_of, write_images

from mlbench.collection.images import open_image
from mlbench.errors import UserError
from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime, Silence
from mlbench.training.image_text import load_image_text
from mlbench.training.manifest import Destination
from mlbench.training.recipe import Recipe
from mlbench.training.towers import tower_of
from mlbench.training.train import fit

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("accelerate")

torch.set_num_threads(1)

CPU = Runtime(device="cpu")
WORDS = ["[PAD]", "[UNK]", "see:", *(word for known in (COLOURS, SIZES) for words in known.values() for word in words)]


def save_text_tower(folder: Path) -> Path:
    """Save a BERT with random weights that knows the words of the captions, pooled by the mean, of length 1."""
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    torch.manual_seed(0)
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    shape = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(WORDS), pad_token_id=0, max_position_embeddings=20, **shape)
    bare = folder.parent / "bert"
    transformers.BertModel(config).save_pretrained(bare)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=20
    ).save_pretrained(bare)
    network = Transformer(str(bare))
    modules = [network, Pooling(24, "mean"), Normalize()]
    sentence_transformers.SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with images, an image tower that a recipe has trained, and a text tower."""
    folder = tmp_path_factory.mktemp("towers")
    write_images(folder / "drawn")
    save_text_tower(folder / "text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        recipe = image_recipe(folder, steps=60, batches={"size": 12}, optimizer={"learning_rate": 0.005})
        fit(recipe, read_images(recipe), Destination(folder / "image"), runtime=CPU)
        yield folder


def joined(root: Path, locked: str, **changes: Any) -> Recipe:
    towers = {"image_tower": "image", "text_tower": "text", "locked": locked, "text_prefix": "see: ", "max_length": 16}
    recipe = image_recipe(root, **changes)
    table = recipe.model_dump(mode="json") | {"image_text": towers}
    made = Recipe.model_validate(table)
    made._root = root
    return made


def weights_of(model: Any, modality: str) -> dict[str, Any]:
    """Return the weights of a tower, without the projection that is new and without the temperature."""
    modules = list(tower_of(model, modality))
    kept = modules[:-1] if modality == "text" else modules
    return {
        f"{place}.{name}": value.clone()
        for place, module in enumerate(kept)
        for name, value in module.state_dict().items()
        if not name.endswith("logit_scale")
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("locked", ["image", "text", "none"])
def test_what_is_locked_stays_to_the_bit(root: Path, tmp_path: Path, locked: str) -> None:
    recipe = joined(root, locked, steps=4, optimizer={"learning_rate": 0.01, "weight_decay": 0.1})
    data = read_images(recipe)
    before = load_image_text(recipe, data, progress=Silence(), runtime=CPU)
    fit(recipe, data, Destination(tmp_path / "out"), runtime=CPU)
    after = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu", local_files_only=True)
    for modality in ("image", "text"):
        assert same(weights_of(before, modality), weights_of(after, modality)) == (locked == modality), modality
    assert not torch.equal(
        list(tower_of(before, "text"))[-1].linear.weight, list(tower_of(after, "text"))[-1].linear.weight
    )


@pytest.fixture(scope="module")
def tuned(root: Path) -> Path:
    batches = {"size": 12, "captions": 0.2}
    recipe = joined(root, "image", steps=150, batches=batches, optimizer={"learning_rate": 0.01})
    fit(recipe, read_images(recipe), Destination(root / "tuned"), runtime=CPU)
    return root / "tuned"


def test_the_checkpoint_opens_in_its_library_and_here_with_equal_vectors(root: Path, tuned: Path) -> None:
    rows = rows_of(root / "drawn")
    texts = rows.read(np.arange(24))
    images = [rows.images[text] for text in texts if text in rows.images]
    captions = [text for text in texts if text not in rows.images]
    library = sentence_transformers.SentenceTransformer(str(tuned), device="cpu", local_files_only=True)
    for spec in (str(tuned), f"image_text:{tuned}"):
        encoder: Any = open_retriever(spec, {}, CPU)
        raw = [open_image(image.path) for image in images]
        np.testing.assert_allclose(encoder.encode(images, "image"), library.encode(raw), atol=1e-5)
        for role in ("query", "document"):
            expected = library.encode([f"see: {caption}" for caption in captions])
            np.testing.assert_allclose(encoder.encode(captions, role), expected, atol=1e-5)


def test_a_text_tower_learns_the_space_of_the_images(root: Path, tuned: Path) -> None:
    rows = rows_of(root / "drawn")
    texts = rows.read(np.concatenate([rows.index.first_text[row] + np.arange(4) for row in range(0, 60, 5)]))
    model = sentence_transformers.SentenceTransformer(str(tuned), device="cpu", local_files_only=True)
    images = model.encode([open_image(rows.images[text].path) for text in texts if text in rows.images])
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    hits = [
        np.argmax(images @ model.encode_query(caption)) == number
        for number in range(12)
        for caption in texts[4 * number : 4 * number + 4]
        if caption not in rows.images
    ]
    assert len(hits) == 36
    # Chance is 1 in 12.
    assert np.mean(hits) > 1 / 3


def test_recipes_without_towers_have_the_fingerprint_from_before(root: Path) -> None:
    recipe = image_recipe(root)
    assert recipe.fingerprint() == "c05c433fb77c20013773f46f7d5b1cdf398a8fc397f5da678d7e6a5c4c5d4ded"
    assert joined(root, "image").fingerprint() != joined(root, "text").fingerprint()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"image_tower": "image"}, "image_tower and text_tower are joined: give both or neither"),
        ({"image_tower": "a", "text_tower": "b", "checkpoint": "c"}, "checkpoint has both towers"),
        ({"locked": "text"}, "locked is for two towers: give image_tower and text_tower"),
        ({"image_tower": "a", "text_tower": "b", "dim": 8}, "dim is for a new model, and image_tower brings its own"),
    ],
)
def test_a_table_that_says_too_little_or_too_much(root: Path, table: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe.model_validate(image_recipe(root).model_dump(mode="json") | {"image_text": table})


@pytest.mark.parametrize(
    ("towers", "message"),
    [
        ({"image_tower": "text"}, "image_text.image_tower: text reads no images"),
        ({"text_tower": "drawn"}, "image_text: .*drawn: cannot be loaded"),
        ({"max_length": 1000}, "max_length=1000: the checkpoint takes fewer tokens"),
    ],
)
def test_a_tower_that_cannot_be_used(root: Path, towers: dict[str, object], message: str) -> None:
    recipe = joined(root, "image")
    assert recipe.image_text is not None
    other = recipe.model_copy(update={"image_text": recipe.image_text.model_copy(update=towers)})
    other._root = root
    with pytest.raises(UserError, match=message):
        load_image_text(other, read_images(recipe), progress=Silence(), runtime=CPU)
