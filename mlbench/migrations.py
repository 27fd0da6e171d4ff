"""How documents of older major versions become those of today, one major version after the other.

A migration renames or removes what its version did, changes no number, and leaves what it does not know to be refused
when the document is validated. Version 2.0 renamed `statistics.unit` to `clustered_by`, and `separable` of the claims
of a sweep to `significant`.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from mlbench.io.document import Migration

Json = dict[str, JsonValue]


def result_from_1(document: Json) -> Json:
    """Return a result document of version 1 as one of version 2."""
    return _renamed(document, "statistics.unit", "clustered_by")


def sweep_from_1(document: Json) -> Json:
    """Return the document of a sweep of version 1 as one of version 2."""
    document = _renamed(document, "tasks.statistics.unit", "clustered_by")
    return _renamed(document, "tasks.claims.separable", "significant")


MIGRATIONS: Mapping[str, Mapping[int, Migration]] = {"result": {1: result_from_1}, "sweep": {1: sweep_from_1}}
"""By document, and by the major version that each migration starts from."""


def _renamed(part: Json, place: str, new: str) -> Json:
    """Return an object with the key at a dotted place renamed; where a list is on the way, in each of its objects."""
    key, _, below = place.partition(".")
    if below:
        return {name: _renamed_within(value, below, new) if name == key else value for name, value in part.items()}
    # An object that has both is no document of the older version.
    return part if new in part else {new if name == key else name: value for name, value in part.items()}


def _renamed_within(value: JsonValue, place: str, new: str) -> JsonValue:
    if isinstance(value, list):
        return [_renamed(each, place, new) if isinstance(each, dict) else each for each in value]
    return _renamed(value, place, new) if isinstance(value, dict) else value
