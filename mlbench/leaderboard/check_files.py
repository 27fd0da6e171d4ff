"""Reads the files of a submission with suspicion: their size first, then their form, then what they say."""

import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from mlbench.errors import RefusedEntry
from mlbench.io.document import json_text
from mlbench.io.untrusted import parse

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_SIZES = struct.Struct("<HHQQ")
_DEFLATED, _TIME, _FIRST_OF_1980, _READ_WRITE = 8, 0, 0x21, 0o600 << 16
# In a member's header, from Python 3.11.4 on: its sizes stand in the field behind its name alone. Before, they stand in
# both, and an older version is asked for.
_ELSEWHERE = 2**32 - 1
_VERSION, _OLDER_VERSION = 45, 20
_SYSTEMS = (3, 0)
_CHUNK = 2**20
LONGEST = 4000
"""Characters of one text; a task's titles and summaries are shorter by their own rules."""
DEEPEST = 16
MOST_VALUES = 100_000
# Letters by category that leave no mark on the page.
_INVISIBLE = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f")
_MOST_MARKS = 4
_MARKUP = re.compile(r"[<>]|&(#\w+|\w+);|\]\(|`")
_ADDRESS = re.compile(r"https?://[\w.-]+[^\s\"'\\]*")
_PATHS = {
    "a home path": re.compile(r"(?<!\w)~[\w.-]*/|(?<!\w)~$"),
    "a path that leaves its folder": re.compile(r"(?<![\w.])\.\.(?![\w.])"),
    "an address that is not https": re.compile(r"(?i)(?<!\w)(file|javascript|vbscript):|(?<!\w)data:[\w.+-]*/"),
    "an absolute path": re.compile(r"(?<![\w.)\]/])/[^\s/]|(?<![\w/])/$|//|(?<!\w)[A-Za-z]:[\\/]|\\"),
}
Document = TypeVar("Document", bound=BaseModel)
LARGEST_DOCUMENT = 2 * 2**20
LARGEST_RANKS = 16 * 2**20
LARGEST_COMPACT_RANKS = 256 * 2**20
LARGEST_TASK = 32 * 2**20
LARGEST_ENTRY = 2**18
LARGEST_AUDIT = 2**20
MOST_TASK_VALUES = 2_000_000
"""Of what a board accepts for a task, whose every setting is listed."""


def check_archive(content: bytes, names: Sequence[str], largest: int) -> None:
    """Refuse an npz file that is not, to the byte, an archive of the arrays called `names` in this order.

    The arrays may take `largest` bytes together. Raises `RefusedEntry`.
    """
    offset, directory = 0, []
    version = _OLDER_VERSION if content[4:6] == struct.pack("<H", _OLDER_VERSION) else _VERSION
    for name in names:
        member = f"{name}.npy".encode()
        start = offset + _LOCAL.size + len(member) + _SIZES.size
        header = content[offset:start]
        if len(header) < start - offset:
            raise RefusedEntry(f"it ends before {name}")
        crc = _LOCAL.unpack_from(header)[6]
        _, _, size, packed = _SIZES.unpack_from(header, len(header) - _SIZES.size)
        if max(size, packed) >= _ELSEWHERE or header != _local(version, member, crc, size, packed):
            raise RefusedEntry(f"the header of {name} is not as numpy writes it")
        largest -= size
        if largest < 0:
            raise RefusedEntry(f"its arrays are larger than those of the accepted task: {name} takes {size:,} bytes")
        _check_packed(name, content[start : start + packed], packed, size, crc)
        directory.append((member, crc, size, packed, offset))
        offset = start + packed
    if content[offset:] not in [_directory(directory, offset, version, system) for system in _SYSTEMS]:
        raise RefusedEntry("its directory is not as numpy writes it, or something follows the end")


