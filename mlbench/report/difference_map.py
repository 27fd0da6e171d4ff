"""How much better or worse each language finds each language: a heat map of differences around zero."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.report.colours import Scale
from mlbench.report.differences import EXPLAINED
from mlbench.report.heat_map import HeatMap
from mlbench.report.notation import ABSENT, decimal, heading

_PARTS = {"thousandths": 1000, "hundredths": 100}


@dataclass(frozen=True)
class DifferenceMap(HeatMap):
    """The differences of a grid as whole numbers of a `unit`, red where worse and blue where better.

    Those in `explained`, pairs of a row and a column, have the mark of what is more than topics explain. Without colour
    the signs tell. It is coarser where that makes room, and where there is none, or no cross-lingual setting, no map.
    """

    explained: frozenset[tuple[str, str]] = frozenset()
    unit: Literal["thousandths", "hundredths"] = "thousandths"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend, in hundredths where thousandths would be cut into more blocks."""
        coarse = replace(self, unit="hundredths")
        fine, coarser = (len(list(each._blocks(options.max_width))) for each in (self, coarse))
        yield from super(DifferenceMap, coarse if coarser < fine else self).__rich_console__(console, options)

    @property
    def _title(self) -> str:
        return f"difference of {heading(self.grid.measure)} in {self.unit}: queries (rows) by documents (columns)"

    def _scale(self) -> Scale:
        return Scale.around_zero(self.grid.values)

    def _text(self, row: str, column: str) -> str:
        mark = EXPLAINED if (row, column) in self.explained else " "
        return f"{whole(self.grid.value(row, column), _PARTS[self.unit])}{mark}"

    def _end(self, value: float) -> str:
        return decimal(value)

    def _instead(self) -> Iterator[RenderableType]:
        if self.grid.crosses:
            yield Text("the heat map of differences needs a wider terminal", "dim")

    @cached_property
    def _narrowest(self) -> int:
        return 2 + max((len(whole(value, _PARTS[self.unit])) for value in self.grid.values), default=0)


def whole(value: float | None, parts: int = 1000) -> str:
    """Write a difference as a whole number of thousandths, or of other parts: `-21` for -.021; None is `·`."""
    if value is None:
        return ABSENT
    number = round(parts * value)
    return f"{number:+d}" if number else "0"
