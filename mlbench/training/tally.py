"""Counts what the batches of a training drew: kinds, languages, epochs, and a digest of the rows and their views."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from mlbench.protocols import Progress, Silence
from mlbench.training.index import ABSENT, Ints, RowIndex
from mlbench.training.sampler import Batch, BatchSampler

_SILENCE = Silence()


@dataclass(frozen=True, slots=True)
class Use:
    """How a data set was used in a language: `queries` and `documents` count the examples that had one in it.

    `texts` is how many queries and documents its rows have in that language.
    """

    dataset: str
    language: str
    queries: int
    documents: int
    texts: int

    @property
    def epochs(self) -> float:
        """How often each query and each document was drawn, on average; 0 where there are none."""
        return (self.queries + self.documents) / self.texts if self.texts else 0.0


@dataclass(frozen=True, eq=False)
class Tally:
    """What batches were: `kinds` counts them, `examples` is how many they had together.

    `drawn` says how many queries and documents of each language, int64 (languages,), the batches of each kind had.
    `shortened` batches lacked `missing` examples together, `refused` ones were drawn again. `pairs`, int64 (data sets,
    languages, languages), counts the examples by the languages of query and document. `rows_digest` is the SHA-256
    (hex) of the rows drawn and their views, in order: two trainings with equal ones differ at most in languages.
    """

    kinds: Mapping[str, int]
    drawn: Mapping[str, Ints]
    examples: int
    shortened: int
    missing: int
    refused: int
    pairs: Ints
    uses: tuple[Use, ...]
    rows_digest: str


def tally(
    sampler: BatchSampler,
    batches: int,
    indexes: Sequence[RowIndex],
    *,
    languages: Sequence[str],
    names: Sequence[str],
    progress: Progress = _SILENCE,
) -> Tally:
    """Return what the first `batches` were, drawn again from `sampler`.

    `indexes` are what it draws from, with one of the `names` for each and a column for each of the `languages`. No
    batches give counts of 0. Raises as `BatchSampler.batch` does.
    """
    kinds: Counter[str] = Counter()
    drawn: dict[str, Ints] = {}
    pairs = np.zeros((len(names), len(languages), len(languages)), np.int64)
    shortened = missing = refused = 0
    digest = sha256()
    progress.start("count batches", batches)
    for batch in sampler.batches(0, batches):
        kinds[batch.kind] += 1
        of_kind = drawn.setdefault(batch.kind, np.zeros(len(languages), np.int64))
        of_kind += np.bincount(np.append(batch.query_languages, batch.document_languages), minlength=len(languages))
        shortened += batch.clashes > 0
        missing += batch.clashes
        refused += batch.refused
        np.add.at(pairs[batch.dataset], (batch.query_languages, batch.document_languages), 1)
        digest.update(_rows_and_views(batch))
        progress.advance(1)
    progress.finish()
    return Tally(
        kinds=dict(sorted(kinds.items())),
        drawn=dict(sorted(drawn.items())),
        examples=int(pairs.sum()),
        shortened=shortened,
        missing=missing,
        refused=refused,
        pairs=pairs,
        uses=tuple(_uses(pairs, indexes, languages, names)),
        rows_digest=digest.hexdigest(),
    )


def _rows_and_views(batch: Batch) -> bytes:
    numbers = np.array([batch.dataset, len(batch), *batch.rows], "<i8")
    return numbers.tobytes() + b"".join(
        spans.astype("<f8").tobytes() for spans in (batch.query_spans, batch.document_spans)
    )


def _uses(pairs: Ints, indexes: Sequence[RowIndex], languages: Sequence[str], names: Sequence[str]) -> list[Use]:
    """Return the use of every data set in every language in which it has texts."""
    uses = []
    for name, counted, index in zip(names, pairs, indexes, strict=True):
        n_rows = np.bincount(index.pattern, minlength=len(index.is_text))
        present = (index.query_places != ABSENT).astype(np.int64) + (index.document_places != ABSENT)
        queries, documents, texts = counted.sum(axis=1), counted.sum(axis=0), n_rows @ present
        counts = zip(languages, queries.tolist(), documents.tolist(), texts.tolist(), strict=True)
        uses += [Use(name, language, *each) for language, *each in counts if each[-1]]
    return uses
