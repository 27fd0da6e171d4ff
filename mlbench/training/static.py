"""Trains static encoders, tables of subword vectors, with a loop of its own: only the rows of a batch are touched."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from mlbench.errors import UserError
from mlbench.io.atomic import whole_file
from mlbench.protocols import SILENCE, Progress, Runtime, Vectors
from mlbench.training.cropping import Floats
from mlbench.training.data import TrainingData, used_texts
from mlbench.training.examples import Examples
from mlbench.training.index import ABSENT, Ints
from mlbench.training.losses import SUSTAINED, check_loss, highest_guess, info_nce
from mlbench.training.manifest import Destination, TrainingOutcome, save_model
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import Loss
from mlbench.training.vocabulary import SubwordVocabulary, Tokens, learn_vocabulary

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_TENSORS = ("weight", "first", "second")
_LAST = "last.safetensors"
_BEST = "best.safetensors"


@dataclass(frozen=True, eq=False)
class _Bags:
    """Texts as bags of rows: row numbers one after the other, and where each text begins."""

    ids: Ints
    offsets: Ints


class SubwordTable:
    """Subword vectors and their optimizer: Adam on the rows of a batch, as torch's SparseAdam does it.

    (Kingma and Ba 2015, algorithm 1; the moments of other rows stay as they are.) The rows are gathered once for a
    batch and put back, which takes half the time of sparse tensors.
    """

    def __init__(self, vectors: Vectors, tokens: Mapping[str, Tokens], loss: Loss, device: str | None) -> None:
        import torch

        self._tokens = tokens
        self._settings = loss
        self.device = device or "cpu"
        self.steps = 0
        try:
            self._weight = torch.from_numpy(vectors).to(self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"device {device} cannot be used: {reason}: leave out --device, or say --device cpu"
            ) from error
        self._first = torch.zeros_like(self._weight)
        self._second = torch.zeros_like(self._weight)

    def vectors(self) -> Vectors:
        """Return the table as it is, float32 (pieces, dim)."""
        return np.asarray(self._weight.cpu(), np.float32)

    def step(self, examples: Examples, number: int, rate: float) -> float:
        """Learn from batch `number` and return its loss."""
        bags = self._bags(examples, number)
        rows, places = np.unique(np.concatenate([bag.ids for bag in bags]), return_inverse=True)
        used = self._on_device(rows)
        vectors = self._weight.index_select(0, used).requires_grad_()
        loss = self._loss(bags, vectors, places)
        loss.backward()
        assert vectors.grad is not None
        self._learn(used, vectors.detach(), vectors.grad, rate)
        return float(loss.detach())

    def judge(self, examples: Examples, batches: int) -> float:
        """Return the mean loss over the first batches."""
        import torch

        losses = []
        with torch.no_grad():
            for number in range(batches):
                bags = self._bags(examples, number)
                losses.append(float(self._loss(bags, self._weight, np.concatenate([bag.ids for bag in bags]))))
        return float(np.mean(losses))

    def _bags(self, examples: Examples, number: int) -> list[_Bags]:
        """Return queries, documents and negatives of a batch."""
        batch = examples.sampler.batch(number)
        tokens, index = self._tokens[examples.rows[batch.dataset].name], examples.index(batch.dataset)
        found = np.flatnonzero(batch.negatives != ABSENT)
        texts: list[tuple[Ints, Floats]] = [
            (index.query_texts(batch.rows, batch.query_languages), batch.query_spans),
            (index.document_texts(batch.rows, batch.document_languages), batch.document_spans),
            (batch.negatives[found], batch.document_spans[found]),
        ]
        return [_Bags(*tokens.bags(numbers, spans)) for numbers, spans in texts]

    def _loss(self, bags: list[_Bags], vectors: "torch.Tensor", places: Ints) -> "torch.Tensor":
        """Return the loss where subword i of all bags together has the vector `vectors[places[i]]`."""
        import torch

        embedded, start = [], 0
        for bag in bags:
            own = self._on_device(places[start : start + len(bag.ids)])
            start += len(bag.ids)
            offsets = self._on_device(bag.offsets)
            embedded.append(torch.nn.functional.embedding_bag(own, vectors, offsets, mode="sum"))
        queries, documents, negatives = embedded
        return info_nce(
            queries,
            documents,
            negatives if len(negatives) else None,
            temperature=self._settings.temperature,
            negatives_kind=self._settings.negatives,
            symmetric=self._settings.symmetric,
        )

    def _learn(self, rows: "torch.Tensor", vectors: "torch.Tensor", gradient: "torch.Tensor", rate: float) -> None:
        self.steps += 1
        first = self._first.index_select(0, rows).lerp_(gradient, 1 - _BETAS[0])
        second = self._second.index_select(0, rows).lerp_(gradient.square(), 1 - _BETAS[1])
        size = rate * (1 - _BETAS[1] ** self.steps) ** 0.5 / (1 - _BETAS[0] ** self.steps)
        self._first.index_copy_(0, rows, first)
        self._second.index_copy_(0, rows, second)
        self._weight.index_copy_(0, rows, vectors.addcdiv(first, second.sqrt().add_(_EPSILON), value=-size))

    def _on_device(self, numbers: Ints) -> "torch.Tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self.device)

    def save(self, path: Path, state: str) -> None:
        """Keep vectors, optimizer and `state`, a text of the caller's, in one file that appears whole."""
        from safetensors.torch import save_file

        tensors = dict(zip(_TENSORS, (self._weight, self._first, self._second), strict=True))
        with whole_file(path) as unfinished:
            save_file(tensors, unfinished, metadata={"state": state, "optimizer_steps": str(self.steps)})

    def load(self, path: Path) -> str | None:
        """Take up what was kept and return the caller's text; None where nothing usable is."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                state, steps = metadata["state"], int(metadata["optimizer_steps"])
                tensors = [file.get_tensor(name).to(self.device) for name in _TENSORS]
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        self._weight, self._first, self._second = tensors
        self.steps = steps
        return str(state)


@dataclass(frozen=True)
class _TrainingState:
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
    def parse(cls, text: str | None) -> "_TrainingState":
        """Return what `text` returned; the beginning for None."""
        if text is None:
            return cls()
        state = json.loads(text)
        lists = {key: tuple((int(step), loss) for step, loss in state[key]) for key in ("losses", "held_out_losses")}
        return cls(**(state | lists))


def train_static(
    recipe: Recipe, data: TrainingData, destination: Destination, *, progress: Progress = SILENCE, runtime: Runtime
) -> TrainingOutcome:
    """Train as `recipe` says and save a Sentence Transformers checkpoint, its modules.json last.

    A run that was interrupted goes on from what it kept in the work folder of `destination`, if recipe and data are the
    same, and gives the same weights to the bit, however many threads there are: one is as fast here. Raises `UserError`
    for a device that cannot be used and where the loss is no number, and as `BatchSampler.batch` and `info_nce` do.
    """
    assert recipe.static is not None
    with _one_thread():
        vocabulary = vocabulary_of(recipe, data, progress)
        work = destination.work_folder(recipe, data)
        vectors = first_vectors(vocabulary.frequencies, vocabulary.n_texts, recipe.static.dim, recipe.seed)
        table = SubwordTable(vectors, vocabulary.tokens, recipe.loss, runtime.device)
        state = _TrainingState.parse(table.load(work / _LAST))
        if state.step > recipe.steps:
            # A longer training, which shares the folder, has been here.
            table, state = SubwordTable(vectors, vocabulary.tokens, recipe.loss, runtime.device), _TrainingState()
        state = _run(recipe, data, table, state, work=work, progress=progress)
        if recipe.patience is not None:
            table.load(work / _BEST)
        if not np.isfinite(table.vectors()).all():
            # The last step of all is judged by nothing else.
            raise UserError(f"the vectors are no numbers after {state.step} steps: lower optimizer.learning_rate")
        save_model(_model(table.vectors(), vocabulary), destination.own_work(recipe, data), destination.folder)
    return TrainingOutcome(
        steps=state.step,
        best_step=state.best_step if recipe.patience is not None else state.step,
        batches=state.step,
        stopped_early=state.step < recipe.steps,
        losses=state.losses,
        held_out_losses=state.held_out_losses,
        device=table.device,
        threads=1,
        is_main=True,
    )


def _run(
    recipe: Recipe, data: TrainingData, table: SubwordTable, state: _TrainingState, *, work: Path, progress: Progress
) -> _TrainingState:
    """Train from where `state` is to the end, keeping the state at every judgment."""
    examples, held_out = data.examples(recipe), data.held_out_examples(recipe)
    every = recipe.validation.every if recipe.validation else max(500, recipe.steps // 10)
    highest = highest_guess(2 * recipe.batches.size, recipe.loss.temperature)
    if state.step:
        progress.note(f"goes on after {state.step:,} steps")
    progress.start("train", recipe.steps)
    progress.advance(state.step)
    seen: list[float] = []
    while state.step < recipe.steps and not _is_patience_over(recipe, state):
        seen.append(table.step(examples, state.step, _rate(recipe, state.step)))
        state = replace(state, step=state.step + 1)
        _check(seen, state.step, highest)
        progress.advance(1)
        if state.step % every == 0 or state.step == recipe.steps:
            state = replace(state, losses=(*state.losses, (state.step, float(np.mean(seen)))))
            seen = []
            if held_out is not None and recipe.validation is not None:
                judged = table.judge(held_out, recipe.validation.batches)
                check_loss(judged, state.step)
                state = _with_loss(state, judged)
                progress.note(f"validation loss {state.held_out_losses[-1][1]:.4f} after {state.step} steps")
            if recipe.patience is not None and state.best_step == state.step:
                table.save(work / _BEST, state.text())
            table.save(work / _LAST, state.text())
    progress.finish()
    return state


def _check(losses: Sequence[float], step: int, highest: float) -> None:
    check_loss(losses[-1], step)
    if len(losses) >= SUSTAINED:
        check_loss(min(losses[-SUSTAINED:]), step, highest)


def _with_loss(state: _TrainingState, loss: float) -> _TrainingState:
    better = loss < state.best_loss
    return replace(
        state,
        held_out_losses=(*state.held_out_losses, (state.step, loss)),
        best_loss=min(loss, state.best_loss),
        best_step=state.step if better else state.best_step,
        waited=0 if better else state.waited + 1,
    )


def _is_patience_over(recipe: Recipe, state: _TrainingState) -> bool:
    return recipe.patience is not None and state.waited >= recipe.patience


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


def first_vectors(frequencies: Ints, n_texts: int, dim: int, seed: int) -> Vectors:
    """Return the table that training starts from, float32 (pieces, dim): normal values, larger for rarer subwords.

    A row has variance w^2 / dim with w = log((n + 1) / (f + 1)) divided by its mean, for a subword that `frequencies`,
    int64 (pieces,), says is in f of n texts. So texts that share rare subwords are near each other before anything is
    learned.
    """
    rarity = np.log((n_texts + 1) / (frequencies + 1))
    weights = rarity / max(float(rarity.mean()), np.finfo(np.float64).tiny)
    random = np.random.RandomState(seed)
    drawn = random.standard_normal((len(frequencies), dim)) / np.sqrt(dim)
    vectors: Vectors = (weights[:, None] * drawn).astype(np.float32)
    return vectors


def vocabulary_of(recipe: Recipe, data: TrainingData, progress: Progress = SILENCE) -> SubwordVocabulary:
    """Return the subwords of a static recipe, learned now from the texts it trains on, or earlier from the same."""
    assert recipe.static is not None
    training = list(zip(data.training.rows, used_texts(data.training), strict=True))
    known = {rows.name for rows in data.training.rows}
    also = [rows for rows in data.held_out.rows if rows.name not in known] if data.held_out else []
    return learn_vocabulary(training, also, recipe.static.pieces, progress=progress)


def _model(vectors: Vectors, vocabulary: SubwordVocabulary) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    modules = [StaticEmbedding(vocabulary.tokenizer, embedding_weights=vectors), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="cosine")