def check_plain(name: str, content: bytes, array: NDArray[np.generic]) -> None:
    """Refuse a member that is not, to the byte, what numpy writes for `array`; raises `RefusedEntry`."""
    plain: NDArray[np.generic]
    if array.dtype.kind == "U":
        plain = np.array(array.tolist(), dtype=np.str_)
    elif array.dtype.kind == "f":
        # What is no number could hold anything in bits that nobody reads.
        plain = np.where(np.isnan(array), np.float32(np.nan), array).astype(np.float32)
    elif array.dtype in (np.uint8, np.int16):
        plain = np.ascontiguousarray(array)
    else:
        plain = np.ascontiguousarray(array, dtype=np.int32)
    buffer = BytesIO()
    npy.write_array(buffer, plain, allow_pickle=False)
    if buffer.getvalue() != content:
        raise RefusedEntry(f"{name} is not as numpy writes it: 32-bit numbers, or texts no wider than the longest")


def _local(version: int, member: bytes, crc: int, size: int, packed: int) -> bytes:
    sizes = (packed, size) if version == _OLDER_VERSION else (_ELSEWHERE, _ELSEWHERE)
    fixed = (version, 0, _DEFLATED, _TIME, _FIRST_OF_1980, crc, *sizes, len(member), _SIZES.size)
    return _LOCAL.pack(b"PK\x03\x04", *fixed) + member + _SIZES.pack(1, 16, size, packed)


def _directory(members: Sequence[tuple[bytes, int, int, int, int]], start: int, version: int, system: int) -> bytes:
    entries = b"".join(
        _CENTRAL.pack(
            b"PK\x01\x02",
            *(version | system << 8, version, 0, _DEFLATED, _TIME, _FIRST_OF_1980, crc, packed, size),
            *(len(member), 0, 0, 0, 0, _READ_WRITE, offset),
        )
        + member
        for member, crc, size, packed, offset in members
    )
    return entries + _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(entries), start, 0)


def _check_packed(name: str, packed: bytes, length: int, size: int, crc: int) -> None:
    """Refuse deflated data that does not unfold to `size` bytes with this checksum, or goes on after its end."""
    broken = RefusedEntry(f"what {name} unfolds to is not what its header says")
    if len(packed) != length or not length:
        raise broken
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found, check = _unfold(stream, packed[:-1], size)
        last = packed[-1]
        end = _finish(stream, last, size - found + 1)
    except zlib.error as error:
        raise broken from error
    if end is None or found + len(end) != size or zlib.crc32(end, check) != crc:
        raise broken
    # A reader passes over the bits behind the end of the data, from the highest one down to the first that matters.
    for bit in reversed(range(8)):
        if _finish(stream, last ^ 1 << bit, size - found + 1) != end:
            break
        if last >> bit & 1:
            raise RefusedEntry(f"something stands behind the end of {name}")


def _unfold(stream: "zlib._Decompress", packed: bytes, size: int) -> tuple[int, int]:
    """Return how many bytes `packed` unfolds to and their checksum, at most about `size` and a chunk."""
    found, check, left = 0, 0, packed
    while found <= size:
        part = stream.decompress(left, _CHUNK)
        left = stream.unconsumed_tail
        found, check = found + len(part), zlib.crc32(part, check)
        if not part and not left:
            break
    if found > size or stream.eof:
        raise zlib.error("it unfolds to more, or ends before its last byte")
    return found, check


def _finish(stream: "zlib._Decompress", last: int, most: int) -> bytes | None:
    """Return what the last byte adds, in at most `most` bytes; None where the data does not end in it."""
    copy = stream.copy()
    try:
        part = copy.decompress(bytes([last]), most)
    except zlib.error:
        return None
    return part if copy.eof and not copy.unused_data else None


def text_fault(text: str, *, lines: bool = False) -> str:
    """Say why a text may not be shown, or nothing; `lines` lets it have line breaks, as prompts do."""
    if len(text) > LONGEST:
        return f"is longer than {LONGEST:,} characters"
    return _fault(text.replace("\n", " ") if lines else text)


def texts_fault(texts: Iterable[str]) -> str:
    """Say why some of many short texts may not be shown, or nothing."""
    return _fault(" ".join(texts))


