"""A heat map as SVG, to stand within a page: no script, no font and no file of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from mlbench.reports.colours import BAR_WIDTH, ColourScale, bar_svg, css
from mlbench.reports.formatting import decimal, two_digits, visible
from mlbench.reports.report import HeatColumn, HeatMap, HeatRow

_HEIGHT, _NARROWEST, _LETTER, _GAP = 30, 46, 8, 10
_LONGEST = 14
_FONT = "font: 13px system-ui, sans-serif"


def heat_map_svg(shown: HeatMap) -> str:
    """Return an `<svg>` element with the rows and columns that are not of means.

    A cell has its text on a colour that any colour vision can read, and the exact number as a tooltip; the element as a
    whole has a text alternative. Labels have the colour of the text around. Everything from the map is escaped.
    """
    frame = _Frame.of(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width}" height="{frame.height}"'
        f' viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{_escaped(shown.words)}"'
        f' style="{_FONT}" fill="currentColor">',
        *_labels(shown, frame),
        *(
            _cell(shown, frame, row, place, column)
            for row in range(len(frame.rows))
            for column, place in enumerate(frame.places)
        ),
        *(part for scale in shown.scales.values() for part in legend_svg(scale, frame.left, frame.legend)),
        "</svg>",
    ]
    return "".join(parts)


@dataclass(frozen=True)
class _Frame:
    """Where everything stands, in pixels; `places` are those of the columns that are drawn."""

    rows: tuple[HeatRow, ...]
    columns: tuple[HeatColumn, ...]
    places: tuple[int, ...]
    left: int
    top: int
    cell: int

    @classmethod
    def of(cls, shown: HeatMap) -> "_Frame":
        rows = tuple(row for row in shown.rows if not row.of_means)
        places = tuple(place for place, column in enumerate(shown.columns) if not column.of_means)
        columns = tuple(shown.columns[place] for place in places)
        names = [row.label for row in rows] + [column.title for column in columns]
        longest = max((len(_label(name)) for name in names), default=0) * _LETTER + 12
        return cls(rows, columns, places, max(longest, 64), 44, max(longest, _NARROWEST))

    @property
    def width(self) -> int:
        return self.x(len(self.columns))

    @property
    def height(self) -> int:
        return self.y(len(self.rows)) + _HEIGHT

    @property
    def legend(self) -> int:
        """Where the scale stands, below the cells."""
        return self.y(len(self.rows)) + 10

    def x(self, column: int) -> int:
        apart = sum(each.apart for each in self.columns[: column + 1])
        return self.left + column * self.cell + apart * _GAP

    def y(self, row: int) -> int:
        return self.top + row * _HEIGHT


def _label(name: str) -> str:
    """Cut what would push the map out of sight; the tooltips have it whole."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    return escape(visible(text))


def _labels(shown: HeatMap, frame: _Frame) -> Iterator[str]:
    rows, columns = shown.axes
    yield f'<text x="{frame.left}" y="14" opacity=".7">{_escaped(columns)}</text>'
    yield f'<text x="{frame.left - 8}" y="36" text-anchor="end" opacity=".7">{_escaped(rows)}</text>'
    for place, column in enumerate(frame.columns):
        middle = frame.x(place) + frame.cell // 2
        title = _escaped(_label(column.title))
        yield f'<text x="{middle}" y="36" text-anchor="middle" font-weight="600">{title}</text>'
    for place, row in enumerate(frame.rows):
        y = frame.y(place) + 20
        label = _escaped(_label(row.label))
        yield f'<text x="{frame.left - 8}" y="{y}" text-anchor="end" font-weight="600">{label}</text>'


def _cell(shown: HeatMap, frame: _Frame, row: int, place: int, column: int) -> str:
    cell, scale = frame.rows[row].cells[place], shown.scales[shown.columns[place].unit]
    x, y, middle = frame.x(column), frame.y(row), frame.x(column) + frame.cell // 2
    fill, ink = ("none", "currentColor")
    if cell.value is not None:
        fill, ink = css(scale.colour(cell.value)), css(scale.ink(cell.value))
    # A line inside the cell marks where a language meets itself.
    own = f'<rect x="{x + 2}" y="{y + 2}" width="{frame.cell - 5}" height="{_HEIGHT - 5}" fill="none" stroke="{ink}"/>'
    return (
        f"<g><title>{_escaped(cell.exact)}</title>"
        f'<rect x="{x}" y="{y}" width="{frame.cell - 1}" height="{_HEIGHT - 1}" fill="{fill}"/>'
        f"{own if cell.style == 'strong' else ''}"
        f'<text x="{middle}" y="{y + 20}" text-anchor="middle" fill="{ink}">{_escaped(cell.text + cell.mark)}</text>'
        "</g>"
    )


def legend_svg(scale: ColourScale, x: int, y: int) -> Iterator[str]:
    """Yield elements of a scale whose bar begins at (`x`, `y`), with its ends at both sides."""
    yield f'<text x="{x - 8}" y="{y + 11}" text-anchor="end">{scale_end(scale.low)}</text>'
    yield from bar_svg(scale, x, y)
    yield f'<text x="{x + BAR_WIDTH + 8}" y="{y + 11}">{scale_end(scale.high)}</text>'


def scale_end(value: float) -> str:
    """Write an end of a colour scale, in two digits where they say all."""
    return two_digits(value) if round(value, 2) == value else decimal(value)
