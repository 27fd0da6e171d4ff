"""Rows of checkpoints that sentence-transformers, PyLate and ColBERT save: modules, sparse, late, cross-encoders."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from unit.retrievers.checkpoint_rows import NO_POOLING, WORDS, Floats, Row, network, save_tokenizer

LIBRARY = "sentence-transformers"
NO_MODULES = "modules.json is missing"
Modules = Callable[[Path], list[Any]]


def by_library(folder: Path, texts: Sequence[str]) -> Floats:
    """Encode each text alone with sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return np.concatenate([model.encode([text], show_progress_bar=False) for text in texts])


def sparse_by_library(folder: Path, texts: Sequence[str]) -> Floats:
    """Return the products of texts with texts, each encoded alone by a SparseEncoder."""
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(folder), device="cpu")
    sides = [
        np.concatenate([encode([text]).to_dense().cpu().numpy() for text in texts])
        for encode in (model.encode_query, model.encode_document)
    ]
    return sides[0] @ sides[1].T


def late_by_library(folder: Path, texts: Sequence[str]) -> Floats:
    """Return the MaxSim of texts with texts, each encoded alone by a MultiVectorEncoder."""
    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(folder), device="cpu")
    sides = [[encode([text])[0] for text in texts] for encode in (model.encode_query, model.encode_document)]
    return np.array([[float((q @ d.T).max(dim=1).values.sum()) for d in sides[1]] for q in sides[0]])


def bert(folder: Path, auto: str = "AutoModel", **options: Any) -> Path:
    """Write a plain BERT, and return its folder."""
    save, _ = network("bert", auto=auto, **options)
    save(folder)
    return folder


def transformer(folder: Path, kind: str = "bert", **options: Any) -> Any:
    """Return the library's module of a plain network that is written beside `folder`."""
    from sentence_transformers.base.modules import Transformer

    place = folder.with_name(f"{folder.name}-plain")
    task = options.pop("task", "feature-extraction")
    arguments = options.pop("config_kwargs", None)
    save, _ = network(kind, **options)
    save(place)
    return Transformer(str(place), transformer_task=task, config_kwargs=arguments)


def library_class(name: str) -> Any:
    """Return a class of sentence-transformers by its name."""
    import sentence_transformers.base.modules as base
    import sentence_transformers.sentence_transformer.modules as dense
    import sentence_transformers.sparse_encoder.modules as sparse

    return next(getattr(place, name) for place in (base, dense, sparse) if hasattr(place, name))


def saved(modules: Modules, owner: str = "SentenceTransformer", **options: Any) -> Callable[[Path], None]:
    """Return what saves modules as a model of the library."""

    def save(folder: Path) -> None:
        import sentence_transformers
        import torch

        torch.manual_seed(2)
        model = getattr(sentence_transformers, owner)(modules=modules(folder), device="cpu", **options)
        model.save_pretrained(str(folder), create_model_card=False)

    return save


def of_modules(name: str, modules: Modules, **options: Any) -> Row:
    """Return the row of a dense model of the library's modules."""
    return Row(name, saved(modules), by_library, LIBRARY, **options)


def pooled(mode: Any) -> Row:
    """Return the row of a pooling mode."""
    name = mode if isinstance(mode, str) else "+".join(mode)
    return of_modules(
        f"Transformer, Pooling ({name})",
        lambda folder: [transformer(folder), library_class("Pooling")(32, mode)],
        pooled=name,
    )


def in_mean(name: str, modules: Modules) -> Row:
    """Return the row of a dense model that pools by the mean."""
    return of_modules(name, modules, pooled="mean")


def pooling(size: int) -> Any:
    """Return the module that takes the mean of token vectors."""
    return library_class("Pooling")(size, "mean")


def with_head(name: str, head: Callable[[], list[Any]]) -> Row:
    """Return the row of a mean-pooled transformer with modules behind it."""
    return in_mean(name, lambda folder: [transformer(folder), pooling(32), *head()])


def words(folder: Path) -> Any:
    """Return the module of word vectors, with a tokenizer that splits at blanks."""
    import torch
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    tokenizer = WhitespaceTokenizer(list(WORDS), stop_words=[])
    return library_class("WordEmbeddings")(tokenizer, torch.randn(len(WORDS), 16))


