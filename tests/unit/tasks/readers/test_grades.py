from fractions import Fraction
from pathlib import Path

import pytest

from mlbench.collection.records import LARGEST_GRADE, Collection
from mlbench.errors import DataError
from mlbench.protocols import Parameter, ReadRequest
from mlbench.tasks.load import load_collection
from mlbench.tasks.readers.grades import parse_grade, split_judgments, threshold_of
from mlbench.tasks.task import load_task

TENTH = Fraction(1, 10)


@pytest.mark.parametrize(
    ("written", "grade"),
    [
        ("2", 2),
        ("+2", 2),
        ("-1", -1),
        ("2.0", 2),
        ("2.", 2),
        (" 1e0\t", 1),
        ("1E1", 10),
        ("0.5", Fraction(1, 2)),
        (".1", TENTH),
        ("1e-1", TENTH),
        (0.1, TENTH),
        (3, 3),
        (str(LARGEST_GRADE), LARGEST_GRADE),
        *(
            (text, None)
            for text in ("", "nan", "inf", "-Infinity", "1/2", "1,5", "1_0", "0x1", "١", "e5", ".", "1e999", "9" * 5000)
        ),
        (LARGEST_GRADE + 1, None),
        (None, None),
    ],
)
def test_grades_as_files_write_them(written: object, grade: object) -> None:
    assert parse_grade(written) == grade


def split(grades: list[object], threshold: int | Fraction = 1) -> tuple[list[int], list[int], int]:
    rows = [("en", f"d{number}", parse_grade(grade) or 0) for number, grade in enumerate(grades)]
    found = split_judgments({"t": rows}, threshold, lambda language, own: f"{language}-{own}")
    relevant, other = ([row.grade for row in rows.get("t", ())] for rows in (found.judgments, found.not_relevant))
    return relevant, other, found.grade_scale


@pytest.mark.parametrize(
    ("grades", "threshold", "expected"),
    [
        (["2.0", "1", "0", "-2"], 1, ([2, 1], [0, -1], 1)),
        (["0.5", "1.5", "1"], 1, ([3, 2], [0], 2)),
        (["0.5", "1.5", "1"], Fraction(1, 2), ([1, 3, 2], [], 2)),
        (["0.5", "0.25"], Fraction(1, 4), ([2, 1], [], 4)),
        (["0.5", "2", "4"], 2, ([2, 4], [0], 1)),
        ([], 1, ([], [], 1)),
    ],
)
def test_relevant_grades_become_whole_numbers(
    grades: list[object], threshold: int | Fraction, expected: tuple[list[int], list[int], int]
) -> None:
    assert split(grades, threshold) == expected


def test_grades_without_a_common_multiple_are_refused() -> None:
    with pytest.raises(DataError, match="too many decimals: round them"):
        split(["1.000001", "2.3"])


@pytest.mark.parametrize("given", [0, -1, "high", True])
def test_the_threshold_is_a_number_above_0(given: Parameter) -> None:
    with pytest.raises(DataError, match="option relevance_threshold must be a number above 0"):
        threshold_of(ReadRequest("t", ("en",), (), options={"relevance_threshold": given}))


def own_task(folder: Path, options: str = "") -> Collection:
    (folder / "queries.en.jsonl").write_text('{"id": "t", "text": "question"}\n')
    (folder / "documents.en.jsonl").write_text("".join(f'{{"id": "d{n}", "text": "text {n}"}}\n' for n in range(4)))
    (folder / "qrels.tsv").write_text("t\t0\td0\t0.5\nt\t0\td1\t2.0\nt\t0\td2\t1e0\nt\t0\td3\t-1\n")
    (folder / "task.toml").write_text(f"[options]\n{options}\n")
    return load_collection(load_task(str(folder)))


def test_a_task_says_what_is_relevant(tmp_path: Path) -> None:
    default = own_task(tmp_path)
    assert ([row.grade for row in default.judgments["t"]], default.grade_scale) == ([2, 1], 1)
    assert [row.grade for row in default.not_relevant["t"]] == [0, -1]
    low = own_task(tmp_path, "relevance_threshold = 0.5")
    assert ([row.grade for row in low.judgments["t"]], low.grade_scale) == ([1, 4, 2], 2)
    assert low.fingerprint() != default.fingerprint()
    high = own_task(tmp_path, "relevance_threshold = 2")
    assert [row.grade for row in high.judgments["t"]] == [2]
    restricted = low.restrict(("en",))
    assert (restricted.grade_scale, restricted.not_relevant) == (2, low.not_relevant)
    assert low.sample(1).not_relevant == low.not_relevant
