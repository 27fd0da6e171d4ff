"""Topics and judgments in the files of TREC, and corpora in JSON lines, for the readers of such collections."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

from mlbench.collection.records import LARGEST_GRADE, Document, document_id
from mlbench.errors import DataError
from mlbench.io.trec_lines import JUDGMENTS, Row, rows
from mlbench.tasks.readers.grades import Grade, parse_grade
from mlbench.tasks.readers.json_lines import packed_lines, parse_object
from mlbench.tasks.readers.sharded import shard_fingerprint

_ID_KEY = "docid"


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file of a corpus, of lines `{"docid", "title", "text"}`: a shard.

    `collection` is the name in its documents' ids, `id_key` the key under which a line has its id. The text of a
    document is its title, a blank and its text; a title may be missing.
    """

    path: Path
    language: str
    collection: str
    id_key: str = _ID_KEY

    @property
    def name(self) -> str:
        """The folder and the name of its file."""
        return f"{self.path.parent.name}/{self.path.name}"

    def fingerprint(self) -> str:
        """Return a digest (hex) of its file and of what else is in its documents' ids."""
        also = () if self.id_key == _ID_KEY else (self.id_key,)
        return shard_fingerprint(self.path, self.language, self.collection, *also)

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


def judgments(path: Path, asked: Container[str]) -> Iterator[tuple[Row, Grade]]:
    """Yield each row `topic Q0 document grade`, in any layout of judgments; raises `DataError` with file and line.

    `asked` are ids of topics, which tell a row from a comment.
    """
    seen: set[tuple[str, str]] = set()
    for row in rows(packed_lines(path), JUDGMENTS, _raise, topics=asked):
        if len(row.document.split()) != 1:
            wanted = f"{JUDGMENTS.example!r}, with a grade and no blank in an id"
            raise DataError(f"{row.where}: must be {wanted}, not {row.document!r:.40}")
        grade = parse_grade(row.value)
        if grade is None:
            raise DataError(f"{row.where}: grade {row.value[:20]!r} is no number up to {LARGEST_GRADE:,}")
        if (row.topic, row.document) in seen:
            raise DataError(f"{row.where}: document {row.document!r} is judged twice for topic {row.topic!r}")
        seen.add((row.topic, row.document))
        yield row, grade
    if not seen:
        raise DataError(f"{path.name}: the file is empty")


def _raise(fault: str) -> NoReturn:
    raise DataError(fault)
