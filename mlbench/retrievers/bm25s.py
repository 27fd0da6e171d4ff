"""BM25 of the library bm25s over terms that need no Java: close to Lucene's, and light to install."""

from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from mlbench.errors import RetrieverError
from mlbench.protocols import Parameter, RankedList, Runtime
from mlbench.retrievers.bm25 import BM25Settings, LexicalRanker, Terms, best_scores, by_distinct_id
from mlbench.retrievers.snowball import EXTRA, LIBRARIES, SnowballAnalyzers, analysis_name, analysis_remark

# Stays the same as long as the same terms and the same version of bm25s give the same lists.
_ALGORITHM = "bm25s lucene 1"


class _Index(Protocol):
    """What is needed of an index of bm25s."""

    def index(self, corpus: tuple[list[list[int]], dict[str, int]], **options: bool) -> None: ...

    def get_scores_from_ids(self, query_tokens_ids: list[int]) -> NDArray[np.float64]: ...


class BM25S:
    """BM25 of the library bm25s with an analysis of each language, without a Java; a pool is one index (no path)."""

    extra = EXTRA
    libraries = LIBRARIES
    example = "bm25s --set k1=0.9 --set b=0.4"

    class Settings(BM25Settings, extra="forbid", frozen=True):
        """Keys of `bm25s:`."""

    @staticmethod
    def open(locator: str, settings: BaseModel, runtime: Runtime) -> "BM25SRanker":
        """Load the stemmers; raises `MissingExtra` where a library is not there, `RetrieverError` for a path."""
        assert isinstance(settings, BM25S.Settings)
        if locator:
            raise RetrieverError(f"bm25s takes no path or hub id: write 'bm25s:', not 'bm25s:{locator}'")
        return BM25SRanker(SnowballAnalyzers(), settings)


class BM25SRanker(LexicalRanker):
    """The variant `lucene` of bm25s over the terms of our own analyses."""

    scheme = "bm25s"

    def __init__(self, analyzers: SnowballAnalyzers, settings: BM25S.Settings) -> None:
        super().__init__(analyzers)
        self._settings = settings

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The keys of `bm25s:`, the version of the library, and the analysis of each language met so far."""
        analyses = {f"analyzer.{language}": analysis_name(language) for language in self.languages}
        return {"k1": self._settings.k1, "b": self._settings.b, "bm25s": version("bm25s"), **analyses}

    def fingerprint(self) -> str:
        """Return a digest of the analyses, the versions of the libraries and the keys that decide the lists."""
        parts = (_ALGORITHM, self._texts.fingerprint(), repr(self._settings.k1), repr(self._settings.b))
        return sha256("\x1f".join(parts).encode()).hexdigest()

    def remark(self, language: str) -> str | None:
        """Return what a user must know of the analysis of `language`; None where it is what one expects."""
        return analysis_remark(language)

    def build(self, doc_ids: Sequence[str], terms: Terms) -> "SparseScores":
        """Return an index of documents, given by their ids and terms; raises `RetrieverError` for an id twice."""
        return SparseScores(doc_ids, terms, k1=self._settings.k1, b=self._settings.b)


class SparseScores:
    """An index of bm25s: for each term the score that each document would get for it.

    As in Lucene, documents without a term count neither for frequencies nor for the average length. Scores are summed
    in float64 and rounded to float32, so that documents that share the same terms tie whatever the order of the query.
    """

    def __init__(self, doc_ids: Sequence[str], terms: Terms, *, k1: float, b: float) -> None:
        order = [place for place in by_distinct_id(doc_ids, "bm25s") if len(terms[place])]
        self._doc_ids = np.array([doc_ids[place] for place in order], dtype=object)
        self._n_terms = int(terms.flat.max(initial=-1)) + 1
        self._index: _Index | None = None
        if order:
            library = import_module("bm25s")
            self._index = library.BM25(method="lucene", k1=k1, b=b, dtype="float64", backend="numpy")
            vocabulary = {str(number): number for number in range(self._n_terms)}
            corpus = [terms[place].tolist() for place in order]
            self._index.index((corpus, vocabulary), create_empty_token=False, show_progress=False)

    def search(self, query: NDArray[np.int32], depth: int) -> RankedList:
        """Return at most `depth` documents that hold a term of `query`, best first; ties by id, descending."""
        known = query[query < self._n_terms]
        if self._index is None or not len(known):
            return RankedList([], np.empty(0, dtype=np.float32))
        scores = self._index.get_scores_from_ids(known.tolist()).astype(np.float32)
        best = best_scores(scores, depth)
        return RankedList(self._doc_ids[best].tolist(), scores[best])
