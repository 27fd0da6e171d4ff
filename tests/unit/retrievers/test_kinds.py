"""A checkpoint is opened as what it is, by folder and by hub id; what was guessed or lacked is told."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from unit.retrievers.checkpoint_rows import TEXTS, network, save_tokenizer
from unit.retrievers.faulty_checkpoints import edited
from unit.retrievers.library_checkpoints import bert, colbert, pylate, saved, splade, token_level, transformer

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.open_model import open_model, open_retriever, parse
from mlbench.protocols import Runtime, Silence
from mlbench.retrievers.dense import DenseEncoder
from mlbench.retrievers.kinds import kind_of_checkpoint
from mlbench.retrievers.late_interaction import LateLists
from mlbench.retrievers.pipelines.system import open_reranker
from mlbench.retrievers.sparse import SparseLists

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
sentence_transformers = pytest.importorskip("sentence_transformers")

torch.set_num_threads(1)

RUNTIME = Runtime(device="cpu")
OPENED = {"splade": SparseLists, "pylate": LateLists, "colbert": LateLists, "bert": DenseEncoder}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("kinds")
    saved(splade, "SparseEncoder")(root / "splade")
    pylate(root / "pylate")
    colbert(root / "colbert")
    bert(root / "bert")
    bert(root / "classifier", "AutoModelForSequenceClassification", num_labels=1)
    return {name: root / name for name in ("splade", "pylate", "colbert", "bert", "classifier")}


@pytest.fixture
def hub(folders: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the hub that has every folder as `someone/NAME`."""
    from huggingface_hub import constants

    for name, folder in folders.items():
        place = tmp_path / f"models--someone--{name}"
        shutil.copytree(folder, place / "snapshots" / "0123")
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("0123")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")


class Told(Silence):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize(("name", "kind"), OPENED.items())
def test_a_folder_is_opened_as_what_it_is(name: str, kind: type, folders: Mapping[str, Path]) -> None:
    assert isinstance(open_retriever(str(folders[name]), {}, RUNTIME), kind)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(("name", "kind"), OPENED.items())
def test_a_hub_id_is_opened_as_what_its_folder_is(name: str, kind: type, folders: Mapping[str, Path]) -> None:
    found = open_model(f"someone/{name}", {}, RUNTIME, Silence())
    assert isinstance(found.retriever, kind)
    assert found.spec == f"someone/{name}"
    assert found.info().fingerprint == open_model(str(folders[name]), {}, RUNTIME, Silence()).info().fingerprint


@pytest.mark.parametrize("scheme", ["dense", "sparse", "late"])
def test_a_scheme_that_is_named_opens_no_other_kind(scheme: str, folders: Mapping[str, Path]) -> None:
    right = {"splade": "sparse", "pylate": "late", "colbert": "late"}
    for name, kind in right.items():
        if kind != scheme:
            with pytest.raises(RetrieverError, match=rf"{name} is .*: open it as {kind}:.*{name}$"):
                open_retriever(f"{scheme}:{folders[name]}", {}, RUNTIME)
    with pytest.raises(RetrieverError, match=r'is a cross-encoder.* let it re-rank.* of kind = "rerank"'):
        open_retriever(f"{scheme}:{folders['classifier']}", {}, RUNTIME)


