"""Small collections that are registered with ir_datasets, from files of a test."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest

from mlbench.collection.records import Collection
from mlbench.protocols import Parameter, Progress, ReadRequest, Silence
from mlbench.tasks.readers.ir_datasets import reader

DOCS = {"d1": "the red fox runs", "d2": "a blue whale swims", "d3": "green parrots talk"}
QUERIES = {"q1": "red fox", "q2": "blue whale", "q3": "nobody judged this"}
QRELS = "q1 0 d1 2\nq1 0 d2 0\nq2 0 d2 1\nq2 0 gone 1\nq2 0 d3 -1\n"

_numbers = count()


class Notes(Silence):
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def tsv(rows: Mapping[str, str] | str) -> str:
    return rows if isinstance(rows, str) else "".join(f"{name}\t{text}\n" for name, text in rows.items())


def register(
    folder: Path,
    docs: Mapping[str, str] | str = DOCS,
    queries: Mapping[str, str] | str = QUERIES,
    qrels: str = QRELS,
    *,
    languages: tuple[str | None, str | None] = ("en", "en"),
) -> str:
    """Register a collection of three files in `folder` under a new name; `languages` are of queries and documents."""
    ir_datasets = pytest.importorskip("ir_datasets")
    formats, local = ir_datasets.formats, ir_datasets.util.LocalDownload
    folder.mkdir(exist_ok=True)
    for name, content in (("docs.tsv", tsv(docs)), ("queries.tsv", tsv(queries)), ("qrels.txt", qrels)):
        (folder / name).write_text(content, encoding="utf-8")
    dataset_id = f"local-{next(_numbers)}/test"
    dataset = ir_datasets.Dataset(
        formats.TsvDocs(local(folder / "docs.tsv"), namespace=dataset_id, lang=languages[1]),
        formats.TsvQueries(local(folder / "queries.tsv"), lang=languages[0]),
        formats.TrecQrels(local(folder / "qrels.txt"), {}),
    )
    ir_datasets.registry.register(dataset_id, dataset)
    return dataset_id


def read(
    options: dict[str, Parameter],
    languages: tuple[str, ...] = ("en",),
    *,
    parallel: bool = True,
    wanted: tuple[str, ...] | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Collection:
    request = ReadRequest(
        task="own",
        languages=languages,
        files=(),
        options=options,
        parallel=parallel,
        wanted=wanted,
        limit=limit,
        progress=progress or Silence(),
    )
    return reader(request)


def own_ids(collection: Collection, language: str) -> list[str]:
    """Return the ids of a language's documents as ir_datasets has them."""
    return [document.doc_id[14 + len(language) :] for document in collection.documents[language]]
