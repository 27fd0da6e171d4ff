"""Reads collections in the files of TREC: queries in TSV, judgments, and corpora of several languages in JSON lines."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlbench.collection.languages import check_language
from mlbench.collection.records import Collection, Query, document_id
from mlbench.errors import DataError, UserError
from mlbench.io.trec_lines import Row
from mlbench.protocols import ReadRequest, ShardedCollection, SourceFile
from mlbench.tasks.readers.grades import RELEVANCE_THRESHOLD, Grade, split_judgments, threshold_of
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.sharded import hold
from mlbench.tasks.readers.trec_files import CorpusFile, judgments, topics

OPTIONS = ("collection", "id", RELEVANCE_THRESHOLD)
_MOST_NAMED = 3


@dataclass
class _Topics:
    """What the files of queries and judgments give: topics that are asked in several languages are one."""

    queries: dict[str, dict[str, str]]
    judged: dict[str, list[tuple[str, str, Grade]]] = field(default_factory=dict)
    unasked: list[str] = field(default_factory=list)


class Trec:
    """Reads files with the roles `queries`, `qrels` and `documents`.

    - Queries are lines `id TAB question`, in the file's language. Topics are shared: a question in English and one in
      Persian that have one id are translations. Where the topics of each corpus are numbered anew, the role says which
      corpus they ask: `queries/ha` are questions of the corpus in Hausa, in the file's language; a topic is `ha:7`.
    - Judgments are lines `topic Q0 document grade` on documents in the file's language. In a file without a language,
      the second column says it, as in NeuCLIRBench. Grades of 1 and more are relevant, or those of the option
      `relevance_threshold` and more.
    - Documents are lines `{"docid", "title", "text"}`, shards where a language has several files. The option `id` is
      the name of the first key, if it is another. The text of a document is title, blank, text.

    A language may have queries alone, or documents alone. The option `collection` is the name in the documents' ids (by
    default the task's), so that tasks on the same corpora have the same documents.
    """

    reads_languages_apart = True

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the whole collection; with a `limit` no more is held than the sample needs.

        Raises `DataError` with file and line.
        """
        return hold(self.shards(request), request.limit)

    def shards(self, request: ReadRequest) -> ShardedCollection:
        """Return queries and judgments, and the files of each corpus in the order of the task file."""
        check_options(request, "trec", OPTIONS)
        found, name = _read_topics(request), str(request.options.get("collection", request.task))
        graded = split_judgments(
            found.judged, threshold_of(request), lambda language, own_id: document_id(name, language, "", own_id)
        )
        collection = Collection(
            languages=request.languages,
            queries={
                language: tuple(Query(topic, text) for topic, text in rows.items())
                for language, rows in found.queries.items()
            },
            documents=dict.fromkeys(request.languages, ()),
            judgments=graded.judgments,
            not_relevant=graded.not_relevant,
            grade_scale=graded.grade_scale,
            clusters={topic: topic for topic in graded.judgments},
        )
        own_id = str(request.options.get("id", "docid"))
        shards = [
            CorpusFile(source.path.absolute(), _language(request, source), name, own_id)
            for source in _files(request, "documents")
        ]
        return ShardedCollection(collection, tuple(shards))


reader = Trec()


def _read_topics(request: ReadRequest) -> _Topics:
    found = _Topics({language: {} for language in request.languages})
    scoped = set()
    for source in _files(request, "queries"):
        language, corpus = _language(request, source), source.role.partition("/")[2]
        if corpus:
            scoped.add(corpus)
        for topic, text in topics(source.path):
            name = f"{corpus}:{topic}" if corpus else topic
            if name in found.queries[language]:
                raise DataError(f"{source.path.name}: topic {topic!r} of {language!r} is in another file as well")
            found.queries[language][name] = text
            found.judged.setdefault(name, [])
    for source in _files(request, "qrels"):
        _read_judgments(request, source, source.language in scoped, found)
    if found.unasked:
        request.progress.note(
            f"{request.task}: {len(found.unasked):,} judged topics have no query and are left out, such as "
            + ", ".join(found.unasked[:_MOST_NAMED])
        )
    return found


def _read_judgments(request: ReadRequest, source: SourceFile, is_scoped: bool, found: _Topics) -> None:
    asked = {topic.rpartition(":")[2] for topic in found.judged} if is_scoped else found.judged
    for row, grade in judgments(source.path, asked):
        language = source.language or _second_column(row)
        name = f"{language}:{row.topic}" if is_scoped else row.topic
        if name not in found.judged:
            found.unasked += [name] if name not in found.unasked else []
        elif language in request.languages:
            found.judged[name].append((language, row.document, grade))


def _second_column(row: Row) -> str:
    try:
        return check_language(row.iteration)
    except UserError as error:
        given = row.iteration[:20]
        raise DataError(f"{row.where}: the second column must be the document's language, not {given!r}") from error


def _files(request: ReadRequest, role: str) -> Iterator[SourceFile]:
    found = [source for source in request.files if source.role.partition("/")[0] == role]
    if not found:
        raise DataError(f"{request.task}: there is no file with the role {role!r}")
    yield from found


def _language(request: ReadRequest, source: SourceFile) -> str:
    if source.language not in request.languages:
        raise DataError(f"{request.task}: {source.path.name} needs a language of the task, not {source.language!r}")
    return source.language
