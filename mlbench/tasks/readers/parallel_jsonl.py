"""Reads the bring-your-own format: JSON lines of queries and documents for each language, and judgments."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlbench.collection.languages import find_language
from mlbench.collection.records import LARGEST_GRADE, Collection, Document, Query, SubtopicJudgment, document_id
from mlbench.errors import UserError
from mlbench.protocols import Parameter, ReadRequest, SourceFile
from mlbench.tasks.readers.grades import RELEVANCE_THRESHOLD, Grade, parse_grade, split_judgments, threshold_of
from mlbench.tasks.readers.json_lines import (
    check_options,
    files_of,
    judgments,
    objects,
    own_id_of,
    raise_faults,
    text_of,
)

OPTIONS = ("cluster_unit", RELEVANCE_THRESHOLD, "subtopics")
_QRELS = re.compile(r"qrels\.(tsv|txt|trec|csv|json)(\.gz)?")
_USUAL = "qrels.tsv"
_EXAMPLE = "{'id': ..., 'text': ...}"


class ParallelJsonl:
    """Reads queries, documents and judgments of several languages, and recognises folders of such files."""

    looks_for = "queries.<lang>.jsonl and documents.<lang>.jsonl"

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection, see `read`."""
        return read(request)

    def recognises(self, folder: Path) -> bool:
        """Say whether there are queries or documents of any language."""
        return bool(files_of(folder, ("documents", "queries")))

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return the files and their languages; those that the user asks for change nothing."""
        files = files_of(folder, ("documents", "queries"))
        tags = sorted({entry["language"] for entry in files})
        judged = [name for name in sorted(path.name for path in folder.iterdir()) if _QRELS.fullmatch(name)]
        files += [{"path": name, "role": "qrels"} for name in (judged if _USUAL not in judged else [_USUAL])]
        return {"languages": tags, "files": sorted(files, key=lambda entry: entry["path"])}


reader = ParallelJsonl()


@dataclass
class _ParsedLines:
    """What the lines give so far, and every fault met on the way."""

    request: ReadRequest
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    documents: dict[str, dict[str, str]] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    judgments: dict[str, dict[tuple[str, str], Grade]] = field(default_factory=dict)
    subtopics: dict[str, dict[tuple[str, str, str], Grade]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def doc_id(self, language: str, own_id: str) -> str:
        return document_id(self.request.task, language, "", own_id)


def read(request: ReadRequest) -> Collection:
    """Return the collection of files with the roles `queries`, `documents` (one each per language) and `qrels`.

    Queries are lines `{"id", "text", "cluster"?}`, documents `{"id", "text", "title"?}` (a title is put before the
    text with a blank), judgments `topic 0 document grade` or another layout of `io.trec_lines`. Grades are numbers,
    such as 2 or 0.5; those of 1 and more, or of `relevance_threshold` and more, are relevant.

    A document id in the judgments stands for that document in each language that has it. Written `th:d7` it stands
    for the Thai one alone. An id that no language has stands for a document missing from every corpus, one written
    `th:d7` for one missing from the Thai corpus; missing documents stay in the denominators of the measures.

    The option `cluster_unit` names what the clusters are, `relevance_threshold` is the lowest grade that is relevant,
    and with `subtopics` the second of four columns names the subtopic that a document was judged for.
    Raises `DataError` with the first fault, its file and line; its `__notes__` are all the faults.
    """
    check_options(request, "parallel_jsonl", OPTIONS)
    parsed = _ParsedLines(request)
    for source in request.files:
        if source.role == "queries":
            _read_queries(source, parsed)
        elif source.role == "documents":
            _read_documents(source, parsed)
    for role, found in (("queries", parsed.queries), ("documents", parsed.documents)):
        absent = [language for language in request.languages if language not in found]
        parsed.faults += [f"there is no file of {role} for language {language!r}" for language in absent]
    judged = [source for source in request.files if source.role == "qrels"]
    if not judged:
        parsed.faults.append("there is no file of judgments (qrels)")
    for source in judged:
        _read_judgments(source, parsed)
    raise_faults(parsed.faults)
    # Other languages of the files are read as well: what an id in the judgments stands for depends on all of them.
    return _collection(parsed).restrict(request.languages)


def _collection(parsed: _ParsedLines) -> Collection:
    languages = tuple(sorted(set(parsed.queries) & set(parsed.documents)))
    topics = {topic for rows in parsed.queries.values() for topic in rows}
    threshold = threshold_of(parsed.request)
    graded = split_judgments(
        {
            topic: [(*target, grade) for target, grade in parsed.judgments.get(topic, {}).items()]
            for topic in sorted(topics)
        },
        threshold,
        parsed.doc_id,
    )
    return Collection(
        languages=languages,
        queries={
            language: tuple(Query(topic, text) for topic, text in parsed.queries[language].items())
            for language in languages
        },
        documents={
            language: tuple(
                Document(parsed.doc_id(language, own_id), text) for own_id, text in parsed.documents[language].items()
            )
            for language in languages
        },
        judgments=graded.judgments,
        not_relevant=graded.not_relevant,
        grade_scale=graded.grade_scale,
        subtopics={
            topic: tuple(
                SubtopicJudgment(
                    language, parsed.doc_id(language, own_id), subtopic, int(grade) if grade >= threshold else 0
                )
                for (language, own_id, subtopic), grade in rows.items()
            )
            for topic, rows in parsed.subtopics.items()
        },
        clusters={topic: parsed.clusters.get(topic, topic) for topic in topics},
        cluster_unit=_cluster_unit(parsed.clusters, parsed.request.options),
    )


def _cluster_unit(clusters: Mapping[str, str], options: Mapping[str, Parameter]) -> str:
    return str(options.get("cluster_unit", "cluster")) if clusters else "topic"


def _read_queries(source: SourceFile, parsed: _ParsedLines) -> None:
    rows = parsed.queries.setdefault(source.language or "", {})
    for place, row in objects(source, parsed.faults, _EXAMPLE):
        topic = own_id_of(row, "id", place, rows, parsed.faults)
        text = text_of(row, "text", place, parsed.faults)
        if topic is None or text is None:
            continue
        rows[topic] = text
        if "cluster" in row:
            cluster = text_of(row, "cluster", place, parsed.faults)
            if cluster is not None and parsed.clusters.setdefault(topic, cluster) != cluster:
                elsewhere = parsed.clusters[topic]
                parsed.faults.append(f"{place}: topic {topic!r} is in cluster {cluster!r}, elsewhere in {elsewhere!r}")


def _read_documents(source: SourceFile, parsed: _ParsedLines) -> None:
    rows = parsed.documents.setdefault(source.language or "", {})
    for place, row in objects(source, parsed.faults, _EXAMPLE):
        own_id = own_id_of(row, "id", place, rows, parsed.faults)
        text = text_of(row, "text", place, parsed.faults)
        title = text_of(row, "title", place, parsed.faults) if row.get("title", "") != "" else ""
        if own_id is not None and text is not None and title is not None:
            rows[own_id] = f"{title} {text}" if title else text


def _read_judgments(source: SourceFile, parsed: _ParsedLines) -> None:
    topics = {topic for rows in parsed.queries.values() for topic in rows}
    by_subtopic = bool(parsed.request.options.get("subtopics", False))
    for row in judgments(source, parsed.faults, topics):
        grade = parse_grade(row.value)
        if row.topic not in topics:
            parsed.faults.append(f"{row.where}: topic {row.topic!r} has no query in any language")
        elif grade is None:
            parsed.faults.append(f"{row.where}: grade {row.value[:20]!r} is no number up to {LARGEST_GRADE:,}")
        else:
            rows = parsed.judgments.setdefault(row.topic, {})
            subtopics = parsed.subtopics.setdefault(row.topic, {}) if by_subtopic else {}
            for target in _targets(row.document, parsed):
                key = (*target, row.iteration)
                if key in subtopics if by_subtopic else target in rows:
                    parsed.faults.append(
                        f"{row.where}: document {row.document!r} is judged twice for topic {row.topic!r}"
                    )
                rows[target] = max(grade, rows.get(target, grade)) if by_subtopic else grade
                subtopics[key] = grade
    if not parsed.judgments:
        parsed.faults.append(f"{source.path.name}: no judgment of any topic")


def _targets(own_id: str, parsed: _ParsedLines) -> list[tuple[str, str]]:
    """Return the (language, document) pairs for which an id in the judgments stands."""
    holders = [language for language, rows in parsed.documents.items() if own_id in rows]
    if holders:
        return [(language, own_id) for language in holders]
    language, colon, rest = own_id.partition(":")
    if colon and rest:
        with suppress(UserError):
            if found := find_language(language, tuple(parsed.documents)):
                return [(found, rest)]
    return [(language, own_id) for language in parsed.documents]
