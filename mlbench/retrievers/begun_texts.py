"""Texts that a matching network has begun to read, so that each image they are matched with finds them ready."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mlbench.retrievers.matchers import Matcher
from mlbench.retrievers.token_batches import token_batches
from mlbench.retrievers.towers import Features

if TYPE_CHECKING:
    from torch import Tensor

_MEGABYTE = 2**20
_MAX_ROWS = 512


class Use(Protocol):
    """How texts are read: `matching_token` comes first in each (None: what the tokenizer puts there)."""

    @property
    def matching_token(self) -> int | None:
        """The number of a token."""
        ...

    @property
    def batch_tokens(self) -> int:
        """Tokens per batch, padding included."""
        ...

    @property
    def text_memory(self) -> int:
        """Megabytes for what is kept."""
        ...


class BegunTexts:
    """What does not depend on the image, of distinct texts; `lengths` are their tokens, int64 (texts,).

    It is computed once and kept, the longest texts first, as long as there is memory for it; else anew when asked for.
    """

    def __init__(self, matcher: Matcher, texts: Sequence[str], use: Use, *, similarity: bool) -> None:
        """Read `texts`, and with `similarity` compute their vectors as well."""
        self._matcher = matcher
        self._rows = matcher.towers.text.tokenise(texts)
        self.lengths: NDArray[np.int64] = self._rows["attention_mask"].sum(dim=1).numpy()
        batches = list(token_batches(self.lengths, use.batch_tokens, _MAX_ROWS))
        self._vectors = self._embed(batches) if similarity else None
        if use.matching_token is not None:
            self._rows["input_ids"][:, 0] = use.matching_token
        self._kept = self._begin_all(batches, use.text_memory * _MEGABYTE)

    def begun(self, numbers: NDArray[np.int64]) -> Features:
        """Return what `Matcher.begin` makes of the texts with these `numbers`, padded to the longest of them."""
        from torch.nn.utils.rnn import pad_sequence

        rows = [self._kept.get(number) for number in numbers.tolist()]
        found = [row for row in rows if row is not None]
        if len(found) < len(rows):
            return self._matcher.begin(self._tokens(numbers))
        return {name: pad_sequence([row[name] for row in found], batch_first=True) for name in found[0]}

    def vectors(self, numbers: NDArray[np.int64]) -> "Tensor":
        """Return the vectors (texts, dim) of the texts with these `numbers`, in float32."""
        import torch

        assert self._vectors is not None
        return self._vectors[torch.from_numpy(numbers).to(self._vectors.device)]

    def _begin_all(self, batches: Sequence[NDArray[np.int64]], memory: int) -> dict[int, Features]:
        kept: dict[int, Features] = {}
        for numbers in batches:
            begun = self._matcher.begin(self._tokens(numbers))
            memory -= sum(tensor.nbytes for tensor in begun.values())
            if memory < 0:
                break
            for row, number in enumerate(numbers.tolist()):
                # Copies, as a view would keep the padding of its whole batch.
                kept[number] = {name: tensor[row, : self.lengths[number]].clone() for name, tensor in begun.items()}
        return kept

    def _embed(self, batches: Sequence[NDArray[np.int64]]) -> "Tensor":
        import torch

        embedded = [self._matcher.towers.text.embed(self._tokens(numbers)).float() for numbers in batches]
        order = torch.from_numpy(np.argsort(np.concatenate(batches)))
        return torch.cat(embedded)[order.to(embedded[0].device)]

    def _tokens(self, numbers: NDArray[np.int64]) -> Features:
        import torch

        longest = int(self.lengths[numbers].max())
        index = torch.from_numpy(numbers)
        rows = {name: tensor[index][:, :longest] for name, tensor in self._rows.items()}
        return to_device(rows, self._matcher.towers.device)


def to_device(features: Features, device: str) -> Features:
    """Return `features` on `device`."""
    return {name: tensor.to(device) for name, tensor in features.items()}
