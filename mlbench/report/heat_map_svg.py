"""A heat map as SVG, to stand within a page: no script, no font and no file of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from mlbench.report.colours import Scale, css
from mlbench.report.notation import decimal, heading, two_digits
from mlbench.report.pairs import POOL, Grid

_HEIGHT, _NARROWEST, _LETTER, _GAP = 30, 46, 8, 10
_LEGEND_STEPS, _LEGEND_STEP = 24, 6
_LONGEST = 14
_FONT = "font: 13px system-ui, sans-serif"


def heat_map_svg(grid: Grid) -> str:
    """Return an `<svg>` element: query languages as rows, document languages and the pool as columns.

    A cell has its value in two digits on a colour that any colour vision can read, and the exact number with its
    interval as a tooltip; the element as a whole has a text alternative. Labels have the colour of the text around.
    Everything from the grid is escaped.
    """
    scale = Scale.of(grid.values)
    frame = _Frame.of(grid)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width}" height="{frame.height}"'
        f' viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(alternative(grid))}"'
        f' style="{_FONT}" fill="currentColor">',
        *_labels(grid, frame),
        *(_cell(grid, frame, scale, row, column) for row in range(len(grid.languages)) for column in _range(grid)),
        *_legend(scale, frame),
        "</svg>",
    ]
    return "".join(parts)


def alternative(grid: Grid) -> str:
    """Return what the map shows in words: its axes, the extremes and where they are."""
    name = heading(grid.measure)
    values = [
        (value, f"{a} queries in {'the pool' if b == POOL else f'{b} documents'}")
        for a in grid.languages
        for b in grid.columns
        if (value := grid.value(a, b)) is not None
    ]
    if not values:
        return f"Heat map of {name} without values"
    (low, lowest), (high, highest) = min(values), max(values)
    return (
        f"Heat map of {name} by query language (rows) and document language (columns): "
        f"lowest {decimal(low)} for {lowest}, highest {decimal(high)} for {highest}; all values are in the table below"
    )


@dataclass(frozen=True)
class _Frame:
    """Where everything stands, in pixels."""

    left: int
    top: int
    cell: int
    rows: int
    columns: int
    pool: bool

    @classmethod
    def of(cls, grid: Grid) -> "_Frame":
        longest = max((len(_label(each)) for each in grid.languages), default=0) * _LETTER + 12
        return cls(
            max(longest, 64), 44, max(longest, _NARROWEST), len(grid.languages), len(grid.columns), bool(grid.pool)
        )

    @property
    def width(self) -> int:
        return self.x(self.columns)

    @property
    def height(self) -> int:
        return self.y(self.rows) + _HEIGHT

    def x(self, column: int) -> int:
        apart = _GAP if self.pool and column >= self.columns - 1 else 0
        return self.left + column * self.cell + apart

    def y(self, row: int) -> int:
        return self.top + row * _HEIGHT


def _label(name: str) -> str:
    """Cut what would push the map out of sight; the tooltips have it whole."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _range(grid: Grid) -> range:
    return range(len(grid.columns))


def _labels(grid: Grid, frame: _Frame) -> Iterator[str]:
    yield f'<text x="{frame.left}" y="14" opacity=".7">documents</text>'
    yield f'<text x="{frame.left - 8}" y="36" text-anchor="end" opacity=".7">queries</text>'
    for place, column in enumerate(grid.columns):
        middle = frame.x(place) + frame.cell // 2
        yield f'<text x="{middle}" y="36" text-anchor="middle" font-weight="600">{escape(_label(column))}</text>'
    for place, row in enumerate(grid.languages):
        y = frame.y(place) + 20
        yield f'<text x="{frame.left - 8}" y="{y}" text-anchor="end" font-weight="600">{escape(_label(row))}</text>'


def _cell(grid: Grid, frame: _Frame, scale: Scale, row: int, column: int) -> str:
    a, b = grid.languages[row], grid.columns[column]
    value, bounds = grid.value(a, b), grid.interval(a, b)
    interval = f" [{decimal(bounds.low, 4)}, {decimal(bounds.high, 4)}]" if bounds else ""
    exact = "no value" if value is None else f"{heading(grid.measure)} {decimal(value, 4)}{interval}"
    title = f"<title>{escape(f'{a} queries, {b} documents: {exact}')}</title>"
    x, y, middle = frame.x(column), frame.y(row), frame.x(column) + frame.cell // 2
    fill, ink = ("none", "currentColor") if value is None else (css(scale.colour(value)), css(scale.ink(value)))
    # A line inside the cell marks where a language meets itself.
    own = f'<rect x="{x + 2}" y="{y + 2}" width="{frame.cell - 5}" height="{_HEIGHT - 5}" fill="none" stroke="{ink}"/>'
    return (
        f'<g>{title}<rect x="{x}" y="{y}" width="{frame.cell - 1}" height="{_HEIGHT - 1}" fill="{fill}"/>'
        f"{own if a == b else ''}"
        f'<text x="{middle}" y="{y + 20}" text-anchor="middle" fill="{ink}">{two_digits(value)}</text></g>'
    )


def _legend(scale: Scale, frame: _Frame) -> Iterator[str]:
    y, x = frame.y(frame.rows) + 10, frame.left
    yield f'<text x="{x - 8}" y="{y + 11}" text-anchor="end">{two_digits(scale.low)}</text>'
    for step in range(_LEGEND_STEPS):
        colour = css(scale.colour(scale.low + (scale.high - scale.low) * step / (_LEGEND_STEPS - 1)))
        yield f'<rect x="{x}" y="{y}" width="{_LEGEND_STEP + 1}" height="14" fill="{colour}"/>'
        x += _LEGEND_STEP
    yield f'<text x="{x + 8}" y="{y + 11}">{two_digits(scale.high)}</text>'
