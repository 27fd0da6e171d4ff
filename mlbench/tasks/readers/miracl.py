"""Reads MIRACL's own format: topics and judgments in TSV, corpora in shards of compressed JSON lines."""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

from mlbench.collection.records import Collection, Document, Query, document_id
from mlbench.errors import DataError
from mlbench.io.trec_lines import JUDGMENTS, Row, rows
from mlbench.protocols import ReadRequest, ShardedCollection, SourceFile
from mlbench.tasks.readers.grades import RELEVANCE_THRESHOLD, Grade, parse_grade, split_judgments, threshold_of
from mlbench.tasks.readers.json_lines import check_options, packed_lines, parse_object
from mlbench.tasks.readers.sharded import hold, shard_fingerprint

OPTIONS = ("collection", RELEVANCE_THRESHOLD)
_STRINGS = "with the strings 'docid', 'title' and 'text'"
_SHARD = re.compile(r"docs-(0|[1-9][0-9]*)\.jsonl(\.gz)?")


@dataclass(frozen=True, slots=True)
class _Topics:
    """One language's queries, and the judged documents of each topic: language, own id and grade."""

    queries: tuple[Query, ...]
    judgments: dict[str, list[tuple[str, str, Grade]]]


@dataclass(frozen=True, slots=True)
class MiraclShard:
    """One file of a corpus; `collection` is the name in its documents' ids."""

    path: Path
    language: str
    collection: str

    @property
    def name(self) -> str:
        """The folder and the name of its file."""
        return f"{self.path.parent.name}/{self.path.name}"

    def fingerprint(self) -> str:
        """Return a digest (hex) of its file and of what else is in its documents' ids."""
        return shard_fingerprint(self.path, self.language, self.collection)

    def documents(self, first: int = 0) -> Iterator[Document]:
        """Yield its documents from number `first` on; those before are unpacked and not looked at."""
        for own_id, text in _documents(self.path, first):
            yield Document(document_id(self.collection, self.language, "", own_id), text)


