"""Where the parts of a leaderboard lie: accepted tasks, a folder for each entry, and the audits of entries."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mlbench.errors import RefusedEntry, UnknownName, UserError
from mlbench.io.atomic import is_unfinished, write_whole
from mlbench.io.lock import locked
from mlbench.leaderboard.audit import Audit, audit_fault
from mlbench.leaderboard.check_files import (
    LARGEST_AUDIT,
    LARGEST_ENTRY,
    LARGEST_TASK,
    MOST_TASK_VALUES,
    canonical,
    read_plain,
    read_regular,
    validate,
)
from mlbench.leaderboard.entries import ENTRY_FILE, LONGEST_NAME, Entry, is_name
from mlbench.leaderboard.protocol import AcceptedTask
from mlbench.tasks.benchmark import benchmark_names

DEFAULT_FOLDER = Path("leaderboard")


@dataclass(frozen=True, slots=True)
class Board:
    """A leaderboard's folder, with `tasks/TASK.json`, `entries/NAME/` and `audits/NAME.json`."""

    folder: Path = DEFAULT_FOLDER

    @property
    def entries(self) -> Path:
        """The folder of the entries."""
        return self.folder / "entries"

    def entry_folder(self, name: str) -> Path:
        """Return the folder of an entry; raises `UserError` for what is no name of one."""
        _check_name(name, "an entry")
        return self.entries / name

    def entry_names(self) -> tuple[str, ...]:
        """Return the sorted names of all that lies where entries do, whatever it is; none for a new board.

        What a process is writing now, or was when it was killed, is not there yet. Raises `UserError` where there is no
        board.
        """
        if not self.folder.is_dir():
            raise UserError(f"there is no leaderboard in {self.folder}: name its folder with --board")
        return _names_in(self.entries)

    def has_part(self, folder: Path) -> bool:
        """Say whether a folder is that of the board, or one in which it has files."""
        parts = (self.folder / name for name in ("tasks", "entries", "audits"))
        place = folder.resolve()
        return place == self.folder.resolve() or any(place.is_relative_to(part.resolve()) for part in parts)

    def audit_path(self, name: str) -> Path:
        """Return where the audit of an entry is, or would be; raises `UserError` for what is no name of one."""
        return self.folder / "audits" / f"{self.entry_folder(name).name}.json"

    def audit(self, name: str) -> Audit | None:
        """Return the audit of an entry; None where there is none, or it was of what the entry was before.

        Raises `RefusedEntry` for files that cannot be read, and for an audit that cannot be one of the entry.
        """
        path, entry = self.audit_path(name), self.entry_folder(name) / ENTRY_FILE
        if not path.exists():
            return None
        shown = f"audits/{path.name}"
        audit = validate(shown, read_plain(shown, read_regular(path, LARGEST_AUDIT)), Audit)
        today = validate(ENTRY_FILE, read_plain(ENTRY_FILE, read_regular(entry, LARGEST_ENTRY)), Entry)
        if audit.name != name:
            raise RefusedEntry(f"{shown} is the audit of {audit.name}")
        if audit.entry_fingerprint != today.fingerprint:
            return None
        if fault := audit_fault(today, audit):
            raise RefusedEntry(f"{shown}: {fault}")
        return audit

    def stray_audits(self) -> tuple[str, ...]:
        """Return the sorted names of what lies among the audits and is of no entry."""
        names, found = set(self.entry_names()), _names_in(self.folder / "audits")
        return tuple(file for file in found if file.removesuffix(".json") not in names or not file.endswith(".json"))

    def keep_audit(self, audit: Audit) -> Path:
        """Write an audit in place of an older one of the same entry, and return where."""
        path = self.audit_path(audit.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, canonical(audit.model_dump(mode="json")))
        return path

    def task_path(self, task: str) -> Path:
        """Return where the accepted data and protocol of a task are, or would be."""
        return self.folder / "tasks" / f"{task}.json"

    def task_names(self) -> tuple[str, ...]:
        """Return the sorted names of the tasks that the board accepts."""
        return tuple(sorted(path.stem for path in self.task_path("*").parent.glob("*.json")))

    def accepted(self, task: str) -> AcceptedTask:
        """Return what the board accepts for a task; raises `UnknownName` for a task that it does not take."""
        if task not in self.task_names():
            raise UnknownName("task of the leaderboard", task, self.task_names())
        path = self.task_path(task)
        return _accepted(path.name, read_regular(path, LARGEST_TASK))

    def take(self, accepted: AcceptedTask, *, replace: bool = False) -> Path:
        """Write what the board accepts for a task, and return where; the folder is made where there is none.

        Raises `UserError` where something else is accepted for it, unless that is to be replaced, and for a task whose
        name is none for an entry, or that of a benchmark, which has a ranking of its own.
        """
        _check_name(accepted.task.name, "a task of a leaderboard")
        if accepted.task.name in benchmark_names():
            raise UserError(f"{accepted.task.name} is the name of a benchmark: give the task another")
        path = self.task_path(accepted.task.name)
        content = canonical(accepted.model_dump(mode="json"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            if path.exists() and path.read_bytes() != content and not replace:
                raise UserError(
                    f"{path} accepts other data or another protocol: with --replace, entries may be refused"
                )
            write_whole(path, content)
        return path


def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(each.name for each in folder.iterdir() if not is_unfinished(each))) if folder.is_dir() else ()


def _check_name(name: str, what: str) -> None:
    if not is_name(name):
        raise UserError(
            f"{name!r:.80} is no name for {what}: write small letters and digits, with single dots and hyphens between "
            f"them, at most {LONGEST_NAME} in all, and no name that systems or the site keep, such as con or index"
        )


@lru_cache(maxsize=64)
def _accepted(name: str, content: bytes) -> AcceptedTask:
    """Return what a file accepts for a task, of which many entries ask."""
    return validate(name, read_plain(name, content, MOST_TASK_VALUES), AcceptedTask)
