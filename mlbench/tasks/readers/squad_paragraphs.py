"""Reads SQuAD files: every paragraph is a document, relevant for the questions that it answers."""

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.errors import DataError
from mlbench.io.untrusted import read_members
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.json_lines import check_options, parse_object

OPTIONS = ("members", "language_in_ids")
_NAMES = {
    "arabic": "ar",
    "bengali": "bn",
    "english": "en",
    "finnish": "fi",
    "indonesian": "id",
    "japanese": "ja",
    "korean": "ko",
    "russian": "ru",
    "swahili": "sw",
    "telugu": "te",
    "thai": "th",
}
"""How the ids of TyDi QA begin: the names of its languages."""
_DOCUMENT = "such as {'data': [{'paragraphs': [{'context': ..., 'qas': [{'id': ..., 'question': ...}]}]}]}"
_LINE = "such as {'id': ..., 'question': ..., 'context': ...}"


class _Question(NamedTuple):
    place: str
    topic: str
    question: str
    paragraph: str
    article: str
    is_answered: bool


@dataclass
class _Rows:
    """What the files give so far; documents are known by their text, in each language."""

    queries: dict[str, list[Query]]
    documents: dict[str, dict[str, Document]]
    seen: set[tuple[str, str]] = field(default_factory=set)
    judgments: dict[str, list[Judgment]] = field(default_factory=lambda: defaultdict(list))
    clusters: dict[str, str] = field(default_factory=dict)


def read(request: ReadRequest) -> Collection:
    """Return the collection of files in the format of SQuAD: JSON, or JSON lines with one question in each line.

    A query is a question, stripped. A document is a paragraph, stripped; those with the same text in a language are one
    document. Questions without an answer (SQuAD 2.0) and empty ones are left out. A cluster is an article: what has one
    title, or one `article_id`, else one entry of `data`. Files may be packed (`.gz`), or be a zip archive with several
    of them, of which those are read whose path fits `members`.

    The language of a file is its own, else that of the task if it has one language only. With `language_in_ids`, the
    ids of questions begin with the English name of their language, as in TyDi QA (`english-12-0`), and only the
    questions in the language of the file, or in those of the task, are read. Raises `DataError` with file and place.
    """
    check_options(request, "squad_paragraphs", OPTIONS)
    rows = _Rows({tag: [] for tag in request.languages}, {tag: {} for tag in request.languages})
    for source in request.files:
        for question in _questions(source.path, str(request.options.get("members", "*"))):
            language = _language(question, source, request)
            if language in rows.queries and question.is_answered:
                _add(rows, request.task, language, question)
    return Collection(
        languages=request.languages,
        queries={tag: tuple(queries) for tag, queries in rows.queries.items()},
        documents={tag: tuple(documents.values()) for tag, documents in rows.documents.items()},
        judgments={topic: tuple(judgments) for topic, judgments in rows.judgments.items()},
        clusters=rows.clusters,
        cluster_unit="article",
    )


def _language(question: _Question, source: SourceFile, request: ReadRequest) -> str | None:
    """Return the language of a question, None for one that is not asked for."""
    language = source.language or (request.languages[0] if len(request.languages) == 1 else None)
    if request.options.get("language_in_ids") is True:
        named = _NAMES.get(question.topic.partition("-")[0])
        if named is None:
            raise DataError(f"{question.place}: id {question.topic!r} begins with none of {', '.join(_NAMES)}")
        return named if source.language in (named, None) else None
    if language is None:
        raise DataError(f"{request.task}: {source.path.name} needs a language: say it in the task file")
    return language


def _add(rows: _Rows, task: str, language: str, question: _Question) -> None:
    if (language, question.topic) in rows.seen:
        raise DataError(f"{question.place}: question id {question.topic!r} is there twice")
    rows.seen.add((language, question.topic))
    documents = rows.documents[language]
    if question.paragraph not in documents:
        name = document_id(task, language, "", str(len(documents)))
        documents[question.paragraph] = Document(name, question.paragraph)
    rows.queries[language].append(Query(question.topic, question.question))
    rows.judgments[question.topic].append(Judgment(language, documents[question.paragraph].doc_id, 1))
    rows.clusters.setdefault(question.topic, question.article)


def _questions(path: Path, members: str) -> Iterator[_Question]:
    for name, content in _contents(path, members):
        if name.endswith(".jsonl"):
            for number, line in enumerate(content.split(b"\n"), start=1):
                if line.strip():
                    place = f"{name} line {number}"
                    yield _of_line(parse_object(line, place, _LINE), place)
        else:
            yield from _of_document(parse_object(content, name, _DOCUMENT), name)


def _contents(path: Path, members: str) -> Iterator[tuple[str, bytes]]:
    """Yield name, without `.gz`, and content of each file of questions in a file."""
    if path.suffix == ".zip":
        for name, content in read_members(path, members):
            if name.endswith((".json", ".jsonl")):
                yield name, _without_mark(content)
        return
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is damaged ({error}): fetch it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    yield path.name.removesuffix(".gz"), _without_mark(content)


def _without_mark(content: bytes) -> bytes:
    return content.removeprefix(b"\xef\xbb\xbf")


def _of_line(row: dict[str, object], place: str) -> _Question:
    topic = row.get("question_id", row.get("id"))
    article = row.get("article_id") or row.get("title") or topic
    return _question(row, topic, row.get("context"), article, place)


def _of_document(document: dict[str, object], name: str) -> Iterator[_Question]:
    for number, article in enumerate(_list(document, "data", name)):
        place = f"{name}: data[{number}]"
        for paragraph_number, paragraph in enumerate(_list(article, "paragraphs", place)):
            inside = f"{place}.paragraphs[{paragraph_number}]"
            for question_number, row in enumerate(_list(paragraph, "qas", inside)):
                where = f"{inside}.qas[{question_number}]"
                title = article.get("title") or f"{name} {number}"
                yield _question(row, row.get("id"), paragraph.get("context"), title, where)


def _list(owner: dict[str, object], key: str, place: str) -> list[dict[str, object]]:
    found = owner.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DataError(f"{place}: {key!r} must be a list of objects")
    return found


def _question(row: dict[str, object], topic: object, context: object, article: object, place: str) -> _Question:
    question = row.get("question")
    if isinstance(topic, bool) or not isinstance(topic, str | int) or not str(topic).strip():
        raise DataError(f"{place}: 'id' must be a name or a number, not {topic!r:.60}")
    for key, text in (("question", question), ("context", context)):
        if not isinstance(text, str):
            raise DataError(f"{place}: {key!r} must be a text, not {text!r:.60}")
    # Published files have a few empty questions.
    is_answered = bool(str(question).strip() and str(context).strip()) and row.get("is_impossible") is not True
    return _Question(place, str(topic), str(question).strip(), str(context).strip(), str(article), is_answered)
