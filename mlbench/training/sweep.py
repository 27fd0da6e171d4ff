"""Trains and measures the points of a sweep, each once; what was interrupted goes on where it was."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import rmtree

from pydantic import JsonValue

from mlbench.compare.pairing import judges_differ
from mlbench.compare.sweep import Arm, Point, Sweep, TaskSweep, cluster_scores_of, compare_arms
from mlbench.errors import DataError, EngineError, InternalError, InvalidRecipe, MissingExtra, UserError
from mlbench.evaluation.distributed.local import LocalProcesses
from mlbench.evaluation.evaluate import measure
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import read_pair
from mlbench.protocols import SILENCE, Progress, Silence
from mlbench.provenance import read_manifest
from mlbench.results import Result, check_folder
from mlbench.statistics.cluster_scores import ClusterScores
from mlbench.tasks.task import Task, load_task
from mlbench.training.contamination import Findings
from mlbench.training.data import TrainingData, load_data
from mlbench.training.manifest import Destination, is_prefix_of_longer
from mlbench.training.recipe import MODELS, Recipe
from mlbench.training.sweep_plan import Chain, Plan, PlannedPoint, SweepFolder, chains, compared_pairs
from mlbench.training.train import alone_in, fit, is_installed
from mlbench.version import __version__

# All else in a recipe decides which rows are trained on.
_HOW = {"name", "title", "seed", "steps", "batches", "views", "loss", "optimizer"} | set(MODELS)


class TrainingDataCache:
    """Training data by what decides them, so that points share them; texts are scanned for evaluation texts once."""

    def __init__(self, place: SweepFolder, findings: Mapping[str, Findings] | None = None) -> None:
        self._place = place
        self._data: dict[str, TrainingData] = {}
        self.findings = dict(findings or {})

    def data(self, recipe: Recipe, progress: Progress) -> TrainingData:
        """Return the data of a recipe; raises `InvalidRecipe` with all that is wrong with them."""
        key, texts = recipe.model_dump_json(exclude=_HOW), recipe.model_dump_json(include={"datasets", "contamination"})
        if key not in self._data:
            known = self.findings.get(texts)
            data, faults = load_data(
                recipe,
                data_dir=self._place.data_dir,
                progress=progress if known is None else SILENCE,
                findings=known,
            )
            if data is not None and data.contamination is not None:
                self.findings[texts] = data.contamination
            if data is None or faults:
                raise InvalidRecipe(recipe.name, faults)
            self._data[key] = data
        try:
            self._data[key].examples(recipe)
        except DataError as error:
            raise InvalidRecipe(recipe.name, [f"batches: {error}"]) from error
        return self._data[key]


def run_sweep(plan: Plan, place: SweepFolder, *, jobs: int = 1, progress: Progress = SILENCE) -> Sweep:
    """Train and measure every point that is not done yet, `jobs` at once, and compare the arms.

    Raises `InvalidRecipe` with the faults of all arms before anything is trained, and `UserError` that names the point
    for one that fails, or for a folder that another sweep works in; what was done before is kept.
    """
    tasks = tuple(load_task(task) for task in place.tasks)
    check_folder(place.out)
    left = [point for point in plan.points if not place.is_done(point, tasks)]
    if len(left) < len(plan.points):
        progress.note(f"{len(plan.points) - len(left):,} of {len(plan.points):,} points are done already")
    if left:
        shelf = _open_data(plan.recipe.name, left, place, progress)
        with alone_in(place.out, "sweep"):
            if jobs == 1:
                _do_here(left, place, shelf, progress)
            else:
                _do_in_processes(left, place, shelf, jobs, progress)
    return describe_sweep(plan, place, tasks, progress)


def _open_data(name: str, points: Sequence[PlannedPoint], place: SweepFolder, progress: Progress) -> TrainingDataCache:
    """Return the data of all points; raises all that is wrong with them at once."""
    if not is_installed():
        raise MissingExtra("train and sweep", "train")
    shelf, faults = TrainingDataCache(place), dict[str, None]()
    for point in {point.arm: point for point in points}.values():
        try:
            shelf.data(point.recipe, progress)
        except InvalidRecipe as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise InvalidRecipe(name, list(faults))
    return shelf


def _do_here(points: Sequence[PlannedPoint], place: SweepFolder, shelf: TrainingDataCache, progress: Progress) -> None:
    done = 0
    for chain in chains(points):
        for point in chain.points:
            done += 1
            progress.note(f"point {done:,} of {len(points):,}: {point.name}")
            _do(point, place, shelf, progress)
        _forget_shared(chain, place)


def _do_in_processes(
    points: Sequence[PlannedPoint], place: SweepFolder, shelf: TrainingDataCache, jobs: int, progress: Progress
) -> None:
    # What every process would do at once is done before, with all cores, and kept.
    _learn_subwords(points, shelf, progress)
    progress.start("points", len(points))
    # No point is trained twice at once: both trainings would write the same files.
    engine = LocalProcesses(jobs, [{}] * jobs, progress.note, overtakes=False)
    try:
        groups = chains(points)
        for number, warnings in engine.map(partial(_make_work, place, shelf.findings), groups):
            for message in (*warnings, *(f"done: {point.name}" for point in groups[number].points)):
                progress.note(message)
            progress.advance(len(groups[number].points))
    except EngineError as error:
        raise EngineError(str(error).replace("--workers", "--jobs")) from error
    progress.finish()


def _learn_subwords(points: Sequence[PlannedPoint], shelf: TrainingDataCache, progress: Progress) -> None:
    from mlbench.training.image_text import caption_tokenizer
    from mlbench.training.static import vocabulary_of

    learned: set[tuple[int, int]] = set()
    for point in points:
        static, images = point.recipe.static, point.recipe.image_text
        model = static or images
        if model is None or (images is not None and not images.is_new):
            continue
        data = shelf.data(point.recipe, SILENCE)
        if (id(data), model.pieces) not in learned:
            learn = vocabulary_of if static is not None else caption_tokenizer
            learn(point.recipe, data, progress)
            learned.add((id(data), model.pieces))


def _make_work(place: SweepFolder, findings: Mapping[str, Findings]) -> Callable[[Chain], list[str]]:
    """Return what trains and measures points in a process of its own, and returns the warnings of that."""
    shelf = TrainingDataCache(place, findings)

    def work(chain: Chain) -> list[str]:
        heard = _Warnings()
        for point in chain.points:
            _do(point, place, shelf, heard)
        _forget_shared(chain, place)
        return heard.messages

    return work


class _Warnings(Silence):
    """A `Progress` that keeps nothing but warnings."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def note(self, message: str) -> None:
        if message.startswith("warning"):
            self.messages.append(message)


