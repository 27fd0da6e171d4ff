"""Takes away what the names in a result could do to a terminal or a page, before any format writes them."""

from mlbench.report.notation import visible
from mlbench.results import Result


def harmless(result: Result) -> Result:
    """Return the result with line breaks, control and direction characters in every text as visible escapes.

    Escaping what a format gives a meaning to (`<`, `|`, `%`) is left to that format.
    """
    return Result.model_validate(_visible(result.model_dump()))


def _visible(part: object) -> object:
    match part:
        case str():
            return visible(part)
        case dict():
            return {_visible(key): _visible(value) for key, value in part.items()}
        case list() | tuple():
            return [_visible(value) for value in part]
    return part
