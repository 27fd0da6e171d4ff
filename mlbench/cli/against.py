"""`mlbench run --against BASE`: what was measured just now, compared with its base."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.errors import UserError
from mlbench.regression.comparison import Options, compare_systems
from mlbench.regression.document import Comparison
from mlbench.regression.gate import Gate, load_gate
from mlbench.regression.pairing import why_incomparable
from mlbench.regression.sources import Side, find_side, read_side
from mlbench.tasks import Task

_CANDIDATE = "this run"


@dataclass(frozen=True)
class Against:
    """A base that was read before anything is measured, since a run may write over it, and the gate."""

    base: Side
    gate: Gate

    def compare(self, paths: Sequence[Path], *, resamples: int, seed: int) -> Comparison:
        """Compare the results that a run has written."""
        options = Options(resamples=resamples, seed=seed)
        return compare_systems(self.base, read_side(_CANDIDATE, paths), self.gate, options)


def open_against(
    base: str, gate: Path | None, tasks: Sequence[Task], *, languages: Sequence[str] | None, limit: int | None
) -> Against:
    """Read the base of a run of these tasks.

    Raises `UserError` where it can be told before the run that the two could not be compared.
    """
    against = Against(find_side(base), load_gate(gate))
    known = against.base.by_task
    if not any(task.name in known for task in tasks):
        raise UserError(f"--against {base}: it has {', '.join(known)}, and none of the tasks of this run")
    for task in tasks:
        for measured in known.get(task.name, ())[:1]:
            stated = measured.result.task
            expected = stated.model_copy(
                update={
                    "version": task.version,
                    "limit": limit,
                    "languages": task.languages if languages is None else tuple(sorted(set(languages))),
                    "measures": task.measures,
                    "primary_measure": task.primary_measure,
                }
            )
            if reason := why_incomparable(stated, expected, frozenset(stated.languages)):
                raise UserError(f"--against {base}: {task.name} could not be compared: {reason}")
    return against
