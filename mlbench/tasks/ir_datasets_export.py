"""Our tasks for tools that know ir_datasets: importing this module registers `mlbench/<task>/<query>/<document>` there.

`mlbench/xquad-r/th/en` has the Thai queries and the English documents of XQuAD-R, `mlbench/xquad-r/th/pool` the Thai
queries and the documents of all languages. Ids are those of `mlbench run --save-run`; data are read, and downloaded
where need be, when somebody iterates over them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from mlbench.collection.records import Collection
from mlbench.errors import MissingExtra, UserError
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import Task, load_task, task_names

try:
    import ir_datasets
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import BaseDocs, BaseQrels, BaseQueries, GenericQuery, TrecQrel
    from ir_datasets.indices import Docstore
except ModuleNotFoundError as error:
    raise MissingExtra("mlbench.tasks.ir_datasets_export and irds: tasks", "ir-datasets") from error
POOL = "pool"
"""Stands in an id for the documents of all languages of the task."""


class MlbenchDoc(NamedTuple):
    """A document, and the language it is written in."""

    doc_id: str
    text: str
    lang: str

    def default_text(self) -> str:
        """Return the text."""
        return self.text


class Docs(BaseDocs):  # type: ignore[misc]
    """The documents of one language, or of all."""

    def __init__(self, task: str, languages: tuple[str, ...]) -> None:
        super().__init__()
        self._task, self._languages = task, languages

    def docs_iter(self) -> "SliceableRows":
        """Return the documents, language by language; slices of them can be taken."""
        return SliceableRows(tuple(_documents(self._task, self._languages).values()))

    def docs_store(self) -> "MemoryDocuments":
        """Return the documents by id."""
        return MemoryDocuments(_documents(self._task, self._languages))

    def docs_cls(self) -> type[MlbenchDoc]:
        """Return what a document is."""
        return MlbenchDoc

    def docs_count(self) -> int:
        """Return how many documents there are."""
        return len(_documents(self._task, self._languages))

    def docs_lang(self) -> str | None:
        """Return their language, None for those of several."""
        return self._languages[0] if len(self._languages) == 1 else None

    def docs_namespace(self) -> str:
        """Return the same for ids that mean the same document."""
        return f"mlbench/{self._task}"


class Queries(BaseQueries):  # type: ignore[misc]
    """The queries of one language."""

    def __init__(self, task: str, language: str) -> None:
        super().__init__()
        self._task, self._language = task, language

    def queries_iter(self) -> Iterator[GenericQuery]:
        """Yield the queries; their ids are those of topics."""
        for topic, text in _collection(self._task).queries[self._language]:
            yield GenericQuery(topic, text)

    def queries_cls(self) -> object:
        """Return what a query is."""
        return GenericQuery

    def queries_count(self) -> int:
        """Return how many queries there are."""
        return len(_collection(self._task).queries[self._language])

    def queries_lang(self) -> str:
        """Return their language."""
        return self._language

    def queries_namespace(self) -> str:
        """Return the same for ids that mean the same topic."""
        return f"mlbench/{self._task}"


class Qrels(BaseQrels):  # type: ignore[misc]
    """The judgments of one language's queries against the documents of one language, or of all."""

    def __init__(self, task: str, language: str, languages: tuple[str, ...]) -> None:
        super().__init__()
        self._task, self._language, self._languages = task, language, languages

    def qrels_iter(self) -> Iterator[TrecQrel]:
        """Yield the relevant documents of each query, those that no corpus has among them."""
        collection = _collection(self._task)
        for topic, _ in collection.queries[self._language]:
            for language, doc_id, grade in collection.judgments[topic]:
                if language in self._languages:
                    yield TrecQrel(topic, doc_id, grade, "0")

    def qrels_cls(self) -> object:
        """Return what a judgment is."""
        return TrecQrel

    def qrels_count(self) -> int:
        """Return how many judgments there are."""
        return sum(1 for _ in self.qrels_iter())

    def qrels_defs(self) -> Mapping[int, str]:
        """Return what the grades mean."""
        return {1: "relevant; higher grades are more relevant"}


class SliceableRows:
    """An iterator over rows that can be sliced, as ir_datasets wants of documents."""

    def __init__(self, rows: tuple[MlbenchDoc, ...]) -> None:
        self._rows, self._next = rows, 0

    def __iter__(self) -> "SliceableRows":
        return self

    def __next__(self) -> MlbenchDoc:
        if self._next >= len(self._rows):
            raise StopIteration
        self._next += 1
        return self._rows[self._next - 1]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: int | slice) -> "MlbenchDoc | SliceableRows":
        return SliceableRows(self._rows[key]) if isinstance(key, slice) else self._rows[key]


class MemoryDocuments(Docstore):  # type: ignore[misc]
    """Documents by id, all of them in memory."""

    def __init__(self, rows: Mapping[str, MlbenchDoc]) -> None:
        super().__init__(MlbenchDoc)
        self._by_id = rows

    def built(self) -> bool:
        """Say that nothing has to be built."""
        return True

    def count(self) -> int:
        """Return how many documents there are."""
        return len(self._by_id)

    def get_many_iter(self, doc_ids: Iterable[str]) -> Iterator[MlbenchDoc]:
        """Yield those of the documents that there are, in the order asked for."""
        for doc_id in doc_ids:
            if doc_id in self._by_id:
                yield self._by_id[doc_id]


class Documentation:
    """What ir_datasets shows of a task."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def documentation(self) -> dict[str, object]:
        """Return the name, the licence and the citation of the task."""
        task = self._task
        return {
            "pretty_name": task.title or task.name,
            "desc": f"<p>{task.title or task.name}. Licence: {task.licence} {task.licence_url}</p>",
            "licence": task.licence,
            "homepage": task.homepage,
            "bibtex": task.citation,
        }


def register(spec: str) -> str:
    """Register a task of your own, by its path or `irds:` id, and return its name; raises `UserError`.

    A name that is registered already is left as it is.
    """
    task = load_task(spec)
    if task.kind == "image_text":
        raise UserError(f"{task.name} has images, of which ir_datasets knows nothing: it has texts alone")
    if task.name not in _TASKS:
        _TASKS[task.name] = task
        tags = "|".join(map(re.escape, task.languages))
        pattern = rf"^mlbench/({re.escape(task.name)})/({tags})/({tags}|{POOL})$"
        ir_datasets.registry.register_pattern(pattern, _dataset)
    return task.name


def _dataset(_: str, parts: tuple[str, str, str]) -> Dataset:
    """Return what is registered as `mlbench/<task>/<query language>/<document language or pool>`."""
    name, language, documents = parts
    task = _TASKS[name]
    languages = task.languages if documents == POOL else (documents,)
    return Dataset(
        Docs(name, languages), Queries(name, language), Qrels(name, language, languages), Documentation(task)
    )


@cache
def _collection(name: str) -> Collection:
    return load_collection(_TASKS[name])


@cache
def _documents(name: str, languages: tuple[str, ...]) -> Mapping[str, MlbenchDoc]:
    collection = _collection(name)
    return {
        doc_id: MlbenchDoc(doc_id, text, language)
        for language in languages
        for doc_id, text in collection.documents[language]
    }


_TASKS: dict[str, Task] = {}
for _name in task_names():
    # Of images ir_datasets knows nothing.
    if load_task(_name).kind == "text":
        register(_name)
