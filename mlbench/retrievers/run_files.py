"""Ranked lists that another system wrote: a folder of TREC run files, one for each setting.

A file is named after its setting, `QUERY-DOCUMENTS.trec` or `QUERY-DOCUMENTS.trec.gz`, where DOCUMENTS are the document
languages in alphabetical order, joined by `+`:

    th-th.trec            monolingual
    th-en.trec            cross-lingual: queries in Thai, documents in English
    th-ar+en+th.trec      multilingual; th-all.trec is read instead where no file has this full name
    th-image.trec         from captions in Thai to images
    image-th.trec         from images to captions in Thai; image-ar+en+th.trec or image-all.trec to those of the pool

Each line is `topic Q0 document rank score tag`. Lists are ordered by score descending, then by document id descending
(the rule of trec_eval); rank and tag are ignored. Documents are named by their full id, or without the 12-digit hash in
front; a file holds only topics and documents of its setting.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TextIO, cast

from pydantic import BaseModel

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Runtime

_ENDINGS = (".trec", ".trec.gz")
# A small compressed file may unfold to a line, or to blank lines, without end.
_LONGEST_LINE = 1 << 16
_MOST_BLANK_LINES = 100_000
_HASHED = re.compile(r"[0-9a-f]{12}-(.+)\Z", re.DOTALL)


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


class RunRanker:
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

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        """Return for each query its first `depth` document ids; a topic that is not in the file has an empty list.

        Raises `RetrieverError` where no file is named after `setting`, or with file and line for an unknown topic or
        document, one listed twice, a malformed line, or a score that is not a finite number.
        """
        path = self._find(setting)
        doc_ids = _by_name([document.doc_id for document in documents])
        scores: dict[str, dict[str, float]] = {query.topic_id: {} for query in queries}
        for where, topic, name, score in _read(path):
            if topic not in scores:
                raise RetrieverError(f"{where}: topic {topic!r} is no query in {setting.query_language}")
            doc_id = doc_ids.get(name)
            if doc_id is None:
                raise RetrieverError(
                    f"{where}: document {name!r} is not among those in {', '.join(setting.document_languages)}"
                )
            if doc_id in scores[topic]:
                raise RetrieverError(f"{where}: document {name!r} is listed twice for topic {topic!r}")
            scores[topic][doc_id] = score
        return [_ordered(scores[query.topic_id])[:depth] for query in queries]

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


def _by_name(doc_ids: Sequence[str]) -> Mapping[str, str]:
    """Map each name that a run file may use to the id it means; a short name of several documents means none."""
    names: dict[str, str] = {}
    ambiguous: set[str] = set()
    for doc_id in doc_ids:
        match = _HASHED.match(doc_id)
        if match and names.setdefault(match[1], doc_id) != doc_id:
            ambiguous.add(match[1])
    kept = {name: doc_id for name, doc_id in names.items() if name not in ambiguous}
    return {**kept, **{doc_id: doc_id for doc_id in doc_ids}}


def _ordered(scores: Mapping[str, float]) -> list[str]:
    return sorted(scores, key=lambda doc_id: (scores[doc_id], doc_id), reverse=True)


def _read(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Yield place, topic, document and score of each line; blank lines are skipped."""
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
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8"))
    return path.open(encoding="utf-8")


def _parse(where: str, line: str) -> tuple[str, str, str, float]:
    fields = line.split()
    if len(fields) != 6:
        raise RetrieverError(f"{where}: need 6 fields (topic Q0 document rank score tag), found {len(fields)}")
    topic, _, name, _, score, _ = fields
    try:
        number = float(score)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RetrieverError(f"{where}: score {score!r} is not a finite number")
    return where, topic, name, number
