"""Lucene's BM25 over the terms of Lucene's analyzers, scored in numpy: the same scores to the bit."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query, split_document_id
from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, Progress, RankedList, Role, Runtime, ScoredRanker
from mlbench.retrievers.lucene import EXTRA, LIBRARIES, Analyzers, analyzer_name, remark

Integers = NDArray[np.int64]
Float32s = NDArray[np.float32]
# Stays the same as long as the same terms give the same lists.
_ALGORITHM = "Lucene's BM25 1"
_HEAP = re.compile(r"([1-9]\d{1,5}m|[1-9]\d{0,2}g)\Z")


def _byte_lengths() -> Integers:
    """Return the 256 lengths that Lucene's SmallFloat.byte4ToInt knows, ascending: exact to 40, then 4 bits each."""
    beyond = [step if step < 8 else (step & 7 | 8) << (step >> 3) - 1 for step in range(232)]
    return np.array([*range(24), *(24 + value for value in beyond)], dtype=np.int64)


LENGTHS = _byte_lengths()


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


class TermNumbers:
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


def by_distinct_id(doc_ids: Sequence[str], scheme: str) -> list[int]:
    """Return the places of documents in the order of their ids, descending; raises `RetrieverError` for an id twice.

    Among equal scores the document that comes first in this order comes first in a list.
    """
    order = sorted(range(len(doc_ids)), key=lambda index: doc_ids[index], reverse=True)
    for one, other in pairwise(order):
        if doc_ids[one] == doc_ids[other]:
            raise RetrieverError(f"{scheme}: two documents have the id {doc_ids[one]!r}")
    return order


def best_scores(scores: Float32s, depth: int) -> Integers:
    """Return the places of at most `depth` scores, float32 (documents,), above 0, best first; equal ones by place."""
    found = np.flatnonzero(scores)
    if len(found) > depth:
        # All that reach the score at the depth stay, so that ties at the edge are cut by place.
        found = found[scores[found] >= np.partition(scores[found], -depth)[-depth]]
    best: Integers = found[np.argsort(-scores[found], kind="stable")[:depth]]
    return best


class Postings:
    """An inverted index of documents, given by their ids and terms, with each term's share of the score in it.

    Raises `RetrieverError` where two documents have one id.
    """

    def __init__(self, doc_ids: Sequence[str], terms: Terms, *, k1: float, b: float) -> None:
        order = by_distinct_id(doc_ids, "bm25")
        self._doc_ids = np.array([doc_ids[index] for index in order], dtype=object)
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

    def search(self, query: NDArray[np.int32], depth: int) -> RankedList:
        """Return at most `depth` documents that hold a term of `query`, best first; ties by id, descending.

        `query` holds numbers of the vocabulary that numbered the documents.
        """
        scores = self._scores(query)
        best = best_scores(scores, depth)
        return RankedList(self._doc_ids[best].tolist(), scores[best])

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


class BM25Settings(BaseModel, extra="forbid", frozen=True):
    """The keys that every BM25 has."""

    k1: float = Field(0.9, ge=0, allow_inf_nan=False, description="how much repetitions of a term count")
    b: float = Field(0.4, ge=0, le=1, allow_inf_nan=False, description="how much the length of a document counts")


class BM25:
    """Lucene's BM25 with the analyzer of each language; a pool is one index (no path)."""

    extra = EXTRA
    libraries = LIBRARIES
    example = "bm25 --set k1=0.9 --set b=0.4"

    class Settings(BM25Settings, extra="forbid", frozen=True):
        """Keys of `bm25:`."""

        heap: str = Field("512m", description="memory of the Java, as in 512m or 4g")

        @field_validator("heap")
        @classmethod
        def _sized(cls, heap: str) -> str:
            if not _HEAP.match(heap):
                raise PydanticCustomError("heap", "give at least 10 MB, as in 512m or 4g")
            return heap

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "BM25Ranker":
        """Start the Java of the analyzers.

        Raises `MissingExtra` without pyserini and pyjnius, `RetrieverError` for a path, where no Java is new enough,
        and where it does not start.
        """
        assert isinstance(settings, BM25.Settings)
        if locator:
            raise RetrieverError(f"bm25 takes no path or hub id: write 'bm25:', not 'bm25:{locator}'")
        return BM25Ranker(Analyzers(settings.heap), settings)


class TextAnalyzers(Protocol):
    """The analyzers of all languages, given by their tags."""

    def fingerprint(self) -> str:
        """Return a digest of what decides the terms."""
        ...

    def terms(self, language: str, texts: Iterable[str]) -> Iterable[list[str]]:
        """Yield the terms of each text in their order; a text of blanks has none."""
        ...


class TermIndex(Protocol):
    """An index of the documents of a corpus or a pool."""

    def search(self, query: NDArray[np.int32], depth: int) -> RankedList:
        """Return at most `depth` documents that hold a term of `query`, best first; ties by id, descending."""
        ...


