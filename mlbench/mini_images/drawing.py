"""Draws a combination: its shapes at random places and sizes on a light background."""

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from mlbench.mini_images.combinations import COLOURS, SHAPES, Combination
from mlbench.mini_images.shapes import mask

Pixels = NDArray[np.uint8]

SIDE = 64
"""Images are so many pixels high and wide."""

RGB = {
    "red": (220, 30, 40),
    "yellow": (240, 205, 20),
    "green": (40, 150, 60),
    "blue": (40, 90, 215),
    "black": (20, 20, 20),
    "brown": (130, 75, 30),
    "purple": (140, 50, 165),
    "grey": (135, 135, 135),
}
"""The colours, each of which varies by up to `VARIATION` in red, green and blue."""

VARIATION = 10

_LIGHT = (225, 256)
_RADII = (9, 13)
_GAP = 2
_TRIES = 15


def draw(combination: Combination, seed: int, number: int = 0) -> Pixels:
    """Return an image of a combination, uint8 (64, 64, 3): the `number`-th that `seed` gives, always the same.

    Its shapes are in one piece each and do not touch. Sizes do not depend on how many there are.
    """
    shape, colour = SHAPES.index(combination.shape), COLOURS.index(combination.colour)
    random = RandomState([seed, number, shape, colour, combination.count])
    pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    pixels[:] = random.randint(*_LIGHT, 3, np.int64)
    varied = np.array(RGB[combination.colour]) + random.randint(-VARIATION, VARIATION + 1, 3, np.int64)
    radii = random.randint(*_RADII, combination.count, np.int64)
    for (top, left), radius in zip(_places(radii, random), radii, strict=True):
        covered = mask(combination.shape, int(radius))
        pixels[top : top + len(covered), left : left + len(covered)][covered] = varied
    return pixels


def _places(radii: NDArray[np.int64], random: RandomState) -> list[tuple[int, int]]:
    """Return the top left corners of squares of 2 radius + 1 pixels that neither overlap nor touch."""
    while True:
        placed: list[tuple[int, int, int]] = []
        for radius in radii:
            side = 2 * int(radius) + 1
            for _ in range(_TRIES):
                top, left = (int(place) for place in random.randint(1, SIDE - side, 2, np.int64))
                if all(_apart(top, left, side, other) for other in placed):
                    placed.append((top, left, side))
                    break
        # Where the first ones leave no room for the last, all are placed anew.
        if len(placed) == len(radii):
            return [(top, left) for top, left, _ in placed]


def _apart(top: int, left: int, side: int, other: tuple[int, int, int]) -> bool:
    other_top, other_left, other_side = other
    below = top >= other_top + other_side + _GAP or other_top >= top + side + _GAP
    return below or left >= other_left + other_side + _GAP or other_left >= left + side + _GAP
