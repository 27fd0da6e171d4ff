"""Reads data sets in the layouts of BEIR and of mteb's retrieval tasks, in folders and on the Hugging Face hub."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mlbench.collection.languages import find_language
from mlbench.collection.records import Collection, Document, Query, document_id
from mlbench.errors import DataError, MissingExtra
from mlbench.protocols import DataFiles, ReadRequest, ShardedCollection, SourceFile
from mlbench.tasks.data_card import card_in, paths_in, told_languages
from mlbench.tasks.readers.beir_layout import (
    CORPUS,
    KINDS,
    QRELS,
    QUERIES,
    Part,
    choose_split,
    declare,
    is_layout,
    of_split,
    parts_of,
)
from mlbench.tasks.readers.beir_rows import IDS, judgments, row_id
from mlbench.tasks.readers.grades import RELEVANCE_THRESHOLD, Grade, split_judgments, threshold_of
from mlbench.tasks.readers.image_sets import is_image_set
from mlbench.tasks.readers.json_lines import check_options
from mlbench.tasks.readers.rows import ending, rows
from mlbench.tasks.readers.sharded import hold, shard_fingerprint

OPTIONS = ("collection", "split", RELEVANCE_THRESHOLD)
MEASURES = ("nDCG@10", "AP", "RR", "RR@10", "R@1", "R@10", "R@100", "Success@10")
_ROLE = re.compile(rf"(?P<kind>{'|'.join(KINDS)})(?::(?P<queries>[^/]+))?(?:/(?P<split>.+))?")


@dataclass(frozen=True, slots=True)
class BeirShard:
    """One file of a corpus; `collection` is the name in its documents' ids."""

    path: Path
    language: str
    collection: str

    @property
    def name(self) -> str:
        """The folder and the name of its file."""
        return f"{self.path.parent.name}/{self.path.name}"

    def fingerprint(self) -> str:
        """Return a digest (hex) of its file and of what else is in its documents' ids."""
        return shard_fingerprint(self.path, self.language, self.collection, ending(self.path.name))

    def documents(self, first: int = 0) -> Iterator[Document]:
        """Yield its documents from number `first` on, without those whose title and text are empty."""
        yield from islice(self._documents(), first, None)

    def _documents(self) -> Iterator[Document]:
        place = ""
        for place, row in rows(self.path, (*IDS, "title", "text")):
            own_id, title, text = row_id(row, place), _text(row, "title", place), _text(row, "text", place)
            joined = f"{title} {text}".strip() if title else text.strip()
            if joined:
                yield Document(document_id(self.collection, self.language, "", own_id), joined)
        if not place:
            raise DataError(f"{self.name}: the file is empty")


