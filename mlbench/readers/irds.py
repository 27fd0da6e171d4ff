"""Reads collections of ir_datasets: queries, documents and judgments, one collection or one for each language."""

import re
from dataclasses import dataclass, field

from mlbench.errors import DataError
from mlbench.protocols import ReadRequest
from mlbench.readers.irds_documents import Corpora
from mlbench.readers.irds_files import Record, files_of
from mlbench.readers.irds_library import Dataset, Row, guarded, home, open_dataset, text_of
from mlbench.readers.irds_options import Part, parts_of
from mlbench.records import Collection, Judgment, Query, document_id

_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")


class Irds:
    """The reader `irds`; `irds:ID` is a task of the collection ID, with no task file."""

    def __call__(self, request: ReadRequest) -> Collection:
        """Return the collection of the parts that the options name (see `parts_of`).

        The text of a document or a query is `default_text()` of ir_datasets, for documents mostly title and text;
        queries are stripped. Grades below 1 are judged not relevant. Topics are shared across languages by id; where
        the task says that they are not parallel, a topic is the query's language and id, as in `th-12`. Documents and
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
        gathered = _Gathered(request, frozenset(wanted))
        for part, dataset in opened:
            gathered.add_queries(part, dataset)
        for part, dataset in opened:
            if part.document_language in wanted:
                gathered.add_judgments(part, dataset)
        collection = gathered.collection()
        if request.limit is not None:
            collection = collection.sample(request.limit)
        corpora = Corpora(request, collection)
        for part, dataset in opened:
            if part.document_language in wanted:
                corpora.add(part, dataset)
        _check_files(opened, request)
        gathered.tell()
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
    tag = (language or "").lower().replace("_", "-")
    return tag if _TAG.fullmatch(tag) else None


@dataclass
class _Gathered:
    """Queries and judgments of the parts read so far."""

    request: ReadRequest
    wanted: frozenset[str]
    queries: dict[str, dict[str, str]] = field(default_factory=dict)
    judgments: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)
    topics: dict[str, set[str]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def add_queries(self, part: Part, dataset: Dataset) -> None:
        """Keep the queries of a part in a wanted language; of others only the topics, so that judgments find them."""
        with guarded(part.dataset_id):
            self._take_queries(part, dataset)

    def add_judgments(self, part: Part, dataset: Dataset) -> None:
        """Keep the judgments of a part whose documents are wanted; the queries of all parts are known by now."""
        with guarded(part.dataset_id):
            self._take_judgments(part, dataset)

    def collection(self) -> Collection:
        """Return the collection so far, without documents; for a quick look without topics that have no answer."""
        topics = {topic for rows in self.queries.values() for topic in rows}
        if self.request.limit is not None:
            topics &= {topic for topic, rows in self.judgments.items() if max(rows.values()) >= 1}
        return Collection(
            languages=self.request.languages,
            queries={
                language: tuple(
                    Query(topic, text) for topic, text in self.queries.get(language, {}).items() if topic in topics
                )
                for language in self.request.languages
            },
            documents=dict.fromkeys(self.request.languages, ()),
            judgments={
                topic: tuple(
                    Judgment(language, document_id(self.request.task, language, "", own_id), grade)
                    for (language, own_id), grade in self.judgments.get(topic, {}).items()
                    if grade >= 1
                )
                for topic in sorted(topics)
            },
            clusters={topic: topic for topic in topics},
        )

    def tell(self) -> None:
        """Tell how much was left out."""
        for what, count in self.skipped.items():
            self.request.progress.note(f"{self.request.task}: {what}: {count:,}")

    def _take_queries(self, part: Part, dataset: Dataset) -> None:
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

    def _take_judgments(self, part: Part, dataset: Dataset) -> None:
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

    def _topic(self, part: Part, query_id: str) -> str:
        return query_id if self.request.parallel else f"{part.query_language}-{query_id}"

    def _skip(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1


def _grade(row: Row, part: Part) -> int:
    try:
        grade = int(row.relevance)  # type: ignore[call-overload]
        if grade == float(row.relevance):  # type: ignore[arg-type]
            return int(grade)
    except (TypeError, ValueError, AttributeError, OverflowError):
        pass
    shown = getattr(row, "relevance", None)
    raise DataError(f"irds:{part.dataset_id}: the grade {shown!r:.40} of topic {row.query_id!r} is no whole number")


def _check_files(opened: list[tuple[Part, Dataset]], request: ReadRequest) -> None:
    """Compare the source files with what they were at first use; a quick look compares sizes alone."""
    for dataset_id, dataset in {part.dataset_id: dataset for part, dataset in opened}.items():
        with guarded(dataset_id):
            files = files_of(*dataset.handlers(), dataset.store())
        Record(dataset_id, home()).check(files, at_a_glance=request.limit is not None)
