import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.reports.chart import COLOURS, Chart, ChartAxis, ChartSeries, Mark, chart_svg
from mlbench.reports.colours import contrast
from mlbench.results import Bounds

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


def chart(*series: ChartSeries, x: ChartAxis | None = None, y: ChartAxis | None = None) -> Chart:
    return Chart("what is seen", x or ChartAxis("across"), y or ChartAxis("upwards"), series)


def line(*points: tuple[float, float], name: str = "") -> ChartSeries:
    return ChartSeries(name, tuple(Mark(x, y, f"({x}, {y})") for x, y in points))


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def places(svg: str) -> list[tuple[float, float]]:
    """Return where the marks of the first series are, in pixels."""
    circles = [group.find(f"{SVG}circle") for group in drawn(svg).iter(f"{SVG}g")]
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in circles if c is not None]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in drawn(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("paper", [(255, 255, 255), (0x16, 0x16, 0x1A)], ids=["light", "dark"])
@pytest.mark.parametrize("colour", COLOURS)
def test_colours_can_be_seen_on_light_and_on_dark(colour: str, paper: tuple[int, int, int]) -> None:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    # WCAG 2.2, 1.4.11: graphics need 3 to 1.
    assert contrast((red, green, blue), paper) >= 3


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6))
def test_every_mark_is_inside_and_larger_values_stand_further(points: list[tuple[float, float]]) -> None:
    svg = chart_svg(chart(line(*points)))
    found = places(svg)
    width, height = (float(drawn(svg).attrib[key]) for key in ("width", "height"))
    assert len(found) == len(points)
    assert all(0 < x < width and 0 < y < height for x, y in found)
    for (one, at), (other, there) in pairwise(zip(points, found, strict=True)):
        assert (other[0] - one[0]) * (there[0] - at[0]) >= 0
        assert (other[1] - one[1]) * (there[1] - at[1]) <= 0


def test_a_logarithmic_axis_puts_equal_ratios_equally_far_apart() -> None:
    ticks = tuple((value, str(value)) for value in (0.1, 1.0, 10.0))
    found = places(chart_svg(chart(line((0.1, 1), (1, 1), (10, 1)), x=ChartAxis("data", ticks, log=True))))
    assert found[1][0] - found[0][0] == pytest.approx(found[2][0] - found[1][0], abs=0.2)


def test_round_values_are_labelled_without_leading_zero() -> None:
    labels = texts(chart_svg(chart(line((0.51, 1200.0), (0.56, 4800.0)))))
    assert {".52", ".54", "2,000", "4,000"} <= set(labels)


def test_given_ticks_alone_are_labelled_as_far_as_there_is_room() -> None:
    ticks = tuple((float(number), f"value {number}") for number in range(20))
    labels = texts(chart_svg(chart(line((0, 1), (19, 2)), x=ChartAxis("x", ticks))))
    shown = [label for label in labels if label.startswith("value")]
    assert 3 < len(shown) < 12
    assert shown[0] == "value 0"


def test_intervals_reach_from_low_to_high_and_are_inside() -> None:
    mark = Mark(1.0, 5.0, "exact", interval=Bounds(low=2.0, high=9.0))
    svg = chart_svg(chart(ChartSeries("", (mark, Mark(2.0, 5.0, "other")))))
    path = next(p for p in re.findall(r'd="(M[^"]*V[^"]*)"', svg))
    low, high = (float(number) for number in re.findall(r" ([\d.]+)V([\d.]+)", path)[0])
    (_, middle), _ = places(svg)
    assert 0 < high < middle < low < 290
    assert (low - middle) / (middle - high) == pytest.approx(3 / 4, abs=0.01)


def test_seeds_are_drawn_beside_their_means() -> None:
    svg = chart_svg(chart(ChartSeries("", (Mark(1, 2, "mean"),), ((1, 1.5), (1, 2.5)))))
    assert svg.count("<circle") == 3


def test_several_series_have_marks_of_their_own_a_legend_and_do_not_hide_each_other() -> None:
    ticks = ((0.0, "0"), (1.0, "1"))
    svg = chart_svg(chart(line((0, 1), (1, 2), name="one"), line((0, 1), (1, 2), name="two"), x=ChartAxis("x", ticks)))
    assert {"one", "two"} <= set(texts(svg))
    assert COLOURS[0] in svg
    assert COLOURS[1] in svg
    square = re.search(r"translate\(([\d.]+)", svg)
    assert square is not None
    assert float(square[1]) > places(svg)[0][0] + 5


def test_series_of_many_ticks_do_not_stray_to_the_next() -> None:
    ticks = tuple((float(number), str(number)) for number in range(60))
    many = [line(*((value, 1.0) for value, _ in ticks), name=name) for name in ("one", "two", "three")]
    svg = chart_svg(chart(*many, x=ChartAxis("x", ticks)))
    squares, triangles = (
        [float(x) for x in re.findall(rf'translate\(([\d.]+) [\d.]+\)" d="{re.escape(shape)}', svg)][:60]
        for shape in ("M-4.5 -4.5", "M0 -6L5.5 4.5")
    )
    circles = [x for x, _ in places(svg)]
    assert len(circles) == len(squares) == len(triangles) == 60
    for before, middle, after in zip(circles, squares, triangles, strict=True):
        assert before < middle < after
    assert all(before < after for before, after in zip(triangles, circles[1:], strict=False))


def test_charts_side_by_side_need_not_look_alike() -> None:
    both = chart(line((0, 1), (1, 2)))
    svg = chart_svg(replace(both, first=3))
    assert COLOURS[3] in svg
    assert COLOURS[0] not in svg


def test_labels_do_not_cover_each_other() -> None:
    marks = tuple(Mark(0.5 + 0.001 * number, 0.5, "exact", label=f"arm {number}") for number in range(4))
    svg = chart_svg(chart(ChartSeries("", (*marks, Mark(1, 1, "far")))))
    labels = [e for e in drawn(svg).iter(f"{SVG}text") if (e.text or "").startswith("arm")]
    assert len({(e.attrib["x"], e.attrib["y"]) for e in labels}) == 4


def test_what_it_shows_is_said_and_escaped() -> None:
    nasty = '<script>"&\x1b'
    unseen = '<script>"&\\x1b'
    marks = (Mark(1, 1, nasty, nasty), Mark(2, 2, "b"))
    ticks = ((1.0, nasty), (2.0, "2"))
    svg = chart_svg(Chart(nasty, ChartAxis(nasty, ticks), ChartAxis(nasty), (ChartSeries(nasty, marks),)))
    root = drawn(svg)
    assert root.attrib["aria-label"] == f"{unseen}: {unseen}; b"
    assert root.attrib["role"] == "img"
    assert texts(svg).count(unseen) == 5
    assert "<script" not in svg


def test_nothing_to_show_gives_axes() -> None:
    assert {"across", "upwards"} <= set(texts(chart_svg(chart())))
