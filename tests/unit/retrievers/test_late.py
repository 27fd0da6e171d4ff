"""Late-interaction encoders against the library's own similarity, on small random checkpoints."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.tiny import TEXTS, save_bert, save_tokenizer

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.embeddings.exact import grid_dot
from mlbench.errors import RetrieverError
from mlbench.open_model import open_retriever
from mlbench.protocols import Ranker, Runtime
from mlbench.retrievers import late_interaction
from mlbench.retrievers.late_interaction import LateLists

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")
SETTING = Setting("en", ("en",))
QUERIES = [Query(f"t{number}", text) for number, text in enumerate(TEXTS[:20])]
DOCUMENTS = [Document(f"{(number * 37) % 61:02}-{number}", text) for number, text in enumerate(TEXTS[10:])]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved MultiVectorEncoder with marks before queries and documents."""
    folder = tmp_path_factory.mktemp("late")
    plain = save_bert(folder / "plain", "BertModel")
    torch.manual_seed(3)
    prompts = {"query": "the ", "document": "a mat "}
    sentence_transformers.MultiVectorEncoder(str(plain), device="cpu", prompts=prompts).save(str(folder / "saved"))
    return folder / "saved"


def opened(folder: Path, **settings: str) -> LateLists:
    retriever = open_retriever(f"late:{folder}", settings, RUNTIME)
    assert isinstance(retriever, LateLists)
    assert isinstance(retriever, Ranker)
    return retriever


def scores_of(lists: LateLists) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    documents = lists.encode([document.text for document in DOCUMENTS], "document")
    return lists.scorer(documents)(lists.encode([query.text for query in QUERIES], "query"))


@pytest.mark.parametrize("name", ["maxsim", "meanmaxsim"])
def test_scores_are_those_of_the_library(saved: Path, name: str) -> None:
    library = sentence_transformers.MultiVectorEncoder(str(saved), device="cpu", similarity_fn_name=name)
    queries = library.encode_query([query.text for query in QUERIES])
    documents = library.encode_document([document.text for document in DOCUMENTS])
    expected = library.similarity(queries, documents).numpy()
    lengths = [len(tokens) for tokens in queries] if name == "meanmaxsim" else [1] * len(queries)
    scores = scores_of(opened(saved))
    np.testing.assert_allclose(scores / np.array(lengths)[:, None], expected, atol=1e-5)
    assert np.ptp(expected, axis=1).min() > 0.02


def test_scores_are_exact_however_the_work_is_cut(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = opened(saved)
    scores = scores_of(lists)
    monkeypatch.setattr(late_interaction, "_TILE_TOKENS", 37)
    monkeypatch.setattr(late_interaction, "_CELLS", 500)
    assert (scores_of(lists) == scores).all()
    [query], [document] = lists.encode([QUERIES[2].text], "query"), lists.encode([DOCUMENTS[3].text], "document")
    rows = [[[Fraction(x) for x in row] for row in grid_dot(side).tolist()] for side in (query, document)]
    assert all(x.denominator <= 2**26 for side in rows for row in side for x in row)
    best = [max(sum(x * y for x, y in zip(a, b, strict=True)) for b in rows[1]) for a in rows[0]]
    assert lists.scorer([document])([query])[0, 0] == sum(Fraction(round(x * 2**40), 2**40) for x in best)


def test_a_text_has_the_scores_it_has_alone_where_a_network_mixes_in_padding(tmp_path: Path) -> None:
    torch.manual_seed(3)
    sizes = {"vocab_size": 150, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}
    config = transformers.FNetConfig(**sizes, initializer_range=0.4)
    transformers.FNetModel(config).save_pretrained(tmp_path / "plain")
    save_tokenizer(tmp_path / "plain")
    model = sentence_transformers.MultiVectorEncoder(str(tmp_path / "plain"), device="cpu")
    model.save(str(tmp_path / "saved"))
    lists = opened(tmp_path / "saved")
    texts = [document.text for document in DOCUMENTS]
    for text, tokens in zip(texts, lists.encode(texts, "document"), strict=True):
        np.testing.assert_allclose(tokens, lists.encode([text], "document")[0], atol=1e-5)
    assert lists.parameters["batch_size"] == 1


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


def test_a_document_without_tokens_comes_last(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists = opened(saved)
    documents = lists.encode([document.text for document in DOCUMENTS[:4]], "document")
    queries = lists.encode([query.text for query in QUERIES], "query")
    documents[2] = documents[2][:0]
    scores = lists.scorer(documents)(queries)
    assert (scores.argmin(axis=1) == 2).all()
    assert np.isneginf(scores[:, 2]).all()
    assert (lists.scorer([documents[2]])(queries) == -np.inf).all()


def test_prompts(saved: Path) -> None:
    lists, other = opened(saved), opened(saved, query_prompt="", document_prompt="cat ")
    assert (lists.parameters["query_prompt"], lists.parameters["document_prompt"]) == ("the ", "a mat ")
    assert lists.fingerprint() != other.fingerprint()
    assert lists.fingerprint() == opened(saved, batch_size="5").fingerprint()
    library = sentence_transformers.MultiVectorEncoder(str(saved), device="cpu")
    expected = library.similarity(
        library.encode([query.text for query in QUERIES], prompt="", task="query"),
        library.encode([document.text for document in DOCUMENTS], prompt="cat ", task="document"),
    )
    np.testing.assert_allclose(scores_of(other), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "dense"])
def test_a_model_of_one_vector_for_each_text_is_refused(kind: str, tmp_path: Path) -> None:
    save_bert(tmp_path / "plain", "BertModel")
    if kind == "dense":
        sentence_transformers.SentenceTransformer(str(tmp_path / "plain"), device="cpu").save(str(tmp_path / "dense"))
    with pytest.raises(RetrieverError, match="is no late-interaction encoder"):
        open_retriever(f"late:{tmp_path / kind}", {}, RUNTIME)
