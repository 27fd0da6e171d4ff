"""Reads collections of ir_datasets: queries, documents and judgments, one collection or one for each language."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

from mlbench.collection.languages import check_language, find_language
from mlbench.collection.records import Collection, Document, Query, document_id
from mlbench.errors import DataError, UserError, suggest
from mlbench.protocols import Parameter, ReadRequest
from mlbench.tasks.readers.grades import RELEVANCE_THRESHOLD, Grade, parse_grade, split_judgments, threshold_of
from mlbench.tasks.readers.ir_datasets_files import (
    Dataset,
    IrdsRecord,
    Record,
    files_of,
    guarded,
    home,
    open_dataset,
    text_of,
)

_BLANKS = re.compile(r"\{([^{}]*)\}")
_OTHERS = 10
"""A quick look takes so many documents per topic that are not relevant, the first ones of the corpus."""
_OVERHEAD_BYTES = 600
"""What a document takes beside its text: ids, places, counts."""
_STEP = 1000


class SourceCollection(NamedTuple):
    """One collection of ir_datasets: its queries are of one language, its documents of one, the same or another.

    `document_language` is empty for a part that is there for its queries alone. `query_field` names the field of its
    queries that is the text; empty for what ir_datasets takes by default.
    """

    query_language: str
    document_language: str
    dataset_id: str
    query_field: str = ""


def parts_of(options: Mapping[str, Parameter], languages: tuple[str, ...]) -> tuple[SourceCollection, ...]:
    """Return the parts that `options` name, sorted; no options give none.

    A key is a language (`th`), the language of the queries and that of the documents (`en/fa`), or that of queries
    which are taken without their documents and judgments (`en/`). Its value is the id of a collection, which may end in
    `#` and a field of its queries (`neuclir/1/fa/trec-2022#ht_title`). A key with
    `{language}` stands for every language, one with `{query}` and `{document}` for every ordered pair of different
    ones, and the same in the id is filled in; a key without them wins. Raises `DataError` for anything else.
    """
    parts: dict[tuple[str, str], SourceCollection] = {}
    for key, value in sorted(options.items(), key=lambda option: "{" not in option[0]):
        if key == RELEVANCE_THRESHOLD:
            continue
        if not isinstance(value, str) or not value.strip():
            raise DataError(
                f"options.{key}: must be an id of ir_datasets, such as 'mr-tydi/th/test', not {value!r:.60}"
            )
        for query_language, document_language, blanks in _pairs(key, languages):
            dataset_id, _, query_field = _filled(key, value.strip(), blanks).partition("#")
            pair = query_language, document_language
            parts[pair] = SourceCollection(*pair, dataset_id, query_field)
    return tuple(sorted(parts.values()))


def _pairs(key: str, languages: tuple[str, ...]) -> list[tuple[str, str, dict[str, str]]]:
    """Return the pairs that a key stands for, with what its blanks are filled in with."""
    query, slash, document = key.partition("/")
    names = dict.fromkeys(_BLANKS.findall(key))
    found = []
    for tags in product(languages, repeat=len(names)):
        blanks = dict(zip(names, tags, strict=True))
        written = _filled(key, query, blanks), _filled(key, document if slash else query, blanks)
        pair = _known(key, written[0], languages), _known(key, written[1], languages) if written[1] else ""
        if pair[0] != pair[1] or not names.keys() & {"query", "document"}:
            found.append((*pair, blanks))
    return found


def _known(key: str, tag: str, languages: tuple[str, ...]) -> str:
    """Return the one of `languages` that `tag` means; raises `DataError` where there is none."""
    with suppress(UserError):
        if found := find_language(tag, languages):
            return found
    raise DataError(f"options.{key}: unknown language {tag!r}: {suggest(tag, languages)}")


def _filled(key: str, text: str, blanks: Mapping[str, str]) -> str:
    unknown = [name for name in _BLANKS.findall(text) if name not in blanks]
    if unknown or not blanks.keys() <= {"language", "query", "document"}:
        raise DataError(f"options.{key}: a key and its id have the same blanks, {{language}} or {{query}}/{{document}}")
    return _BLANKS.sub(lambda match: blanks[match[1]], text)


class IrdsCorpora:
    """The documents of a collection, language by language."""

    def __init__(self, request: ReadRequest, collection: Collection) -> None:
        self._request, self._collection = request, collection
        self._relevant: dict[str, set[str]] = {language: set() for language in request.languages}
        for judgment in (row for rows in collection.judgments.values() for row in rows):
            self._relevant[judgment.language].add(judgment.doc_id)
        self._rows: dict[str, dict[str, str]] = {language: {} for language in request.languages}
        self._read: set[tuple[str, int]] = set()
        self._memory, self._held = free_bytes(), 0
        self._blank = 0

    def add(self, part: SourceCollection, dataset: Dataset) -> None:
        """Read the documents of a part; parts that share their documents are read once.

        Raises `DataError` for an id that is there twice, and as soon as memory is seen to be too small.
        """
        with guarded(part.dataset_id):
            handler = part.document_language, id(dataset.raw.docs_handler())
            if handler in self._read:
                return
            self._read.add(handler)
            self._take(part, dataset)

    def filled(self) -> Collection:
        """Return the collection with its documents."""
        if self._blank:
            self._request.progress.note(f"{self._request.task}: documents without text, left out: {self._blank:,}")
        return replace(
            self._collection,
            documents={
                language: tuple(Document(doc_id, text) for doc_id, text in rows.items())
                for language, rows in self._rows.items()
            },
        )

    def _take(self, part: SourceCollection, dataset: Dataset) -> None:
        language, rows = part.document_language, self._rows[part.document_language]
        before, count, progress = frozenset(rows), dataset.count("docs"), self._request.progress
        progress.start(f"read {part.dataset_id}", count or 0)
        number = 0
        for number, row in enumerate(self._stream(language, dataset), 1):
            doc_id = document_id(self._request.task, language, "", row.doc_id)
            text = text_of(row, part.dataset_id)
            if doc_id in rows and (doc_id not in before or rows[doc_id] != text):
                how = "is there twice" if doc_id not in before else "has another text elsewhere in the task"
                raise DataError(f"irds:{part.dataset_id}: document {row.doc_id!r} {how}")
            if text.strip():
                rows[doc_id] = text
                self._held += sys.getsizeof(text) + _OVERHEAD_BYTES
            else:
                self._blank += 1
            if number % _STEP == 0:
                progress.advance(_STEP)
                self._check_memory(part, number, count)
        progress.advance(number % _STEP)
        progress.finish()
        if count is not None and number != count and self._request.limit is None:
            progress.note(
                f"warning: irds:{part.dataset_id} gave {number:,} documents, "
                f"ir_datasets knows of {count:,}: is a file cut?"
            )

    def _stream(self, language: str, dataset: Dataset) -> Iterator[IrdsRecord]:
        """Yield every document, or for a quick look the relevant ones and the first others, and no more."""
        if self._request.limit is None:
            yield from dataset.raw.docs_iter()
            return
        others = _OTHERS * self._request.limit
        # As `document_id` writes it: 12 digits, the language, the id.
        sought = {doc_id[14 + len(language) :] for doc_id in self._relevant[language]}
        store = dataset.store()
        by_id = store is not None and store.built() if hasattr(store, "built") else False
        known = store.get_many_iter(sorted(sought)) if store is not None and by_id else iter(())
        found = set[str]()
        for row in chain(known, dataset.raw.docs_iter()):
            if row.doc_id not in sought:
                others -= 1
                if others >= 0:
                    yield row
            elif row.doc_id not in found:
                found.add(row.doc_id)
                yield row
            if others <= 0 and (by_id or found == sought):
                return

    def _check_memory(self, part: SourceCollection, number: int, count: int | None) -> None:
        """Stop at once where the documents seen so far tell that all of them do not fit."""
        expected = self._held * max(1.0, (count or 0) / number) if number == _STEP else self._held
        if self._request.limit is None and expected > self._memory:
            raise DataError(
                f"irds:{part.dataset_id}: {count or number:,} documents need about {expected / 2**30:,.1f} GiB, and "
                f"{self._memory / 2**30:,.1f} GiB of memory are free: "
                "take a larger machine, fewer --languages or --limit"
            )


def free_bytes() -> float:
    """Return how much memory can still be taken, in bytes; infinite where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return float("inf")


