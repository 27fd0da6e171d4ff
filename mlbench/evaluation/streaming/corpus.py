"""The corpora of a streamed task: a first pass that counts and digests them, and the parts they are cut into."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b, sha256
from itertools import islice, pairwise
from pathlib import Path
from socket import gethostname

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.records import Collection, Document, LineDigest, document_line, fingerprints_of, name_of
from mlbench.errors import DataError
from mlbench.evaluation.options import open_engine
from mlbench.evaluation.streaming.resume import WorkFolder
from mlbench.io.cache import cache_dir
from mlbench.protocols import SILENCE, Engine, Progress, Resources, Shard, ShardedCollection
from mlbench.tasks.load import check_collection, load_shards
from mlbench.tasks.task import Task

_SURROGATE = re.compile("[\ud800-\udfff]")
PART = 16_384
"""The documents of a part, but for the last of a shard: few enough to be held with their vectors by every worker."""
_AT_ONCE = 4_000_000
_LOOKED_AT = 100
_VERSION = 1
"""Of what is saved of a scan; another one finds nothing of this one's."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What one shard holds.

    `digest` is the state of the `LineDigest` of its documents, uint16 (1024,); `ids` the sorted 8-byte hashes of their
    ids, uint64 (documents,); `relevant` those of its documents that are held.
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


@dataclass(frozen=True, slots=True)
class FingerprintedShard:
    """A shard that is to be scanned, with its fingerprint."""

    shard: Shard
    fingerprint: str

    def __str__(self) -> str:
        return self.shard.name


@dataclass(frozen=True)
class Scanner:
    """A worker that scans shards; `wanted` are the ids of the documents of each language that are held.

    Held as well are documents that may be queries: those called by one of `names` in the task's files, and those with
    one of `texts`.
    """

    task: str
    wanted: Mapping[str, frozenset[str]]
    names: frozenset[str]
    texts: frozenset[str]

    def __call__(self, shard: "FingerprintedShard") -> Scan:
        """Scan one shard; raises `DataError` for a document without text, and what reading raises."""
        digest, relevant = LineDigest(), []
        language = shard.shard.language
        wanted = self.wanted[language]

        def hashes() -> Iterator[int]:
            for document in shard.shard.documents(0):
                doc_id, text = document
                _check(self.task, language, document)
                digest.add(document_line(document))
                if doc_id in wanted or text in self.texts or name_of(doc_id, language) in self.names:
                    relevant.append(document)
                yield hash_id(doc_id)

        ids = np.sort(np.fromiter(hashes(), np.uint64))
        return Scan(digest.state, ids, tuple(relevant))


@dataclass(frozen=True, slots=True)
class CorpusPart:
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

    def read(self, part: CorpusPart) -> list[Document]:
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

    def _check(self, part: CorpusPart) -> None:
        if part.fingerprint in self._checked:
            return
        if part.shard.fingerprint() != part.fingerprint:
            raise DataError(
                f"{part.shard.name} on {gethostname()} is not the shard that was scanned: it must not change during a "
                "run, and be the same on every machine"
            )
        self._checked.add(part.fingerprint)


@dataclass(frozen=True)
class Corpora:
    """The corpora of a task: `collection` holds the documents that a scan holds, and counts the others as left out.

    `sizes` are the numbers of documents of each language, `fingerprints` those of its data.
    """

    collection: Collection
    sizes: Mapping[str, int]
    fingerprints: Mapping[str, str]
    parts: tuple[CorpusPart, ...]


def scan_corpora(
    task: Task,
    sharded: ShardedCollection,
    engine: Engine,
    cache: Path,
    progress: Progress,
    *,
    also: Iterable[str] = (),
) -> Corpora:
    """Look at every document once, and hold those that are relevant, may be queries, or have the ids `also`.

    What an earlier run has seen of a shard is taken from its work folder.

    Raises `DataError` for shards that cannot be read, for documents without text, ids that are there twice, and counts
    that are not those that the task expects.
    """
    shards = [FingerprintedShard(shard, shard.fingerprint()) for shard in sharded.shards]
    wanted, names = _wanted(sharded.collection, also), sharded.collection.names_of_topics
    texts = frozenset(query.text for rows in sharded.collection.queries.values() for query in rows)
    sought = {language: sorted(doc_ids) for language, doc_ids in wanted.items()}, sorted(names), sorted(texts)
    folder = WorkFolder(cache, f"{task.name}-scan", [_VERSION, sha256(repr(sought).encode()).hexdigest()], progress)
    scans = [_load(folder, shard) for shard in shards]
    missing = [number for number, scan in enumerate(scans) if scan is None]
    if missing:
        progress.start("scan", len(missing))
        for number, scan in engine.map(
            partial(Scanner, task.name, wanted, names, texts), [shards[number] for number in missing]
        ):
            scans[missing[number]] = _save(folder, shards[missing[number]], scan)
            progress.advance(1)
        progress.finish()
    return _corpora(task, sharded, [(shard, scan) for shard, scan in zip(shards, scans, strict=True) if scan], progress)


def look_through(
    task: Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    also: Iterable[str] = (),
    progress: Progress = SILENCE,
) -> Corpora:
    """Look through the corpora of a sharded task in this process; the documents with the ids `also` are held as well.

    Raises as `scan_corpora` does.
    """
    task, sharded = load_shards(task, languages=languages, data_dir=data_dir, progress=progress)
    engine = open_engine("local", Resources(), progress)
    return scan_corpora(task, sharded, engine, cache_dir(), progress, also=also)