def _fault(text: str) -> str:
    if not text.isprintable() or not _INVISIBLE.isdisjoint(text):
        return "has characters that cannot be seen"
    if not text.isascii() and (unicodedata.normalize("NFC", text) != text or _is_stacked(text)):
        return "has letters that are put together in another way than usual"
    if found := _MARKUP.search(text):
        return f"has markup: {found[0]!r:.40}"
    without = _ADDRESS.sub("", text)
    faults = (f"has {what}: {found[0]!r:.40}" for what, path in _PATHS.items() if (found := path.search(without)))
    return next(faults, "")


def document_fault(document: object, most: int = MOST_VALUES) -> str:
    """Say where a parsed JSON document is too deep, has more than `most` values, or a text with a fault; or nothing."""
    left: list[tuple[tuple[str | int, ...], object]] = [((), document)]
    met, sound = 0, set[tuple[str, bool]]()
    while left:
        steps, value = left.pop()
        met += len(value) + 1 if isinstance(value, dict | list) else 0
        if met > most:
            return f"it has more than {most:,} values"
        if len(steps) > DEEPEST:
            return f"it is nested more than {DEEPEST} deep"
        texts = value if isinstance(value, dict) else [value] if isinstance(value, str) else []
        lines = "parameters" in steps
        for text in texts:
            if (text, lines) not in sound and (fault := text_fault(text, lines=lines)):
                return f"{'a key of ' if isinstance(value, dict) else ''}{place_of(steps) or 'it'} {fault}"
            sound.add((text, lines))
        if isinstance(value, dict):
            left += (((*steps, key), inner) for key, inner in value.items())
        elif isinstance(value, list):
            left += (((*steps, index), inner) for index, inner in enumerate(value))
    return ""


def place_of(steps: tuple[str | int, ...]) -> str:
    """Write the way to a value in a document, such as `settings[3].kind`, so that it fits into one line."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    place = place if place.isprintable() else ascii(place)
    return place if len(place) <= 100 else f"{place[:97]}..."


def _is_stacked(text: str) -> bool:
    """Say whether more marks stand on one letter than any script puts there."""
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks > _MOST_MARKS:
            return True
    return False


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


def read_plain(name: str, content: bytes, most: int = MOST_VALUES) -> dict[str, object]:
    """Return the JSON object in the file called `name`, which has at most so many values.

    It must be written as mlbench writes it, to the byte, and every text in it be fit to be shown. Raises
    `RefusedEntry`.
    """
    try:
        document = parse(content)
    except ValueError as error:
        raise RefusedEntry(f"{name} is not JSON that can be used: {error}") from error
    if not isinstance(document, dict):
        raise RefusedEntry(f"{name} is no JSON object")
    if fault := document_fault(document, most):
        raise RefusedEntry(f"{name}: {fault}")
    if canonical(document) != content:
        raise RefusedEntry(f"{name} is not written as mlbench writes it: make it again with mlbench")
    return document


def validate(name: str, document: Mapping[str, object], model: type[Document]) -> Document:
    """Return what a document says that `read_plain` let through; raises `RefusedEntry` with the first fault.

    It must be of exactly the version of its schema that is written today, and have no unknown field.
    """
    version = model.model_fields.get("schema_version")
    if version is not None and document.get("schema_version") != version.default:
        raise RefusedEntry(f"{name}: schema_version is not {version.default}: make it again with this mlbench")
    content = canonical(document)
    try:
        read = model.model_validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = place_of(first["loc"]) or "document"
        raise RefusedEntry(f"{name}: {place}: {first['msg']}") from error
    # A whole number passes for any other; and optional keys need not be there.
    if canonical(_shared(read.model_dump(mode="json"), document)) != content:
        raise RefusedEntry(f"{name} has a number that is not written as mlbench writes it, such as 1 for 1.0")
    return read


def canonical(document: Mapping[str, object]) -> bytes:
    """Return a document as mlbench writes it: sorted keys, one space of indent, a newline at the end."""
    return json_text(document).encode()


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