class Beir:
    """Reads files with the roles `corpus`, `queries` and `qrels`, as JSON lines, Parquet or, judgments, tables.

    Documents are rows `{"_id", "title"?, "text"}`, queries `{"_id", "text"}`, where `id` will do as well; judgments
    have the columns query-id, corpus-id and score. As in the code of BEIR and mteb, the text of a document is title,
    blank, text, stripped, and an `instruction` of a query stands behind its text; queries without judgments are left
    out, and the last of several judgments of a document counts. Documents and queries without text are left out, and so
    are judgments of topics without a query.

    A role may end in a split, as `qrels/dev`, and judgments of queries in another language than the documents name it,
    as `qrels:de`; the `language` of a file of judgments is that of the documents, and without one they are of the
    documents in every language. Where topics are not parallel, a topic is called by the language of its query, as in
    `th:12`.

    The option `split` chooses the split (`test`, or the only one), `collection` is the name in the documents' ids (by
    default the task's), `relevance_threshold` the lowest grade that is relevant, 1 without it.
    """

    looks_for = "corpus.jsonl, queries.jsonl and qrels/test.tsv"

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the whole collection; with a `limit` no more is held than the sample needs.

        Raises `DataError` with file and line or row, `MissingExtra` where Parquet cannot be read.
        """
        return hold(self.shards(request), request.limit)

    def shards(self, request: ReadRequest) -> ShardedCollection:
        """Return queries and judgments, and the files of each corpus."""
        check_options(request, "beir", OPTIONS)
        found = _Contents(request)
        files = _of_split(request)
        for source in files[QUERIES]:
            found.add_queries(source)
        corpora = sorted({found.language_of(source) for source in files[CORPUS]})
        for source in files[QRELS]:
            found.add_judgments(source, corpora)
        shards = [BeirShard(source.path.absolute(), found.language_of(source), found.name) for source in files[CORPUS]]
        return ShardedCollection(found.collection(), tuple(_without_copies(shards)))

    def recognises(self, folder: Path) -> bool:
        """Say whether names of files, or the data card, tell of documents, queries and judgments, and of no images."""
        paths = paths_in(folder)
        try:
            card = card_in(folder)
        except MissingExtra:
            # Names of files may tell as much, and a card of another kind of data is no reason to ask for a library.
            card = {}
        return is_layout(parts_of(paths, card)) and not is_image_set(paths, card, folder)

    def declare_folder(self, folder: Path, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return files, languages and settings; languages that the data do not tell are those that the user asks for.

        Raises `DataError` where names of folders are no languages.
        """
        card = card_in(folder)
        return self._declared(parts_of(paths_in(folder), card), card, languages)

    def declare_files(self, files: DataFiles, languages: tuple[str, ...] | None) -> dict[str, object] | None:
        """Return what a task file would say of a data set, None for one of another layout; raises `DataError`."""
        parts = parts_of(files.paths, files.card)
        if not is_layout(parts) or is_image_set(files.paths, files.card):
            return None
        if files.subset:
            subsets = sorted({part.subset for part in parts} - {""})
            if files.subset not in subsets:
                raise DataError(f"there is no {files.subset!r} in it: {', '.join(subsets) or 'it has no subsets'}")
            parts = tuple(part for part in parts if part.subset in (files.subset, ""))
        # What is not asked for is not downloaded.
        return self._declared(of_split(parts, files.split or None), files.card, languages)

    def _declared(
        self, parts: Sequence[Part], card: Mapping[str, object], languages: tuple[str, ...] | None
    ) -> dict[str, object]:
        declared = declare(parts, languages, told_languages(card))
        return declared | {"measures": list(MEASURES), "primary_measure": MEASURES[0]}


reader = Beir()


