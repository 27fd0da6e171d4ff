"""Reads MIRACL's own format: topics and judgments in TSV, corpora in shards of compressed JSON lines."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.errors import DataError, UnknownName
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.records import Collection, Document, Judgment, Query, document_id, sample_documents

OPTIONS = ("collection",)

_SHARD = re.compile(r"docs-(0|[1-9][0-9]*)\.jsonl(\.gz)?")


@dataclass(frozen=True, slots=True)
class _Language:
    """One language's share of the collection; `n_documents` counts those that were not kept as well."""

    queries: tuple[Query, ...]
    judgments: dict[str, tuple[Judgment, ...]]
    documents: tuple[Document, ...]
    n_documents: int


def read(request: ReadRequest) -> Collection:
    """Return the collection of files with the roles `queries`, `qrels` and `documents` (shards), for each language.

    Topics are lines `id TAB question`, judgments `id Q0 document grade`, documents `{"docid", "title", "text"}`; the
    text of a document is title, blank, text, as in the baselines (arXiv 2210.09984). Ids of topics are shared by
    unrelated questions of other languages: a topic here is `language:id`. A document that is judged 0 is one of the
    corpus like any other.

    The option `collection` is the name in the documents' ids (by default the task's), so that tasks on the same corpora
    have the same documents. Shards are streamed: with a `limit` no more is held than the sample needs. Raises
    `DataError` with file and line.
    """
    unknown = [name for name in request.options if name not in OPTIONS]
    if unknown:
        raise UnknownName("option of the reader miracl", unknown[0], OPTIONS)
    found = {language: _read_language(request, language) for language in request.languages}
    judgments = {topic: rows for each in found.values() for topic, rows in each.judgments.items()}
    return Collection(
        languages=request.languages,
        queries={language: each.queries for language, each in found.items()},
        documents={language: each.documents for language, each in found.items()},
        judgments=judgments,
        clusters={topic: topic for topic in judgments},
        parallel=False,
        left_out={language: each.n_documents - len(each.documents) for language, each in found.items()},
    )


def _read_language(request: ReadRequest, language: str) -> _Language:
    topics = _the_file(request, "queries", language)
    queries = tuple(Query(f"{language}:{topic}", text) for topic, text in _topics(topics))
    judgments: dict[str, list[Judgment]] = {query.topic_id: [] for query in queries}
    for topic, own_id, grade, place in _judgments(_the_file(request, "qrels", language)):
        if f"{language}:{topic}" not in judgments:
            raise DataError(f"{place}: topic {topic!r} is not in {topics.name}")
        if grade >= 1:
            judgments[f"{language}:{topic}"].append(Judgment(language, _doc_id(request, language, own_id), grade))
    relevant = {judgment.doc_id for rows in judgments.values() for judgment in rows}
    stream = _Counted(request, language)
    documents = tuple(stream) if request.limit is None else sample_documents(stream, relevant, request.limit)
    return _Language(queries, {topic: tuple(rows) for topic, rows in judgments.items()}, documents, stream.number)


class _Counted:
    """The documents of one language, shard by shard; `number` says how many have gone by."""

    def __init__(self, request: ReadRequest, language: str) -> None:
        self.request, self.language, self.number = request, language, 0
        self.shards = _shards(request, language)

    def __iter__(self) -> Iterator[Document]:
        for shard in self.shards:
            for own_id, text in _documents(shard):
                self.number += 1
                yield Document(_doc_id(self.request, self.language, own_id), text)


def _doc_id(request: ReadRequest, language: str, own_id: str) -> str:
    return document_id(str(request.options.get("collection", request.task)), language, "", own_id)


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
    for place, line in _lines(path):
        topic, tab, text = line.partition("\t")
        if not tab or not text.strip() or not re.fullmatch(r"\S+", topic):
            raise DataError(f"{place}: must be 'topic TAB question', not {line[:60]!r}")
        if topic in seen:
            raise DataError(f"{place}: topic {topic!r} is there twice")
        seen.add(topic)
        yield topic, text.strip()
    if not seen:
        raise DataError(f"{path.name}: the file is empty")


def _judgments(path: Path) -> Iterator[tuple[str, str, int, str]]:
    seen: set[tuple[str, str]] = set()
    for place, line in _lines(path):
        columns = line.split()
        if len(columns) != 4 or not re.fullmatch(r"[+-]?[0-9]{1,9}", columns[3], re.ASCII):
            raise DataError(f"{place}: must be 'topic Q0 document grade', with no blank in an id, not {line[:60]!r}")
        topic, own_id = columns[0], columns[2]
        if (topic, own_id) in seen:
            raise DataError(f"{place}: document {own_id!r} is judged twice for topic {topic!r}")
        seen.add((topic, own_id))
        yield topic, own_id, int(columns[3]), place
    if not seen:
        raise DataError(f"{path.name}: the file is empty")


def _documents(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the own id and the text of each document of a shard."""
    place = ""
    for place, line in _lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: not valid JSON: {str(error)[:100]}") from error
        own_id, title, text = (row.get(key) if isinstance(row, dict) else None for key in ("docid", "title", "text"))
        if not (isinstance(own_id, str) and isinstance(title, str) and isinstance(text, str)):
            raise DataError(f"{place}: must be an object with the strings 'docid', 'title' and 'text'")
        if not re.fullmatch(r"[^\s\x00-\x1f\x7f-\x9f]+", own_id):
            raise DataError(f"{place}: docid {own_id!r:.60} is empty or holds white space, which judgments cannot name")
        yield own_id, f"{title} {text}" if title else text
    if not place:
        raise DataError(f"{path.name}: the shard is empty")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the lines that are not blank, with their place; the file is streamed, and unpacked where it ends in .gz."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.decode().rstrip("\r\n")
                if line.strip():
                    yield f"{path.name} line {number}", line
    except EOFError as error:
        raise DataError(f"{path.name} is cut short after line {number:,}: fetch it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} line {number}: not valid UTF-8 at byte {error.start + 1} of the line") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is damaged after line {number:,} ({error}): fetch it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
