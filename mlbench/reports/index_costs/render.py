"""Index costs on the console, as Markdown, and as one HTML page with its figures."""

import re
from collections.abc import Callable, Iterator
from math import ceil, floor, log10

from rich.console import Group, RenderableType
from rich.text import Text

from mlbench.collection.languages import KINDS
from mlbench.compare.index_costs import IndexCosts, IndexReport
from mlbench.protocols import Parameter
from mlbench.reports.console import FittedTable, Flow
from mlbench.reports.formatting import (
    SHORT,
    Quantity,
    decimal,
    harmless,
    heading,
    markdown_table,
    markdown_text,
)
from mlbench.reports.html import render_page
from mlbench.reports.index_costs.content import IndexCell, IndexTable, headline, notes, tables
from mlbench.reports.svg import Chart, ChartAxis, ChartSeries, Drawing, Mark, chart_svg

_CUTOFF = 10
# The key that a kind is swept over, as its marks are labelled.
_SWEPT = {"hnsw": "ef_search", "ivfpq": "nprobe"}
Point = Callable[[IndexReport], Mark | None]


def index_drawings(costs: IndexCosts) -> list[Drawing]:
    """Return the figures whose numbers there are; each kind of index is a line."""
    return [*_overlap(costs), *_quality(costs), *_bias(costs)]


def _overlap(costs: IndexCosts) -> Iterator[Drawing]:
    title = f"Overlap with the exact lists' first {_CUTOFF}, by speed"

    def point(each: IndexReport) -> Mark | None:
        share = each.overlap(_CUTOFF)
        return None if share is None else _mark(each, share, f"overlap@{_CUTOFF} {decimal(share)}")

    yield from _drawing(costs, title, f"overlap@{_CUTOFF}", point)


def _quality(costs: IndexCosts) -> Iterator[Drawing]:
    kinds = [kind for kind in reversed(KINDS) if any(e.line(costs.primary_measure, kind) for e in costs.indexes)]
    if not kinds:
        return
    quantity = Quantity(costs.primary_measure, kinds[0])
    title = f"{heading(costs.primary_measure)}, {SHORT[kinds[0]]}: change from exact lists of the same length, by speed"
    yield from _drawing(costs, title, f"change of {quantity.title}", _change(quantity))


def _bias(costs: IndexCosts) -> Iterator[Drawing]:
    quantity = Quantity("own_language_preference", None)
    title = "Own language preference: change from exact lists of the same length, by speed"
    yield from _drawing(costs, title, f"change of {quantity.title}", _change(quantity))


def _change(quantity: Quantity) -> Point:
    def point(each: IndexReport) -> Mark | None:
        line = each.line(quantity.name, quantity.kind)
        if line is None or line.own.difference is None:
            return None
        mark = _mark(each, line.own.difference, f"{quantity.title} {quantity.signed(line.own.difference)}")
        return Mark(mark.x, mark.y, mark.exact, mark.label, line.own.interval)

    return point


def _mark(each: IndexReport, value: float, words: str) -> Mark:
    speed = each.speed.queries_per_second
    key = _SWEPT.get(each.kind)
    label = str(each.keys.get(key, "")) if key else ""
    return Mark(speed, value, f"{each.name}: {words}, {speed:,.0f} queries/s", label)


def _drawing(costs: IndexCosts, title: str, y: str, point: Point) -> Iterator[Drawing]:
    series, described = [], []
    for name, group in _lines(costs):
        marks = [mark for each in group if (mark := point(each)) is not None]
        if marks:
            series.append(ChartSeries(name, tuple(sorted(marks, key=lambda mark: mark.x))))
            described += [mark.exact for mark in marks]
    if described:
        speeds = [mark.x for each in series for mark in each.means]
        axis = ChartAxis("queries/s, one thread, logarithmic", _ticks(min(speeds), max(speeds)), log=True)
        yield Drawing(title, chart_svg(Chart(axis, ChartAxis(y), tuple(series), f"{title}: {'; '.join(described)}")))


