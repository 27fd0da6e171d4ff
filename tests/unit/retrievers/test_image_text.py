"""Image-text encoders against the libraries' own output for single texts and images, on small random checkpoints."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers.image_text_checkpoints import CAPTIONS, DIM

from mlbench.collection.records import Image
from mlbench.embeddings.encode import embed
from mlbench.embeddings.store import VectorStore
from mlbench.errors import DataError, MissingExtra, RetrieverError
from mlbench.io import libraries
from mlbench.members import check_files, reads_images
from mlbench.open_model import open_retriever, parse, wrap_model
from mlbench.protocols import Encoder, Group, Runtime, Silence, Vectors
from mlbench.retrievers.image_text import encoder
from mlbench.retrievers.image_text.encoder import ImageTextEncoder, ImageTextLoader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")
pytest.importorskip("PIL")

# Two threads that spin are slow beside other processes.
torch.set_num_threads(1)

CPU = Runtime(device="cpu")


def metaclip(folder: Path) -> Path:
    from transformers import MetaClip2Config, MetaClip2Model

    tokenizer = checkpoints.xlm_r_tokenizer()
    text = {**checkpoints.LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": 20, "eos_token_id": 2}
    model = MetaClip2Model(
        MetaClip2Config(text_config=text, vision_config=checkpoints.VISION, projection_dim=DIM, eos_token_id=2)
    )
    return checkpoints.save(folder, checkpoints.spread(model, 11), tokenizer, checkpoints.clip_processor())


def old_clip(folder: Path) -> Path:
    return checkpoints.save_clip(folder, wrapper=None)


def old_library_clip(folder: Path) -> Path:
    """Write a CLIP as Sentence Transformers saved one before version 5.4: the network in a folder of its own."""
    checkpoints.save_clip(folder / "0_CLIPModel", wrapper=None)
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    return folder


TRANSFORMERS: dict[str, Callable[[Path], Path]] = {
    "clip": checkpoints.save_clip,
    "old clip": old_clip,
    "siglip": checkpoints.save_siglip,
    "siglip2": checkpoints.save_siglip2,
    "altclip": checkpoints.save_altclip,
    "chinese clip": checkpoints.save_chinese_clip,
    "metaclip": metaclip,
}
LIBRARY: dict[str, Callable[[Path], Path]] = {
    "library clip": checkpoints.save_library_clip,
    "old library clip": old_library_clip,
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("image-text")
    builders = {**TRANSFORMERS, **LIBRARY, "text tower": checkpoints.save_text_tower}
    return {name: build(root / name.replace(" ", "-")) for name, build in builders.items()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return checkpoints.save_pictures(tmp_path_factory.mktemp("pictures"), 7)


def opened(folder: Path, runtime: Runtime = CPU, **settings: str) -> ImageTextEncoder:
    encoder = open_retriever(f"image_text:{folder}", settings, runtime)
    assert isinstance(encoder, Encoder)
    assert reads_images(encoder)
    assert isinstance(encoder, ImageTextEncoder)
    return encoder


def unit(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def by_transformers(folder: Path, images: list[Image], dtype: Any = None) -> tuple[Vectors, Vectors]:
    """Return what the whole network says of single captions and images, made by its own processor."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=dtype or torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    keys: dict[str, Any] = {"padding": True, "truncation": True}
    if model.config.model_type.startswith("siglip"):
        keys |= {"padding": "max_length", "max_length": 16}
    if model.config.model_type == "siglip2":
        # The processor's own defaults are those of the published checkpoints, whatever this one says.
        keys |= {"patch_size": 8, "max_num_patches": 16}
    pictures = checkpoints.opened(images)
    texts, seen = [], []
    with torch.inference_mode():
        for caption in CAPTIONS:
            made = processor(text=[caption], images=pictures[:1], return_tensors="pt", **keys)
            texts.append(model(**made).text_embeds[0].float().numpy())
        for picture in pictures:
            made = processor(text=["a"], images=[picture], return_tensors="pt", **keys)
            seen.append(model(**made).image_embeds[0].float().numpy())
    return np.stack(texts), np.stack(seen)


