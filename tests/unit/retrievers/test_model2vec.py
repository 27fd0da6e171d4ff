"""Static models that model2vec saved: the vectors of model2vec, without it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from unit.retrievers.test_static import TEXTS, TOKENIZER

from mlbench.errors import RetrieverError
from mlbench.open_model import open_model
from mlbench.protocols import SILENCE, Runtime
from mlbench.retrievers.static import Static, StaticEncoder
from mlbench.retrievers.static_checkpoint import quantise

model2vec = pytest.importorskip("model2vec")

SIZE = TOKENIZER.get_vocab_size()


def words() -> Tokenizer:
    """Return a tokenizer of whole words that knows the first texts alone."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(["the cat sat", "книга 世界"], trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    return tokenizer


def unigram() -> Tokenizer:
    """Return a tokenizer with the probabilities of pieces, as XLM-R has it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=["<unk>"], unk_token="<unk>")
    tokenizer.train_from_iterator(TEXTS[:40], trainer)
    return tokenizer


def table(tokenizer: Tokenizer, dtype: type = np.float32) -> np.ndarray:
    rows = np.random.RandomState(1).normal(0, 1, (tokenizer.get_vocab_size(), 24))
    return np.rint(rows * 30).astype(dtype) if dtype == np.int8 else rows.astype(dtype)


def shared(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return rows that several pieces share, and a factor for each piece."""
    size, random = tokenizer.get_vocab_size(), np.random.RandomState(2)
    return {
        "vectors": table(tokenizer)[:10],
        "token_mapping": random.randint(0, 10, size),
        "weights": random.uniform(0.1, 2, size).astype(np.float32),
    }


def save(folder: Path, tokenizer: Tokenizer = TOKENIZER, **options: Any) -> Path:
    options = {"vectors": table(tokenizer), **options}
    model2vec.StaticModel(tokenizer=tokenizer, **options).save_pretrained(folder)
    return folder


def opened(folder: Path, **settings: str) -> StaticEncoder:
    encoder = open_model(str(folder), settings, Runtime(), SILENCE).retriever
    assert isinstance(encoder, StaticEncoder)
    return encoder


def unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


MODELS: Mapping[str, tuple[dict[str, Any], float]] = {
    "bpe": ({}, 1e-6),
    "words that it does not know": ({"tokenizer": words()}, 1e-6),
    "unigram": ({"tokenizer": unigram()}, 1e-6),
    "normalised": ({"normalize": True}, 1e-6),
    "shared rows and factors": (shared(TOKENIZER), 1e-6),
    "factors alone": ({"weights": shared(TOKENIZER)["weights"]}, 1e-6),
    "int8": ({"vectors": table(TOKENIZER, np.int8)}, 1e-6),
    # Of which the vectors here are made in float32.
    "float64": ({"vectors": table(TOKENIZER, np.float64)}, 2e-6),
    # The library rounds its means to float16 as well.
    "float16": ({"vectors": table(TOKENIZER, np.float16)}, 1e-3),
    "short texts": ({"max_length": 5}, 1e-6),
    "long texts": ({"max_length": None}, 1e-6),
}


class TestVectors:
    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize("modules", [True, False])
    def test_same_as_model2vec(self, name: str, modules: bool, tmp_path: Path) -> None:
        options, far = MODELS[name]
        folder = save(tmp_path / "model", **options)
        if not modules:
            # As its older versions saved them.
            (folder / "modules.json").unlink()
        library = model2vec.StaticModel.from_pretrained(folder)
        wanted = library.encode(TEXTS)
        known = np.abs(wanted).max(axis=1) > 0
        found = opened(folder).encode(TEXTS, "query")
        assert known.sum() > 100
        np.testing.assert_allclose(found[known], unit(wanted[known]), atol=far)

    def test_a_text_of_unknown_words_alone_stands_in_the_middle(self, tmp_path: Path) -> None:
        tokenizer = words()
        found = opened(save(tmp_path / "model", tokenizer)).encode(["unheard of", "cat"], "query")
        middle = table(tokenizer).mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(found[0], middle / np.linalg.norm(middle), atol=1e-6)
        assert np.abs(found[0] - found[1]).max() > 1e-2

    def test_fewer_dimensions(self, tmp_path: Path) -> None:
        folder = save(tmp_path / "model")
        wanted = model2vec.StaticModel.from_pretrained(folder, dimensionality=7).encode(TEXTS)
        np.testing.assert_allclose(opened(folder, truncate_dim="7").encode(TEXTS, "query"), unit(wanted), atol=1e-6)

    def test_rows_of_model2vec_in_a_folder_of_sentence_transformers(self, tmp_path: Path) -> None:
        """Without model2vec's configuration the rules are those of sentence-transformers: unknown words count."""
        sentence_transformers = pytest.importorskip("sentence_transformers")
        tokenizer = words()
        folder = save(tmp_path / "model", tokenizer)
        (folder / "config.json").unlink()
        wanted = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(TEXTS)
        np.testing.assert_allclose(opened(folder).encode(TEXTS, "query"), unit(wanted), atol=1e-6)
        save(tmp_path / "other", tokenizer)
        other = opened(tmp_path / "other").encode(TEXTS, "query")
        assert np.abs(opened(folder).encode(TEXTS, "query") - other).max() > 1e-2


