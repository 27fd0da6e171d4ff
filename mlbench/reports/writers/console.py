"""A report on a terminal, fitted to its width, with colours where the terminal has them."""

import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from textwrap import wrap

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from mlbench.reports.formatting import passage, visible
from mlbench.reports.heat_map import scale_end
from mlbench.reports.report import (
    Block,
    Bullets,
    Cell,
    Charts,
    Column,
    Command,
    Facts,
    HeatCell,
    HeatColumn,
    HeatMap,
    HeatRow,
    KeyFigure,
    KeyFigures,
    LanguageMap,
    NoteLayout,
    Report,
    Section,
    Sentence,
    Style,
    Table,
    Words,
)

_FILE_WIDTH = 120
_STYLES: Mapping[Style, str] = {
    "plain": "",
    "strong": "bold",
    "soft": "dim",
    "code": "bold",
    "warning": "yellow",
    "good": "green",
    "bad": "bold red",
}


@dataclass(frozen=True)
class ConsoleReport:
    """A report for a rich console; `full` shows what otherwise only files have, and `more` says how to see that."""

    report: Report
    full: bool = False
    more: str = "a file of the report"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the blocks in their order, each fitted to the width."""
        yield from _blocks(self.report.blocks, None if self.full else self.more)


def write_text(report: Report) -> str:
    """Return what a console without colours shows of the full report, 120 columns wide."""
    console = Console(file=io.StringIO(), width=_FILE_WIDTH, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(ConsoleReport(report, full=True))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _blocks(blocks: Sequence[Block], more: str | None) -> Iterator[RenderableType]:
    """Yield blocks, with a blank line before sections, and before tables and the like that do not come first.

    `more` says how to see what is left out, None where nothing is.
    """
    begun = False
    for block in blocks:
        parts = list(_block(block, more))
        if parts and begun and not isinstance(block, Sentence | Bullets):
            yield Text()
        yield from parts
        begun = begun or bool(parts)
    folded = [each.text for each in blocks if isinstance(each, Section) and each.shown == "folded" and more]
    if folded:
        yield Flow([Text(visible(text), "dim") for text in (f"not shown here, see {more}: {folded[0]}", *folded[1:])])


def _block(block: Block, more: str | None) -> Iterator[RenderableType]:
    match block:
        case Section():
            yield from _section(block, more)
        case Sentence():
            yield from _sentence(block)
        case Bullets():
            yield from _bullets(block, more)
        case KeyFigures():
            yield _key_figures(block)
        case Table(rows=rows) if rows:
            yield from [Text(visible(block.title), "bold")] if block.titled else []
            yield _FittedTable(block)
        case HeatMap():
            yield _FoldedMap(block)
        case Facts():
            yield Text(visible(block.title), "bold")
            yield _grid([(Text(visible(name), "dim"), Text(visible(value))) for name, value in block.facts])
        case Command():
            yield Padding(Text(visible(block.text)), (0, 0, 0, 2), expand=False)
        case Table() | LanguageMap() | Charts():
            pass


def _section(section: Section, more: str | None) -> Iterator[RenderableType]:
    if section.shown not in ("always", "foldable", *(() if more else ("in_full", "folded"))):
        return
    parts = list(_blocks(section.blocks, more))
    if section.titled and section.title and parts:
        base: Style = "plain" if any(not isinstance(each, str) for each in section.title) else "strong"
        yield Flow([_text(each, base) for each in section.title], " ")
    yield from parts


def _text(words: Words, style: Style = "plain") -> Text:
    return Text(visible(words), _STYLES[style]) if isinstance(words, str) else _text(words.text, words.style)


def _sentence(sentence: Sentence) -> Iterator[RenderableType]:
    if sentence.parts:
        yield Flow([_text(part, sentence.style) for part in sentence.parts], sentence.separator)


def _bullets(bullets: Bullets, more: str | None) -> Iterator[RenderableType]:
    shown = bullets.items[: bullets.most] if more else bullets.items
    if shown:
        yield _grid(
            [(Text("-"), Text(item.separator).join(_text(p, item.style) for p in item.parts)) for item in shown]
        )
    if len(shown) < len(bullets.items):
        yield Text(f"and {len(bullets.items) - len(shown):,} more: see {more}", "dim")


def _grid(rows: Sequence[tuple[Text, Text]]) -> RichTable:
    grid = RichTable.grid(padding=(0, 1, 0, 0))
    for row in rows:
        grid.add_row(*row)
    return grid


def _key_figures(block: KeyFigures) -> "Flow":
    parts = [_key_figure(figure) for figure in block.figures]
    parts += [Text(visible(block.note), "dim")] if block.note else []
    first = Text.assemble((f"{block.name} ", "bold")).append_text(parts[0]) if parts else Text(block.name, "bold")
    return Flow([first, *parts[1:]], " | ")


def _key_figure(figure: KeyFigure) -> Text:
    return Text.assemble(
        f"{figure.name} {figure.text}",
        (f" {figure.interval}" if figure.interval else "", "dim"),
        f", {figure.aside}" if figure.aside else "",
        (f" ({figure.references})" if figure.references else "", "dim"),
    )


@dataclass(frozen=True)
class Flow:
    """Parts on as few lines as the width allows, broken between parts where possible; further lines are indented.

    A separator that begins with a space stands between parts only, never at the end of a line.
    """

    parts: Sequence[Text]
    separator: str = ", "
    indent: int = 2

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines; a part that is wider than the terminal is wrapped at its words."""
        # What stays with the part before, and what vanishes when the next part begins a line.
        tight = "" if self.separator.startswith(" ") else self.separator.rstrip()
        loose = self.separator.removeprefix(tight)
        line, room = Text(), options.max_width
        for place, part in enumerate(self.parts):
            between = loose if place else ""
            tail = tight if place < len(self.parts) - 1 else ""
            if line and line.cell_len + len(between) + part.cell_len + len(tail) > room:
                yield self._indented(line, room < options.max_width)
                line, room, between = Text(), options.max_width - self.indent, ""
            line.append(between, "dim").append_text(part).append(tail, "dim")
        yield self._indented(line, room < options.max_width)

    def _indented(self, line: Text, further: bool) -> RenderableType:
        return Padding(line, (0, 0, 0, self.indent), expand=False) if further else line


