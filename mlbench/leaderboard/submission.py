"""Makes an entry of results: copied without paths, with what their submitter says, and checked before it is there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import ValidationError

from mlbench.atomic import replaced_folder
from mlbench.errors import RefusedEntry, UserError
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.checking import CheckedEntry, check_distinct, check_folder, parse_entry
from mlbench.leaderboard.documents import LARGEST_RANKS, canonical, read_regular
from mlbench.leaderboard.entries import ENTRY_FILE, Entry, files_of, sealed
from mlbench.leaderboard.paths import without_paths
from mlbench.result_files import digest
from mlbench.results import Result
from mlbench.verification import read_pair


@dataclass(frozen=True, slots=True)
class Description:
    """What a submitter says of a system; None leaves it as it is, or as `Entry` has it where nothing is there.

    The title of a new entry is the spec of its retriever where none is given.
    """

    title: str | None = None
    summary: str | None = None
    url: str | None = None
    licence: str | None = None
    parameters: int | None = None


def add(
    board: Board, name: str, results: Sequence[Path], description: Description, *, replace: bool = False
) -> CheckedEntry:
    """Make the entry called `name` of results with their ranks beside them, or add them to the one that is there.

    Without results, only what is said of an entry changes. The same call again changes nothing. The entry appears whole
    and checked, or nothing changes. Raises `RefusedEntry` for one that would be refused, and `UserError` for another
    result of a task that the entry has, unless it is to be replaced as a whole.
    """
    folder = board.entry_folder(name)
    board.entry_names()
    old = parse_entry(folder, name)[0] if folder.exists() and not (replace and results) else None
    if old is None and not results:
        raise UserError(f"there is no entry {name} to describe: name the results that it is made of")
    if old is not None and old.kind == "reported" and results:
        raise UserError(f"{name} has reported numbers: give another --name, or add --replace")
    files = {} if old is None else {file: read_regular(folder / file, LARGEST_RANKS) for file in old.files}
    made = [_copied(path) for path in results]
    for result, copied in made:
        _merge(files, copied, name, result.task.name)
    said = {key: value for key, value in asdict(description).items() if value is not None}
    before = {"title": made[0][0].retriever.spec, "kind": "verified"} if old is None else old.model_dump()
    entry = _sealed({**before, **said, "name": name}, files)
    return _put(board, name, {**files, ENTRY_FILE: canonical(entry.model_dump(mode="json"))})


def _copied(path: Path) -> tuple[Result, dict[str, bytes]]:
    """Return a result and the files that an entry has of it, without paths and under the names of its task."""
    result, _ = read_pair(path)
    document, ranks = files_of(result.task.name)
    plain = without_paths(result).model_dump(mode="json")
    plain["ranks"]["name"] = ranks
    content = read_regular(path.parent / result.ranks.name, LARGEST_RANKS)
    return result, {document: canonical(plain), ranks: content}


def _merge(files: dict[str, bytes], copied: Mapping[str, bytes], name: str, task: str) -> None:
    if any(files.get(file, content) != content for file, content in copied.items()):
        raise UserError(f"{name} has another result of {task}: give another --name, or add --replace for a new entry")
    files.update(copied)


def _sealed(said: Mapping[str, object], files: Mapping[str, bytes]) -> Entry:
    digests = {file: digest(content) for file, content in sorted(files.items())}
    tasks = sorted({file.removesuffix(".ranks.npz") for file in files if file.endswith(".ranks.npz")})
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
            return _checked(board, made, name)
    except OSError as error:
        raise UserError(f"cannot write to {folder.parent}: {error.strerror or error}") from error


def _checked(board: Board, folder: Path, name: str) -> CheckedEntry:
    checked = check_folder(board, folder, name)
    check_distinct(board, checked.entry)
    return checked


def _is_there(folder: Path, files: Mapping[str, bytes]) -> bool:
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != set(files):
        return False
    return all((folder / file).read_bytes() == content for file, content in files.items())
