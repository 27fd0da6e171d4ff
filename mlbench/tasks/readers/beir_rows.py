"""Ids and judgments in the rows of BEIR's and mteb's files, whatever their columns are called."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlbench.errors import DataError
from mlbench.tasks.readers.grades import Grade, parse_grade
from mlbench.tasks.readers.rows import TABLES, ending, rows, table

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TOPIC = ("query-id", "queryid", "qid", "query", "topic", "topic-id")
_DOCUMENT = ("corpus-id", "corpusid", "doc-id", "docid", "docno", "document-id", "pid")
_GRADE = ("score", "relevance", "rel", "grade", "label")
"""What the columns of judgments are called, with `_` or `-`."""


def judgments(path: Path) -> Iterator[tuple[str, str, Grade]]:
    """Yield topic, document and grade of each judgment of a table, JSON lines or Parquet."""
    found = _of_table(path) if ending(path.name) in TABLES else _of_rows(path)
    place = ""
    for place, topic, own_id, written in found:
        grade = parse_grade(written)
        if grade is None or isinstance(written, bool):
            raise DataError(f"{place}: the score {written!r:.40} is no number")
        for name in (topic, own_id):
            if not name or _CONTROL.search(name):
                raise DataError(f"{place}: id {name!r:.60} is empty or holds a control character")
        yield topic, own_id, grade
    if not place:
        raise DataError(f"{path.parent.name}/{path.name}: no judgment of any topic")


def _of_rows(path: Path) -> Iterator[tuple[str, str, str, object]]:
    for place, row in rows(path):
        named = {_plain(key): value for key, value in row.items()}
        found = [next((named[name] for name in names if name in named), None) for names in (_TOPIC, _DOCUMENT, _GRADE)]
        if None in found:
            raise DataError(f"{place}: must have query-id, corpus-id and score, not {', '.join(map(str, row))[:80]}")
        yield place, id_text(found[0], place), id_text(found[1], place), found[2]


def _of_table(path: Path) -> Iterator[tuple[str, str, str, object]]:
    """Yield what is in the columns that a header names, else in the first three, or in those of TREC's format."""
    columns: tuple[int, int, int] | None = None
    for place, cells in table(path):
        if columns is None:
            columns = _header(cells)
            if columns is not None:
                continue
        if cells[0].startswith("#") and parse_grade(cells[-1]) is None:
            continue
        at = columns or _positions(cells)
        if len(cells) <= max(at):
            raise DataError(f"{place}: must be query-id, corpus-id and score, with tabs between, not {cells!r:.60}")
        yield place, cells[at[0]], cells[at[1]], cells[at[2]]


def _header(cells: Sequence[str]) -> tuple[int, int, int] | None:
    """Return where topic, document and grade are, None for a line that is no header."""
    named = [_plain(cell) for cell in cells]
    places = [
        next((named.index(name) for name in names if name in named), None) for names in (_TOPIC, _DOCUMENT, _GRADE)
    ]
    topic, document, grade = places
    if topic is not None and document is not None and grade is not None:
        return topic, document, grade
    known = any(name in (*_TOPIC, *_DOCUMENT, *_GRADE) for name in named)
    return (0, 1, 2) if known and len(cells) == 3 and parse_grade(cells[2]) is None else None


def _positions(cells: Sequence[str]) -> tuple[int, int, int]:
    in_trec = len(cells) == 4 and cells[1].upper() in ("0", "Q0") and parse_grade(cells[3]) is not None
    return (0, 2, 3) if in_trec else (0, 1, 2)


def _plain(name: object) -> str:
    return str(name).strip().lstrip("#").strip().lower().replace("_", "-")


def row_id(row: Mapping[str, object], place: str) -> str:
    """Return the id of a row; raises `DataError` for one that is missing, or no name."""
    found = id_text(row.get("_id", row.get("id")), place)
    if not found or _CONTROL.search(found):
        raise DataError(f"{place}: '_id' {found!r:.60} is empty or holds a control character")
    return found


def id_text(value: object, place: str) -> str:
    """Return an id as text; raises `DataError` for what is neither text nor a whole number."""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise DataError(f"{place}: an id must be a string or a whole number, not {value!r:.40}")