GAP = 2
"""Columns of space between two columns of a table."""
_LEAST_PASSAGE = 16


@dataclass(frozen=True)
class _LaidColumn:
    """A column as lines of text, which begin on the `left` or end on the right.

    `width` is the least that it needs, `widest` what it would take.
    """

    title: str
    column: Column
    cells: Sequence[Text]
    left: bool
    width: int
    widest: int


@dataclass(frozen=True)
class _FittedTable:
    """A table whose notes, and at last columns, go where there is no room, and a line that names them."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, then what found no room."""
        room = options.max_width
        place, columns = self._layout(room)
        shown = _fit(columns, room)
        # What finds no room may find some without its notes.
        bare = [
            each if at in shown else without
            for at, (each, without) in enumerate(zip(columns, self._columns("nowhere"), strict=True))
        ]
        fitting = _fit(bare, room)
        yield self._drawn([bare[at] for at in sorted(fitting)], room)
        missing = ["intervals"] if place == "nowhere" and self._has_notes else []
        missing += [f"intervals of {columns[at].title}" for at in sorted(fitting - shown)]
        missing += [each.title for at, each in enumerate(columns) if at not in fitting and not each.column.unnamed]
        if missing:
            yield Flow([Text(f"no room for {', '.join(missing)}: see a wider terminal or --json", "dim")])

    def _layout(self, room: int) -> tuple[str, list[_LaidColumn]]:
        """Return where notes stand: where all columns fit, else where the urgent ones do, else nowhere."""
        layouts = [(place, self._columns(place)) for place in _LAYOUTS[self.table.note_layout]]
        for place, columns in layouts:
            if place != "nowhere" and _needed(columns) <= room:
                return place, columns
        urgent = [each for each in layouts if _needed([c for c in each[1] if c.column.urgency == 0]) <= room]
        return next((each for each in reversed(urgent) if each[0] != "nowhere"), layouts[-1])

    @property
    def _has_notes(self) -> bool:
        return any(cell.notes for row in self.table.rows for cell in row.cells)

    def _columns(self, notes: str) -> list[_LaidColumn]:
        """Lay out the labels, then the columns that are not empty; columns of passages come last."""
        table = self.table
        first = Column(table.first, align="left", folds=True)
        laid = [
            self._laid(
                first, [row.label for row in table.rows], "below" if self.table.note_layout == "below" else notes
            )
        ]
        for place, column in enumerate(table.columns):
            cells = [row.cells[place] for row in table.rows]
            if any(cell.text for cell in cells):
                laid.append(self._laid(column, cells, "nowhere" if column.notes_in_files else notes))
        return sorted(laid, key=lambda each: each.column.passages)

    def _laid(self, column: Column, cells: Sequence[Cell], notes: str) -> _LaidColumn:
        title = visible(f"{column.group} {column.title}".strip())
        if column.passages:
            texts = [Text(passage(cell.text)) for cell in cells]
            return _LaidColumn(title, column, texts, True, _LEAST_PASSAGE, max(_width(texts), _LEAST_PASSAGE))
        left = column.align == "left"
        texts = [_lines(cell, notes, 0) for cell in cells] if left else _aligned(cells, notes)
        beside = notes == "beside" and any(cell.notes for cell in cells)
        # Titles of numbers are broken at every blank that makes the column narrower, those of words stay on one line.
        word = max(map(len, [title] if column.align == "left" else title.split()), default=0)
        widest = max(_width(texts), word)
        folded = min(widest, max(self.table.narrowest, word)) if column.folds else widest
        return _LaidColumn(title, column, texts, left or beside or max(len(c.mark) for c in cells) > 1, folded, widest)

    def _drawn(self, columns: Sequence[_LaidColumn], room: int) -> RichTable:
        widths = _widened(columns, room - GAP * (len(columns) - 1))
        drawn = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for each, width in zip(columns, widths, strict=True):
            title = Text("\n").join(map(Text, wrap(each.title, width, break_long_words=False)))
            drawn.add_column(
                title if each.left else _pushed_right(title, width),
                vertical="top",
                width=width,
                no_wrap=not each.column.folds,
                overflow="ellipsis" if each.column.passages else "fold",
            )
        for row in zip(*(each.cells for each in columns), strict=True):
            placed = zip(columns, row, widths, strict=True)
            drawn.add_row(*(_placed(each, text, width) for each, text, width in placed))
        return drawn


