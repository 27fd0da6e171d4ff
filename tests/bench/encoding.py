"""Encodes 2,000 real texts, against SentenceTransformer.encode of the same texts with the same weights."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mlbench import Encoder, Runtime, load_collection, load_task, open_retriever
from mlbench.embeddings.encode import Embeddings, embed
from mlbench.protocols import Silence
from tests.bench.material import data_dir, minilm
from tests.bench.timing import alternate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MIXES = (("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"), ("de", "en", "es"))
TEXTS = 2000
GOAL = 1.3

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


def main() -> None:
    data_dir()
    folder = minilm()
    encoder = open_retriever(folder, {}, Runtime())
    assert isinstance(encoder, Encoder)
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, model_kwargs={"dtype": torch.float32})
    print("encoding: SentenceTransformer.encode(batch_size=32) / mlbench, texts of XQuAD-R")
    print(f"  MiniLM-L6, {encoder.parameters['dtype']}, {model.device}, threads: {torch.get_num_threads()}")
    for languages in MIXES:
        compare(model, encoder, choose(languages))


def compare(model: "SentenceTransformer", encoder: Encoder, texts: Texts) -> None:
    every = [text for group in texts.values() for text in group]
    print(f"  {len(every):,} texts, languages: {' '.join(dict.fromkeys(language for _, language in texts))}")
    theirs = partial(model.encode, every, batch_size=32, show_progress_bar=False)
    ours = partial(embed, encoder, texts, None, Silence())
    apart = np.abs(gather(ours(), texts) - theirs()).max()
    alternate(theirs, ours, ("library", "mlbench"))
    print(f"  goal: at least {GOAL:g}")
    print(f"  largest difference of a coordinate: {apart:.1e}, goal at most 1e-05")


if __name__ == "__main__":
    main()
