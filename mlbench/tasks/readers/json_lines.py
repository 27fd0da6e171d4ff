"""JSON lines and judgments: of what people write by hand every fault is gathered, of the rest the first is raised."""

import gzip
import json
import re
import zlib
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from mlbench.errors import DataError, UnknownName
from mlbench.io.trec_lines import JUDGMENTS, Row, is_json, json_rows, rows
from mlbench.protocols import ReadRequest, SourceFile

_BOM, _UTF_16, _GZIP = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff"), b"\x1f\x8b"
_START = 100
_NOT_IN_IDS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_JSON_NAMES = {dict: "an object", list: "a list", int: "a number", float: "a number", bool: "a truth value"} | {
    type(None): "null"
}


def check_options(request: ReadRequest, reader: str, known: Sequence[str] = ()) -> None:
    """Raise `UnknownName` for an option of the task that the reader does not take."""
    for name in request.options:
        if name not in known:
            raise UnknownName(f"option of the reader {reader}", name, known)


def packed_lines(path: Path, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the lines that are not blank, with their place; the file is streamed, and unpacked where it ends in .gz.

    `name` is what the file is called in messages, if not by its own name. Raises `DataError` with file and line.
    """
    number, name = 0, name or path.name
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = (raw.removeprefix(_BOM) if number == 1 else raw).decode().rstrip("\r\n")
                if line.strip():
                    yield f"{name} line {number}", line
    except EOFError as error:
        raise DataError(f"{name} is cut short after line {number:,}: fetch it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} line {number}: not valid UTF-8 at byte {error.start + 1} of the line") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is damaged after line {number:,} ({error}): fetch it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def parse_object(line: str | bytes, place: str, what: str) -> dict[str, object]:
    """Return the object in a line; raises `DataError` with its place, and `what` it should be, for anything else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not valid JSON: {str(error)[:100]}") from error
    if not isinstance(row, dict):
        raise DataError(f"{place}: must be an object {what}")
    return row


def files_of(folder: Path, roles: Sequence[str]) -> list[dict[str, str]]:
    """Return what a task file says of the files `<role>.<language>.jsonl` in `folder`, in the order of their names.

    Each entry has `path`, `role` and `language`; there are none where no file has such a name.
    """
    named = re.compile(rf"({'|'.join(roles)})\.([^.]+)\.jsonl")
    found = [named.fullmatch(name) for name in sorted(path.name for path in folder.iterdir())]
    return [{"path": match[0], "role": match[1], "language": match[2]} for match in found if match]


def objects(source: SourceFile, faults: list[str], example: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each line that holds an object, with its place; other lines are added to `faults`, and so is an empty file.

    `example` is an object as it should be. Raises `DataError` for a file that cannot be read.
    """
    empty = True
    for place, line in lines(source, faults):
        empty = False
        try:
            row = json.loads(line, parse_constant=_refuse_constant)
        except json.JSONDecodeError as error:
            faults.append(f"{place}: not valid JSON: {error.msg} at column {error.colno}")
            continue
        except (ValueError, RecursionError) as error:
            faults.append(f"{place}: not valid JSON: {error}")
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            faults.append(f"{place}: must be an object such as {example}")
    if empty:
        faults.append(f"{source.path.name}: the file is empty")


def lines(source: SourceFile, faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines that are not blank, with their place; only a line feed (or CR LF) ends a line.

    Bytes that are not UTF-8 are added to `faults`. Raises `DataError` for a file that cannot be read.
    """
    content = _content(source)
    for number, raw in enumerate(content.removeprefix(_BOM).split(b"\n"), start=1):
        place = f"{source.path.name} line {number}"
        try:
            line = raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            faults.append(f"{place}: not valid UTF-8 at byte {error.start + 1} of the line")
            continue
        if line.strip():
            yield place, line


def judgments(source: SourceFile, faults: list[str], topics: Container[str]) -> Iterator[Row]:
    """Yield the rows of judgments in any of the layouts of `io.trec_lines`; what is none is added to `faults`.

    `topics` are those that have a query. Raises `DataError` for a file that cannot be read.
    """
    content = _content(source).removeprefix(_BOM)
    if is_json(content[:_START].decode(errors="replace")):
        try:
            yield from json_rows(content.decode(), JUDGMENTS, source.path.name)
        except ValueError as error:
            faults.append(f"{source.path.name}: {error}")
    else:
        yield from rows(lines(source, faults), JUDGMENTS, faults.append, topics=topics)


def _content(source: SourceFile) -> bytes:
    """Return the bytes of a file, unpacked where they are packed by gzip, and in UTF-8 where they are in UTF-16."""
    try:
        content = source.path.read_bytes()
        if content.startswith(_GZIP):
            content = gzip.decompress(content)
        return content.decode("utf-16").encode() if content.startswith(_UTF_16) else content
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{source.path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def text_of(row: dict[str, object], key: str, place: str, faults: list[str]) -> str | None:
    """Return the text under `key`; what is missing, empty or no text is added to `faults`, and None returned."""
    value = row.get(key)
    if key not in row:
        faults.append(f"{place}: key {key!r} is missing")
    elif not isinstance(value, str):
        faults.append(f"{place}: {key!r} must be a string, not {_JSON_NAMES[type(value)]}")
    elif not value.strip():
        faults.append(f"{place}: {key!r} is empty")
    elif re.search("[\ud800-\udfff]", value):
        faults.append(f"{place}: {key!r} holds half of a surrogate pair, which is no character")
    else:
        return value
    return None


def own_id_of(row: dict[str, object], key: str, place: str, seen: Container[str], faults: list[str]) -> str | None:
    """Return the id under `key`, new among `seen`; what is wrong is added to `faults`, and None returned."""
    own_id = text_of(row, key, place, faults)
    if own_id is None:
        return None
    if _NOT_IN_IDS.search(own_id):
        faults.append(f"{place}: id {own_id!r} holds white space or a control character, which judgments cannot name")
    elif own_id in seen:
        faults.append(f"{place}: id {own_id!r} is there twice")
    else:
        return own_id
    return None


def texts_of(row: dict[str, object], key: str, place: str, faults: list[str]) -> list[str]:
    """Return the texts in the list under `key`, which must not be empty; what is wrong is added to `faults`."""
    values = row.get(key)
    if not isinstance(values, list) or not values:
        faults.append(f"{place}: {key!r} must be a list of texts that is not empty")
        return []
    entries = {f"{key}[{number}]": value for number, value in enumerate(values)}
    return [text for entry in entries if (text := text_of(entries, entry, place, faults)) is not None]


def raise_faults(faults: list[str]) -> None:
    """Raise `DataError` with the first of the faults, its `__notes__` all of them; without faults, do nothing."""
    if not faults:
        return
    more = f" (and {len(faults) - 1} more: see 'mlbench tasks check')" if len(faults) > 1 else ""
    error = DataError(faults[0] + more)
    for fault in faults:
        error.add_note(fault)
    raise error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")