_LAYOUTS: Mapping[NoteLayout, tuple[str, ...]] = {
    "beside": ("beside",),
    "beside_or_below": ("beside", "below", "nowhere"),
    "below": ("below", "nowhere"),
}


def _needed(columns: Sequence[_LaidColumn]) -> int:
    return GAP * (len(columns) - 1) + sum(each.width for each in columns)


def _fit(columns: Sequence[_LaidColumn], room: int) -> set[int]:
    """Choose the places of columns by urgency, as long as they fit; a narrower one may take a wider one's place.

    The first is always chosen.
    """
    chosen: set[int] = set()
    for place in sorted(range(len(columns)), key=lambda at: (at > 0, columns[at].column.urgency, at)):
        needed = columns[place].width + (GAP if chosen else 0)
        if not chosen or needed <= room:
            chosen.add(place)
            room -= needed
    return chosen


def _widened(columns: Sequence[_LaidColumn], room: int) -> list[int]:
    """Share the room that is left among the columns that could use it, those of passages last."""
    widths = [each.width for each in columns]
    for passages in (False, True):
        for place, each in enumerate(columns):
            if each.column.passages == passages:
                widths[place] += max(0, min(each.widest - each.width, room - sum(widths)))
    return widths


def _placed(column: _LaidColumn, text: Text, width: int) -> Text:
    """Return a cell in its place; a passage is cut to one line, with its direction kept to itself."""
    if not column.column.passages:
        return text if column.left else _pushed_right(text, width)
    cut = text.copy()
    cut.truncate(width, overflow="ellipsis")
    return Text(isolated(cut.plain))


