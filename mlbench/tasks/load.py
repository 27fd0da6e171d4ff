"""From a task to its collection: files found, read by the task's reader, checked and restricted."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlbench import members
from mlbench.collection.languages import match_languages, settings_of
from mlbench.collection.records import LARGEST_GRADE, Collection
from mlbench.errors import DataError
from mlbench.protocols import SILENCE, Progress, Reader, ReadRequest, ShardedCollection, SourceFile
from mlbench.tasks.files import ImageSources, find_all
from mlbench.tasks.find_reader import describe_hub_set, load_reader
from mlbench.tasks.task import DeclaredFile, Task

MOST_KEPT = 100_000
"""Collections of so many texts altogether are kept, so that several models on one task read it once."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_collection(
    task: Task,
    *,
    languages: Sequence[str] | None = None,
    limit: int | None = None,
    data_dir: Path | None = None,
    progress: Progress = SILENCE,
) -> Collection:
    """Return the collection of `task`, restricted to `languages` (None: all of them, in any order, none twice).

    With a `limit`, of at least 1, it is a sample of so many topics (see `Collection.sample`). The whole task is read
    and checked before it is sampled and restricted, so clusters and missing documents do not depend on either, nor a
    language's sample on the other languages. Only where nothing can depend on them, the files of other languages are
    left alone: where topics are not parallel and every file is of one language, and by readers that say so (see
    `SeparateReader`). Raises `UnknownName` for a language the task has not, `DataError` for missing, altered or
    unexpected data.

    Where the task does not say whether `documents` are translations, they are those of a task of captions, and where no
    topic has unequally many relevant documents in two languages (see `Collection.uneven_topic`).
    """
    request, task = _request(task, languages, limit, data_dir, progress)
    reader, key = load_reader(task.reader), _key(task, request)
    kept = _kept.pop(key, None)
    if kept is None or kept.reader is not reader:
        heard = _Listener(progress)
        kept = _Kept(reader, _read(task, reader, replace(request, progress=heard)), heard.notes)
    else:
        for note in kept.notes:
            progress.note(note)
    if key:
        _keep(key, kept)
    return kept.collection


def _read(task: Task, reader: Reader, request: ReadRequest) -> Collection:
    collection = _declared(task, reader(request), request.progress)
    check_collection(task, collection, request.progress)
    if request.limit is not None:
        collection = collection.sample(request.limit)
    if request.wanted is None:
        return collection
    return collection.restrict(task.model_copy(update={"languages": request.wanted}).corpora)


class _Listener:
    """A `Progress` that passes on what it is told, and remembers the notes."""

    def __init__(self, progress: Progress) -> None:
        self.notes: list[str] = []
        self.start, self.advance, self.finish = progress.start, progress.advance, progress.finish
        self._note = progress.note

    def note(self, message: str) -> None:
        self.notes.append(message)
        self._note(message)


@dataclass(frozen=True)
class _Kept:
    """A collection that was read, by which reader, and what it told."""

    reader: Reader
    collection: Collection
    notes: list[str]

    @property
    def n_texts(self) -> int:
        sides = (self.collection.queries, self.collection.documents)
        return sum(len(rows) for side in sides for rows in side.values())


_kept: dict[str, _Kept] = {}


def _key(task: Task, request: ReadRequest) -> str:
    """Return what decides the collection, or "" where files may have changed since they were read.

    Files with a checksum were verified against it just now. Images are opened later, and readers without files read
    what they find.
    """
    if task.images is not None or not task.files or not all(file.checksum for file in task.files):
        return ""
    return json.dumps([task.model_dump_json(), request.wanted, request.limit])


def _keep(key: str, kept: _Kept) -> None:
    """Keep a collection for later calls, and let go of those used longest ago where too many texts are held."""
    _kept[key] = kept
    while sum(each.n_texts for each in _kept.values()) > MOST_KEPT:
        del _kept[next(iter(_kept))]