def _do(point: PlannedPoint, place: SweepFolder, shelf: TrainingDataCache, progress: Progress) -> None:
    """Train and measure a point, as far as that is not done yet; an error of the user's names it."""
    try:
        data = shelf.data(point.recipe, progress)
        folder = place.checkpoint(point)
        shared = place.shared_work(point) if is_prefix_of_longer(point.recipe) else None
        fit(
            point.recipe,
            data,
            Destination(folder, shared),
            progress=progress,
            runtime=place.runtime,
            command=place.command,
        )
        made = place.made(point)
        if made is None:
            raise InternalError(f"{folder} has no manifest of {point.name} after training")
        missing = [task for task in map(load_task, place.tasks) if not place.result(point, task, made)]
        options = Options(
            settings=place.model_settings,
            runtime=place.runtime,
            command=place.command,
            progress=progress,
            clipscore_model=place.clipscore_model if missing else None,
        )
        options = replace(options, clipscore_model=options.open_judge())
        opened = options.open_model(str(folder))
        for task in missing:
            done = measure(opened, task, data_dir=place.data_dir, options=options)
            done.save(place.results(point))
    except UserError as error:
        raise UserError(f"{point.name}: {error}") from error


def _forget_shared(chain: Chain, place: SweepFolder) -> None:
    """Remove the state that the trainings of a chain went on from, once all are done."""
    rmtree(place.shared_work(chain.points[0]), ignore_errors=True)


def describe_sweep(plan: Plan, place: SweepFolder, tasks: Sequence[Task], progress: Progress) -> Sweep:
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


def _find(point: PlannedPoint, place: SweepFolder, task: Task) -> Path:
    made = place.made(point)
    path = None if made is None else place.result(point, task, made)
    if path is None:
        raise InternalError(f"{point.name} has no result on {task.name}")
    return path


def _compare(plan: Plan, paths: Mapping[str, Path], progress: Progress) -> tuple[TaskSweep, dict[str, str]]:
    """Compare all arms on one task; returns the fingerprints of the models as well."""
    scores: dict[str, list[ClusterScores]] = {arm.name: [] for arm in plan.arms}
    models: dict[str, str] = {}
    result: Result | None = None
    for point in plan.points:
        before, (result, ranks) = result, read_pair(paths[point.folder])
        if before is not None and (reason := judges_differ(before, result)):
            raise UserError(f"{point.name}: {reason}")
        scores[point.arm].append(cluster_scores_of(result, ranks))
        models[point.folder] = result.retriever.fingerprint
        progress.advance(1)
    assert result is not None
    return compare_arms(result.task, scores, plan.base, others=compared_pairs(plan)), models


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
