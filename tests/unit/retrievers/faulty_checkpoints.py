"""Rows of cross-encoders, of tokenizers without a vocabulary, and of checkpoints with faults."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from unit.retrievers.checkpoint_rows import NO_POOLING, TEXTS, Floats, Row, network, save_tokenizer
from unit.retrievers.library_checkpoints import library_class, saved, transformer

RERANKER = "let it re-rank"
CODE = "--trust-remote-code"


def edited(folder: Path, name: str, **changes: Any) -> None:
    """Change keys of a JSON file; `None` takes one out."""
    content = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
    content = {key: value for key, value in (content | changes).items() if value is not None}
    (folder / name).write_text(json.dumps(content))


def bert(*, auto: str = "AutoModel", file: str = "", kind: str = "bert", **changes: Any) -> Callable[[Path], None]:
    """Return what saves a small network and changes keys of one of its files."""
    options = {key: changes.pop(key) for key in ("num_labels",) if key in changes}
    save, _ = network(kind, auto=auto, **options)

    def write(folder: Path) -> None:
        save(folder)
        if file:
            edited(folder, file, **changes)

    return write


def config(**changes: Any) -> Callable[[Path], None]:
    """Return what saves a BERT and changes keys of its `config.json`."""
    return bert(file="config.json", **changes)


def only(*names: str) -> Callable[[Path], None]:
    """Return what saves a network whose weights are replaced by empty files of these names."""

    def write(folder: Path) -> None:
        bert()(folder)
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).write_bytes(b"")

    return write


def gguf(folder: Path) -> None:
    """Write a folder of llama.cpp's."""
    folder.mkdir(exist_ok=True)
    (folder / "model-q4_0.gguf").write_bytes(b"GGUF")


def without_padding(folder: Path) -> None:
    """Write a decoder whose tokenizer has no padding token."""
    save, _ = network("gpt2", auto="AutoModelForCausalLM", n_positions=128)
    save(folder)
    save_tokenizer(folder, pad=False)


def characters(kind: str, tokenizer: str, **options: Any) -> tuple[Callable[[Path], None], Any]:
    """Return what saves and what encodes with a network whose tokenizer knows bytes or characters."""
    save, encode = network(kind, **options)

    def write(folder: Path) -> None:
        import transformers

        save(folder)
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            (folder / name).unlink(missing_ok=True)
        getattr(transformers, tokenizer)().save_pretrained(folder)

    return write, encode


def sharded(folder: Path) -> None:
    """Write a network whose weights lie in several files."""
    import transformers

    network("bert")[0](folder)
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")


def in_bf16(folder: Path) -> None:
    """Write a network whose weights are saved in bf16."""
    import torch
    import transformers

    network("bert")[0](folder)
    transformers.AutoModel.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)


def short_table(folder: Path) -> None:
    """Write a network with fewer word vectors than its tokenizer has tokens."""
    network("bert", vocab_size=20)[0](folder)


def cross_encoder(folder: Path) -> None:
    """Write a cross-encoder as the library saves it."""
    from sentence_transformers import CrossEncoder

    place = folder.with_name(f"{folder.name}-plain")
    sequence_classifier(place)
    CrossEncoder(str(place), device="cpu").save_pretrained(str(folder), create_model_card=False)


def sequence_classifier(folder: Path) -> None:
    """Write a network with one score for a text."""
    bert(auto="AutoModelForSequenceClassification", num_labels=1)(folder)


def euclidean(folder: Path) -> None:
    """Write a model that compares vectors by their distance."""
    saved(lambda place: [transformer(place), library_class("Pooling")(32, "mean")], similarity_fn_name="euclidean")(
        folder
    )


OWN_TOKENIZER = {"AutoTokenizer": ["own.Tokenizer", None]}
T5 = {"vocab_size": 384, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
CANINE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "num_hash_buckets": 128,
    "downsampling_rate": 2,
    "upsampling_kernel_size": 2,
    "local_transformer_stride": 8,
    "max_position_embeddings": 128,
}
BYT5 = characters("t5", "ByT5Tokenizer", encoder=True, small=T5)
CANINES = characters("canine", "CanineTokenizer", small=CANINE)


