"""An encoder whose documents are searched in an approximate index of faiss, as a ranker."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import thread_time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlbench import members
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.embeddings.encode import role_of
from mlbench.errors import MissingExtra, RetrieverError
from mlbench.open_model import LoadedModel
from mlbench.protocols import SILENCE, IndexCost, Parameter, Progress, RankedList, Role, Texts, Vectors
from mlbench.ranking.count_ahead import by_id
from mlbench.retrievers.pipelines.declaration import HNSW, IVFPQ, Factory, Index, index_name
from mlbench.retrievers.pipelines.parts import Composite, OpenedPart, TextRows

EXTRA = "ann"
Integers = NDArray[np.int64]
_SMALL, _TRAINED_ON = 256, 4096
# Where in faiss's code an error was found, and the condition that did not hold where it is put into words.
_PLACE = re.compile(r"\AError in .*? at \S+:\d+: (Error: )?('.*?' failed: )?")
_LARGE = 100_000
"""A pool whose index takes so long to build that it is told."""


class _Faiss(Protocol):
    """What an index of faiss can do, as far as it is needed."""

    def train(self, vectors: Vectors) -> None: ...

    def add(self, vectors: Vectors) -> None: ...

    def search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Integers]: ...


@dataclass(frozen=True, eq=False)
class BuiltIndex:
    """An index in memory: its size as faiss would write it, and the seconds of processor time that it took."""

    index: _Faiss
    bytes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class SearchHits:
    """The lists of some queries, and the seconds of processor time they took.

    A list is positions in what was indexed, int64 (found,), and their scores, float32 (found,).
    """

    lists: list[tuple[Integers, NDArray[np.float32]]]
    seconds: float


def with_indexes(opened: LoadedModel, indexes: Sequence[Index]) -> list[LoadedModel]:
    """Return one ranker for each index over the same encoder: what they build alike they build once.

    The results name the encoder and the index. Raises `RetrieverError` where `opened` is no encoder or a key does not
    suit it, and `MissingExtra` without faiss.
    """
    part, encoder = OpenedPart.of(opened), IndexedEncoder(opened)
    return [
        LoadedModel(
            IndexRanker(index, part, encoder),
            f"{opened.spec} {index_name(index)}",
            opened.training,
            name=opened.name and f"{opened.name} {index_name(index)}",
        )
        for index in indexes
    ]


class IndexedEncoder:
    """The vectors of an encoder, and the indexes built over them, shared by all who search in them."""

    def __init__(self, opened: LoadedModel) -> None:
        if not members.is_encoder(opened.retriever):
            raise RetrieverError(f"an index is built over an encoder's vectors, and {opened.label} is a ranker")
        self._texts, self._prepared = TextRows(opened), dict[tuple[Role, str], Sequence[str]]()
        self._vectors: dict[Role, Vectors] = {}
        self._built: dict[tuple[str, ...], tuple[list[str], BuiltIndex]] = {}
        self._progress: Progress = SILENCE

    @property
    def dim(self) -> int:
        """How many coordinates its vectors have."""
        return self._texts.encoder.dim

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Encode `texts`, each once, and forget the indexes of other texts."""
        self._progress = progress
        if texts == self._prepared:
            return
        self._built.clear()
        embeddings = self._texts.encode(texts, cache, progress)
        is_cosine = self._texts.encoder.similarity == "cosine"
        self._vectors = {
            role: _normalise(matrix) if is_cosine else matrix for role, matrix in embeddings.matrices.items()
        }
        self._prepared = dict(texts)

    def ensure(self, language: str, queries: Sequence[str], documents: Sequence[str]) -> None:
        """Encode these texts alone unless they were prepared."""
        if self._texts.lack(queries, documents):
            self.prepare({("query", language): queries, ("document", language): documents}, None, SILENCE)

    def vectors(self, role: Role, texts: Sequence[str]) -> Vectors:
        """Return what an index is given for `texts`, float32 (n, dim): of length 1 where similarity is a cosine."""
        vectors: Vectors = self._vectors[role_of(role, texts)][self._texts.of(role, texts)]
        return vectors

    def index(self, kind: Index, pool: Sequence[str], documents: Sequence[str]) -> BuiltIndex:
        """Return the index of the texts `documents`, built unless there is one of the same keys."""
        keys = kind.build_keys(len(documents), self.dim)
        key = (kind.kind, kind.structure, *pool, *(f"{name}={value}" for name, value in keys.items()))
        known = self._built.get(key)
        if known is None or known[0] != documents:
            if len(documents) >= _LARGE:
                self._progress.note(f"building {kind.structure} over {len(documents):,} documents")
            known = self._built[key] = (list(documents), build(kind, keys, self.vectors("document", documents)))
        return known[1]


