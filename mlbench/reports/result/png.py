"""A heat map as a PNG figure, for slides and papers."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlbench.errors import MissingExtra
from mlbench.reports.captions import Captions, captions
from mlbench.reports.colours import ColourScale, css
from mlbench.reports.formatting import heading, two_digits
from mlbench.reports.grid import Grid, grid, shown_measure
from mlbench.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_DPI = 200
_CELL, _WIDE_CELL = 0.42, 0.95
"""Inches."""
_TITLE_AT = 0.98
"""Where a title stands unless somebody lifts it, as a share of the height."""


def png_report(result: Result, *, measure: str | None = None) -> bytes:
    """Return the heat map of `measure`, by default the primary one, in the colours of the HTML page.

    Of a result with images it is the table of captions.

    The same result gives the same bytes with the same version of matplotlib. Raises `MissingExtra` without matplotlib
    and `UnknownName` for a measure that the result does not have.
    """
    images = captions(result, measure)
    shown = _of_captions(images) if images else _of_grid(grid(result, shown_measure(result, measure)))
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("PNG figures", "plot") from error
    buffer = io.BytesIO()
    # The user's own settings would make other figures of the same result.
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        # A letter that the font does not have is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph")
        rows, columns = len(shown.rows), len(shown.columns)
        figure = Figure(figsize=(1.4 + columns * shown.cell, 1.3 + rows * _CELL), dpi=_DPI)
        FigureCanvasAgg(figure)
        _draw(figure.add_subplot(), shown)
        title = f"{result.retriever.spec} on {result.task.name}\n{shown.title}"
        figure.suptitle(title, fontsize=9, parse_math=False, y=_TITLE_AT + shown.lift / figure.get_figheight())
        figure.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    return buffer.getvalue()


@dataclass(frozen=True)
class _Picture:
    """What is drawn: titles, and rows of values with the scales of their columns; `gaps` stand before columns.

    `x_axis` and `y_axis` are the names of the axes. In inches, `cell` is how wide a column is, and `lift` how much
    higher than usual the title stands.
    """

    title: str
    x_axis: str
    y_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    scales: Sequence[ColourScale]
    gaps: Sequence[int]
    cell: float
    lift: float = 0.0


def _of_grid(shown: Grid) -> _Picture:
    return _Picture(
        title=heading(shown.measure),
        x_axis="documents",
        y_axis="queries",
        rows=shown.languages,
        columns=shown.columns,
        values=[[shown.value(row, column) for column in shown.columns] for row in shown.languages],
        scales=[ColourScale.of(shown.values)] * len(shown.columns),
        gaps=[len(shown.languages)] if shown.pool else [],
        cell=_CELL,
    )


def _of_captions(shown: Captions) -> _Picture:
    columns = shown.columns
    return _Picture(
        title=shown.title,
        x_axis="",
        y_axis="captions",
        rows=shown.languages,
        columns=[f"{column.group}\n{column.title}".lstrip() for column in columns],
        values=[[column.value(row) for column in columns] for row in shown.languages],
        scales=[shown.scale(column) for column in columns],
        gaps=[place for place in range(1, len(columns)) if columns[place].group != columns[place - 1].group],
        cell=_WIDE_CELL,
        lift=0.4,
    )


def _draw(axes: "Axes", shown: _Picture) -> None:
    colours = np.full((len(shown.rows), len(shown.columns), 3), 255, dtype=np.uint8)
    for row, values in enumerate(shown.values):
        for column, (value, scale) in enumerate(zip(values, shown.scales, strict=True)):
            ink = "black" if value is None else css(scale.ink(value))
            if value is not None:
                colours[row, column] = scale.colour(value)
            axes.text(column, row, two_digits(value), ha="center", va="center", color=ink, fontsize=7)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(shown.columns)), shown.columns, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(shown.rows)), shown.rows, fontsize=8, parse_math=False)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlabel(shown.x_axis, fontsize=8)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel(shown.y_axis, fontsize=8)
    for place in shown.gaps:
        axes.axvline(place - 0.5, color="white", linewidth=3)
