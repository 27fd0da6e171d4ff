from math import fsum, ldexp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mlbench.embeddings.exact import dot_exponent, grid_cosine, grid_dot, norms

COORDINATES = st.floats(-1e6, 1e6, width=32)
MATRICES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20), elements=COORDINATES)


def random_vectors(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    rng = np.random.RandomState(seed)
    # Lengths that differ by orders of magnitude, as dot-product models give.
    return (rng.standard_normal((rows, dim)) * np.exp(rng.standard_normal((rows, 1)))).astype(np.float32)


def integer_products(queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """The reference: products of grid vectors in whole numbers, in units of 2^-52."""
    units = [(side * 2.0**26).astype(np.int64) for side in (queries, documents)]
    assert all((unit == side * 2.0**26).all() for unit, side in zip(units, (queries, documents), strict=True))
    return units[0] @ units[1].T


def on_dot_grid(vectors: np.ndarray) -> np.ndarray:
    return grid_dot(vectors, dot_exponent(float(norms(vectors).max())))


@pytest.mark.parametrize("to_grid", [grid_cosine, on_dot_grid])
@pytest.mark.parametrize("dim", [1, 3, 64, 384, 1024])
def test_products_of_grid_vectors_are_exact_in_any_order_and_library(to_grid, dim):
    torch = pytest.importorskip("torch")
    queries, documents = to_grid(random_vectors(40, dim)), to_grid(random_vectors(50, dim, seed=1))
    exact = integer_products(queries, documents)
    order = np.random.RandomState(2).permutation(dim)
    products = {
        "numpy": queries @ documents.T,
        "permuted": queries[:, order] @ documents[:, order].T,
        "one by one": np.array([[np.dot(query, document) for document in documents] for query in queries]),
        "transposed": (np.asfortranarray(documents) @ queries.T).T,
        "torch": (torch.from_numpy(queries) @ torch.from_numpy(documents).T).numpy(),
    }
    for product in products.values():
        assert (product * 2.0**52 == exact).all()


@given(MATRICES)
def test_products_are_exact_for_any_vectors(vectors):
    for grid in (grid_cosine(vectors), on_dot_grid(vectors)):
        assert ((grid @ grid.T) * 2.0**52 == integer_products(grid, grid)).all()


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
    product = on_dot_grid(queries) @ on_dot_grid(documents).T
    assert (product.argsort(axis=1) == exact.argsort(axis=1)).all()


@given(
    arrays(np.float32, st.tuples(st.just(1), st.integers(1, 50)), elements=st.floats(-(2.0**100), 2.0**100, width=32))
)
def test_norms_agree_with_exact_summation(vectors):
    largest = float(np.abs(vectors).max())
    assert norms(vectors)[0] == pytest.approx(sqrt(fsum(float(x) ** 2 for x in vectors[0])), rel=1e-15)
    assert norms(vectors)[0] >= largest * (1 - 1e-15)


@pytest.mark.parametrize(
    ("norm", "exponent"), [(0.0, 0), (1.0, 0), (1.0000001, 1), (2.0, 1), (0.5, -1), (0.3, -1), (3.7, 2), (1e-30, -99)]
)
def test_the_exponent_is_the_smallest_power_of_two_that_holds_the_norm(norm, exponent):
    assert dot_exponent(norm) == exponent
    assert norm == 0 or 0.5 < ldexp(norm, -exponent) <= 1


def test_zero_rows_stay_zero_and_no_rows_stay_none():
    assert (grid_cosine(np.zeros((2, 3), np.float32)) == 0).all()
    assert grid_cosine(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert grid_dot(np.zeros((0, 3), np.float32), 0).shape == (0, 3)
    assert norms(np.zeros((0, 3), np.float32)).shape == (0,)
