"""Texts side by side in one row of tokens have the vectors that they have alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench.protocols import Runtime
from mlbench.retrievers.dense import Dense, DenseEncoder
from mlbench.retrievers.packing import Packing
from tests.unit.retrievers.test_dense import SMALL, TEXTS, opened, save_plain

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

LARGE = {"initializer_range": 0.4}
"""Weights far from zero, so that positions and other texts would show in the vectors."""
SHAPE = {**SMALL, **LARGE, "intermediate_size": 64}


def distilbert() -> Any:
    sizes = {"vocab_size": 200, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, **LARGE}
    return transformers.DistilBertModel(transformers.DistilBertConfig(**sizes, max_position_embeddings=64))


def of(name: str, **more: Any) -> Callable[[], Any]:
    config, model = getattr(transformers, f"{name}Config"), getattr(transformers, f"{name}Model")
    return lambda: model(config(**{**SHAPE, **more}))


BEHIND_PADDING = {"max_position_embeddings": 65, "pad_token_id": 0}
NETWORKS: dict[str, Callable[[], Any]] = {
    "bert": of("Bert", max_position_embeddings=64),
    "camembert": of("Camembert", **BEHIND_PADDING),
    "distilbert": distilbert,
    "electra": of("Electra", embedding_size=16, max_position_embeddings=64),
    "roberta": of("Roberta", **BEHIND_PADDING),
    "xlm-roberta": of("XLMRoberta", **BEHIND_PADDING),
    "xlm-roberta-xl": of("XLMRobertaXL", **BEHIND_PADDING),
}


def alone(folder: Path, texts: list[str]) -> np.ndarray:
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    return np.stack([model.encode(text) for text in texts])


def rows_given(encoder: DenseEncoder, texts: list[str]) -> list[tuple[int, ...]]:
    """Return the shapes of the batches that the network is given."""
    shapes: list[tuple[int, ...]] = []
    handle = encoder._model[0].register_forward_pre_hook(
        lambda module, given: shapes.append(tuple(given[0]["input_ids"].shape))
    )
    encoder.encode(texts, "query")
    handle.remove()
    return shapes


@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_are_those_of_each_text_alone(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save_plain(tmp_path, NETWORKS[name]())
    texts = TEXTS[:40]
    expected = alone(folder, texts)
    for batch_tokens in ("70", "4096"):
        encoder = opened(folder, batch_tokens=batch_tokens)
        assert encoder.computation("query")["batching"] == "packed"
        found = encoder.encode(texts, "query")
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_array_equal(found, encoder.encode(texts, "query"))
    assert rows_given(encoder, texts) == [(1, encoder.tokens // 3)]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"])
def test_every_pooling_is_of_one_text(pooling: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save_plain(tmp_path, NETWORKS["bert"]())
    encoder = opened(folder, pooling=pooling)
    one_by_one = np.concatenate([encoder.encode([text], "query") for text in TEXTS[:20]])
    assert encoder.computation("query")["batching"] == "packed"
    np.testing.assert_allclose(encoder.encode(TEXTS[:20], "query"), one_by_one, atol=1e-5)


def test_a_model_is_left_as_it_was(tmp_path: Path) -> None:
    model = sentence_transformers.SentenceTransformer(str(save_plain(tmp_path, NETWORKS["bert"]())), device="cpu")
    before = model[0].auto_model.config.to_dict()
    encoder = Dense.adopt(model, Dense.Settings(), Runtime())
    assert encoder is not None
    rows_given(encoder, TEXTS[:5])
    assert encoder._packing is not None
    with pytest.raises(KeyError):
        encoder._encode_packed({}, np.array([1]), "query", encoder._packing)
    assert model[0].auto_model.config.to_dict() == before
    assert model[0].auto_model.config._attn_implementation == "sdpa"


def test_padding_inside_a_text_is_no_position_of_roberta(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = save_plain(tmp_path, NETWORKS["roberta"]())
    texts = ["the cat [PAD] sat on a mat", "a mat", "книга где?"]
    encoder = opened(folder)
    assert encoder.computation("query")["batching"] == "packed"
    assert rows_given(encoder, texts)[0][0] > 1
    np.testing.assert_allclose(encoder.encode(texts, "query"), alone(folder, texts), atol=1e-4)


def test_other_attention_is_padded(tmp_path: Path) -> None:
    folder = save_plain(tmp_path, NETWORKS["bert"]())
    eager = {"attn_implementation": "eager"}
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu", model_kwargs=eager)
    encoder = Dense.adopt(model, Dense.Settings(), Runtime())
    assert encoder is not None
    assert encoder.computation("query")["batching"] == "padded"
    np.testing.assert_allclose(encoder.encode(TEXTS[:20], "query"), alone(folder, TEXTS[:20]), atol=1e-5)


@pytest.mark.parametrize("lengths", [[0, 3], [3, 65]])
def test_texts_without_tokens_and_beyond_all_positions_are_padded(lengths: list[int], tmp_path: Path) -> None:
    folder = save_plain(tmp_path, NETWORKS["bert"]())
    packing = Packing.of(sentence_transformers.SentenceTransformer(str(folder), device="cpu"))
    assert packing is not None
    ids = torch.ones(2, 65, dtype=torch.int64)
    assert packing.takes({"input_ids": ids, "attention_mask": ids}, np.array([1, 64]))
    assert not packing.takes({"input_ids": ids, "attention_mask": ids}, np.array(lengths))


def test_prepared_texts_have_the_same_vectors(tmp_path: Path) -> None:
    encoder = opened(save_plain(tmp_path, NETWORKS["bert"]()))
    prepared = encoder.prepare_texts(TEXTS, "query")
    np.testing.assert_array_equal(prepared(), encoder.encode(TEXTS, "query"))
    assert encoder.prepare_texts([], "query")().shape == (0, encoder.dim)


def test_texts_that_cannot_be_packed_are_padded_as_the_network_allows(tmp_path: Path) -> None:
    # Padding on the left moves the positions of a BERT, so that only texts of one length share a batch.
    torch.manual_seed(0)
    encoder = opened(save_plain(tmp_path, NETWORKS["bert"](), side="left"))
    assert encoder.computation("query")["batching"] == "packed"
    expected = encoder.encode(TEXTS[:20], "query")
    encoder._packing = None
    assert encoder.computation("query")["batching"] == "of one length"
    np.testing.assert_allclose(encoder.encode(TEXTS[:20], "query"), expected, atol=1e-5)
