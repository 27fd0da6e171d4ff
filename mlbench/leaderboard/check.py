"""Checks whether an entry may stand on the board, cheap and bounded checks first."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import mlbench
from mlbench.errors import DataError, RefusedEntry, UserError
from mlbench.evaluation.verify import recompute
from mlbench.io.cache import CHECKS, cache_dir, kept_folder
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check_files import (
    canonical,
    check_archive,
    check_plain,
    list_folder,
    read_plain,
    read_regular,
    texts_fault,
    validate,
)
from mlbench.leaderboard.check_ranks import alignment_fault, counts_fault
from mlbench.leaderboard.claims import claims_fault
from mlbench.leaderboard.distinct import (
    Digests,
    Identity,
    count_digests,
    parse,
    sameness_fault,
    sameness_warnings,
    written,
)
from mlbench.leaderboard.entries import ENTRY_FILE, LONGEST_NAME, Entry, files_of, fingerprint_of
from mlbench.leaderboard.protocol import (
    AcceptedTask,
    data_fault,
    describe,
    protocol_fault,
    reported_fault,
    shape_fault,
)
from mlbench.leaderboard.titles import skeletons, title_fault
from mlbench.ranking.packed_ranks import PACKED
from mlbench.ranking.ranks import Ranks
from mlbench.ranking.ranks_file import ALIGNMENT, ARRAYS, GRADE_SCALE, arrays_of, read_ranks
from mlbench.results import Result, digest
from mlbench.statistics.cluster_scores import ScoreRequest

_MOST_TASKS = 50
_LARGEST_ENTRY = 2**18
_FOUND = "checked.json"
# What a result says of its retriever that the next result of the same one may not.
_OF_ONE_RESULT: dict[str, bool | set[str]] = {"spec": True, "name": True, "repeatability": True, "registry": {"seen"}}
_ADDRESS = re.compile(r"https://([a-z0-9-]+\.)+[a-z]{2,}(/[A-Za-z0-9._~%?=&#+:@/-]*)?")


@dataclass(frozen=True, eq=False)
class CheckedEntry:
    """An entry that passed; `pairs` are result and ranks of each task, `n_numbers` were recomputed from the ranks.

    A reported entry has neither. `identity` is what no other entry may have; `warnings` are sentences on what a reader
    must look at.
    """

    name: str
    entry: Entry
    pairs: Mapping[str, tuple[Result, Ranks]]
    n_numbers: int
    identity: Identity
    warnings: tuple[str, ...] = ()


class Identities:
    """What tells the entries of a board apart, each read once, when it is asked for."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._found: dict[str, Identity | None] = {}

    def others(self, name: str) -> Iterator[Identity]:
        """Yield the identities of all entries but one, in order of their names; without those that cannot be read."""
        for other in self._board.entry_names():
            if other != name:
                if other not in self._found:
                    self._found[other] = _read_identity(self._board, other)
                if (found := self._found[other]) is not None:
                    yield found


def check_entry(board: Board, name: str, identities: Identities | None = None) -> CheckedEntry:
    """Check the entry called `name`; raises `RefusedEntry` with its name and the first fault in one line.

    Who checks several entries of a board hands over their `identities`, so that none is read twice.
    """
    shown = name if name.isprintable() and len(name) <= LONGEST_NAME else f"{name!r:.80}"
    try:
        return check_distinct(check_folder(board, board.entry_folder(name), name), identities or Identities(board))
    except UserError as error:
        raise RefusedEntry(f"{shown}: {error}") from error


def check_folder(board: Board, folder: Path, name: str) -> CheckedEntry:
    """Check what is to be the entry called `name`, wherever it lies; raises `RefusedEntry` with the first fault."""
    try:
        found = list_folder(folder, 2 * _MOST_TASKS + 1)
        entry = _read_entry(folder, name)
        expected = sorted((ENTRY_FILE, *(file for task in entry.tasks for file in files_of(task))))
        if list(found) != expected:
            other = sorted(set(found) ^ set(expected))[0]
            raise RefusedEntry(f"{other!r:.80} {'is missing' if other in expected else 'does not belong there'}")
        for what, text in (("name", name), ("title", entry.title)):
            if fault := title_fault(text):
                raise RefusedEntry(f"{ENTRY_FILE}: {what} {fault}")
        if entry.kind == "reported":
            _check_reported(board, entry)
            return CheckedEntry(name, entry, {}, 0, _identity(entry, {}))
        if {ENTRY_FILE, *entry.files} != set(expected):
            raise RefusedEntry(f"{ENTRY_FILE}: files are not those of its tasks")
        return _check_tasks(board, folder, name, entry)
    except UserError as error:
        raise RefusedEntry(" ".join(str(error).splitlines())) from error


def _read_entry(folder: Path, name: str) -> Entry:
    entry, document = parse_entry(folder, name)
    if entry.fingerprint != fingerprint_of(document):
        raise RefusedEntry(f"{ENTRY_FILE} is not as it was made: change it with mlbench leaderboard add --name {name}")
    return entry


