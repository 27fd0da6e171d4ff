"""Files of a submission, read with suspicion: their size first, then their form, then what they say."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mlbench.errors import RefusedEntry
from mlbench.leaderboard.texts import document_fault, place_of
from mlbench.strict_json import parse

Document = TypeVar("Document", bound=BaseModel)

LARGEST_DOCUMENT = 2 * 2**20
LARGEST_RANKS = 16 * 2**20


def list_folder(folder: Path, most: int) -> tuple[str, ...]:
    """Return the sorted names in a real folder of at most `most` files, all of them regular and none a link.

    Raises `RefusedEntry`.
    """
    names: list[str] = []
    try:
        if not S_ISDIR(folder.lstat().st_mode):
            raise RefusedEntry("it is not a folder")
        with os.scandir(folder) as inside:
            for item in inside:
                if not S_ISREG(item.stat(follow_symlinks=False).st_mode):
                    raise RefusedEntry(f"{_shown(item.name)} is not a regular file")
                names.append(item.name)
                if len(names) > most:
                    raise RefusedEntry(f"it holds more than {most} files")
    except OSError as error:
        raise RefusedEntry(f"it cannot be read: {error.strerror or error}") from error
    return tuple(sorted(names))


def read_regular(path: Path, largest: int) -> bytes:
    """Return the content of a regular file of at most `largest` bytes; raises `RefusedEntry`."""
    # What was swapped for a link or a pipe since it was looked at must not lead elsewhere, or make us wait.
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        mode = path.lstat().st_mode
        if not S_ISREG(mode):
            raise RefusedEntry(f"{path.name} is a {'link' if S_ISLNK(mode) else 'special file'}, not a regular file")
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | careful)) as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise RefusedEntry(f"{path.name} cannot be read: {error.strerror or error}") from error
    if len(content) > largest:
        raise RefusedEntry(f"{path.name} is larger than {largest >> 20} MiB")
    return content


def read_plain(name: str, content: bytes) -> dict[str, object]:
    """Return the JSON object in the file called `name`.

    It must be written as mlbench writes it, to the byte, and every text in it be fit to be shown. Raises
    `RefusedEntry`.
    """
    try:
        document = parse(content)
    except ValueError as error:
        raise RefusedEntry(f"{name} is not JSON that can be used: {error}") from error
    if not isinstance(document, dict):
        raise RefusedEntry(f"{name} is no JSON object")
    if fault := document_fault(document):
        raise RefusedEntry(f"{name}: {fault}")
    if canonical(document) != content:
        raise RefusedEntry(f"{name} is not written as mlbench writes it: make it with mlbench leaderboard add")
    return document


def validate(name: str, document: Mapping[str, object], model: type[Document]) -> Document:
    """Return what a document says that `read_plain` let through; raises `RefusedEntry` with the first fault."""
    content = canonical(document)
    try:
        read = model.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = place_of(first["loc"]) or "document"
        raise RefusedEntry(f"{name}: {place}: {first['msg']}") from error
    # A whole number passes for any other; and a newer mlbench may know keys that were not there.
    if canonical(_shared(read.model_dump(mode="json"), document)) != content:
        raise RefusedEntry(f"{name} has a number that is not written as mlbench writes it, such as 1 for 1.0")
    return read


def canonical(document: Mapping[str, object]) -> bytes:
    """Return a document as mlbench writes it: sorted keys, one space of indent, a newline at the end."""
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _shared(known: Mapping[str, object], stated: Mapping[str, object]) -> dict[str, object]:
    """Return of what is known of an object the keys that are stated, and the same of all objects within."""
    return {key: _shared_value(known[key], stated[key]) for key in known.keys() & stated.keys()}


def _shared_value(known: object, stated: object) -> object:
    if isinstance(known, dict) and isinstance(stated, dict):
        return _shared(known, stated)
    if isinstance(known, list) and isinstance(stated, list):
        return [_shared_value(one, other) for one, other in zip(known, stated, strict=True)]
    return known


def _shown(name: str) -> str:
    return f"{name!r:.100}"
