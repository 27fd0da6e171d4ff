"""A result on the console."""

from rich.console import Group, RenderableType
from rich.text import Text

from mlbench.report.bias import BiasTable, bias_line, warnings
from mlbench.report.caption_map import CaptionMap
from mlbench.report.captions import captions
from mlbench.report.heat_map import HeatMap
from mlbench.report.pairs import grid, shown_measure
from mlbench.report.scores import other_scores
from mlbench.report.summary import SummaryTable, footer, header
from mlbench.results import Result


def console_report(result: Result, *, measure: str | None = None) -> RenderableType:
    """Return the report of a result: means, bias scores, heat map or table of captions, and how they were made.

    It fits itself to the width of the console that prints it, and has no colour where that has none. `measure` is the
    one of the heat map, by default the primary one; raises `UnknownName` when the result does not have it.
    """
    shown = shown_measure(result, measure)
    parts: list[RenderableType] = [*header(result), Text(), SummaryTable(result), Text(), bias_line(result)]
    parts += warnings(result)
    if others := other_scores(result):
        parts += [Text(), BiasTable(others)]
    images = captions(result, measure)
    languages = CaptionMap(images) if images else HeatMap(grid(result, shown))
    return Group(*parts, Text(), languages, Text(), *footer(result))
