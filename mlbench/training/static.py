"""Trains static encoders, tables of subword vectors, with a loop of their own: only the rows of a batch are touched."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from mlbench.errors import UserError
from mlbench.protocols import Progress, Runtime, Silence, Vectors
from mlbench.training.data import TrainingData, used_texts
from mlbench.training.examples import Examples
from mlbench.training.index import ABSENT, Ints
from mlbench.training.losses import info_nce
from mlbench.training.recipe import Recipe
from mlbench.training.tokens import Vocabulary, learn_vocabulary
from mlbench.training.trained import Trained, save_model, work_folder
from mlbench.training.views import Floats

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

_SILENCE = Silence()
_RUNTIME = Runtime()
_BETAS = (0.9, 0.999)


@dataclass(frozen=True)
class _Course:
    """How far a training is: what is kept beside the weights, so that it can go on."""

    step: int = 0
    waited: int = 0
    best_step: int = 0
    best_loss: float = float("inf")
    losses: tuple[tuple[int, float], ...] = ()
    held_out_losses: tuple[tuple[int, float], ...] = ()


def train_static(
    recipe: Recipe,
    data: TrainingData,
    folder: Path,
    *,
    progress: Progress = _SILENCE,
    runtime: Runtime = _RUNTIME,
) -> Trained:
    """Train as `recipe` says and save a Sentence Transformers checkpoint in `folder`, its modules.json last.

    A run that was interrupted goes on from what it kept in `.training` of that folder, if recipe and data are the same,
    and gives the same weights to the bit, however many threads there are: one is as fast here. Raises `UserError` for
    a device that cannot be used and where the loss is no number, and as `BatchSampler.batch` and `info_nce` do.
    """
    with _one_thread():
        vocabulary = vocabulary_of(recipe, data, progress)
        work = work_folder(folder, recipe, data)
        table = _Table(recipe, vocabulary, runtime.device)
        course = table.load(work) or _Course()
        course = _run(recipe, data, table, course, work=work, progress=progress)
        if _with_patience(recipe):
            table.load(work, "best")
        save_model(_model(table.vectors(), vocabulary), work / "model", folder)
    return Trained(
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


def first_vectors(pieces: int, dim: int, seed: int) -> Vectors:
    """Return the table that training starts from, float32 (pieces, dim): independent normal values of variance 1/dim.

    Texts that share subwords are then near each other before anything is learned.
    """
    random = np.random.RandomState(seed)
    vectors: Vectors = (random.standard_normal((pieces, dim)) / np.sqrt(dim)).astype(np.float32)
    return vectors


class _Table:
    """The vectors of the subwords with their optimizer."""

    def __init__(self, recipe: Recipe, vocabulary: Vocabulary, device: str | None) -> None:
        import torch

        assert recipe.static is not None
        self._recipe = recipe
        self._tokens = vocabulary.tokens
        size = vocabulary.tokenizer.get_vocab_size()
        vectors = torch.from_numpy(first_vectors(size, recipe.static.dim, recipe.seed))
        self.device = device or "cpu"
        try:
            self._weight = torch.nn.Parameter(vectors.to(self.device))
        except (RuntimeError, AssertionError) as error:
            raise UserError(f"device {device} cannot be used: {str(error).splitlines()[0]}") from error
        self._optimizer = torch.optim.SparseAdam([self._weight], lr=recipe.optimizer.learning_rate, betas=_BETAS)

    def vectors(self) -> Vectors:
        """Return the table as it is, float32 (pieces, dim)."""
        return np.asarray(self._weight.detach().cpu(), np.float32)

    def step(self, examples: Examples, number: int, rate: float) -> float:
        """Learn from batch `number` and return its loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss(examples, number)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def judge(self, examples: Examples, batches: int) -> float:
        """Return the mean loss over the first batches."""
        import torch

        with torch.no_grad():
            return float(np.mean([float(self._loss(examples, number)) for number in range(batches)]))

    def _loss(self, examples: Examples, number: int) -> "torch.Tensor":
        batch = examples.sampler.batch(number)
        rows, index = examples.rows[batch.dataset], examples.index(batch.dataset)
        numbers = index.query_texts(batch.rows, batch.query_languages)
        queries = self._embed(rows.name, numbers, batch.query_spans)
        numbers = index.document_texts(batch.rows, batch.document_languages)
        documents = self._embed(rows.name, numbers, batch.document_spans)
        found = np.flatnonzero(batch.negatives != ABSENT)
        negatives = self._embed(rows.name, batch.negatives[found], batch.document_spans[found]) if len(found) else None
        return info_nce(
            queries,
            documents,
            negatives,
            temperature=self._recipe.loss.temperature,
            negatives_kind=self._recipe.loss.negatives,
            symmetric=self._recipe.loss.symmetric,
        )

    def _embed(self, name: str, numbers: Ints, spans: Floats) -> "torch.Tensor":
        import torch

        ids, offsets = self._tokens[name].bags(numbers, spans)
        device = self._weight.device
        return torch.nn.functional.embedding_bag(
            torch.from_numpy(ids).to(device),
            self._weight,
            torch.from_numpy(offsets).to(device),
            mode="sum",
            sparse=True,
        )

    def save(self, work: Path, name: str, course: _Course) -> None:
        """Keep weights and optimizer in one file that appears whole."""
        from safetensors.torch import save_file

        state = self._optimizer.state[self._weight]
        tensors = {"weight": self._weight.detach(), "first": state["exp_avg"], "second": state["exp_avg_sq"]}
        unfinished = work / f".{token_hex(8)}.tmp"
        steps = str(int(state["step"]))
        save_file(tensors, unfinished, metadata={"course": json.dumps(asdict(course)), "optimizer_steps": steps})
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(work / f"{name}.safetensors")

    def load(self, work: Path, name: str = "last") -> _Course | None:
        """Take up what was kept; None where nothing usable is."""
        import torch

        try:
            with safe_open(work / f"{name}.safetensors", framework="pt") as file:
                metadata = file.metadata()
                course = json.loads(metadata["course"])
                tensors = {key: file.get_tensor(key) for key in ("weight", "first", "second")}
        except (OSError, SafetensorError):
            return None
        with torch.no_grad():
            self._weight.copy_(tensors["weight"])
        self._optimizer.state[self._weight] = {
            "step": int(metadata["optimizer_steps"]),
            "exp_avg": tensors["first"].to(self._weight.device),
            "exp_avg_sq": tensors["second"].to(self._weight.device),
        }
        lists = {key: tuple((int(step), loss) for step, loss in course[key]) for key in ("losses", "held_out_losses")}
        return _Course(**(course | lists))


def _run(
    recipe: Recipe, data: TrainingData, table: _Table, course: _Course, *, work: Path, progress: Progress
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
            course = replace(course, losses=(*course.losses, (course.step, _mean(seen, course.step))))
            seen = []
            if held_out is not None and recipe.validation is not None:
                course = _judged(course, table.judge(held_out, recipe.validation.batches))
                progress.note(f"validation loss {course.held_out_losses[-1][1]:.4f} after {course.step} steps")
            if _with_patience(recipe) and course.best_step == course.step:
                table.save(work, "best", course)
            table.save(work, "last", course)
    progress.finish()
    return course


def _mean(losses: list[float], step: int) -> float:
    mean = float(np.mean(losses))
    if not isfinite(mean):
        raise UserError(f"the loss is {mean} after {step} steps: lower optimizer.learning_rate")
    return mean


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
