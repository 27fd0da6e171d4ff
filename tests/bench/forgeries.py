"""What entries say of their vectors and ranks when they are honest, and what forgers make of that."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.records import Collection
from mlbench.embeddings.commitment import Commitment
from mlbench.embeddings.encode import embed, texts_of
from mlbench.leaderboard.audit import TaskAudit
from mlbench.leaderboard.challenge import MEAN_ERROR, TEXTS, Draw, audit_vectors
from mlbench.protocols import SILENCE, Encoder, Group, Parameter, Role, Similarity, Vectors
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_vectors
from mlbench.ranking.ranks import Ranks

Texts = Mapping[Group, Sequence[str]]


@dataclass(frozen=True)
class Kept:
    """An encoder whose vectors are known: by role and text, float32 (dim,)."""

    vectors: dict[tuple[Role, str], Vectors]
    dim: int
    similarity: Similarity = "cosine"
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: Encoder, collection: Collection) -> "Kept":
        """Encode all texts of a collection."""
        texts = texts_of(collection)
        embeddings = embed(encoder, texts, None, SILENCE)
        vectors = {
            (group[0], text): vector
            for group, held in texts.items()
            for text, vector in zip(held, embeddings.vectors(*group), strict=True)
        }
        return cls(vectors, encoder.dim, encoder.similarity)

    def fingerprint(self, role: Role) -> str:
        """Return the role, as the roles differ."""
        return role

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Look vectors up."""
        return np.stack([self.vectors[role, text] for text in texts])

    def changed(self, keys: Iterable[tuple[Role, str]], change: Callable[[Vectors], Vectors]) -> "Kept":
        """Return the encoder with other vectors of some texts: `change` takes theirs, (texts, dim)."""
        chosen = list(keys)
        found = change(np.stack([self.vectors[key] for key in chosen])).astype(np.float32)
        return Kept({**self.vectors, **dict(zip(chosen, found, strict=True))}, self.dim, self.similarity)

    def errors(self, other: "Kept") -> NDArray[np.float64]:
        """Return how far the vectors of another are from these, as a part of their norms, (texts,)."""
        one, two = (np.stack([each.vectors[key] for key in self.vectors]).astype(float) for each in (self, other))
        found: NDArray[np.float64] = np.linalg.norm(one - two, axis=1) / np.linalg.norm(one, axis=1)
        return found


@dataclass(frozen=True)
class Evidence:
    """What an entry says of a task, apart from the numbers that follow."""

    ranks: Ranks
    commitment: Commitment | None


def evidence(collection: Collection, encoder: Encoder, pools: Sequence[Sequence[str]] | None = None) -> Evidence:
    """Return what an honest entry says; with `pools`, ranks are compact."""
    arrays = index_collection(collection)
    embeddings = embed(encoder, texts_of(collection), None, SILENCE)
    counts = rank_vectors(arrays, embeddings, encoder.similarity, Tiling(), SILENCE, pools)
    return Evidence(to_ranks(arrays, counts), Commitment.of(collection, embeddings))


def audited(collection: Collection, encoder: Encoder, said: Evidence, seed: str = "00") -> TaskAudit:
    """Audit what an entry says, with the model that it names."""
    return audit_vectors(encoder, collection, said.ranks, said.commitment, Draw(seed, "task"))


def _chosen(keys: Iterable[tuple[Role, str]], share: float) -> list[tuple[Role, str]]:
    every = sorted(set(keys))
    rng = np.random.default_rng(0)
    return [every[place] for place in rng.choice(len(every), max(1, round(share * len(every))), replace=False)]


def _relevant(
    collection: Collection, honest: Kept, languages: Sequence[str], share: float = 1.0, weight: float = 1.0
) -> Kept:
    """Return the encoder with a share of the queries of some languages moved to their relevant documents."""
    texts = {document.doc_id: document.text for rows in collection.documents.values() for document in rows}
    asked = {query.text: query.topic_id for language in languages for query in collection.queries[language]}
    vectors = dict(honest.vectors)
    for key in _chosen((("query", text) for text in asked), share):
        own = [honest.vectors["document", texts[row.doc_id]] for row in collection.judgments[asked[key[1]]]]
        vectors[key] = honest.vectors[key] + weight * np.mean(own, axis=0)
    return Kept(vectors, honest.dim, honest.similarity)


