import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType
from rich.text import Text

from mlbench.report.width import Flow, fit

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
