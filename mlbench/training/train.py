"""From a recipe to a checkpoint: all faults at once, then training, then the manifest that says how it was done."""

import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from mlbench.errors import InvalidRecipe, MissingExtra, UserError
from mlbench.io.lock import locked
from mlbench.protocols import SILENCE, Progress, Runtime
from mlbench.provenance import Provenance, read_manifest, read_provenance
from mlbench.results import check_folder
from mlbench.training.data import TrainingData, load_data
from mlbench.training.manifest import (
    Destination,
    TrainingOutcome,
    check_empty,
    describe,
    forget_work,
    training_fingerprint,
    write_manifest,
)
from mlbench.training.recipe import Recipe, check_recipe
from mlbench.training.sampler import BatchStatistics, batch_statistics

_LIBRARIES = ("torch", "transformers", "sentence_transformers", "datasets", "accelerate")
_RUNTIME = Runtime()
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_recipe(
    spec: str,
    changes: Mapping[str, object] | None = None,
    *,
    data_dir: Path | None = None,
    progress: Progress = SILENCE,
) -> tuple[Recipe, TrainingData]:
    """Return a recipe (see `load_recipe`) and its data, checked.

    Raises `InvalidRecipe` with all faults of both at once, `MissingExtra` where a library is missing for a recipe
    without faults of its own, else as `load_recipe` does.
    """
    recipe, faults = check_recipe(spec, changes)
    data = None
    if recipe is not None and is_installed():
        data, found = load_data(recipe, data_dir=data_dir, progress=progress)
        faults += found
    if faults:
        raise InvalidRecipe(spec, list(dict.fromkeys(faults)))
    if recipe is None or data is None:
        raise MissingExtra("train and sweep", "train")
    return recipe, data


def fit(
    recipe: Recipe,
    data: TrainingData,
    destination: Destination,
    *,
    progress: Progress = SILENCE,
    runtime: Runtime = _RUNTIME,
    command: str | None = None,
) -> Provenance:
    """Train as `recipe` says to the checkpoint of `destination`, its manifest last; returns what results say of it.

    A training that was interrupted goes on; one that is finished is returned at once. `command` is what the user
    typed, for the manifest. Raises `UserError` for a folder with another model or files of others, for one that another
    process trains to, for a disk that is full, and as the loops of training do.
    """
    folder = destination.folder
    check_folder(folder)
    with alone_in(folder, "training"):
        try:
            return _fit(recipe, data, destination, progress=progress, runtime=runtime, command=command)
        except Exception as error:
            if not _is_disk_full(error):
                raise
            told = f"there is no room for {folder}: make some, and the same command goes on from what was saved"
            raise UserError(told) from error


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Make and hold `folder`; raises `UserError` where that fails, or another `what`, such as a training, holds it.

    Of the processes of one training, which torch tells apart by `RANK`, the first one does.
    """
    with ExitStack() as held:
        if os.environ.get("RANK", "0") == "0":
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(locked(folder, wait=False))
            except BlockingIOError as error:
                told = f"another {what} is going on in {folder}: wait for its end, or name another folder with --out"
                raise UserError(told) from error
            except OSError as error:
                told = f"cannot write to {folder}: {error.strerror}: name another folder with --out"
                raise UserError(told) from error
        yield


def _fit(
    recipe: Recipe,
    data: TrainingData,
    destination: Destination,
    *,
    progress: Progress,
    runtime: Runtime,
    command: str | None,
) -> Provenance:
    folder = destination.folder
    finished = _find_finished(recipe, data, folder)
    if finished is not None:
        progress.note(f"{folder} holds this training already")
        # It may have been killed right after it was finished.
        forget_work(folder)
        return finished
    begin = time.monotonic()
    trained = _train(recipe, data, destination, progress=progress, runtime=runtime)
    counted = batch_statistics_of(recipe, data, trained.batches, progress=progress if trained.is_main else SILENCE)
    seconds = time.monotonic() - begin
    provenance, manifest = describe(recipe, data, trained, counted, command=command, seconds=seconds)
    if trained.is_main:
        write_manifest(manifest, folder)
        forget_work(folder)
    return provenance


def _find_finished(recipe: Recipe, data: TrainingData, folder: Path) -> Provenance | None:
    """Return what the checkpoint in `folder` says, if this training made it; None where there is none yet.

    Raises `UserError` where there is another model, or something else that is not of this training.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        check_empty(folder, recipe, data)
        return None
    if manifest.get("training_fingerprint") != training_fingerprint(recipe, data):
        other = read_provenance(folder)
        name = f"recipe {other.name}" if other is not None and other.name != recipe.name else "another recipe"
        raise UserError(f"{folder} holds a model of {name}, or of other data: name another folder with --out")
    return read_provenance(folder)


def _is_disk_full(error: Exception) -> bool:
    """Say whether an error, of whatever library, tells that a file cannot grow."""
    # torch tells nothing but that it could not write.
    told = (*map(os.strerror, _FULL), "PytorchStreamWriter failed")
    return getattr(error, "errno", None) in _FULL or any(text in str(error) for text in told)


def batch_statistics_of(
    recipe: Recipe, data: TrainingData, batches: int, *, progress: Progress = SILENCE
) -> BatchStatistics:
    """Return what the first `batches` of a training are; raises as `BatchSampler.batch` does."""
    return batch_statistics(
        data.examples(recipe).sampler,
        batches,
        data.training.indexes,
        languages=recipe.corpora,
        names=[rows.name for rows in data.training.rows],
        progress=progress,
    )


def _train(
    recipe: Recipe, data: TrainingData, destination: Destination, *, progress: Progress, runtime: Runtime
) -> TrainingOutcome:
    if recipe.static is None:
        from mlbench.training.transformer import train_transformer

        return train_transformer(recipe, data, destination, progress=progress, runtime=runtime)
    from mlbench.training.static import train_static

    return train_static(recipe, data, destination, progress=progress, runtime=runtime)


def is_installed() -> bool:
    """Say whether all libraries that training needs are there."""
    return all(find_spec(library) is not None for library in _LIBRARIES)
