"""JSON from a file that nobody vouches for: nothing is let in that could not be printed, saved or computed with."""

import json
import math
from typing import NoReturn

_LARGEST_NUMBER = 10**15


def parse(content: bytes) -> object:
    """Return what the JSON text in `content` says.

    Raises `ValueError` with one line for what is no JSON, nested too deeply, has a key twice in one object, numbers
    that are none or larger than 10^15, or halves of surrogate pairs.
    """
    try:
        document: object = json.loads(
            content,
            object_pairs_hook=_unique_keys,
            parse_constant=lambda name: _refuse_constant(name),
            parse_int=_int,
            parse_float=_float,
        )
        # Halves of surrogate pairs may be escaped in JSON, but nothing could print or save them again.
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(str(error)) from error
    return document


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return keys


def _int(digits: str) -> int:
    """Return a whole number, or refuse one that no count can be."""
    if len(digits) > len(str(_LARGEST_NUMBER)):
        raise ValueError(f"{digits[:20]}... is too large a number")
    return int(digits)


def _float(digits: str) -> float:
    """Return a number, infinity too, or refuse one that is no measurement, and that no sum or scale could bear."""
    number = float(digits)
    if _LARGEST_NUMBER < abs(number) < math.inf:
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