class IndexRanker(Composite):
    """The documents of each list as an index finds them, one index for each pool that is asked."""

    def __init__(self, index: Index, part: OpenedPart, encoder: IndexedEncoder) -> None:
        super().__init__({"encoder": part})
        self._index, self._encoder, self._faiss = index, encoder, check_faiss()
        self._costs: dict[tuple[str, ...], IndexCost] = {}
        # Told now, not after hours of encoding.
        keys = index.build_keys(2**31, encoder.dim)
        if isinstance(index, Factory):
            _set_parameters(index, _make(index, keys, encoder.dim), index.search_keys(2**31, encoder.dim))

    @property
    def declared(self) -> dict[str, Parameter]:
        """The index with all its keys, and the version of faiss."""
        keys = {f"index.{key}": value for key, value in self._index.model_dump().items()}
        return {"kind": "index", "index": self._index.kind, **keys, "faiss": self._faiss}

    @property
    def index_costs(self) -> tuple[IndexCost, ...]:
        """What each index took since the last preparation, in the order of their pools."""
        return tuple(self._costs[pool] for pool in sorted(self._costs, key=lambda pool: (len(pool), pool)))

    def prepare(self, texts: Texts, cache: Path | None, progress: Progress) -> None:
        """Let the encoder encode `texts`, and count the costs anew."""
        self._costs.clear()
        self._encoder.prepare(texts, cache, progress)

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        """Return for each query at most `depth` of the documents that the index finds, best first."""
        ordered = [documents[place] for place in by_id([document.doc_id for document in documents])]
        asked, corpus = [query.text for query in queries], [document.text for document in ordered]
        if not ordered:
            return [RankedList([], np.empty(0)) for _ in asked]
        self._encoder.ensure(setting.query_language, asked, corpus)
        built = self._encoder.index(self._index, setting.document_languages, corpus)
        keys = self._index.search_keys(len(corpus), self._encoder.dim)
        length = min(depth, self._index.length(len(corpus)))
        found = search(self._index, built, keys, self._encoder.vectors("query", asked), length)
        self._add(
            IndexCost(
                document_languages=setting.document_languages,
                n_documents=len(corpus),
                keys=self._index.build_keys(len(corpus), self._encoder.dim) | keys,
                depth=length,
                bytes=built.bytes,
                build_seconds=round(built.seconds, 6),
                n_queries=len(asked),
                search_seconds=round(found.seconds, 6),
            )
        )
        doc_ids = np.array([document.doc_id for document in ordered], dtype=object)
        return [RankedList(doc_ids[places].tolist(), scores) for places, scores in found.lists]

    def _add(self, cost: IndexCost) -> None:
        """Add a search to what the index of its pool took before."""
        pool = cost.document_languages
        if before := self._costs.get(pool):
            spent = {key: getattr(before, key) + getattr(cost, key) for key in ("n_queries", "search_seconds")}
            cost = cost.model_copy(update=spent)
        self._costs[pool] = cost


def _normalise(vectors: Vectors) -> Vectors:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    normalised: Vectors = np.divide(vectors, lengths[:, None], out=np.empty_like(vectors), casting="same_kind")
    return normalised


def check_faiss() -> str:
    """Return the version of faiss; raises `MissingExtra` where it is not installed."""
    if find_spec("faiss") is None:
        raise MissingExtra("approximate indexes", EXTRA)
    import faiss

    return str(faiss.__version__)


def build(kind: Index, keys: Mapping[str, int], vectors: Vectors) -> BuiltIndex:
    """Index float32 (n, dim) vectors by inner product, in one thread; `keys` are those of `Index.build_keys`.

    Raises `RetrieverError` in one line where faiss cannot build the index of a string over so many vectors.
    """
    with _one_thread():
        begin = thread_time()
        if isinstance(kind, Factory):
            index = _build_factory(kind, keys, vectors)
        else:
            index = _new(kind, keys, vectors.shape[1])
            if isinstance(kind, IVFPQ):
                # As many vectors as a code has values become these values: a small pool is repeated, and coded exactly.
                index.train(_at_least(2 ** keys["nbits"], vectors))
            index.add(vectors)
        seconds = thread_time() - begin
    return BuiltIndex(index, _size(index), seconds)


def search(kind: Index, built: BuiltIndex, keys: Mapping[str, int], queries: Vectors, length: int) -> SearchHits:
    """Return the lists of float32 (n, dim) queries, at most `length` long, asked one by one in one thread.

    `keys` are those of `Index.search_keys`. Lists are sorted by score, descending, then by position, ascending; no
    position stands twice in one.
    """
    if isinstance(kind, Factory):
        _set_parameters(kind, built.index, keys)
    else:
        for key, value in keys.items():
            _set(kind, built.index, key, value)
    scores = np.empty((len(queries), length), dtype=np.float32)
    places = np.empty((len(queries), length), dtype=np.int64)
    with _one_thread(), _faults(kind):
        begin = thread_time()
        for row in range(len(queries)):
            scores[row], places[row] = built.index.search(queries[row : row + 1], length)
        seconds = thread_time() - begin
    return SearchHits(_in_order(scores, places), seconds)


