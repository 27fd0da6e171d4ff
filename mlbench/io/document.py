"""The JSON documents that mlbench writes: immutable models, and their text with sorted keys."""

import json

from pydantic import BaseModel, ConfigDict


class DocumentPart(BaseModel):
    """An object of a document: immutable, without unknown keys, and with finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def to_json(document: BaseModel) -> str:
    """Return a document as JSON with sorted keys, ending in a newline; the same document gives the same text."""
    return json.dumps(document.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
