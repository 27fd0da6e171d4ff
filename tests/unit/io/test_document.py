"""Documents of other versions: which are read, which keys are left out, and which are refused."""

import json
from typing import Literal

import pytest
from pydantic import Field, JsonValue

from mlbench.io.document import DocumentPart, Migration, read_document


class Row(DocumentPart):
    name: str
    value: float | None = None


class Table(DocumentPart):
    schema_version: Literal["3.2"] = "3.2"
    rows: tuple[Row, ...]
    by_name: dict[str, Row | None] = Field(default={})
    extra: dict[str, int] = Field(default={})


def from_1(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"schema_version": "2.0", "lines": document["entries"]}


def from_2(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {("rows" if key == "lines" else key): value for key, value in document.items()}


MIGRATIONS: dict[int, Migration] = {1: from_1, 2: from_2}
ROW: JsonValue = {"name": "a", "value": 0.5}


def read(**document: object) -> Table:
    return read_document(json.dumps(document).encode(), "table", Table, "3.2", MIGRATIONS)


@pytest.mark.parametrize("version", ["3.0", "3.2"])
def test_what_is_read_is_of_the_version_that_reads(version: str) -> None:
    table = read(schema_version=version, rows=[ROW])
    assert table == Table(rows=(Row(name="a", value=0.5),))
    assert table.schema_version == "3.2"


@pytest.mark.parametrize("version", ["3.3", "3.10", "3.99999"])
def test_unknown_keys_of_a_newer_minor_version_are_left_out_at_every_level(version: str) -> None:
    row = {"name": "a", "value": 0.5, "unit": {"deep": [1]}}
    table = read(schema_version=version, rows=[row], by_name={"b": row, "c": None}, extra={"x": 1}, more=[row], most=1)
    known = Row(name="a", value=0.5)
    assert table == Table(rows=(known,), by_name={"b": known, "c": None}, extra={"x": 1})


@pytest.mark.parametrize("version", ["3.2", "3.1", "3.0", "2.0", "2.9"])
def test_unknown_keys_of_any_other_version_are_errors(version: str) -> None:
    rows = "rows" if version.startswith("3") else "lines"
    with pytest.raises(ValueError, match=r"^is not a table: rows\.0\.unit: Extra inputs are not permitted$"):
        read(**{"schema_version": version, rows: [{"name": "a", "unit": "m"}]})
    with pytest.raises(ValueError, match=r"^is not a table: more: Extra inputs"):
        read(**{"schema_version": version, rows: [], "more": 1})


def test_a_newer_minor_version_must_still_have_what_is_known() -> None:
    with pytest.raises(ValueError, match=r"^is not a table: rows\.0\.name: Field required \(and 1 more\)$"):
        read(schema_version="3.3", rows=[{"value": "high"}])


@pytest.mark.parametrize(("version", "key"), [(1, "entries"), ("1.0", "entries"), ("2.0", "lines"), ("2.7", "lines")])
def test_older_major_versions_are_migrated_step_by_step(version: str | int, key: str) -> None:
    assert read(**{"schema_version": version, key: [ROW]}) == Table(rows=(Row(name="a", value=0.5),))


@pytest.mark.parametrize("version", ["4.0", "10.2"])
def test_a_newer_major_version_asks_for_an_upgrade(version: str) -> None:
    with pytest.raises(ValueError, match=rf"^has schema {version} of a newer mlbench, this one reads 3\.2: upgrade ml"):
        read(schema_version=version, whatever=1)


@pytest.mark.parametrize(
    "version", [None, True, 0, 2, 3, 3.2, "", "3", "3.", ".2", "0.9", "03.2", "3.2.1", " 3.2", "3.x"]
)
def test_what_is_no_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match=r"^is not a table: its schema_version is missing, or none that mlbench wri"):
        read(schema_version=version, rows=[])


@pytest.mark.parametrize(
    ("content", "fault"), [(b"{", "is not JSON that can be used: "), (b"[]", "is not a table: it")]
)
def test_anything_else_is_refused(content: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        read_document(content, "table", Table, "3.2", MIGRATIONS)
