"""The document of an entry, its schema, and what binds it together."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from mlbench.leaderboard.board import Board
from mlbench.leaderboard.entries import ENTRY_FILE, Entry, files_of, fingerprint_of, json_schema, sealed

BOARD = Path(__file__).parents[3] / "leaderboard"
SCHEMA = BOARD / "entry.schema.json"
DIGEST = "ab" * 32
PARTS: dict[str, Any] = {
    "name": "ours",
    "kind": "verified",
    "title": "Ours",
    "tasks": ("mini",),
    "files": {"mini.json": DIGEST, "mini.ranks.npz": DIGEST},
}


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == json_schema(), "write json_schema() to leaderboard/entry.schema.json"


def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_every_committed_entry_follows_the_committed_schema() -> None:
    names = Board(BOARD).entry_names()
    assert len(names) >= 10
    for name in names:
        document = json.loads((BOARD / "entries" / name / ENTRY_FILE).read_text(encoding="utf-8"))
        assert list(validator().iter_errors(document)) == []


WRONG: dict[str, dict[str, object]] = {
    "a name with a slash": {"name": "a/b"},
    "a name that goes up": {"name": ".."},
    "a name with capitals": {"name": "Ours"},
    "a name that ends in a dot": {"name": "ours."},
    "a name with two hyphens": {"name": "a--b"},
    "a long name": {"name": "a" * 65},
    "no name": {"name": ""},
    "another kind": {"kind": "trusted"},
    "no title": {"title": ""},
    "a long title": {"title": "a" * 101},
    "a long summary": {"summary": "a" * 501},
    "negative parameters": {"parameters": -1},
    "more parameters than any model has": {"parameters": 10**15},
    "half a parameter": {"parameters": 0.5},
    "no digest": {"files": {"mini.json": "abc"}},
    "a key that is not known": {"rank": 1},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_schema_and_code_refuse_the_same(change: dict[str, object]) -> None:
    assert list(validator().iter_errors(json.loads(sealed(**PARTS).model_dump_json()))) == []
    document = {**json.loads(sealed(**PARTS).model_dump_json()), **change}
    assert list(validator().iter_errors(document)) != []
    with pytest.raises(ValidationError):
        Entry.model_validate_json(json.dumps(document), strict=True)


def test_a_fingerprint_names_all_that_an_entry_says() -> None:
    entry = sealed(**PARTS)
    document = entry.model_dump(mode="json")
    assert entry.fingerprint == fingerprint_of(document)
    assert sealed(**PARTS) == entry
    others = [{"title": "Others"}, {"parameters": 1}, {"name": "others"}, {"files": {}}, {"summary": "."}]
    fingerprints = {sealed(**{**PARTS, **other}).fingerprint for other in others}
    assert len(fingerprints | {entry.fingerprint}) == len(others) + 1


def test_files_are_named_after_their_task() -> None:
    assert files_of("xquad-r") == ("xquad-r.json", "xquad-r.ranks.npz")