def weights() -> Any:
    """Return the module that weighs words."""
    return library_class("WordWeights")(list(WORDS), {"cat": 2.0})


def all_layers(folder: Path) -> list[Any]:
    """Return a transformer whose layers are averaged with weights."""
    import torch

    first = transformer(folder, config_kwargs={"output_hidden_states": True})
    parts = torch.nn.Parameter(torch.tensor([0.5, 1.0, 2.0]))
    layers = library_class("WeightedLayerPooling")(32, num_hidden_layers=2, layer_start=0, layer_weights=parts)
    return [first, layers, pooling(32)]


def last_token(folder: Path) -> list[Any]:
    """Return a language model that is pooled at its last token, as Qwen3-Embedding is."""
    first = transformer(folder, "qwen3", side="left", num_key_value_heads=2, head_dim=8)
    return [first, library_class("Pooling")(32, "lasttoken"), library_class("Normalize")()]


def routed(folder: Path) -> list[Any]:
    """Return a router with a layer for queries and another for documents."""
    layer = library_class("Dense")
    return [
        transformer(folder),
        pooling(32),
        library_class("Router").for_query_document([layer(32, 16)], [layer(32, 16)]),
    ]


def static(folder: Path) -> list[Any]:
    """Return a table of subword vectors, and a layer that `static` does not read."""
    from transformers import AutoTokenizer

    place = folder.with_name(f"{folder.name}-plain")
    save_tokenizer(place)
    tokenizer = AutoTokenizer.from_pretrained(place)
    return [library_class("StaticEmbedding")(tokenizer, embedding_dim=16), library_class("Dense")(16, 8)]


def bag(folder: Path) -> list[Any]:
    """Return a bag of words with a weight for each."""
    return [library_class("BoW")(list(WORDS), {"cat": 2.0, "1984": 0.5})]


def drop(*names: str) -> Callable[[Path], None]:
    """Return what saves a mean-pooled model and then removes files."""

    def save(folder: Path) -> None:
        saved(lambda place: [transformer(place), library_class("Pooling")(32, "cls")])(folder)
        for name in names:
            (folder / name).unlink()

    return save


def lstm_without_lengths(folder: Path) -> list[Any]:
    """Return modules that do not fit: an LSTM asks for lengths that a transformer does not give."""
    return [transformer(folder), library_class("LSTM")(32, 8), pooling(16)]


def head(name: str, *arguments: Any, **options: Any) -> Callable[[], list[Any]]:
    """Return what makes a list of one module."""
    return lambda: [library_class(name)(*arguments, **options)]


MODULES = (
    *map(pooled, ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("cls", "mean"))),
    of_modules("Qwen3 padded left, Pooling, Normalize", last_token, pooled="lasttoken"),
    with_head("Transformer, Pooling, Dense", head("Dense", 32, 16)),
    with_head("Transformer, Pooling, Normalize", head("Normalize")),
    with_head("Transformer, Pooling, LayerNorm", head("LayerNorm", 32)),
    with_head("Transformer, Pooling, Dropout", head("Dropout", 0.5)),
    in_mean("Transformer, WeightedLayerPooling, Pooling", all_layers),
    in_mean("Transformer, Pooling, Router", routed),
    in_mean("Transformer, CNN, Pooling", lambda f: [transformer(f), library_class("CNN")(32, 8), pooling(24)]),
    in_mean("WordEmbeddings, Pooling", lambda f: [words(f), pooling(16)]),
    in_mean(
        "WordEmbeddings, WordWeights, Pooling",
        lambda f: [
            words(f),
            weights(),
            pooling(16),
        ],
    ),
    in_mean("WordEmbeddings, LSTM, Pooling", lambda f: [words(f), library_class("LSTM")(16, 8), pooling(16)]),
    in_mean("WordEmbeddings, CNN, Pooling", lambda f: [words(f), library_class("CNN")(16, 8), pooling(24)]),
    of_modules("BoW", bag),
    of_modules("StaticEmbedding, Dense", static),
    Row("Transformer, LSTM, Pooling", saved(lstm_without_lengths), refusal="cannot encode a text: KeyError"),
    Row(
        "modules.json missing",
        drop("modules.json"),
        by_library,
        LIBRARY,
        pooled="mean",
        warning="modules.json is missing",
    ),
)


