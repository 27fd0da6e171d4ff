"""Encodes 1,000 real texts, against SentenceTransformer.encode of the same texts with the same weights.

Without a name, with both encoders: `python -m tests.bench.encoding [MiniLM-L6 | multilingual-e5-small | FOLDER]`. It
also says how near encoding comes to the speed of matrix products alone.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlbench import Encoder, Runtime, load_collection, load_task, open_retriever
from mlbench.embeddings.encode import Embeddings, embed
from mlbench.protocols import Role, Silence
from mlbench.retrievers.load_checkpoint import DTYPES
from tests.bench.material import data_dir, minilm, multilingual
from tests.bench.timing import PAIRS, alternate, spread, took

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LATIN, ELSEWHERE = ("de", "en", "es"), ("ar", "th", "zh")
MIXES: dict[str, tuple[tuple[str, ...], tuple[Role, ...]]] = {
    "Latin script": (LATIN, ("document", "query")),
    "Latin script, Arabic, Thai and Chinese": ((*LATIN, *ELSEWHERE), ("document", "query")),
    "questions": ((*LATIN, *ELSEWHERE), ("query",)),
    "paragraphs": ((*LATIN, *ELSEWHERE), ("document",)),
}
"""What texts are taken of: languages and sides."""
TEXTS = 1000
GOAL, SHARE = 1.3, 0.85
ENCODERS: dict[str, tuple[Callable[[], str], tuple[str, ...]]] = {
    "MiniLM-L6": (minilm, ("fp32",)),
    "multilingual-e5-small": (multilingual, ("fp32", "bf16")),
}
"""Encoders and the precisions that each is measured in; of the second, weights have 4 bits."""
TOKENS = 1024
"""The rows of the matrix product that is the measure of speed."""
# Two sums of rounded numbers in another order.
APART = {"fp32": 1e-5, "bf16": 2e-2}

Texts = dict[tuple[str, str], list[str]]


def choose(languages: Sequence[str], roles: Sequence[Role] = ("document", "query")) -> Texts:
    """Return texts spread evenly over the languages and over each file."""
    collection = load_collection(load_task("xquad-r"), languages=languages, data_dir=data_dir())
    sides = {"document": collection.documents, "query": collection.queries}
    groups = {(role, name): rows for role in roles for name, rows in sides[role].items()}
    edges = np.linspace(0, TEXTS, len(groups) + 1).astype(int)
    return {
        group: [rows[place].text for place in np.linspace(0, len(rows) - 1, size).astype(int)]
        for (group, rows), size in zip(groups.items(), np.diff(edges), strict=True)
    }


def gather(embeddings: Embeddings, texts: Texts) -> np.ndarray:
    return np.concatenate([embeddings.vectors(*group) for group in texts])


def main(names: Sequence[str]) -> None:
    data_dir()
    print("encoding: SentenceTransformer.encode(batch_size=32) / mlbench, texts of XQuAD-R")
    for name in names or ENCODERS:
        find, dtypes = ENCODERS.get(name, (lambda name=name: name, ("fp32", "bf16")))
        for dtype in dtypes:
            measure(name, find(), dtype)


def measure(name: str, folder: str, dtype: str) -> None:
    """Compare on all mixes of languages, in one precision."""
    encoder = open_retriever(folder, {"dtype": dtype}, Runtime())
    assert isinstance(encoder, Encoder)
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, model_kwargs={"dtype": getattr(torch, DTYPES[dtype])})
    print(f"  {name}, {encoder.parameters['dtype']}, {model.device}, threads: {torch.get_num_threads()}")
    for mix, (languages, roles) in MIXES.items():
        print(f"  {mix}")
        compare(model, encoder, choose(languages, roles), APART[dtype])


def compare(model: "SentenceTransformer", encoder: Encoder, texts: Texts, apart: float) -> None:
    every = [text for group in texts.values() for text in group]
    print(f"  {len(every):,} texts, languages: {' '.join(dict.fromkeys(language for _, language in texts))}")
    rows = [(encoder.parameters[f"{role}_prompt"], group) for (role, _), group in texts.items()]
    prompted = [f"{prompt or ''}{text}" for prompt, group in rows for text in group]
    theirs = partial(model.encode, prompted, batch_size=32, show_progress_bar=False)
    ours = partial(embed, encoder, texts, None, Silence())
    found = np.abs(gather(ours(), texts) - theirs()).max()
    seconds = alternate(theirs, ours, ("library", "mlbench"))
    print(f"  texts each second: library {len(every) / seconds[0]:,.0f}, mlbench {len(every) / seconds[1]:,.0f}")
    share(model, prompted, ours)
    print(f"  goal: at least {GOAL:g}, or at least {SHARE:.0%} of what matrix products alone could do")
    print(f"  largest difference of a coordinate: {found:.1e}, goal at most {apart:.0e}")


def share(model: "SentenceTransformer", texts: Sequence[str], encode: Callable[[], object]) -> None:
    """Print which part of the speed of one matrix product encoding reaches, by turns and in processor time."""
    import torch

    config, network = model[0].auto_model.config, model[0].auto_model
    weights = [
        layer.weight
        for name, layer in network.named_modules()
        if isinstance(layer, torch.nn.Linear) and "pooler" not in name
    ]
    lengths = model.preprocess(list(texts))["attention_mask"].sum(dim=1)
    # Two operations for each weight and token, and for each coordinate of two tokens of a text, twice.
    operations = 2 * int(lengths.sum()) * sum(weight.numel() for weight in weights)
    operations += 4 * int((lengths**2).sum()) * config.hidden_size * config.num_hidden_layers
    widest = max(weights, key=torch.numel)
    rows = torch.randn((TOKENS, widest.shape[1]), dtype=widest.dtype)
    times = max(1, operations // (10 * 2 * TOKENS * widest.numel()))

    def multiply() -> None:
        for _ in range(times):
            torch.nn.functional.linear(rows, widest)

    shares = []
    with torch.inference_mode():
        multiply()
        for _ in range(PAIRS):
            product, encoded = took(multiply).processor, took(encode).processor
            shares.append(product * operations / (times * 2 * TOKENS * widest.numel()) / encoded)
    shape = " x ".join(map(str, (TOKENS, *reversed(widest.shape))))
    print(f"  share of the speed of a product {shape}, in processor time: {spread(shares)}")


if __name__ == "__main__":
    main(sys.argv[1:])
