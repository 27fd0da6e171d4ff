import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.text import Text

from mlbench.reports.report import Bullets, Cell, Column, Report, Row, Section, Sentence, Table
from mlbench.reports.writers.console import ConsoleReport, Flow

words = st.text("abc", min_size=1, max_size=9)


def lines_of(renderable: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def flow(parts: Sequence[str], separator: str, width: int) -> list[str]:
    return lines_of(Flow([Text(part) for part in parts], separator), width)


class TestFlow:
    @pytest.mark.parametrize(
        ("separator", "lines"),
        [
            (", ", ["one thing, two things,", "  three things"]),
            (" | ", ["one thing | two things", "  three things"]),
            (" ", ["one thing two things", "  three things"]),
        ],
    )
    def test_breaks_between_parts_only(self, separator: str, lines: list[str]) -> None:
        assert flow(["one thing", "two things", "three things"], separator, 24) == lines

    @given(st.lists(words, min_size=1, max_size=12), st.sampled_from([", ", " | ", "; "]), st.integers(12, 60))
    def test_keeps_every_part_within_the_width(self, parts: list[str], separator: str, width: int) -> None:
        lines = flow(parts, separator, width)
        assert all(len(line) <= width for line in lines)
        mark = separator.strip()
        assert [word for line in lines for word in line.replace(mark, " ").split()] == parts
        assert all(line.startswith("  ") for line in lines[1:])

    def test_wraps_a_part_that_is_too_wide_with_its_indent(self) -> None:
        assert flow(["a", "bb bb bb bb bb", "c"], " | ", 10) == ["a", "  bb bb bb", "  bb bb", "  c"]

    def test_of_nothing_is_an_empty_line(self) -> None:
        assert flow([], ", ", 20) == [""]


def row(label: str, *cells: Cell) -> Row:
    return Row(Cell(label), cells)


TABLE = Table(
    "what it shows",
    "",
    (Column("value"), Column("empty"), Column("interval"), Column("more")),
    (
        row("a long name", Cell("1"), Cell(), Cell("[1, 2]"), Cell("x")),
        row("b", Cell("2"), Cell(), Cell("[2, 3]"), Cell("y")),
    ),
    titled=False,
)


def table(width: int, shown: Table = TABLE) -> list[str]:
    return lines_of(ConsoleReport(Report("", (shown,), ())), width)


def with_columns(**changes: Column) -> Table:
    return replace(TABLE, columns=tuple(changes.get(column.title, column) for column in TABLE.columns))


class TestTable:
    def test_shows_everything_but_empty_columns_where_there_is_room(self) -> None:
        assert table(60) == [
            "             value  interval  more",
            "a long name      1    [1, 2]     x",
            "b                2    [2, 3]     y",
        ]

    def test_folds_the_first_column_before_others_go(self) -> None:
        lines = table(32, replace(TABLE, narrowest=6))
        assert "interval" in lines[0]
        assert "more" in lines[0]
        assert lines[1].startswith("a long  ")

    def test_less_urgent_columns_go_first_and_are_named(self) -> None:
        lines = table(30, with_columns(interval=Column("interval", urgency=1)))
        assert lines[0].split() == ["value", "more"]
        assert " ".join(lines[3:]).startswith("no room for interval: see")

    def test_unnamed_columns_go_without_a_word(self) -> None:
        assert len(table(30, with_columns(interval=Column("interval", urgency=1, unnamed=True)))) == 3

    def test_a_title_is_broken_at_its_words_where_the_numbers_are_narrow(self) -> None:
        shown = Table("", "", (Column("own language"),), (row("a", Cell("1")),), titled=False)
        assert table(40, shown) == ["        own", "   language", "a         1"]

    def test_a_strong_number_has_a_star_and_others_a_blank(self) -> None:
        shown = Table(
            "", "", (Column("x"),), (row("a", Cell("1.5", style="strong")), row("b", Cell("12"))), titled=False
        )
        assert table(40, shown) == ["      x", "a  1.5*", "b   12"]

    def test_without_rows_is_nothing(self) -> None:
        assert table(40, replace(TABLE, rows=())) == []

    @pytest.mark.parametrize(
        ("width", "lines"),
        [
            (60, ["   value", "a  1.25 [1.1, 1.4]", "b    12 [9, 14]"]),
            (14, ["        value", "a        1.25", "   [1.1, 1.4]", "b          12", "      [9, 14]"]),
            (9, ["   value", "a   1.25", "b     12", "no room", "  for", "  intervals", "  : see a", "  wider"]),
        ],
    )
    def test_notes_go_below_and_at_last_away(self, width: int, lines: list[str]) -> None:
        rows = (row("a", Cell("1.25", ("[1.1, 1.4]",))), row("b", Cell("12", ("[9, 14]",))))
        shown = Table("", "", (Column("value"),), rows, titled=False, note_layout="beside_or_below")
        assert table(width, shown)[: len(lines) - (width == 9) * 5] == lines[: len(lines) - (width == 9) * 5]

    def test_passages_take_the_room_that_is_left_and_are_cut(self) -> None:
        shown = Table("", "id", (Column("text", align="left", passages=True),), (row("a", Cell("word " * 20)),))
        assert table(30, replace(shown, titled=False))[1] == "a   word word word word word …"

    def test_right_to_left_passages_keep_their_direction_to_themselves(self) -> None:
        shown = Table("", "id", (Column("text", align="left", passages=True),), (row("a", Cell("نص")),), titled=False)
        assert table(40, shown)[1].endswith("\u2068نص\u2069")

    @given(st.lists(words, min_size=1, max_size=8, unique=True), st.integers(12, 60))
    def test_keeps_within_the_width(self, titles: list[str], width: int) -> None:
        first, *others = titles
        shown = Table("", first, tuple(map(Column, others)), (row("cell", *(Cell("1,234.5") for _ in others)),))
        assert max(map(len, table(width, shown))) <= width


class TestSections:
    def test_stand_apart_and_name_what_is_not_shown(self) -> None:
        report = Report(
            "",
            (
                Section(("One",), (Sentence(("a", "b")),)),
                Section(("Two",), (Sentence(("c",)),), titled=False),
                Section(("Three",), (Sentence(("d",)),), "folded"),
                Section(("Four",), (Sentence(("e",)),), "on_pages"),
            ),
            (),
        )
        assert lines_of(ConsoleReport(report, more="a file"), 40) == [
            "One",
            "a, b",
            "",
            "c",
            "not shown here, see a file: Three",
        ]
        assert lines_of(ConsoleReport(report, full=True), 40) == ["One", "a, b", "", "c", "", "Three", "d"]

    def test_bullets_end_where_they_are_told_to(self) -> None:
        report = Report("", (Bullets(tuple(Sentence((str(n),)) for n in range(5)), most=2),), ())
        assert lines_of(ConsoleReport(report, more="a file"), 40) == ["- 0", "- 1", "and 3 more: see a file"]
        assert len(lines_of(ConsoleReport(report, full=True), 40)) == 5
