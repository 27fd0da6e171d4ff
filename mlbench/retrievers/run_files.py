"""Ranked lists that another system wrote: a folder of run files, one for each setting, or one file for one setting.

A file is named after its setting, `QUERY-DOCUMENTS` with the ending of its format, where DOCUMENTS are the document
languages in alphabetical order, joined by `+`; where no file has this name, languages may be in any common form and
order, as in `tha_Thai-eng_Latn.trec`:

    th-th.trec            monolingual
    th-en.trec            cross-lingual: queries in Thai, documents in English
    th-ar+en+th.trec      multilingual; th-all.trec is read instead where no file has this full name
    th-image.trec         from captions in Thai to images
    image-th.trec         from images to captions in Thai; image-ar+en+th.trec or image-all.trec to those of the pool

The endings are `.trec`, `.run`, `.txt`, `.tsv`, `.csv` and `.json`, each also with `.gz`. Whatever its ending, a file
holds lines `topic Q0 document rank score tag`, rows of fewer columns or with a header (see `io.trec_lines`), or JSON
`{topic: {document: score}}`. Lists are ordered as trec_eval orders them: by score, kept in 32 bits, then by document id
as the file writes it, both descending. The rank is ignored, unless it stands where scores are missing.

Topics and documents are named as in the task's own files, or by mlbench's ids. Where several languages of a pool have a
document of one name, `th:d7` or `th-d7` is the Thai one. A file holds only topics and documents of its setting.

In a file with the tag `mlbench`, which `--save-run` writes, scores count down to 1: they are positions, and which
documents tied is unknown. So it is where a file has ranks and no scores.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO, cast

import numpy as np
from pydantic import BaseModel

from mlbench.collection.languages import Setting, check_language, full_language
from mlbench.collection.records import Document, Query, own_topic_id, split_document_id
from mlbench.errors import RetrieverError, UserError
from mlbench.io.trec_lines import NUMBER, RUN, Row, is_json, json_rows, rows
from mlbench.protocols import Parameter, RankedList, Runtime, ScoredRanker
from mlbench.ranking.run_files import TAG

_ENDINGS = tuple(
    f"{ending}{packed}" for ending in (".trec", ".run", ".txt", ".tsv", ".csv", ".json") for packed in ("", ".gz")
)
# Other text files may lie beside run files; these are named after a setting.
_NAMED = re.compile(r"\w[\w-]*-\w[\w+-]*")
# A small compressed file may unfold to a line, or to blank lines, without end.
_LONGEST_LINE = 1 << 16
_MOST_BLANK_LINES = 100_000
_LONGEST_JSON = 1 << 30
_START = 100
_UNREADABLE = (OSError, EOFError, UnicodeDecodeError, zlib.error)


class _Listed(NamedTuple):
    """What is kept of a row: the score, the document's name in the file, and whether mlbench wrote it, or a rank."""

    score: float
    name: str
    ours: bool
    by_rank: bool = False


class Run:
    """Ranked lists in run files, one for each setting (path of a folder, or of the file of a single setting)."""

    example = "run:./runs"

    class Settings(BaseModel, extra="forbid", frozen=True):
        """`run:` takes no keys."""

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "RunRanker":
        """Open the folder or file; raises `RetrieverError` where it is none, or a folder without a run file."""
        path = Path(locator)
        if locator and path.is_file():
            return RunRanker(path, [path])
        if not locator or not path.is_dir():
            raise RetrieverError(f"run: no folder and no file {locator!r}; write run:FOLDER or run:FILE")
        files = sorted(each for each in path.iterdir() if _is_named(each.name) and each.is_file())
        if not files:
            raise RetrieverError(f"{path}: no run files; name them after their settings, as in th-en.trec")
        return RunRanker(path, files)


def _is_named(name: str) -> bool:
    """Say whether a file is called as one with lists is."""
    if name.endswith((".trec", ".trec.gz")):
        return True
    return name.endswith(_ENDINGS) and _NAMED.fullmatch(name.partition(".")[0]) is not None


class RunRanker(ScoredRanker):
    """The lists of a folder's run files, or those of one file; each is read when its setting is asked for."""

    reads_images = True

    def __init__(self, place: Path, files: Sequence[Path]) -> None:
        self._place = place
        self._files = {path.name: path for path in files}
        self._setting: Setting | None = None

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
        path = self._find(setting)
        topics = _by_topic([query.topic_id for query in queries], setting.query_language)
        doc_ids = _by_name([document.doc_id for document in documents], setting.document_languages)
        listed: dict[str, dict[str, _Listed]] = {query.topic_id: {} for query in queries}
        for row in _read(path, topics, doc_ids):
            if row.topic not in topics:
                raise RetrieverError(f"{row.where}: topic {row.topic!r} is no query in {setting.query_language}")
            found, doc_id = listed[topics[row.topic]], _the_one(row, doc_ids, setting.document_languages)
            if doc_id in found:
                raise RetrieverError(f"{row.where}: document {row.document!r} is listed twice for topic {row.topic!r}")
            found[doc_id] = _listed(row)
        return [_ordered(listed[query.topic_id], depth) for query in queries]

    def _find(self, setting: Setting) -> Path:
        if self._place.is_file():
            if self._setting not in (None, setting):
                raise RetrieverError(
                    f"{self._place} has the lists of one setting, and the task has several: name a folder with a file "
                    "for each, as in th-en.trec"
                )
            self._setting = setting
            return self._place
        stems = [f"{setting.query_language}-{'+'.join(setting.document_languages)}"]
        if setting.kind in ("multilingual", "image_to_pool"):
            stems.append(f"{setting.query_language}-all")
        for stem in stems:
            found = [self._files[stem + ending] for ending in _ENDINGS if stem + ending in self._files]
            if len(found) > 1:
                raise RetrieverError(f"{self._place}: {found[0].name} and {found[1].name} are of one setting: keep one")
            if found:
                return found[0]
        found = [path for name, path in self._files.items() if name.endswith(_ENDINGS) and _is_of(name, setting)]
        if len(found) > 1:
            raise RetrieverError(f"{self._place}: {found[0].name} and {found[1].name} are of one setting: keep one")
        if found:
            return found[0]
        wanted = " or ".join(f"{stem}.trec" for stem in stems)
        raise RetrieverError(
            f"{self._place}: no {wanted} (nor with another ending of run files); add it or leave the setting out"
        )


