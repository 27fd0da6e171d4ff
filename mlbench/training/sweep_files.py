"""Where the points of a sweep lie, and which are done."""

from dataclasses import dataclass, field
from pathlib import Path

from mlbench.protocols import Runtime
from mlbench.provenance import Provenance, read_provenance
from mlbench.result_files import read_result
from mlbench.tasks import Task
from mlbench.training.sweep_plan import PlannedPoint


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a sweep works and with what: `tasks` are names, files or folders, `out` the folder of all its files.

    `command` is what the user typed, for the manifests and results.
    """

    tasks: tuple[str, ...]
    out: Path
    data_dir: Path | None = None
    runtime: Runtime = field(default_factory=Runtime)
    command: str | None = None

    def checkpoint(self, point: PlannedPoint) -> Path:
        """Return the folder of a point's model."""
        return self.out / "checkpoints" / point.folder

    def results(self, point: PlannedPoint) -> Path:
        """Return the folder of a point's results."""
        return self.out / "results" / point.folder

    def made(self, point: PlannedPoint) -> Provenance | None:
        """Return how the model of a point was made, None where it is not finished."""
        made = read_provenance(self.checkpoint(point))
        return made if made is not None and made.recipe_fingerprint == point.recipe.fingerprint() else None

    def result(self, point: PlannedPoint, task: Task, made: Provenance) -> Path | None:
        """Return the result of a model that was so made, on the whole of a task; None where there is none."""
        for path in sorted(self.results(point).glob("*.json")):
            result = read_result(path)
            measured, ranks = result.task, path.parent / result.ranks.name
            whole = not measured.partial and measured.limit is None and ranks.is_file()
            same = (measured.name, measured.version) == (task.name, task.version)
            if whole and same and result.retriever.training == made:
                return path
        return None

    def is_done(self, point: PlannedPoint, tasks: tuple[Task, ...]) -> bool:
        """Say whether a point is trained, and measured on all tasks."""
        made = self.made(point)
        return made is not None and all(self.result(point, task, made) for task in tasks)
