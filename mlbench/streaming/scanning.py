"""The first look at a corpus: how many documents each shard has, their digest, and the relevant ones among them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mlbench.digests import LineDigest
from mlbench.errors import DataError
from mlbench.protocols import Shard
from mlbench.records import Document, document_line

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, eq=False)
class Scan:
    """What one shard holds.

    `digest` is the state of the `LineDigest` of its documents, uint16 (1024,); `ids` the sorted 8-byte hashes of their
    ids, uint64 (documents,); `relevant` those of its documents that some topic is looking for.
    """

    digest: NDArray[np.uint16]
    ids: NDArray[np.uint64]
    relevant: tuple[Document, ...]

    @property
    def n_documents(self) -> int:
        """How many documents the shard has."""
        return len(self.ids)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return what is saved of it beside `ids`."""
        relevant = json.dumps(self.relevant, ensure_ascii=False).encode()
        return {"digest": self.digest, "relevant": np.frombuffer(relevant, np.uint8)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], ids: NDArray[np.uint64]) -> "Scan":
        """Return what was saved; raises `ValueError` for arrays that no scan gives."""
        digest = arrays["digest"]
        if digest.dtype != np.uint16 or digest.shape != (1024,):
            raise ValueError("its arrays are not those of a scan")
        relevant = tuple(Document(*row) for row in json.loads(arrays["relevant"].tobytes()))
        return cls(digest.astype(np.uint16), ids, relevant)


@dataclass(frozen=True)
class Scanner:
    """A worker that scans shards; `wanted` are the ids of the relevant documents of each language."""

    task: str
    wanted: Mapping[str, frozenset[str]]

    def __call__(self, shard: "Scanned") -> Scan:
        """Scan one shard; raises `DataError` for a document without text, and what reading raises."""
        digest, relevant = LineDigest(), []
        wanted = self.wanted[shard.shard.language]

        def hashes() -> Iterator[int]:
            for document in shard.shard.documents(0):
                _check(self.task, shard.shard.language, document)
                digest.add(document_line(document))
                if document.doc_id in wanted:
                    relevant.append(document)
                yield hash_id(document.doc_id)

        ids = np.sort(np.fromiter(hashes(), np.uint64))
        return Scan(digest.state, ids, tuple(relevant))


@dataclass(frozen=True, slots=True)
class Scanned:
    """A shard that is to be scanned, with its fingerprint."""

    shard: Shard
    fingerprint: str

    def __str__(self) -> str:
        return self.shard.name


def hash_id(doc_id: str) -> int:
    """Return 8 bytes of BLAKE2 of an id as a number."""
    return int.from_bytes(blake2b(doc_id.encode(), digest_size=8).digest(), "little")


def _check(task: str, language: str, document: Document) -> None:
    doc_id, text = document
    if _SURROGATE.search(text) or _SURROGATE.search(doc_id):
        raise DataError(f"{task}: {language} document {doc_id!r} holds half of a surrogate pair, which is no character")
    if not text.strip():
        raise DataError(f"{task}: {language} document {doc_id} has no text")
