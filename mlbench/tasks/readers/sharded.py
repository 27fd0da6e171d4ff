"""What readers of corpora in shards have in common: the whole collection, or a sample of it, from a sharded one."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import file_digest, sha256
from pathlib import Path

from mlbench.collection.records import Collection, Document, sample_documents
from mlbench.errors import DataError
from mlbench.protocols import Shard, ShardedCollection


def hold(sharded: ShardedCollection, limit: int | None) -> Collection:
    """Return the whole collection; with a `limit` no more is held than the sample of so many topics needs.

    Raises what reading the shards raises.
    """
    documents, counts = {}, {}
    for language in sharded.collection.languages:
        stream = _DocumentCounter(shard for shard in sharded.shards if shard.language == language)
        judgments = sharded.collection.judgments.values()
        relevant = {row.doc_id for rows in judgments for row in rows if row.language == language}
        documents[language] = tuple(stream) if limit is None else sample_documents(stream, relevant, limit)
        counts[language] = stream.number
    left_out = {language: counts[language] - len(rows) for language, rows in documents.items()}
    return replace(sharded.collection, documents=documents, left_out=left_out)


def shard_fingerprint(path: Path, *parts: str) -> str:
    """Return a digest (hex) of a file's content and of `parts`, what else decides the documents that are read from it.

    Raises `DataError` for a file that cannot be read.
    """
    try:
        with path.open("rb") as stream:
            content = file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return sha256("\n".join((content, *parts)).encode()).hexdigest()


class _DocumentCounter:
    """The documents of one language, shard by shard; `number` says how many have gone by."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        self.number, self._shards = 0, shards

    def __iter__(self) -> Iterator[Document]:
        for shard in self._shards:
            for document in shard.documents(0):
                self.number += 1
                yield document