@dataclass
class _Contents:
    """What queries and judgments give so far."""

    request: ReadRequest
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    graded: dict[str, dict[tuple[str, str], Grade]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in the documents' ids."""
        return str(self.request.options.get("collection", self.request.task))

    def language_of(self, source: SourceFile) -> str:
        """Return the language of a file, or of the task where it has only one."""
        if source.language is None and len(self.request.languages) > 1:
            raise DataError(f"{self.request.task}: {source.path.name} needs a language in the task file")
        return source.language or self.request.languages[0]

    def add_queries(self, source: SourceFile) -> None:
        """Read the queries of a file."""
        texts = self.queries.setdefault(self.language_of(source), {})
        for place, row in rows(source.path, (*IDS, "text", "instruction")):
            own_id, text, instruction = row_id(row, place), _text(row, "text", place), _text(row, "instruction", place)
            text = f"{text} {instruction}" if instruction else text
            if not text.strip():
                self._skip("queries without text, left out")
            elif texts.setdefault(own_id, text) != text:
                raise DataError(f"{place}: query {own_id!r} has another text before")

    def add_judgments(self, source: SourceFile, corpora: Sequence[str]) -> None:
        """Read the judgments of a file: of documents in its language, or in each of `corpora`."""
        role = _ROLE.fullmatch(source.role)
        languages = [source.language] if source.language else corpora
        written = role["queries"] if role else None
        query_language = written and (find_language(written, self.request.languages) or written)
        asked = {own_id for texts in self.queries.values() for own_id in texts}
        for own_topic, own_id, grade in judgments(source.path, asked):
            for language in languages:
                topic = self._topic(query_language or language, own_topic)
                if topic is None:
                    self._skip("judgments of topics without a query, left out")
                    continue
                judged = self.graded.setdefault(topic, {})
                if judged.get((language, own_id), grade) != grade:
                    self._skip("documents with several grades for a topic, of which the last counts")
                judged[language, own_id] = grade

    def collection(self) -> Collection:
        """Return the collection without documents, and tell what was left out."""
        request = self.request
        graded = split_judgments(
            {topic: [(*key, grade) for key, grade in rows.items()] for topic, rows in self.graded.items()},
            threshold_of(request),
            lambda language, own_id: document_id(self.name, language, "", own_id),
        )
        queries: dict[str, tuple[Query, ...]] = {}
        for language in request.languages:
            named = [
                Query(own_id if request.parallel else f"{language}:{own_id}", text)
                for own_id, text in self.queries.get(language, {}).items()
            ]
            queries[language] = tuple(query for query in named if query.topic_id in graded.judgments)
            if len(queries[language]) < len(named):
                self._skip("queries without judgments, left out", len(named) - len(queries[language]))
        for what, count in self.skipped.items():
            request.progress.note(f"{request.task}: {what}: {count:,}")
        return Collection(
            languages=request.languages,
            queries=queries,
            documents=dict.fromkeys(request.languages, ()),
            judgments=graded.judgments,
            not_relevant=graded.not_relevant,
            grade_scale=graded.grade_scale,
            clusters={topic: topic for topic in graded.judgments},
            parallel=request.parallel,
        )

    def _topic(self, language: str, own_id: str) -> str | None:
        """Return the topic of a query, None where there is no such query."""
        if self.request.parallel:
            return own_id if any(own_id in texts for texts in self.queries.values()) else None
        return f"{language}:{own_id}" if own_id in self.queries.get(language, {}) else None

    def _skip(self, what: str, count: int = 1) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + count


def _without_copies(shards: Sequence[BeirShard]) -> Iterator[BeirShard]:
    """Yield the shards but for copies: pairs such as `de-en` and `fr-en` often have the same corpus each."""
    sizes = Counter((shard.language, shard.path.stat().st_size) for shard in shards)
    seen: set[str] = set()
    for shard in shards:
        # Only what may be a copy is read for it.
        if sizes[shard.language, shard.path.stat().st_size] > 1:
            fingerprint = shard.fingerprint()
            if fingerprint in seen:
                continue
            seen.add(fingerprint)
        yield shard


def _of_split(request: ReadRequest) -> dict[str, list[SourceFile]]:
    """Return the files of each kind: those of the split that is asked for, `test` or the only one, or without any.

    Raises `DataError` for a file with another role, where a kind is missing, and for a split that there is not.
    """
    groups: dict[tuple[str, str | None, str | None], dict[str, list[SourceFile]]] = {}
    for source in request.files:
        if source.language and source.language not in request.languages:
            continue
        role = _ROLE.fullmatch(source.role)
        if role is None:
            raise DataError(f"{request.task}: the role {source.role!r} is none of {', '.join(KINDS)}")
        by_split = groups.setdefault((role["kind"], source.language, role["queries"]), {})
        by_split.setdefault(role["split"] or "", []).append(source)
    asked = str(request.options["split"]) if "split" in request.options else None
    if asked and not any(split for by_split in groups.values() for split in by_split):
        raise DataError(
            f"{request.task}: its files have no splits: leave out the option split, or add #{asked} to hf://..."
        )
    found: dict[str, list[SourceFile]] = {kind: [] for kind in KINDS}
    for (kind, _, _), by_split in groups.items():
        try:
            split = choose_split(kind, sorted(filter(None, by_split)), asked)
        except DataError as error:
            raise DataError(f"{request.task}: {error}") from error
        found[kind] += [source for name in sorted({"", split}) for source in by_split.get(name, [])]
    for kind in KINDS:
        if not found[kind]:
            tags = ", ".join(request.languages)
            raise DataError(f"{request.task}: there is no file with the role {kind!r} among those of {tags}")
    return found


def _text(row: Mapping[str, object], key: str, place: str) -> str:
    """Return a text of a row, which is empty where it is missing; only `text` must be there."""
    value = row.get(key)
    if value is None and (key in row or key != "text"):
        return ""
    if not isinstance(value, str):
        raise DataError(f"{place}: {key!r} must be a text, not {value!r:.40}")
    return value
