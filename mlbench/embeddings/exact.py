"""Puts vectors on a grid, so that their float64 products are exact and ranks depend on the vectors alone.

The grid of a vector of norm about 2^e has steps of 2^(e - 26). A product of coordinates of two vectors, whose norms are
about 2^e and 2^f, is then a multiple of 2^(e + f - 52), and by Cauchy and Schwarz no partial sum of their products
reaches 2^(e + f + 1), so every partial sum is a float64 without rounding: in any order, block size, thread count,
library or machine. Each vector has a grid of its own, so a score depends on its two vectors alone.
"""

import numpy as np
from numpy.typing import NDArray

from mlbench.protocols import Similarity, Vectors

Floats = NDArray[np.float64]
_GRID = 2.0**26
# Vectors of norm 1 are a little longer or shorter in float32.
_SLACK = 1 + 2.0**-10
# Squares are summed in two parts, multiples of 2^-39 and of 2^-80: both sums are exact for up to 2^13 coordinates.
_HIGH = 2.0**39
_LOW = 2.0**80


def norms(vectors: Vectors) -> Floats:
    """Return the Euclidean norm of each row, (n, d) to float64 (n,).

    The result does not depend on the order of summation up to 8,192 coordinates, so it is the same to the bit on any
    machine. No rows give shape (0,).
    """
    exponents = _exponents(vectors)
    return np.ldexp(_scaled_norms(_scale(vectors, exponents)), exponents[:, 0])


def grid_cosine(vectors: Vectors) -> Floats:
    """Return the rows scaled to norm 1 and rounded to the grid, (n, d) to float64 (n, d).

    Products of two results are cosines, off by less than about 1e-7. A zero row stays zero; no rows give (0, d).
    """
    scaled = _scale(vectors, _exponents(vectors))
    lengths = _scaled_norms(scaled)
    unit: Floats = scaled / np.where(lengths > 0, lengths, 1.0)[:, None]
    return np.rint(unit * _GRID) / _GRID


def grid_dot(vectors: Vectors) -> Floats:
    """Return the rows rounded to the grid of each, (n, d) to float64 (n, d).

    Products of two results are dot products, off by less than about 1e-7 of the product of the two norms. No rows give
    (0, d).
    """
    steps = grid_steps(norms(vectors))[:, None]
    rounded: Floats = np.rint(vectors.astype(np.float64) / steps) * steps
    return rounded


def to_grid(vectors: Vectors, similarity: Similarity) -> Floats:
    """Return the rows on the grid, (n, d) to float64 (n, d), so that their products are the similarities, exactly."""
    return grid_cosine(vectors) if similarity == "cosine" else grid_dot(vectors)


def grid_steps(lengths: Floats) -> Floats:
    """Return for norms (n,) the steps of the grids of their rows, powers of two, float64 (n,)."""
    exponents = np.frexp(lengths / _SLACK)[1]
    steps: Floats = np.ldexp(1.0, exponents) / _GRID
    return steps


def _exponents(vectors: Vectors) -> NDArray[np.int32]:
    """Return for each row the e with largest coordinate < 2^e, (n, 1)."""
    exponents: NDArray[np.int32] = np.frexp(np.abs(vectors).max(axis=1, keepdims=True, initial=0.0))[1]
    return exponents


def _scale(vectors: Vectors, exponents: NDArray[np.int32]) -> Floats:
    # Powers of two alone, so nothing is rounded.
    scaled: Floats = np.ldexp(vectors.astype(np.float64), -exponents)
    return scaled


def _scaled_norms(scaled: Floats) -> Floats:
    squares = scaled * scaled
    high = np.rint(squares * _HIGH) / _HIGH
    low = np.rint((squares - high) * _LOW) / _LOW
    lengths: Floats = np.sqrt(high.sum(axis=1) + low.sum(axis=1))
    return lengths
