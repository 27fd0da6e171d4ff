"""Entries of a leaderboard: folders with verified results and their ranks, or with numbers that a paper reports."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import Field

from mlbench.collection.languages import Kind
from mlbench.io.document import DocumentPart
from mlbench.results import RANKS, VECTORS

SCHEMA_VERSION = 1
ENTRY_FILE = "entry.json"
"""In the folder of every entry; a verified one has `TASK.json` and `TASK.ranks.npz` for each of its tasks beside it.

Where the vectors of a task are committed to, there is a `TASK.vectors.npz` as well.
"""
NAME = r"^[a-z0-9]+([.-][a-z0-9]+)*$"
"""What an entry and its folder may be called, in at most `LONGEST_NAME` characters."""
LONGEST_NAME = 64
RESERVED = frozenset(("aux", "con", "nul", "prn", "assets", "entries", "entry", "index", "tasks"))
"""What no entry and no task may be called, whatever follows after a dot: what Windows keeps for itself, as it does its
ports, and the names of other files of a board and its site."""
_PORT = re.compile(r"(com|lpt)[0-9]")
MOST_PARAMETERS = 10**14
Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST_NAME)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Phrase = Annotated[str, Field(min_length=1, max_length=100)]
"""A few words on one line."""
Sentences = Annotated[str, Field(max_length=500)]


class ReportedValue(DocumentPart):
    """A number as a source gives it: a measure's mean over a kind of settings, or without a kind a bias score.

    With a `query_language`, only of the settings that ask in it.
    """

    name: Phrase
    kind: Kind | None
    query_language: Phrase | None
    value: float


class ReportedTask(DocumentPart):
    """What a source reports for one task; `unstated` are the parts of the protocol that it leaves open.

    `aggregation` is how means were made: macro means over settings and micro means over queries never share a column.
    `document_text` is what a document was, null where unstated.
    """

    task: Name
    aggregation: Literal["macro", "micro"]
    document_text: Phrase | None
    unstated: tuple[Phrase, ...]
    values: tuple[ReportedValue, ...]


class Entry(DocumentPart):
    """One row of the leaderboard: what its submitter says of it, and the digests of the files that prove the numbers.

    `name` is that of the folder, `parameters` counts the weights, `licence` is that of the model, `source` is where
    reported numbers are from. A `control` is not proposed for use: it was measured to show what the numbers of others
    are worth, as a system that has learned nothing or one arm of an ablation, and is folded away. A verified entry has
    `tasks` and their `files` with the SHA-256 of each, a reported one `source` and `reported`. `fingerprint` is
    `fingerprint_of` the rest.
    """

    schema_version: Literal[1] = 1
    name: Name
    kind: Literal["verified", "reported"]
    title: Phrase
    summary: Sentences = ""
    url: Annotated[str, Field(max_length=300)] | None = None
    licence: Phrase | None = None
    parameters: Annotated[int, Field(ge=0, le=MOST_PARAMETERS)] | None = None
    control: bool = False
    tasks: tuple[Name, ...] = ()
    files: dict[str, Digest] = Field(default={})
    source: Sentences | None = None
    reported: tuple[ReportedTask, ...] = ()
    fingerprint: Digest


def sealed(**parts: object) -> Entry:
    """Return the entry that `parts` make, with its fingerprint; raises pydantic's `ValidationError`."""
    unsealed = Entry.model_validate({**parts, "fingerprint": "0" * 64})
    return unsealed.model_copy(update={"fingerprint": fingerprint_of(unsealed.model_dump(mode="json"))})


def fingerprint_of(document: Mapping[str, object]) -> str:
    """Return the SHA-256 of everything that `entry.json` says but its fingerprint.

    It covers the digests of the files, so that it names the entry whole: it shows that something was changed by
    accident, and says nothing of who wrote it.
    """
    said = {key: value for key, value in document.items() if key != "fingerprint"}
    return sha256(json.dumps(said, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def is_name(text: str) -> bool:
    """Say whether an entry, or a task of a leaderboard, may be called so."""
    first = text.partition(".")[0]
    is_kept = first in RESERVED or _PORT.fullmatch(first) is not None
    return len(text) <= LONGEST_NAME and re.fullmatch(NAME, text) is not None and not is_kept


def files_of(task: str) -> tuple[str, str]:
    """Return the names of a task's result document and ranks file in an entry."""
    return f"{task}.json", f"{task}{RANKS}"


def vectors_of(task: str) -> str:
    """Return the name of the commitment to a task's vectors in an entry, which need not have one."""
    return f"{task}{VECTORS}"


def json_schema() -> str:
    """Return the JSON Schema of `entry.json`, as it is committed."""
    return json.dumps(Entry.model_json_schema(), indent=1, sort_keys=True) + "\n"
