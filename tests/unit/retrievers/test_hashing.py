import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import RetrieverError
from mlbench.protocols import Runtime
from mlbench.retrievers.hashing import Hashing, HashingEncoder

FROZEN = [-1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 1.0, -2.0, 0.585786, 1.0, -2.0, 2.0, 0.0, -1.0, -3.0, 0.0]
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)


def encoder(**keys: int) -> HashingEncoder:
    return Hashing.open("", Hashing.Settings(**keys), Runtime())


def hash_of(gram: str) -> int:
    """The 32-bit hash of one n-gram, in plain integers."""
    mask = 0xFFFFFFFF
    value = len(gram) * 0x9E3779B1 & mask
    for character in gram:
        value = (value ^ ord(character)) * 0x85EBCA6B & mask
        value ^= value >> 15
    value = value * 0xC2B2AE35 & mask
    return value ^ value >> 16


def expected(text: str, dim: int, n_min: int, n_max: int) -> np.ndarray:
    words = unicodedata.normalize("NFKC", text).casefold().split()
    padded = f" {' '.join(words)} "
    grams = Counter(
        padded[i : i + n]
        for n in range(n_min, n_max + 1)
        for i in range(len(padded) - n + 1)
        if " " not in padded[i + 1 : i + n - 1] and padded[i : i + n].strip()
    )
    vector = np.zeros(dim)
    for value, count in _by_hash(grams).items():
        vector[(value >> 1) % dim] += (1 if value & 1 else -1) * np.sqrt(count)
    return vector


def _by_hash(grams: Counter[str]) -> Counter[int]:
    merged: Counter[int] = Counter()
    for gram, count in grams.items():
        merged[hash_of(gram)] += count
    return merged


@given(st.lists(TEXT, max_size=5), st.sampled_from([(1, 1), (1, 4), (2, 3), (3, 3)]))
def test_same_as_a_plain_loop(texts: list[str], lengths: tuple[int, int]) -> None:
    n_min, n_max = lengths
    found = encoder(dim=32, n_min=n_min, n_max=n_max).encode(texts, "query")
    assert found.shape == (len(texts), 32)
    assert found.dtype == np.float32
    for vector, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(vector, expected(text, 32, n_min, n_max), atol=1e-5)


@given(st.lists(TEXT, min_size=2, max_size=5))
def test_a_text_has_one_vector_wherever_it_stands(texts: list[str]) -> None:
    together = encoder(dim=64).encode(texts, "document")
    alone = np.concatenate([encoder(dim=64).encode([text], "document") for text in texts])
    np.testing.assert_array_equal(together, alone)


def test_same_on_every_machine() -> None:
    (vector,) = encoder(dim=16, n_max=3).encode(["Grüße, 世界 ทดสอบ"], "query")
    np.testing.assert_allclose(vector, FROZEN, atol=1e-6)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Straße", "STRASSE"), ("ﬁve", "five"), ("a  b\n", "a b"), ("１２", "12")],
)
def test_forms_of_one_text(one: str, other: str) -> None:
    first, second = encoder().encode([one, other], "query")
    np.testing.assert_array_equal(first, second)


def test_scripts_without_blanks_are_told_apart() -> None:
    query, answer, other = encoder().encode(["世界最高的山", "世界最高的山是珠穆朗玛峰", "他昨天吃了苹果"], "query")
    assert query @ answer > 10 * abs(query @ other)


def test_blank_text_is_zero_and_lone_surrogate_is_not() -> None:
    blank, broken = encoder().encode([" \n", "\ud800"], "query")
    assert not blank.any()
    assert broken.any()


def test_fingerprint_follows_the_keys() -> None:
    assert encoder().fingerprint("query") == encoder().fingerprint("document")
    assert len({encoder(**keys).fingerprint("query") for keys in ({}, {"dim": 64}, {"n_min": 2}, {"n_max": 5})}) == 4


def test_a_path_is_refused() -> None:
    with pytest.raises(RetrieverError, match="hashing takes no path or hub id"):
        Hashing.open("x", Hashing.Settings(), Runtime())


def test_order_of_lengths() -> None:
    with pytest.raises(ValueError, match="n_min must not be above n_max"):
        Hashing.Settings(n_min=5, n_max=2)


@pytest.mark.data
def test_finds_answers_in_its_own_language(data_dir: Path) -> None:
    from mlbench import load_collection, load_task

    collection = load_collection(load_task("xquad-r"), languages=["en", "zh"], data_dir=data_dir)
    for language, floor in (("en", 0.70), ("zh", 0.62)):
        queries, documents = collection.queries[language], collection.documents[language]
        q, d = (encoder().encode([row.text for row in rows], "query") for rows in (queries, documents))
        q, d = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (q, d))
        column = {document.doc_id: place for place, document in enumerate(documents)}
        relevant = [
            next(column[judged.doc_id] for judged in collection.judgments[query.topic_id] if judged.doc_id in column)
            for query in queries
        ]
        scores = q @ d.T
        ranks = 1 + (scores > scores[np.arange(len(relevant)), relevant][:, None]).sum(axis=1)
        assert (1 / ranks).mean() > floor