def check_files(
    task: Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    progress: Progress = SILENCE,
) -> tuple[SourceFile, ...]:
    """Find the files that `load_collection` would read, download those that are missing, and return them.

    Raises `UnknownName` for a language the task has not, `DataError` for files that are missing or altered.
    """
    return _request(task, languages, None, data_dir, progress)[0].files


def provide_images(task: Task, folder: Path | None, *, progress: Progress = SILENCE) -> Collection:
    """Put the images of `task` into `folder`, so that it serves as `--data-dir`; return what is then there, checked.

    What another folder or the cache has is copied or unpacked, the rest downloaded; without a folder, what is missing
    is put into the cache. Raises `DataError` where some are to be had nowhere.
    """
    request, task = _request(task, None, None, folder, progress)
    if isinstance(request.images, ImageSources):
        request = replace(request, images=replace(request.images, into=folder, most_bytes=None))
    collection = _declared(task, load_reader(task.reader)(request), SILENCE)
    check_collection(task, collection, progress)
    return collection


def with_files(task: Task) -> Task:
    """Return the task with the files of the data set on the hub that it names; any other task as it is.

    The hub is asked for a list of files once, and what it said is kept. Raises `DataError` where the hub cannot be
    reached, or has no such data set, `MissingExtra` where its client is not installed.
    """
    if task.hub is None or task.files:
        return task
    try:
        entries = describe_hub_set(task.hub, task.languages, pinned=True)["files"]
    except ValueError as error:
        raise DataError(str(error)) from error
    assert isinstance(entries, list)
    files = [DeclaredFile.model_validate(entry) for entry in entries]
    meant = match_languages(task.languages, {file.language for file in files if file.language})
    found = [
        file.model_copy(update={"language": meant.get(file.language or "")})
        for file in files
        if not file.language or file.language in meant
    ]
    return task.model_copy(update={"files": tuple(found)})


def is_sharded(task: Task) -> bool:
    """Say whether the corpora of `task` can be read shard by shard."""
    return members.gives_shards(load_reader(task.reader))


def load_shards(
    task: Task,
    *,
    languages: Sequence[str] | None = None,
    data_dir: Path | None = None,
    progress: Progress = SILENCE,
) -> tuple[Task, ShardedCollection]:
    """Return queries, judgments and shards of a sharded task, and the task as far as it is asked for.

    Nothing but the queries is checked, see `check_collection`. Raises as `load_collection` does.
    """
    request, task = _request(task, languages, None, data_dir, progress)
    reader = load_reader(task.reader)
    if not members.gives_shards(reader):
        raise TypeError(f"the reader {task.reader} gives no shards")
    sharded = reader.shards(request)
    collection = _declared(task, sharded.collection, progress)
    if collection.queries_are_documents:
        raise DataError(f"{task.name}: queries that are documents cannot be read shard by shard")
    for language, rows in collection.queries.items():
        _check_rows(f"{task.name}: {language} topic", rows)
    if request.wanted is None:
        return task, ShardedCollection(collection, sharded.shards)
    shards = tuple(shard for shard in sharded.shards if shard.language in request.wanted)
    task = task.model_copy(update={"languages": request.wanted})
    return task, ShardedCollection(collection.restrict(request.wanted), shards)


def check_collection(task: Task, collection: Collection, progress: Progress) -> None:
    """Check what every reader owes, so that the steps after it need not, and tell what is missing.

    Documents that `collection.left_out` counts were seen by somebody else. Raises `DataError`.
    """
    _check_content(task, collection)
    _check_counts(task, collection)
    _tell_gaps(task, collection, progress)
    _tell_twins(task, collection, progress)


