"""The comparison document: what a candidate differs by from its base on each task, and which gate lines it fails."""

from typing import Final, Literal

from pydantic import computed_field

from mlbench.compare.gate import Gate, Rule
from mlbench.io.document import DocumentPart
from mlbench.results import Bounds
from mlbench.statistics.differences import Subject
from mlbench.statistics.paired_tests import PairedTests

SCHEMA_VERSION: Final = "2.0"
Verdict = Literal["better", "not_significant", "cannot_tell", "worse"]


class ComparedSystem(DocumentPart):
    """One side of a comparison: a retriever, or the training seeds of one recipe.

    `spec` is what the first is called, by its name or else its spec; `fingerprints` and `files` (names, without
    folders) are those of each seed.
    """

    spec: str
    fingerprints: tuple[str, ...]
    files: tuple[str, ...]


class Check(DocumentPart):
    """One line of the gate.

    `allowed` is the largest drop (or rise, of what is better when lower or nearer to an ideal) for a rule, the bound
    for a floor or a ceiling. `p` is one-sided against a candidate that is worse by more than is allowed, adjusted over
    all drops and rises of the gate; null where nothing was tested. `detectable` is the smallest worsening that this
    line would have found four times of five. `can_tell` is false where so few clusters of topics, or flips, leave only
    one outcome possible. `reason` says in one line why it passed or failed.
    """

    task: str
    rule: Rule | Literal["floor", "ceiling", "required"]
    subject: Subject | None
    allowed: float | None
    base: float | None
    candidate: float | None
    difference: float | None
    interval: Bounds | None
    p: float | None
    detectable: float | None
    passed: bool
    can_tell: bool = True
    reason: str


class TaskComparison(DocumentPart):
    """One task on which both sides were measured; `languages` are those compared, `shared_only` says that not all are.

    `verdicts` are those of `tests.lines`, in their order: `cannot_tell` where no p-value of so few clusters or flips
    reaches the level, null where nothing was tested.
    """

    task: str
    version: str
    fingerprint: str
    languages: tuple[str, ...]
    shared_only: bool
    limit: int | None
    base: ComparedSystem
    candidate: ComparedSystem
    tests: PairedTests
    verdicts: tuple[Verdict | None, ...]
    checks: tuple[Check, ...]


class Comparison(DocumentPart):
    """All tasks of a comparison under one gate; `checks` are those that belong to no compared task.

    `uncompared` names tasks that only one side has.
    """

    schema_version: Literal["2.0"] = SCHEMA_VERSION
    mlbench: str
    gate: Gate
    tasks: tuple[TaskComparison, ...]
    uncompared: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def every_check(self) -> tuple[Check, ...]:
        """All lines of the gate, those of no task last."""
        return (*(check for task in self.tasks for check in task.checks), *self.checks)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether no line of the gate failed."""
        return all(check.passed for check in self.every_check)
