"""Points and lines on two axes as SVG, to stand within a page: no script, no font and no file of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, inf, log10

from mlbench.reports.formatting import visible
from mlbench.reports.ternary import TernaryPlot, ternary_svg
from mlbench.results import Bounds

COLOURS = ("#3f83c8", "#cc6a10", "#2b9a66", "#a964c4", "#8c8515", "#d6517d")
"""Told apart by any colour vision together with their marks, and readable on light and on dark."""
WIDTH, HEIGHT = 460, 290
"""How large a chart is, in pixels; the legend of series that have names stands below."""
LINE = 18
"""How high a line of text is."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 30, 44
_LETTER = 7.2
_FONT = "font: 13px system-ui, sans-serif"
_TICKS = 5
_MARGIN = 0.06
_APART = 9


@dataclass(frozen=True)
class Mark:
    """A mean at (x, y) with the interval of y, a short label beside it, and `exact` as a tooltip."""

    x: float
    y: float
    exact: str
    label: str = ""
    interval: Bounds | None = None


@dataclass(frozen=True)
class ChartSeries:
    """Means joined in their order, and `seeds`, the single values (x, y) that they are means of."""

    name: str
    means: tuple[Mark, ...]
    seeds: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class ChartAxis:
    """What an axis shows; with `ticks`, values and their labels, these alone are labelled."""

    title: str
    ticks: tuple[tuple[float, str], ...] = ()
    log: bool = False


