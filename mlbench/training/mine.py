"""Mines hard negatives: documents that a model ranks near a query though they do not answer it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.embeddings.encode import Embeddings, embed
from mlbench.embeddings.exact import norms
from mlbench.embeddings.store import VectorStore
from mlbench.errors import UserError
from mlbench.protocols import SILENCE, Encoder, Group, Progress, Vectors
from mlbench.training.index import ABSENT, Ints, RowIndex
from mlbench.training.rows import DatasetRows

_BLOCK = 1024
MinedRow = Mapping[str, object]


@dataclass(frozen=True)
class Mining:
    """How negatives are chosen: up to `negatives` for each query and language, the most similar documents first.

    A document more similar than `margin` times the query's own document is left out, as it may be an answer (Moreira et
    al. 2024, arXiv 2407.15831, sec. 4.2, TopK-PercPos).
    """

    negatives: int = 4
    margin: float = 0.95


@dataclass(frozen=True, eq=False)
class _LanguageTexts:
    """What there is in one language: rows with a document, and those of them with a query, both int64 (n,).

    `groups` are the texts of these queries and of these documents.
    """

    language: str
    documents: Ints
    queries: Ints
    document_texts: Ints
    groups: Mapping[Group, list[str]]

    @classmethod
    def of(cls, rows: DatasetRows, index: RowIndex, column: int) -> "_LanguageTexts":
        """Return what `rows` have in the language of a column."""
        has_document = index.document_places[index.pattern, column] != ABSENT
        has_query = index.query_places[index.pattern, column] != ABSENT
        documents, queries = np.flatnonzero(has_document), np.flatnonzero(has_document & has_query)
        document_texts = index.document_texts(documents, np.full(len(documents), column))
        query_texts = index.query_texts(queries, np.full(len(queries), column))
        language = rows.languages[column]
        groups: dict[Group, list[str]] = {
            ("query", language): rows.read(query_texts),
            ("document", language): rows.read(document_texts),
        }
        return cls(language, documents, queries, document_texts, groups)


def mine(
    rows: DatasetRows,
    index: RowIndex,
    encoder: Encoder,
    mining: Mining,
    *,
    store: VectorStore | None = None,
    progress: Progress = SILENCE,
) -> Iterator[MinedRow]:
    """Yield the rows of `index`, with the columns of `rows.languages`, as lines of a training file with negatives.

    A document that shares topic, query or document with the row is never its negative. What is relevant is decided
    within a language, so that a row has negatives in the languages in which it has query and document. Raises as
    `embed` does, and `UserError` for captions of images.
    """
    if rows.images:
        raise UserError(f"{rows.name}: negatives are mined for texts, and these are captions of images")
    chosen: dict[int, dict[str, list[str]]] = {}
    for column, language in enumerate(rows.languages):
        texts = _LanguageTexts.of(rows, index, column)
        if len(texts.queries):
            embedded = embed(encoder, texts.groups, store, progress)
            for row, numbers in _mine_language(index, texts, embedded, mining, progress):
                if len(numbers):
                    chosen.setdefault(row, {})[language] = rows.read(numbers)
    for row in range(len(index)):
        if written := _row(rows, index, row):
            yield written | ({"negatives": chosen[row]} if row in chosen else {})


def find_negatives(scores: NDArray[np.float32], own: Ints, related: NDArray[np.bool_], mining: Mining) -> list[Ints]:
    """Return for each query the places of its negatives, the most similar first; of equal ones the first.

    `scores`, float32 (queries, documents), are cosines, `own`, int64 (queries,), the place of each query's document,
    and `related`, bool (queries, documents), says which documents can be no negative.
    """
    limit = scores[np.arange(len(own)), own, None] * mining.margin
    usable = np.where(related | (scores > limit), -np.inf, scores)
    n = min(mining.negatives, usable.shape[1])
    order = np.argsort(-usable, axis=1, kind="stable")[:, :n]
    return [row[np.isfinite(usable[place, row])] for place, row in enumerate(order)]


def _mine_language(
    index: RowIndex, texts: _LanguageTexts, embedded: Embeddings, mining: Mining, progress: Progress
) -> Iterator[tuple[int, Ints]]:
    """Yield each row with a query in the language, and the numbers of the texts that are its negatives."""
    queries, documents = (_unit(embedded.vectors(role, texts.language)) for role in ("query", "document"))
    # A document that many rows have is one candidate: the last of them in a dictionary is its first.
    first = {text: place for place, text in reversed(list(enumerate(texts.groups["document", texts.language])))}
    candidates = np.sort(np.array(list(first.values()), np.int64))
    places = np.searchsorted(texts.documents, texts.queries)
    progress.start(f"mine {texts.language}", len(queries))
    for start in range(0, len(queries), _BLOCK):
        here = slice(start, start + _BLOCK)
        asking = texts.queries[here]
        scores = queries[here] @ documents[candidates].T
        own = (queries[here] * documents[places[here]]).sum(axis=1)
        scores = np.concatenate([scores, own[:, None]], axis=1)
        related = _related(index, asking, texts.documents[candidates])
        found = find_negatives(scores, np.full(len(asking), len(candidates)), related, mining)
        yield from (
            (row, texts.document_texts[candidates[each]]) for row, each in zip(asking.tolist(), found, strict=True)
        )
        progress.advance(len(asking))
    progress.finish()


def _related(index: RowIndex, asking: Ints, documents: Ints) -> NDArray[np.bool_]:
    """Return which documents share something with a row; the last column stands for its own document."""
    found = np.ones((len(asking), len(documents) + 1), bool)
    found[:, :-1] = False
    for numbers in (index.topic, index.query_group, index.document_group):
        found[:, :-1] |= numbers[asking][:, None] == numbers[documents][None]
    return found


def _unit(vectors: Vectors) -> NDArray[np.float32]:
    lengths = norms(vectors)[:, None]
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def _row(rows: DatasetRows, index: RowIndex, row: int) -> dict[str, object]:
    """Return a row as a line of a training file has it; empty for one that is left out."""
    pattern, first = int(index.pattern[row]), int(index.first_text[row])
    sides = []
    for table in (index.query_places, index.document_places):
        there = [
            (tag, place) for tag, place in zip(rows.languages, table[pattern].tolist(), strict=True) if place != ABSENT
        ]
        texts = rows.read(np.array([first + place for _, place in there], np.int64))
        sides.append(dict(zip([tag for tag, _ in there], texts, strict=True)))
    queries, documents = sides
    if not queries or not documents:
        return {}
    content = {"texts": queries} if index.is_text[pattern] else {"queries": queries, "passages": documents}
    return {"id": f"{rows.name}-{index.topic[row]}", **content}
