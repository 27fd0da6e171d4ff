"""Models in OpenCLIP's own format against its library; skipped without it, as the checks do not install torchvision."""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.retrievers import image_text_checkpoints as checkpoints
from unit.retrievers import open_clip_checkpoints as models
from unit.retrievers.image_text_architectures import CASED, unit
from unit.retrievers.image_text_checkpoints import CAPTIONS

from mlbench.collection.records import Image
from mlbench.embeddings.encode import embed
from mlbench.errors import MissingExtra, RetrieverError
from mlbench.open_model import open_retriever, parse
from mlbench.protocols import Group, Runtime, Silence
from mlbench.retrievers.image_text import open_clip
from mlbench.retrievers.image_text.encoder import ImageTextEncoder, LanguageAwareEncoder

torch = pytest.importorskip("torch")
with suppress(RuntimeError):  # torchvision has them, where it fits the torch that is installed.
    operators = models.define_operators()
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")
needs_library = pytest.mark.skipif(find_spec("open_clip") is None, reason="needs the extra open-clip")

torch.set_num_threads(1)
CPU = Runtime(device="cpu")
TEXTS = [*CAPTIONS, *CASED, "!!", "it&amp;s   a  CIRCLE"]
MODELS: dict[str, Callable[[Path], Path]] = {
    "ViT": models.save_vit,
    "XLM-R": models.save_xlm_r,
    "SigLIP": models.save_siglip,
    "NLLB": models.save_nllb,
    "CoCa": models.save_coca,
    "timm": models.save_timm,
}


def opened(folder: Path, runtime: Runtime = CPU, **settings: str) -> ImageTextEncoder:
    encoder = open_retriever(f"image_text:{folder}", settings, runtime)
    assert isinstance(encoder, ImageTextEncoder)
    return encoder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    pytest.importorskip("open_clip")
    root = tmp_path_factory.mktemp("open-clip")
    return {name: save(root / name) for name, save in MODELS.items()}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Image]:
    return checkpoints.save_pictures(tmp_path_factory.mktemp("pictures"), 5)


@needs_library
@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_the_library(name: str, saved: Mapping[str, Path], images: list[Image]) -> None:
    said, seen = models.by_open_clip(saved[name], TEXTS, checkpoints.opened(images))
    assert min(np.ptp(unit(said), axis=0).max(), np.ptp(unit(seen), axis=0).max()) > 0.01
    for batch_tokens, image_batch_size in (("60", "3"), ("1024", "32")):
        encoder = opened(saved[name], batch_tokens=batch_tokens, image_batch_size=image_batch_size)
        np.testing.assert_allclose(unit(list(encoder.encode(TEXTS, "query"))), unit(said), atol=1e-5)
        np.testing.assert_allclose(unit(list(encoder.encode(images, "image"))), unit(seen), atol=1e-5)
    alone = [encoder.encode([text], "query")[0] for text in TEXTS]
    np.testing.assert_allclose(unit(alone), unit(said), atol=1e-5)


@needs_library
@pytest.mark.parametrize("name", ["ViT", "XLM-R", "SigLIP"])
def test_what_is_cut_off_is_known(name: str, saved: Mapping[str, Path]) -> None:
    import open_clip

    tokenizer = open_clip.get_tokenizer(f"local-dir:{saved[name]}")
    whole = [int((tokenizer([text], context_length=400) != tokenizer([""], 400)[0, -1]).sum()) for text in TEXTS]
    encoder = opened(saved[name])
    assert encoder.longest_input("query") == 24
    truncated = encoder.is_truncated(TEXTS, "query")
    assert truncated is not None
    assert truncated.tolist() == [length > 24 for length in whole]
    assert 0 < truncated.sum() < len(TEXTS)


@needs_library
def test_what_makes_a_logit_is_recorded(saved: Mapping[str, Path]) -> None:
    from safetensors.torch import load_file

    parameters = opened(saved["SigLIP"]).parameters
    weights = load_file(saved["SigLIP"] / models.NAMES[0])
    assert parameters["logit_scale"] == pytest.approx(float(weights["logit_scale"].exp()))
    assert parameters["logit_bias"] == pytest.approx(float(weights["logit_bias"]))
    assert "logit_bias" not in opened(saved["ViT"]).parameters


