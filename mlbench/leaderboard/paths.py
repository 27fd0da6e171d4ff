"""Takes the paths of a machine out of a result that is to be published."""

import re
import shlex
from pathlib import PureWindowsPath

from mlbench.results import Result

# `dense:`, `--out=` and the like in front of a path; a single letter is a drive.
_IN_FRONT = re.compile(r"(?:-*[\w-]{2,}[=:])*")
_LOCAL = re.compile(r"/(?!/)|~|[A-Za-z]:[\\/]|\\|(.*[\\/])?\.\.([\\/]|$)")


def without_paths(result: Result) -> Result:
    """Return a result in which paths that lead out of the working folder are reduced to their last part.

    They may stand in the retriever's spec, its parameters, the recipe of its training, and the command.
    """
    retriever, environment = result.retriever.model_dump(), result.environment.model_dump()
    retriever = {key: _reduced(value) for key, value in retriever.items()}
    if environment["command"] is not None:
        environment["command"] = _command(environment["command"])
    return Result.model_validate({**result.model_dump(), "retriever": retriever, "environment": environment})


def last_part(text: str) -> str:
    """Return a text, a path in it (behind `dense:` or `--out=` too) reduced to its last part where it leads elsewhere.

    Web addresses and paths inside the working folder stay as they are.
    """
    front = _IN_FRONT.match(text)
    start = front.end() if front else 0
    path = text[start:]
    if not _LOCAL.match(path):
        return text
    parts = [part for part in PureWindowsPath(path).parts if part.strip("\\/.") and not part.startswith("~")]
    last = parts[-1] if parts else ""
    return text[:start] + (last if last and not last.endswith((":\\", ":", ":/")) else ".")


def _reduced(value: object) -> object:
    match value:
        case str():
            return last_part(value)
        case dict():
            return {key: _reduced(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_reduced(inner) for inner in value]
    return value


def _command(command: str) -> str | None:
    """Return a command with the paths among its words reduced; None for one that is no line of a shell."""
    try:
        return shlex.join(last_part(word) for word in shlex.split(command))
    except ValueError:
        return None
