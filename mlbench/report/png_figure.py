"""A heat map as a PNG figure, for slides and papers."""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from mlbench.errors import MissingExtra
from mlbench.report.colours import Scale, css
from mlbench.report.notation import heading, two_digits
from mlbench.report.pairs import Grid, grid, shown_measure
from mlbench.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 200
_CELL = 0.42
"""Inches."""


def png_report(result: Result, *, measure: str | None = None) -> bytes:
    """Return the heat map of `measure`, by default the primary one, in the colours of the HTML page.

    The same result gives the same bytes with the same version of matplotlib. Raises `MissingExtra` without matplotlib
    and `UnknownName` for a measure that the result does not have.
    """
    shown = grid(result, shown_measure(result, measure))
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
        rows, columns = len(shown.languages), len(shown.columns)
        figure = Figure(figsize=(1.4 + columns * _CELL, 1.3 + rows * _CELL), dpi=_DPI)
        FigureCanvasAgg(figure)
        _draw(figure.add_subplot(), shown)
        title = f"{result.retriever.spec} on {result.task.name}\n{heading(shown.measure)}"
        figure.suptitle(title, fontsize=9, parse_math=False)
        figure.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight")
    return buffer.getvalue()


def _draw(axes: "Axes", shown: Grid) -> None:
    scale = Scale.of(shown.values)
    colours = np.full((len(shown.languages), len(shown.columns), 3), 255, dtype=np.uint8)
    for row, language in enumerate(shown.languages):
        for column, other in enumerate(shown.columns):
            value = shown.value(language, other)
            ink = "black" if value is None else css(scale.ink(value))
            if value is not None:
                colours[row, column] = scale.colour(value)
            axes.text(column, row, two_digits(value), ha="center", va="center", color=ink, fontsize=7)
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(shown.columns)), shown.columns, fontsize=8, parse_math=False)
    axes.set_yticks(range(len(shown.languages)), shown.languages, fontsize=8, parse_math=False)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlabel("documents", fontsize=8)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("queries", fontsize=8)
    if shown.pool:
        axes.axvline(len(shown.languages) - 0.5, color="white", linewidth=3)
