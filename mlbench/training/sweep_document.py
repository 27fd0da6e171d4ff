"""From the files of a sweep to its document."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from mlbench.errors import InternalError
from mlbench.observations import Observation
from mlbench.protocols import Progress
from mlbench.results import Result
from mlbench.sweeps import Arm, Point, Sweep, TaskSweep
from mlbench.tasks import Task
from mlbench.training.arms import compare_arms, observe_result
from mlbench.training.manifest import read_manifest
from mlbench.training.sweep_files import Place
from mlbench.training.sweep_plan import Plan, PlannedPoint
from mlbench.verification import read_pair
from mlbench.version import __version__


def describe_sweep(plan: Plan, place: Place, tasks: Sequence[Task], progress: Progress) -> Sweep:
    """Read every point, all of them done, and compare the arms.

    Raises `InvalidResult` for a damaged result, and `UserError` where two were not measured on the same data.
    """
    paths = {point.folder: [_find(point, place, task) for task in tasks] for point in plan.points}
    progress.start("read results", len(tasks) * len(plan.points))
    compared, models = [], dict[str, str]()
    for number in range(len(tasks)):
        task, found = _compare(plan, {folder: each[number] for folder, each in paths.items()}, progress)
        compared.append(task)
        models = found
    progress.finish()
    manifests = {point.folder: read_manifest(place.checkpoint(point)) or {} for point in plan.points}
    return Sweep(
        mlbench=__version__,
        recipe=plan.recipe.name,
        title=plan.recipe.title,
        settings=dict(plan.settings),
        axes=plan.axes,
        seeds=plan.seeds,
        base=plan.base,
        arms=tuple(_with_confounders(arm, plan, manifests) for arm in plan.arms),
        points=tuple(
            Point(
                arm=point.arm,
                seed=point.recipe.seed,
                recipe_fingerprint=point.recipe.fingerprint(),
                model_fingerprint=models[point.folder],
                steps=_whole(manifests[point.folder], "steps"),
                rows_digest=_text(manifests[point.folder], "rows_digest"),
                checkpoint=place.checkpoint(point).relative_to(place.out).as_posix(),
                results={
                    task.name: path.relative_to(place.out).as_posix()
                    for task, path in zip(tasks, paths[point.folder], strict=True)
                },
            )
            for point in plan.points
        ),
        tasks=tuple(compared),
    )


def _find(point: PlannedPoint, place: Place, task: Task) -> Path:
    made = place.made(point)
    path = None if made is None else place.result(point, task, made)
    if path is None:
        raise InternalError(f"{point.name} has no result on {task.name}")
    return path


def _compare(plan: Plan, paths: Mapping[str, Path], progress: Progress) -> tuple[TaskSweep, dict[str, str]]:
    """Compare all arms on one task; returns the fingerprints of the models as well."""
    observed: dict[str, list[Observation]] = {arm.name: [] for arm in plan.arms}
    models: dict[str, str] = {}
    result: Result | None = None
    for point in plan.points:
        result, ranks = read_pair(paths[point.folder])
        observed[point.arm].append(observe_result(result, ranks))
        models[point.folder] = result.retriever.fingerprint
        progress.advance(1)
    assert result is not None
    return compare_arms(result.task, observed, plan.base), models


def _with_confounders(arm: Arm, plan: Plan, manifests: Mapping[str, Mapping[str, JsonValue]]) -> Arm:
    """Say in what the points of an arm differ from those of the base arm with the same seed, by their manifests."""
    points = {(point.arm, point.recipe.seed): manifests[point.folder] for point in plan.points}
    found: dict[str, None] = {}
    for seed in plan.seeds:
        one, base = points[arm.name, seed], points[plan.base, seed]
        if one.get("views") != base.get("views"):
            found[f"views ({_views(one, base)})"] = None
        if _contents(one) != _contents(base):
            found["data"] = None
        if one.get("steps") != base.get("steps"):
            found["updates"] = None
        # Other views have another digest; that says nothing about the rows.
        elif one.get("rows_digest") != base.get("rows_digest") and one.get("views") == base.get("views"):
            found["rows"] = None
    return arm.model_copy(update={"confounded": tuple(found)})


def _views(manifest: Mapping[str, JsonValue], base: Mapping[str, JsonValue]) -> str:
    one, other = manifest.get("views"), base.get("views")
    if not isinstance(one, dict) or not isinstance(other, dict):
        return "not known"
    keys = dict.fromkeys([*one, *other])
    return ", ".join(
        f"{key} {_number(one.get(key))} instead of {_number(other.get(key))}"
        for key in keys
        if one.get(key) != other.get(key)
    )


def _contents(manifest: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the fingerprints of the data sets by name: files may have changed since a point was trained."""
    data = manifest.get("data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    return {str(entry.get("name")): entry.get("fingerprint") for entry in entries}


def _number(value: JsonValue) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _whole(manifest: Mapping[str, JsonValue], key: str) -> int:
    value = manifest.get(key)
    return value if isinstance(value, int) else 0


def _text(manifest: Mapping[str, JsonValue], key: str) -> str | None:
    value = manifest.get(key)
    return value if isinstance(value, str) else None