class TestLanguages:
    """NLLB's tokenizer puts the code of a text's language beside it."""

    def by_library(self, folder: Path, code: str, texts: list[str]) -> Any:
        import open_clip

        model = open_clip.create_model(f"local-dir:{folder}").eval()
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        # Its own `set_language` is undone by transformers from version 5 on, when texts are tokenised.
        tokenizer.tokenizer.src_lang = code
        with torch.no_grad():
            return unit([model.encode_text(tokenizer([text]))[0].numpy() for text in texts])

    @needs_library
    def test_each_text_is_encoded_in_its_language(self, saved: Mapping[str, Path], images: list[Image]) -> None:
        encoder = opened(saved["NLLB"])
        assert isinstance(encoder, LanguageAwareEncoder)
        assert encoder.parameters["language_codes"] == "FLORES-200"
        texts: Mapping[Group, list[Any]] = {
            ("query", "de"): ["OK", "ein großer roter Kreis"],
            ("query", "th"): ["OK", "สามเหลี่ยมสีเขียว"],
            ("document", "zh-hant"): ["OK"],
            ("document", "image"): images,
        }
        made = embed(encoder, texts, None, Silence())
        codes = {("query", "de"): "deu_Latn", ("query", "th"): "tha_Thai", ("document", "zh-hant"): "zho_Hant"}
        for (role, language), code in codes.items():
            expected = self.by_library(saved["NLLB"], code, texts[role, language])
            np.testing.assert_allclose(unit(list(made.vectors(role, language))), expected, atol=1e-5)
        assert np.abs(made.vectors("query", "de")[0] - made.vectors("query", "th")[0]).max() > 0.01
        assert (made.distinct, made.images) == (5, 5)
        tokenizer = transformers.AutoTokenizer.from_pretrained(saved["NLLB"])
        asked = [text for group in codes for text in texts[group]]
        assert encoder.tokens == sum(map(len, tokenizer(asked, truncation=True, max_length=24)["input_ids"]))

    @needs_library
    def test_a_language_without_a_code_is_refused(self, saved: Mapping[str, Path]) -> None:
        with pytest.raises(RetrieverError, match="the model's tokenizer has no code for the language 'tlh'"):
            embed(opened(saved["NLLB"]), {("query", "tlh"): ["Qapla'"]}, None, Silence())

    @needs_library
    def test_other_models_are_not_told(self, saved: Mapping[str, Path]) -> None:
        assert not hasattr(opened(saved["XLM-R"]), "in_language")


def without_weights(folder: Path) -> None:
    (folder / models.NAMES[0]).unlink()


def pickled(folder: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(folder / models.NAMES[0]), folder / models.NAMES[1])
    without_weights(folder)


def change(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / models.NAMES[0])
    alter(weights)
    save_file(weights, folder / models.NAMES[0])


def with_nan(folder: Path) -> None:
    change(folder, lambda weights: weights["ln_final.weight"].fill_(float("nan")))


def without_tower(folder: Path) -> None:
    change(folder, lambda weights: weights.pop("visual.ln_post.bias"))


def with_more(folder: Path) -> None:
    change(folder, lambda weights: weights.update({"more": torch.zeros(1)}))


def without_model(folder: Path) -> None:
    (folder / "open_clip_config.json").write_text('{"preprocess_cfg": {}}')


def with_unknown_key(folder: Path) -> None:
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"]["text_cfg"]["nothing"] = 1
    (folder / "open_clip_config.json").write_text(json.dumps(content))


def with_absent_base(folder: Path) -> None:
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"]["text_cfg"] = {"hf_model_name": "nobody/nothing"}
    (folder / "open_clip_config.json").write_text(json.dumps(content))


