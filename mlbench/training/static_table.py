"""The vectors of a static encoder's subwords while they are learned: only the rows that a batch meets are touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from mlbench.atomic import whole_file
from mlbench.errors import UserError
from mlbench.protocols import Vectors
from mlbench.training.examples import Examples
from mlbench.training.index import ABSENT, Ints
from mlbench.training.losses import info_nce
from mlbench.training.settings import Loss
from mlbench.training.tokens import Tokens
from mlbench.training.views import Floats

if TYPE_CHECKING:
    import torch

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_TENSORS = ("weight", "first", "second")


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


@dataclass(frozen=True, eq=False)
class _Bags:
    """Texts as bags of rows: row numbers one after the other, and where each text begins."""

    ids: Ints
    offsets: Ints


class Table:
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
            raise UserError(f"device {device} cannot be used: {str(error).splitlines()[0]}") from error
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

    def save(self, path: Path, course: str) -> None:
        """Keep vectors, optimizer and `course`, a text of the caller's, in one file that appears whole."""
        from safetensors.torch import save_file

        tensors = dict(zip(_TENSORS, (self._weight, self._first, self._second), strict=True))
        with whole_file(path) as unfinished:
            save_file(tensors, unfinished, metadata={"course": course, "optimizer_steps": str(self.steps)})

    def load(self, path: Path) -> str | None:
        """Take up what was kept and return the caller's text; None where nothing usable is."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = [file.get_tensor(name).to(self.device) for name in _TENSORS]
        except (OSError, SafetensorError):
            return None
        self._weight, self._first, self._second = tensors
        self.steps = int(metadata["optimizer_steps"])
        return str(metadata["course"])