class Miracl:
    """Reads files with the roles `queries`, `qrels` and `documents` (shards), for each language.

    Topics are lines `id TAB question`, judgments `id Q0 document grade`, documents `{"docid", "title", "text"}`; the
    text of a document is title, blank, text, as in the baselines (arXiv 2210.09984). Ids of topics are shared by
    unrelated questions of other languages: a topic here is `language:id`. A document that is judged 0 is one of the
    corpus like any other.

    The option `collection` is the name in the documents' ids (by default the task's), so that tasks on the same corpora
    have the same documents. The option `relevance_threshold` is the lowest grade that is relevant, 1 without it.
    """

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the whole collection; with a `limit` no more is held than the sample needs.

        Raises `DataError` with file and line.
        """
        return hold(self.shards(request), request.limit)

    def shards(self, request: ReadRequest) -> ShardedCollection:
        """Return queries and judgments, and the files of each corpus in their order, which must have no gap."""
        check_options(request, "miracl", OPTIONS)
        found = {language: _read_topics(request, language) for language in request.languages}
        name = _collection_name(request)
        graded = split_judgments(
            {topic: rows for each in found.values() for topic, rows in each.judgments.items()},
            threshold_of(request),
            lambda language, own_id: document_id(name, language, "", own_id),
        )
        collection = Collection(
            languages=request.languages,
            queries={language: each.queries for language, each in found.items()},
            documents=dict.fromkeys(found, ()),
            judgments=graded.judgments,
            not_relevant=graded.not_relevant,
            grade_scale=graded.grade_scale,
            clusters={topic: topic for topic in graded.judgments},
            parallel=False,
        )
        shards = [
            MiraclShard(path.absolute(), language, name)
            for language in request.languages
            for path in _shards(request, language)
        ]
        return ShardedCollection(collection, tuple(shards))


reader = Miracl()


def _read_topics(request: ReadRequest, language: str) -> _Topics:
    topics = _the_file(request, "queries", language)
    queries = tuple(Query(f"{language}:{topic}", text) for topic, text in _topics(topics))
    judgments: dict[str, list[tuple[str, str, Grade]]] = {query.topic_id: [] for query in queries}
    own_ids = {query.topic_id.removeprefix(f"{language}:") for query in queries}
    for row, grade in _judgments(_the_file(request, "qrels", language), own_ids):
        if row.topic not in own_ids:
            raise DataError(f"{row.where}: topic {row.topic!r} is not in {topics.name}")
        judgments[f"{language}:{row.topic}"].append((language, row.document, grade))
    return _Topics(queries, judgments)


def _collection_name(request: ReadRequest) -> str:
    return str(request.options.get("collection", request.task))


def _the_file(request: ReadRequest, role: str, language: str) -> Path:
    found = _files(request, role, language)
    if len(found) != 1:
        raise DataError(f"{request.task}: {language!r} has {len(found)} files with the role {role!r}, it needs one")
    return found[0].path


def _shards(request: ReadRequest, language: str) -> list[Path]:
    """Return the shards of a corpus in their order, which must have no gap."""
    paths = [source.path for source in _files(request, "documents", language)]
    if not paths:
        raise DataError(f"{request.task}: {language!r} has no file with the role 'documents'")
    numbers = {int(match[1]): path for path in paths if (match := _SHARD.fullmatch(path.name))}
    if len(numbers) < len(paths):
        odd = next((path.name for path in paths if not _SHARD.fullmatch(path.name)), "a number twice")
        raise DataError(f"{request.task}: shards of {language!r} are named docs-0.jsonl.gz and so on, not {odd}")
    for number in range(len(numbers)):
        if number not in numbers:
            raise DataError(
                f"{request.task}: shard docs-{number} of {language!r} is missing among "
                f"{len(numbers)} shards up to docs-{max(numbers)}"
            )
    return [numbers[number] for number in range(len(numbers))]


def _files(request: ReadRequest, role: str, language: str) -> Sequence[SourceFile]:
    return [source for source in request.files if source.role == role and source.language == language]


def _topics(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for place, line in packed_lines(path):
        topic, tab, text = line.partition("\t")
        if not tab or not text.strip() or not re.fullmatch(r"\S+", topic):
            raise DataError(f"{place}: must be 'topic TAB question', not {line[:60]!r}")
        if topic in seen:
            raise DataError(f"{place}: topic {topic!r} is there twice")
        seen.add(topic)
        yield topic, text.strip()
    if not seen:
        raise DataError(f"{path.name}: the file is empty")


def _judgments(path: Path, topics: Container[str]) -> Iterator[tuple[Row, Grade]]:
    seen: set[tuple[str, str]] = set()
    for row in rows(packed_lines(path), JUDGMENTS, _raise, topics=topics):
        grade = parse_grade(row.value)
        if grade is None:
            raise DataError(f"{row.where}: grade {row.value[:20]!r} is no number, or too large")
        if (row.topic, row.document) in seen:
            raise DataError(f"{row.where}: document {row.document!r} is judged twice for topic {row.topic!r}")
        seen.add((row.topic, row.document))
        yield row, grade
    if not seen:
        raise DataError(f"{path.name}: the file is empty")


def _raise(fault: str) -> NoReturn:
    raise DataError(fault)


def _documents(path: Path, first: int) -> Iterator[tuple[str, str]]:
    """Yield the own id and the text of each document of a shard, from number `first` on."""
    place = ""
    for place, line in islice(packed_lines(path, f"{path.parent.name}/{path.name}"), first, None):
        row = parse_object(line, place, _STRINGS)
        own_id, title, text = (row.get(key) for key in ("docid", "title", "text"))
        if not (isinstance(own_id, str) and isinstance(title, str) and isinstance(text, str)):
            raise DataError(f"{place}: must be an object {_STRINGS}")
        if not re.fullmatch(r"[^\s\x00-\x1f\x7f-\x9f]+", own_id):
            raise DataError(f"{place}: docid {own_id!r:.60} is empty or holds white space, which judgments cannot name")
        yield own_id, f"{title} {text}" if title else text
    if not place and not first:
        raise DataError(f"{path.parent.name}/{path.name}: the shard is empty")
