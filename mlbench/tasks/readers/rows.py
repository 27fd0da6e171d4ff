"""Rows of published files, streamed: JSON lines and Parquet."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mlbench.io.parquet import PARQUET, parquet_rows
from mlbench.tasks.readers.json_lines import packed_lines, parse_object

JSON_LINES = (".jsonl", ".json", ".ndjson")
TABLES = (".tsv", ".txt", ".csv")
ENDINGS = (*JSON_LINES, PARQUET, *TABLES)


def ending(name: str) -> str:
    """Return the ending of a file's name in lower case, without `.gz`; empty for one that none of `ENDINGS` is."""
    suffix = Path(name.lower().removesuffix(".gz")).suffix
    return suffix if suffix in ENDINGS else ""


def rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the rows of JSON lines or Parquet by column, each with its place.

    `columns` are those that are needed: of Parquet no others are read. Raises `DataError` with file and line or row,
    `MissingExtra` where Parquet needs a library that is not installed.
    """
    if ending(path.name) == PARQUET:
        yield from parquet_rows(path, columns)
        return
    for place, line in packed_lines(path, f"{path.parent.name}/{path.name}"):
        yield place, parse_object(line, place, "such as {'_id': ..., 'text': ...}")