@needs_library
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_weights, r"no weights \(open_clip_model.safetensors\)"),
        (pickled, r"pickled only \(open_clip_pytorch_model.bin\).*--allow-pickle"),
        (with_nan, "weight ln_final.weight has NaN or infinite"),
        (without_tower, "1 weights are missing, among them visual.ln_post.bias"),
        (with_more, "1 weights are not known, among them more"),
        (without_model, "no model_cfg with a text_cfg"),
        (with_unknown_key, "cannot be loaded: .*nothing"),
        (with_absent_base, "nobody/nothing: config.json is neither in the local cache nor can it be fetched"),
    ],
)
def test_damaged_checkpoint(
    damage: Callable[[Path], None], message: str, saved: Mapping[str, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(saved["ViT"], tmp_path / "copy")
    damage(copy)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(copy)
    assert "\n" not in str(caught.value)


@needs_library
def test_pickled_weights_load_when_allowed(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["ViT"], tmp_path / "copy")
    pickled(copy)
    encoder = opened(copy, Runtime(device="cpu", allow_pickle=True))
    np.testing.assert_array_equal(encoder.encode(TEXTS, "query"), opened(saved["ViT"]).encode(TEXTS, "query"))


@needs_library
def test_the_tokenizer_may_lie_apart(saved: Mapping[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(saved["XLM-R"], tmp_path / "copy")
    names = [path.name for path in copy.glob("tokenizer*")]
    for name in names:
        (tmp_path / "apart").mkdir(exist_ok=True)
        (copy / name).rename(tmp_path / "apart" / name)
    encoder = opened(copy, tokenizer=str(tmp_path / "apart"))
    np.testing.assert_array_equal(encoder.encode(TEXTS, "query"), opened(saved["XLM-R"]).encode(TEXTS, "query"))
    with pytest.raises(RetrieverError, match=r"xlm-roberta-base: tokenizer_config\.json is neither in the local cache"):
        opened(copy)


@needs_library
def test_fingerprints_follow_what_lies_elsewhere(saved: Mapping[str, Path], tmp_path: Path) -> None:
    base = shutil.copytree(saved["XLM-R"] / "base", tmp_path / "base")
    copy = shutil.copytree(saved["XLM-R"], tmp_path / "copy")
    content = (copy / "open_clip_config.json").read_text().replace(str(saved["XLM-R"] / "base"), str(base))
    (copy / "open_clip_config.json").write_text(content)
    before = opened(copy).fingerprint("query")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 0.1}))
    assert opened(copy).fingerprint("query") != before


@needs_library
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["ViT", "XLM-R", "SigLIP"])
def test_half_precision_is_near(name: str, dtype: str, saved: Mapping[str, Path], images: list[Image]) -> None:
    half, full = opened(saved[name], dtype=dtype), opened(saved[name])
    for inputs, role in ((TEXTS, "query"), (images, "image")):
        cosines = (unit(list(half.encode(inputs, role))) * unit(list(full.encode(inputs, role)))).sum(axis=1)
        assert 0.99 < cosines.min() < 1.0 - 1e-9


@needs_library
@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("ViT", "8", "max_length=8: the checkpoint reads texts of 24 tokens, padding included"),
        ("XLM-R", "25", "max_length=25: the checkpoint takes 24 tokens at most"),
    ],
)
def test_wrong_lengths(name: str, length: str, message: str, saved: Mapping[str, Path]) -> None:
    with pytest.raises(RetrieverError, match=message):
        opened(saved[name], max_length=length)


def test_names_of_the_hub_and_folders_are_recognised(tmp_path: Path) -> None:
    assert parse("hf-hub:laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k")[0] == "image_text"
    (tmp_path / "open_clip_config.json").write_text("{}")
    assert parse(str(tmp_path))[0] == "image_text"
    # What transformers knows as well is opened by it, as ever.
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(RetrieverError, match="no tokenizer"):
        opened(tmp_path)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    monkeypatch.setattr(open_clip, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"models in OpenCLIP's format need: pip install 'mlbench\[open-clip\]'"):
        opened(tmp_path)


def test_codes_of_languages() -> None:
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    known = {"th": "tha_Thai", "zh": "zho_Hans", "zh-hant": "zho_Hant", "zh-tw": "zho_Hant", "fil": "tgl_Latn"}
    known |= {"zh-hk": "zho_Hant", "en-gb": "eng_Latn", "fa-af": "prs_Arab", "acm": "acm_Arab", "no": "nob_Latn"}
    known |= {"acm-arab": "acm_Arab", "quz": "quy_Latn", "kmr": "kmr_Latn", "zho_Hans": "zho_Hans"}
    assert {tag: open_clip.flores_code(tag) for tag in known} == known
    assert open_clip.flores_code("tlh") is None
    assert set(open_clip._flores_codes().values()) <= set(FAIRSEQ_LANGUAGE_CODES)