def _is_of(name: str, setting: Setting) -> bool:
    """Say whether a file is named after a setting with languages in another form, as in `tha_Thai-eng_Latn.trec`."""
    stem = next(name.removesuffix(ending) for ending in reversed(_ENDINGS) if name.endswith(ending))
    for sign in re.finditer("-", stem):
        query, documents = stem[: sign.start()], stem[sign.end() :]
        if setting.query_language not in _forms(query):
            continue
        if documents == "all" and setting.kind in ("multilingual", "image_to_pool"):
            return True
        named = [_forms(tag) for tag in documents.split("+")]
        if len(named) == len(setting.document_languages) and all(
            any(language in forms for forms in named) for language in setting.document_languages
        ):
            return True
    return False


@cache
def _forms(tag: str) -> frozenset[str]:
    """Return the forms in which the language of a tag may stand in a setting; what is no tag has its own alone."""
    try:
        return frozenset({full_language(tag), check_language(tag)})
    except UserError:
        return frozenset({tag})


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


def _the_one(row: Row, doc_ids: Mapping[str, Sequence[str]], languages: Sequence[str]) -> str:
    """Return the id of the document that a row names; raises `RetrieverError` where there is none, or are several."""
    found = doc_ids.get(row.document, ())
    if len(found) == 1:
        return found[0]
    if not found:
        raise RetrieverError(f"{row.where}: document {row.document!r} is not among those in {', '.join(languages)}")
    names = [split_document_id(doc_id, languages) for doc_id in found]
    instead = [
        f"{language}:{name}" if language else doc_id for doc_id, (language, name) in zip(found, names, strict=True)
    ]
    raise RetrieverError(
        f"{row.where}: {len(found)} documents of this pool are called {row.document!r}: write {' or '.join(instead)}"
    )


def _ordered(listed: Mapping[str, _Listed], depth: int) -> RankedList:
    """Return the documents of a topic in trec_eval's order."""
    with np.errstate(over="ignore"):
        scores = np.array([row.score for row in listed.values()], dtype=np.float64).astype(np.float32)
    rows = zip(scores.tolist(), (row.name for row in listed.values()), listed, strict=True)
    best = sorted(rows, key=lambda row: row[:2], reverse=True)[:depth]
    doc_ids = [doc_id for _, _, doc_id in best]
    counted_down = bool((np.sort(scores) == np.arange(1, len(scores) + 1)).all())
    positions = counted_down and all(row.ours for row in listed.values())
    if positions or all(row.by_rank for row in listed.values()):
        return RankedList(doc_ids)
    return RankedList(doc_ids, np.array([score for score, *_ in best], dtype=np.float32))


def _listed(row: Row) -> _Listed:
    if row.column == "rank":
        if not row.value.isdecimal():
            raise RetrieverError(f"{row.where}: rank {row.value!r} is not a whole number")
        return _Listed(-float(row.value), row.document, ours=False, by_rank=True)
    # Other tools do not read what Python does, such as 1_000.
    if not NUMBER.match(row.value) or not np.isfinite(float(row.value)):
        raise RetrieverError(f"{row.where}: score {row.value!r} is not a finite number")
    return _Listed(float(row.value), row.document, ours=row.tag == TAG)


def _read(path: Path, topics: Mapping[str, str], documents: Mapping[str, Sequence[str]]) -> Iterator[Row]:
    """Yield each row of a file; raises `RetrieverError` with file and line."""
    try:
        with _open(path) as file:
            text = file.read(_START)
            if is_json(text):
                text += file.read(_LONGEST_JSON)
    except _UNREADABLE as error:
        raise _unreadable(path, 0, error) from error
    if not is_json(text):
        yield from rows(_lines(path), RUN, _raise, topics=topics, documents=documents)
    elif len(text) > _LONGEST_JSON:
        raise RetrieverError(f"{path}: longer than {_LONGEST_JSON:,} characters")
    else:
        try:
            yield from json_rows(text, RUN, f"{path},")
        except ValueError as error:
            raise RetrieverError(f"{path}: {error}") from error


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each line that is not blank, with its place."""
    number = blank = 0
    try:
        with _open(path) as text:
            while line := text.readline(_LONGEST_LINE):
                number += 1
                if len(line) == _LONGEST_LINE:
                    raise RetrieverError(f"{path}, line {number}: longer than {_LONGEST_LINE:,} characters")
                if line.strip():
                    yield f"{path}, line {number}", line.rstrip("\n")
                elif (blank := blank + 1) > _MOST_BLANK_LINES:
                    raise RetrieverError(f"{path}: more than {_MOST_BLANK_LINES:,} blank lines")
    except _UNREADABLE as error:
        raise _unreadable(path, number, error) from error


def _unreadable(path: Path, number: int, error: Exception) -> RetrieverError:
    return RetrieverError(f"{path}, after line {number}: cannot be read: {error}")


def _raise(fault: str) -> NoReturn:
    raise RetrieverError(fault)


def _open(path: Path) -> TextIO:
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix == ".gz" or start == b"\x1f\x8b":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig"))
    # What spreadsheets call Unicode text.
    return path.open(encoding="utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
