"""Ranked lists that another system wrote: a folder of TREC run files, one for each setting.

A file is named after its setting, `QUERY-DOCUMENTS.trec` or `QUERY-DOCUMENTS.trec.gz`, where DOCUMENTS are the document
languages in alphabetical order, joined by `+`:

    th-th.trec            monolingual
    th-en.trec            cross-lingual: queries in Thai, documents in English
    th-ar+en+th.trec      multilingual; th-all.trec is read instead where no file has this full name
    th-image.trec         from captions in Thai to images
    image-th.trec         from images to captions in Thai; image-ar+en+th.trec or image-all.trec to those of the pool

Each line is `topic Q0 document rank score tag`, its fields separated by blanks or tabs. Lists are ordered as trec_eval
orders them: by score, kept in 32 bits, then by document id as the file writes it, both descending. The rank is ignored.

Topics and documents are named as in the task's own files, or by mlbench's ids. Where several languages of a pool have a
document of one name, `th:d7` or `th-d7` is the Thai one. A file holds only topics and documents of its setting.

In a file with the tag `mlbench`, which `--save-run` writes, scores count down to 1: they are positions, and which
documents tied is unknown.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, TextIO, cast

import numpy as np
from pydantic import BaseModel

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query, own_topic_id, split_document_id
from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, RankedList, Runtime, ScoredRanker
from mlbench.ranking.run_files import TAG

_ENDINGS = (".trec", ".trec.gz")
# A small compressed file may unfold to a line, or to blank lines, without end.
_LONGEST_LINE = 1 << 16
_MOST_BLANK_LINES = 100_000
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z", re.ASCII)


class _Line(NamedTuple):
    """What a line says, and where it stands."""

    where: str
    topic: str
    document: str
    score: float
    tag: str


class _Listed(NamedTuple):
    """What is kept of a line: the score, the document's name in the file, and whether mlbench wrote it."""

    score: float
    name: str
    ours: bool


class Run:
    """Ranked lists in TREC run files, one for each setting (path of a folder)."""

    example = "run:./runs"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """`run:` takes no keys."""

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "RunRanker":
        """Open the folder; raises `RetrieverError` where it holds no run file."""
        folder = Path(locator)
        if not locator or not folder.is_dir():
            raise RetrieverError(f"run: no folder {locator!r}; write run:FOLDER")
        files = sorted(path for path in folder.iterdir() if path.name.endswith(_ENDINGS) and path.is_file())
        if not files:
            raise RetrieverError(f"{folder}: no run files; name them after their settings, as in th-en.trec")
        return RunRanker(folder, files)


