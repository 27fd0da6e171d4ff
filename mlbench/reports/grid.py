"""One measure of every pair of languages, as a heat map."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import UnknownName
from mlbench.reports.colours import ColourScale
from mlbench.reports.formatting import ABSENT, decimal, heading
from mlbench.reports.report import Cell, Column, HeatCell, HeatColumn, HeatMap, HeatRow, Row, Table
from mlbench.results import Bounds, Result

MEAN, POOL = "mean", "pool"
MOST_IN_CELLS = 30
"""Of how many languages a number for every pair can be read in cells; of more it is drawn on pages, and summarised."""


@dataclass(frozen=True)
class Grid:
    """One measure of every setting: by (query language, document language), and by query language in the pool.

    `bounds` and `pool_bounds` are the intervals of those values that have one.
    """

    measure: str
    languages: tuple[str, ...]
    cells: Mapping[tuple[str, str], float]
    pool: Mapping[str, float]
    bounds: Mapping[tuple[str, str], Bounds] = field(default_factory=dict)
    pool_bounds: Mapping[str, Bounds] = field(default_factory=dict)

    @property
    def crosses(self) -> bool:
        """Whether there is a cross-lingual value."""
        return any(query != document for query, document in self.cells)

    @property
    def values(self) -> list[float]:
        """All values, those of the pool last."""
        return [*self.cells.values(), *self.pool.values()]

    @property
    def columns(self) -> tuple[str, ...]:
        """The document languages, their mean, and the pool where there is one."""
        return (*self.languages, MEAN, *([POOL] if self.pool else []))

    def value(self, row: str, column: str) -> float | None:
        """Return the value of a query language, or `MEAN`, and a document language, `POOL` or `MEAN`."""
        if row == MEAN and column == POOL:
            return self.pool_mean()
        if row == MEAN:
            return self.mean() if column == MEAN else self.column_mean(column)
        if column == POOL:
            return self.pool.get(row)
        return self.row_mean(row) if column == MEAN else self.cells.get((row, column))

    def interval(self, row: str, column: str) -> Bounds | None:
        """Return the interval of a query language and a document language or `POOL`, as far as it is known."""
        return self.pool_bounds.get(row) if column == POOL else self.bounds.get((row, column))

    def row_mean(self, query_language: str) -> float | None:
        """Return the mean over the other document languages."""
        return self._row_means.get(query_language)

    def column_mean(self, document_language: str) -> float | None:
        """Return the mean over the other query languages."""
        return self._column_means.get(document_language)

    @cached_property
    def _row_means(self) -> Mapping[str, float | None]:
        found: dict[str, list[float]] = {}
        for (query, document), value in self.cells.items():
            if query != document:
                found.setdefault(query, []).append(value)
        return {language: mean(values) for language, values in found.items()}

    @cached_property
    def _column_means(self) -> Mapping[str, float | None]:
        found: dict[str, list[float]] = {}
        for (query, document), value in self.cells.items():
            if query != document:
                found.setdefault(document, []).append(value)
        return {language: mean(values) for language, values in found.items()}

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """The values as (query languages, document languages), NaN where there is none."""
        return as_matrix(self.cells, self.languages)

    def mean(self) -> float | None:
        """Return the mean over the cross-lingual settings."""
        return mean([value for (a, b), value in self.cells.items() if a != b])

    def pool_mean(self) -> float | None:
        """Return the mean over query languages in the pool."""
        return mean(list(self.pool.values()))


def grid(result: Result, measure: str) -> Grid:
    """Gather one measure of all settings; the pool is the largest that was asked in each query language."""
    largest = max((len(setting.document_languages) for setting in result.settings), default=0)
    cells: dict[tuple[str, str], float] = {}
    pool: dict[str, float] = {}
    bounds: dict[tuple[str, str], Bounds] = {}
    pool_bounds: dict[str, Bounds] = {}
    for setting in result.settings:
        value, interval = setting.measures.get(measure), setting.intervals.get(measure)
        if value is None:
            continue
        if len(setting.document_languages) == 1:
            pair = setting.query_language, setting.document_languages[0]
            cells[pair] = value
            bounds |= {pair: interval} if interval else {}
        elif len(setting.document_languages) == largest:
            pool[setting.query_language] = value
            pool_bounds |= {setting.query_language: interval} if interval else {}
    return Grid(measure, result.task.languages, cells, pool, bounds, pool_bounds)


def as_matrix(values: Mapping[tuple[str, str], float], languages: Sequence[str]) -> NDArray[np.float64]:
    """Return values by query and document language as a matrix with a row and a column for each of `languages`.

    It is NaN where there is no value. Pairs with another language, such as `POOL`, are left out.
    """
    places = {language: place for place, language in enumerate(languages)}
    found = np.full((len(languages), len(languages)), np.nan)
    for (query, document), value in values.items():
        if query in places and document in places:
            found[places[query], places[document]] = value
    return found


def grid_map(
    grid: Grid,
    title: str,
    scale: ColourScale,
    cell: Callable[[str, str], HeatCell],
    *,
    named: str = "",
) -> HeatMap:
    """Return the map of a grid; `cell` writes the value of a row and a column, and `named` is what the values are."""
    absent = [f"{ABSENT}: no value"] if len(grid.cells) < len(grid.languages) ** 2 else []
    return HeatMap(
        title=title,
        axes=("queries", "documents"),
        columns=tuple(HeatColumn(name, of_means=name == MEAN, apart=name == POOL) for name in grid.columns),
        rows=tuple(
            HeatRow(row, tuple(cell(row, column) for column in grid.columns), of_means=row == MEAN)
            for row in (*grid.languages, MEAN)
        ),
        scales={"": scale},
        words=_words(grid, named or heading(grid.measure)),
        notes=(
            "mean: cross-lingual settings only",
            *(["pool: documents of all languages"] if grid.pool else []),
            *absent,
        ),
    )


def means_table(grid: Grid) -> Table:
    """Return a row for each language with its means, where a heat map has no cross-lingual values or finds no room."""
    columns = {
        "monolingual": {a: grid.cells.get((a, a)) for a in grid.languages},
        "as query": {a: grid.row_mean(a) for a in grid.languages},
        "as document": {a: grid.column_mean(a) for a in grid.languages},
        POOL: {a: grid.pool.get(a) for a in grid.languages},
    }
    known = {title: values for title, values in columns.items() if any(v is not None for v in values.values())}
    means = [mean([value for value in values.values() if value is not None]) for values in known.values()]
    return Table(
        f"{heading(grid.measure)} by language",
        "language",
        tuple(map(Column, known)),
        (
            *(Row(Cell(a), tuple(Cell(decimal(values[a])) for values in known.values())) for a in grid.languages),
            Row(Cell(MEAN), tuple(Cell(decimal(value)) for value in means)),
        ),
    )


def _words(grid: Grid, named: str) -> str:
    """Say what the map shows: its axes, the extremes and where they are."""
    values = [
        (value, f"{a} queries in {'the pool' if b == POOL else f'{b} documents'}")
        for a in grid.languages
        for b in grid.columns
        if b != MEAN and (value := grid.value(a, b)) is not None
    ]
    if not values:
        return f"Heat map of {named} without values"
    (low, lowest), (high, highest) = min(values), max(values)
    return (
        f"Heat map of {named} by query language (rows) and document language (columns): "
        f"lowest {decimal(low)} for {lowest}, highest {decimal(high)} for {highest}; all values are in the table below"
    )


def shown_measure(result: Result, measure: str | None) -> str:
    """Return `measure`, or the primary one for None; raises `UnknownName` when the result does not have it."""
    shown = result.task.primary_measure if measure is None else measure
    if shown not in result.task.measures:
        raise UnknownName("measure of this result", shown, result.task.measures)
    return shown


def mean(values: Sequence[float]) -> float | None:
    """Return the mean; None over nothing."""
    return sum(values) / len(values) if values else None
