"""Parts: the consecutive documents of a shard that a worker takes, counts and gives back at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from mlbench.errors import DataError
from mlbench.protocols import Shard
from mlbench.records import Document

PART = 16_384
"""The documents of a part, but for the last of a shard: few enough to be held with their vectors by every worker."""


@dataclass(frozen=True, slots=True)
class Part:
    """The documents of `shard` from number `first` on; `fingerprint` is that of the whole shard."""

    shard: Shard
    fingerprint: str
    first: int
    n_documents: int

    def __str__(self) -> str:
        return f"documents {self.first + 1:,} to {self.first + self.n_documents:,} of {self.shard.name}"

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What its documents follow from: the shard's content, and the place in it."""
        return self.fingerprint, self.shard.language, self.first, self.n_documents

    def documents(self) -> list[Document]:
        """Read its documents; raises `DataError` where the shard is not what it was."""
        found = list(islice(self.shard.documents(self.first), self.n_documents))
        if len(found) < self.n_documents:
            raise DataError(f"{self.shard.name} has been changed while it was in use: it ends before {self}")
        return found


def cut(shard: Shard, fingerprint: str, n_documents: int, size: int = PART) -> Sequence[Part]:
    """Cut a shard of `n_documents` into parts of `size`; no documents give no parts."""
    firsts = range(0, n_documents, size)
    return [Part(shard, fingerprint, first, min(size, n_documents - first)) for first in firsts]
