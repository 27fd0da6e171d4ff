"""What an audit found, and what the board may say of an entry: reported, recomputed, audited or failed."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from mlbench.io.document import DocumentPart
from mlbench.leaderboard.claims import moment_fault
from mlbench.leaderboard.entries import Digest, Entry, Name, Phrase

Status = Literal["reported", "recomputed", "audited", "failed audit"]
STATUSES: Mapping[Status, str] = {
    "reported": "A paper reports the numbers; they cannot be recomputed here.",
    "recomputed": "Every number follows from the ranks; nobody has checked yet whether the ranks are the model's own.",
    "audited": "What was drawn after the submission was computed again with the named model, and agrees with the "
    "entry.",
    "failed audit": "What was drawn after the submission was computed again with the named model, and does not agree "
    "with the entry.",
}
"""What each status means, in one sentence."""
SEED = r"^[0-9a-f]{8,128}$"
"""What decides a draw: hexadecimal digits."""
_COLOURS: Mapping[Status, str] = {
    "reported": "#57606a",
    "recomputed": "#0969da",
    "audited": "#1a7f37",
    "failed audit": "#b42318",
}
_BOARD, _CHARACTER, _MARGIN = "leaderboard", 7, 6
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
Fault = Annotated[str, Field(min_length=1, max_length=300)]


class TaskAudit(DocumentPart):
    """What was found in one task; `faults` has a sentence for each thing that does not agree.

    `n_texts` counts queries and documents, `n_drawn` those whose vectors were compared with the commitment, `n_topics`
    the topics whose ranks were compared in all languages, `n_queries` their queries and others that were drawn, and
    `share` is the part of `n_texts` that was encoded or asked again. The errors of vectors are relative to their norms;
    null where there is no commitment, as of a ranker.
    """

    n_texts: int = Field(ge=0)
    n_drawn: int = Field(ge=0)
    n_topics: int = Field(ge=0)
    n_queries: int = Field(ge=0)
    share: float = Field(ge=0, le=1)
    largest_error: float | None = Field(ge=0)
    mean_error: float | None = Field(ge=0)
    faults: tuple[Fault, ...] = ()

    @property
    def summary(self) -> str:
        """What was compared, in one line."""
        vectors = ""
        if self.mean_error is not None:
            vectors = f"{self.n_drawn:,} of {self.n_texts:,} vectors (off by {self.mean_error:.1e} on average) and "
        return f"{vectors}the ranks of {self.n_queries:,} queries agree, {self.share:.1%} of all texts computed again"


class Audit(DocumentPart):
    """The audit of an entry as it was then, which `entry_fingerprint` names.

    `seed` decided what was drawn: the digest of `commit`, which holds the entry, or what the auditor gave, and then
    `commit` is null. `model` is the spec that was opened, `same_fingerprint` says whether it has the fingerprint that
    the results state, which another precision or backend changes. `mlbench` is the version that audited.
    """

    schema_version: Literal[1] = 1
    name: Name
    entry_fingerprint: Digest
    passed: bool
    by: Phrase
    finished_at: str
    seed: Annotated[str, Field(pattern=SEED)]
    commit: Commit | None
    model: Annotated[str, Field(min_length=1, max_length=200)]
    same_fingerprint: bool
    mlbench: Phrase
    tasks: dict[Name, TaskAudit]


def status_of(entry: Entry, audit: Audit | None) -> Status:
    """Return the status of an entry with this audit, None for one that was not audited as it is today."""
    if entry.kind == "reported":
        return "reported"
    if audit is None or audit.entry_fingerprint != entry.fingerprint:
        return "recomputed"
    return "audited" if audit.passed else "failed audit"


def audit_fault(entry: Entry, audit: Audit) -> str:
    """Say why an audit cannot be one of the entry as it is, or nothing."""
    if entry.kind == "reported":
        return "a paper's numbers cannot be audited"
    if sorted(audit.tasks) != list(entry.tasks):
        return "its tasks are not those of the entry"
    if audit.passed == any(task.faults for task in audit.tasks.values()):
        return "it passed with faults, or failed without"
    if audit.commit not in (None, audit.seed):
        return "its seed is not its commit"
    if fault := moment_fault(audit.finished_at, audit.mlbench):
        return f"finished_at {fault}"
    for name, task in audit.tasks.items():
        largest, mean = task.largest_error, task.mean_error
        if max(task.n_drawn, task.n_queries) == 0 or task.n_drawn > task.n_texts:
            return f"{name}: nothing was compared, or more than there is"
        if (largest is None) != (mean is None) or (largest is not None and mean is not None and mean > largest):
            return f"{name}: mean_error is larger than largest_error, or one of the two is missing"
    return ""


def badge(status: Status) -> str:
    """Return an SVG picture of a status, which pages elsewhere can show."""
    left, right = (_CHARACTER * len(text) + 2 * _MARGIN for text in (_BOARD, status))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{_BOARD}: {status}" font-family="sans-serif" font-size="12" fill="#fff">'
        f'<rect width="{left + right}" height="20" rx="3" fill="#424a53"/>'
        f'<rect x="{left}" width="{right}" height="20" rx="3" fill="{_COLOURS[status]}"/>'
        f'<text x="{_MARGIN}" y="14" textLength="{left - 2 * _MARGIN}">{_BOARD}</text>'
        f'<text x="{left + _MARGIN}" y="14" textLength="{right - 2 * _MARGIN}">{status}</text></svg>\n'
    )
