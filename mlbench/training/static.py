"""Trains static encoders, tables of subword vectors, with a loop of their own: only the rows of a batch are touched."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlbench.errors import UserError
from mlbench.protocols import Progress, Runtime, Silence, Vectors
from mlbench.training.data import TrainingData, used_texts
from mlbench.training.recipe import Recipe
from mlbench.training.static_table import Table, first_vectors
from mlbench.training.tokens import Vocabulary, learn_vocabulary
from mlbench.training.trained import Outcome, save_model, work_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SILENCE = Silence()
_RUNTIME = Runtime()
_LAST = "last.safetensors"
_BEST = "best.safetensors"


@dataclass(frozen=True)
class _Course:
    """How far a training is: what is kept beside the weights, so that it can go on."""

    step: int = 0
    waited: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    losses: tuple[tuple[int, float], ...] = ()
    held_out_losses: tuple[tuple[int, float], ...] = ()

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str | None) -> "_Course":
        """Return what `text` returned; the beginning for None."""
        if text is None:
            return cls()
        course = json.loads(text)
        lists = {key: tuple((int(step), loss) for step, loss in course[key]) for key in ("losses", "held_out_losses")}
        return cls(**(course | lists))


def train_static(
    recipe: Recipe,
    data: TrainingData,
    folder: Path,
    *,
    progress: Progress = _SILENCE,
    runtime: Runtime = _RUNTIME,
) -> Outcome:
    """Train as `recipe` says and save a Sentence Transformers checkpoint in `folder`, its modules.json last.

    A run that was interrupted goes on from what it kept in `.training` of that folder, if recipe and data are the same,
    and gives the same weights to the bit, however many threads there are: one is as fast here. Raises `UserError` for
    a device that cannot be used and where the loss is no number, and as `BatchSampler.batch` and `info_nce` do.
    """
    assert recipe.static is not None
    with _one_thread():
        vocabulary = vocabulary_of(recipe, data, progress)
        work = work_folder(folder, recipe, data)
        vectors = first_vectors(vocabulary.frequencies, vocabulary.n_texts, recipe.static.dim, recipe.seed)
        table = Table(vectors, vocabulary.tokens, recipe.loss, runtime.device)
        course = _Course.parse(table.load(work / _LAST))
        course = _run(recipe, data, table, course, work=work, progress=progress)
        if _with_patience(recipe):
            table.load(work / _BEST)
        if not np.isfinite(table.vectors()).all():
            # The last step of all is judged by nothing else.
            raise UserError(f"the vectors are no numbers after {course.step} steps: lower optimizer.learning_rate")
        save_model(_model(table.vectors(), vocabulary), work / "model", folder)
    return Outcome(
        steps=course.step,
        best_step=course.best_step if _with_patience(recipe) else course.step,
        batches=course.step,
        stopped_early=course.step < recipe.steps,
        losses=course.losses,
        held_out_losses=course.held_out_losses,
        device=table.device,
        threads=1,
        is_main=True,
    )


def _run(
    recipe: Recipe, data: TrainingData, table: Table, course: _Course, *, work: Path, progress: Progress
) -> _Course:
    """Train from where `course` is to the end, keeping the state at every judgment."""
    examples, held_out = data.examples(recipe), data.held_out_examples(recipe)
    every = recipe.validation.every if recipe.validation else max(500, recipe.steps // 10)
    if course.step:
        progress.note(f"goes on after {course.step:,} steps")
    progress.start("train", recipe.steps)
    progress.advance(course.step)
    seen: list[float] = []
    while course.step < recipe.steps and not _is_patience_over(recipe, course):
        seen.append(table.step(examples, course.step, _rate(recipe, course.step)))
        course = replace(course, step=course.step + 1)
        progress.advance(1)
        if course.step % every == 0 or course.step == recipe.steps:
            mean = _checked(float(np.mean(seen)), course.step)
            course = replace(course, losses=(*course.losses, (course.step, mean)))
            seen = []
            if held_out is not None and recipe.validation is not None:
                course = _judged(course, _checked(table.judge(held_out, recipe.validation.batches), course.step))
                progress.note(f"validation loss {course.held_out_losses[-1][1]:.4f} after {course.step} steps")
            if _with_patience(recipe) and course.best_step == course.step:
                table.save(work / _BEST, course.text())
            table.save(work / _LAST, course.text())
    progress.finish()
    return course


def _checked(loss: float, step: int) -> float:
    if not isfinite(loss):
        raise UserError(f"the loss is {loss} after {step} steps: lower optimizer.learning_rate")
    return loss


def _judged(course: _Course, loss: float) -> _Course:
    better = loss < course.best_loss
    return replace(
        course,
        held_out_losses=(*course.held_out_losses, (course.step, loss)),
        best_loss=min(loss, course.best_loss),
        best_step=course.step if better else course.best_step,
        waited=0 if better else course.waited + 1,
    )


def _with_patience(recipe: Recipe) -> bool:
    return recipe.validation is not None and recipe.validation.patience is not None


def _is_patience_over(recipe: Recipe, course: _Course) -> bool:
    patience = recipe.validation.patience if recipe.validation else None
    return patience is not None and course.waited >= patience


def _rate(recipe: Recipe, step: int) -> float:
    """Return the learning rate of a step: rising over the warm-up, then constant or falling to zero in a line."""
    settings = recipe.optimizer
    warmup = settings.warmup * recipe.steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    left = (recipe.steps - step) / (recipe.steps - warmup) if settings.schedule == "linear" else 1.0
    return settings.learning_rate * left


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread, whose sums are the same on any number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def vocabulary_of(recipe: Recipe, data: TrainingData, progress: Progress = _SILENCE) -> Vocabulary:
    """Return the subwords of a static recipe, learned now from the texts it trains on, or earlier from the same."""
    assert recipe.static is not None
    training = list(zip(data.training.rows, used_texts(data.training), strict=True))
    known = {rows.name for rows in data.training.rows}
    also = [rows for rows in data.held_out.rows if rows.name not in known] if data.held_out else []
    return learn_vocabulary(training, also, recipe.static.pieces, progress=progress)


def _model(vectors: Vectors, vocabulary: Vocabulary) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    modules = [StaticEmbedding(vocabulary.tokenizer, embedding_weights=vectors), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="cosine")