def _new(kind: Index, keys: Mapping[str, int], dim: int) -> _Faiss:
    import faiss

    index: _Faiss
    if isinstance(kind, HNSW):
        index = faiss.IndexHNSWFlat(dim, keys["m"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = keys["ef_construction"]  # type: ignore[attr-defined]
        return index
    flat: _Faiss = faiss.IndexFlatIP(dim)
    if not isinstance(kind, IVFPQ):
        return flat
    index = faiss.IndexIVFPQ(flat, dim, keys["nlist"], keys["m"], keys["nbits"], faiss.METRIC_INNER_PRODUCT)
    for clustering in (index.cp, index.pq.cp):  # type: ignore[attr-defined]
        clustering.seed = keys["seed"]
        # Few documents are no fault of the user's, and faiss would warn on stderr.
        clustering.min_points_per_centroid = 1
    return index


def _set(kind: Index, index: _Faiss, key: str, value: int) -> None:
    if isinstance(kind, HNSW):
        index.hnsw.efSearch = value  # type: ignore[attr-defined]
    else:
        setattr(index, key, value)


def _at_least(n: int, vectors: Vectors) -> Vectors:
    """Return `vectors`, or n of them by repetition where there are fewer."""
    return vectors if len(vectors) >= n else np.resize(vectors, (n, vectors.shape[1]))


def _make(kind: Factory, keys: Mapping[str, int], dim: int) -> _Faiss:
    """Return an empty index of faiss's index_factory; raises `RetrieverError` in one line for what faiss refuses."""
    import faiss

    with _faults(kind):
        index = faiss.index_factory(dim, kind.factory, faiss.METRIC_INNER_PRODUCT)
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise RetrieverError(
            f"{index_name(kind)}: faiss has this index for distances alone: take one of inner products"
        )
    _set_parameters(kind, index, keys)
    made: _Faiss = index
    return made


def _build_factory(kind: Factory, keys: Mapping[str, int], vectors: Vectors) -> _Faiss:
    import faiss

    index = _make(kind, keys, vectors.shape[1])
    cells = faiss.try_extract_index_ivf(index)
    if cells is not None and cells.nlist > len(vectors):
        raise RetrieverError(
            f"{index_name(kind)}: {cells.nlist:,} cells need as many documents, a pool has {len(vectors):,}: take fewer"
        )
    with _faults(kind), _without_warnings():
        # Codes of up to 12 bits need as many vectors as they have values; a small pool is repeated, and coded exactly.
        index.train(_at_least(_TRAINED_ON, vectors) if len(vectors) < _SMALL else vectors)
        if isinstance(index, faiss.IndexIDMap):
            index.add_with_ids(vectors, np.arange(len(vectors)))
        else:
            index.add(vectors)
    return index


def _set_parameters(kind: Factory, index: _Faiss, keys: Mapping[str, int]) -> None:
    import faiss

    with _faults(kind):
        for key, value in keys.items():
            faiss.ParameterSpace().set_index_parameter(index, key, value)


@contextmanager
def _faults(kind: Index) -> Iterator[None]:
    """Turn an error of faiss into one line that names the index, without the place in faiss's code."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = " ".join(str(error).split())
        reason = _PLACE.sub("", said).removeprefix("ParameterSpace::set_index_parameter:") or said
        raise RetrieverError(f"{index_name(kind)}: faiss refuses it: {reason}") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Drop what faiss writes to the process's stderr: that few documents are few is no fault of the user's."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _size(index: _Faiss) -> int:
    import faiss

    written = 0

    def count(block: bytes) -> None:
        nonlocal written
        written += len(block)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))
    return written


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep faiss to the calling thread, whose processor time is then all that it takes."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        faiss.omp_set_num_threads(before)


def _in_order(scores: NDArray[np.float32], places: Integers) -> list[tuple[Integers, NDArray[np.float32]]]:
    """Return each row's places without paddings (-1), equal scores in the order of places, and the scores."""
    filled = places >= 0
    tied = (scores[:, 1:] == scores[:, :-1]) & (places[:, 1:] < places[:, :-1])
    wrong = (tied | (scores[:, 1:] > scores[:, :-1])).any(axis=1) | ~filled.all(axis=1)
    lists = []
    for row, is_wrong in enumerate(wrong):
        found, score = places[row], scores[row]
        if is_wrong:
            found, score = found[filled[row]], score[filled[row]]
            order = np.lexsort((found, -score))
            found, score = found[order], score[order]
        lists.append((found, score))
    return lists
