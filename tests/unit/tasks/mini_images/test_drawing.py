import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mlbench.tasks.mini_images.captions import COLOURS, COUNTS, SHAPES, Combination
from mlbench.tasks.mini_images.drawing import RGB, SIDE, VARIATION, draw, mask

ANY = st.builds(Combination, st.sampled_from(SHAPES), st.sampled_from(COLOURS), st.sampled_from(COUNTS))
SEEDS = st.integers(0, 2**32 - 1)
RADII = range(9, 13)
# Diagonal neighbours belong together too.
TOUCHING = np.ones((3, 3))


@given(combination=ANY, seed=SEEDS, number=st.integers(0, 999))
def test_so_many_pieces_of_the_colour_are_drawn(combination: Combination, seed: int, number: int) -> None:
    pixels = draw(combination, seed, number)
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    colours, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    assert len(colours) == 2
    background = pixels[0, 0]
    assert background.min() >= 225
    inked = (colours[places.ravel()] != background).any(axis=1).reshape(SIDE, SIDE)
    assert ndimage.label(inked, TOUCHING)[1] == combination.count
    ink = next(colour for colour in colours.astype(int) if (colour != background).any())
    assert min(RGB, key=lambda name: int(((np.array(RGB[name]) - ink) ** 2).sum())) == combination.colour
    # Nothing is cut off.
    assert not inked[[0, -1]].any()
    assert not inked[:, [0, -1]].any()


@given(combination=ANY, seed=SEEDS)
def test_each_piece_is_the_shape_in_one_of_its_sizes(combination: Combination, seed: int) -> None:
    pixels = draw(combination, seed)
    pieces, count = ndimage.label((pixels != pixels[0, 0]).any(axis=2), TOUCHING)
    known = {trimmed(mask(combination.shape, radius)).tobytes() for radius in RADII}
    for number in range(1, count + 1):
        assert trimmed(pieces == number).tobytes() in known


def trimmed(covered: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(covered.any(axis=1))[0], np.nonzero(covered.any(axis=0))[0]
    return covered[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_the_same_seed_and_number_draw_the_same() -> None:
    combination = Combination("heart", "red", 3)
    first = draw(combination, 1)
    assert (first == draw(combination, 1)).all()
    assert (first != draw(combination, 2)).any()
    assert (first != draw(combination, 1, 1)).any()


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_one_piece_within_its_square(shape: str, radius: int) -> None:
    covered = mask(shape, radius)
    assert covered.shape == (2 * radius + 1, 2 * radius + 1)
    assert ndimage.label(covered, TOUCHING)[1] == 1
    # Only a ring has a hole.
    assert ndimage.label(~np.pad(covered, 1))[1] == (2 if shape == "ring" else 1)
    assert (covered == covered[:, ::-1]).all()
    # No mark of a few pixels: an eighth of its square at least.
    assert covered.mean() > 1 / 8


@pytest.mark.parametrize("radius", RADII)
def test_shapes_of_one_size_differ_widely(radius: int) -> None:
    for first in SHAPES:
        for second in SHAPES:
            different = mask(first, radius) ^ mask(second, radius)
            assert first == second or different.mean() > 0.1, (first, second)


def test_colours_differ_from_each_other_and_the_background_more_than_each_varies() -> None:
    names = list(RGB)
    assert tuple(names) == COLOURS
    values = np.array([RGB[name] for name in names], dtype=float)
    between = np.linalg.norm(values[:, None] - values[None], axis=2) + 1e9 * np.eye(len(names))
    spread = np.linalg.norm([VARIATION] * 3)
    assert between.min() > 4 * spread
    lightest = np.minimum(values + VARIATION, 255)
    assert np.linalg.norm(np.maximum(225 - lightest, 0), axis=1).min() > 4 * spread
