"""ALBEF against its arithmetic written out anew, on small random checkpoints and one of the full size."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers import reference_albef
from unit.retrievers.albef_checkpoints import SMALL, official_shapes, random_state, save_albef, small_shapes
from unit.retrievers.image_text_checkpoints import CAPTIONS, bert_tokenizer, opened, save_pictures

from mlbench.collection.records import Image
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.retrievers.pipelines.system import open_reranker

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mlbench.retrievers.image_text.albef import clean_caption, interpolate_positions  # noqa: E402

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu", allow_pickle=True)
SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_albef(tmp_path_factory.mktemp("albef"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return save_pictures(tmp_path_factory.mktemp("pictures"), 5)


def open_encoder(folder: Path, **settings: str) -> Encoder:
    encoder = open_retriever(f"image_text:{folder}", settings, RUNTIME)
    assert isinstance(encoder, Encoder)
    return encoder


class Reference:
    """The model written out, for one text and one image at a time, so that nothing is padded."""

    def __init__(self, state: dict[str, Any], folder: Path, side: int = SIDE, length: int = 30) -> None:
        self.weights = reference_albef.Weights(state)
        self.tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"))
        self.side, self.length = side, length

    def begun(self, caption: str) -> tuple[Any, Any]:
        rows = self.tokenizer([clean_caption(caption)], truncation=True, max_length=self.length, return_tensors="pt")
        mask = rows["attention_mask"]
        return reference_albef.begin(self.weights, rows["input_ids"], mask), mask

    def seen(self, image: Any) -> Any:
        return reference_albef.see(self.weights, reference_albef.pixels(image, self.side))

    def texts(self, captions: list[str]) -> Any:
        states = (self.begun(caption)[0] for caption in captions)
        return np.concatenate([reference_albef.vector(self.weights, "text_proj", state).numpy() for state in states])

    def images(self, images: list[Any]) -> Any:
        states = (self.seen(image) for image in images)
        return np.concatenate([reference_albef.vector(self.weights, "vision_proj", state).numpy() for state in states])

    def logits(self, captions: list[str], images: list[Any]) -> Any:
        seen = [self.seen(image) for image in images]
        begun = [self.begun(caption) for caption in captions]
        return [[reference_albef.match(self.weights, *states, image) for image in seen] for states in begun]


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(torch.load(folder / "flickr30k.pth")["model"], folder)


def test_vectors_are_those_of_the_paper(folder: Path, images: list[Image], reference: Reference) -> None:
    encoder = open_encoder(folder)
    texts, seen = encoder.encode(CAPTIONS, "query"), encoder.encode(images, "image")
    assert texts.shape == (len(CAPTIONS), SMALL[256])
    np.testing.assert_allclose(texts, reference.texts(CAPTIONS), atol=1e-5)
    np.testing.assert_allclose(seen, reference.images(opened(images)), atol=1e-5)
    assert np.ptp(texts, axis=0).max() > 0.05
    assert np.ptp(seen, axis=0).max() > 0.05


def test_logits_are_those_of_the_paper(folder: Path, images: list[Image], reference: Reference) -> None:
    reranker = open_reranker(f"image_text:{folder}", {}, RUNTIME)
    logits = reranker.score([(caption, image) for caption in CAPTIONS for image in images])
    expected = np.array(reference.logits(CAPTIONS, opened(images)))
    np.testing.assert_allclose(logits.reshape(expected.shape), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 0.1
    assert np.ptp(expected, axis=1).min() > 0.1


@pytest.mark.parametrize("form", ["bare", "safetensors", "file", "pre-training"])
def test_every_form_of_a_checkpoint_gives_the_same(
    form: str, folder: Path, images: list[Image], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    state = torch.load(folder / "flickr30k.pth")["model"]
    settings = {}
    place = tmp_path
    if form == "bare":
        save_albef(tmp_path, state, wrapped=False)
    elif form == "pre-training":
        save_albef(tmp_path, pre_training(state))
    else:
        place = tmp_path / ("model.safetensors" if form == "safetensors" else "other.pth")
        save_file(state, place) if form == "safetensors" else torch.save({"model": state}, place)
        settings = {"tokenizer": str(folder)}
    encoder, other = open_encoder(folder), open_encoder(place, **settings)
    assert (other.encode(images, "image") == encoder.encode(images, "image")).all()
    assert (other.encode(CAPTIONS, "query") == encoder.encode(CAPTIONS, "query")).all()


def test_a_tokenizer_that_pads_left(folder: Path, tmp_path: Path) -> None:
    place = save_albef(tmp_path, torch.load(folder / "flickr30k.pth")["model"])
    (place / "tokenizer_config.json").write_text('{"padding_side": "left"}')
    expected = open_encoder(folder).encode(CAPTIONS, "query")
    np.testing.assert_allclose(open_encoder(place).encode(CAPTIONS, "query"), expected, atol=1e-6)


def pre_training(state: dict[str, Any]) -> dict[str, Any]:
    """Return weights as a checkpoint of pre-training has them, with all that only training needs."""
    renamed = {name.replace("text_encoder.", "text_encoder.bert."): tensor for name, tensor in state.items()}
    momentum = {
        name.replace("encoder.", "encoder_m.", 1).replace("proj.", "proj_m.", 1): tensor
        for name, tensor in renamed.items()
        if "encoder." in name or "proj." in name.split(".attn")[0].split(".patch_embed")[0]
    }
    queues = {"image_queue": torch.zeros(24, 8), "text_queue": torch.zeros(24, 8)}
    numbers = {"idx_queue": torch.zeros(1, 8), "queue_ptr": torch.zeros(1)}
    head = {"text_encoder.cls.predictions.bias": torch.zeros(400)}
    return {**renamed, **momentum, **queues, **numbers, **head}


def cubic(distance: Any) -> Any:
    """Return the weight of a point at this distance in a bicubic interpolation (Keys, with a = -3/4)."""
    near = 1.25 * distance**3 - 2.25 * distance**2 + 1
    far = -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


@pytest.mark.parametrize("side", [2, 3, 5, 6, 9])
def test_positions_are_interpolated_over_the_grid(side: int) -> None:
    positions = torch.randn(1, 17, 6, generator=torch.Generator().manual_seed(side))
    grid = positions[0, 1:].reshape(4, 4, 6).double().numpy()
    centres = (np.arange(side) + 0.5) * 4 / side - 0.5
    # Four points around each centre; those beyond the edge repeat it.
    points = np.floor(centres)[:, None] + np.arange(-1, 3)
    weights = np.zeros((side, 4))
    for row, (centre, near) in enumerate(zip(centres, points, strict=True)):
        np.add.at(weights[row], np.clip(near, 0, 3).astype(int), cubic(np.abs(near - centre)))
    expected = np.einsum("ri,cj,ijd->rcd", weights, weights, grid).reshape(side**2, 6)
    found = interpolate_positions(positions, side)
    assert (found[0, 0] == positions[0, 0]).all()
    np.testing.assert_allclose(found[0, 1:], expected, atol=1e-5)


def test_the_same_grid_is_left_alone() -> None:
    positions = torch.randn(1, 17, 6)
    assert interpolate_positions(positions, 4) is positions


def test_larger_images_are_seen_whole(folder: Path, images: list[Image]) -> None:
    state = torch.load(folder / "flickr30k.pth")["model"]
    state["visual_encoder.pos_embed"] = interpolate_positions(state["visual_encoder.pos_embed"], 6)
    larger = open_encoder(folder, image_size="48")
    expected = Reference(state, folder, side=48).images(opened(images))
    np.testing.assert_allclose(larger.encode(images, "image"), expected, atol=1e-5)
    assert larger.fingerprint("image") != open_encoder(folder).fingerprint("image")
    with pytest.raises(RetrieverError, match="image_size=50: must be a multiple of 8, the side of a patch"):
        open_encoder(folder, image_size="50")


def test_captions_are_cut_off(folder: Path, reference: Reference) -> None:
    long = ["один красный круг " * 20, "a red circle"]
    shorter = open_encoder(folder, max_length="7")
    state = reference.weights.state
    np.testing.assert_allclose(
        shorter.encode(long, "query"), Reference(dict(state), folder, length=7).texts(long), atol=1e-5
    )
    assert shorter.parameters["max_length"] == 7
    assert open_encoder(folder).parameters["max_length"] == 30
    with pytest.raises(RetrieverError, match="max_length=41: the checkpoint takes 40 tokens at most"):
        open_encoder(folder, max_length="41")


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("", ""),
        ("A man, with a hat.", "a man with a hat"),
        ("  Two   dogs\n", "two dogs"),
        ("a well-known and/or old   T-shirt!?", "a well known and or old t shirt"),
        ('("don\'t") #1: *a*; b~c', "dont 1 a bc"),
        ("<person> on a bike", "person on a bike"),
        ("Ein großer Kreis.", "ein großer kreis"),
        ("สามเหลี่ยมสีเขียว", "สามเหลี่ยมสีเขียว"),
        ("青い四角、二つ。", "青い四角、二つ。"),
        ("word " * 31, "word " * 29 + "word"),
        (".", ""),
    ],
)
def test_captions_are_cleaned_as_in_the_evaluation(caption: str, cleaned: str) -> None:
    assert clean_caption(caption) == cleaned


def test_a_pickle_is_opened_only_where_that_is_allowed(folder: Path) -> None:
    with pytest.raises(RetrieverError, match=r"flickr30k\.pth is a pickle, .* pass --allow-pickle if you trust it"):
        open_retriever(f"image_text:{folder}", {}, Runtime(device="cpu"))


def test_a_pickle_of_more_than_tensors_is_refused_even_then(folder: Path, tmp_path: Path) -> None:
    hostile = save_albef(tmp_path)
    torch.save({"model": {}, "config": Runs(tmp_path / "ran")}, hostile / "flickr30k.pth")
    with pytest.raises(RetrieverError, match="is broken or holds more than tensors and plain values"):
        open_encoder(hostile)
    assert not (tmp_path / "ran").exists()


class Runs:
    """Makes a file when it is unpickled as pickles usually are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def changed(folder: Path, target: Path, **changes: Any) -> Path:
    """Write a copy of the checkpoint whose weights have other values (None: none at all); `__` stands for a dot."""
    state = torch.load(folder / "flickr30k.pth")["model"]
    for name, value in changes.items():
        state[name.replace("__", ".")] = value
    return save_albef(target, {name: value for name, value in state.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"itm_head__bias": None}, r"itm_head\.bias is missing$"),
        ({"logit_scale": torch.zeros(())}, "logit_scale is not known$"),
        ({"text_proj__weight": torch.zeros(24, 64)}, r"text_proj\.weight is 24 x 64 instead of 24 x 128$"),
        ({"temp": 0.07}, "temp is a float, no tensor"),
        ({"itm_head__bias": torch.tensor([0.0, float("nan")])}, r"weight itm_head\.bias has NaN or infinite values"),
        ({"visual_encoder__pos_embed": torch.zeros(1, 16, 128)}, "pos_embed has 16 positions, no square and one"),
        (
            {"text_encoder__bert__embeddings__LayerNorm__bias": torch.zeros(128)},
            "is there twice, with and without bert",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(folder: Path, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(RetrieverError, match=message) as caught:
        open_encoder(changed(folder, tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_folders_that_lack_something_say_what_to_do(folder: Path, tmp_path: Path) -> None:
    bare = save_albef(tmp_path / "bare")
    (bare / "vocab.txt").unlink()
    with pytest.raises(RetrieverError, match=r"no tokenizer\.json or vocab\.txt: .* --set tokenizer=FOLDER"):
        open_encoder(bare)
    assert open_encoder(bare, tokenizer=str(folder)).encode(["a"], "query").shape == (1, SMALL[256])
    torch.save({}, folder.parent / "elsewhere.pth")
    two = save_albef(tmp_path / "two")
    torch.save({}, two / "coco.pth")
    with pytest.raises(RetrieverError, match=r"coco\.pth and flickr30k\.pth both hold weights: name the file itself"):
        open_encoder(two)
    (two / "coco.pth").write_bytes(b"")
    with pytest.raises(RetrieverError, match=r"coco\.pth: cannot be loaded \(\w+\)"):
        open_encoder(two / "coco.pth", tokenizer=str(folder))
    with (bare / "vocab.txt").open("w") as file:
        file.write("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + "".join(f"w{number}\n" for number in range(396)))
    with pytest.raises(RetrieverError, match="knows 400 tokens and its tokenizer 401"):
        open_encoder(bare)


def test_a_tokenizer_may_be_one_file_or_the_other(folder: Path, tmp_path: Path) -> None:
    bert_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    vectors = open_encoder(folder, tokenizer=str(tmp_path)).encode(CAPTIONS, "query")
    assert (vectors == open_encoder(folder).encode(CAPTIONS, "query")).all()
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(RetrieverError, match="the tokenizer cannot be loaded: ") as caught:
        open_encoder(folder, tokenizer=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_fingerprint_follows_weights_and_tokenizer(folder: Path, tmp_path: Path) -> None:
    prints = {open_encoder(folder).fingerprint("query")}
    other = save_albef(tmp_path / "other", random_state(small_shapes(), seed=2))
    prints.add(open_encoder(other).fingerprint("query"))
    (other / "vocab.txt").write_text((folder / "vocab.txt").read_text(encoding="utf-8") + "more\n", encoding="utf-8")
    prints.add(open_encoder(other).fingerprint("query"))
    prints.add(open_encoder(folder, tokenizer=str(other)).fingerprint("query"))
    prints.add(open_encoder(folder / "flickr30k.pth", tokenizer=str(other)).fingerprint("query"))
    assert len(prints) == 5


# The small models above go the same way, and names, shapes and sizes of the full one are those of test_albef_keys.
@pytest.mark.slow
def test_a_checkpoint_of_the_full_size_loads(tmp_path: Path, images: list[Image]) -> None:
    shapes = official_shapes()
    # All weights are views of the largest, so that the file is a tenth of what it would be.
    numbers = torch.empty(max(prod(shape) for shape in shapes.values())).uniform_(-0.04, 0.04)
    state = {name: numbers[: prod(shape)].reshape(shape) for name, shape in shapes.items()}
    full = save_albef(tmp_path, state)
    reranker = open_reranker(f"image_text:{full}", {}, RUNTIME)
    assert np.isfinite(reranker.score([("a red circle", images[0])])).all()
    (full / "flickr30k.pth").unlink()
