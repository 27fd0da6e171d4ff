"""Documents of ir_datasets, read as a stream and held in memory as far as it goes."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from mlbench.errors import DataError
from mlbench.protocols import ReadRequest
from mlbench.readers.irds_library import Dataset, Row, guarded, text_of
from mlbench.readers.irds_options import Part
from mlbench.records import Collection, Document, document_id

_OTHERS = 10
"""A quick look takes so many documents per topic that are not relevant, the first ones of the corpus."""

_OVERHEAD_BYTES = 600
"""What a document takes beside its text: ids, places, counts."""

_STEP = 1000


class Corpora:
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

    def add(self, part: Part, dataset: Dataset) -> None:
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

    def _take(self, part: Part, dataset: Dataset) -> None:
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

    def _stream(self, language: str, dataset: Dataset) -> Iterator[Row]:
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

    def _check_memory(self, part: Part, number: int, count: int | None) -> None:
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
