"""Commits to the vectors of a task: a short sketch of each, by which texts can be drawn later and encoded again.

A sketch is the products of a vector with 32 random directions. Two vectors that differ by a part of their norm have
sketches that differ by about the same part (Johnson and Lindenstrauss 1984), whatever the number of dimensions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.records import Collection
from mlbench.embeddings.encode import Embeddings
from mlbench.embeddings.exact import Grid, norms
from mlbench.embeddings.store import text_hash
from mlbench.errors import InvalidResult
from mlbench.io.untrusted import read_arrays
from mlbench.protocols import Role, Vectors

ARRAYS = ("sketches", "norms", "texts")
DIRECTIONS = 32
_STEPS = 2**12
_MOST_STEPS = 2**15 - 1
_AT_ONCE = 2**12
Floats = NDArray[np.float64]


class CommittedText(NamedTuple):
    """A document, or a query, whose name is the id of its topic."""

    role: Role
    language: str
    name: str
    text: str


@dataclass(frozen=True, eq=False)
class Commitment:
    """The sketches of the vectors of all documents and queries, in the order of `texts_in_order`.

    `sketches` is int16 (texts, 32): products of a vector of norm 1 with the directions, in steps of 2^-12, cut off at
    8. `norms` is float32 (texts,), those of the vectors themselves. `texts` is uint8 (32,), the SHA-256 of all texts.
    """

    sketches: NDArray[np.int16]
    norms: NDArray[np.float32]
    texts: NDArray[np.uint8]

    @classmethod
    def of(cls, collection: Collection, embeddings: Embeddings) -> "Commitment":
        """Commit to the vectors of a collection; the same vectors give the same bits on every machine."""
        texts = texts_in_order(collection)
        sketches, lengths = np.empty((len(texts), DIRECTIONS), np.int16), np.empty(len(texts), np.float32)
        first = 0
        for (role, language), order in _groups(collection):
            matrix, rows = embeddings.held(role, language)
            for start in range(0, len(order), _AT_ONCE):
                part = matrix[rows[order[start : start + _AT_ONCE]]]
                own = slice(first, first := first + len(part))
                sketches[own] = np.rint(np.clip(_project(part) * _STEPS, -_MOST_STEPS, _MOST_STEPS))
                lengths[own] = norms(part)
        return cls(sketches, lengths, _digest(texts))

    def is_of(self, texts: Sequence[CommittedText]) -> bool:
        """Say whether it commits to the vectors of exactly these texts in this order."""
        return len(self.norms) == len(texts) and bool((self.texts == _digest(texts)).all())

    def errors(self, rows: NDArray[np.integer], vectors: Vectors) -> Floats:
        """Return how far vectors (rows, dim) are from those committed to, as a part of their norms; float64 (rows,).

        An error is estimated from 32 directions, with a standard deviation of an eighth of itself.
        """
        lengths = norms(vectors)[:, None]
        stated = self.sketches[rows].astype(np.float64) / _STEPS * self.norms[rows, None].astype(np.float64)
        found = np.clip(_project(vectors), -_MOST_STEPS / _STEPS, _MOST_STEPS / _STEPS) * lengths
        errors: Floats = np.sqrt((((stated - found) / lengths) ** 2).mean(axis=1))
        return errors


def texts_in_order(collection: Collection) -> list[CommittedText]:
    """Return all documents and queries, sorted by role, language and name."""
    return [
        CommittedText(role, language, *_named(collection, role, language)[place])
        for (role, language), order in _groups(collection)
        for place in order.tolist()
    ]


def write_commitment(commitment: Commitment) -> bytes:
    """Return the content of the file: a compressed npz, the same bytes for the same vectors."""
    buffer = BytesIO()
    arrays = {name: getattr(commitment, name) for name in ARRAYS}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_commitment(path: Path, largest: int) -> Commitment:
    """Read and check a file whose arrays take at most `largest` bytes; raises `InvalidResult`."""
    try:
        found = Commitment(**read_arrays(path, ARRAYS, largest))  # type: ignore[arg-type]
    except Exception as error:  # Broken archives make zipfile, zlib and numpy raise a dozen kinds.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidResult(f"{path} is no commitment to vectors: {reason[:200]}") from error
    shapes = {
        "sketches": (np.dtype(np.int16), (len(found.norms), DIRECTIONS)),
        "norms": (np.dtype(np.float32), (len(found.norms),)),
        "texts": (np.dtype(np.uint8), (32,)),
    }
    for name, (dtype, shape) in shapes.items():
        array = getattr(found, name)
        if array.dtype != dtype or array.shape != shape:
            raise InvalidResult(f"{path}: {name} is not {dtype} of shape {shape}")
    if not (np.isfinite(found.norms) & (found.norms > 0)).all() or (found.sketches < -_MOST_STEPS).any():
        raise InvalidResult(f"{path}: a norm or a sketch is out of range")
    return found


def _groups(collection: Collection) -> Iterable[tuple[tuple[Role, str], NDArray[np.intp]]]:
    """Yield each (role, language) with the order of its texts by name."""
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        for language in sorted(collection.languages):
            names = [name for name, _ in _named(collection, role, language)]
            yield (role, language), np.array(sorted(range(len(names)), key=names.__getitem__), np.intp)


def _named(collection: Collection, role: Role, language: str) -> Sequence[tuple[str, str]]:
    return collection.documents[language] if role == "document" else collection.queries[language]


def _digest(texts: Iterable[CommittedText]) -> NDArray[np.uint8]:
    joined = sha256(b"".join(text_hash(each.text) for each in texts)).digest()
    return np.frombuffer(joined, np.uint8)


def _project(vectors: Vectors) -> Floats:
    """Return the products of vectors (n, dim), scaled to norm 1, with the directions; float64 (n, 32), exact."""
    # The stream of numpy's RandomState is fixed for good, so that it is part of the format.
    drawn = np.random.RandomState(0).standard_normal((DIRECTIONS, vectors.shape[1])).astype(np.float32)
    directions = Grid.of(drawn, "dot")[:]
    found: Floats = Grid.of(vectors, "cosine")[:] @ directions.T
    return found