class LexicalRanker(ScoredRanker, ABC):
    """Indexes of the corpora and pools that were asked for, in memory; each text is analysed once.

    A pool is one index, with the frequencies of terms and the average length over all its documents: a document has the
    terms of its own language's analyzer, a query those of its language's.
    """

    scheme: str

    def __init__(self, analyzers: TextAnalyzers) -> None:
        self._texts, self._vocabulary = analyzers, TermNumbers()
        self._terms: dict[tuple[Role, str], tuple[Sequence[str], Terms]] = {}
        self._indexes: dict[tuple[str, ...], tuple[Sequence[Document], TermIndex]] = {}

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages met so far, sorted."""
        return tuple(sorted({language for _, language in self._terms}))

    @abstractmethod
    def remark(self, language: str) -> str | None:
        """Return what a user must know of the analyzer of `language`, in one line; None where there is nothing."""

    @abstractmethod
    def build(self, doc_ids: Sequence[str], terms: Terms) -> TermIndex:
        """Return an index of documents, given by their ids and terms; raises `RetrieverError` for an id twice."""

    def prepare(self, texts: Mapping[tuple[Role, str], Sequence[str]], cache: Path | None, progress: Progress) -> None:
        """Analyse all texts of a run, by role and language, and say what is not as one expects of a language."""
        for language in sorted({language for _, language in texts}):
            said = self.remark(language)
            if said is not None:
                progress.note(said)
        progress.start("analyse", sum(map(len, texts.values())))
        for (role, language), rows in texts.items():
            self._analyse(role, language, rows)
            progress.advance(len(rows))
        progress.finish()

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query the documents that share a term with it, at most `depth`, best first.

        Ties are broken by id, descending. Raises `RetrieverError` where a pool holds a document whose id does not tell
        its language, or one id twice.
        """
        index = self._index(setting.document_languages, documents)
        asked = self._analyse("query", setting.query_language, [query.text for query in queries])
        return [index.search(asked[number], depth) for number in range(len(queries))]

    def _index(self, languages: tuple[str, ...], documents: Sequence[Document]) -> TermIndex:
        documents = list(documents)
        kept = self._indexes.get(languages)
        if kept is not None and kept[0] == documents:
            return kept[1]
        if kept is not None:
            # Another collection: nothing of the last one is asked for again.
            self._indexes.clear()
        ordered: list[Document] = []
        parts = []
        for language, own in self._by_language(languages, documents).items():
            ordered += own
            parts.append(self._analyse("document", language, [document.text for document in own]))
        index = self.build([document.doc_id for document in ordered], join(parts))
        self._indexes[languages] = documents, index
        return index

    def _by_language(self, languages: tuple[str, ...], documents: Sequence[Document]) -> dict[str, list[Document]]:
        """Return the documents of each language, in their order; that of a pool's documents is told by their ids."""
        found: dict[str, list[Document]] = {language: [] for language in languages}
        if len(languages) == 1:
            found[languages[0]] += documents
            return found
        for document in documents:
            language, _ = split_document_id(document.doc_id, languages)
            if not language:
                raise RetrieverError(
                    f"{self.scheme}: the id {document.doc_id!r} does not tell which of {', '.join(languages)} the "
                    "document is in"
                )
            found[language].append(document)
        return found

    def _analyse(self, role: Role, language: str, texts: Sequence[str]) -> Terms:
        texts, kept = list(texts), self._terms.get((role, language))
        if kept is None or kept[0] != texts:
            kept = texts, self._vocabulary.number(self._texts.terms(language, texts))
            self._terms[role, language] = kept
        return kept[1]


class BM25Ranker(LexicalRanker):
    """Lucene's BM25 over the terms of its analyzers."""

    scheme = "bm25"

    def __init__(self, analyzers: Analyzers, settings: BM25.Settings) -> None:
        super().__init__(analyzers)
        self._analyzers, self._settings = analyzers, settings

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The keys of `bm25:`, the versions of Anserini and Java, and the analyzer of each language met so far."""
        machine = self._analyzers.machine
        return {
            "k1": self._settings.k1,
            "b": self._settings.b,
            "anserini": machine.jar.name.removeprefix("anserini-").removesuffix("-fatjar.jar"),
            "java": f"{machine.java.version} ({machine.java.source})",
            **{f"analyzer.{tag}": analyzer_name(tag) or "StandardAnalyzer (none of its own)" for tag in self.languages},
        }

    def fingerprint(self) -> str:
        """Return a digest of the analyzers, the archive's version and the keys that decide the lists."""
        parts = (_ALGORITHM, self._analyzers.fingerprint(), f"{self._settings.k1!r}", f"{self._settings.b!r}")
        return sha256("\x1f".join(parts).encode()).hexdigest()

    def remark(self, language: str) -> str | None:
        """Return what a user must know of Lucene's analyzer of `language`; None where it is what one expects."""
        return remark(language)

    def build(self, doc_ids: Sequence[str], terms: Terms) -> Postings:
        """Return an index of documents, given by their ids and terms; raises `RetrieverError` for an id twice."""
        return Postings(doc_ids, terms, k1=self._settings.k1, b=self._settings.b)

    def prepare(self, texts: Mapping[tuple[Role, str], Sequence[str]], cache: Path | None, progress: Progress) -> None:
        """Say which Java is used where another one was passed over, and analyse all texts of a run."""
        java = self._analyzers.machine.java
        if java.passed_over:
            progress.note(f"Java {java.version} of {java.source} is used: {'; '.join(java.passed_over)}")
        super().prepare(texts, cache, progress)


def join(parts: Sequence[Terms]) -> Terms:
    """Return the texts of all parts, one part after the other; there is at least one."""
    starts = np.cumsum([0, *(len(part.flat) for part in parts)])
    edges = [part.edges[:-1] + start for part, start in zip(parts, starts, strict=False)]
    return Terms(np.concatenate([part.flat for part in parts]), np.concatenate((*edges, starts[-1:])))


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
