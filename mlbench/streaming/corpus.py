"""Corpora after the first look: their relevant documents, their sizes and digests, and the parts they are cut into."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from mlbench.data import check_collection, load_shards
from mlbench.digests import LineDigest
from mlbench.files import cache_dir
from mlbench.protocols import Progress, ShardedCollection, Silence
from mlbench.records import Collection, Document, fingerprints_of
from mlbench.streaming.engine import open_engine
from mlbench.streaming.parts import Part, cut
from mlbench.streaming.repeats import check_repeats
from mlbench.streaming.scanning import Scan, Scanned, Scanner
from mlbench.streaming.work_folder import Arrays, WorkFolder
from mlbench.tasks import Task
from mlbench.workers import Engine, Resources

_VERSION = 1
"""Of what is saved of a scan; another one finds nothing of this one's."""

_SILENCE = Silence()


@dataclass(frozen=True)
class Corpora:
    """The corpora of a task: `collection` holds the relevant documents alone and counts the others as left out.

    `sizes` are the numbers of documents of each language, `fingerprints` those of its data.
    """

    collection: Collection
    sizes: Mapping[str, int]
    fingerprints: Mapping[str, str]
    parts: tuple[Part, ...]


def scan_corpora(
    task: Task,
    sharded: ShardedCollection,
    engine: Engine,
    cache: Path,
    progress: Progress,
    *,
    also: Iterable[str] = (),
) -> Corpora:
    """Look at every document once, and hold those that are relevant or have the ids `also`.

    What an earlier run has seen of a shard is taken from its work folder.

    Raises `DataError` for shards that cannot be read, for documents without text, ids that are there twice, and counts
    that are not those that the task expects.
    """
    shards = [Scanned(shard, shard.fingerprint()) for shard in sharded.shards]
    wanted = _wanted(sharded.collection, also)
    ids = {language: sorted(doc_ids) for language, doc_ids in wanted.items()}
    folder = WorkFolder(cache, f"{task.name}-scan", [_VERSION, sha256(repr(ids).encode()).hexdigest()], progress)
    scans = [_load(folder, shard) for shard in shards]
    missing = [number for number, scan in enumerate(scans) if scan is None]
    if missing:
        progress.start("scan", len(missing))
        for number, scan in engine.map(partial(Scanner, task.name, wanted), [shards[number] for number in missing]):
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
    progress: Progress = _SILENCE,
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


def _key(shard: Scanned) -> list[str]:
    return [shard.fingerprint, shard.shard.language]


def _load(folder: WorkFolder, shard: Scanned) -> Scan | None:
    ids = folder.mapped(_key(shard))
    if ids is None:
        return None

    def make(arrays: Arrays) -> Scan:
        return Scan.of(arrays, ids)

    return folder.load(_key(shard), ("digest", "relevant"), make)


def _save(folder: WorkFolder, shard: Scanned, scan: Scan) -> Scan:
    ids = folder.map(_key(shard), scan.ids)
    folder.save(_key(shard), scan.arrays())
    return replace(scan, ids=ids)


def _corpora(
    task: Task, sharded: ShardedCollection, scans: Sequence[tuple[Scanned, Scan]], progress: Progress
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
