"""InfoNCE over the examples of a batch, as torch computes it."""

from math import inf, isfinite, log
from typing import TYPE_CHECKING, Literal

from mlbench.errors import DataError, UserError

if TYPE_CHECKING:
    from torch import Tensor


NegativesKind = Literal["in_batch", "hard_only"]
SUSTAINED = 5
"""So many steps in a row have to have a loss that is too high, before it is told."""


def info_nce(
    queries: "Tensor",
    documents: "Tensor",
    negatives: "Tensor | None" = None,
    *,
    temperature: "float | Tensor",
    negatives_kind: NegativesKind = "in_batch",
    symmetric: bool = False,
) -> "Tensor":
    """Return the mean over queries of -log softmax at the own document, of cosines divided by `temperature`; a scalar.

    `queries` and `documents` are (n, dim), example by example, of any length; `negatives` are (m, dim), those of all
    examples together, as each counts against every query. With `hard_only` the denominator has the own document and
    all negatives (arXiv 2408.10536, eq. 1); with `in_batch` the other examples' documents as well. `symmetric` gives
    the mean of that and of the same from each document to all queries. Computed in float32 at least, whatever the
    mixed precision. Raises `DataError` for `hard_only` without any negative.
    """
    import torch

    if negatives_kind == "hard_only" and symmetric:
        raise ValueError("symmetric needs in_batch negatives: hard negatives belong to queries")
    if negatives_kind == "hard_only" and (negatives is None or not len(negatives)):
        raise DataError("no example of a batch has a hard negative: train on data with negatives, or take in_batch")
    with torch.autocast(queries.device.type, enabled=False):
        query, document = _normalised(queries), _normalised(documents)
        others = document[:0] if negatives is None else _normalised(negatives)
        own = torch.arange(len(query), device=query.device)
        if negatives_kind == "hard_only":
            scores = torch.cat([(query * document).sum(dim=1, keepdim=True), query @ others.T], dim=1) / temperature
            return torch.nn.functional.cross_entropy(scores, torch.zeros_like(own))
        scores = query @ torch.cat([document, others]).T / temperature
        loss = torch.nn.functional.cross_entropy(scores, own)
        if symmetric:
            loss = (loss + torch.nn.functional.cross_entropy(scores[:, : len(document)].T, own)) / 2
        return loss


def check_loss(loss: float, step: int, highest: float = inf, *, precision: str = "fp32") -> None:
    """Raise `UserError` for a loss after `step` steps that is no number, or above `highest`."""
    if not isfinite(loss):
        other = "" if precision == "fp32" else ", or train in fp32"
        raise UserError(f"the loss is {loss} after {step} steps: lower optimizer.learning_rate{other}")
    if loss > highest:
        raise UserError(
            f"the loss is {loss:.3g} after {step} steps, and a model that guesses has at most {highest:.3g}: "
            "lower optimizer.learning_rate"
        )


def highest_guess(candidates: int, temperature: float) -> float:
    """Return log(candidates) + 1 / temperature, which the mean loss of a model that guesses is never above.

    No cosine is above 1, and its own document has one of 0 on average.
    """
    return log(candidates) + 1 / temperature


def _normalised(vectors: "Tensor") -> "Tensor":
    import torch

    wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    return torch.nn.functional.normalize(wide, dim=1)
