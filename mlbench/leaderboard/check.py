"""Checks whether an entry may stand on the board, cheap and bounded checks first."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from mlbench.embeddings.commitment import ARRAYS as COMMITTED
from mlbench.embeddings.commitment import DIRECTIONS, read_commitment
from mlbench.errors import RefusedEntry, UserError
from mlbench.evaluation.verify import recompute
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check_files import (
    LARGEST_COMPACT_RANKS,
    LARGEST_ENTRY,
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
from mlbench.leaderboard.distinct import Digests, Identity, count_digests, sameness_fault, sameness_warnings
from mlbench.leaderboard.entries import ENTRY_FILE, LONGEST_NAME, Entry, files_of, fingerprint_of, vectors_of
from mlbench.leaderboard.kept import kept_arrays
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
from mlbench.results import Result, VectorsFile, digest, read_result
from mlbench.statistics.cluster_scores import ScoreRequest

_MOST_TASKS = 50
# What a result says of its retriever that the next result of the same one may not.
_OF_ONE_RESULT: dict[str, bool | set[str]] = {"spec": True, "name": True, "repeatability": True, "registry": {"seen"}}
_ADDRESS = re.compile(r"https://([a-z0-9-]+\.)+[a-z]{2,}(/[A-Za-z0-9._~%?=&#+:@/-]*)?")


@dataclass(frozen=True, eq=False)
class CheckedEntry:
    """An entry that passed, the folder of its files, and what the board accepts for each of its tasks.

    `n_numbers` were recomputed from the ranks. A reported entry has none, and no tasks. `warnings` are sentences on
    what a reader must look at.
    """

    name: str
    entry: Entry
    folder: Path
    accepted: Mapping[str, AcceptedTask]
    n_numbers: int
    warnings: tuple[str, ...] = ()

    def result(self, task: str) -> Result:
        """Read the result of a task."""
        return read_result(self.folder / files_of(task)[0])

    def ranks(self, task: str) -> Ranks:
        """Read the ranks of a task."""
        return read_ranks(self.folder / files_of(task)[1], self.accepted[task].largest)

    @property
    def pairs(self) -> dict[str, tuple[Result, Ranks]]:
        """Result and ranks of each task, read now."""
        return {task: (self.result(task), self.ranks(task)) for task in self.accepted}


class Identities:
    """What tells the entries of a board apart, each read once, when it is asked for."""

    def __init__(self, board: Board) -> None:
        self._board, self._names = board, board.entry_names()
        self._found: dict[str, Identity | None] = {}

    def others(self, name: str) -> Iterator[Identity]:
        """Yield the identities of all entries but one, in order of their names; without those that cannot be read."""
        for other in self._names:
            if other != name:
                if other not in self._found:
                    self._found[other] = self._read(other)
                if (found := self._found[other]) is not None:
                    yield found

    def _read(self, name: str) -> Identity | None:
        try:
            folder = self._board.entry_folder(name)
            entry = _read_entry(folder, name)
            return _identity(folder, entry, {task: self._board.accepted(task) for task in entry.tasks})
        except (UserError, KeyError):  # It is refused where it is checked itself.
            return None


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
        found = list_folder(folder, 3 * _MOST_TASKS + 1)
        entry = _read_entry(folder, name)
        committed = [file for task in entry.tasks if (file := vectors_of(task)) in entry.files]
        expected = sorted((ENTRY_FILE, *(file for task in entry.tasks for file in files_of(task)), *committed))
        if list(found) != expected:
            other = sorted(set(found) ^ set(expected))[0]
            raise RefusedEntry(f"{other!r:.80} {'is missing' if other in expected else 'does not belong there'}")
        for what, text in (("name", name), ("title", entry.title)):
            if fault := title_fault(text):
                raise RefusedEntry(f"{ENTRY_FILE}: {what} {fault}")
        if entry.kind == "reported":
            _check_reported(board, entry)
            return CheckedEntry(name, entry, folder, {}, 0)
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
    document = read_plain(ENTRY_FILE, read_regular(folder / ENTRY_FILE, LARGEST_ENTRY))
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
    """Check results and ranks of an entry, or that its files are those that were checked before."""
    accepted = {task: board.accepted(task) for task in entry.tasks}
    protocols = (each.content_digest for each in accepted.values())
    parts = (str(sorted(entry.files.items())).encode(), *protocols)
    found = kept_arrays(
        name, parts, lambda: {"n_numbers": np.array(_recompute(folder, entry, list(accepted.values())))}
    )
    for file, stated in entry.files.items():
        if digest(read_regular(folder / file, LARGEST_COMPACT_RANKS)) != stated:
            raise RefusedEntry(f"{file} is not the file that {ENTRY_FILE} names: its SHA-256 is another")
    return CheckedEntry(name, entry, folder, accepted, int(found["n_numbers"]))


def _recompute(folder: Path, entry: Entry, accepted: Sequence[AcceptedTask]) -> int:
    """Return how many numbers of the results of an entry followed from its ranks; all of them did."""
    results = [_read_result(folder, entry, each) for each in accepted]
    alike = [result.retriever.model_dump(exclude=_OF_ONE_RESULT) for result in results]
    if any(each != alike[0] for each in alike):
        raise RefusedEntry("its results are of different retrievers: every entry is one system")
    numbers = 0
    for task, result in zip(accepted, results, strict=True):
        numbers += _check_ranks(folder, task, result)
    return numbers


def _read_result(folder: Path, entry: Entry, accepted: AcceptedTask) -> Result:
    document, ranks = files_of(accepted.task.name)
    content = read_regular(folder / document, accepted.largest_document)
    if digest(content) != entry.files[document]:
        raise RefusedEntry(f"{document} is not the file that {ENTRY_FILE} names: its SHA-256 is another")
    result = validate(document, read_plain(document, content, accepted.most_values), Result)
    if result.ranks.name != ranks or result.ranks.sha256 != entry.files[ranks]:
        raise RefusedEntry(f"{document} names other ranks than {ranks}, or another SHA-256 than {ENTRY_FILE}")
    vectors = vectors_of(accepted.task.name)
    stated = None if result.vectors is None else (result.vectors.name, result.vectors.sha256)
    if stated != ((vectors, entry.files[vectors]) if vectors in entry.files else None):
        raise RefusedEntry(f"{document} names other vectors than {vectors}, or another SHA-256 than {ENTRY_FILE}")
    if fault := protocol_fault(accepted, result) or claims_fault(result):
        raise RefusedEntry(f"{document}: {fault}")
    return result


def _check_ranks(folder: Path, accepted: AcceptedTask, result: Result) -> int:
    """Return how many numbers of a result were recomputed from its ranks; all of them follow."""
    document, name = files_of(accepted.task.name)
    ranks = _sound_ranks(folder, accepted, result)
    fault = (
        data_fault(accepted, describe(ranks, result.settings))
        or _document_ids_fault(ranks)
        or counts_fault(ranks, result.retriever.kind, ScoreRequest.of_result(result).settings)
        or alignment_fault(ranks)
    )
    if fault:
        raise RefusedEntry(f"{name}: {fault}")
    if result.vectors is not None:
        _check_vectors(folder, result.vectors, accepted.n_texts(ranks))
    found = recompute(result, ranks)
    if found.differences:
        more = f" (and {len(found.differences) - 1:,} more)" if len(found.differences) > 1 else ""
        raise RefusedEntry(f"{document}: {found.differences[0]}{more}")
    return found.n_numbers


def _check_vectors(folder: Path, stated: VectorsFile, n_texts: int) -> None:
    """Refuse a commitment that is not one to the vectors of so many texts."""
    largest = (2 * DIRECTIONS + 4) * n_texts + 2**10
    content = read_regular(folder / stated.name, 2 * largest)
    if digest(content) != stated.sha256:
        raise RefusedEntry(f"{stated.name} is not the file that {ENTRY_FILE} names: its SHA-256 is another")
    try:
        check_archive(content, COMMITTED, largest)
        commitment = read_commitment(folder / stated.name, largest)
        with ZipFile(BytesIO(content)) as archive:
            for array in COMMITTED:
                check_plain(array, archive.read(f"{array}.npy"), getattr(commitment, array))
    except RefusedEntry as error:
        raise RefusedEntry(f"{stated.name}: {error}") from error
    if len(commitment.norms) != n_texts:
        raise RefusedEntry(
            f"{stated.name} commits to {len(commitment.norms):,} vectors, the task has {n_texts:,} texts"
        )


def _sound_ranks(folder: Path, accepted: AcceptedTask, result: Result) -> Ranks:
    """Return the ranks of a result from an archive that is as numpy writes it, of arrays as large as the task's."""
    document, name = files_of(accepted.task.name)
    content, arrays = read_regular(folder / name, accepted.largest_file), _arrays(accepted, result)
    if digest(content) != result.ranks.sha256:
        raise RefusedEntry(f"{name} is not the ranks file of {document}: its SHA-256 is another")
    try:
        check_archive(content, arrays, accepted.largest)
        ranks = read_ranks(folder / name, accepted.largest)
        if fault := shape_fault(accepted, ranks):
            raise RefusedEntry(fault)
        with ZipFile(BytesIO(content)) as archive:
            for array, values in arrays_of(ranks).items():
                check_plain(array, archive.read(f"{array}.npy"), values)
    except RefusedEntry as error:
        raise RefusedEntry(f"{name}: {error}") from error
    return ranks


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
    """Return an entry with warnings of those that it is nearly the same as; raises `RefusedEntry` for one of them."""
    own, warnings = _identity(checked.folder, checked.entry, checked.accepted), list[str]()
    for other in identities.others(checked.name):
        if fault := sameness_fault(own, other):
            raise RefusedEntry(fault)
        warnings += sameness_warnings(own, other)
    return replace(checked, warnings=tuple(warnings))


def _identity(folder: Path, entry: Entry, accepted: Mapping[str, AcceptedTask]) -> Identity:
    counts = {task: _counts(folder, entry, each) for task, each in accepted.items()}
    return Identity(entry.name, skeletons(entry.title), counts)


def _counts(folder: Path, entry: Entry, accepted: AcceptedTask) -> Digests:
    """Return the digests of what was counted on a task, by an entry whose numbers may not have been checked."""
    task, files = accepted.task.name, (entry.files[file] for file in files_of(accepted.task.name))
    parts = (b"counts", " ".join(files).encode(), accepted.content_digest)
    found = kept_arrays(
        task,
        parts,
        lambda: {"counts": count_digests(_sound_ranks(folder, accepted, _read_result(folder, entry, accepted)))},
    )
    return found["counts"]
