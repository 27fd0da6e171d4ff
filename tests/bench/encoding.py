"""Encodes 2,000 real texts, against SentenceTransformer.encode of the same texts with the same weights.

Without a name, with both encoders: `python -m tests.bench.encoding [MiniLM-L6 | multilingual-e5-small]`.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlbench import Encoder, Runtime, load_collection, load_task, open_retriever
from mlbench.embeddings.encode import Embeddings, embed
from mlbench.protocols import Silence
from mlbench.retrievers.load_checkpoint import DTYPES
from tests.bench.material import data_dir, minilm, multilingual
from tests.bench.timing import alternate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MIXES = (("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"), ("de", "en", "es"))
TEXTS = 2000
GOAL = 1.3
ENCODERS: dict[str, tuple[Callable[[], str], tuple[str, ...]]] = {
    "MiniLM-L6": (minilm, ("fp32",)),
    "multilingual-e5-small": (multilingual, ("fp32", "bf16")),
}
"""Encoders and the precisions that each is measured in; of the second, weights have 4 bits."""
# Two sums of rounded numbers in another order.
APART = {"fp32": 1e-5, "bf16": 2e-2}

Texts = dict[tuple[str, str], list[str]]


def choose(languages: Sequence[str]) -> Texts:
    """Return documents and queries spread evenly over the languages and over each file."""
    collection = load_collection(load_task("xquad-r"), languages=languages, data_dir=data_dir())
    groups = {("document", name): rows for name, rows in collection.documents.items()}
    groups |= {("query", name): rows for name, rows in collection.queries.items()}
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
        find, dtypes = ENCODERS[name]
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
    for languages in MIXES:
        compare(model, encoder, choose(languages), APART[dtype])


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
    print(f"  goal: at least {GOAL:g}")
    print(f"  largest difference of a coordinate: {found:.1e}, goal at most {apart:.0e}")


if __name__ == "__main__":
    main(sys.argv[1:])