class Irds:
    """The reader `irds`; `irds:ID` is a task of the collection ID, with no task file."""

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection of the parts that the options name (see `parts_of`).

        The text of a document or a query is `default_text()` of ir_datasets, for documents mostly title and text;
        queries are stripped. Grades below 1, or below the option `relevance_threshold`, are judged not relevant. Topics
        are shared across languages by id; where the task says that they are not parallel, a topic is the query's
        language and id, as in `th-12`. Documents and
        queries without text are left out, judgments of topics without a query as well; both are counted and told.

        With a limit, reading ends as soon as the documents of the sample are found. Raises `DataError` in one line for
        anything that cannot be read, for an id that is there twice, for a source file that changed since its first use,
        and for a corpus that memory cannot hold; `UnknownName` and `MissingExtra`.
        """
        wanted = request.wanted or request.languages
        parts = [
            part
            for part in parts_of(request.options, request.languages)
            if part.query_language in wanted or part.document_language in wanted
        ]
        if not parts:
            raise DataError(f"{request.task}: no collection of ir_datasets is named in its options")
        opened = [(part, open_dataset(part.dataset_id)) for part in parts]
        _check_files(opened, request)
        contents = _Contents(request, frozenset(wanted))
        for part, dataset in opened:
            contents.add_queries(part, dataset)
        for part, dataset in opened:
            if part.document_language in wanted:
                contents.add_judgments(part, dataset)
        collection = contents.collection()
        if request.limit is not None:
            collection = collection.sample(request.limit)
        corpora = IrdsCorpora(request, collection)
        for part, dataset in opened:
            if part.document_language in wanted:
                corpora.add(part, dataset)
        _check_files(opened, request)
        contents.tell()
        return corpora.filled()

    def declare(self, locator: str, languages: tuple[str, ...] | None) -> dict[str, object]:
        """Return the table of a task for one collection, in the languages that its metadata tell.

        Where one of them is not told, it is the language that the user asks for beside the one that is.
        """
        dataset_id = locator.partition("#")[0]
        if not dataset_id.strip():
            raise DataError("irds: needs the id of a collection of ir_datasets, as in irds:mr-tydi/th/test")
        dataset = open_dataset(dataset_id)
        with guarded(dataset_id):
            told = _tag(dataset.raw.queries_lang()), _tag(dataset.raw.docs_lang())
        given = sorted(set(languages or ()) - set(told)) or sorted(set(languages or ()))
        if None in told and len(given) != 1:
            what = " and ".join(name for name, tag in zip(("queries", "documents"), told, strict=True) if not tag)
            known = told[0] or told[1]
            raise DataError(
                f"irds:{dataset_id}: ir_datasets does not know the language of its {what}: add "
                + (f"--languages {known},TAG with the other one" if known else "--languages TAG, or write a task file")
            )
        query_language, document_language = told[0] or given[0], told[1] or given[0]
        same = query_language == document_language
        return {
            "name": "irds-" + re.sub(r"[^a-z0-9]+", "-", locator.lower()).strip("-"),
            "title": f"{locator} of ir_datasets",
            "languages": sorted({query_language, document_language}),
            "settings": ["monolingual" if same else "cross_lingual"],
            "options": {query_language if same else f"{query_language}/{document_language}": locator},
            "licence": "see the documentation of ir_datasets",
            "homepage": f"https://ir-datasets.com/{dataset_id.partition('/')[0]}.html",
        }


reader = Irds()


def _tag(language: str | None) -> str | None:
    """Return a language of ir_datasets as a tag; None where it is not known, or is none."""
    with suppress(UserError):
        return check_language(language or "")
    return None


@dataclass
class _Contents:
    """Queries and judgments of the parts read so far."""

    request: ReadRequest
    wanted: frozenset[str]
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    judgments: dict[str, dict[tuple[str, str], Grade]] = field(default_factory=dict)
    topics: dict[str, set[str]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def add_queries(self, part: SourceCollection, dataset: Dataset) -> None:
        """Keep the queries of a part in a wanted language; of others only the topics, so that judgments find them."""
        with guarded(part.dataset_id):
            self._take_queries(part, dataset)

    def add_judgments(self, part: SourceCollection, dataset: Dataset) -> None:
        """Keep the judgments of a part whose documents are wanted; the queries of all parts are known by now."""
        with guarded(part.dataset_id):
            self._take_judgments(part, dataset)

    def collection(self) -> Collection:
        """Return the collection so far, without documents; for a quick look without topics that have no answer."""
        topics = {topic for rows in self.queries.values() for topic in rows}
        threshold = threshold_of(self.request)
        if self.request.limit is not None:
            topics &= {topic for topic, rows in self.judgments.items() if max(rows.values()) >= threshold}
        graded = split_judgments(
            {
                topic: [(*key, grade) for key, grade in self.judgments.get(topic, {}).items()]
                for topic in sorted(topics)
            },
            threshold,
            lambda language, own_id: document_id(self.request.task, language, "", own_id),
        )
        return Collection(
            languages=self.request.languages,
            queries={
                language: tuple(
                    Query(topic, text) for topic, text in self.queries.get(language, {}).items() if topic in topics
                )
                for language in self.request.languages
            },
            documents=dict.fromkeys(self.request.languages, ()),
            judgments=graded.judgments,
            not_relevant=graded.not_relevant,
            grade_scale=graded.grade_scale,
            clusters={topic: topic for topic in topics},
        )

    def tell(self) -> None:
        """Tell how much was left out."""
        for what, count in self.skipped.items():
            self.request.progress.note(f"{self.request.task}: {what}: {count:,}")

    def _take_queries(self, part: SourceCollection, dataset: Dataset) -> None:
        wanted = part.query_language in self.wanted
        rows = self.queries.setdefault(part.query_language, {}) if wanted else {}
        seen = set[str]()
        for query in dataset.raw.queries_iter():
            text = text_of(query, part.dataset_id, part.query_field).strip()
            topic = self._topic(part, query.query_id)
            if topic in seen:
                raise DataError(f"irds:{part.dataset_id}: query {query.query_id!r} is there twice")
            seen.add(topic)
            if not text:
                self._skip("queries without text, left out")
                continue
            self.topics.setdefault(part.query_language, set()).add(topic)
            if rows.setdefault(topic, text) != text:
                raise DataError(
                    f"{self.request.task}: topic {topic!r} has two texts in {part.query_language}: "
                    f"{rows[topic][:40]!r} and, in irds:{part.dataset_id}, {text[:40]!r}"
                )
        count = dataset.count("queries")
        if count is not None and count != len(seen):
            self.request.progress.note(
                f"warning: irds:{part.dataset_id} gave {len(seen):,} queries, ir_datasets knows of {count:,}"
            )

    def _take_judgments(self, part: SourceCollection, dataset: Dataset) -> None:
        topics = self.topics.get(part.query_language, set())
        for row in dataset.raw.qrels_iter():
            topic = self._topic(part, row.query_id)
            if topic not in topics:
                self._skip("judgments of topics without a query, left out")
                continue
            grade = _grade(row, part)
            rows = self.judgments.setdefault(topic, {})
            key = part.document_language, row.doc_id
            if rows.setdefault(key, grade) != grade:
                self._skip("documents with two grades for a topic, of which the higher one counts")
                rows[key] = max(grade, rows[key])

    def _topic(self, part: SourceCollection, query_id: str) -> str:
        return query_id if self.request.parallel else f"{part.query_language}-{query_id}"

    def _skip(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1


def _grade(row: IrdsRecord, part: SourceCollection) -> Grade:
    shown = getattr(row, "relevance", None)
    grade = parse_grade(shown)
    if grade is None:
        raise DataError(f"irds:{part.dataset_id}: the grade {shown!r:.40} of topic {row.query_id!r} is no number")
    return grade


def _check_files(opened: list[tuple[SourceCollection, Dataset]], request: ReadRequest) -> None:
    """Compare the source files with what they were at first use; a quick look compares sizes alone."""
    for dataset_id, dataset in {part.dataset_id: dataset for part, dataset in opened}.items():
        with guarded(dataset_id):
            files = files_of(*dataset.handlers(), dataset.store())
        Record(dataset_id, home()).check(files, at_a_glance=request.limit is not None)
