"""Ternary plots: where points stand, what is seen of them, and that nothing else gets in."""

from math import dist
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.reports.chart import chart_svg
from mlbench.reports.colours import ColourScale, css
from mlbench.reports.ternary import Standing, TernaryPlot, TernaryPoint, ternary_svg

SVG = "{http://www.w3.org/2000/svg}"
Shares = tuple[float, float, float]
CORNERS: tuple[Shares, Shares, Shares] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def point(shares: Shares, value: float = 0.5, standing: Standing = "plain") -> TernaryPoint:
    return TernaryPoint(shares, value, f"{value:.3f}".removeprefix("0"), f"{shares}: {value}", standing)


def plot(*points: TernaryPoint) -> TernaryPlot:
    return TernaryPlot("what is seen", ("mono", "cross", "mixed"), points)


def drawn(shown: TernaryPlot) -> ElementTree.Element:
    return ElementTree.fromstring(ternary_svg(shown))


def circles(shown: TernaryPlot) -> list[list[ElementTree.Element]]:
    """Return the circles of each point: its mark, and its ring if it has one."""
    return [group.findall(f"{SVG}circle") for group in drawn(shown).iter(f"{SVG}g")]


def places(shown: TernaryPlot) -> list[tuple[float, float]]:
    return [(float(each[0].attrib["cx"]), float(each[0].attrib["cy"])) for each in circles(shown)]


def texts(shown: TernaryPlot) -> list[str]:
    return [element.text or "" for element in drawn(shown).iter(f"{SVG}text")]


def lattice(steps: int) -> list[Shares]:
    pairs = [(a, b) for a in range(steps + 1) for b in range(steps + 1 - a)]
    return [(a / steps, b / steps, (steps - a - b) / steps) for a, b in pairs]


def test_corners_make_a_triangle_with_equal_sides() -> None:
    above, left, right = places(plot(*map(point, CORNERS)))
    assert left[1] == right[1] > above[1]
    assert left[0] < above[0] < right[0]
    sides = [dist(above, left), dist(above, right), dist(left, right)]
    assert sides == pytest.approx([sides[0]] * 3, abs=0.2)


@given(st.lists(st.integers(0, 100), min_size=3, max_size=3).filter(any))
def test_a_point_is_the_mean_of_the_corners_with_its_shares_as_weights(parts: list[int]) -> None:
    first, second, third = (part / sum(parts) for part in parts)
    *corners, found = places(plot(*map(point, CORNERS), point((first, second, third))))
    for axis in (0, 1):
        expected = sum(w * corner[axis] for w, corner in zip((first, second, third), corners, strict=True))
        assert found[axis] == pytest.approx(expected, abs=0.2)


def test_colours_are_those_of_the_values_and_equal_values_have_one() -> None:
    fills = [each[0].attrib["fill"] for each in circles(plot(*map(point, CORNERS, (0.1, 0.3, 0.2))))]
    scale = ColourScale(0.1, 0.3)
    assert fills == [css(scale.colour(value)) for value in (0.1, 0.3, 0.2)]
    assert len({each[0].attrib["fill"] for each in circles(plot(*map(point, CORNERS)))}) == 1


def test_the_best_and_what_cannot_be_told_from_it_have_rings_that_the_legend_explains() -> None:
    shown = plot(point(CORNERS[0], 0.9, "best"), point(CORNERS[1], 0.8, "tied"), point(CORNERS[2], 0.1))
    rings = [[ring.attrib.get("stroke-dasharray") for ring in each[1:]] for each in circles(shown)]
    assert rings == [[None], ["3 2.5"], []]
    assert {"best", "not significantly different from it"} <= set(texts(shown))
    assert "best" not in texts(plot(*map(point, CORNERS)))


@pytest.mark.parametrize("steps", range(1, 7))
def test_every_point_has_its_value_beside_it_where_there_is_room(steps: int) -> None:
    points = [point(shares, 0.1 + 0.01 * number) for number, shares in enumerate(lattice(steps))]
    assert {each.text for each in points} <= set(texts(plot(*points)))


def test_where_there_is_none_the_best_alone_has() -> None:
    shares = lattice(20)
    points = [point(each, 0.1 + number / 1000) for number, each in enumerate(shares[:-1])]
    found = texts(plot(*points, point(shares[-1], 0.9, "best")))
    # The ends of the colours are the lowest and the highest value.
    assert found == ["mono", "cross", "mixed", ".900", ".100", ".900", "best"]


def test_everything_stands_inside() -> None:
    shown = plot(*(point(each, 12345.6, "best") for each in lattice(2)))
    width, height = (float(drawn(shown).attrib[key]) for key in ("width", "height"))
    for text in drawn(shown).iter(f"{SVG}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        assert 0 < x < width
        assert 0 < y < height


def test_names_do_nothing_and_all_is_told_in_words() -> None:
    nasty = "<b>&\x1b[31m"
    shown = TernaryPlot(nasty, (nasty, nasty, nasty), (TernaryPoint(CORNERS[0], 1.0, nasty, nasty),))
    svg = chart_svg(shown)
    assert "\x1b" not in svg
    assert "<b>" not in svg
    assert ElementTree.fromstring(svg).attrib["aria-label"] == "<b>&\\x1b[31m: <b>&\\x1b[31m"


def test_no_points_make_an_empty_triangle() -> None:
    assert texts(plot()) == ["mono", "cross", "mixed"]
