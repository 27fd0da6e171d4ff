"""The table of captions as it stands in a page: coloured cells with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from mlbench.report.captions import Captions, Column
from mlbench.report.colours import css
from mlbench.report.notation import decimal, interval
from mlbench.report.pairs import MEAN


@dataclass(frozen=True)
class CaptionCell:
    """A number, its interval, the colours of both (empty for none), and whether it is an end of its column.

    `value` is None where there are no colours; numbers of one `unit` share a scale.
    """

    value: float | None
    unit: str
    text: str
    note: str
    paper: str
    ink: str
    best: bool
    worst: bool


@dataclass(frozen=True)
class CaptionTable:
    """The table: groups with the number of their columns, the columns' titles, and labelled rows."""

    title: str
    groups: Sequence[tuple[str, int]]
    titles: Sequence[str]
    rows: Sequence[tuple[str, Sequence[CaptionCell]]]


def caption_table(shown: Captions) -> CaptionTable:
    """Return the table of a page."""
    return CaptionTable(
        title=f"{shown.title[:1].upper()}{shown.title[1:]}",
        groups=[(group, len(list(found))) for group, found in groupby(shown.columns, key=lambda column: column.group)],
        titles=[column.title for column in shown.columns],
        rows=[(row, [_cell(shown, column, row) for column in shown.columns]) for row in shown.rows],
    )


def _cell(shown: Captions, column: Column, row: str) -> CaptionCell:
    value, scale = None if row == MEAN else column.value(row), shown.scale(column)
    return CaptionCell(
        value=value,
        unit=column.unit,
        text=decimal(column.value(row)),
        note=interval(column.interval(row)).strip(),
        paper="" if value is None else css(scale.colour(value)),
        ink="" if value is None else css(scale.ink(value)),
        best=column.is_best(row),
        worst=column.is_worst(row),
    )
