"""Parts: the consecutive documents of a shard that a worker takes, counts and gives back at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from socket import gethostname

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


class PartReader:
    """Reads parts; one that follows the part before is read on from there, any other from the beginning of its shard.

    That the beginning is skipped costs little, but not nothing: it has to be unpacked. Each shard is checked once, when
    it is opened first: on another machine, or later, its file may be another one.
    """

    def __init__(self) -> None:
        self._checked: set[str] = set()
        self._at: tuple[str, str, int] | None = None
        self._rows: Iterator[Document] = iter(())

    def read(self, part: Part) -> list[Document]:
        """Return the documents of `part`; raises `DataError` where the shard is not what it was."""
        whole = part.fingerprint, part.shard.language
        if self._at != (*whole, part.first):
            self._check(part)
            self._rows = part.shard.documents(part.first)
        self._at = None
        found = list(islice(self._rows, part.n_documents))
        if len(found) < part.n_documents:
            raise DataError(f"{part.shard.name} has been changed while it was in use: it ends before {part}")
        self._at = (*whole, part.first + part.n_documents)
        return found

    def _check(self, part: Part) -> None:
        if part.fingerprint in self._checked:
            return
        if part.shard.fingerprint() != part.fingerprint:
            raise DataError(
                f"{part.shard.name} on {gethostname()} is not the shard that was scanned: it must not change during a "
                "run, and be the same on every machine"
            )
        self._checked.add(part.fingerprint)


def cut(shard: Shard, fingerprint: str, n_documents: int, size: int = PART) -> Sequence[Part]:
    """Cut a shard of `n_documents` into parts of `size`; no documents give no parts."""
    firsts = range(0, n_documents, size)
    return [Part(shard, fingerprint, first, min(size, n_documents - first)) for first in firsts]
