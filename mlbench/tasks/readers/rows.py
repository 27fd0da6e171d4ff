"""Rows of published files, streamed: JSON lines, Parquet, and tables with tabs or commas."""

import csv
from collections.abc import Iterator
from pathlib import Path

from mlbench.io.parquet import PARQUET, parquet_rows
from mlbench.tasks.readers.json_lines import packed_lines, parse_object

JSON_LINES = (".jsonl", ".json", ".ndjson")
TABLES = {".tsv": "\t", ".txt": "\t", ".csv": ","}
"""The endings of tables, with what stands between their columns."""
ENDINGS = (*JSON_LINES, PARQUET, *TABLES)


def ending(name: str) -> str:
    """Return the ending of a file's name in lower case, without `.gz`; empty for one that none of `ENDINGS` is."""
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return suffix if suffix in ENDINGS else ""


def rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the rows of JSON lines or Parquet by column, each with its place.

    Raises `DataError` with file and line or row, `MissingExtra` where Parquet needs a library that is not installed.
    """
    if ending(path.name) == PARQUET:
        yield from parquet_rows(path)
        return
    for place, line in packed_lines(path, f"{path.parent.name}/{path.name}"):
        yield place, parse_object(line, place, "such as {'_id': ..., 'text': ...}")


def table(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of a table cut into columns, each with its place; lines without tabs are cut at blanks.

    Raises `DataError` with file and line.
    """
    delimiter = TABLES[ending(path.name)]
    for place, line in packed_lines(path, f"{path.parent.name}/{path.name}"):
        if '"' in line:
            yield place, next(csv.reader([line], delimiter=delimiter))
        else:
            yield place, line.split(delimiter) if delimiter in line else line.split()
