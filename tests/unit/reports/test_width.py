import io
from collections.abc import Sequence
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlbench.reports.console import FittedTable, Flow, fit
from rich.console import Console, RenderableType
from rich.text import Text

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


class TestFit:
    @pytest.mark.parametrize(
        ("room", "chosen"), [(3, "a"), (5, "a"), (10, "ac"), (16, "ac"), (17, "ab"), (22, "abc"), (99, "abc")]
    )
    def test_takes_what_fits_in_the_order_given(self, room: int, chosen: str) -> None:
        # With gaps of two: a 5, b 5 + 2 + 10 = 17, c 17 + 2 + 3 = 22.
        assert fit({"a": 5, "b": 10, "c": 3}, room) == set(chosen)

    @given(st.dictionaries(words, st.integers(1, 30), max_size=8), st.integers(0, 100))
    def test_never_takes_more_than_the_room_but_for_the_first(self, widths: dict[str, int], room: int) -> None:
        chosen = fit(widths, room)
        assert chosen <= set(widths)
        assert bool(chosen) == bool(widths)
        if len(chosen) > 1:
            assert sum(widths[name] for name in chosen) + 2 * (len(chosen) - 1) <= room


class TestFittedTable:
    columns: ClassVar = {
        "": [Text("a long name"), Text("b")],
        "value": [Text("1"), Text("2")],
        "empty": [Text(), Text()],
        "interval": [Text("[1, 2]"), Text("[2, 3]")],
        "more": [Text("x"), Text("y")],
    }

    def table(self, width: int, **options: object) -> list[str]:
        return lines_of(FittedTable(self.columns, **options), width)  # type: ignore[arg-type]

    def test_shows_everything_but_empty_columns_where_there_is_room(self) -> None:
        assert self.table(60) == [
            "             value  interval  more",
            "a long name      1    [1, 2]     x",
            "b                2    [2, 3]     y",
        ]

    def test_folds_the_first_column_before_others_go(self) -> None:
        lines = self.table(32, narrowest=6)
        assert "interval" in lines[0]
        assert "more" in lines[0]
        assert lines[1].startswith("a long  ")

    def test_late_columns_go_first_and_are_named(self) -> None:
        lines = self.table(30, late=["interval"])
        assert lines[0].split() == ["value", "more"]
        assert " ".join(lines[3:]).startswith("no room for interval: see")

    def test_unnamed_columns_go_without_a_word(self) -> None:
        assert len(self.table(30, late=["interval"], unnamed=["interval"])) == 3

    def test_titles_and_cells_may_have_several_lines(self) -> None:
        columns = {"": [Text("a")], "two\nlines": [Text("1\n[0, 2]")]}
        assert lines_of(FittedTable(columns), 20) == ["      two", "    lines", "a       1", "   [0, 2]"]

    @given(st.lists(words, min_size=1, max_size=8, unique=True), st.integers(12, 60))
    def test_keeps_within_the_width(self, titles: list[str], width: int) -> None:
        table = FittedTable({title: [Text("cell"), Text("1,234.5")] for title in titles})
        assert max(map(len, lines_of(table, width))) <= width
