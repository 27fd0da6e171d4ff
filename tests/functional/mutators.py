"""Ways to spoil a file: bytes, lines, JSON values, TOML values, arrays and archives, each drawn from one `Random`."""

import copy
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

Draw = random.Random
Mutator = Callable[[bytes, Draw], bytes]
Array = np.ndarray[Any, Any]

HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        3,
        7,
        100,
        10**6,
        2**31,
        2**63,
        -(2**63),
        10**30,
        10**400,
        0.5,
        0.1,
        0.9,
        -0.3,
        40.0,
        -0.0,
        1e-320,
        1e14,
        1e17,
        1e308,
    ),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "\x00", "\x1b[2J\x07", "a\nb", "\r", "\u202eabc", "e\u0301" * 30, "\ufeff", "😀", "\ud800"),
    *(
        "en",
        "EN",
        "zh-hant",
        "de+en",
        "../../x",
        "/etc/passwd",
        "NaN",
        "1e999",
        "a" * 5000,
        "=cmd()",
        "<script>",
        "%s{}",
    ),
    *(
        "AP",
        "R@0",
        "R@99999999999999999999",
        "AP@1e9",
        "(" * 300,
        "-" * 50_000 + "1",
        "R@1\x00",
        "own_language_preference",
    ),
    *([], {}, [[]], [None], ["en"], ["en", "en"], {"en": 1}, {"": None}, [1] * 2000),
)
"""Values that no author of a file would write, or not there."""
TOML = (
    *(
        "nan",
        "-inf",
        "0x" + "f" * 5000,
        "9223372036854775808",
        "1979-05-27",
        "[]",
        "{}",
        '""',
        '"\\u0000"',
        "true",
        "-1",
    ),
    *('["en", "en"]', '["EN"]', "[1, 'a', {}]", "{a.b.c = 1}", "[" * 2000, "[" * 50 + "]" * 50, '"' + "x" * 9000 + '"'),
    *(
        '"../up"',
        '"/abs"',
        '"' + "d/" * 3000 + 'f"',
        '"AP@0"',
        '"(((((1"',
        '"' + "-" * 9000 + '1"',
        '"C:x"',
        '"a\\u0000b"',
    ),
    *("0x" + "1" * 400, '"extends"', "{queries = {en = -1}}", "'''\n'''", "1e400", "99999999999999999999999999"),
)


def nested(depth: int = 100_000) -> str:
    return "[" * depth + "]" * depth


def flip(content: bytes, draw: Draw) -> bytes:
    spoiled = bytearray(content or b"\0")
    for _ in range(draw.choice((1, 1, 2, 20))):
        spoiled[draw.randrange(len(spoiled))] ^= 1 << draw.randrange(8)
    return bytes(spoiled)


def cut(content: bytes, draw: Draw) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def remove(content: bytes, draw: Draw) -> bytes:
    begin = draw.randrange(len(content) + 1)
    return content[:begin] + content[begin + draw.choice((1, 5, 100)) :]


def repeat(content: bytes, draw: Draw) -> bytes:
    begin = draw.randrange(len(content) + 1)
    end = begin + draw.choice((1, 10, 1000))
    return content[:end] + content[begin:end] * draw.choice((1, 3)) + content[end:]


def insert(content: bytes, draw: Draw) -> bytes:
    place = draw.randrange(len(content) + 1)
    what = (
        b"\xff\xfe",
        b"\xc3",
        b"\x00",
        b"\xef\xbb\xbf",
        b"\r",
        b"\x1b[31m",
        b"\xed\xa0\x80",
        b"9" * 5000,
        b" " * 70_000,
    )
    return content[:place] + draw.choice(what) + content[place:]


def whole(content: bytes, draw: Draw) -> bytes:
    """Give the whole file another form, or none."""
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: b"\n" * 100_000,
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.replace(b"\n", b"\r\n"),
        lambda: content.replace(b"\n", b"\r"),
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: content.decode("utf-8", "replace").encode("latin-1", "replace") + b"\xe9",
        lambda: nested().encode(),
        lambda: b"{" + b'"a":{' * 50_000,
        lambda: b"a." * 5_000 + b"a = 1\n",
        lambda: draw.randbytes(2000),
        lambda: zlib.compress(content),
        lambda: content * 3,
        lambda: b"[" + content.replace(b"\n", b",\n") + b"]",
        lambda: b"1" * 1_000_000,
    )
    return draw.choice(forms)()


BYTES: tuple[Mutator, ...] = (flip, cut, remove, repeat, insert, whole)


