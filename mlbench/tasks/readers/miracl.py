"""Reads MIRACL's own format: topics and judgments in TSV, corpora in shards of compressed JSON lines."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlbench.collection.records import Collection, Query, document_id
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, ShardedCollection, SourceFile
from mlbench.tasks.readers.grades import RELEVANCE_THRESHOLD, Grade, split_judgments, threshold_of
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sharded import hold
from mlbench.tasks.readers.trec_files import CorpusFile, judgments, topics

OPTIONS = ("collection", RELEVANCE_THRESHOLD)
_SHARD = re.compile(r"docs-(0|[1-9][0-9]*)\.jsonl(\.gz)?")


@dataclass(frozen=True, slots=True)
class _Topics:
    """One language's queries, and the judged documents of each topic: language, own id and grade."""

    queries: tuple[Query, ...]
    judgments: dict[str, list[tuple[str, str, Grade]]]


class Miracl:
    """Reads files with the roles `queries`, `qrels` and `documents` (shards), for each language.

    Topics are lines `id TAB question`, judgments `id Q0 document grade`, documents `{"docid", "title", "text"}`; the
    text of a document is title, blank, text, as in the baselines (arXiv 2210.09984). Ids of topics are shared by
    unrelated questions of other languages: a topic here is `language:id`. A document that is judged 0 is one of the
    corpus like any other.

    The option `collection` is the name in the documents' ids (by default the task's), so that tasks on the same corpora
    have the same documents. The option `relevance_threshold` is the lowest grade that is relevant, 1 without it.
    """

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the whole collection; with a `limit` no more is held than the sample needs.

        Raises `DataError` with file and line.
        """
        return hold(self.shards(request), request.limit)

    def shards(self, request: ReadRequest) -> ShardedCollection:
        """Return queries and judgments, and the files of each corpus in their order, which must have no gap."""
        check_options(request, "miracl", OPTIONS)
        found = {language: _read_topics(request, language) for language in request.languages}
        name = _collection_name(request)
        graded = split_judgments(
            {topic: rows for each in found.values() for topic, rows in each.judgments.items()},
            threshold_of(request),
            lambda language, own_id: document_id(name, language, "", own_id),
        )
        collection = Collection(
            languages=request.languages,
            queries={language: each.queries for language, each in found.items()},
            documents=dict.fromkeys(found, ()),
            judgments=graded.judgments,
            not_relevant=graded.not_relevant,
            grade_scale=graded.grade_scale,
            clusters={topic: topic for topic in graded.judgments},
            parallel=False,
        )
        shards = [
            CorpusFile(path.absolute(), language, name)
            for language in request.languages
            for path in _shards(request, language)
        ]
        return ShardedCollection(collection, tuple(shards))


reader = Miracl()


def _read_topics(request: ReadRequest, language: str) -> _Topics:
    path = _the_file(request, "queries", language)
    queries = tuple(Query(f"{language}:{topic}", text) for topic, text in topics(path))
    judged: dict[str, list[tuple[str, str, Grade]]] = {query.topic_id: [] for query in queries}
    own_ids = {topic.removeprefix(f"{language}:") for topic in judged}
    for row, grade in judgments(_the_file(request, "qrels", language), own_ids):
        if row.topic not in own_ids:
            raise DataError(f"{row.where}: topic {row.topic!r} is not in {path.name}")
        judged[f"{language}:{row.topic}"].append((language, row.document, grade))
    return _Topics(queries, judged)


def _collection_name(request: ReadRequest) -> str:
    return str(request.options.get("collection", request.task))


def _the_file(request: ReadRequest, role: str, language: str) -> Path:
    found = _files(request, role, language)
    if len(found) != 1:
        raise DataError(f"{request.task}: {language!r} has {len(found)} files with the role {role!r}, it needs one")
    return found[0].path


def _shards(request: ReadRequest, language: str) -> list[Path]:
    """Return the shards of a corpus in their order, which must have no gap."""
    paths = [source.path for source in _files(request, "documents", language)]
    if not paths:
        raise DataError(f"{request.task}: {language!r} has no file with the role 'documents'")
    numbers = {int(match[1]): path for path in paths if (match := _SHARD.fullmatch(path.name))}
    if len(numbers) < len(paths):
        odd = next((path.name for path in paths if not _SHARD.fullmatch(path.name)), "a number twice")
        raise DataError(f"{request.task}: shards of {language!r} are named docs-0.jsonl.gz and so on, not {odd}")
    for number in range(len(numbers)):
        if number not in numbers:
            raise DataError(
                f"{request.task}: shard docs-{number} of {language!r} is missing among "
                f"{len(numbers)} shards up to docs-{max(numbers)}"
            )
    return [numbers[number] for number in range(len(numbers))]


def _files(request: ReadRequest, role: str, language: str) -> Sequence[SourceFile]:
    return [source for source in request.files if source.role == role and source.language == language]
