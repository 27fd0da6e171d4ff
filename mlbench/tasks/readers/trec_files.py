"""Topics and judgments in the files of TREC, and corpora in JSON lines, for the readers of such collections."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import file_digest, sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mlbench.collection.records import Collection, Document, document_id, sample_documents
from mlbench.errors import DataError
from mlbench.protocols import Shard, ShardedCollection
from mlbench.tasks.readers.grades import Grade, parse_grade
from mlbench.tasks.readers.json_lines import packed_lines, parse_object


class JudgmentLine(NamedTuple):
    """What a line of judgments says, and its place; `second` is its second column, which is mostly not used."""

    topic: str
    second: str
    own_id: str
    grade: Grade
    place: str


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file of a corpus, of lines `{"docid", "title", "text"}`: a shard.

    `collection` is the name in its documents' ids, `id_key` the key under which a line has its id. The text of a
    document is its title, a blank and its text; a title may be missing.
    """

    path: Path
    language: str
    collection: str
    id_key: str = "docid"

    @property
    def name(self) -> str:
        """The folder and the name of its file."""
        return f"{self.path.parent.name}/{self.path.name}"

    def fingerprint(self) -> str:
        """Return a digest (hex) of its file and of what else is in its documents' ids."""
        try:
            with self.path.open("rb") as stream:
                content = file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        return sha256("\n".join((content, self.language, self.collection)).encode()).hexdigest()

    def documents(self, first: int = 0) -> Iterator[Document]:
        """Yield its documents from number `first` on; those before are unpacked and not looked at."""
        place, strings = "", f"with the strings {self.id_key!r}, 'title' and 'text'"
        for place, line in islice(packed_lines(self.path, self.name), first, None):
            row = parse_object(line, place, strings)
            own_id, title, text = row.get(self.id_key), row.get("title") or "", row.get("text")
            if not (isinstance(own_id, str) and isinstance(title, str) and isinstance(text, str)):
                raise DataError(f"{place}: must be an object {strings}")
            if not re.fullmatch(r"[^\s\x00-\x1f\x7f-\x9f]+", own_id):
                raise DataError(
                    f"{place}: {self.id_key} {own_id!r:.60} is empty or holds white space, which judgments cannot name"
                )
            doc_id = document_id(self.collection, self.language, "", own_id)
            yield Document(doc_id, f"{title} {text}" if title else text)
        if not place and not first:
            raise DataError(f"{self.name}: the shard is empty")


class _DocumentCounter:
    """The documents of one language, shard by shard; `number` says how many have gone by."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        self.number, self._shards = 0, shards

    def __iter__(self) -> Iterator[Document]:
        for shard in self._shards:
            for document in shard.documents(0):
                self.number += 1
                yield document


def in_memory(sharded: ShardedCollection, limit: int | None) -> Collection:
    """Return the whole collection; with a `limit` no more is held than a sample of so many topics needs."""
    documents, counts = {}, {}
    judged = [row for rows in sharded.collection.judgments.values() for row in rows]
    for language in sharded.collection.languages:
        stream = _DocumentCounter(shard for shard in sharded.shards if shard.language == language)
        relevant = {row.doc_id for row in judged if row.language == language}
        documents[language] = tuple(stream) if limit is None else sample_documents(stream, relevant, limit)
        counts[language] = stream.number
    left_out = {language: counts[language] - len(rows) for language, rows in documents.items()}
    return replace(sharded.collection, documents=documents, left_out=left_out)


def topics(path: Path) -> Iterator[tuple[str, str]]:
    """Yield id and question of each line `id TAB question`; raises `DataError` with file and line."""
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


def judgments(path: Path) -> Iterator[JudgmentLine]:
    """Yield each line `topic Q0 document grade`; raises `DataError` with file and line."""
    seen: set[tuple[str, str]] = set()
    for place, line in packed_lines(path):
        columns = line.split()
        grade = parse_grade(columns[-1])
        if len(columns) != 4 or grade is None:
            raise DataError(f"{place}: must be 'topic Q0 document grade', with no blank in an id, not {line[:60]!r}")
        topic, second, own_id = columns[:3]
        if (topic, own_id) in seen:
            raise DataError(f"{place}: document {own_id!r} is judged twice for topic {topic!r}")
        seen.add((topic, own_id))
        yield JudgmentLine(topic, second, own_id, grade, place)
    if not seen:
        raise DataError(f"{path.name}: the file is empty")