def parse_entry(folder: Path, name: str) -> tuple[Entry, dict[str, object]]:
    """Read the entry in a folder, which somebody may have edited since it was made; raises `RefusedEntry`.

    Returns what it says, and the same as plain JSON.
    """
    document = read_plain(ENTRY_FILE, read_regular(folder / ENTRY_FILE, _LARGEST_ENTRY))
    entry = validate(ENTRY_FILE, document, Entry)
    said = [entry.title, entry.summary, entry.licence or "", entry.source or ""]
    if any(" ".join(text.split()) != text for text in said):
        raise RefusedEntry(f"{ENTRY_FILE}: a text has blanks at an end, or several in a row")
    if entry.url is not None and not _ADDRESS.fullmatch(entry.url):
        raise RefusedEntry(f"{ENTRY_FILE}: url is no plain https address")
    if entry.name != name:
        raise RefusedEntry(f"{ENTRY_FILE} is that of {entry.name}: a folder has the name of its entry")
    verified = bool(entry.tasks and entry.files) and not entry.reported and entry.source is None
    reported = bool(entry.source and entry.reported) and not entry.tasks and not entry.files
    if not (verified if entry.kind == "verified" else reported):
        raise RefusedEntry(f"{ENTRY_FILE}: a verified entry has tasks and files, a reported one source and reported")
    if list(entry.tasks) != sorted(set(entry.tasks)) or len(entry.tasks) > _MOST_TASKS:
        raise RefusedEntry(f"{ENTRY_FILE}: tasks are not in order, or one is there twice")
    return entry, document


def _check_reported(board: Board, entry: Entry) -> None:
    met = set()
    for reported in entry.reported:
        if (reported.task, reported.aggregation) in met:
            raise RefusedEntry(f"{ENTRY_FILE}: {reported.task} is reported twice")
        met.add((reported.task, reported.aggregation))
        if fault := reported_fault(reported, board.accepted(reported.task)):
            raise RefusedEntry(f"{ENTRY_FILE}: {fault}")


def _check_tasks(board: Board, folder: Path, name: str, entry: Entry) -> CheckedEntry:
    accepted = [board.accepted(task) for task in entry.tasks]
    results = [_read_result(folder, entry, each) for each in accepted]
    alike = [result.retriever.model_dump(exclude=_OF_ONE_RESULT) for result in results]
    if any(each != alike[0] for each in alike):
        raise RefusedEntry("its results are of different retrievers: every entry is one system")
    pairs, found = {}, {}
    for task, result in zip(accepted, results, strict=True):
        pairs[task.task.name], found[task.task.name] = _check_ranks(folder, task, result, entry)
    numbers = sum(each.n_numbers for each in found.values())
    return CheckedEntry(name, entry, pairs, numbers, _identity(entry, found))


def _read_result(folder: Path, entry: Entry, accepted: AcceptedTask) -> Result:
    document, ranks = files_of(accepted.task.name)
    content = read_regular(folder / document, accepted.largest_document)
    if digest(content) != entry.files[document]:
        raise RefusedEntry(f"{document} is not the file that {ENTRY_FILE} names: its SHA-256 is another")
    result = validate(document, read_plain(document, content, accepted.most_values), Result)
    if result.ranks.name != ranks or result.ranks.sha256 != entry.files[ranks]:
        raise RefusedEntry(f"{document} names other ranks than {ranks}, or another SHA-256 than {ENTRY_FILE}")
    if fault := protocol_fault(accepted, result) or claims_fault(result):
        raise RefusedEntry(f"{document}: {fault}")
    return result


@dataclass(frozen=True, eq=False)
class _Found:
    """What the check of a result with its ranks found."""

    n_numbers: int
    counts: Digests


def _check_ranks(
    folder: Path, accepted: AcceptedTask, result: Result, entry: Entry
) -> tuple[tuple[Result, Ranks], _Found]:
    """Return a result with its ranks, and what was found now, or when the two were last checked."""
    task = accepted.task.name
    document, name = files_of(task)
    content = _ranks_content(folder, accepted, entry)
    if (kept := _kept_check(accepted, entry)) is not None:
        return (result, read_ranks(folder / name, accepted.largest)), kept
    ranks = _sound_ranks(folder, content, accepted, result)
    fault = (
        data_fault(accepted, describe(ranks, result.settings))
        or _document_ids_fault(ranks)
        or counts_fault(ranks, result.retriever.kind, ScoreRequest.of_result(result).settings)
        or alignment_fault(ranks)
    )
    if fault:
        raise RefusedEntry(f"{name}: {fault}")
    recomputed = recompute(result, ranks)
    if recomputed.differences:
        more = f" (and {len(recomputed.differences) - 1:,} more)" if len(recomputed.differences) > 1 else ""
        raise RefusedEntry(f"{document}: {recomputed.differences[0]}{more}")
    found = _Found(recomputed.n_numbers, count_digests(ranks))
    _keep_check(accepted, entry, found)
    return (result, ranks), found


