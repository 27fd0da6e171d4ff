"""What a training leaves behind: the manifest of its checkpoint, its unfinished work, and the model in its folder."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from mlbench.errors import UserError
from mlbench.evaluation.environment import code_commit, describe_environment
from mlbench.io.atomic import write_whole
from mlbench.io.document import json_text
from mlbench.provenance import MANIFEST, SCHEMA_VERSION, Contamination, Provenance, TrainedOn
from mlbench.training.contamination import Findings
from mlbench.training.data import RowSelection, TrainingData
from mlbench.training.index import ABSENT, RowIndex
from mlbench.training.recipe import Recipe
from mlbench.training.sampler import BatchStatistics
from mlbench.version import __version__

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Losses = tuple[tuple[int, float], ...]
# The file that makes a folder a checkpoint.
_LAST = "modules.json"
_WORK = ".training"
# A folder in it belongs to one training.
_OWN = re.compile(r"[0-9a-f]{16}")
Manifest = dict[str, JsonValue]
# A manifest may have 1 MiB.
_MOST_LOSSES = 500


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a training did: `steps` until it ended, `best_step` whose weights were kept.

    `batches` were read by all processes together. `losses` are (step, mean since the one before), `held_out_losses`
    (step, loss on held-out batches), `device` and `threads` those of torch. Of several processes, the one with
    `is_main` writes the checkpoint.
    """

    steps: int
    best_step: int
    batches: int
    stopped_early: bool
    losses: Losses
    held_out_losses: Losses
    device: str
    threads: int
    is_main: bool


