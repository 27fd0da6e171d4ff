"""Result documents on disk: written whole or not at all, and read with suspicion."""

import json
import os
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import ValidationError

from mlbench.errors import InvalidResult, UserError
from mlbench.results import SCHEMA_VERSION, Result, RetrieverInfo, TaskInfo
from mlbench.strict_json import parse

_LARGEST = 64 * 2**20
# What other documents that may lie beside results have not.
_OWN_KEYS = frozenset({"retriever", "ranks"})


def to_json(result: Result) -> str:
    """Return the document as JSON with sorted keys, ending in a newline; the same result gives the same text."""
    return json.dumps(result.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def json_schema() -> str:
    """Return the JSON Schema of the result document, as it is committed."""
    return json.dumps(Result.model_json_schema(), indent=1, sort_keys=True) + "\n"


def check_folder(folder: Path) -> None:
    """Raise `UserError` where `folder`, or the one it would be made in, is a file or may not be written."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise _unwritable(folder, f"{existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unwritable(folder, "Permission denied")


def write_result(result: Result, ranks: bytes, folder: Path) -> Path:
    """Write the ranks file and the document into `folder`: both appear whole, or neither.

    Returns the document's path. Raises `UserError` when the folder cannot be written, and leaves it as it was.
    """
    path = folder / result.ranks.name.replace(".ranks.npz", ".json")
    contents = {folder / result.ranks.name: ranks, path: to_json(result).encode()}
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    unfinished: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, content in contents.items():
            unfinished[target] = write_beside(target, content)
        _put_in_place(unfinished)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error
    finally:
        for beside in unfinished.values():
            beside.unlink(missing_ok=True)
        for parent in made:
            # Only what was made for nothing is empty.
            with suppress(OSError):
                parent.rmdir()
    return path


def read_result(path: Path) -> Result:
    """Read a result document; raises `InvalidResult` in one line for whatever is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InvalidResult(f"{path} is larger than {_LARGEST >> 20} MiB: it is no result document")
        document = parse(path.read_bytes())
    except OSError as error:
        raise InvalidResult(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InvalidResult(f"{path} is not JSON that can be used: {error}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InvalidResult(
            f"{path} has schema {version} of a newer mlbench, this one reads {SCHEMA_VERSION}: upgrade mlbench"
        )
    try:
        return Result.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        place = place if place.isprintable() else repr(place)
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InvalidResult(f"{path} is not a result document: {place}: {first['msg']}{more}") from error


def results_in(folder: Path, *, below: bool = False) -> list[Path]:
    """Return the result documents in a folder, sorted by name; a damaged one is among them, to be told by who reads it.

    With `below`, those in its folders too, but not in hidden ones. JSON that is clearly something else is left out.
    """
    found = folder.rglob("*.json") if below else folder.glob("*.json")
    seen = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1]))
    return [path for path in sorted(seen) if _may_be_result(path)]


def file_stem(task: TaskInfo, retriever: RetrieverInfo) -> str:
    """Return the name, without ending, of a result's files: task, limit, languages if not all, retriever, digest."""
    languages = [".".join(task.languages)] if task.partial else []
    if languages and len(languages[0]) > 40:
        languages = [f"{len(task.languages)}-languages-{digest(languages[0].encode())[:8]}"]
    limit = [] if task.limit is None else [f"limit-{task.limit}"]
    spec = re.sub(r"[^A-Za-z0-9._]+", "-", retriever.spec).strip("-.")[-60:] or "model"
    return ".".join([task.name, *limit, *languages, f"{spec}-{retriever.fingerprint[:8]}"])


def digest(content: bytes) -> str:
    """Return the SHA-256 of `content` in hex."""
    return sha256(content).hexdigest()


def _may_be_result(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return isinstance(document, dict) and "schema_version" in document and not _OWN_KEYS.isdisjoint(document)


def _put_in_place(unfinished: dict[Path, Path]) -> None:
    """Rename the finished files, all of them even where the user interrupts: one without the other is no result."""
    try:
        for target, beside in unfinished.items():
            beside.replace(target)
    except KeyboardInterrupt:
        for target, beside in unfinished.items():
            if beside.exists():
                beside.replace(target)
        raise


def write_beside(path: Path, content: bytes) -> Path:
    """Write `content` into a new file beside `path`, ready to take its place, and return the new file's path.

    After an error, `OSError` for one, nothing is left.
    """
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return Path(file.name)


def _unwritable(folder: Path, reason: str) -> UserError:
    return UserError(f"cannot write results to {folder}: {reason}; name another folder with --out")
