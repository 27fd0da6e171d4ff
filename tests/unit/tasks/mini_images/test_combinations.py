from collections import Counter
from itertools import product

from mlbench.tasks.mini_images.captions import COLOURS, COUNTS, SHAPES, Combination, combinations

HELD_OUT = list(combinations(held_out=True))
TRAINING = list(combinations(held_out=False))


def pairs(of: list[Combination]) -> Counter[tuple[object, object]]:
    return Counter(
        pair for each in of for pair in ((each.shape, each.colour), (each.shape, each.count), (each.colour, each.count))
    )


def test_a_quarter_is_held_out() -> None:
    assert len(HELD_OUT) == 64
    assert len(TRAINING) == 192
    assert set(HELD_OUT) | set(TRAINING) == {Combination(*choice) for choice in product(SHAPES, COLOURS, COUNTS)}
    assert len({each.name for each in HELD_OUT + TRAINING}) == 256


def test_every_pair_of_a_shape_a_colour_and_a_count_is_seen_in_training() -> None:
    every = {*product(SHAPES, COLOURS), *product(SHAPES, COUNTS), *product(COLOURS, COUNTS)}
    assert set(pairs(TRAINING)) == every
    assert min(pairs(TRAINING).values()) == 2


def test_what_is_held_out_is_balanced() -> None:
    assert set(Counter(each.shape for each in HELD_OUT).values()) == {8}
    assert set(Counter(each.colour for each in HELD_OUT).values()) == {8}
    assert set(Counter(each.count for each in HELD_OUT).values()) == {16}


def test_whoever_ignores_a_part_cannot_tell_two_images_apart() -> None:
    assert set(pairs(HELD_OUT).values()) == {2}