@dataclass(frozen=True)
class Chart:
    """Series on two axes.

    The first series has the mark and colour number `first`, so that charts side by side need not look alike. `labels`
    explain the labels of the ticks below the chart.
    """

    title: str
    x: ChartAxis
    y: ChartAxis
    series: tuple[ChartSeries, ...]
    first: int = 0
    labels: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What can be seen, in words: every mark in full."""
        return f"{self.title}: {'; '.join(mark.exact for series in self.series for mark in series.means)}"


def chart_svg(chart: Chart | TernaryPlot) -> str:
    """Return an `<svg>` element; labels have the colour of the text around, everything from the chart is escaped.

    A chart without marks has axes only.
    """
    return ternary_svg(chart) if isinstance(chart, TernaryPlot) else _two_axes_svg(chart)


def _two_axes_svg(chart: Chart) -> str:
    x, y = _across(chart), _upwards(chart)
    named = [series for series in chart.series if series.name]
    height = HEIGHT + LINE * len(named)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{_escaped(chart.words)}" style="{_FONT}" fill="currentColor">',
        *_axes(chart, x, y),
        *(part for number in range(len(chart.series)) for part in _series(chart, number, x, y)),
        *_labels(chart, x, y),
        *(
            part
            for row, series in enumerate(named)
            for part in _legend(series, chart.first + chart.series.index(series), row)
        ),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True)
class _Scale:
    """From values between `low` and `high` to pixels between `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def _across(chart: Chart) -> _Scale:
    values = [mark.x for series in chart.series for mark in series.means]
    values += [value for series in chart.series for value, _ in series.seeds]
    return _scale(chart.x, values, _LEFT, WIDTH - _RIGHT)


def _upwards(chart: Chart) -> _Scale:
    values = [mark.y for series in chart.series for mark in series.means]
    values += [value for series in chart.series for _, value in series.seeds]
    marks = [mark for series in chart.series for mark in series.means]
    values += [bound for mark in marks if mark.interval for bound in (mark.interval.low, mark.interval.high)]
    return _scale(chart.y, values, HEIGHT - _BOTTOM, _TOP)


def _scale(axis: ChartAxis, values: Sequence[float], start: float, end: float) -> _Scale:
    found = [*values, *(value for value, _ in axis.ticks)] or [0.0, 1.0]
    low, high = min(found), max(found)
    if axis.log:
        edge = (high / low) ** _MARGIN if high > low else 2.0
        return _Scale(low / edge, high * edge, start, end, axis.ticks, log=True)
    # Values that are all equal stand in the middle.
    edge = (high - low) * _MARGIN or abs(low) * 0.1 or 1.0
    low, high = low - edge, high + edge
    return _Scale(low, high, start, end, axis.ticks or tuple(_nice(low, high)))


def _nice(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Yield round values between `low` and `high`, about five, with their labels."""
    rough = (high - low) / _TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    digits = max(0, -floor(log10(step) + 1e-9))
    for number in range(ceil(low / step), floor(high / step) + 1):
        value = round(number * step, digits + 1)
        text = f"{value:,.{digits}f}"
        yield value, text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _axes(chart: Chart, x: _Scale, y: _Scale) -> Iterator[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    for value, text in y.ticks:
        yield f'<path d="M{_LEFT} {y(value):.1f}H{right}" stroke="currentColor" opacity=".15"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end" opacity=".8">{_escaped(text)}</text>'
    taken = float("-inf")
    for value, text in x.ticks:
        at, half = x(value), len(text) * _LETTER / 2
        yield f'<path d="M{at:.1f} {bottom}v5" stroke="currentColor" opacity=".5"/>'
        if at - half > taken:
            yield f'<text x="{at:.1f}" y="{bottom + 19}" text-anchor="middle" opacity=".8">{_escaped(text)}</text>'
            taken = at + half + 4
    yield f'<path d="M{_LEFT} {bottom}H{right}" stroke="currentColor" opacity=".5"/>'
    yield f'<text x="{(_LEFT + right) / 2:.0f}" y="{bottom + 38}" text-anchor="middle">{_escaped(chart.x.title)}</text>'
    yield f'<text x="4" y="15">{_escaped(chart.y.title)}</text>'


def _series(chart: Chart, number: int, across: _Scale, y: _Scale) -> Iterator[str]:
    series, look = chart.series[number], chart.first + number
    colour = COLOURS[look % len(COLOURS)]
    # Series that share the places of ticks would hide each other's intervals, but must not stray to the next tick.
    aside = _apart(chart, across) * (number - (len(chart.series) - 1) / 2)

    def x(value: float) -> float:
        return across(value) + aside

    for one, other in series.seeds:
        yield f'<circle cx="{x(one):.1f}" cy="{y(other):.1f}" r="2.5" fill="none" stroke="{colour}" opacity=".8"/>'
    line = "L".join(f"{x(mark.x):.1f} {y(mark.y):.1f}" for mark in series.means)
    if len(series.means) > 1:
        yield f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="1.5" opacity=".8"/>'
    for mark in series.means:
        if mark.interval:
            low, high = y(mark.interval.low), y(mark.interval.high)
            yield f'<path d="M{x(mark.x):.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="1.5"/>'
        at = (x(mark.x), y(mark.y))
        yield f"<g><title>{_escaped(mark.exact)}</title>{_shape(look, at, colour)}</g>"


def _apart(chart: Chart, across: _Scale) -> float:
    places = sorted(across(value) for value, _ in chart.x.ticks)
    room = min((after - before for before, after in pairwise(places)), default=inf)
    return min(_APART, room / (len(chart.series) + 1)) if places else 0.0


def _shape(number: int, at: tuple[float, float], colour: str) -> str:
    """Return the mark of a series: colours alone would not tell series apart for everybody."""
    x, y = at
    corners = ("", "M-4.5 -4.5H4.5V4.5H-4.5Z", "M0 -6L5.5 4.5H-5.5Z", "M0 -6L6 0L0 6L-6 0Z", "M0 6L5.5 -4.5H-5.5Z")
    path = corners[number % len(corners)]
    if not path:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    return f'<path transform="translate({x:.1f} {y:.1f})" d="{path}" fill="{colour}"/>'


def _labels(chart: Chart, x: _Scale, y: _Scale) -> Iterator[str]:
    """Yield the labels of marks, each beside its mark where it covers as little as possible."""
    marks = [(x(mark.x), y(mark.y), mark.label) for series in chart.series for mark in series.means]
    taken = [(at - 6, up - 6, at + 6, up + 6) for at, up, _ in marks]
    for at, up, label in marks:
        if not label:
            continue
        width = len(label) * _LETTER
        places = [(at + 9, up - 5), (at - 9 - width, up - 5), (at + 9, up + 15), (at - 9 - width, up + 15)]
        places += [(at - width / 2, up - 10), (at - width / 2, up + 20)]
        boxes = [(left, base - 11, left + width, base + 3) for left, base in places]
        covered = [sum(_overlap(box, other) for other in taken) + _outside(box) for box in boxes]
        best = covered.index(min(covered))
        taken.append(boxes[best])
        left, base = places[best]
        yield f'<text x="{left:.1f}" y="{base:.1f}">{_escaped(label)}</text>'


_Box = tuple[float, float, float, float]


def _overlap(one: _Box, other: _Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    upwards = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, upwards)


def _outside(box: _Box) -> float:
    frame = (_LEFT, _TOP - 8, WIDTH, HEIGHT - _BOTTOM)
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame)


def _legend(series: ChartSeries, number: int, row: int) -> Iterator[str]:
    base = HEIGHT + LINE * row + 8
    yield _shape(number, (_LEFT + 6, base - 4), COLOURS[number % len(COLOURS)])
    yield f'<text x="{_LEFT + 20}" y="{base}">{_escaped(series.name)}</text>'


def _escaped(text: str) -> str:
    return escape(visible(text))
