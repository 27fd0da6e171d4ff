from fractions import Fraction
from math import fsum, sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mlbench.embeddings.exact import grid_cosine, grid_dot, grid_steps, norms

COORDINATES = st.floats(-1e6, 1e6, width=32)
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20), elements=COORDINATES)


def random_vectors(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.RandomState(seed)
    # Lengths that differ by orders of magnitude, as dot-product models give.
    return (rng.standard_normal((rows, dim)) * np.exp(rng.standard_normal((rows, 1)))).astype(np.float32)


def rational_products(queries: np.ndarray, documents: np.ndarray) -> list[list[Fraction]]:
    """The reference: products of the rows as rational numbers."""
    one, other = ([[Fraction(float(x)) for x in row] for row in side] for side in (queries, documents))
    return [[sum((a * b for a, b in zip(q, d, strict=True)), Fraction()) for d in other] for q in one]


def same(product: np.ndarray, exact: list[list[Fraction]]) -> bool:
    return [[Fraction(float(x)) for x in row] for row in product] == exact


@pytest.mark.parametrize("to_grid", [grid_cosine, grid_dot])
@pytest.mark.parametrize("dim", [1, 3, 64, 384, 1024])
def test_products_of_grid_vectors_are_exact_in_any_order_and_library(to_grid, dim):
    torch = pytest.importorskip("torch")
    queries, documents = to_grid(random_vectors(10, dim)), to_grid(random_vectors(12, dim, seed=1))
    exact = rational_products(queries, documents)
    order = np.random.RandomState(2).permutation(dim)
    products = {
        "numpy": queries @ documents.T,
        "permuted": queries[:, order] @ documents[:, order].T,
        "one by one": np.array([[np.dot(query, document) for document in documents] for query in queries]),
        "transposed": (np.asfortranarray(documents) @ queries.T).T,
        "torch": (torch.from_numpy(queries) @ torch.from_numpy(documents).T).numpy(),
    }
    for product in products.values():
        assert same(product, exact)


@given(MATRICES)
def test_products_are_exact_for_any_vectors(vectors):
    for grid in (grid_cosine(vectors), grid_dot(vectors)):
        assert same(grid @ grid.T, rational_products(grid, grid))


@given(MATRICES, st.randoms(use_true_random=False))
def test_the_grid_does_not_depend_on_the_order_of_dimensions_or_rows(vectors, random):
    columns, rows = list(range(vectors.shape[1])), list(range(len(vectors)))
    random.shuffle(columns)
    random.shuffle(rows)
    assert (grid_cosine(vectors)[:, columns] == grid_cosine(vectors[:, columns])).all()
    assert (grid_cosine(vectors)[rows] == grid_cosine(vectors[rows])).all()


@pytest.mark.parametrize("dim", [384, 1024, 8192])
def test_norms_are_the_same_to_the_bit_in_any_order_of_summation(dim):
    vectors = random_vectors(200, dim)
    for seed in range(3):
        order = np.random.RandomState(seed).permutation(dim)
        assert (norms(vectors[:, order]) == norms(vectors)).all()
        assert (norms(np.asfortranarray(vectors)) == norms(vectors)).all()


def test_cosines_are_kept_to_a_ten_millionth():
    vectors = random_vectors(100, 384).astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    grid = grid_cosine(vectors.astype(np.float32))
    assert np.abs(grid @ grid.T - unit @ unit.T).max() < 1e-7


def test_dot_products_keep_their_order():
    queries, documents = random_vectors(20, 64), random_vectors(30, 64, seed=1)
    exact = queries.astype(np.float64) @ documents.astype(np.float64).T
    product = grid_dot(queries) @ grid_dot(documents).T
    assert (product.argsort(axis=1) == exact.argsort(axis=1)).all()


@given(
    arrays(np.float32, st.tuples(st.just(1), st.integers(1, 50)), elements=st.floats(-(2.0**100), 2.0**100, width=32))
)
def test_norms_agree_with_exact_summation(vectors):
    largest = float(np.abs(vectors).max())
    assert norms(vectors)[0] == pytest.approx(sqrt(fsum(float(x) ** 2 for x in vectors[0])), rel=1e-15)
    assert norms(vectors)[0] >= largest * (1 - 1e-15)


@pytest.mark.parametrize(
    ("norm", "exponent"),
    [(0.0, 0), (0.9999, 0), (1.0005, 0), (1.01, 1), (2.1, 2), (0.5, -1), (0.3, -1), (1e-30, -99)],
)
def test_the_steps_of_a_vector_follow_its_own_norm(norm, exponent):
    assert grid_steps(np.array([norm]))[0] == 2.0 ** (exponent - 26)


@given(MATRICES, st.integers(-40, 40))
def test_the_grid_of_a_vector_does_not_depend_on_others(vectors, exponent):
    long = np.vstack([vectors, np.full((1, vectors.shape[1]), 2.0**100, np.float32)])
    assert (grid_dot(long)[:-1] == grid_dot(vectors)).all()
    scaled = np.ldexp(vectors, exponent)
    assume((np.ldexp(scaled, -exponent) == vectors).all())
    assert (grid_dot(scaled) == grid_dot(vectors) * 2.0**exponent).all()


@pytest.mark.parametrize("decimals", range(-7, 8))
def test_dot_products_are_kept_to_a_ten_millionth_of_the_norms(decimals):
    queries = random_vectors(20, 384)
    documents = (random_vectors(30, 384, seed=1).astype(np.float64) * 10.0**decimals).astype(np.float32)
    exact = queries.astype(np.float64) @ documents.astype(np.float64).T
    bound = 1e-7 * norms(queries)[:, None] * norms(documents)
    assert (np.abs(grid_dot(queries) @ grid_dot(documents).T - exact) < bound).all()


@pytest.mark.parametrize("largest", [1e38, 1e-37])
def test_vectors_at_the_ends_of_float32_have_exact_products(largest):
    rows = (random_vectors(4, 16) / np.float32(30) * np.float32(largest)).astype(np.float32)
    grid = grid_dot(rows)
    assert np.isfinite(grid @ grid.T).all()
    assert same(grid @ grid.T, rational_products(grid, grid))


def test_zero_rows_stay_zero_and_no_rows_stay_none():
    assert (grid_cosine(np.zeros((2, 3), np.float32)) == 0).all()
    assert grid_cosine(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert grid_dot(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert norms(np.zeros((0, 3), np.float32)).shape == (0,)