def _ranks_content(folder: Path, accepted: AcceptedTask, entry: Entry) -> bytes:
    document, name = files_of(accepted.task.name)
    content = read_regular(folder / name, accepted.largest_file)
    if digest(content) != entry.files[name]:
        raise RefusedEntry(f"{name} is not the ranks file of {document}: its SHA-256 is another")
    return content


def _sound_ranks(folder: Path, content: bytes, accepted: AcceptedTask, result: Result) -> Ranks:
    """Return the ranks in an archive that is as numpy writes it, and as large as those of the task."""
    name = files_of(accepted.task.name)[1]
    try:
        check_archive(content, _arrays(accepted, result), accepted.largest)
        ranks = read_ranks(folder / name, accepted.largest)
        if fault := shape_fault(accepted, ranks):
            raise RefusedEntry(fault)
        with ZipFile(BytesIO(content)) as archive:
            for array, values in arrays_of(ranks).items():
                check_plain(array, archive.read(f"{array}.npy"), values)
    except RefusedEntry as error:
        raise RefusedEntry(f"{name}: {error}") from error
    return ranks


def _kept_check(accepted: AcceptedTask, entry: Entry) -> _Found | None:
    """Return what was found when the files of a task were checked; None where they were not yet."""
    key = _key(accepted, entry)
    try:
        found = json.loads((cache_dir() / CHECKS / _name(accepted, key) / _FOUND).read_bytes())
        # The folder's name has the start of the key alone.
        return _Found(int(found["n_numbers"]), parse(found["counts"])) if found["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _keep_check(accepted: AcceptedTask, entry: Entry, found: _Found) -> None:
    """Keep that the files of a task passed, where the cache folder may be written."""
    key = _key(accepted, entry)
    content = json.dumps({"key": key, "n_numbers": found.n_numbers, "counts": written(found.counts)})
    with suppress(DataError):
        kept_folder(_name(accepted, key), lambda made: _write(made / _FOUND, content), last=_FOUND, kind=CHECKS)


def _write(path: Path, content: str) -> None:
    path.write_text(content)


def _name(accepted: AcceptedTask, key: str) -> str:
    return f"{accepted.task.name}-{key[:16]}"


def _key(accepted: AcceptedTask, entry: Entry) -> str:
    """Return a digest of what was checked: what the board accepts for the task, the result and its ranks.

    Whatever the code of mlbench is part of it, so that another version checks anew.
    """
    files = (entry.files[file] for file in files_of(accepted.task.name))
    return sha256(" ".join((_code(), digest(canonical(accepted.model_dump(mode="json"))), *files)).encode()).hexdigest()


@cache
def _code() -> str:
    """Return a digest of all modules of mlbench."""
    root, digest = Path(mlbench.__file__).parent, sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _arrays(accepted: AcceptedTask, result: Result) -> tuple[str, ...]:
    """Return what the ranks file must hold: also cosines of images and captions, and the scale of grades, if any."""
    has_cosines = result.retriever.kind == "encoder" and result.retriever.similarity == "cosine"
    arrays = PACKED if accepted.is_compact(result.retriever.kind) else ARRAYS
    has = {ALIGNMENT: accepted.has_images and has_cosines, GRADE_SCALE: "grades" in accepted.data}
    return (*arrays, *(name for name, is_there in has.items() if is_there))


def _document_ids_fault(ranks: Ranks) -> str:
    fault = texts_fault(ranks.document_ids.tolist())
    return f"document_ids {fault}" if fault else ""


def check_distinct(checked: CheckedEntry, identities: Identities) -> CheckedEntry:
    """Return an entry with warnings on those that it is nearly the same as; raises `RefusedEntry` for a sameness."""
    warnings: list[str] = []
    for other in identities.others(checked.name):
        if fault := sameness_fault(checked.identity, other):
            raise RefusedEntry(fault)
        warnings += sameness_warnings(checked.identity, other)
    return replace(checked, warnings=tuple(warnings))


def _identity(entry: Entry, found: Mapping[str, _Found]) -> Identity:
    return Identity(entry.name, skeletons(entry.title), {task: each.counts for task, each in found.items()})


def _read_identity(board: Board, name: str) -> Identity | None:
    """Return what tells an entry from others, whose numbers may not have been checked; None for one without."""
    try:
        folder = board.entry_folder(name)
        entry, found = _read_entry(folder, name), {}
        for task in entry.tasks:
            accepted = board.accepted(task)
            kept = _kept_check(accepted, entry)
            if kept is None:
                content = _ranks_content(folder, accepted, entry)
                ranks = _sound_ranks(folder, content, accepted, _read_result(folder, entry, accepted))
                kept = _Found(0, count_digests(ranks))
            found[task] = kept
        return _identity(entry, found)
    except (UserError, KeyError):  # It is refused where it is checked itself.
        return None
