"""What an image shows: so many shapes of one kind and colour; and which of these are kept from training."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "diamond", "heart")
COLOURS = ("red", "yellow", "green", "blue", "black", "brown", "purple", "grey")
COUNTS = (1, 2, 3, 4)

# How far apart shape and colour stand in their lists where combinations are held out, and the counts that then are.
_HELD_OUT = {0: (1, 2), 1: (2, 3), 3: (3, 4), 6: (4, 1)}


@dataclass(frozen=True, slots=True)
class Combination:
    """So many (`count`) shapes of one kind and colour; `name` is its own and fit for the name of a file."""

    shape: str
    colour: str
    count: int

    @property
    def name(self) -> str:
        """Such as `red-circle-3`."""
        return f"{self.colour}-{self.shape}-{self.count}"

    @property
    def held_out(self) -> bool:
        """Whether it is for evaluation alone: 64 of the 256 are.

        Each shape is held out 8 times, and so are each colour and 16 times each count; every pair of a shape, a colour
        and a count is seen in training. Each has others beside it that differ in the shape, in the colour or in the
        count alone, so that whoever ignores one of the three finds half of the images at best.
        """
        apart = (COLOURS.index(self.colour) - SHAPES.index(self.shape)) % len(COLOURS)
        return self.count in _HELD_OUT.get(apart, ())


def combinations(*, held_out: bool) -> Iterator[Combination]:
    """Yield the combinations for evaluation (64), or those for training (192), in a fixed order."""
    every = (Combination(*choice) for choice in product(SHAPES, COLOURS, COUNTS))
    return (combination for combination in every if combination.held_out == held_out)
