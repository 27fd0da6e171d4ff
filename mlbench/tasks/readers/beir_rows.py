"""Ids and judgments in the rows of BEIR's and mteb's files, whatever their columns are called."""

import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from mlbench.collection.records import LARGEST_GRADE
from mlbench.errors import DataError
from mlbench.io import trec_lines
from mlbench.io.trec_lines import JUDGMENTS, Row
from mlbench.tasks.readers.grades import Grade, parse_grade
from mlbench.tasks.readers.json_lines import packed_lines
from mlbench.tasks.readers.rows import TABLES, ending, rows

IDS = ("_id", "id")
"""What the column of ids may be called, the better one first."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def judgments(path: Path, asked: Container[str]) -> Iterator[tuple[str, str, Grade]]:
    """Yield topic, document and grade of each judgment of a table, JSON lines or Parquet.

    `asked` are ids of topics, which tell a row of a table from a comment. Raises `DataError` with file and line.
    """
    name, found = f"{path.parent.name}/{path.name}", False
    for row in _of_table(path, name, asked) if ending(path.name) in TABLES else _of_rows(path):
        grade, found = parse_grade(row.value), True
        if grade is None:
            raise DataError(f"{row.where}: the score {row.value!r:.40} is no number up to {LARGEST_GRADE:,}")
        for own_id in (row.topic, row.document):
            if not own_id or _CONTROL.search(own_id):
                raise DataError(f"{row.where}: id {own_id!r:.60} is empty or holds a control character")
        yield row.topic, row.document, grade
    if not found:
        raise DataError(f"{name}: no judgment of any topic")


def _of_table(path: Path, name: str, asked: Container[str]) -> Iterator[Row]:
    def fault(message: str) -> NoReturn:
        raise DataError(message)

    return trec_lines.rows(packed_lines(path, name), JUDGMENTS, fault, topics=asked)


def _of_rows(path: Path) -> Iterator[Row]:
    for place, row in rows(path):
        named = {re.sub(r"[\W_]", "", key).lower(): value for key, value in row.items()}
        topic, document, grade = (
            next((named[name] for name in JUDGMENTS.names[role] if name in named), None)
            for role in ("topic", "document", "grade")
        )
        if topic is None or document is None or grade is None:
            raise DataError(f"{place}: must have query-id, corpus-id and score, not {', '.join(row)[:80]}")
        yield Row(place, id_text(topic, place), id_text(document, place), str(grade), "grade")


def row_id(row: Mapping[str, object], place: str) -> str:
    """Return the id of a row; raises `DataError` for one that is missing, or no name."""
    own_id = id_text(next((row[name] for name in IDS if name in row), None), place)
    if not own_id or _CONTROL.search(own_id):
        raise DataError(f"{place}: '_id' {own_id!r:.60} is empty or holds a control character")
    return own_id


def id_text(value: object, place: str) -> str:
    """Return an id as text; raises `DataError` for what is neither text nor a whole number."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise DataError(f"{place}: an id must be a string or a whole number, not {value!r:.40}")