def by_library(model: Any, inputs: list[Any]) -> Vectors:
    return np.stack([model.encode([single], show_progress_bar=False)[0] for single in inputs])


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_same_vectors_as_transformers(name: str, saved: Mapping[str, Path], images: list[Image]) -> None:
    texts, seen = by_transformers(saved[name], images)
    # Otherwise vectors of other texts would do as well.
    assert min(np.ptp(texts, axis=0).max(), np.ptp(seen, axis=0).max()) > 0.05
    expected = (("query", CAPTIONS, texts), ("document", CAPTIONS, texts), ("image", images, seen))
    # In several batches, and in one.
    for batch_tokens, image_batch_size in (("40", "3"), ("1024", "32")):
        encoder = opened(saved[name], batch_tokens=batch_tokens, image_batch_size=image_batch_size)
        for role, inputs, vectors in expected:
            found = encoder.encode(inputs, role)
            assert (found.dtype, found.shape) == (np.float32, (len(inputs), encoder.dim))
            np.testing.assert_allclose(unit(found), vectors, atol=1e-5)
            np.testing.assert_array_equal(found, encoder.encode(inputs, role))


@pytest.mark.parametrize("name", ["clip", "altclip", *LIBRARY])
def test_same_vectors_as_sentence_transformers(name: str, saved: Mapping[str, Path], images: list[Image]) -> None:
    encoder = opened(saved[name])
    model = sentence_transformers.SentenceTransformer(str(saved[name]), device="cpu")
    np.testing.assert_allclose(encoder.encode(CAPTIONS, "query"), by_library(model, CAPTIONS), atol=1e-5)
    expected = by_library(model, checkpoints.opened(images))
    np.testing.assert_allclose(encoder.encode(images, "image"), expected, atol=1e-5)


@pytest.mark.parametrize("tower", ["clip", "library clip"])
def test_a_text_tower_beside_an_image_tower(tower: str, saved: Mapping[str, Path], images: list[Image]) -> None:
    encoder = opened(saved["text tower"], image_model=str(saved[tower]))
    texts, seen = (
        sentence_transformers.SentenceTransformer(str(saved[name]), device="cpu") for name in ("text tower", tower)
    )
    np.testing.assert_allclose(encoder.encode(CAPTIONS, "query"), by_library(texts, CAPTIONS), atol=1e-5)
    expected = by_library(seen, checkpoints.opened(images))
    np.testing.assert_allclose(encoder.encode(images, "image"), expected, atol=1e-5)
    # The path of a folder is left out.
    assert encoder.parameters["image_model"] == saved[tower].name
    assert encoder.fingerprint("image") == opened(saved[tower]).fingerprint("image")


def test_two_whole_models_share_a_space(saved: Mapping[str, Path], images: list[Image]) -> None:
    encoder = opened(saved["altclip"], image_model=str(saved["clip"]), max_length="9")
    np.testing.assert_array_equal(encoder.encode(images, "image"), opened(saved["clip"]).encode(images, "image"))
    alone = opened(saved["altclip"], max_length="9")
    np.testing.assert_array_equal(encoder.encode(CAPTIONS, "query"), alone.encode(CAPTIONS, "query"))


def test_towers_of_two_spaces(saved: Mapping[str, Path]) -> None:
    with pytest.raises(RetrieverError, match="texts get 16 coordinates, images 32: name a text and an image tower"):
        opened(saved["text tower"], image_model=str(saved["siglip"]))


def test_a_text_tower_alone_sees_nothing(saved: Mapping[str, Path]) -> None:
    with pytest.raises(RetrieverError, match="reads texts alone: name its image tower with --set image_model=FOLDER"):
        opened(saved["text tower"])
    plain = saved["text tower"].parent / "plain"
    with pytest.raises(RetrieverError, match=r"no images of model_type xlm-roberta.*--set image_model=FOLDER"):
        opened(plain)
    with pytest.raises(RetrieverError, match="no images of model_type xlm-roberta"):
        opened(saved["clip"], image_model=str(plain))


def test_folders_are_recognised(saved: Mapping[str, Path]) -> None:
    assert {name: parse(str(folder))[0] for name, folder in saved.items()} == {
        **dict.fromkeys(saved, "image_text"),
        "text tower": "dense",
    }
    assert not ImageTextLoader.recognises(saved["clip"].parent)


