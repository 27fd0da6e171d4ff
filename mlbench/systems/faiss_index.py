"""Indexes of faiss, built and searched in one thread, so that the same vectors give the same lists."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from time import thread_time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mlbench.errors import MissingExtra
from mlbench.protocols import Vectors
from mlbench.systems.index_kinds import HNSW, IVFPQ, Index

EXTRA = "ann"

Integers = NDArray[np.int64]


class _Faiss(Protocol):
    """What an index of faiss can do, as far as it is needed."""

    def train(self, vectors: Vectors) -> None: ...

    def add(self, vectors: Vectors) -> None: ...

    def search(self, vectors: Vectors, k: int) -> tuple[NDArray[np.float32], Integers]: ...


@dataclass(frozen=True, eq=False)
class Built:
    """An index in memory: its size as faiss would write it, and the seconds of processor time that it took."""

    index: _Faiss
    bytes: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Found:
    """The lists of some queries as positions in what was indexed, and the seconds of processor time they took."""

    lists: list[Integers]
    seconds: float


def check_faiss() -> str:
    """Return the version of faiss; raises `MissingExtra` where it is not installed."""
    if find_spec("faiss") is None:
        raise MissingExtra("approximate indexes", EXTRA)
    import faiss

    return str(faiss.__version__)


def build(kind: Index, keys: Mapping[str, int], vectors: Vectors) -> Built:
    """Index float32 (n, dim) vectors by inner product, in one thread; `keys` are those of `Index.build_keys`."""
    with _one_thread():
        begin = thread_time()
        index = _new(kind, keys, vectors.shape[1])
        if isinstance(kind, IVFPQ):
            # As many vectors as a code has values become these values: a small pool is repeated, and coded exactly.
            least = 2 ** keys["nbits"]
            index.train(vectors if len(vectors) >= least else np.resize(vectors, (least, vectors.shape[1])))
        index.add(vectors)
        seconds = thread_time() - begin
    return Built(index, _size(index), seconds)


def search(kind: Index, built: Built, keys: Mapping[str, int], queries: Vectors, length: int) -> Found:
    """Return the lists of float32 (n, dim) queries, at most `length` long, asked one by one in one thread.

    `keys` are those of `Index.search_keys`. Lists are sorted by score, descending, then by position, ascending; no
    position stands twice in one.
    """
    for key, value in keys.items():
        _set(kind, built.index, key, value)
    scores = np.empty((len(queries), length), dtype=np.float32)
    places = np.empty((len(queries), length), dtype=np.int64)
    with _one_thread():
        begin = thread_time()
        for row in range(len(queries)):
            scores[row], places[row] = built.index.search(queries[row : row + 1], length)
        seconds = thread_time() - begin
    return Found(_in_order(scores, places), seconds)


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


def _in_order(scores: NDArray[np.float32], places: Integers) -> list[Integers]:
    """Return each row's places without paddings (-1), equal scores in the order of places."""
    filled = places >= 0
    tied = (scores[:, 1:] == scores[:, :-1]) & (places[:, 1:] < places[:, :-1])
    wrong = (tied | (scores[:, 1:] > scores[:, :-1])).any(axis=1) | ~filled.all(axis=1)
    lists = []
    for row, is_wrong in enumerate(wrong):
        found, score = places[row], scores[row]
        if is_wrong:
            found, score = found[filled[row]], score[filled[row]]
            found = found[np.lexsort((found, -score))]
        lists.append(found)
    return lists