def lines(content: bytes, draw: Draw) -> bytes:
    """Repeat, remove, exchange, join or lengthen lines."""
    rows = content.split(b"\n")
    place, other = draw.randrange(len(rows)), draw.randrange(len(rows))
    match draw.randrange(7):
        case 0:
            rows.insert(other, rows[place])
        case 1:
            del rows[place]
        case 2:
            rows[place], rows[other] = rows[other], rows[place]
        case 3:
            rows[place : place + 2] = [b"".join(rows[place : place + 2])]
        case 4:
            rows[place] = rows[place] * 20_000
        case 5:
            rows[place] = b""
        case _:
            rows[place : place + 1] = [rows[place]] * 3000
    return b"\n".join(rows)


def columns(content: bytes, draw: Draw) -> bytes:
    """Spoil one column of one line of a table."""
    rows = content.split(b"\n")
    place = draw.randrange(len(rows))
    row = rows[place].split(b"\t" if b"\t" in rows[place] else b" ")
    words = (
        b"",
        b"-1",
        b"1.5",
        b"nan",
        b"inf",
        b"1e308",
        b"1_0",
        b"9" * 5000,
        b"0x1",
        b"\xd9\xa1",
        b"x" * 9000,
        b"en:d1",
        b":",
        b"\x00",
    )
    match draw.randrange(4):
        case 0 if row:
            del row[draw.randrange(len(row))]
        case 1:
            row.insert(draw.randrange(len(row) + 1), draw.choice(words))
        case _:
            row[draw.randrange(len(row))] = draw.choice(words)
    rows[place] = b"\t".join(row)
    return b"\n".join(rows)


def json_value(content: bytes, draw: Draw) -> bytes:
    """Replace, remove, repeat or move values of a JSON document, or of one line of a file of JSON lines."""
    rows = content.split(b"\n")
    whole_file = len(rows) < 3 or rows[0] in (b"{", b"[")
    place = draw.randrange(len(rows))
    try:
        document = json.loads(content if whole_file else rows[place])
    except ValueError:
        return flip(content, draw)
    for _ in range(draw.choice((1, 1, 2, 5))):
        document = _spoil(document, draw)
    # Halves of surrogate pairs can only be written escaped.
    spoiled = json.dumps(document, ensure_ascii=draw.random() < 0.5).encode("utf-8", "backslashreplace")
    if whole_file:
        return spoiled
    rows[place] = spoiled
    return b"\n".join(rows)


def _spoil(document: Any, draw: Draw) -> Any:
    """Go down a random way and change what is met there."""
    if not isinstance(document, dict | list) or not document or draw.random() < 0.02:
        alike = [value for value in HOSTILE if isinstance(value, type(document))] if draw.random() < 0.5 else HOSTILE
        return copy.deepcopy(draw.choice(alike or HOSTILE))
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = draw.choice(keys)
    match draw.randrange(12):
        case 0:
            del document[key]
        case 1 if isinstance(document, list):
            document.insert(draw.choice(keys), copy.deepcopy(document[key]))
        case 2 if isinstance(document, dict):
            document[str(draw.choice(HOSTILE))[:50]] = document.pop(key)
        case 3:
            document[key] = copy.deepcopy(document[draw.choice(keys)])
        case 4 if isinstance(document, dict):
            document[str(draw.choice(HOSTILE))[:50]] = copy.deepcopy(draw.choice(HOSTILE))
        case 5 if isinstance(document, list) and len(document) > 1:
            draw.shuffle(document)
        case _:
            document[key] = _spoil(document[key], draw)
    return document


def toml_value(content: bytes, draw: Draw) -> bytes:
    rows = content.split(b"\n")
    set_here = [n for n, row in enumerate(rows) if b" = " in row]
    if not set_here:
        return insert(content, draw)
    place = draw.choice(set_here)
    key = rows[place].partition(b" = ")[0]
    key = draw.choice(
        (key, key, key, b"options." + b"a." * 3000 + b"b", b"nothing", b"files", b"expected.queries", b"extends")
    )
    rows[place] = key + b" = " + draw.choice(TOML).encode()
    return b"\n".join(rows)


LIES: tuple[dict[str, Any], ...] = (
    *(
        {"shape": shape}
        for shape in ((10**12,), (10**6, 10**6), (-1, 4), (2**63, 2), (0,), (), (1,) * 60, (10**9, 0), "x")
    ),
    *(
        {"descr": name}
        for name in ("<f8", "<i8", "|O", "<U1000000", "<M8[s]", "|V8", "<c16", "<f2", ">i4", "|b1", "<U0", "?")
    ),
    *({"fortran_order": True}, {"more": 1}, {"descr": [("a", "<i4"), ("b", "<i4")]}),
)
"""What the header of a .npy file may claim, whatever follows it."""


