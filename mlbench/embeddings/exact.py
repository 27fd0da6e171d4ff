"""Puts vectors on a grid, so that their float64 products are exact and ranks depend on the vectors alone.

Grid coordinates are multiples of 2^-26 and no vector is longer than about 1. A product of two coordinates is then a
multiple of 2^-52, and by Cauchy and Schwarz no partial sum of a product of two vectors reaches 2, so every partial sum
is a float64 without rounding: in any order, block size, thread count, library or machine.
"""

from math import frexp

import numpy as np
from numpy.typing import NDArray

from mlbench.protocols import Vectors

Floats = NDArray[np.float64]
_STEP = 2.0**-26
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
    return _round(scaled / np.where(lengths > 0, lengths, 1.0)[:, None])


def grid_dot(vectors: Vectors, exponent: int) -> Floats:
    """Return the rows divided by 2^exponent and rounded to the grid, (n, d) to float64 (n, d).

    `exponent` is `dot_exponent` of the largest norm on this side (all queries, or all documents), so the order of the
    products is that of the unscaled ones, to within the rounding. No rows give (0, d).
    """
    return _round(np.ldexp(vectors.astype(np.float64), -exponent))


def dot_exponent(largest_norm: float) -> int:
    """Return the smallest e with `largest_norm` <= 2^e; 0 for a norm of 0."""
    fraction, exponent = frexp(largest_norm)
    return exponent - 1 if fraction == 0.5 else exponent


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


def _round(vectors: Floats) -> Floats:
    rounded: Floats = np.rint(vectors / _STEP) * _STEP
    return rounded
