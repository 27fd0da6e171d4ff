"""The JSON documents that mlbench writes and reads: immutable models, their text, and how other versions are read."""

import json
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from mlbench.io.untrusted import parse

Document = TypeVar("Document", bound=BaseModel)
Migration = Callable[[dict[str, JsonValue]], dict[str, JsonValue]]
"""Returns the document of the next major version, and leaves the one that it is given as it is."""

_VERSION = re.compile(r"([1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class DocumentPart(BaseModel):
    """An object of a document: immutable, without unknown keys, and with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def to_json(document: BaseModel) -> str:
    """Return a document as JSON with sorted keys, ending in a newline; the same document gives the same text."""
    return json_text(document.model_dump(mode="json"))


def json_text(document: Mapping[str, object]) -> str:
    """Return plain values as JSON with sorted keys and one space of indent, ending in a newline."""
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def read_document(
    content: bytes, name: str, model: type[Document], version: str, migrations: Mapping[int, Migration]
) -> Document:
    """Return what a JSON document says, in the `version` ("major.minor") that `model` describes.

    Unknown keys of a newer minor version are left out, at every level; of any other version they are errors. An older
    major version goes through `migrations`, one from each major version since the first. Raises `ValueError` with one
    line to be put behind the name of the file; `name` is what the document should be, such as "result document".
    """
    try:
        document = parse(content)
    except ValueError as error:
        raise ValueError(f"is not JSON that can be used: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"is not a {name}: it is no JSON object")
    try:
        current, stated = _numbers(version), _numbers(document.get("schema_version"))
    except ValueError as error:
        raise ValueError(f"is not a {name}: {error}") from error
    if stated[0] > current[0]:
        raise ValueError(
            f"has schema {document['schema_version']} of a newer mlbench, this one reads {version}: upgrade mlbench"
        )
    for major in range(stated[0], current[0]):
        document = migrations[major](document)
    try:
        return model.model_validate(
            {**document, "schema_version": version}, extra="ignore" if stated > current else "forbid"
        )
    except ValidationError as error:
        raise ValueError(f"is not a {name}: {_first_fault(error)}") from error


def rename_key(part: dict[str, JsonValue], place: str, new: str) -> dict[str, JsonValue]:
    """Return an object with the key at a dotted place renamed; where a list is on the way, in each of its objects."""
    key, _, below = place.partition(".")
    if below:
        return {name: _rename_within(value, below, new) if name == key else value for name, value in part.items()}
    # An object that has both is no document of the older version.
    return part if new in part else {new if name == key else name: value for name, value in part.items()}


def _numbers(version: object) -> tuple[int, int]:
    """Return major and minor of a version; raises `ValueError` for what is none."""
    # Version 1 was written as a whole number.
    if version == 1 and isinstance(version, int) and not isinstance(version, bool):
        return 1, 0
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        raise ValueError("its schema_version is missing, or none that mlbench writes")
    return int(found[1]), int(found[2])


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "document"
    place = place if place.isprintable() else repr(place)
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place}: {first['msg']}{more}"


def _rename_within(value: JsonValue, place: str, new: str) -> JsonValue:
    if isinstance(value, list):
        return [rename_key(each, place, new) if isinstance(each, dict) else each for each in value]
    return rename_key(value, place, new) if isinstance(value, dict) else value