def _wanted(collection: Collection, also: Iterable[str]) -> dict[str, frozenset[str]]:
    wanted: dict[str, set[str]] = {language: set(also) for language in collection.languages}
    for rows in collection.judgments.values():
        for row in rows:
            wanted[row.language].add(row.doc_id)
    return {language: frozenset(doc_ids) for language, doc_ids in wanted.items()}


def _key(shard: FingerprintedShard) -> list[str]:
    return [shard.fingerprint, shard.shard.language]


def _load(folder: WorkFolder, shard: FingerprintedShard) -> Scan | None:
    ids = folder.mapped(_key(shard))
    return None if ids is None else folder.load(_key(shard), ("digest", "relevant"), partial(Scan.of, ids=ids))


def _save(folder: WorkFolder, shard: FingerprintedShard, scan: Scan) -> Scan:
    ids = folder.map(_key(shard), scan.ids)
    folder.save(_key(shard), scan.arrays())
    return replace(scan, ids=ids)


def _corpora(
    task: Task, sharded: ShardedCollection, scans: Sequence[tuple[FingerprintedShard, Scan]], progress: Progress
) -> Corpora:
    sizes = Counter(dict.fromkeys(sharded.collection.languages, 0))
    digests = sharded.collection.line_digests()
    documents: dict[str, list[Document]] = {language: [] for language in sharded.collection.languages}
    for shard, scan in scans:
        language = shard.shard.language
        sizes[language] += scan.n_documents
        digests[language].merge(LineDigest(scan.digest))
        documents[language] += scan.relevant
    check_repeats(task.name, sharded.shards, [scan.ids for _, scan in scans])
    collection = replace(
        sharded.collection,
        documents={language: tuple(rows) for language, rows in documents.items()},
        left_out={language: sizes[language] - len(rows) for language, rows in documents.items()},
    )
    check_collection(task, collection, progress)
    parts = [part for shard, scan in scans for part in cut(shard.shard, shard.fingerprint, scan.n_documents)]
    return Corpora(collection, dict(sizes), fingerprints_of(digests), tuple(parts))


def cut(shard: Shard, fingerprint: str, n_documents: int, size: int = PART) -> Sequence[CorpusPart]:
    """Cut a shard of `n_documents` into parts of `size`; no documents give no parts."""
    firsts = range(0, n_documents, size)
    return [CorpusPart(shard, fingerprint, first, min(size, n_documents - first)) for first in firsts]


def check_repeats(task: str, shards: Sequence[Shard], ids: Sequence[NDArray[np.uint64]]) -> None:
    """Raise `DataError` where two documents have one id; `ids` are the sorted hashes of each shard, maybe on disk.

    Memory is that of four million hashes, however many there are. Only shards that hold a hash twice are read again.
    """
    found = _repeated(ids)
    if not len(found):
        return
    suspects = {int(value) for value in found[:_LOOKED_AT]}
    shard_of: dict[str, str] = {}
    for shard, hashes in zip(shards, ids, strict=True):
        if not np.isin(found[:_LOOKED_AT], hashes).any():
            continue
        here: set[str] = set()
        for document in shard.documents(0):
            if hash_id(document.doc_id) not in suspects:
                continue
            if document.doc_id in here:
                raise DataError(f"{task}: document {document.doc_id} is there twice in {shard.name}")
            here.add(document.doc_id)
            if document.doc_id in shard_of:
                before = shard_of[document.doc_id]
                hint = ": one shard is listed twice" if len(found) >= len(hashes) else ""
                raise DataError(f"{task}: document {document.doc_id} is in {before} and in {shard.name}{hint}")
        shard_of.update(dict.fromkeys(here, shard.name))


def _repeated(ids: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return hashes that are there more than once, range by range so that few are held."""
    total = sum(len(each) for each in ids)
    n_ranges = max(1, -(-total // _AT_ONCE))
    edges = [2**64 * number // n_ranges for number in range(n_ranges + 1)]
    found = []
    for low, high in pairwise(edges):
        slices = [_between(each, low, high) for each in ids]
        values = np.sort(np.concatenate([*slices, np.empty(0, np.uint64)]))
        found.append(np.unique(values[1:][values[1:] == values[:-1]]))
    return np.concatenate(found)


def _between(values: NDArray[np.uint64], low: int, high: int) -> NDArray[np.uint64]:
    first = np.searchsorted(values, np.uint64(low))
    last = len(values) if high >= 2**64 else np.searchsorted(values, np.uint64(high))
    return values[first:last]


def hash_id(doc_id: str) -> int:
    """Return 8 bytes of BLAKE2 of an id as a number."""
    return int.from_bytes(blake2b(doc_id.encode(), digest_size=8).digest(), "little")


def _check(task: str, language: str, document: Document) -> None:
    doc_id, text = document
    if _SURROGATE.search(text) or _SURROGATE.search(doc_id):
        raise DataError(f"{task}: {language} document {doc_id!r} holds half of a surrogate pair, which is no character")
    if not text.strip():
        raise DataError(f"{task}: {language} document {doc_id} has no text")
