"""Draws the images of `mini-images` in integer arithmetic, and writes them with their captions into a folder."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from mlbench.errors import MissingExtra, UserError
from mlbench.io.atomic import replaced_folder
from mlbench.protocols import SILENCE, Progress
from mlbench.tasks.find_reader import FOLDER_FILE
from mlbench.tasks.mini_images.captions import COLOURS, SHAPES, Combination, captions, combinations

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
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
TEST_SEED = 0
"""The images for evaluation are always those of this seed; those for training never are."""
IMAGES = "images"
# Directions to the five tips of a star, clockwise from the top, and how far its sides are from its middle, in 1/1000.
_TIPS = ((0, 1000), (951, 309), (588, -809), (-588, -809), (-951, 309))
_SIDE = 382
_LIGHT = (225, 256)
_RADII = (9, 13)
_GAP = 2
_TRIES = 15
_TRAINING_TASK = """\
name = "mini-images-train"
title = "mini-images: drawings to train on"
licence = "CC0 1.0"
licence_url = "https://creativecommons.org/publicdomain/zero/1.0/legalcode"

[options]
cluster_unit = "combination"
"""
_LAST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class _CaptionedImage:
    """An image and its captions by language; those of the same `cluster` show as many of the same shape and colour."""

    name: str
    pixels: Pixels
    captions: dict[str, str]
    cluster: str | None


def make(folder: Path, *, seed: int = 1, drawings: int = 40, progress: Progress = SILENCE) -> tuple[int, int]:
    """Write `folder`/test, always the same, and `folder`/train with `drawings` images of each combination for training.

    The two share no combination. Returns the numbers of images. Raises `UserError` where `folder` is there and is not
    empty, or for a seed outside 1 to 2^32 - 1, and `MissingExtra` without Pillow; after an error neither is there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already: name a folder that is empty or new")
    if not TEST_SEED < seed <= _LAST_SEED:
        raise UserError(f"the seed of the drawings is from 1 to {_LAST_SEED:,}, not {seed:,}")
    if find_spec("PIL") is None:
        raise MissingExtra("images", "images")
    test, train = (len(list(combinations(held_out=held_out))) for held_out in (True, False))
    progress.start("draw", test + train * drawings)
    # The folder itself is not replaced: it may be where the user stands, or a disk.
    with replaced_folder(folder / "train") as for_training, replaced_folder(folder / "test") as for_evaluation:
        _write(for_evaluation, _for_evaluation(), progress)
        _write(for_training, _for_training(seed, drawings), progress)
        (for_training / FOLDER_FILE).write_text(_TRAINING_TASK, encoding="utf-8", newline="\n")
    progress.finish()
    return test, train * drawings


def _for_evaluation() -> Iterator[_CaptionedImage]:
    for combination in combinations(held_out=True):
        yield _CaptionedImage(f"{combination.name}.png", draw(combination, TEST_SEED), captions(combination), None)


def _for_training(seed: int, drawings: int) -> Iterator[_CaptionedImage]:
    for combination in combinations(held_out=False):
        for number in range(drawings):
            name, pixels = f"{combination.name}-{number:03}.png", draw(combination, seed, number)
            yield _CaptionedImage(name, pixels, captions(combination), combination.name)


def _write(folder: Path, images: Iterable[_CaptionedImage], progress: Progress) -> None:
    from PIL import Image

    (folder / IMAGES).mkdir(parents=True)
    lines: dict[str, list[str]] = defaultdict(list)
    for image in images:
        Image.fromarray(image.pixels).save(folder / IMAGES / image.name, optimize=True)
        for language, caption in image.captions.items():
            row = {"image": image.name, "caption": caption}
            row |= {"cluster": image.cluster} if image.cluster else {}
            lines[language].append(json.dumps(row, ensure_ascii=False) + "\n")
        progress.advance(1)
    for language, rows in lines.items():
        (folder / f"captions.{language}.jsonl").write_text("".join(rows), encoding="utf-8", newline="\n")


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