def _pushed_right(text: Text, width: int) -> Text:
    """Return lines that end at the same place, blanks at their ends included, which rich would take away."""
    lines = text.split("\n")
    return Text("\n").join(Text(" " * (width - line.cell_len)).append_text(line) for line in lines)


_ISOLATE, _END = "\u2068", "\u2069"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


def isolated(text: str) -> str:
    """Return `text` so that its direction ends with it (Unicode Bidirectional Algorithm, first strong isolate).

    Without, right-to-left text would drag the columns beside it out of their order. Others stay as they are.
    """
    if any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        return f"{_ISOLATE}{text}{_END}"
    return text


def _aligned(cells: Sequence[Cell], notes: str) -> list[Text]:
    """Write cells so that numbers, marks and notes stand below each other."""
    cells = [replace(cell, mark=cell.mark or "*") if cell.style == "strong" else cell for cell in cells]
    marks = max(len(cell.mark) for cell in cells)
    if notes != "beside" or not any(cell.notes for cell in cells):
        return [_lines(cell, notes, marks) for cell in cells]
    texts = [visible(cell.text) for cell in cells]
    beside = [visible(" ".join(cell.notes)) for cell in cells]
    width, room = max(map(len, texts)), max(map(len, beside))
    # Intervals begin below each other, other numbers end there.
    beside = [note.ljust(room) if note.startswith("[") else note.rjust(room) for note in beside]
    return [
        Text.assemble((f"{text.rjust(width)}{cell.mark.ljust(marks)}", _STYLES[cell.style]), (f" {note}", "dim"))
        for text, cell, note in zip(texts, cells, beside, strict=True)
    ]


def _lines(cell: Cell, notes: str, marks: int) -> Text:
    """Return a cell with its notes beside or below it; a blank in place of a mark keeps numbers below each other."""
    text = Text(f"{visible(cell.text)}{cell.mark.ljust(marks)}", _STYLES[cell.style])
    if notes == "beside":
        return text.append("".join(f" {visible(note)}" for note in cell.notes), "dim")
    blank = " " * marks
    return text.append("".join(f"\n{visible(note)}{blank}" for note in cell.notes), "dim") if notes == "below" else text


def _width(texts: Sequence[Text]) -> int:
    return max((line.cell_len for text in texts for line in text.split("\n")), default=0)


_MOST_BLOCKS = 3
_LEGEND_STEPS = 12