def test_texts_that_are_cut_off_are_told(tmp_path: Path) -> None:
    """Either after tokens, those that the vocabulary does not know included, or after characters before."""
    tokenizer = words()
    encoder = opened(save(tmp_path / "model", tokenizer, max_length=5))
    median = int(np.median([len(piece) for piece in tokenizer.get_vocab()]))
    texts = ["cat " * 5, "cat " * 6, "unheard " * 6, "c" * 5 * median, "c" * (5 * median + 1), ""]
    assert encoder.longest_input("query") == 5
    wanted = [len(text) > 5 * median or len(text.split()) > 5 for text in texts]
    assert wanted == [True, True, True, False, True, False]
    np.testing.assert_array_equal(encoder.is_truncated(texts, "query"), wanted)


class TestFingerprint:
    def test_is_of_what_decides_the_vectors(self, tmp_path: Path) -> None:
        folder = save(tmp_path / "model")
        before = opened(folder).fingerprint("query")
        configuration = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(configuration | {"language": "en"}))
        assert opened(folder).fingerprint("query") == before
        (folder / "config.json").write_text(json.dumps(configuration | {"max_length": 5}))
        assert opened(folder).fingerprint("query") != before
        assert opened(folder).parameters["max_length"] == 5


def test_a_hub_id_needs_no_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "model")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(folder))
    opened_model = open_model("someone/potion", {"truncate_dim": "7"}, Runtime(), SILENCE)
    assert isinstance(opened_model.retriever, StaticEncoder)
    assert opened_model.spec == "someone/potion"
    expected = opened(folder, truncate_dim="7")
    assert opened_model.retriever.fingerprint("query") == expected.fingerprint("query")


def change(folder: Path, **tensors: np.ndarray | None) -> None:
    path = folder / "model.safetensors"
    kept = {name: value for name, value in {**load_file(path), **tensors}.items() if value is not None}
    save_file(kept, path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"mapping": np.full(SIZE, 10)}, "mapping names rows that embeddings does not have"),
        ({"mapping": np.full(SIZE, -1)}, "mapping names rows that embeddings does not have"),
        ({"mapping": np.zeros(SIZE, np.float32)}, "mapping names rows that embeddings does not have"),
        ({"mapping": np.zeros(90, np.int64)}, rf"weights has shape \({SIZE},\); need \(90,\)"),
        ({"weights": np.ones(7, np.float32)}, rf"weights has shape \(7,\); need \({SIZE},\)"),
        ({"weights": np.full(SIZE, np.nan, np.float32)}, "has NaN or infinite values"),
        ({"mapping": None, "weights": None}, rf"ids up to {SIZE - 1}, the table 10 rows"),
        ({"embeddings": np.zeros((10, 24), np.float32)}, "all zeros"),
        ({"embeddings": np.zeros(10, np.float32)}, r"embeddings has shape \(10,\); need"),
        ({"embeddings": np.ones((10, 24), np.int32)}, "embeddings is int32; need floating-point"),
    ],
)
def test_faults_are_told_in_one_line(tensors: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", **shared(TOKENIZER))
    change(folder, **tensors)
    with pytest.raises(RetrieverError, match=message) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, -1, "512", 1.5, True])
def test_an_unusable_length_is_told(length: object, tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"max_length": length}))
    with pytest.raises(RetrieverError, match=r"no static checkpoint \(config.json has no usable max_length\)"):
        Static.open(str(folder), Static.Settings(), Runtime())


def test_a_damaged_folder_is_told_as_what_it_is(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", config={"model_type": "model2vec"})
    (folder / "modules.json").unlink()
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RetrieverError, match=r"model.safetensors: cannot be read"):
        opened(folder)


def test_more_than_a_static_model_is_left_to_others(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    more = {"idx": 1, "name": "1", "path": "1_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, more]))
    assert not Static.recognises(folder)
    with pytest.raises(RetrieverError, match="its modules are StaticEmbedding, Dense"):
        Static.open(str(folder), Static.Settings(), Runtime())


def test_is_not_quantised_here(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    with pytest.raises(RetrieverError, match="saved by model2vec, which quantises to int8 itself"):
        quantise(folder, tmp_path / "small")
    assert not (tmp_path / "small").exists()