def _request(
    task: Task, languages: Sequence[str] | None, limit: int | None, data_dir: Path | None, progress: Progress
) -> tuple[ReadRequest, Task]:
    """Find the files; return what the reader is asked for, and the task as far as it is read."""
    if isinstance(languages, str):
        raise DataError(f"languages must be a list of tags, such as [{languages!r}]")
    wanted = task.choose(languages)
    if not wanted:
        raise DataError(f"{task.name}: no language is asked for: known are {', '.join(task.languages)}")
    task = with_files(task)
    if members.reads_languages_apart(load_reader(task.reader)) or (
        task.files and not task.parallel and all(file.language for file in task.files)
    ):
        own = tuple(file for file in task.files if file.language in (None, *wanted))
        task = task.model_copy(update={"languages": wanted, "files": own})
    request = ReadRequest(
        task=task.name,
        languages=task.languages,
        files=find_all(task, data_dir=data_dir, progress=progress),
        document_text=task.document_text,
        options=dict(task.options),
        limit=limit,
        parallel=task.parallel,
        wanted=None if wanted == task.languages else wanted,
        progress=progress,
        images=None if task.images is None else ImageSources(task, task.images, data_dir, progress),
    )
    return request, task


def _declared(task: Task, collection: Collection, progress: Progress) -> Collection:
    """Return the collection with what the task says of its topics and documents, or what follows from the judgments."""
    uneven = None if task.kind == "image_text" or not task.parallel else collection.uneven_topic()
    translated = task.documents == "translations" if task.documents else uneven is None
    if uneven is not None and task.documents != "native":
        (most, n_most), *_, (fewest, n_fewest) = Counter(
            row.language for row in collection.judgments[uneven]
        ).most_common()
        consequence = (
            "bias scores use one of them for each language, chosen by its id"
            if translated
            else "they are not taken for translations of each other, and bias scores are those for native documents; "
            'if they are, say documents = "translations" in the task file'
        )
        progress.note(
            f"{task.name}: topic {uneven!r} has {n_most:,} relevant documents in {most}, {n_fewest:,} in {fewest}: "
            + consequence
        )
    return replace(
        collection, parallel=task.parallel, translated=translated, ignore_identical_ids=task.ignore_identical_ids
    )


def _check_content(task: Task, collection: Collection) -> None:
    if collection.languages != task.corpora:
        raise DataError(f"{task.name}: the reader gave the languages {', '.join(collection.languages)}")
    for language in task.corpora:
        _check_rows(f"{task.name}: {language} topic", collection.queries[language])
        _check_rows(f"{task.name}: {language} document", collection.documents[language])
    everywhere = Counter(row.doc_id for rows in collection.documents.values() for row in rows)
    for doc_id, times in everywhere.items():
        if times > 1:
            raise DataError(f"{task.name}: document {doc_id} is in several languages")
    _check_topics(task, collection)
    _check_judgments(task, collection)
    if collection.queries_are_documents:
        _check_itself(task, collection)


def _check_topics(task: Task, collection: Collection) -> None:
    homes: dict[str, str] = {}
    for language in task.corpora:
        for topic, _ in collection.queries[language]:
            home = homes.setdefault(topic, language)
            if home != language and not task.parallel:
                raise DataError(
                    f"{task.name}: topic {topic!r} is in {home} and in {language}, but the task says parallel = false: "
                    "use different ids in different languages"
                )
            if topic not in collection.clusters or topic not in collection.judgments:
                raise DataError(f"{task.name}: the reader gave topic {topic!r} no cluster or no judgments")


def _check_itself(task: Task, collection: Collection) -> None:
    """Check that each query is one document of its language, where the reader says that queries are documents."""
    judged: dict[tuple[str, str], list[str]] = {}
    for topic, rows in collection.judgments.items():
        for row in rows:
            judged.setdefault((row.language, topic), []).append(row.doc_id)
    for language in task.languages:
        there = {row.doc_id for row in collection.documents[language]}
        for topic, _ in collection.queries[language]:
            own = judged.get((language, topic), [])
            if len(own) != 1 or own[0] not in there:
                raise DataError(
                    f"{task.name}: the reader says that queries are documents, but topic {topic!r} has {len(own)} "
                    f"relevant documents in {language}, or one that is not in the corpus"
                )


