"""Cross-encoders against the library's own `predict`, on small random checkpoints."""

import json
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.tiny import TEXTS, save_bert, save_tokenizer

from mlbench.errors import MissingExtra, RetrieverError
from mlbench.protocols import Reranker, Runtime
from mlbench.retrievers import dense
from mlbench.retrievers.pipelines.system import open_reranker

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")
PAIRS = [(TEXTS[i % 60], TEXTS[(7 * i + 1) % 60]) for i in range(100)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("cross"), "BertForSequenceClassification", num_labels=1)


def test_scores_are_those_of_the_library(saved: Path) -> None:
    reranker = open_reranker(str(saved), {"batch_size": "7"}, RUNTIME)
    library = sentence_transformers.CrossEncoder(str(saved), device="cpu")
    scores = reranker.score(PAIRS)
    assert isinstance(reranker, Reranker)
    assert (scores.dtype, scores.shape) == (np.float32, (100,))
    # The library ends with a sigmoid, which keeps the order until it is 1.
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), library.predict(PAIRS), atol=1e-6)
    np.testing.assert_allclose(scores, library.predict(PAIRS, activation_fn=torch.nn.Identity()), atol=1e-5)
    assert np.ptp(scores) > 0.1
    assert (reranker.score(PAIRS) == scores).all()
    assert reranker.score([]).shape == (0,)


def test_max_length_cuts_pairs(saved: Path) -> None:
    reranker = open_reranker(str(saved), {"max_length": "12"}, RUNTIME)
    library = sentence_transformers.CrossEncoder(str(saved), device="cpu", max_length=12)
    expected = library.predict(PAIRS, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(reranker.score(PAIRS), expected, atol=1e-5)
    assert not np.allclose(expected, open_reranker(str(saved), {}, RUNTIME).score(PAIRS))


def test_the_fingerprint_follows_weights_and_use(saved: Path, tmp_path: Path) -> None:
    other = save_bert(tmp_path, "BertForSequenceClassification", seed=2, num_labels=1)
    opened = [(saved, {}), (other, {}), (saved, {"max_length": "12"}), (saved, {"dtype": "bf16"})]
    prints = [open_reranker(str(folder), settings, RUNTIME).fingerprint() for folder, settings in opened]
    assert len(set(prints)) == 4
    assert open_reranker(f"cross_encoder:{saved}", {"batch_size": "3"}, RUNTIME).fingerprint() == prints[0]
    trusting = open_reranker(str(saved), {}, Runtime(device="cpu", trust_remote_code=True))
    assert trusting.fingerprint() not in prints
    parameters = open_reranker(str(saved), {}, RUNTIME).parameters
    assert (parameters["max_length"], parameters["dtype"], parameters["trust_remote_code"]) == (64, "fp32", False)


def test_a_pair_has_the_score_it_has_alone_where_padding_moves_positions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 150, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0}
    config = transformers.GPT2Config(**sizes, initializer_range=0.4, num_labels=1)
    transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    configuration = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(configuration | {"padding_side": "left"}))
    reranker = open_reranker(str(tmp_path), {"batch_size": "16"}, RUNTIME)
    alone = np.concatenate([reranker.score([pair]) for pair in PAIRS])
    np.testing.assert_allclose(reranker.score(PAIRS), alone, atol=1e-4)
    assert reranker.parameters["batch_size"] == 1
    assert np.ptp(alone) > 0.1


def test_a_model_of_several_classes_is_refused(tmp_path: Path) -> None:
    save_bert(tmp_path, "BertForSequenceClassification", num_labels=3)
    with pytest.raises(RetrieverError, match="gives 3 scores for a pair: a reranker gives one"):
        open_reranker(str(tmp_path), {}, RUNTIME)


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    save_bert(tmp_path, "BertModel", num_labels=1)
    with pytest.raises(RetrieverError, match=r"2 weights are missing, among them classifier\.bias"):
        open_reranker(str(tmp_path), {}, RUNTIME)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    save_bert(tmp_path, "BertForSequenceClassification", num_labels=1, initializer_range=1e38)
    with pytest.raises(RetrieverError, match="has NaN or infinite values"):
        open_reranker(str(tmp_path), {}, RUNTIME)


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "find_spec", lambda library: None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlbench\[dense\]'"):
        open_reranker("some/model", {}, RUNTIME)
