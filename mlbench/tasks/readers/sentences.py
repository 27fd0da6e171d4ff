"""Translated sentences as a collection: each is a query, and a document for queries in other languages."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest


def sentence_collection(
    request: ReadRequest,
    texts: Mapping[str, Mapping[str, str]],
    clusters: Mapping[str, str],
    *,
    cluster_unit: str,
) -> Collection:
    """Return the collection of sentences, given for each language of the request by topic.

    A topic's sentences are relevant for it (grade 1), though none for itself: a query that is a document leaves its
    pool. White space is one blank each, none at the ends. `clusters` has every topic, in the order in which they are
    kept; those that no language has are left out. The option `collection` is the name in the ids of documents (by
    default the task's), so that tasks on the same sentences have the same documents.
    """
    name = collection_name(request)
    kept = {
        language: {topic: " ".join(rows[topic].split()) for topic in clusters if topic in rows}
        for language, rows in texts.items()
    }
    ids = {
        language: {topic: document_id(name, language, "", topic) for topic in rows} for language, rows in kept.items()
    }
    judgments = {
        topic: tuple(Judgment(language, rows[topic], 1) for language, rows in ids.items() if topic in rows)
        for topic in clusters
    }
    return Collection(
        languages=request.languages,
        queries={tag: tuple(Query(topic, text) for topic, text in rows.items()) for tag, rows in kept.items()},
        documents={
            tag: tuple(Document(ids[tag][topic], text) for topic, text in rows.items()) for tag, rows in kept.items()
        },
        judgments={topic: rows for topic, rows in judgments.items() if rows},
        clusters={topic: cluster for topic, cluster in clusters.items() if judgments[topic]},
        cluster_unit=cluster_unit,
        queries_are_documents=True,
    )


def collection_name(request: ReadRequest) -> str:
    """Return what the option `collection` says, else the name of the task."""
    return str(request.options.get("collection", request.task))


def text_lines(content: bytes, name: str) -> list[str]:
    """Return the lines of a text in UTF-8 that may begin with a byte order mark and end its lines with CR LF.

    A line feed ends a line and nothing else does; there is none after the last. Raises `DataError` with `name` and line
    where a byte is none of UTF-8, and for a text without lines.
    """
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if not lines:
        raise DataError(f"{name}: the file is empty")
    return [_decoded(line, f"{name} line {number}") for number, line in enumerate(lines, start=1)]


def file_lines(path: Path, *, skip: int = 0) -> Iterator[tuple[str, str]]:
    """Yield each line of a file and its place, after `skip` lines; raises `DataError` as `text_lines` does."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(text_lines(content, path.name), start=1):
        if number > skip:
            yield f"{path.name} line {number}", line


def _decoded(line: bytes, place: str) -> str:
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not valid UTF-8 at byte {error.start + 1} of the line") from error