@pytest.mark.usefixtures("hub")
def test_a_hub_id_of_a_named_scheme_or_a_cross_encoder_is_refused() -> None:
    with pytest.raises(RetrieverError, match="open it as sparse:someone/splade"):
        open_retriever("dense:someone/splade", {}, RUNTIME)
    with pytest.raises(RetrieverError, match="someone/classifier is a cross-encoder"):
        open_retriever("someone/classifier", {}, RUNTIME)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, "dense"),
        ({"config.json": {"architectures": ["BertForMaskedLM"]}}, "dense"),
        ({"config.json": {"architectures": ["HF_ColBERT"]}}, "late"),
        ({"artifact.metadata": {}}, "late"),
        ({"config_sentence_transformers.json": {"query_prefix": "[Q] "}}, "late"),
        ({"config_sentence_transformers.json": {"model_type": "SparseEncoder"}}, "sparse"),
        ({"config_sentence_transformers.json": {"model_type": "CrossEncoder"}}, "cross_encoder"),
        ({"modules.json": [{"type": "pylate.models.Dense.Dense"}]}, "late"),
        ({"modules.json": [{"type": "sentence_transformers.sparse_encoder.models.SpladePooling"}]}, "sparse"),
        ({"config.json": {"architectures": ["XLMRobertaForSequenceClassification"]}}, "cross_encoder"),
        ({"config.json": {"sbert_ce_default_activation_function": "torch.nn.Sigmoid"}}, "cross_encoder"),
        ({"config.json": {"sentence_transformers": {"activation_fn": "torch.nn.Sigmoid"}}}, "cross_encoder"),
        (
            {
                "config.json": {"architectures": ["BertForSequenceClassification"]},
                "modules.json": [{"type": "sentence_transformers.models.Transformer"}],
            },
            "dense",
        ),
    ],
)
def test_kinds_are_told_by_configuration(files: dict[str, object], kind: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    assert kind_of_checkpoint(tmp_path) == kind
    assert parse(str(tmp_path))[0] == (kind if kind in ("sparse", "late") else "dense")


def test_a_multi_vector_encoder_without_modules_is_refused(tmp_path: Path) -> None:
    saved(token_level, "MultiVectorEncoder")(tmp_path / "late")
    (tmp_path / "late" / "modules.json").unlink()
    with pytest.raises(RetrieverError, match="no projection that could be read"):
        open_retriever(str(tmp_path / "late"), {}, RUNTIME)


def test_warnings_are_notes_of_the_run(folders: Mapping[str, Path]) -> None:
    told = Told()
    open_model(str(folders["bert"]), {}, RUNTIME, told)
    name = "/".join(folders["bert"].parts[-2:])
    assert told.notes == [
        f"warning: {name}: the checkpoint saves no pooling: tokens are pooled by mean, as of a network without modules"
        "; choose with --set pooling="
    ]
    told = Told()
    open_model(str(folders["bert"]), {"pooling": "mean"}, RUNTIME, told)
    assert told.notes == []


def test_a_language_model_is_pooled_at_its_last_token_and_says_so(tmp_path: Path) -> None:
    network("llama", auto="AutoModelForCausalLM", num_key_value_heads=2)[0](tmp_path)
    [warning] = open_model(str(tmp_path), {}, RUNTIME, Silence()).retriever.warnings
    assert "pooled by lasttoken, as of a language model that reads from left to right" in warning


def test_code_of_a_network_that_transformers_has_as_well_is_not_left_out(tmp_path: Path) -> None:
    network("qwen2", auto="AutoModelForCausalLM")[0](tmp_path)
    edited(tmp_path, "config.json", auto_map={"AutoModel": "modeling_qwen.Qwen2Model"})
    with pytest.raises(RetrieverError, match=r"modeling_qwen\.Qwen2Model.*pass --trust-remote-code"):
        open_retriever(str(tmp_path), {}, RUNTIME)


def test_modules_of_a_checkpoints_own_are_not_imported(tmp_path: Path, folders: Mapping[str, Path]) -> None:
    shutil.copytree(folders["bert"], tmp_path / "own")
    (tmp_path / "own" / "modules.json").write_text(json.dumps([{"name": "0", "path": "", "type": "custom_st.Model"}]))
    with pytest.raises(RetrieverError, match=r"custom_st\.Model.*pass --trust-remote-code"):
        open_retriever(str(tmp_path / "own"), {}, RUNTIME)


# The first position of RoBERTa's kind is that behind the padding, which MPNet gives the number 1.
@pytest.mark.parametrize(
    ("kind", "limit"), [("xlm-roberta", 39), ("bert", 40), ("mpnet", 38), ("gpt2", 40), ("opt", 40)]
)
@pytest.mark.parametrize("saved_limit", [None, 60])
def test_a_text_is_cut_where_positions_end(kind: str, limit: int, saved_limit: int | None, tmp_path: Path) -> None:
    wider = {"word_embed_proj_dim": 32} if kind == "opt" else {}
    network(kind, max_position_embeddings=40, **wider)[0](tmp_path)
    # It says 10^30, as tokenizers without a limit do.
    save_tokenizer(tmp_path, limit=None)
    if saved_limit is not None:
        sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu").save(str(tmp_path))
        edited(tmp_path, "sentence_bert_config.json", max_seq_length=saved_limit)
    encoder = open_retriever(str(tmp_path), {}, RUNTIME)
    assert encoder.parameters["max_length"] == limit
    long = " ".join(TEXTS) * 5
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    cut = tokenizer(long, truncation=True, max_length=limit, return_tensors="pt")
    with torch.inference_mode():
        expected = transformers.AutoModel.from_pretrained(tmp_path).eval()(**cut).last_hidden_state.mean(dim=1).numpy()
    np.testing.assert_allclose(encoder.encode([long], "document"), expected, atol=1e-5)


@pytest.mark.parametrize("ends_with", ["eos", "nothing"])
def test_a_reranker_without_padding_scores_pairs_as_alone(ends_with: str, tmp_path: Path) -> None:
    network("llama", auto="AutoModelForSequenceClassification", num_labels=1, pad_token_id=None)[0](tmp_path)
    save_tokenizer(tmp_path, pad=False)
    if ends_with == "nothing":
        edited(tmp_path, "tokenizer_config.json", eos_token="[CLS]")
        content = json.loads((tmp_path / "tokenizer.json").read_text()) | {"post_processor": None}
        (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    reranker = open_reranker(str(tmp_path), {}, RUNTIME)
    assert any("no padding token" in warning for warning in reranker.warnings)
    pairs = [(TEXTS[0], text) for text in TEXTS]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    with torch.inference_mode():
        expected = [float(model(**tokenizer(*pair, return_tensors="pt")).logits[0, 0]) for pair in pairs]
    np.testing.assert_allclose(reranker.score(pairs), expected, atol=1e-5)
    assert np.ptp(expected) > 0.05


def test_a_text_beyond_the_table_is_one_line(tmp_path: Path) -> None:
    network("bert", vocab_size=121)[0](tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.add_tokens(["one", "two"])
    tokenizer.save_pretrained(tmp_path)
    encoder = open_retriever(str(tmp_path), {}, RUNTIME)
    with pytest.raises(RetrieverError, match="the tokenizer does not fit it"):
        encoder.encode(["one two"], "query")


def test_experts_of_limited_capacity_are_given_one_text_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert(tmp_path)
    forward = transformers.BertModel.forward

    def mixing(self: object, *arguments: object, **named: object) -> object:
        found = forward(self, *arguments, **named)
        # Over all tokens of a batch, as experts take tokens: texts side by side in one row meet as well.
        found.last_hidden_state = found.last_hidden_state + found.last_hidden_state.mean(dim=(0, 1), keepdim=True)
        return found

    monkeypatch.setattr(transformers.BertModel, "forward", mixing)
    encoder = open_retriever(str(tmp_path), {}, RUNTIME)
    together = encoder.encode(TEXTS, "query")
    alone = np.concatenate([encoder.encode([text], "query") for text in TEXTS])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("scheme", ["dense", "late", "reranker"])
def test_a_network_that_cannot_compute_in_a_precision_is_one_line(scheme: str, tmp_path: Path) -> None:
    # torch has no Fourier transform of bf16.
    if scheme == "late":
        saved(lambda folder: token_level(folder, "fnet"), "MultiVectorEncoder")(tmp_path / "model")
    else:
        auto = {"dense": "AutoModel", "reranker": "AutoModelForSequenceClassification"}[scheme]
        network("fnet", auto=auto, num_labels=1)[0](tmp_path / "model")
    opener = open_reranker if scheme == "reranker" else open_retriever
    with pytest.raises(RetrieverError, match=r"the checkpoint cannot encode a text: RuntimeError: [^\n]*$"):
        opener(str(tmp_path / "model"), {"dtype": "bf16"}, RUNTIME)


def test_weights_that_a_route_lacks_are_not_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import Pooling

    def routes(folder: Path) -> list[object]:
        other = transformer(folder.with_name("other"))
        return [Router.for_query_document([transformer(folder), Pooling(32)], [other, Pooling(32)])]

    saved(routes)(tmp_path / "model")
    assert isinstance(open_retriever(str(tmp_path / "model"), {}, RUNTIME), DenseEncoder)
    place = tmp_path / "model" / "document_0_Transformer" / "model.safetensors"
    tensors = load_file(place)
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, place, {"format": "pt"})
    with pytest.raises(RetrieverError, match=r"1 weights are missing, among them encoder\.layer\.1"):
        open_retriever(str(tmp_path / "model"), {}, RUNTIME)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["bert", "fnet", "llama"])
def test_a_text_without_tokens_has_one_vector_alone_and_in_a_batch(kind: str, side: str, tmp_path: Path) -> None:
    network(kind, side=side)[0](tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text()) | {"post_processor": None}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    encoder = open_retriever(str(tmp_path), {}, RUNTIME)
    texts = ["", *TEXTS]
    alone = np.concatenate([encoder.encode([text], "query") for text in texts])
    np.testing.assert_allclose(encoder.encode(texts, "query"), alone, atol=1e-5)
    np.testing.assert_array_equal(encoder.encode(["", ""], "query"), alone[[0, 0]])
    library = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(alone[0], library.encode(["", TEXTS[0]])[0], atol=1e-5)
    np.testing.assert_allclose(alone[3], library.encode([texts[3]])[0], atol=1e-5)


def test_a_blank_document_without_tokens_is_listed_last(tmp_path: Path) -> None:
    saved(splade, "SparseEncoder")(tmp_path / "model")
    place = tmp_path / "model" / "tokenizer.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"post_processor": None}))
    lists = open_retriever(str(tmp_path / "model"), {"batch_size": "2"}, RUNTIME)
    documents = [Document(f"d{number}", text) for number, text in enumerate(["", *TEXTS])]
    [found] = lists.search(Setting("en", ("en",)), [Query("q", TEXTS[0])], documents, len(documents))
    assert found[-1] == "d0"
