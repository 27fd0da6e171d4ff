"""Sparse encoders against the library's own similarity, on small random checkpoints."""

from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.tiny import TEXTS, save_bert

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Ranker, Runtime
from mlbench.retrievers.sparse import SparseLists

torch = pytest.importorskip("torch")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")
SETTING = Setting("en", ("en",))
QUERIES = [Query(f"t{number}", text) for number, text in enumerate(TEXTS[:20])]
DOCUMENTS = [Document(f"{(number * 37) % 61:02}-{number}", text) for number, text in enumerate(TEXTS[10:])]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("splade"), "BertForMaskedLM")


def opened(folder: Path, **settings: str) -> SparseLists:
    retriever = open_retriever(f"sparse:{folder}", settings, RUNTIME)
    assert isinstance(retriever, SparseLists)
    assert isinstance(retriever, Ranker)
    return retriever


def scores_of(lists: SparseLists) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    documents = lists.encode([document.text for document in DOCUMENTS], "document")
    return lists.scorer(documents)(lists.encode([query.text for query in QUERIES], "query"))


@pytest.mark.parametrize("batch_size", ["3", "32"])
def test_scores_are_those_of_the_library(saved: Path, batch_size: str) -> None:
    library = sentence_transformers.SparseEncoder(str(saved), device="cpu")
    queries = library.encode_query([query.text for query in QUERIES])
    documents = library.encode_document([document.text for document in DOCUMENTS])
    expected = library.similarity(queries, documents).to_dense().numpy()
    scores = scores_of(opened(saved, batch_size=batch_size))
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    assert np.ptp(expected) > 1


def test_scores_are_exact(saved: Path) -> None:
    lists = opened(saved)
    queries, documents = lists.encode(TEXTS[:5], "query"), lists.encode(TEXTS, "document")
    scores = lists.scorer(documents)(queries)
    for row, query in enumerate(queries):
        for column, document in enumerate(documents):
            weights = {int(word): int(weight * 2**40) for word, weight in zip(query.words, query.weights, strict=True)}
            assert all(weight == whole / 2**40 for weight, whole in zip(query.weights, weights.values(), strict=True))
            exact = sum(
                weights.get(int(word), 0) * int(weight * 2**40)
                for word, weight in zip(document.words, document.weights, strict=True)
            )
            assert scores[row, column] == exact / 2**80
            assert int(scores[row, column] * 2**80) == exact


def test_all_documents_are_listed_by_score_then_id(saved: Path) -> None:
    lists = opened(saved)
    scores = scores_of(lists)
    found = lists.search(SETTING, QUERIES, DOCUMENTS, len(DOCUMENTS))
    for row, doc_ids in zip(scores, found, strict=True):
        ordered = sorted(zip(row.tolist(), [document.doc_id for document in DOCUMENTS], strict=True), reverse=True)
        assert doc_ids == [doc_id for _, doc_id in ordered]
    assert lists.search(SETTING, QUERIES, DOCUMENTS, 3) == [doc_ids[:3] for doc_ids in found]
    assert lists.search(SETTING, [], DOCUMENTS, 3) == []
    assert lists.search(SETTING, QUERIES[:1], [], 3) == [[]]


def test_each_text_is_encoded_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists, texts = opened(saved), []
    encode = lists.encode
    monkeypatch.setattr(
        lists, "encode", lambda chunk, role: texts.extend((role, t) for t in chunk) or encode(chunk, role)
    )
    for documents in (DOCUMENTS[:30], DOCUMENTS[20:], [*DOCUMENTS, Document("zz", DOCUMENTS[0].text)]):
        lists.search(SETTING, QUERIES, documents, 5)
    assert len(texts) == len(set(texts)) == len(set(TEXTS[:20])) + len(set(TEXTS[10:]))


def test_a_saved_sparse_encoder_opens_with_its_prompts_and_similarity(saved: Path, tmp_path: Path) -> None:
    model = sentence_transformers.SparseEncoder(
        str(saved), device="cpu", prompts={"query": "the cat ", "document": ""}, similarity_fn_name="cosine"
    )
    model.save(str(tmp_path / "saved"))
    lists = opened(tmp_path / "saved")
    assert (lists.parameters["query_prompt"], lists.parameters["similarity"]) == ("the cat ", "cosine")
    expected = model.similarity(
        model.encode_query([query.text for query in QUERIES]),
        model.encode_document([document.text for document in DOCUMENTS]),
    )
    np.testing.assert_allclose(scores_of(lists), expected.to_dense().numpy(), atol=1e-6)
    without = opened(tmp_path / "saved", query_prompt="")
    assert not np.allclose(scores_of(without), scores_of(lists))
    assert without.fingerprint() != lists.fingerprint() != opened(saved).fingerprint()
    assert opened(saved).fingerprint() == opened(saved, batch_size="3").fingerprint()


@pytest.mark.parametrize("kind", ["plain", "dense"])
def test_a_model_that_is_not_sparse_is_refused(kind: str, tmp_path: Path) -> None:
    save_bert(tmp_path / "plain", "BertModel")
    if kind == "dense":
        sentence_transformers.SentenceTransformer(str(tmp_path / "plain"), device="cpu").save(str(tmp_path / "dense"))
    with pytest.raises(RetrieverError, match="is no sparse encoder"):
        open_retriever(f"sparse:{tmp_path / kind}", {}, RUNTIME)


def test_a_model_with_another_similarity_is_refused(saved: Path, tmp_path: Path) -> None:
    model = sentence_transformers.SparseEncoder(str(saved), device="cpu", similarity_fn_name="euclidean")
    model.save(str(tmp_path))
    with pytest.raises(RetrieverError, match="compares vectors by euclidean"):
        open_retriever(f"sparse:{tmp_path}", {}, RUNTIME)
