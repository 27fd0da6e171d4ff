"""Commitments to vectors: what they say of vectors that are the same, nearly so, or others, and what is no file."""

from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from unit.statistics.cases import make_collection

from mlbench.collection.records import Collection
from mlbench.embeddings.commitment import (
    ARRAYS,
    Commitment,
    read_commitment,
    texts_in_order,
    write_commitment,
)
from mlbench.embeddings.encode import embed, texts_of
from mlbench.errors import InvalidResult
from mlbench.protocols import SILENCE, Role, Vectors

COLLECTION = make_collection(seed=0, topics=12)
N_TEXTS = sum(len(rows) for rows in texts_of(COLLECTION).values())
LARGEST = 2**20


class Hashed:
    """An encoder whose vectors are random, and of any norm."""

    def __init__(self, dim: int = 48) -> None:
        self.dim, self.similarity, self.parameters = dim, "dot", {}

    def fingerprint(self, role: Role) -> str:
        return role

    def encode(self, texts: list[str], role: Role) -> Vectors:
        drawn = (np.random.RandomState(crc32(f"{role} {text}".encode())) for text in texts)
        return np.array([each.lognormal() * each.standard_normal(self.dim) for each in drawn], np.float32)


def committed(collection: Collection = COLLECTION, dim: int = 48) -> Commitment:
    return Commitment.of(collection, embed(Hashed(dim), texts_of(collection), None, SILENCE))


def vectors(dim: int = 48) -> Vectors:
    return np.concatenate([Hashed(dim).encode([each.text], each.role) for each in texts_in_order(COLLECTION)])


def test_sketches_are_products_with_directions_that_never_change() -> None:
    found, given = committed(), vectors().astype(np.float64)
    directions = np.random.RandomState(0).standard_normal((32, 48))
    lengths = np.linalg.norm(given, axis=1)
    expected = given @ directions.T / lengths[:, None] * 4096
    assert np.abs(found.sketches - expected).max() <= 0.5 + 1e-2
    np.testing.assert_allclose(found.norms, lengths, rtol=1e-6)
    assert directions[0, :3].round(4).tolist() == [1.7641, 0.4002, 0.9787]


@pytest.mark.parametrize("dim", [8, 48, 500])
@pytest.mark.parametrize("size", [0.0, 0.001, 0.01, 0.1, 1.4])
def test_errors_are_parts_of_the_norm(dim: int, size: float) -> None:
    found, given = committed(dim=dim), vectors(dim)
    moved = np.random.default_rng(0).standard_normal(given.shape)
    moved *= size * np.linalg.norm(given, axis=1, keepdims=True) / np.linalg.norm(moved, axis=1, keepdims=True)
    errors = found.errors(np.arange(N_TEXTS), (given - moved).astype(np.float32))
    expected = np.linalg.norm(moved, axis=1) / np.linalg.norm(given - moved, axis=1)
    assert errors.shape == (N_TEXTS,)
    if size:
        # A ratio of chi-squared with 32 degrees of freedom to its mean, but for the rounding of sketches.
        assert (np.abs(errors / expected - 1) < 0.6).all()
        assert np.abs((errors / expected).mean() - 1) < 0.1
    else:
        assert errors.max() < 2**-12


def test_another_norm_is_an_error() -> None:
    errors = committed().errors(np.arange(N_TEXTS), vectors() * 2)
    assert 0.3 < errors.mean() < 0.7


def test_the_order_of_a_collection_does_not_matter() -> None:
    turned = replace(
        COLLECTION,
        queries={language: rows[::-1] for language, rows in reversed(COLLECTION.queries.items())},
        documents={language: rows[::-1] for language, rows in COLLECTION.documents.items()},
        languages=COLLECTION.languages[::-1],
    )
    assert texts_in_order(turned) == texts_in_order(COLLECTION)
    assert write_commitment(committed(turned)) == write_commitment(committed())


def test_it_is_of_its_texts_alone() -> None:
    texts = texts_in_order(COLLECTION)
    assert committed().is_of(texts)
    assert not committed().is_of(texts[1:])
    assert not committed().is_of([texts[0]._replace(text="another"), *texts[1:]])


def test_files_are_read_again(tmp_path: Path) -> None:
    path, written = tmp_path / "x.vectors.npz", committed()
    path.write_bytes(write_commitment(written))
    found = read_commitment(path, LARGEST)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("sketches", np.zeros((N_TEXTS, 31), np.int16), "sketches is not int16"),
        ("sketches", np.zeros((N_TEXTS, 32), np.int32), "sketches is not int16"),
        ("sketches", np.full((N_TEXTS, 32), -(2**15), np.int16), "out of range"),
        ("norms", np.zeros(N_TEXTS, np.float32), "out of range"),
        ("norms", np.full(N_TEXTS, np.nan, np.float32), "out of range"),
        ("norms", np.ones((N_TEXTS, 1), np.float32), "norms is not float32"),
        ("texts", np.zeros(31, np.uint8), "texts is not uint8"),
    ],
)
def test_what_is_no_commitment_is_refused(tmp_path: Path, name: str, array: np.ndarray, said: str) -> None:
    path = tmp_path / "x.vectors.npz"
    path.write_bytes(write_commitment(replace(committed(), **{name: array})))
    with pytest.raises(InvalidResult, match=said):
        read_commitment(path, LARGEST)


def test_what_is_no_archive_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.vectors.npz"
    path.write_bytes(b"nothing")
    with pytest.raises(InvalidResult, match="is no commitment"):
        read_commitment(path, LARGEST)
    path.write_bytes(write_commitment(committed()))
    with pytest.raises(InvalidResult, match="is no commitment"):
        read_commitment(path, 100)
