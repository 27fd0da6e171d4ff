"""Puts vectors on a grid, so that their float64 products are exact and ranks depend on the vectors alone.

The grid of a vector of norm about 2^e has steps of 2^(e - 26). A product of coordinates of two vectors, whose norms are
about 2^e and 2^f, is then a multiple of 2^(e + f - 52), and by Cauchy and Schwarz no partial sum of their products
reaches 2^(e + f + 1), so every partial sum is a float64 without rounding: in any order, block size, thread count,
library or machine. Each vector has a grid of its own, so a score depends on its two vectors alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.protocols import Similarity, Vectors

Floats = NDArray[np.float64]
Rows = slice | NDArray[np.integer]
_GRID = 2.0**26
# Vectors of norm 1 are a little longer or shorter in float32.
_SLACK = 1 + 2.0**-10
# Squares are summed in two parts, multiples of 2^-39 and of 2^-80: both sums are exact for up to 2^13 coordinates.
_HIGH = 2.0**39
_LOW = 2.0**80
# Coordinates that are worked on at once stay in the processor's cache.
_AT_ONCE = 1 << 15


@dataclass(frozen=True, eq=False)
class Grid:
    """Vectors on the grid, held as whole numbers of steps, in half the memory of float64.

    `whole` is int32 (n, dim), `steps` float64 (n,), powers of two. Rows are made into float64 as they are asked for.
    """

    whole: NDArray[np.int32]
    steps: Floats

    @classmethod
    def of(cls, vectors: Vectors, similarity: Similarity) -> "Grid":
        """Put vectors (n, dim) on the grid."""
        return cls.gathered([(vectors, np.arange(len(vectors)))], similarity)

    @classmethod
    def gathered(cls, parts: Sequence[tuple[Vectors, NDArray[np.integer]]], similarity: Similarity) -> "Grid":
        """Put the given rows of each part on the grid, one part after the other; there is at least one."""
        dim, ends = parts[0][0].shape[1], np.cumsum([len(rows) for _, rows in parts]).tolist()
        found = cls(np.empty((ends[-1], dim), np.int32), np.empty(ends[-1]))
        for end, (vectors, rows) in zip(ends, parts, strict=True):
            own = found.take(slice(end - len(rows), end))
            for part in _parts(len(rows), dim):
                own.whole[part], own.steps[part] = _rounded(vectors[rows[part]], similarity)
        return found

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and of dimensions."""
        return len(self.steps), self.whole.shape[1]

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, rows: Rows) -> Floats:
        """Return the given rows, float64 (rows, dim)."""
        found = self.whole[rows].astype(np.float64)
        found *= self.steps[rows, None]
        return found

    def take(self, rows: Rows) -> "Grid":
        """Return the given rows as they are held; those of a slice are a view."""
        return Grid(self.whole[rows], self.steps[rows])


def norms(vectors: Vectors) -> Floats:
    """Return the Euclidean norm of each row, (n, d) to float64 (n,).

    The result does not depend on the order of summation up to 8,192 coordinates, so it is the same to the bit on any
    machine. No rows give shape (0,).
    """
    found = np.empty(len(vectors))
    for part in _parts(*vectors.shape):
        _, lengths, exponents = _scale(vectors[part])
        found[part] = np.ldexp(lengths, exponents)
    return found


def grid_cosine(vectors: Vectors) -> Floats:
    """Return the rows scaled to norm 1 and rounded to the grid, (n, d) to float64 (n, d).

    Products of two results are cosines, off by less than about 1e-7. A zero row stays zero; no rows give (0, d).
    """
    return Grid.of(vectors, "cosine")[:]


def grid_dot(vectors: Vectors) -> Floats:
    """Return the rows rounded to the grid of each, (n, d) to float64 (n, d).

    Products of two results are dot products, off by less than about 1e-7 of the product of the two norms. No rows give
    (0, d).
    """
    return Grid.of(vectors, "dot")[:]


def to_grid(vectors: Vectors, similarity: Similarity) -> Floats:
    """Return the rows on the grid, (n, d) to float64 (n, d), so that their products are the similarities, exactly."""
    return grid_cosine(vectors) if similarity == "cosine" else grid_dot(vectors)


def grid_steps(lengths: Floats) -> Floats:
    """Return for norms (n,) the steps of the grids of their rows, powers of two, float64 (n,)."""
    exponents = np.frexp(lengths / _SLACK)[1]
    steps: Floats = np.ldexp(1.0, exponents) / _GRID
    return steps


def _parts(rows: int, dim: int) -> list[slice]:
    step = max(1, _AT_ONCE // max(dim, 1))
    return [slice(start, start + step) for start in range(0, rows, step)]


def _rounded(vectors: Vectors, similarity: Similarity) -> tuple[Floats, Floats]:
    """Return a few rows in whole numbers of steps, float64 (n, d), and the steps, (n,)."""
    scaled, lengths, exponents = _scale(vectors)
    if similarity == "cosine":
        scaled /= np.where(lengths > 0, lengths, 1.0)[:, None]
        scaled *= _GRID
        return np.rint(scaled, out=scaled), np.full(len(scaled), 1 / _GRID)
    steps = grid_steps(np.ldexp(lengths, exponents))
    scaled *= np.ldexp(1 / steps, exponents)[:, None]
    return np.rint(scaled, out=scaled), steps


def _scale(vectors: Vectors) -> tuple[Floats, Floats, NDArray[np.int32]]:
    """Return a few rows scaled so that the largest coordinate is below 1, their norms, and the exponents of the scale.

    The scales 2^exponent are powers of two, so that nothing is rounded.
    """
    largest = np.maximum(vectors.max(axis=1, initial=0.0), -vectors.min(axis=1, initial=0.0))
    exponents: NDArray[np.int32] = np.frexp(largest)[1]
    scaled = vectors.astype(np.float64)
    scaled *= np.ldexp(1.0, -exponents)[:, None]
    squares = scaled * scaled
    high = squares * _HIGH
    np.rint(high, out=high)
    high *= 1 / _HIGH
    squares -= high
    squares *= _LOW
    np.rint(squares, out=squares)
    squares *= 1 / _LOW
    return scaled, np.sqrt(high.sum(axis=1) + squares.sum(axis=1)), exponents