def _check_judgments(task: Task, collection: Collection) -> None:
    for topic, rows in collection.judgments.items():
        for language, _, grade in rows:
            if language not in task.corpora:
                raise DataError(
                    f"{task.name}: topic {topic!r} has a judgment in {language!r}, which is no language of the task"
                )
            if not 1 <= grade <= LARGEST_GRADE:
                raise DataError(
                    f"{task.name}: topic {topic!r} has a judgment of grade {grade}, relevant ones are 1 and more, "
                    f"up to {LARGEST_GRADE:,}"
                )


def _check_rows(what: str, rows: Sequence[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for name, text in rows:
        if name in seen:
            raise DataError(f"{what} {name} is there twice")
        if not text.strip():
            raise DataError(f"{what} {name} has no text")
        if _SURROGATE.search(text) or _SURROGATE.search(name):
            raise DataError(f"{what} {name!r} holds half of a surrogate pair, which is no character")
        seen.add(name)


def _tell_gaps(task: Task, collection: Collection, progress: Progress) -> None:
    """Say how many topics have no relevant document, and how many relevant documents the corpora have not.

    Raises `DataError` where these have none of them.
    """
    there = {row.doc_id for rows in collection.documents.values() for row in rows}
    relevant = {row.doc_id for rows in collection.judgments.values() for row in rows}
    missing = relevant - there
    if missing and missing == relevant and (there or any(collection.left_out.values())):
        raise DataError(
            f"{task.name}: none of the {len(relevant):,} relevant documents is in a corpus: write ids in the judgments "
            "as the documents have them"
        )
    bare = sum(not rows for rows in collection.judgments.values())
    if bare:
        rest = "topic has no relevant document and is" if bare == 1 else "topics have no relevant document and are"
        progress.note(f"{task.name}: {bare:,} {rest} left out")
    if missing:
        rest = "document is in no corpus and counts" if len(missing) == 1 else "documents are in no corpus and count"
        progress.note(f"{task.name}: {len(missing):,} relevant {rest} as never found")


def _tell_twins(task: Task, collection: Collection, progress: Progress) -> None:
    """Warn of queries that stand in the corpora as documents, which are not judged: retrievers find these first."""
    if task.kind != "text" or collection.queries_are_documents:
        return
    searched: dict[str, set[str]] = {}
    for setting in settings_of(collection.languages, task.settings):
        searched.setdefault(setting.query_language, set()).update(setting.document_languages)
    count = sum(
        not collection.unjudged_twins(language, query).isdisjoint(searched.get(language, ()))
        for language, rows in collection.queries.items()
        for query in rows
    )
    if count:
        advice = (
            "they have other ids, so that ignore_identical_ids does not leave them out"
            if task.ignore_identical_ids
            else "ignore_identical_ids = true in the task file leaves out documents with the id of the query"
        )
        rest = "query is a document" if count == 1 else "queries are documents"
        progress.note(
            f"warning: {task.name}: {count:,} {rest} of the corpora, by text or id, and not judged relevant, though a "
            f"retriever finds such documents first: {advice}"
        )


def _check_counts(task: Task, collection: Collection) -> None:
    left_out = collection.left_out
    queries = {tag: len(rows) for tag, rows in collection.queries.items()}
    documents = {tag: len(rows) + left_out.get(tag, 0) for tag, rows in collection.documents.items()}
    if task.kind == "image_text":
        # Each caption and each image is both, and a sample of them has more documents than queries.
        queries = documents
    for what, expected, rows in (
        ("queries", task.expected.queries, queries),
        ("documents", task.expected.documents, documents),
    ):
        for language, found in rows.items():
            count = expected.get(language, found)
            if found != count:
                raise DataError(f"{task.name}: {language} has {found:,} {what}, expected are {count:,}")
