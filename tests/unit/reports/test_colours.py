from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.reports.colours import ColourScale, contrast

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([], 0.0, 1.0),
        ([0.42, 0.81], 0.4, 0.9),
        ([0.3, 0.7], 0.3, 0.7),
        ([0.5], 0.5, 0.6),
        ([0.0, 1.0], 0.0, 1.0),
        ([1.0], 1.0, 1.1),
    ],
)
def test_scale_lies_between_tenths(values: list[float], low: float, high: float) -> None:
    assert ColourScale.of(values) == ColourScale(low, high)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_scale_holds_all_values(values: list[float]) -> None:
    scale = ColourScale.of(values)
    assert scale.low - 1e-9 <= min(values)
    assert max(values) <= scale.high + 1e-9


def test_grows_brighter_from_the_known_ends_of_viridis() -> None:
    scale = ColourScale(0.2, 0.8)
    assert (scale.colour(0.2), scale.colour(0.8)) == ((0x44, 0x01, 0x54), (0xFD, 0xE7, 0x25))
    brightness = [contrast(scale.colour(0.2 + 0.006 * step), BLACK) for step in range(101)]
    assert all(before < after for before, after in pairwise(brightness))


class TestAroundZero:
    @pytest.mark.parametrize(
        ("values", "reach"), [([], 0.01), ([0.001], 0.01), ([0.012, -0.004], 0.02), ([-0.124], 0.15), ([2.0], 1.0)]
    )
    def test_reaches_as_far_down_as_up(self, values: list[float], reach: float) -> None:
        scale = ColourScale.around_zero(values)
        assert (scale.low, scale.high) == (-reach, reach)

    def test_is_red_below_blue_above_and_grows_darker_both_ways(self) -> None:
        scale = ColourScale.around_zero([0.2])
        (red, _, blue), (other_red, _, other_blue) = scale.colour(-0.2), scale.colour(0.2)
        assert red > blue
        assert other_blue > other_red
        brightness = [contrast(scale.colour(0.002 * step), BLACK) for step in range(-100, 101)]
        assert all(before < after for before, after in pairwise(brightness[:101]))
        assert all(before > after for before, after in pairwise(brightness[100:]))

    @given(st.floats(-1, 1))
    def test_text_can_be_read_on_every_colour(self, value: float) -> None:
        scale = ColourScale.around_zero([1.0])
        assert contrast(scale.ink(value), scale.colour(value)) >= 4.5


@pytest.mark.parametrize(("outside", "end"), [(-1.0, 0.2), (5.0, 0.8)])
def test_outside_is_the_nearer_end(outside: float, end: float) -> None:
    scale = ColourScale(0.2, 0.8)
    assert scale.colour(outside) == scale.colour(end)


@given(st.floats(0, 1))
def test_text_can_be_read_on_every_colour(value: float) -> None:
    scale = ColourScale(0.0, 1.0)
    ink, paper = scale.style(value).removeprefix("not bold ").split(" on ")
    assert paper == "#" + bytes(scale.colour(value)).hex()
    # 4.5 is what WCAG 2.2 asks of text.
    assert contrast(tuple(bytes.fromhex(ink[1:])), scale.colour(value)) >= 4.5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "ratio"), [(BLACK, WHITE, 21.0), (WHITE, WHITE, 1.0), ((119, 119, 119), WHITE, 4.48)]
)
def test_contrast(one: tuple[int, int, int], other: tuple[int, int, int], ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert contrast(other, one) == contrast(one, other)
