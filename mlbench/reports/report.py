"""What a report is made of: sections, sentences, tables and figures, which a writer turns into each format.

Every text is data: a writer escapes what its format gives a meaning to, and shows what could act unseen as an escape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mlbench.collection.language_info import LanguageInfo
from mlbench.reports.chart import Chart
from mlbench.reports.colours import ColourScale
from mlbench.reports.ternary import TernaryPlot

Style = Literal["plain", "strong", "soft", "code", "warning", "good", "bad"]
"""How a text looks: `strong` in bold, `soft` in grey, `code` as a name that is typed, the others by their colours."""
Shown = Literal["always", "foldable", "folded", "in_full", "on_pages", "in_papers"]
"""Where a section stands.

`always` is everywhere, and so is `foldable`, to unfold in Markdown; `folded` is to unfold in Markdown and on pages, and
like `in_full` not on a screen that is not asked for everything; `on_pages` is on HTML pages and in SVG alone,
`in_papers` in LaTeX alone.
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a sentence with a style of its own."""

    text: str
    style: Style = "plain"


Words = str | Span
"""A part of a sentence; a `str` has the style of the sentence."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Parts in one flow, with a separator between them, where lines are broken first; no parts give no sentence.

    The style `warning` sets it apart as something to be known before the numbers are believed.
    """

    parts: tuple[Words, ...]
    separator: str = ", "
    style: Style = "plain"

    @property
    def text(self) -> str:
        """The sentence without styles."""
        return self.separator.join(part if isinstance(part, str) else part.text for part in self.parts)


@dataclass(frozen=True, slots=True)
class Bullets:
    """Items of a list; after the first `most`, a screen that does not show everything says how many there are more."""

    items: tuple[Sentence, ...]
    most: int | None = None


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A number that people look for first: its `name` as it is typed, its `title` in words.

    Behind the value stand its `interval`, an `aside` such as another mean, and `references` such as a chance level;
    each may be empty.
    """

    name: str
    title: str
    text: str
    interval: str = ""
    aside: str = ""
    references: str = ""


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """Numbers that must be read together, under one short name; `note` says why some are missing, or is empty."""

    name: str
    figures: tuple[KeyFigure, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text of a table, the `mark` right behind it, and `notes` such as an interval in small print.

    A `strong` number without a mark has a star on screens, which may have no bold type.

    On pages, `share` (0 to 1) is the length of a bar, `image` a data URI that stands above the text, and `link` a place
    on the page or a path relative to it; None and empty for none.
    """

    text: str = ""
    notes: tuple[str, ...] = ()
    mark: str = ""
    style: Style = "plain"
    share: float | None = None
    image: str = ""
    link: str = ""


def notes(*texts: str) -> tuple[str, ...]:
    """Return the notes of a cell, without those that are empty."""
    return tuple(text for text in texts if text)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; columns of one `group` stand together, with its name above them.

    Where a screen is too narrow, columns of a higher `urgency` number go first, later ones before earlier ones, and
    `unnamed` ones without a word. Those that `fold` are broken into several lines before others go. A column of
    `passages` has texts in any script, which are cut to the room that is there. With `notes_in_files`, notes of cells
    stand everywhere but on screens.
    """

    title: str
    group: str = ""
    align: Literal["left", "right"] = "right"
    urgency: int = 0
    unnamed: bool = False
    folds: bool = False
    passages: bool = False
    notes_in_files: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its label, and a cell for each column."""

    label: Cell
    cells: tuple[Cell, ...]


NoteLayout = Literal["beside", "beside_or_below", "below"]
"""Where a screen puts notes: beside their numbers; below, where that is too wide; always below. Below, they go last."""


@dataclass(frozen=True)
class Table:
    """Labelled rows; `first` is the title of the labels. A table without rows is left out.

    The `title` says what the table shows: above it where it is `titled`, else for those who hear it. Labels are folded
    to no less than `narrowest` columns of a screen. LaTeX has the tables for a `paper` alone, where there are any.
    """

    title: str
    first: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    titled: bool = True
    note_layout: NoteLayout = "beside"
    narrowest: int = 12
    paper: bool = False


@dataclass(frozen=True, slots=True)
class HeatCell:
    """A short text on the colour of its `value`, None for no colour; `exact` tells it in full, with what it is about.

    `interval` stands below it where there is room. The best of a column are in the style `strong`, the worst `soft`,
    and on the diagonal of a square map is what belongs to one language, also `strong`; screens use the `mark`.
    """

    text: str
    value: float | None
    exact: str
    interval: str = ""
    mark: str = ""
    style: Literal["plain", "strong", "soft"] = "plain"


@dataclass(frozen=True, slots=True)
class HeatColumn:
    """A column of a heat map; those of one `group` have its name above them, those of one `unit` share a scale.

    `short` is the title below that of the group. A column `of_means` has no colours; one that is `apart` has a gap
    before it where the map is drawn.
    """

    title: str
    group: str = ""
    unit: str = ""
    short: str = ""
    of_means: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A row of a heat map, with a cell for each column; a row `of_means` has no colours."""

    label: str
    cells: tuple[HeatCell, ...]
    of_means: bool = False


@dataclass(frozen=True)
class HeatMap:
    """Numbers by two kinds of labels, with colours from the scale of their unit; `axes` name rows and columns.

    `words` say what the map shows for those who cannot see it, `notes` what its parts mean. Where a screen is too
    narrow, there is the `coarser` map if that needs fewer blocks, and at last the table `instead`, or its reason alone.
    Pages draw it, or set it `as_table`.
    """

    title: str
    axes: tuple[str, str]
    columns: tuple[HeatColumn, ...]
    rows: tuple[HeatRow, ...]
    scales: Mapping[str, ColourScale]
    words: str
    notes: tuple[str, ...] = ()
    unit_names: Mapping[str, str] = field(default_factory=dict)
    coarser: "HeatMap | None" = None
    instead: "Table | None" = None
    reason: str = ""
    as_table: bool = False


@dataclass(frozen=True, eq=False)
class MapLayer:
    """One number of every pair of languages, under the `name` of what it is.

    `values`, and the ends `low` and `high` of their intervals, are (query languages, document languages), NaN where
    there is none; `marked` says of each whether it is marked, as what is significant. `pool` has a value for each query
    language. None for what is not known. A `signed` layer has differences.
    """

    name: str
    scale: ColourScale
    values: NDArray[np.float64]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    marked: NDArray[np.bool_] | None = None
    pool: NDArray[np.float64] | None = None
    signed: bool = False


@dataclass(frozen=True, eq=False)
class LanguageMap:
    """Numbers of every pair of many languages, which pages draw, and let their readers choose among the layers.

    SVG and PNG draw the first layer alone, without its numbers; screens, Markdown and LaTeX leave the map out. `words`
    say what it shows for those who cannot see it, `legend` what its marks mean.
    """

    title: str
    languages: tuple[LanguageInfo, ...]
    layers: tuple[MapLayer, ...]
    words: str
    legend: str = ""


def column_groups(columns: Sequence[Column] | Sequence[HeatColumn]) -> list[tuple[str, int]]:
    """Return the names of groups of columns, and how many columns each has; nothing where none has a name."""
    found = [(group, len(list(members))) for group, members in groupby(columns, key=lambda column: column.group)]
    return found if any(group for group, _ in found) else []


@dataclass(frozen=True)
class Charts:
    """Charts side by side, which screens leave out; `note` says what their marks mean."""

    charts: tuple[Chart | TernaryPlot, ...]
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Some facts under one title, each with its name."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that can be typed."""

    text: str


@dataclass(frozen=True)
class Section:
    """Blocks under one title; without `titled`, screens and Markdown leave the title out.

    `anchor` is its name on the page, to be linked to, and is empty for none. Where a format has a longest length,
    sections of a higher `urgency` number find no room first.
    """

    title: tuple[Words, ...]
    blocks: tuple["Block", ...]
    shown: Shown = "always"
    titled: bool = True
    anchor: str = ""
    urgency: int = 0

    @property
    def text(self) -> str:
        """The title without styles."""
        return Sentence(self.title, " ").text


Block = Section | Sentence | Bullets | KeyFigures | Table | HeatMap | LanguageMap | Charts | Facts | Command
Scalar = str | int | float | None


@dataclass(frozen=True)
class Report:
    """A title, and the blocks below it.

    `documents` are what is told, and what JSON has: one, or where there may be `several`, a list. `records` are every
    number in full, for CSV: rows with the same keys. Markdown has at most `longest` bytes, where that is not None, and
    says what it leaves out.
    """

    title: str
    blocks: tuple[Block, ...]
    documents: tuple[BaseModel, ...]
    several: bool = False
    records: tuple[Mapping[str, Scalar], ...] = ()
    longest: int | None = None