def training_fingerprint(recipe: Recipe, data: TrainingData) -> str:
    """Return the SHA-256 (hex) of a recipe, its data, and which rows of these are trained on and held out."""
    parts = [part for part in (data.training, data.held_out) if part is not None]
    contents = [[rows.content for rows in part.rows] for part in parts]
    fingerprint = sha256(json.dumps([recipe.fingerprint(), contents]).encode())
    for part in parts:
        for index in part.indexes:
            # Rows that are left out have a pattern of their own.
            fingerprint.update(np.ascontiguousarray(index.pattern).data)
    return fingerprint.hexdigest()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a training goes: its checkpoint to `folder`; what it can be resumed from to `shared`, else into `folder`.

    Trainings that share a folder differ in nothing but their steps (see `is_prefix_of_longer`): each goes on from the
    one before.
    """

    folder: Path
    shared: Path | None = None

    def work_folder(self, recipe: Recipe, data: TrainingData) -> Path:
        """Make and return the folder for what the training can be resumed from."""
        work = self.shared or self.own_work(recipe, data)
        work.mkdir(parents=True, exist_ok=True)
        return work

    def own_work(self, recipe: Recipe, data: TrainingData) -> Path:
        """Make and return the folder for what this training alone has begun to write."""
        work = _own_work(self.folder, recipe, data)
        work.mkdir(parents=True, exist_ok=True)
        return work


def is_prefix_of_longer(recipe: Recipe) -> bool:
    """Say whether a training of more steps begins with this one: a static one whose rate does not depend on `steps`.

    Where patience may end it, its last step is judged in the longer one as well.
    """
    constant = recipe.optimizer.schedule == "constant" and recipe.optimizer.warmup == 0
    validation = recipe.validation
    judged = validation is None or validation.patience is None or recipe.steps % validation.every == 0
    return recipe.static is not None and constant and judged


def _own_work(folder: Path, recipe: Recipe, data: TrainingData) -> Path:
    # Absolute, as the trainer of transformers keeps it in its checkpoints.
    return folder.absolute() / _WORK / training_fingerprint(recipe, data)[:16]


def check_empty(folder: Path, recipe: Recipe, data: TrainingData) -> None:
    """Raise `UserError` where `folder`, that of a training which begins or goes on, has files of somebody else.

    Hidden files, but for the folder of unfinished work, do no harm.
    """
    work = folder / _WORK
    if work.is_symlink() or (work.exists() and not work.is_dir()):
        raise UserError(f"{work} is not a folder that mlbench made: name another folder with --out")
    if _own_work(folder, recipe, data).is_dir() or not folder.is_dir():
        return
    others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    if _LAST in others:
        raise UserError(f"{folder} holds a model that mlbench did not train: name another folder with --out")
    if others:
        raise UserError(f"{folder} is not empty, it holds {others[0]}: name a new folder with --out")


def forget_work(folder: Path) -> None:
    """Remove what trainings to `folder` would be resumed from, and nothing else."""
    work = folder / _WORK
    if work.is_dir() and not work.is_symlink():
        for path in work.iterdir():
            if _OWN.fullmatch(path.name) and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
        # What others keep there stays.
        with suppress(OSError):
            work.rmdir()


def save_model(model: "SentenceTransformer", work: Path, folder: Path) -> None:
    """Save `model` in `folder`, by way of `work`: what makes it a checkpoint comes last.

    Raises `UserError` where files of the same names are there, which others must have written.
    """
    # What was moved by a run that was killed is no longer in here.
    saved = work / "saved"
    if not saved.is_dir():
        unfinished = work / "model"
        shutil.rmtree(unfinished, ignore_errors=True)
        model.save_pretrained(str(unfinished), create_model_card=False)
        unfinished.rename(saved)
    left = sorted(saved.iterdir(), key=lambda path: (path.name == _LAST, path.name))
    for path in left:
        if os.path.lexists(folder / path.name):
            raise UserError(
                f"{folder / path.name} was not written by this training: move it away, and give the same command again"
            )
    for path in left:
        path.rename(folder / path.name)


def describe(
    recipe: Recipe,
    data: TrainingData,
    trained: TrainingOutcome,
    counted: BatchStatistics,
    *,
    command: str | None,
    seconds: float,
) -> tuple[Provenance, Manifest]:
    """Return what a result keeps of a training, and the whole manifest, which says it as well.

    `seconds` is how long this process took; one that was resumed took longer.
    """
    findings = data.contamination
    provenance = Provenance(
        recipe=recipe.model_dump(mode="json"),
        recipe_fingerprint=recipe.fingerprint(),
        data=tuple(
            TrainedOn(name=rows.name, fingerprint=rows.content, rows=len(rows.index)) for rows in data.training.rows
        ),
        code_version=__version__,
        code_commit=code_commit(),
        seed=recipe.seed,
        steps=trained.steps,
        contamination=None if findings is None else _contamination_of(findings),
    )
    environment = describe_environment(command)
    manifest: Manifest = {
        "schema_version": SCHEMA_VERSION,
        **provenance.model_dump(mode="json"),
        **describe_data(recipe, data),
        "training_fingerprint": training_fingerprint(recipe, data),
        "batches": trained.batches,
        "best_step": trained.best_step,
        "stopped_early": trained.stopped_early,
        "losses": _thinned(trained.losses),
        "held_out_losses": _thinned(trained.held_out_losses),
        "tally": _batch_numbers(counted, recipe),
        "epochs": _epochs(counted),
        "rows_digest": counted.rows_digest,
        "views": {"overlap": recipe.overlap},
        "environment": environment.model_dump(mode="json"),
        "device": trained.device,
        "threads": trained.threads,
        "seconds": round(seconds, 1),
    }
    return provenance, manifest


def describe_data(recipe: Recipe, data: TrainingData) -> Manifest:
    """Return what a manifest says of the rows that are trained on and held out, and of evaluation texts in them."""
    findings = data.contamination
    return {
        "data": _data(data.training),
        "held_out": _data(data.held_out),
        "contamination": None if findings is None else _contamination(findings, recipe),
    }


def write_manifest(manifest: Mapping[str, JsonValue], folder: Path) -> None:
    """Write the manifest into `folder`, whole or not at all; raises `OSError`."""
    write_whole(folder / MANIFEST, json_text(manifest).encode())


def _contamination_of(findings: Findings) -> Contamination:
    return Contamination(
        tasks=_tasks(findings),
        texts=sum(findings.scanned.values()),
        hits=len(findings.hits),
        rows={name: len(numbers) for name, numbers in findings.rows().items()},
    )


def _contamination(findings: Findings, recipe: Recipe) -> JsonValue:
    found: Manifest = json.loads(json.dumps(findings.as_json()))
    return {"tasks": list(_tasks(findings)), "action": recipe.contamination.action, **found}


def _tasks(findings: Findings) -> tuple[str, ...]:
    return tuple(sorted({task for task, _ in findings.evaluated}))


def _data(part: RowSelection | None) -> JsonValue:
    """Return what is told of each data set of a part; `rows` are those it has, `used_rows` those of the part."""
    if part is None:
        return []
    return [
        {
            "name": rows.name,
            "fingerprint": rows.content,
            "rows": len(rows.index),
            "used_rows": _used(index),
            "languages": list(rows.languages),
            "files": [{"path": path, "sha256": digest} for path, digest in rows.source.files],
            **rows.source.credits,
        }
        for rows, index in zip(part.rows, part.indexes, strict=True)
    ]


def _used(index: RowIndex) -> int:
    usable = (index.query_places != ABSENT).any(axis=1) & (index.document_places != ABSENT).any(axis=1)
    return int(usable[index.pattern].sum())


def _batch_numbers(counted: BatchStatistics, recipe: Recipe) -> JsonValue:
    drawn = {kind: zip(recipe.corpora, numbers.tolist(), strict=True) for kind, numbers in counted.drawn.items()}
    return {
        "kinds": dict(counted.kinds),
        "languages": {kind: {tag: n for tag, n in numbers if n} for kind, numbers in drawn.items()},
        "examples": counted.examples,
        "shortened": counted.shortened,
        "missing": counted.missing,
        "refused": counted.refused,
    }


def _epochs(counted: BatchStatistics) -> JsonValue:
    return [asdict(use) | {"epochs": round(use.epochs, 4)} for use in counted.uses]


def _thinned(losses: Losses) -> JsonValue:
    """Return at most some hundred (step, loss): means over stretches where there are more."""
    if not losses:
        return []
    stretches = np.array_split(np.array(losses), min(len(losses), _MOST_LOSSES))
    return [[int(stretch[-1, 0]), float(stretch[:, 1].mean())] for stretch in stretches]