def _lines(costs: IndexCosts) -> Iterator[tuple[str, list[IndexReport]]]:
    """Yield the indexes that differ in nothing but the key that their kind is swept over, and what they are called."""
    groups: dict[tuple[str, frozenset[tuple[str, Parameter]]], list[IndexReport]] = {}
    for each in costs.indexes:
        built = frozenset((key, value) for key, value in each.keys.items() if key != _SWEPT.get(each.kind))
        groups.setdefault((each.kind, built), []).append(each)
    for (kind, built), group in groups.items():
        beside = [other for name, other in groups if name == kind]
        own = sorted(f"{key}={value}" for key, value in built if not all((key, value) in other for other in beside))
        swept = [f"by {_SWEPT[kind]}"] if kind in _SWEPT else []
        yield ", ".join([f"{kind} {','.join(own)}".rstrip(), *swept]), group


def _ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return 1, 2 and 5 times powers of ten between the two, and the nearest outside where there is none."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    round_values = [10.0**power * factor for power in powers for factor in (1, 2, 5)]
    inside = [value for value in round_values if low <= value <= high]
    values = inside or [max(value for value in round_values if value <= low)]
    return tuple((value, f"{value:,.0f}" if value >= 1 else f"{value:g}") for value in values)


def index_console(costs: IndexCosts) -> RenderableType:
    """Return the tables of the costs, fitted to the width of the console that prints them."""
    costs = harmless(costs)
    first, *rest = headline(costs)
    parts: list[RenderableType] = [Flow([Text(first, "bold"), *map(Text, rest)], "; ")]
    for table in tables(costs, full=False):
        parts += _titled(table)
    return Group(*parts, Text(), *(Flow([Text(note, "dim")]) for note in notes(costs)))


def _titled(table: IndexTable) -> Iterator[RenderableType]:
    yield Text()
    yield Text(table.title, "bold")
    columns = {table.first or " ": [Text(label) for label, _ in table.rows]}
    columns |= {head: [_text(cells[place]) for _, cells in table.rows] for place, head in enumerate(table.heads)}
    yield FittedTable(columns, left=["with"], narrowest=20)
    if table.note:
        yield Flow([Text(table.note, "dim")])


def _text(cell: IndexCell) -> Text:
    return Text.assemble(cell.text, (f" {cell.note}" if cell.note else "", "dim"))


# What no name of a language or of a key can be taken for.
_NUMBERS = re.compile(r"[-+.,\d \[\]·]*")


def index_markdown(costs: IndexCosts, *, full: bool = True) -> str:
    """Return the tables of the costs; without `full`, those that the console shows."""
    costs = harmless(costs)
    blocks = ["### What indexes cost", markdown_text("; ".join(headline(costs)))]
    for each in tables(costs, full=full):
        blocks += [
            f"#### {markdown_text(each.title)}",
            _table(each),
            *([markdown_text(each.note)] if each.note else []),
        ]
    *ours, statistics = notes(costs)
    listed = [*ours, markdown_text(statistics)]
    return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in listed)]) + "\n"


def _table(each: IndexTable) -> str:
    rows = [[markdown_text(label), *map(_cell, cells)] for label, cells in each.rows]
    return markdown_table([markdown_text(each.first), *map(markdown_text, each.heads)], rows)


def _cell(cell: IndexCell) -> str:
    return "<br>".join(
        text if _NUMBERS.fullmatch(text) else markdown_text(text) for text in (cell.text, cell.note) if text
    )


def index_page(costs: IndexCosts) -> str:
    """Return the page; everything that comes from the document is escaped."""
    costs = harmless(costs)
    return render_page(
        "index-costs.html",
        costs=costs,
        headline=headline(costs),
        drawings=index_drawings(costs),
        tables=tables(costs),
        notes=notes(costs),
    )
