"""Takes away what the names in a document could do to a terminal or a page, before any format writes them."""

from typing import TypeVar

from pydantic import BaseModel

from mlbench.report.notation import visible

Document = TypeVar("Document", bound=BaseModel)


def harmless(document: Document) -> Document:
    """Return a result or a sweep with line breaks, control and direction characters in every text as visible escapes.

    Escaping what a format gives a meaning to (`<`, `|`, `%`) is left to that format.
    """
    return type(document).model_validate(_visible(document.model_dump()))


def _visible(part: object) -> object:
    match part:
        case str():
            return visible(part)
        case dict():
            return {_visible(key): _visible(value) for key, value in part.items()}
        case list() | tuple():
            return [_visible(value) for value in part]
    return part