def pylate(folder: Path) -> None:
    """Write what PyLate 3 writes: a transformer, a layer for each token, no pooling."""
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    saved(lambda place: [transformer(place), library_class("Dense")(32, 8, bias=False, **names)])(folder)
    for place in folder.glob("1_Dense/config.json"):
        layer = json.loads(place.read_text())
        place.write_text(json.dumps({key: value for key, value in layer.items() if key not in names}))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"model_type": "ColBERT", "query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 32})
    )
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "pylate.models.Dense.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))


def colbert(folder: Path, *, architecture: str = "HF_ColBERT") -> None:
    """Write what ColBERT itself writes: the projection stands among the network's weights."""
    import torch
    from safetensors.torch import load_file, save_file

    bert(folder)
    torch.manual_seed(4)
    tensors = {f"bert.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file({**tensors, "linear.weight": torch.randn(8, 32)}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [architecture]}))
    (folder / "artifact.metadata").write_text(json.dumps({"query_maxlen": 16, "doc_maxlen": 64}))


def token_level(folder: Path, kind: str = "bert", **options: Any) -> list[Any]:
    """Return a transformer with a vector for each token."""
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    return [
        transformer(folder, kind, **options),
        library_class("Dense")(32, 8, bias=False, **names),
        MultiVectorMask(),
        library_class("Normalize")("token_embeddings"),
    ]


def splade(folder: Path, kind: str = "bert", **options: Any) -> list[Any]:
    """Return a masked language model whose logits are pooled."""
    first = transformer(folder, kind, auto="AutoModelForMaskedLM", task="fill-mask", **options)
    return [first, library_class("SpladePooling")("max")]


def inference_free(folder: Path) -> list[Any]:
    """Return SPLADE for documents, and a table of weights for queries."""
    first = transformer(folder, auto="AutoModelForMaskedLM", task="fill-mask")
    import torch

    table = library_class("SparseStaticEmbedding")(first.tokenizer, torch.rand(120))
    router = library_class("Router").for_query_document([table], [first, library_class("SpladePooling")("max")])
    return [router]


def contrastive_sparse(folder: Path) -> list[Any]:
    """Return a dense model with a sparse autoencoder (CSR)."""
    return [transformer(folder), pooling(32), library_class("SparseAutoEncoder")(32, 64, k=8)]


def of_sparse(name: str, modules: Modules) -> Row:
    """Return the row of a saved SparseEncoder."""
    return Row(name, saved(modules, "SparseEncoder"), sparse_by_library, LIBRARY, opened="sparse")


def of_late(name: str, modules: Modules) -> Row:
    """Return the row of a saved MultiVectorEncoder."""
    return Row(name, saved(modules, "MultiVectorEncoder"), late_by_library, LIBRARY, opened="late")


SPARSE = (
    of_sparse("SPLADE", splade),
    of_sparse("SPLADE of XLM-RoBERTa", lambda folder: splade(folder, "xlm-roberta")),
    of_sparse("SPLADE of ModernBERT", lambda folder: splade(folder, "modernbert", local_attention=8)),
    of_sparse("SPLADE of FNet", lambda folder: splade(folder, "fnet")),
    of_sparse("SPLADE, inference-free queries", inference_free),
    of_sparse("CSR (SparseAutoEncoder)", contrastive_sparse),
    Row("SPLADE without modules", lambda f: bert(f, "AutoModelForMaskedLM"), None, pooled="mean", warning=NO_POOLING),
)
LATE = (
    of_late("MultiVectorEncoder", token_level),
    of_late("MultiVectorEncoder of XLM-RoBERTa", lambda folder: token_level(folder, "xlm-roberta")),
    of_late("MultiVectorEncoder of ModernBERT", lambda folder: token_level(folder, "modernbert", local_attention=8)),
    of_late("MultiVectorEncoder of FNet", lambda folder: token_level(folder, "fnet")),
    Row("PyLate", pylate, late_by_library, LIBRARY, opened="late"),
    Row("ColBERT", colbert, late_by_library, LIBRARY, opened="late"),
    Row("ColBERT without its architecture", lambda f: colbert(f, architecture="BertModel"), refusal="no projection"),
)