def ranks_of_another(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """The ranks of a better model, with a commitment to the vectors of the one that is named."""
    return Evidence(evidence(collection, other).ranks, evidence(collection, honest).commitment)


def stolen(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """All that another entry says, under the name of this model."""
    return evidence(collection, other)


def one_language(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """Better ranks for the queries of one language, with the commitment of the named model."""
    better = _relevant(collection, honest, collection.languages[-1:])
    return Evidence(evidence(collection, better).ranks, evidence(collection, honest).commitment)


def one_language_committed(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """Better vectors for the queries of one language, to which the entry commits."""
    return evidence(collection, _relevant(collection, honest, collection.languages[-1:]))


def few_vectors(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """2.5 % of the vectors are those of another model, to which the entry commits."""
    chosen = _chosen(honest.vectors, 0.025)
    return evidence(collection, Kept({**honest.vectors, **{key: other.vectors[key] for key in chosen}}, honest.dim))


def few_queries(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """Better ranks for 2.5 % of the queries, with the commitment of the named model."""
    better = _relevant(collection, honest, collection.languages, 0.025)
    return Evidence(evidence(collection, better).ranks, evidence(collection, honest).commitment)


def within_noise(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """Ranks that are a little better everywhere, with a commitment so noisy that the noise might explain them."""
    rng = np.random.default_rng(0)

    def blurred(vectors: Vectors) -> Vectors:
        noise = rng.standard_normal(vectors.shape)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True) / np.linalg.norm(noise, axis=1, keepdims=True)
        return vectors + 0.9 * MEAN_ERROR * noise * lengths

    better = _relevant(collection, honest, collection.languages, weight=0.2)
    noisy = honest.changed(honest.vectors, blurred)
    return Evidence(evidence(collection, better).ranks, evidence(collection, noisy).commitment)


def without_commitment(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """The same ranks without a commitment, so that nothing says how much noise there is."""
    return Evidence(within_noise(collection, honest, other).ranks, None)


def swapped(collection: Collection, honest: Kept, other: Kept) -> Evidence:
    """The queries of a topic have the vectors of those of another one, with the commitment of the named model."""
    vectors = dict(honest.vectors)
    for language in collection.languages:
        one, two = ("query", collection.queries[language][0].text), ("query", collection.queries[language][1].text)
        vectors[one], vectors[two] = honest.vectors[two], honest.vectors[one]
    return Evidence(evidence(collection, Kept(vectors, honest.dim)).ranks, evidence(collection, honest).commitment)


FORGERIES: dict[str, Callable[[Collection, Kept, Kept], Evidence]] = {
    "an entry of another model, stolen": stolen,
    "ranks of another model, vectors of the named one": ranks_of_another,
    "better ranks for one language": one_language,
    "better vectors for one language": one_language_committed,
    "2.5 % of the vectors of another model": few_vectors,
    "better ranks for 2.5 % of the queries": few_queries,
    "slightly better ranks, vectors with noise": within_noise,
    "slightly better ranks, no vectors": without_commitment,
    "swapped vectors of two queries in each language": swapped,
}
"""Forgeries by what they do with the vectors of an honest model and of another one of the same dimension."""


def simulate(share: float, n_texts: int, rounds: int) -> float:
    """Return in which part of the rounds one of the drawn texts is among the wrong ones, a share of all."""
    rng, wrong = np.random.default_rng(0), round(share * n_texts)
    found = 0
    for number in range(rounds):
        chosen = rng.choice(n_texts, wrong, replace=False)
        found += bool(np.isin(Draw(f"{number:08x}", "xquad-r")("texts", n_texts, TEXTS), chosen).any())
    return found / rounds
