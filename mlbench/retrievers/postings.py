"""Lucene's BM25 over terms that are given, in numpy: the same scores to the bit.

A document scores for each term of the query (Robertson et al., 1994; Lucene leaves out the constant k1 + 1)

    idf * tf / (tf + k1 * (1 - b + b * length / average length)),    idf = ln(1 + (N - df + 1/2) / (df + 1/2))

in float32, with lengths rounded down to one byte as in Lucene's index; a term that stands twice in the query counts
twice, and the sum over terms, taken in float64, is rounded to float32.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import RetrieverError

Integers = NDArray[np.int64]
Float32s = NDArray[np.float32]


def _byte_lengths() -> Integers:
    """Return the 256 lengths that Lucene's SmallFloat.byte4ToInt knows, ascending: exact to 40, then 4 bits each."""
    beyond = [step if step < 8 else (step & 7 | 8) << (step >> 3) - 1 for step in range(232)]
    return np.array([*range(24), *(24 + value for value in beyond)], dtype=np.int64)


LENGTHS = _byte_lengths()


class Vocabulary:
    """Numbers for terms, handed out as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, texts: Iterable[list[str]]) -> "Terms":
        """Return the terms of texts as numbers; terms not met before get new ones."""
        numbers = self._numbers
        rows = [np.array([numbers.setdefault(term, len(numbers)) for term in text], dtype=np.int32) for text in texts]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
        return Terms(flat, np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths))))


@dataclass(frozen=True, eq=False)
class Terms:
    """Texts as numbers of terms: those of text i are `flat[edges[i] : edges[i + 1]]`.

    `flat` is int32 (terms,), `edges` int64 (texts + 1,).
    """

    flat: NDArray[np.int32]
    edges: Integers

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, text: int) -> NDArray[np.int32]:
        return self.flat[self.edges[text] : self.edges[text + 1]]


def join(parts: Sequence[Terms]) -> Terms:
    """Return the texts of all parts, one part after the other; there is at least one."""
    starts = np.cumsum([0, *(len(part.flat) for part in parts)])
    edges = [part.edges[:-1] + start for part, start in zip(parts, starts, strict=False)]
    return Terms(np.concatenate([part.flat for part in parts]), np.concatenate((*edges, starts[-1:])))


class Postings:
    """An inverted index of documents, given by their ids and terms, with each term's share of the score in it.

    Raises `RetrieverError` where two documents have one id.
    """

    def __init__(self, doc_ids: Sequence[str], terms: Terms, *, k1: float, b: float) -> None:
        # Numbered in the order of ids, descending, so that among equal scores the smaller number comes first.
        order = sorted(range(len(doc_ids)), key=lambda index: doc_ids[index], reverse=True)
        self._doc_ids = np.array([doc_ids[index] for index in order], dtype=object)
        again = np.flatnonzero(self._doc_ids[1:] == self._doc_ids[:-1])
        if len(again):
            raise RetrieverError(f"bm25: two documents have the id {self._doc_ids[again[0]]!r}")
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        lengths = np.diff(terms.edges)
        keys, counts = np.unique(
            terms.flat * np.int64(max(len(order), 1)) + np.repeat(places, lengths), return_counts=True
        )
        numbers, documents = np.divmod(keys, max(len(order), 1))
        self._documents = documents.astype(np.int32)
        self._edges = np.searchsorted(numbers, np.arange(terms.flat.max(initial=-1) + 2))
        self._frequencies = np.diff(self._edges)
        self._idf = _idf(self._frequencies, int((lengths > 0).sum()))
        norms = np.empty(len(order), dtype=np.float32)
        norms[places] = _norms(lengths, k1, b)
        self._saturations = np.float32(1) + counts.astype(np.float32) * norms[self._documents]
        self._shares = _share(np.repeat(self._idf, self._frequencies), self._saturations)

    def search(self, query: NDArray[np.int32], depth: int) -> list[str]:
        """Return the ids of at most `depth` documents that hold a term of `query`, best first; ties by id, descending.

        `query` holds numbers of the vocabulary that numbered the documents.
        """
        scores = self._scores(query)
        found = np.flatnonzero(scores)
        if len(found) > depth:
            # All that reach the score at the depth stay, so that ties at the edge are cut by id.
            found = found[scores[found] >= np.partition(scores[found], -depth)[-depth]]
        best = found[np.argsort(-scores[found], kind="stable")[:depth]]
        doc_ids: list[str] = self._doc_ids[best].tolist()
        return doc_ids

    def scores(self, query: NDArray[np.int32]) -> dict[str, float]:
        """Return the score, a float32, of each document that holds a term of `query`."""
        scores = self._scores(query)
        found = np.flatnonzero(scores)
        return dict(zip(self._doc_ids[found].tolist(), scores[found].tolist(), strict=True))

    def _scores(self, query: NDArray[np.int32]) -> Float32s:
        """Return the scores of all documents in the order of their ids; 0 where no term is shared."""
        terms, counts = np.unique(query[query < len(self._frequencies)], return_counts=True)
        spans = [slice(self._edges[term], self._edges[term + 1]) for term in terms]
        if not spans:
            return np.zeros(len(self._doc_ids), dtype=np.float32)
        shares = [
            self._shares[span] if count == 1 else _share(np.float32(count) * self._idf[term], self._saturations[span])
            for term, count, span in zip(terms, counts, spans, strict=True)
        ]
        documents = np.concatenate([self._documents[span] for span in spans])
        sums = np.bincount(documents, np.concatenate(shares), minlength=len(self._doc_ids))
        scores: Float32s = sums.astype(np.float32)
        return scores


def _idf(frequencies: Integers, n_documents: int) -> Float32s:
    """Return float32 (terms,); `n_documents` counts those that have a term at all."""
    idf: Float32s = np.log(1 + (n_documents - frequencies + 0.5) / (frequencies + 0.5)).astype(np.float32)
    return idf


def _norms(lengths: Integers, k1: float, b: float) -> Float32s:
    """Return for each document 1 / (k1 * (1 - b + b * length / average length)) as Lucene computes it."""
    filled = max(int((lengths > 0).sum()), 1)
    average = np.float32(max(int(lengths.sum()), 1) / filled)
    one, slope, table = np.float32(1), np.float32(b), LENGTHS.astype(np.float32)
    with np.errstate(divide="ignore"):
        norms: Float32s = one / (np.float32(k1) * ((one - slope) + slope * table / average))
    return norms[np.searchsorted(LENGTHS, lengths, side="right") - 1]


def _share(weights: Float32s | np.float32, saturations: Float32s) -> Float32s:
    return weights - weights / saturations