@dataclass(frozen=True)
class _FoldedMap:
    """A heat map, folded into blocks of columns where the width is too small; without colour, the texts alone."""

    map: HeatMap

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield title, blocks and legend, of the coarser map where that needs fewer blocks; or what stands instead."""
        shown = self.map
        blocks = list(_columns_of_blocks(shown, options.max_width))
        if shown.coarser is not None:
            coarser = list(_columns_of_blocks(shown.coarser, options.max_width))
            shown, blocks = (shown.coarser, coarser) if len(coarser) < len(blocks) else (shown, blocks)
        if (shown.instead or shown.reason) and (len(blocks) > _MOST_BLOCKS or _too_wide(shown, options.max_width)):
            yield from self._instead()
            return
        coloured = has_colours(console)
        yield Text(visible(shown.title), "bold")
        for number, places in enumerate(blocks):
            if number:
                yield Text()
            yield from _block_lines(shown, places, coloured=coloured)
        legend = [_colour_bar(shown, unit) for unit in _units(shown)] if coloured else []
        legend += [Text(visible(note), "dim") for note in shown.notes]
        legend += [Text(f"folded into {len(blocks)} blocks to fit the width", "dim")] if len(blocks) > 1 else []
        if legend:
            yield Flow(legend, "; ", indent=0)

    def _instead(self) -> Iterator[RenderableType]:
        if self.map.instead is not None:
            yield from _block(self.map.instead, None)
        if self.map.reason:
            yield Flow([Text(part, "dim") for part in self.map.reason.split("; ")], "; ", indent=0)


def _units(shown: HeatMap) -> list[str]:
    coloured = {
        column.unit
        for row in shown.rows
        for column, cell in zip(shown.columns, row.cells, strict=True)
        if _is_coloured(row, column, cell)
    }
    return [unit for unit in shown.scales if unit in coloured]


def _is_coloured(row: HeatRow, column: HeatColumn, cell: HeatCell) -> bool:
    return not (row.of_means or column.of_means or cell.value is None)


def _label_width(shown: HeatMap) -> int:
    return max((len(visible(row.label)) for row in shown.rows), default=0)


def _column_width(shown: HeatMap, place: int) -> int:
    """Return how wide a column is: as all others of its unit, unless titles are wider.

    A column that stands alone in its group has room for the group's name. A mark takes a blank between columns.
    """
    column = shown.columns[place]
    alike = [at for at, other in enumerate(shown.columns) if other.unit == column.unit]
    alone = sum(other.group == column.group for other in shown.columns) == 1
    names = [_short_title(column), *([visible(column.group)] if alone else [])]
    return 2 + max(map(len, [*names, *(row.cells[at].text for row in shown.rows for at in alike)]))


def _short_title(column: HeatColumn) -> str:
    return visible(column.short or column.title)


def _too_wide(shown: HeatMap, room: int) -> bool:
    return any(_column_width(shown, place) > room - _label_width(shown) for place in range(len(shown.columns)))


def _columns_of_blocks(shown: HeatMap, room: int) -> Iterator[list[int]]:
    """Cut the places of columns into blocks as wide as the room; a column that is too wide stands alone."""
    block: list[int] = []
    free = room - _label_width(shown)
    for place in range(len(shown.columns)):
        width = _column_width(shown, place)
        if block and width > free:
            yield block
            block, free = [], room - _label_width(shown)
        block.append(place)
        free -= width
    yield block


def _block_lines(shown: HeatMap, places: Sequence[int], *, coloured: bool) -> Iterator[Text]:
    widths = {place: _column_width(shown, place) for place in places}
    label = _label_width(shown)
    groups = [(group, list(found)) for group, found in groupby(places, key=lambda place: shown.columns[place].group)]
    if any(group for group, _ in groups):
        line = Text(" " * label, "bold", no_wrap=True)
        for group, found in groups:
            width = sum(widths[place] for place in found)
            line.append(f"{visible(group)[: width - 2]:^{width}}")
        yield line
    line = Text(" " * label, "bold", no_wrap=True)
    for place in places:
        line.append(f"{_short_title(shown.columns[place]):>{widths[place] - 1}} ")
    yield line
    for row in shown.rows:
        line = Text(visible(row.label).ljust(label), "bold", no_wrap=True)
        for place in places:
            column, cell = shown.columns[place], row.cells[place]
            style = "not bold"
            if coloured and cell.value is not None and _is_coloured(row, column, cell):
                style = shown.scales[column.unit].style(cell.value)
            line.append(f"{cell.text}{cell.mark or ' '}".rjust(widths[place]), style)
        yield line


def has_colours(console: Console) -> bool:
    """Say whether a console can show a scale: sixteen colours are too few, and nobody knows what they look like."""
    return console.color_system in ("truecolor", "256") and not console.no_color


def _colour_bar(shown: HeatMap, unit: str) -> Text:
    scale = shown.scales[unit]
    bar = Text(f"{scale_end(scale.low)} ")
    for step in range(_LEGEND_STEPS):
        value = scale.low + (scale.high - scale.low) * step / (_LEGEND_STEPS - 1)
        bar.append(" ", scale.style(value))
    named = shown.unit_names.get(unit, "")
    return bar.append(f" {scale_end(scale.high)}").append(f" {named}" if named else "", "dim")
