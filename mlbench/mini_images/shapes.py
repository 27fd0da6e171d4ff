"""Shapes as masks of pixels, in integer arithmetic: they are the same on every machine."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# Directions to the five tips of a star, clockwise from the top, and how far its sides are from its middle, in 1/1000.
_TIPS = ((0, 1000), (951, 309), (588, -809), (-588, -809), (-951, 309))
_SIDE = 382


def mask(shape: str, radius: int) -> Bools:
    """Return which pixels a shape covers, bool (2 radius + 1, 2 radius + 1), its middle at [radius, radius].

    It is in one piece, and touches no edge of another mask beside it, from a radius of 6 on.
    """
    offsets = np.arange(-radius, radius + 1, dtype=np.int64)
    x, y = offsets[None, :], -offsets[:, None]
    covered: Bools = np.broadcast_to(_COVERS[shape](x, y, radius), (len(offsets), len(offsets)))
    return covered


def _circle(x: Ints, y: Ints, radius: int) -> Bools:
    # Half a pixel more than the radius, or each side would end in a single pixel.
    return x * x + y * y <= radius * (radius + 1)


def _ring(x: Ints, y: Ints, radius: int) -> Bools:
    return _circle(x, y, radius) & (4 * (x * x + y * y) > radius * radius)


def _square(x: Ints, y: Ints, radius: int) -> Bools:
    side = radius * 6 // 7
    within: Bools = np.maximum(np.abs(x), np.abs(y)) <= side
    return within


def _diamond(x: Ints, y: Ints, radius: int) -> Bools:
    within: Bools = 3 * np.abs(x) + 2 * np.abs(y) <= 2 * radius
    return within


def _triangle(x: Ints, y: Ints, radius: int) -> Bools:
    return (2 * np.abs(x) <= radius - y) & (y >= -(radius * 6 // 7))


def _cross(x: Ints, y: Ints, radius: int) -> Bools:
    return (4 * np.abs(x) <= radius) | (4 * np.abs(y) <= radius)


def _star(x: Ints, y: Ints, radius: int) -> Bools:
    # A pentagram is what lies on the inner side of at least four of its five lines.
    inside = [(1000 * (across * x + up * y) <= 1000 * _SIDE * radius) for across, up in _TIPS]
    most: Bools = np.sum(inside, axis=0) >= 4
    return most


def _heart(x: Ints, y: Ints, radius: int) -> Bools:
    # (x^2 + y^2 - 1)^3 <= x^2 y^3, which reaches 1.14 to the sides, 1.24 up and 1 down.
    unit = 10 * radius
    x, y = 11 * x, 11 * y + radius
    return (x * x + y * y - unit * unit) ** 3 <= x * x * y**3 * unit


_COVERS: dict[str, Callable[[Ints, Ints, int], Bools]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
    "diamond": _diamond,
    "heart": _heart,
}
