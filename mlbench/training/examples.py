"""The batches of a sampler as texts and images: what a transformer reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mlbench.training.cropping import cut_text
from mlbench.training.index import ABSENT, RowIndex
from mlbench.training.rows import DatasetRows
from mlbench.training.sampler import BatchSampler


class Example(NamedTuple):
    """A query, which may be an `Image`, a document that answers it, and one that does not; without prefixes."""

    query: str
    document: str
    negative: str | None


@dataclass(frozen=True, eq=False)
class Examples:
    """Batches by number: `sampler` draws from the data sets `rows`, in that order, with `languages` as it counts them.

    Nothing is remembered from one batch to the next, so any process may read any batch.
    """

    sampler: BatchSampler
    rows: Sequence[DatasetRows]
    languages: tuple[str, ...]

    @cached_property
    def has_negatives(self) -> bool:
        """Whether any data set has hard negatives."""
        return any(len(rows.index.negative_texts) for rows in self.rows)

    def batch(self, number: int) -> list[Example]:
        """Return the examples of batch `number`; a negative is seen through the view of its example's document."""
        batch = self.sampler.batch(number)
        index = self.index(batch.dataset)
        n, found = len(batch), np.flatnonzero(batch.negatives != ABSENT)
        numbers = [
            index.query_texts(batch.rows, batch.query_languages),
            index.document_texts(batch.rows, batch.document_languages),
            batch.negatives[found],
        ]
        texts = self.rows[batch.dataset].read(np.concatenate(numbers))
        negatives = dict(zip(found.tolist(), texts[2 * n :], strict=True))
        return [
            Example(
                cut_text(texts[slot], batch.query_spans[slot]),
                cut_text(texts[n + slot], batch.document_spans[slot]),
                cut_text(negatives[slot], batch.document_spans[slot]) if slot in negatives else None,
            )
            for slot in range(n)
        ]

    def topics(self, number: int) -> list[int]:
        """Return the topic of each example of batch `number`; those of different data sets differ."""
        batch = self.sampler.batch(number)
        topics = self.index(batch.dataset).topic[batch.rows].astype(np.int64)
        return [int(topic) for topic in topics * len(self.rows) + batch.dataset]

    def index(self, dataset: int) -> RowIndex:
        """Return the index of a data set, with the columns of `languages`."""
        return self._indexes[dataset]

    @cached_property
    def _indexes(self) -> list[RowIndex]:
        return [rows.index.with_languages(rows.languages, self.languages) for rows in self.rows]
