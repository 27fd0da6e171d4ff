"""Captioned images as vectors: collections of any shape, with no file and no model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection, Document, Image, Judgment, Query, document_id
from mlbench.protocols import Parameter, Role, Vectors

Captions = dict[tuple[str, int, int], str]
"""The caption of a language, an image and a number, from 1."""


def captioned(counts: dict[str, Sequence[int]]) -> tuple[Collection, Captions]:
    """Return a collection with `counts[language][image]` captions, and the captions."""
    n_images = len(next(iter(counts.values())))
    images = [Image(f"{number:064x}", Path(f"{number}.png")) for number in range(n_images)]
    captions: Captions = {}
    documents = {IMAGE: tuple(Document(document_id("t", IMAGE, "", str(n)), images[n]) for n in range(n_images))}
    queries = {IMAGE: tuple(Query(str(n), images[n]) for n in range(n_images))}
    judgments: dict[str, tuple[Judgment, ...]] = {str(n): () for n in range(n_images)}
    clusters = {str(n): str(n) for n in range(n_images)}
    for language, of_images in counts.items():
        asked, held = [], []
        for image, count in enumerate(of_images):
            for number in range(1, count + 1):
                text, topic = f"{language} {image} {number}", f"{image}#{number}"
                doc_id = document_id("t", language, str(image), str(number))
                captions[language, image, number] = text
                asked.append(Query(topic, text))
                held.append(Document(doc_id, text))
                judgments[str(image)] += (Judgment(language, doc_id, 1),)
                judgments[topic] = (Judgment(IMAGE, documents[IMAGE][image].doc_id, 1),)
                clusters[topic] = str(image)
        queries[language], documents[language] = tuple(asked), tuple(held)
    languages = tuple(sorted((*counts, IMAGE)))
    return Collection(languages, queries, documents, judgments, clusters, cluster_unit="image"), captions


class Drawn:
    """An encoder whose vectors are drawn: a caption's is that of its image, more or less; it counts what it encodes."""

    similarity = "cosine"
    reads_images = True

    def __init__(self, *, dim: int = 8, noise: float = 1.0, seed: int = 0) -> None:
        self.dim, self._noise, self._seed = dim, noise, seed
        self.parameters: dict[str, Parameter] = {}
        self.encoded: dict[str, int] = {"query": 0, "document": 0, "image": 0}

    def fingerprint(self, role: Role) -> str:
        return f"drawn-{role == 'image'}-{self._noise}-{self._seed}"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        self.encoded[role] += len(texts)
        return np.stack([self.vector(text) for text in texts]) if len(texts) else np.empty((0, self.dim), np.float32)

    def vector(self, text: str) -> Vectors:
        if isinstance(text, Image):
            return self._draw("image", int(text.path.stem))
        language, image, number = text.split()
        own = self._draw(language, 1000 * int(image) + int(number))
        return (self._draw("image", int(image)) + self._noise * own).astype(np.float32)

    def _draw(self, what: str, number: int) -> Vectors:
        seed = [self._seed, number, *what.encode()]
        return np.random.RandomState(seed).standard_normal(self.dim).astype(np.float32)
