"""Contrast and matching over the examples of a batch, as torch computes them."""

from math import inf, isfinite, log
from typing import TYPE_CHECKING, Literal

from mlbench.errors import DataError, UserError

if TYPE_CHECKING:
    from torch import Generator, Tensor


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


def draw_hard_negatives(similarity: "Tensor", topics: "Tensor", generator: "Generator") -> "tuple[Tensor, Tensor]":
    """Return a hard negative text for each image, and a hard negative image for each text, int64 (n,) each.

    `similarity` (n, n) has an image's in a row, divided by the temperature. A text is drawn with probability
    proportional to the softmax of the row, an image to that of the column (ALBEF, arXiv 2107.07651, sec. 3.2, and
    BLIP, arXiv 2201.12086, sec. 3.2), never one whose number in `topics`, int64 (n,), is the same. Where all are the
    same, the next of the batch is taken. `generator` draws once for each.
    """
    import torch

    same = topics[:, None] == topics[None, :]
    n = len(topics)
    following = (torch.arange(n) + 1) % n
    drawn = []
    for scores in (similarity, similarity.T):
        weights = torch.where(same, 0.0, scores.double().masked_fill(same, -inf).softmax(dim=1))
        lonely = same.all(dim=1)
        weights[lonely, following[lonely]] = 1.0
        drawn.append(torch.multinomial(weights, 1, generator=generator)[:, 0])
    return drawn[0], drawn[1]


def matching_loss(logits: "Tensor", positives: int) -> "Tensor":
    """Return the mean binary cross-entropy of pairs of image and text, a scalar (ALBEF, arXiv 2107.07651, eq. 4).

    `logits` are (pairs, 2), the second of each that of a match; the first `positives` pairs match, the others do not.
    Computed in float32 at least.
    """
    import torch

    matches = (torch.arange(len(logits), device=logits.device) < positives).long()
    with torch.autocast(logits.device.type, enabled=False):
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return torch.nn.functional.cross_entropy(wide, matches)


def distilled_contrast(
    vectors: "Tensor",
    momentum_vectors: "Tensor",
    candidates: "Tensor",
    positives: "Tensor",
    *,
    temperature: float,
    distillation: float,
) -> "Tensor":
    """Return the mean cross-entropy of `vectors` over `candidates` with ALBEF's pseudo-targets, a scalar.

    `vectors` and `momentum_vectors` are (n, dim), what the model and its momentum model make of the same images or
    texts; `candidates` (m, dim) are of the other side, by the momentum model; `positives`, bool (n, m), says which of
    them belong to each. The targets are `distillation` times the softmax of the momentum model's cosines, divided by
    `temperature`, and for the rest the positives in equal parts (ALBEF, arXiv 2107.07651, eq. 6, without the entropy of
    the targets, which has no gradient). Computed in float32 at least.
    """
    import torch

    with torch.autocast(vectors.device.type, enabled=False):
        others = _normalised(candidates)
        scores = (_normalised(vectors) @ others.T / temperature).log_softmax(dim=1)
        soft = (_normalised(momentum_vectors) @ others.T / temperature).softmax(dim=1)
        hard = positives / positives.sum(dim=1, keepdim=True)
        targets = (distillation * soft + (1 - distillation) * hard).detach()
        return -(targets * scores).sum(dim=1).mean()


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
