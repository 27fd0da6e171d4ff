"""What a training leaves behind: what it did, its unfinished work, and the model in its folder."""

import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlbench.training.data import TrainingData
from mlbench.training.recipe import Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Losses = tuple[tuple[int, float], ...]

LAST = "modules.json"
"""The file that makes a folder a checkpoint, written after the others."""

_WORK = ".training"


@dataclass(frozen=True, slots=True)
class Outcome:
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


def work_folder(folder: Path, recipe: Recipe, data: TrainingData) -> Path:
    """Make and return where a training to `folder` keeps what it can be resumed from."""
    # Absolute, as the trainer of transformers keeps it in its checkpoints.
    work = folder.absolute() / _WORK / training_fingerprint(recipe, data)[:16]
    work.mkdir(parents=True, exist_ok=True)
    return work


def has_work(folder: Path) -> bool:
    """Say whether an interrupted training to `folder` can be resumed."""
    return (folder / _WORK).is_dir()


def forget_work(folder: Path) -> None:
    """Remove what an interrupted training would be resumed from."""
    shutil.rmtree(folder / _WORK, ignore_errors=True)


def save_model(model: "SentenceTransformer", unfinished: Path, folder: Path) -> None:
    """Save `model` in `folder`, by way of the folder `unfinished`: what makes it a checkpoint comes last."""
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(str(unfinished), create_model_card=False)
    for path in sorted(unfinished.iterdir(), key=lambda path: path.name == LAST):
        target = folder / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    unfinished.rmdir()
