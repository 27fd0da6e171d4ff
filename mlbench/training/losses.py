"""InfoNCE over the examples of a batch, as torch computes it."""

from typing import TYPE_CHECKING, Literal

from mlbench.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


NegativesKind = Literal["in_batch", "hard_only"]


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


def _normalised(vectors: "Tensor") -> "Tensor":
    import torch

    wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    return torch.nn.functional.normalize(wide, dim=1)
