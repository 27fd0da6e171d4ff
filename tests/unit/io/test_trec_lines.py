import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.io.trec_lines import JUDGMENTS, RUN, Columns, Row, is_json, json_rows, rows

TOPICS = frozenset({"q1", "q2"})


def read(text: str, columns: Columns) -> list[tuple[str, ...]]:
    faults: list[str] = []
    lines = [(f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line]
    found = [tuple(row) for row in rows(lines, columns, faults.append, topics=TOPICS)]
    return found + [(fault,) for fault in faults]


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 d7 2",
        "q1 d7 2",
        "query-id\tcorpus-id\tscore\nq1\td7\t2",
        "qid docno label iteration\nq1 d7 2 0",
        "# topic,document,relevance\nq1,d7,2",
        "query_id;doc_id;relevance\nq1;d7;2",
        '"q1","d7","2"',
    ],
)
def test_judgments(text: str) -> None:
    ((_, topic, document, value, column, *_),) = read(text, JUDGMENTS)
    assert (topic, document, value, column) == ("q1", "d7", "2", "grade")


def test_judgments_may_mix_their_widths() -> None:
    assert [row[1:4] for row in read("q1 0 d7 2\nq2 d8 1", JUDGMENTS)] == [("q1", "d7", "2"), ("q2", "d8", "1")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q1\td 7\t2\nq2\td 8\t1", [("q1", "d 7", "2"), ("q2", "d 8", "1")]),
        ("q1\td7\t2\nq2\td 8\t1", [("q1", "d7", "2"), ("q2", "d 8", "1")]),
        ("q1\t0\td7\t2\nq2\t0\td 8\t1", [("q1", "d7", "2"), ("q2", "d 8", "1")]),
        ("q 1\t0\td7\t2", [("q 1", "d7", "2")]),
        ("q1\t0 d7\t2", [("q1", "d7", "2")]),
        ("q1\td7\t2\nq2 0 d8 1", [("q1", "d7", "2"), ("q2", "d8", "1")]),
    ],
)
def test_ids_may_hold_blanks_between_tabs(text: str, expected: list[tuple[str, ...]]) -> None:
    assert [row[1:4] for row in read(text, JUDGMENTS)] == expected


def test_lists_have_ids_with_blanks_between_tabs() -> None:
    lines = "q1\td 7\t0.5\nq1\td 8\t0.4"
    assert [row[1:5] for row in read(lines, RUN)] == [("q1", "d 7", "0.5", "score"), ("q1", "d 8", "0.4", "score")]
    faults = read("q1\td7\t0.5\nq1\t\t0.4", RUN)
    assert "with no column empty" in faults[-1][0]


def test_a_run_does_not_mix_its_widths() -> None:
    assert read("q1 Q0 d7 1 2 r\nq1 d8 1 2 r", RUN)[-1] == (
        "line 2: must be 'topic Q0 document rank score tag', with no column empty and no blank in an id, "
        "not 'q1 d8 1 2 r'",
    )


def test_one_faulty_line_among_many_does_not_change_what_columns_are() -> None:
    good = [f"q1 d{number} {number} {0.5 / number}" for number in range(1, 5)]
    found = read("\n".join(["q1 d0 x 0.9", *good]), RUN)
    assert [row[2:5] for row in found][1:] == [(f"d{n}", f"{0.5 / n}", "score") for n in range(1, 5)]


PIECES = st.sampled_from(
    ["q1", "d7", "Q0", "0", "1", "2.5", "nan", "#", '"', ",", ";", "\t", " ", "\r", "\x00", "score", "qid"]
)


@given(st.lists(st.lists(PIECES, max_size=9).map("".join), max_size=5), st.sampled_from([RUN, JUDGMENTS]))
def test_whatever_a_file_holds_is_rows_or_faults(texts: list[str], columns: Columns) -> None:
    lines = [text for text in texts if text.strip()]
    found = read("\n".join(lines), columns)
    assert len(found) <= len(lines)
    assert all(len(row) in (1, len(Row._fields)) for row in found)


def test_a_field_may_be_as_long_as_a_line() -> None:
    (fault,) = read('"' + "x" * 200_000 + '",d7,1', JUDGMENTS)
    assert "x" * 100 not in fault[0]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ('{"q', True),
        (' \n{ "q', True),
        ("{}", True),
        ("{q1} Q0 d7", False),
        ("q1 Q0", False),
        ("[", False),
        ("", False),
    ],
)
def test_json_is_known_by_its_start(start: str, expected: bool) -> None:
    assert is_json(start) == expected


def test_json_rows_keep_every_digit() -> None:
    (row,) = json_rows('{"q1": {"d 7": 0.1000000000000000055}}', RUN, "f,")
    assert row[:5] == ("f, topic q1", "q1", "d 7", "0.1", "score")
    assert json_rows("{}", RUN, "f") == []
