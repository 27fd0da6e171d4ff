"""Audits honest entries and forged ones of a real encoder, and simulates how often few wrong vectors are found.

`python -m tests.bench.audits [FOLDER]`; some minutes on two cores. FOLDER is a checkpoint of Sentence Transformers,
multilingual-e5-small with 4-bit weights by default, and $MLBENCH_DATA holds xquad-r.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from mlbench.collection.records import Collection
from mlbench.leaderboard.challenge import TEXTS
from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Role, Runtime, Vectors
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task
from tests.bench.forgeries import FORGERIES, Evidence, Kept, audited, evidence, simulate
from tests.bench.material import data_dir, multilingual

LANGUAGES, TOPICS, SEEDS = ("de", "en", "th"), 15, 10
SHARES, TEXTS_OF_XQUAD, ROUNDS = (0.005, 0.01, 0.025, 0.05, 0.1), 26_104, 200
MACHINES: dict[str, tuple[dict[str, str], int]] = {
    "fp32, 1 thread": ({}, 1),
    "fp32, batches of 4,096 tokens": ({"batch_tokens": "4096"}, 2),
    "bf16": ({"dtype": "bf16"}, 2),
    "onnx": ({"backend": "onnx"}, 2),
    "onnx, 1 thread": ({"backend": "onnx"}, 1),
    "openvino": ({"backend": "openvino"}, 2),
    "openvino, bf16": ({"backend": "openvino", "dtype": "bf16"}, 2),
}
"""How an honest submitter may have computed: keys of the model, and threads. The audit is of fp32 with 2 threads."""
SETTINGS: dict[str, dict[str, str]] = {
    "no prompts": {"query_prompt": "", "document_prompt": ""},
    "the prompt of queries for all texts": {"document_prompt": "query: "},
    "16 tokens at most": {"max_length": "16"},
    "CLS pooling": {"pooling": "cls"},
}
"""Forgeries by settings that the entry does not state."""


def quantised(model: SentenceTransformer) -> SentenceTransformer:
    """Return a model whose linear layers are computed in int8, quantised dynamically."""
    torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8, inplace=True)
    return model


def rounded(model: SentenceTransformer) -> SentenceTransformer:
    """Return a model whose linear weights are rounded to 4 bits, row by row."""
    for layer in (each for each in model.modules() if isinstance(each, torch.nn.Linear)):
        scale = layer.weight.data.abs().amax(dim=1, keepdim=True) / 7
        layer.weight.data = (layer.weight.data / scale).round() * scale
    return model


def tuned(model: SentenceTransformer) -> SentenceTransformer:
    """Return a model whose weights have moved by 3 % of their size, as those of a later checkpoint have."""
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.data += 0.03 * weight.data.std() * torch.randn_like(weight)
    return model


def shortened(model: SentenceTransformer) -> SentenceTransformer:
    """Return a model without its last layer."""
    model[0].auto_model.encoder.layer = model[0].auto_model.encoder.layer[:-1]
    return model


MODELS: dict[str, Callable[[SentenceTransformer], SentenceTransformer]] = {
    "int8 for fp32": quantised,
    "4 bits for fp32": rounded,
    "another checkpoint of the family": tuned,
    "the last layer left out": shortened,
}


def material() -> Collection:
    """Return a part of XQuAD-R."""
    return load_collection(load_task("xquad-r"), languages=LANGUAGES, limit=TOPICS, data_dir=data_dir())


def opened(folder: str, settings: dict[str, str], threads: int = 2) -> Encoder:
    """Open a checkpoint on the processor."""
    encoder = open_retriever(folder, settings, Runtime("cpu", threads))
    assert isinstance(encoder, Encoder)
    return encoder


class Library:
    """A model whose vectors the library computes by itself, as layers may have been replaced."""

    def __init__(self, model: SentenceTransformer) -> None:
        self.model, self.dim, self.similarity, self.parameters = model, len(model.encode("")), "cosine", {}

    def fingerprint(self, role: Role) -> str:
        """Return the role, as the roles differ."""
        return role

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Encode texts with the saved prompt of the role."""
        return self.model.encode(list(texts), prompt=self.model.prompts[role], show_progress_bar=False)


def changed(folder: str, change: Callable[[SentenceTransformer], SentenceTransformer]) -> Encoder:
    """Open a checkpoint whose model was changed."""
    return Library(change(SentenceTransformer(folder, device="cpu")))


def row(name: str, collection: Collection, honest: Kept, said: Evidence, errors: np.ndarray | None) -> str:
    """Return a line of the table: errors of all vectors, and what the audits saw of them and how many failed."""
    audits = [audited(collection, honest, said, f"{seed:08x}") for seed in range(SEEDS)]
    seen = [[getattr(each, field) for each in audits] for field in ("mean_error", "largest_error")]
    # Without a commitment no vectors are compared.
    drawn = " | ".join("" if None in each else f"{max(each):.2g}" for each in seen)
    every = "" if errors is None else f"{errors.mean():.2g}, {np.quantile(errors, 0.99):.2g}, {errors.max():.2g}"
    by_vectors = sum(any("drawn vectors" in fault for fault in each.faults) for each in audits)
    by_ranks = sum(any("queries" in fault for fault in each.faults) for each in audits)
    failed = sum(bool(each.faults) for each in audits)
    return f"| {name} | {every} | {drawn} | {failed} of {SEEDS} | {by_vectors} | {by_ranks} |"


def table(folder: str) -> Iterator[str]:
    """Yield the rows of honest entries and of forged ones."""
    collection = material()
    honest = Kept.of(opened(folder, {}), collection)
    yield row("fp32, 2 threads", collection, honest, evidence(collection, honest), honest.errors(honest))
    for name, (settings, threads) in MACHINES.items():
        found = Kept.of(opened(folder, settings, threads), collection)
        yield row(name, collection, honest, evidence(collection, found), honest.errors(found))
    other = honest
    for name, settings in SETTINGS.items():
        other = Kept.of(opened(folder, settings), collection)
        yield row(name, collection, honest, evidence(collection, other), honest.errors(other))
    for name, change in MODELS.items():
        other = Kept.of(changed(folder, change), collection)
        yield row(name, collection, honest, evidence(collection, other), honest.errors(other))
    for name, forge in FORGERIES.items():
        yield row(name, collection, honest, forge(collection, honest, other), None)


def main() -> None:
    """Print both tables."""
    folder = sys.argv[1] if len(sys.argv) > 1 else multilingual()
    start = perf_counter()
    print("| entry | errors: mean, 99 %, largest | drawn: mean | largest | failed | by vectors | by ranks |")
    print("|---" * 7 + "|")
    for line in table(folder):
        print(line, flush=True)
    print(f"\n{perf_counter() - start:.0f} s\n")
    print("| wrong vectors | found | 1 - (1 - share)^200 |\n|---|---|---|")
    for share in SHARES:
        print(f"| {share:.1%} | {simulate(share, TEXTS_OF_XQUAD, ROUNDS):.3f} | {1 - (1 - share) ** TEXTS:.4f} |")


if __name__ == "__main__":
    main()
