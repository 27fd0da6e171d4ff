"""Reads SQuAD JSON with sentence breaks (LAReQA): every sentence is a document, the one with the answer is relevant."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, TypeVar

from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile

Article = tuple[str, int]
"""A language and an index in its `data[]`."""
Found = TypeVar("Found")


@dataclass
class _Contents:
    """What the files give, language by language."""

    queries: dict[str, list[Query]] = field(default_factory=dict)
    documents: dict[str, list[Document]] = field(default_factory=dict)
    judgments: dict[str, list[Judgment]] = field(default_factory=dict)
    articles: dict[str, list[Article]] = field(default_factory=dict)


class _Place(NamedTuple):
    """A place in a file, for messages; `at` goes one step further in."""

    file: str
    steps: tuple[str | int, ...] = ()

    def at(self, *steps: str | int) -> "_Place":
        return _Place(self.file, self.steps + steps)

    def fault(self, message: str) -> NoReturn:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps).lstrip(".")
        raise DataError(f"{self.file}: {path or 'the file'}: {message}")


def read(request: ReadRequest) -> Collection:
    """Return the collection of LAReQA files, one for each language (arXiv 2004.05484, section 3.1).

    A document is `context[start:end]` in code points, never normalised nor de-duplicated; the relevant one has
    start <= answer_start < end. With `sentence_in_context` the paragraph is appended with no separator and newlines
    are removed (XTREME-R). Questions are stripped. A cluster is a set of topics connected by shared articles in any
    language. Raises `DataError` with file and place.
    """
    files = {source.language: source for source in request.files if source.language}
    contents = _Contents()
    for language in request.languages:
        if language not in files:
            raise DataError(f"{request.task}: no file for language {language!r}")
        _read_file(request, language, files[language], contents)
    return Collection(
        languages=request.languages,
        queries={language: tuple(rows) for language, rows in contents.queries.items()},
        documents={language: tuple(rows) for language, rows in contents.documents.items()},
        judgments={topic: tuple(rows) for topic, rows in contents.judgments.items()},
        clusters=connected_clusters(contents.articles),
        cluster_unit="article",
    )


def connected_clusters(articles: Mapping[str, list[Article]]) -> dict[str, str]:
    """Return the cluster of each topic: topics that share an article in any language, directly or through others.

    A cluster is named by the first of its articles, such as `ar-0`. No topics give no clusters.
    """
    parent: dict[Article, Article] = {}

    def root(article: Article) -> Article:
        while parent.setdefault(article, article) != article:
            parent[article] = article = parent[parent[article]]
        return article

    for first, *others in articles.values():
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    return {topic: "{}-{}".format(*root(members[0])) for topic, members in articles.items()}


def _read_file(request: ReadRequest, language: str, source: SourceFile, contents: _Contents) -> None:
    queries = contents.queries.setdefault(language, [])
    documents = contents.documents.setdefault(language, [])
    seen: set[str] = set()
    number = -1
    for index, article, place in _items(_parse(source), "data", _Place(source.path.name)):
        for _, paragraph, paragraph_place in _items(article, "paragraphs", place):
            number += 1
            context = _get(paragraph, "context", str, paragraph_place)
            breaks = _sentence_breaks(paragraph, len(context), paragraph_place)
            ids = [document_id(request.task, language, str(number), str(i)) for i in range(len(breaks))]
            documents += [
                Document(doc_id, _document_text(context, *bounds, request.document_text))
                for doc_id, bounds in zip(ids, breaks, strict=True)
            ]
            for _, question, qa_place in _items(paragraph, "qas", paragraph_place):
                topic = _get(question, "id", str, qa_place)
                if topic in seen:
                    qa_place.fault(f"question id {topic!r} is there twice")
                seen.add(topic)
                queries.append(Query(topic, _get(question, "question", str, qa_place).strip()))
                contents.articles.setdefault(topic, []).append((language, index))
                contents.judgments.setdefault(topic, []).extend(
                    Judgment(language, ids[i], 1) for i in _answer_sentences(question, breaks, qa_place)
                )


def _document_text(context: str, start: int, end: int, document_text: str) -> str:
    sentence = context[start:end]
    return sentence if document_text == "sentence" else (sentence + context).replace("\n", "")


def _sentence_breaks(paragraph: dict[str, object], length: int, place: _Place) -> list[tuple[int, int]]:
    place = place.at("sentence_breaks")
    breaks: list[tuple[int, int]] = []
    for i, pair in enumerate(_expect(paragraph.get("sentence_breaks"), list, place)):
        match pair:
            case [int(start), int(end)] if (breaks[-1][1] if breaks else 0) <= start < end <= length:
                breaks.append((start, end))
            case _:
                place.at(i).fault(f"{pair!r} is not [start, end) within the paragraph and after the one before it")
    return breaks


def _answer_sentences(question: dict[str, object], breaks: list[tuple[int, int]], place: _Place) -> list[int]:
    """Return the indexes of the sentences in which answers start, without repetitions."""
    found: dict[int, None] = {}
    for _, answer, answer_place in _items(question, "answers", place):
        start = _get(answer, "answer_start", int, answer_place)
        i = bisect_right(breaks, start, key=lambda bounds: bounds[0]) - 1
        if i < 0 or start >= breaks[i][1]:
            answer_place.fault(f"answer_start {start} lies in no sentence")
        found[i] = None
    if not found:
        place.fault("a question needs an answer")
    return list(found)


def _parse(source: SourceFile) -> dict[str, object]:
    place = _Place(source.path.name)
    try:
        parsed = json.loads(source.path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{source.path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        place.fault(f"not valid JSON in UTF-8: {error}")
    return _expect(parsed, dict, place)


def _items(owner: dict[str, object], key: str, place: _Place) -> Iterator[tuple[int, dict[str, object], _Place]]:
    for i, item in enumerate(_get(owner, key, list, place)):
        yield i, _expect(item, dict, place, key, i), place.at(key, i)


def _get(owner: dict[str, object], key: str, kind: type[Found], place: _Place) -> Found:
    if key not in owner:
        place.fault(f"key {key!r} is missing")
    return _expect(owner[key], kind, place, key)


def _expect(value: object, kind: type[Found], place: _Place, *steps: str | int) -> Found:
    """Return a value of the right kind; `steps` lead to it from `place`."""
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "an integer", list: "a list", dict: "an object"}
        place.at(*steps).fault(f"must be {names[kind]}")
    return value
