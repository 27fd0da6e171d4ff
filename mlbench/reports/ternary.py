"""Values over shares of three parts as SVG, to stand within a page: no script, no font and no file of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from math import sqrt
from typing import Literal

from mlbench.reports.colours import BAR_WIDTH, ColourScale, bar_svg, css
from mlbench.reports.formatting import visible

_WIDTH, _HEIGHT = 330, 356
"""In pixels: three stand side by side on a wide page, and one on a narrow one."""
_SIDE = 264.0
_LEFT, _TOP = 33.0, 34.0
_BOTTOM = _TOP + _SIDE * sqrt(3) / 2
_RADIUS, _RING = 8.0, 11.5
_LETTER, _TEXT_HEIGHT = 7.0, 12.0
_BELOW, _ASIDE = 24.0, 7.0
_FONT = "font: 13px system-ui, sans-serif"

Standing = Literal["best", "tied", "plain"]
_RINGS: tuple[tuple[Standing, str], ...] = (("best", "best"), ("tied", "not significantly different from it"))
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class TernaryPoint:
    """A value at three shares that sum to 1, written short as `text` and in full as `exact`.

    It is the `best` of its plot, or `tied`: not significantly different from the best.
    """

    shares: tuple[float, float, float]
    value: float
    text: str
    exact: str
    standing: Standing = "plain"


@dataclass(frozen=True)
class TernaryPlot:
    """Points in a triangle whose corners, the first of them above, are the three parts alone."""

    title: str
    corners: tuple[str, str, str]
    points: tuple[TernaryPoint, ...]
    labels: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What can be seen, in words: every point in full."""
        return f"{self.title}: {'; '.join(point.exact for point in self.points)}"


def ternary_svg(plot: TernaryPlot) -> str:
    """Return an `<svg>` element; labels have the colour of the text around, everything from the plot is escaped.

    Each point has its value as a colour, and its text where there is room for all of them; where there is not, the
    best alone has one. A plot without points is an empty triangle.
    """
    values = [point.value for point in plot.points] or [0.0]
    # Equal values all have the colour of the middle.
    edge = 0.0 if max(values) > min(values) else 1.0
    scale = ColourScale(min(values) - edge, max(values) + edge)
    roomy = not any(_overlap(one, other) for one, other in combinations(_boxes(plot.points), 2))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' role="img" aria-label="{_escaped(plot.words)}" style="{_FONT}" fill="currentColor">',
        *_lattice(plot),
        *(part for point in plot.points for part in _point(point, scale, roomy or point.standing == "best")),
        *_legend(plot.points, scale),
        "</svg>",
    ]
    return "".join(parts)


def _place(shares: tuple[float, float, float]) -> tuple[float, float]:
    """Return where a point stands, in pixels: a share of 1 is a corner, 0 the side opposite it."""
    above, _, right = shares
    return _LEFT + _SIDE * (right + above / 2), _BOTTOM - (_BOTTOM - _TOP) * above


def _text_place(point: TernaryPoint) -> tuple[float, float]:
    """Return the middle of the base line of a point's text: below the point, and off the sides of the triangle."""
    x, y = _place(point.shares)
    above, left, right = point.shares
    if above == 1:
        return x + _RING + 4 + len(point.text) * _LETTER / 2, y + 4
    aside = _ASIDE if above and not right else -_ASIDE if above and not left else 0.0
    return x + aside, y + _BELOW


def _lattice(plot: TernaryPlot) -> Iterator[str]:
    """Yield the sides with the names of the corners, and a line for each share that is met."""
    for corner in range(3):
        for share in sorted({round(point.shares[corner], 9) for point in plot.points} - {0.0, 1.0}):
            ends = [_with_share(corner, share, other) for other in range(3) if other != corner]
            (x, y), (to_x, to_y) = map(_place, ends)
            yield f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="currentColor" opacity=".15"/>'
    (x, y), (left, bottom), (right, _) = map(_place, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    yield (
        f'<path d="M{x:.1f} {y:.1f}L{left:.1f} {bottom:.1f}H{right:.1f}Z" fill="none" stroke="currentColor"'
        ' opacity=".5"/>'
    )
    above, *below = map(_escaped, plot.corners)
    yield f'<text x="{x:.1f}" y="{y - _RING - 6:.1f}" text-anchor="middle" font-weight="600">{above}</text>'
    base = bottom + _BELOW + 18
    for name, at, anchor in zip(below, (2.0, _WIDTH - 2.0), ("start", "end"), strict=True):
        yield f'<text x="{at:.1f}" y="{base:.1f}" text-anchor="{anchor}" font-weight="600">{name}</text>'


def _with_share(corner: int, share: float, other: int) -> tuple[float, float, float]:
    shares = [0.0, 0.0, 0.0]
    shares[corner], shares[other] = share, 1 - share
    return shares[0], shares[1], shares[2]


def _point(point: TernaryPoint, scale: ColourScale, labelled: bool) -> Iterator[str]:
    x, y = _place(point.shares)
    yield f"<g><title>{_escaped(point.exact)}</title>"
    # Any colour can be told from any paper by its rim.
    yield (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS:g}" fill="{css(scale.colour(point.value))}"'
        ' stroke="currentColor" stroke-opacity=".6"/>'
    )
    yield from _ring(x, y, point.standing)
    yield "</g>"
    if labelled:
        weight = ' font-weight="700"' if point.standing == "best" else ""
        text, (x, base) = _escaped(point.text), _text_place(point)
        yield f'<text x="{x:.1f}" y="{base:.1f}" font-size="12" text-anchor="middle"{weight}>{text}</text>'


def _ring(x: float, y: float, standing: Standing) -> Iterator[str]:
    if standing != "plain":
        dashes = ' stroke-dasharray="3 2.5"' if standing == "tied" else ""
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RING:g}" fill="none" stroke="currentColor" stroke-width="1.8"'
            f"{dashes}/>"
        )


def _legend(points: Sequence[TernaryPoint], scale: ColourScale) -> Iterator[str]:
    """Yield the colours with the texts of their ends, and what the rings mean, where there are some."""
    if not points:
        return
    lowest, *_, highest = sorted((points[0], *points, points[-1]), key=lambda point: point.value)
    top = _HEIGHT - 44
    yield f'<text x="60" y="{top + 11}" text-anchor="end" opacity=".8">{_escaped(lowest.text)}</text>'
    yield from bar_svg(scale, 68, top)
    yield f'<text x="{68 + BAR_WIDTH + 8}" y="{top + 11}" opacity=".8">{_escaped(highest.text)}</text>'
    place = 12.0
    for standing, words in _RINGS:
        if any(point.standing == standing for point in points):
            yield from _ring(place + 2, _HEIGHT - 13, standing)
            yield f'<text x="{place + 20:.1f}" y="{_HEIGHT - 8}" opacity=".8">{words}</text>'
            place += 70


def _boxes(points: Sequence[TernaryPoint]) -> Iterator[_Box]:
    """Yield where each mark, and its text, stand: left, top, right, bottom."""
    for point in points:
        x, y = _place(point.shares)
        yield x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS
        half, (middle, base) = len(point.text) * _LETTER / 2, _text_place(point)
        yield middle - half, base - _TEXT_HEIGHT, middle + half, base


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _escaped(text: str) -> str:
    return escape(visible(text))