def npy(array: Array, draw: Draw) -> bytes:
    """Return a .npy file of the array with its numbers, words, shape, type or header spoiled."""
    if draw.random() < 0.3:
        lie = draw.choice(LIES)
        honest = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        return with_header({**honest, **lie}, array.tobytes())
    array = array.copy()
    match draw.randrange(3):
        case 0 if array.size and array.dtype.kind in "if":
            numbers = (
                -4,
                -3,
                -2,
                -1,
                0,
                1,
                2**31 - 1,
                -(2**31),
                *((np.nan, np.inf, 1e38) if array.dtype.kind == "f" else ()),
            )
            array.flat[draw.randrange(array.size)] = draw.choice(numbers)
        case 0 if array.size:
            array = array.astype("U5000")
            array.flat[draw.randrange(array.size)] = draw.choice(
                ("", "+", "en", "x" * 5000, "\x1b[2J", "\ud800", "de+en")
            )
        case 1 if array.dtype.kind in "if":
            array = array.astype(draw.choice(("<f8", "<i8", "<i2", "<U9", "<f4", "|b1")), casting="unsafe")
        case _ if array.ndim:
            forms = (array[:-1], array[::-1], array[:0], array[:1], array[:, None], np.concatenate([array, array]))
            array = draw.choice(forms)
    return plain_npy(array)


def with_header(header: dict[str, Any], data: bytes) -> bytes:
    text = repr(header).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def plain_npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def npz(content: bytes, draw: Draw) -> bytes:
    """Return an archive of arrays with one of them spoiled, missing, twice there, or with lies about sizes."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    members = {f"{name}.npy": plain_npy(array) for name, array in arrays.items()}
    chosen = draw.choice(list(arrays))
    match draw.randrange(10):
        case 0:
            del members[f"{chosen}.npy"]
        case 1:
            members[draw.choice(("more.npy", "../up.npy", "plain.txt", f"{chosen}"))] = b"0" * draw.choice((0, 100))
        case 2:
            return bomb(draw.choice((2**26, 2**30)), "ahead")
        case 3:
            members[f"{chosen}.npy"] = draw.choice(BYTES)(members[f"{chosen}.npy"], draw)
        case 4 | 5:
            members = {f"{name}.npy": plain_npy(array) for name, array in _consistent(arrays, draw).items()}
        case _:
            for name in draw.sample(list(arrays), draw.choice((1, 1, 2))):
                members[f"{name}.npy"] = npy(arrays[name], draw)
    return zipped(members, draw)


# Arrays of ranks that have as many entries.
BESIDE = (
    ("row_queries", "row_documents", "row_grades", "ahead", "ties"),
    ("query_topics", "query_languages", "top", "listed"),
    ("topic_ids", "topic_clusters"),
    ("document_ids", "document_languages"),
)


def _consistent(arrays: dict[str, Array], draw: Draw) -> dict[str, Array]:
    """Return arrays that still fit together: fewer rows, none, exchanged numbers, or other words everywhere."""
    spoiled = {name: array.copy() for name, array in arrays.items()}
    names = [name for name in draw.choice(BESIDE) if name in arrays]
    match draw.randrange(4):
        case 0 if names:
            kept = draw.choice((0, 1, 3, max(0, len(arrays[names[0]]) - 5)))
            spoiled |= {name: arrays[name][:kept] for name in names}
        case 1:
            array = spoiled[draw.choice([name for name, array in arrays.items() if array.dtype.kind == "i"])]
            array.flat = np.random.RandomState(draw.randrange(2**32)).permutation(array.ravel())
        case 2:
            array = spoiled[draw.choice(("ahead", "ties", "listed", "top", "row_grades", "column_sizes"))]
            array[...] = draw.choice((-3, -2, -1, 0, 1, 5, 2**19))
        case _:
            for name in ("languages", "columns"):
                spoiled[name] = np.char.replace(arrays[name], "de", draw.choice(("", "zz", "x" * 300, "\x1b[2J")))
    return spoiled


def zipped(members: dict[str, bytes], draw: Draw) -> bytes:
    """Return a zip archive; one in four lies about a member's size, checksum or method."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        if draw.random() < 0.25:
            info = draw.choice(archive.filelist)
            lie = draw.choice(("file_size", "compress_size", "CRC", "compress_type", "header_offset", "flag_bits"))
            setattr(
                info,
                lie,
                draw.choice((0, 1, 9, 12, 14, 99, 2**20, 2**31, 2**32 - 2))
                % (100 if lie == "compress_type" else 2**32),
            )
    return buffer.getvalue()


@cache
def bomb(size: int, name: str) -> bytes:
    """Return an archive whose one array is `size` bytes of zeros, in about a thousandth of the space."""
    buffer = io.BytesIO()
    header = {"descr": "<i4", "fortran_order": False, "shape": (size // 4,)}
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        member.write(with_header(header, b""))
        for _ in range(size // 2**20):
            member.write(bytes(2**20))
    return buffer.getvalue()
