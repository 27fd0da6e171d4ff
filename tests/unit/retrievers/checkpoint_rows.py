"""What the rows of the table of architectures are, and how one is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

Floats = NDArray[np.floating]
WORDS = ("the", "cat", "sat", "on", "a", "mat", "Straße", "世界", "ทดสอบ", "книга", "где?", "1984")
TEXTS = (
    "a",
    "the cat",
    "the cat sat on a mat",
    "книга 世界 ทดสอบ Straße",
    "Straße где? 1984",
    "a mat sat on the cat and the cat sat on a mat 1984 книга",
)
SMALL: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
NO_POOLING = "saves no pooling"


def save_tokenizer(folder: Path, *, side: str = "right", pad: bool = True, limit: int | None = 100) -> None:
    """Write a tokenizer of pairs of letters."""
    from transformers import PreTrainedTokenizerFast

    built = Tokenizer(models.BPE(unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # As many pairs of letters as make the vocabulary full.
    pairs = [f"{a}{b} {a}{b}" for a in "abcdefgh" for b in "ijklmnop"]
    built.train_from_iterator([*TEXTS, *pairs], trainers.BpeTrainer(vocab_size=120, special_tokens=specials))
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{name.strip('[]').lower()}_token": name for name in specials}
    if not pad:
        names = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    if limit is not None:
        names["model_max_length"] = limit  # type: ignore[assignment]
    inputs = ["input_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=built, padding_side=side, model_input_names=inputs, **names
    ).save_pretrained(folder)


@dataclass(frozen=True)
class Row:
    """One architecture: `save` writes a checkpoint into a folder, `reference` encodes each text alone.

    `opened` is the scheme that opens it, `pooled` how, `library` what computes the reference. `warning` and `refusal`
    are parts of what the user is told; a refused checkpoint has no reference.
    """

    name: str
    save: Callable[[Path], None]
    reference: Callable[[Path, Sequence[str]], Floats] | None = None
    library: str = "transformers"
    opened: str = "dense"
    pooled: str = ""
    warning: str = ""
    refusal: str = ""
    tolerance: float = 1e-5
    settings: dict[str, str] = field(default_factory=dict)


def network(
    kind: str,
    *,
    auto: str = "AutoModel",
    encoder: bool = False,
    side: str = "right",
    pooled: str = "mean",
    small: dict[str, Any] = SMALL,
    **options: Any,
) -> tuple[Callable[[Path], None], Callable[[Path, Sequence[str]], Floats]]:
    """Return what saves a network of the type `kind`, and what encodes texts with transformers alone."""

    def save(folder: Path) -> None:
        import torch
        import transformers

        torch.manual_seed(1)
        config = transformers.AutoConfig.for_model(kind, **{**small, **options})
        build = _class(auto)
        model = build.from_config(config) if auto.startswith("Auto") else build(config)
        model.save_pretrained(folder)
        save_tokenizer(folder, side=side)

    def encode(folder: Path, texts: Sequence[str]) -> Floats:
        import torch
        import transformers

        model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        model = model.get_encoder() if encoder else model
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        rows = []
        for text in texts:
            with torch.inference_mode():
                states = model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0]
            rows.append((states[-1] if pooled == "lasttoken" else states.mean(dim=0)).numpy())
        return np.stack(rows)

    return save, encode


def _class(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


def plain(name: str, kind: str, **options: Any) -> Row:
    """Return the row of a network that is saved without modules."""
    causal = options.get("auto") == "AutoModelForCausalLM"
    options = {"pooled": "lasttoken" if causal else "mean", "side": "left" if causal else "right"} | options
    save, encode = network(kind, **options)
    return Row(name, save, encode, pooled=options["pooled"], warning=NO_POOLING)


@dataclass(frozen=True)
class Measured:
    """What came of opening a row's checkpoint.

    `apart` is the largest difference from the reference, `batch` that between texts together and each alone, both in
    units of the largest number of the reference. `batching` says what may share a batch.
    """

    opened: str = ""
    apart: float = 0.0
    batch: float = 0.0
    batching: str = ""
    warnings: tuple[str, ...] = ()
    refusal: str = ""


def measure(row: Row, folder: Path) -> Measured:
    """Save a row's checkpoint into `folder`, open it without a scheme, and compare what it makes of the texts."""
    from mlbench.errors import RetrieverError
    from mlbench.open_model import open_retriever
    from mlbench.protocols import Runtime
    from mlbench.retrievers.pipelines.system import open_reranker

    row.save(folder)
    # A cross-encoder is not what `--model` names, but a part of a system.
    open_it: Any = open_reranker if row.opened == "cross_encoder" else open_retriever
    try:
        retriever: Any = open_it(str(folder), row.settings, Runtime(device="cpu"))
    except RetrieverError as error:
        return Measured(refusal=str(error).replace(str(folder), "FOLDER"))
    opened, output = OPENED[type(retriever).__name__]
    together, alone = output(retriever, [TEXTS]), output(retriever, [[text] for text in TEXTS])
    expected = together if row.reference is None else row.reference(folder, TEXTS)
    scale = float(np.abs(expected).max())
    one = getattr(retriever, "_batch_size", None) == 1
    batching = retriever._batching if opened == "dense" else "alone" if one else "padded"
    return Measured(
        opened=opened,
        apart=float(np.abs(together - expected).max()) / scale,
        batch=float(np.abs(together - alone).max()) / scale,
        batching=batching,
        warnings=retriever.warnings,
    )


def _vectors(encoder: Any, batches: Sequence[Sequence[str]]) -> Floats:
    return np.concatenate([encoder.encode(texts, "document") for texts in batches])


def _scores(lists: Any, batches: Sequence[Sequence[str]]) -> Floats:
    documents = [encoded for texts in batches for encoded in lists.encode(texts, "document")]
    queries = [encoded for texts in batches for encoded in lists.encode(texts, "query")]
    scores: Floats = lists.scorer(documents)(queries)
    return scores


def _pairs(reranker: Any, batches: Sequence[Sequence[str]]) -> Floats:
    return np.concatenate([reranker.score([(TEXTS[1], text) for text in texts]) for texts in batches])


OPENED = {
    "DenseEncoder": ("dense", _vectors),
    "StaticEncoder": ("static", _vectors),
    "SparseLists": ("sparse", _scores),
    "LateLists": ("late", _scores),
    "CrossEncoderReranker": ("cross_encoder", _pairs),
}


def check_row(row: Row, folder: Path) -> None:
    """Fail unless what `measure` finds is what the row says."""
    found = measure(row, folder)
    assert row.refusal in found.refusal
    assert bool(found.refusal) == bool(row.refusal)
    if row.refusal:
        assert "\n" not in found.refusal
        return
    assert found.opened == row.opened
    assert found.apart <= row.tolerance
    assert found.batch <= 1e-5
    told = " ".join(found.warnings)
    assert row.warning in told
    assert bool(told) == bool(row.warning)
