"""Makes an entry of results: copied without paths, with what their submitter says, and checked before it is there."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PureWindowsPath

from pydantic import ValidationError

from mlbench.errors import RefusedEntry, UserError
from mlbench.evaluation.verify import read_pair
from mlbench.io.atomic import remove_leftovers, replaced_folder
from mlbench.io.lock import locked
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import CheckedEntry, Identities, check_distinct, check_folder, parse_entry
from mlbench.leaderboard.check_files import LARGEST_COMPACT_RANKS, canonical, read_regular
from mlbench.leaderboard.claims import command_fault
from mlbench.leaderboard.entries import ENTRY_FILE, Entry, files_of, sealed, vectors_of
from mlbench.results import RANKS, Result, digest, vectors_file

# `dense:`, `--out=` and the like in front of a path; a single letter is a drive.
_IN_FRONT = re.compile(r"(?:-*[\w-]{2,}[=:])*")
_LOCAL = re.compile(r"/(?!/)|~|[A-Za-z]:[\\/]|\\|(.*[\\/])?\.\.([\\/]|$)")


@dataclass(frozen=True, slots=True)
class Description:
    """What a submitter says of a system; None leaves it as it is, or as `Entry` has it where nothing is there.

    The title of a new entry is what its retriever is called where none is given.
    """

    title: str | None = None
    summary: str | None = None
    url: str | None = None
    licence: str | None = None
    parameters: int | None = None
    control: bool | None = None


def add(
    board: Board, name: str, results: Sequence[Path], description: Description, *, replace: bool = False
) -> CheckedEntry:
    """Make the entry called `name` of results with their ranks beside them, or add them to the one that is there.

    Without results, only what is said of an entry changes. The same call again changes nothing. The entry appears whole
    and checked, or nothing changes, and of two calls at once the second waits. Raises `RefusedEntry` for one that would
    be refused, and `UserError` for another result of a task that the entry has, unless it is to be replaced as a whole.
    """
    board.entry_names()
    with locked(board.folder):
        remove_leftovers(board.entries)
        return _add(board, name, results, description, replace)


def _add(board: Board, name: str, results: Sequence[Path], description: Description, replace: bool) -> CheckedEntry:
    folder = board.entry_folder(name)
    old = parse_entry(folder, name)[0] if folder.exists() and not (replace and results) else None
    if old is None and not results:
        raise UserError(f"there is no entry {name} to describe: name the results that it is made of")
    if old is not None and old.kind == "reported" and results:
        raise UserError(f"{name} has reported numbers: give another --name, or add --replace")
    files = {} if old is None else {file: read_regular(folder / file, LARGEST_COMPACT_RANKS) for file in old.files}
    made = [_copied(path) for path in results]
    for result, copied in made:
        _merge(files, copied, name, result.task.name)
    said = {key: value for key, value in asdict(description).items() if value is not None}
    before = {"title": made[0][0].retriever.label, "kind": "verified"} if old is None else old.model_dump()
    entry = _sealed({**before, **said, "name": name}, files)
    return _put(board, name, {**files, ENTRY_FILE: canonical(entry.model_dump(mode="json"))})


def _copied(path: Path) -> tuple[Result, dict[str, bytes]]:
    """Return a result and the files that an entry has of it, without paths and under the names of its task."""
    result, _ = read_pair(path)
    document, ranks = files_of(result.task.name)
    plain = without_paths(result).model_dump(mode="json")
    plain["ranks"]["name"] = ranks
    copied = {ranks: read_regular(path.parent / result.ranks.name, LARGEST_COMPACT_RANKS)}
    if result.vectors is not None:
        beside, name = vectors_file(path, result), vectors_of(result.task.name)
        if beside is None:
            raise UserError(f"cannot read {path.parent / result.vectors.name}: it belongs to {path.name}")
        plain["vectors"]["name"], copied[name] = name, read_regular(beside, LARGEST_COMPACT_RANKS)
    return result, {**copied, document: canonical(plain)}


def _merge(files: dict[str, bytes], copied: Mapping[str, bytes], name: str, task: str) -> None:
    if any(files.get(file, content) != content for file, content in copied.items()):
        raise UserError(f"{name} has another result of {task}: give another --name, or add --replace for a new entry")
    files.update(copied)


def _sealed(said: Mapping[str, object], files: Mapping[str, bytes]) -> Entry:
    digests = {file: digest(content) for file, content in sorted(files.items())}
    tasks = sorted({file.removesuffix(RANKS) for file in files if file.endswith(RANKS)})
    try:
        return sealed(**{**said, "tasks": tasks, "files": digests})
    except ValidationError as error:
        first = error.errors()[0]
        raise RefusedEntry(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _put(board: Board, name: str, files: Mapping[str, bytes]) -> CheckedEntry:
    """Check the entry that `files` make, and put it in its place where it is not there yet."""
    folder = board.entry_folder(name)
    if _is_there(folder, files):
        return _checked(board, folder, name)
    try:
        with replaced_folder(folder) as made:
            for file, content in files.items():
                (made / file).write_bytes(content)
            checked = _checked(board, made, name)
        return replace(checked, folder=folder)
    except OSError as error:
        raise UserError(f"cannot write to {folder.parent}: {error.strerror or error}") from error


def _checked(board: Board, folder: Path, name: str) -> CheckedEntry:
    return check_distinct(check_folder(board, folder, name), Identities(board))


def _is_there(folder: Path, files: Mapping[str, bytes]) -> bool:
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != set(files):
        return False
    return all((folder / file).read_bytes() == content for file, content in files.items())


def without_paths(result: Result) -> Result:
    """Return a result in which paths that lead out of the working folder are reduced to their last part.

    They may stand in the retriever's spec and name, its parameters, the recipe of its training, and the command.
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
    """Return a command with the paths among its words reduced; None for one that is not of `mlbench run`."""
    try:
        reduced = shlex.join(last_part(word) for word in shlex.split(command))
    except ValueError:
        return None
    return None if command_fault(reduced) else reduced