def test_the_prefix_stands_before_each_text_and_no_image(saved: Mapping[str, Path], images: list[Image]) -> None:
    plain, prefixed = opened(saved["clip"]), opened(saved["clip"], text_prefix="A photo depicts ")
    expected = plain.encode(["A photo depicts " + caption for caption in CAPTIONS], "query")
    np.testing.assert_array_equal(prefixed.encode(CAPTIONS, "query"), expected)
    np.testing.assert_array_equal(prefixed.encode(images, "image"), plain.encode(images, "image"))
    assert prefixed.fingerprint("query") != plain.fingerprint("query")
    assert prefixed.fingerprint("image") == plain.fingerprint("image")
    assert prefixed.parameters["text_prefix"] == "A photo depicts "


def test_fingerprints_follow_roles_files_and_keys(saved: Mapping[str, Path], tmp_path: Path) -> None:
    encoder = opened(saved["clip"])
    assert encoder.fingerprint("query") == encoder.fingerprint("document") != encoder.fingerprint("image")
    copy = shutil.copytree(saved["clip"], tmp_path / "copy")
    assert opened(copy).fingerprint("image") == encoder.fingerprint("image")
    processor = (copy / "processor_config.json").read_text()
    (copy / "processor_config.json").write_text(processor.replace('"do_normalize": true', '"do_normalize": false'))
    assert opened(copy).fingerprint("image") != encoder.fingerprint("image")
    for keys in ({"dtype": "bf16"}, {"max_length": "7"}):
        assert opened(saved["clip"], **keys).fingerprint("query") != encoder.fingerprint("query")


@pytest.mark.parametrize("name", ["clip", "library clip"])
def test_images_are_encoded_again_with_another_pillow(
    name: str, saved: Mapping[str, Path], images: list[Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, version = opened(saved[name]), libraries.version
    texts: dict[Group, Sequence[str]] = {("document", "image"): images, ("query", "en"): CAPTIONS}
    made = [embed(encoder, texts, VectorStore(tmp_path), Silence()) for _ in range(2)]
    assert [(each.encoded > 0, each.encoded_images > 0) for each in made] == [(True, True), (False, False)]
    monkeypatch.setattr(libraries, "version", lambda name: "99.0" if name == "pillow" else version(name))
    again = embed(encoder, texts, VectorStore(tmp_path), Silence())
    assert (again.encoded, again.encoded_images) == (0, made[0].encoded_images)


def test_a_change_of_either_tower_ends_a_run(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["clip"], tmp_path / "copy")
    encoder = opened(copy)
    check_files(encoder)
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes())
    with pytest.raises(RetrieverError, match=r"model\.safetensors has been changed"):
        check_files(encoder)


def test_rows_are_cut_on_the_right_whatever_the_tokenizer_says(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["clip"], tmp_path / "copy")
    configuration = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(configuration | {"padding_side": "left"}))
    expected = opened(saved["clip"]).encode(CAPTIONS, "query")
    np.testing.assert_allclose(opened(copy).encode(CAPTIONS, "query"), expected, atol=1e-5)


def test_texts_are_cut_off(saved: Mapping[str, Path]) -> None:
    encoder = opened(saved["clip"], max_length="8")
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved["clip"])
    model = transformers.AutoModel.from_pretrained(saved["clip"]).eval()
    made = tokenizer(CAPTIONS[-2], truncation=True, max_length=8, return_tensors="pt")
    with torch.inference_mode():
        expected = model.get_text_features(**made).pooler_output.numpy()
    np.testing.assert_allclose(encoder.encode([CAPTIONS[-2]], "query"), expected, atol=1e-5)
    assert encoder.parameters["max_length"] == 8


@pytest.mark.parametrize("name", ["clip", "siglip", "library clip"])
def test_tokens_are_counted_without_padding(name: str, saved: Mapping[str, Path]) -> None:
    encoder = opened(saved[name])
    before = encoder.tokens
    encoder.encode(CAPTIONS, "query")
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved[name])
    width = 16 if name == "siglip" else 20
    rows = [tokenizer(caption, truncation=True, max_length=width)["input_ids"] for caption in CAPTIONS]
    assert encoder.tokens - before == sum(map(len, rows))


