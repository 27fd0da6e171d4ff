"""Reads lines of translations: each sentence is a query in its language, and a document for queries in the others."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlbench.collection.languages import find_language
from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.errors import DataError, UserError
from mlbench.protocols import Parameter, ReadRequest
from mlbench.tasks.readers.json_lines import check_options, packed_lines, parse_object

OPTIONS = ("cluster_key", "cluster_unit")


def read(request: ReadRequest) -> Collection:
    """Return the collection of lines `{"id", "texts": {language: sentence}}`, packed where a file's name ends in .gz.

    A topic is a line; each of its sentences is a query and a document, relevant (grade 1) for the topic, though never
    for itself: what a query is, leaves its pool. A line may lack languages; other languages and other keys are passed
    over. The cluster of a topic is what its line has under the key `cluster_key`, else the topic; `cluster_unit` says
    what that is. Raises `DataError` with file and line.
    """
    check_options(request, "parallel_texts", OPTIONS)
    queries: dict[str, list[Query]] = {language: [] for language in request.languages}
    documents: dict[str, list[Document]] = {language: [] for language in request.languages}
    judgments: dict[str, tuple[Judgment, ...]] = {}
    clusters: dict[str, str] = {}
    for source in request.files:
        for place, row in _rows(source.path):
            topic, texts = _translations(place, row, request.languages)
            if topic in judgments:
                raise DataError(f"{place}: id {topic!r} is there twice")
            for language, text in texts.items():
                queries[language].append(Query(topic, text))
                documents[language].append(Document(document_id(request.task, language, "", topic), text))
            judgments[topic] = tuple(
                Judgment(language, document_id(request.task, language, "", topic), 1) for language in texts
            )
            clusters[topic] = _cluster(place, topic, row, request.options)
    return Collection(
        languages=request.languages,
        queries={language: tuple(rows) for language, rows in queries.items()},
        documents={language: tuple(rows) for language, rows in documents.items()},
        judgments={topic: rows for topic, rows in judgments.items() if rows},
        clusters={topic: clusters[topic] for topic, rows in judgments.items() if rows},
        cluster_unit=str(request.options.get("cluster_unit", "topic")),
        queries_are_documents=True,
    )


def _translations(place: str, row: dict[str, object], languages: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """Return a line's id and its sentences in `languages`, stripped."""
    topic, texts = row.get("id"), row.get("texts")
    if not isinstance(topic, str) or not re.fullmatch(r"[^\s\x00-\x1f\x7f-\x9f]+", topic):
        raise DataError(f"{place}: 'id' must be a name without white space, not {topic!r:.60}")
    if not isinstance(texts, dict):
        raise DataError(f"{place}: 'texts' must be an object such as {{'de': ..., 'en': ...}}")
    found = {}
    for tag, text in texts.items():
        language = _language(place, tag, languages)
        if language in found:
            raise DataError(f"{place}: 'texts' has {language!r} twice, once as {tag!r}")
        if language is not None:
            found[language] = text
    for language, text in found.items():
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{place}: the sentence in {language!r} must be a text that is not empty, not {text!r:.60}")
    return topic, {language: found[language].strip() for language in languages if language in found}


def _language(place: str, tag: str, languages: tuple[str, ...]) -> str | None:
    try:
        return find_language(tag, languages)
    except UserError as error:
        raise DataError(f"{place}: 'texts': {error}") from error


def _cluster(place: str, topic: str, row: dict[str, object], options: Mapping[str, Parameter]) -> str:
    key = options.get("cluster_key")
    if key is None:
        return topic
    value = row.get(str(key))
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place}: {key!r}, which names the cluster, must be a text that is not empty")
    return value


def _rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each line that is not blank, an object, with its place; raises `DataError`."""
    place = ""
    for place, line in packed_lines(path):
        yield place, parse_object(line, place, "with 'id' and 'texts'")
    if not place:
        raise DataError(f"{path.name}: the file is empty")
