"""Trains and measures the points of a sweep, each once; what was interrupted goes on where it was."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

from mlbench.errors import DataError, InternalError, InvalidRecipe, MissingExtra, UserError
from mlbench.evaluation import measure, open_model
from mlbench.options import Options
from mlbench.protocols import Progress, Silence
from mlbench.result_files import check_folder, write_result
from mlbench.sweeps import Sweep
from mlbench.tasks import load_task
from mlbench.training.contamination import Findings
from mlbench.training.data import TrainingData, load_data
from mlbench.training.fit import fit, is_installed
from mlbench.training.recipe import MODELS, Recipe
from mlbench.training.sweep_document import describe_sweep
from mlbench.training.sweep_files import Place
from mlbench.training.sweep_plan import Plan, PlannedPoint
from mlbench.training.workers import Work, work_through

Note = Callable[[str], None]

_SILENCE = Silence()
# All else in a recipe decides which rows are trained on.
_HOW = {"name", "title", "seed", "steps", "batches", "views", "loss", "optimizer"} | set(MODELS)


def run_sweep(plan: Plan, place: Place, *, jobs: int = 1, progress: Progress = _SILENCE) -> Sweep:
    """Train and measure every point that is not done yet, `jobs` at once, and compare the arms.

    Raises `InvalidRecipe` with the faults of all arms before anything is trained, and `UserError` that names the point
    for one that fails; what was done before is kept.
    """
    tasks = tuple(load_task(task) for task in place.tasks)
    check_folder(place.out)
    left = [point for point in plan.points if not place.is_done(point, tasks)]
    if len(left) < len(plan.points):
        progress.note(f"{len(plan.points) - len(left):,} of {len(plan.points):,} points are done already")
    if left:
        shelf = _open_data(plan.recipe.name, left, place, progress)
        if jobs == 1:
            _do_here(left, place, shelf, progress)
        else:
            _do_in_processes(left, place, shelf, jobs, progress)
    return describe_sweep(plan, place, tasks, progress)


class Shelf:
    """Training data by what decides them, so that points share them; texts are scanned for evaluation texts once."""

    def __init__(self, place: Place, findings: Mapping[str, Findings] | None = None) -> None:
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
                progress=progress if known is None else _SILENCE,
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


def _open_data(name: str, points: Sequence[PlannedPoint], place: Place, progress: Progress) -> Shelf:
    """Return the data of all points; raises all that is wrong with them at once."""
    if not is_installed():
        raise MissingExtra("train and sweep", "train")
    shelf, faults = Shelf(place), dict[str, None]()
    for point in {point.arm: point for point in points}.values():
        try:
            shelf.data(point.recipe, progress)
        except InvalidRecipe as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise InvalidRecipe(name, list(faults))
    return shelf


def _do_here(points: Sequence[PlannedPoint], place: Place, shelf: Shelf, progress: Progress) -> None:
    for number, point in enumerate(points, 1):
        progress.note(f"point {number:,} of {len(points):,}: {point.name}")
        _do(point, place, shelf, progress)


def _do_in_processes(points: Sequence[PlannedPoint], place: Place, shelf: Shelf, jobs: int, progress: Progress) -> None:
    # What every process would do at once is done before, with all cores, and kept.
    _learn_subwords(points, shelf, progress)
    progress.start("points", len(points))
    make_work = partial(_make_work, place, shelf.findings)
    with closing(work_through(make_work, points, processes=jobs, note=progress.note)) as finished:
        for done in finished:
            progress.note(f"done: {done.name}")
            progress.advance(1)
    progress.finish()


def _learn_subwords(points: Sequence[PlannedPoint], shelf: Shelf, progress: Progress) -> None:
    from mlbench.training.image_text import caption_tokenizer
    from mlbench.training.static import vocabulary_of

    learned: set[tuple[int, int]] = set()
    for point in points:
        static, images = point.recipe.static, point.recipe.image_text
        model = static or images
        if model is None or (images is not None and images.checkpoint is not None):
            continue
        data = shelf.data(point.recipe, _SILENCE)
        if (id(data), model.pieces) not in learned:
            learn = vocabulary_of if static is not None else caption_tokenizer
            learn(point.recipe, data, progress)
            learned.add((id(data), model.pieces))


def _make_work(place: Place, findings: Mapping[str, Findings]) -> Work[PlannedPoint]:
    shelf = Shelf(place, findings)

    def work(point: PlannedPoint, note: Note) -> None:
        _do(point, place, shelf, _Warnings(note))

    return work


class _Warnings(Silence):
    """A `Progress` that passes nothing but warnings on."""

    def __init__(self, note: Note) -> None:
        self._note = note

    def note(self, message: str) -> None:
        if message.startswith("warning"):
            self._note(message)


def _do(point: PlannedPoint, place: Place, shelf: Shelf, progress: Progress) -> None:
    """Train and measure a point, as far as that is not done yet; an error of the user's names it."""
    try:
        data = shelf.data(point.recipe, progress)
        folder = place.checkpoint(point)
        fit(point.recipe, data, folder, progress=progress, runtime=place.runtime, command=place.command)
        made = place.made(point)
        if made is None:
            raise InternalError(f"{folder} has no manifest of {point.name} after training")
        missing = [task for task in map(load_task, place.tasks) if not place.result(point, task, made)]
        options = Options(runtime=place.runtime, command=place.command, progress=progress)
        opened = open_model(str(folder), options)
        for task in missing:
            done = measure(opened, task, data_dir=place.data_dir, options=options)
            write_result(done.result, done.ranks, place.results(point))
    except UserError as error:
        raise UserError(f"{point.name}: {error}") from error