@pytest.mark.parametrize("name", ["clip", "siglip", "library clip"])
def test_nothing_gives_no_vectors(name: str, saved: Mapping[str, Path]) -> None:
    encoder = opened(saved[name])
    assert encoder.encode([], "query").shape == encoder.encode([], "image").shape == (0, encoder.dim)


@pytest.mark.parametrize("name", ["clip", "siglip2", "altclip", "library clip"])
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_is_near(name: str, dtype: str, saved: Mapping[str, Path], images: list[Image]) -> None:
    half, full = opened(saved[name], dtype=dtype), opened(saved[name])
    for inputs, role in ((CAPTIONS, "query"), (images, "image")):
        vectors = half.encode(inputs, role)
        assert vectors.dtype == np.float32
        cosines = (unit(vectors) * unit(full.encode(inputs, role))).sum(axis=1)
        assert 0.995 < cosines.min() < 1.0 - 1e-9
    assert half.parameters["dtype"] == dtype


def test_a_broken_image_is_named(saved: Mapping[str, Path], images: list[Image], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(images[0].path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"broken\.png cannot be decoded"):
        opened(saved["clip"]).encode([*images, *checkpoints.records([tmp_path / "broken.png"])], "image")


class TestInMemory:
    """Models that somebody built: of transformers with their processor, and of Sentence Transformers."""

    def test_a_network_and_its_processor(self, saved: Mapping[str, Path], images: list[Image]) -> None:
        network = transformers.AutoModel.from_pretrained(saved["clip"])
        processor = transformers.AutoProcessor.from_pretrained(saved["clip"])
        encoder = wrap_model((network.train(), processor), {"text_prefix": "see: "}, CPU)
        assert isinstance(encoder, ImageTextEncoder)
        assert encoder.name == str(saved["clip"])
        stored = opened(saved["clip"], text_prefix="see: ")
        np.testing.assert_array_equal(encoder.encode(CAPTIONS, "query"), stored.encode(CAPTIONS, "query"))
        np.testing.assert_array_equal(encoder.encode(images, "image"), stored.encode(images, "image"))
        before = [encoder.fingerprint(role) for role in ("query", "image")]
        with torch.no_grad():
            network.visual_projection.weight[0, 0] += 1
        assert not set(before) & {encoder.fingerprint(role) for role in ("query", "image")}
        assert wrap_model((network.bfloat16(), processor), {}, CPU).parameters["dtype"] == "bf16"

    def test_a_model_of_the_library(self, saved: Mapping[str, Path], images: list[Image]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["library clip"]), device="cpu")
        encoder = wrap_model(model, {"image_batch_size": "2"}, CPU)
        assert isinstance(encoder, ImageTextEncoder)
        assert encoder.name == str(saved["library clip"])
        np.testing.assert_allclose(
            encoder.encode(images, "image"), opened(saved["library clip"]).encode(images, "image"), atol=1e-5
        )
        with pytest.raises(RetrieverError, match="taken as it is: set max_length where it is built"):
            wrap_model(model, {"max_length": "9"}, CPU)

    def test_what_reads_texts_alone_is_dense(self, saved: Mapping[str, Path]) -> None:
        model = sentence_transformers.SentenceTransformer(str(saved["text tower"]), device="cpu")
        assert not reads_images(wrap_model(model, {}, CPU))
        assert ImageTextLoader.adopt((model, "no processor"), ImageTextLoader.Settings(), CPU) is None
        with pytest.raises(RetrieverError, match="dense: unknown key 'text_prefix'"):
            wrap_model(model, {"text_prefix": "x"}, CPU)