def logits(folder: Path, texts: Sequence[str]) -> Floats:
    """Return the score of each pair, read alone with transformers alone."""
    import torch
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        pairs = [tokenizer(TEXTS[1], text, return_tensors="pt") for text in texts]
        return np.array([float(model(**pair).logits[0, 0]) for pair in pairs])


def reranker(name: str, kind: str, **options: Any) -> Row:
    """Return the row of a network with one score, as the reranker of a system."""
    save, _ = network(kind, auto="AutoModelForSequenceClassification", num_labels=1, **options)
    return Row(name, save, logits, opened="cross_encoder")


def unpadded(folder: Path) -> None:
    """Write a reranker that reads the last token, and whose tokenizer has no padding token."""
    save, _ = network("llama", auto="AutoModelForSequenceClassification", num_labels=1, pad_token_id=None)
    save(folder)
    save_tokenizer(folder, pad=False)


RERANKERS = (
    Row("...ForSequenceClassification as a model", sequence_classifier, refusal=RERANKER),
    Row("CrossEncoder as a model", cross_encoder, refusal=RERANKER),
    reranker("BERT, re-ranking", "bert"),
    reranker("XLM-RoBERTa, re-ranking", "xlm-roberta"),
    reranker("DeBERTa-v2, re-ranking", "deberta-v2"),
    reranker("ModernBERT, re-ranking", "modernbert", local_attention=8),
    reranker("GTE, re-ranking", "gte"),
    reranker("FNet, re-ranking", "fnet"),
    reranker("GPT-2 padded left, re-ranking", "gpt2", side="left"),
    reranker("LLaMA, re-ranking", "llama"),
    reranker("Qwen3 padded left, re-ranking", "qwen3", side="left", num_key_value_heads=2, head_dim=8),
    Row("no padding token, re-ranking", unpadded, logits, opened="cross_encoder", warning="no padding token"),
)
FAULTY = (
    Row("no padding token", without_padding, network("gpt2")[1], pooled="mean", warning="no padding token"),
    Row("ByT5 (bytes)", *BYT5, pooled="mean", warning=NO_POOLING),
    Row("CANINE (characters)", *CANINES, pooled="mean", warning=NO_POOLING),
    Row("weights in several files", sharded, network("bert")[1], pooled="mean", warning=NO_POOLING),
    Row("weights saved in bf16", in_bf16, network("bert")[1], pooled="mean", warning=NO_POOLING),
    Row("auto_map", config(auto_map={"AutoModel": "own.Model"}), refusal=CODE),
    Row(
        "auto_map of a tokenizer",
        bert(file="tokenizer_config.json", auto_map=OWN_TOKENIZER),
        refusal=CODE,
    ),
    Row("more tokens than vectors", short_table, refusal="no vector for"),
    Row(
        "bitsandbytes",
        config(quantization_config={"load_in_4bit": True}),
        refusal="library bitsandbytes",
    ),
    Row(
        "GPTQ",
        config(quantization_config={"quant_method": "gptq", "bits": 4}),
        refusal="library gptqmodel",
    ),
    Row(
        "AWQ",
        config(quantization_config={"quant_method": "awq", "bits": 4}),
        refusal="library gptqmodel",
    ),
    Row("TensorFlow's weights", only("tf_model.h5"), refusal="in TensorFlow's form only"),
    Row("Flax's weights", only("flax_model.msgpack"), refusal="in Flax's form only"),
    Row("GGUF", gguf, refusal="in llama.cpp's form only"),
    Row("pickled weights", only("pytorch_model.bin"), refusal="--allow-pickle"),
    Row("no weights", only(), refusal="no weights"),
    Row("similarity euclidean", euclidean, refusal="--set similarity"),
)