class RunRanker(ScoredRanker):
    """The lists of a folder's run files; each is read when its setting is asked for."""

    reads_images = True

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder = folder
        self._files = {path.name: path for path in files}

    @property
    def parameters(self) -> dict[str, Parameter]:
        """How many run files there are."""
        return {"files": len(self._files)}

    def fingerprint(self) -> str:
        """Return a digest of the names and content of all run files."""
        digest = sha256()
        for name, path in sorted(self._files.items()):
            digest.update(name.encode() + b"\x1f" + sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query its first `depth` documents; a topic that is not in the file has an empty list.

        Raises `RetrieverError` where no file is named after `setting`, or with file and line for an unknown topic or
        document, a document of several languages, one listed twice, a malformed line, or a score that is no finite
        number.
        """
        topics = _by_topic([query.topic_id for query in queries], setting.query_language)
        doc_ids = _by_name([document.doc_id for document in documents], setting.document_languages)
        listed: dict[str, dict[str, _Listed]] = {query.topic_id: {} for query in queries}
        for line in _read(self._find(setting)):
            if line.topic not in topics:
                raise RetrieverError(f"{line.where}: topic {line.topic!r} is no query in {setting.query_language}")
            found, doc_id = listed[topics[line.topic]], _the_one(line, doc_ids, setting.document_languages)
            if doc_id in found:
                raise RetrieverError(
                    f"{line.where}: document {line.document!r} is listed twice for topic {line.topic!r}"
                )
            found[doc_id] = _Listed(line.score, line.document, line.tag == TAG)
        return [_ordered(listed[query.topic_id], depth) for query in queries]

    def _find(self, setting: Setting) -> Path:
        stems = [f"{setting.query_language}-{'+'.join(setting.document_languages)}"]
        if setting.kind in ("multilingual", "image_to_pool"):
            stems.append(f"{setting.query_language}-all")
        for stem in stems:
            for ending in _ENDINGS:
                if stem + ending in self._files:
                    return self._files[stem + ending]
        wanted = " or ".join(f"{stem}.trec" for stem in stems)
        raise RetrieverError(f"{self._folder}: no {wanted} (nor with .gz); add it or leave the setting out")


def _by_topic(topic_ids: Sequence[str], language: str) -> Mapping[str, str]:
    """Map each name that a run file may use to the topic it means: its id comes before the name in the task's files."""
    return {own_topic_id(topic_id, language): topic_id for topic_id in topic_ids} | {name: name for name in topic_ids}


def _by_name(doc_ids: Sequence[str], languages: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Map each name that a run file may use to the documents it may mean.

    A document's id comes before a name in the task's files, and that before one with the language in front.
    """
    own: dict[str, list[str]] = {}
    with_language: dict[str, list[str]] = {}
    for doc_id in doc_ids:
        language, name = split_document_id(doc_id, languages)
        own.setdefault(name, []).append(doc_id)
        for sign in ":-" if language else "":
            with_language.setdefault(f"{language}{sign}{name}", []).append(doc_id)
    return with_language | own | {doc_id: [doc_id] for doc_id in doc_ids}


def _the_one(line: _Line, doc_ids: Mapping[str, Sequence[str]], languages: Sequence[str]) -> str:
    """Return the id of the document that a line names; raises `RetrieverError` where there is none, or are several."""
    found = doc_ids.get(line.document, ())
    if len(found) == 1:
        return found[0]
    if not found:
        raise RetrieverError(f"{line.where}: document {line.document!r} is not among those in {', '.join(languages)}")
    names = [split_document_id(doc_id, languages) for doc_id in found]
    instead = [
        f"{language}:{name}" if language else doc_id for doc_id, (language, name) in zip(found, names, strict=True)
    ]
    raise RetrieverError(
        f"{line.where}: {len(found)} documents of this pool are called {line.document!r}: write {' or '.join(instead)}"
    )


def _ordered(listed: Mapping[str, _Listed], depth: int) -> RankedList:
    """Return the documents of a topic in trec_eval's order."""
    with np.errstate(over="ignore"):
        scores = np.array([row.score for row in listed.values()], dtype=np.float64).astype(np.float32)
    rows = zip(scores.tolist(), (row.name for row in listed.values()), listed, strict=True)
    best = sorted(rows, key=lambda row: row[:2], reverse=True)[:depth]
    doc_ids = [doc_id for _, _, doc_id in best]
    counted_down = bool((np.sort(scores) == np.arange(1, len(scores) + 1)).all())
    if counted_down and all(row.ours for row in listed.values()):
        return RankedList(doc_ids)
    return RankedList(doc_ids, np.array([score for score, *_ in best], dtype=np.float32))


def _read(path: Path) -> Iterator[_Line]:
    """Yield each line that is not blank."""
    number = blank = 0
    try:
        with _text(path) as text:
            while line := text.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE:
                    raise RetrieverError(f"{path}, line {number}: longer than {_LONGEST_LINE:,} characters")
                if line.strip():
                    yield _parse(f"{path}, line {number}", line)
                elif (blank := blank + 1) > _MOST_BLANK_LINES:
                    raise RetrieverError(f"{path}: more than {_MOST_BLANK_LINES:,} blank lines")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise RetrieverError(f"{path}, after line {number}: cannot be read: {error}") from error


def _text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig"))
    return path.open(encoding="utf-8-sig")


def _parse(where: str, line: str) -> _Line:
    fields = line.split()
    if len(fields) != 6:
        raise RetrieverError(f"{where}: need 6 fields (topic Q0 document rank score tag), found {len(fields)}")
    topic, _, document, _, score, tag = fields
    # Python reads more than other tools do, such as 1_000.
    if not _NUMBER.match(score) or not np.isfinite(float(score)):
        raise RetrieverError(f"{where}: score {score!r} is not a finite number")
    return _Line(where, topic, document, float(score), tag)