def change(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    alter(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def with_nan(folder: Path) -> None:
    change(folder, lambda weights: weights["visual_projection.weight"].fill_(float("nan")))


def without_tower(folder: Path) -> None:
    names = [f"vision_model.post_layernorm.{part}" for part in ("weight", "bias")]
    change(folder, lambda weights: [weights.pop(name) for name in names])


def of_another_size(folder: Path) -> None:
    change(folder, lambda weights: weights.update({"visual_projection.weight": torch.zeros(3, 3)}))


def truncated(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def pickled(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without(pattern: str) -> Callable[[Path], None]:
    return lambda folder: [path.unlink() for path in folder.glob(pattern)] and None


def garbled(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text('{"image_processor_type": "Nothing", "auto_map": 3') and None


def foreign(folder: Path) -> None:
    content = {"image_processor_type": "Mine", "auto_map": {"AutoImageProcessor": "mine.Mine"}}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    (folder / "mine.py").write_text("raise SystemExit('run')")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_nan, "weight visual_projection.weight has NaN or infinite"),
        (without_tower, "2 weights are missing, among them vision_model.post_layernorm.bias"),
        (of_another_size, "cannot be loaded: "),
        (truncated, "cannot be loaded: "),
        (pickled, r"pickled only \(pytorch_model.bin\).*--allow-pickle"),
        (without("model.safetensors"), r"no weights \(model.safetensors\)"),
        (without("tokenizer.json"), "no tokenizer"),
        (without("preprocessor_config.json"), "no preprocessor_config.json; save the image processor"),
        (without("config.json"), "no config.json"),
        (garbled("config.json"), "config.json: cannot be read"),
        (garbled("preprocessor_config.json"), "preprocessor_config.json: cannot be read"),
        (foreign, "preprocessor_config.json names code of the checkpoint's own .*pass --trust-remote-code"),
        (garbled("tokenizer.json"), "the tokenizer cannot be loaded"),
    ],
)
def test_damaged_checkpoint(
    damage: Callable[[Path], None], message: str, saved: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(saved["old clip"], tmp_path / "copy")
    damage(copy)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(copy)
    assert "\n" not in str(caught.value)


def test_pickled_weights_load_when_allowed(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["old clip"], tmp_path / "copy")
    pickled(copy)
    encoder = opened(copy, Runtime(device="cpu", allow_pickle=True))
    np.testing.assert_array_equal(
        encoder.encode(CAPTIONS, "query"), opened(saved["old clip"]).encode(CAPTIONS, "query")
    )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("clip", {"max_length": "100"}, "max_length=100: the checkpoint takes 20 tokens at most"),
        ("altclip", {"max_length": "21"}, "max_length=21: the checkpoint takes 20 tokens at most"),
        ("siglip", {"max_length": "8"}, "max_length=8: the checkpoint reads texts of 16 tokens, padding included"),
        ("library clip", {"max_length": "100"}, "max_length=100: the checkpoint takes fewer tokens"),
        ("clip", {"revision": "main"}, "revision=main: only a hub id has revisions"),
        ("clip", {"dtype": "int8"}, "dtype: input should be 'fp32', 'bf16' or 'fp16', not 'int8'"),
        ("clip", {"image_model": "./nowhere"}, r"no folder './nowhere': give a checkpoint's folder or a hub id"),
        (
            "library clip",
            {"backend": "onnx"},
            "backend=onnx: it computes both towers of one model that no modules.json",
        ),
        ("clip", {"backend": "onnx", "dtype": "bf16"}, "dtype=bf16: backend=onnx computes in"),
        ("library clip", {"image_size": "8"}, "image_size=8: only ALBEF takes it"),
    ],
)
def test_wrong_settings(name: str, settings: dict[str, str], message: str, saved: Mapping[str, Path]) -> None:
    with pytest.raises(RetrieverError, match=message):
        opened(saved[name], **settings)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ["clip", "siglip", "altclip"])
def test_graphs_give_the_same_vectors(
    name: str,
    backend: str,
    saved: Mapping[str, Path],
    images: list[Image],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxruntime" if backend == "onnx" else "openvino")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    graph, plain = opened(saved[name], backend=backend), opened(saved[name])
    np.testing.assert_allclose(graph.encode(CAPTIONS, "query"), plain.encode(CAPTIONS, "query"), atol=1e-5)
    np.testing.assert_allclose(graph.encode(images, "image"), plain.encode(images, "image"), atol=1e-5)
    assert graph.parameters["backend"] == backend
    assert graph.fingerprint("query") != plain.fingerprint("query")
    assert graph.fingerprint("image") != plain.fingerprint("image")


def test_missing_libraries(monkeypatch: pytest.MonkeyPatch, saved: Mapping[str, Path]) -> None:
    monkeypatch.setattr(encoder, "find_spec", lambda name: None if name == "PIL" else object())
    with pytest.raises(MissingExtra, match=r"image-text models need: pip install 'mlbench\[images\]'"):
        opened(saved["clip"])
