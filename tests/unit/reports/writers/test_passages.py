"""What a text in any language may do to a terminal, and how much of it is shown."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mlbench.reports.formatting import passage
from mlbench.reports.report import Cell, Column, Report, Row, Table
from mlbench.reports.writers.console import ConsoleReport, isolated

ISOLATE, END = "\u2068", "\u2069"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\nlines\tand  blanks ", "two lines and blanks"),
        ("\x1b[31mred\x1b[0m\x07", "[31mred[0m"),
        ("a\u202eb\u2066c\u2069", "abc"),
        ("\ufeffword", "word"),
        ("क्\u200dष می\u200cخواهم", "क्\u200dष می\u200cخواهم"),
        ("half \ud800", "half "),
        ("", ""),
    ],
)
def test_nothing_in_a_text_acts_on_the_terminal(text: str, expected: str) -> None:
    assert passage(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc", "abc"), ("火星", "火星"), ("من", f"{ISOLATE}من{END}"), ("x שלום", f"{ISOLATE}x שלום{END}"), ("", "")],
)
def test_only_right_to_left_text_is_isolated(text: str, expected: str) -> None:
    assert isolated(text) == expected


@given(text=st.text(min_size=1), room=st.integers(30, 60))
def test_a_shortened_text_fits(text: str, room: int) -> None:
    table = Table(
        "texts", "in", (Column("text", align="left", passages=True),), (Row(Cell("de"), (Cell(text),)),), False
    )
    file = io.StringIO()
    Console(file=file, width=room, markup=False, highlight=False).print(ConsoleReport(Report("", (table,), ())))
    (line,) = file.getvalue().splitlines()[1:]
    assert cell_len(line) <= room
    assert line.count(ISOLATE) == line.count(END) <= 1
    whole = passage(text)
    if cell_len(whole) <= room - len("de  "):
        assert line.removeprefix("de").strip() == isolated(whole).strip()
