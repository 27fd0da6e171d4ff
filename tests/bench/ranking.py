"""Ranks all 132 settings of XQuAD-R at 384 dims, against one float64 matrix product of the same shape."""

import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from os import cpu_count
from zlib import crc32

import numpy as np
from threadpoolctl import threadpool_info

from mlbench import load_collection, load_task
from mlbench.embeddings.encode import Embeddings, embed
from mlbench.embeddings.exact import grid_cosine
from mlbench.protocols import Parameter, Role, Silence, Similarity, Vectors
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_vectors
from mlbench.ranking.ranks import Ranks
from tests.bench.material import data_dir
from tests.bench.timing import alternate

BLOCK = 1024
GOAL, GOAL_MIB = 3.0, 1024


@dataclass
class Noise:
    """An encoder of random directions: ranking does the same work whatever the vectors say."""

    dim: int = 384
    similarity: Similarity = "cosine"

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self, role: Role) -> str:
        return "noise"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return np.random.default_rng(crc32(texts[0].encode())).standard_normal((len(texts), self.dim), dtype=np.float32)


def prepare() -> tuple[IndexArrays, Embeddings]:
    collection = load_collection(load_task("xquad-r"), data_dir=data_dir())
    texts = {("document", name): [row.text for row in rows] for name, rows in collection.documents.items()}
    texts |= {("query", name): [row.text for row in rows] for name, rows in collection.queries.items()}
    return index_collection(collection), embed(Noise(), texts, None, Silence())


def rank(arrays: IndexArrays, embeddings: Embeddings) -> Ranks:
    """Do what a run's `rank` step does, from vectors in memory to the content of the ranks file."""
    return to_ranks(arrays, rank_vectors(arrays, embeddings, "cosine", Tiling(), Silence()))


def multiply(queries: Vectors, documents: Vectors, block: Vectors) -> None:
    for start in range(0, len(queries), BLOCK):
        rows = queries[start : start + BLOCK]
        np.matmul(rows, documents.T, out=block[: len(rows)])


def memory() -> tuple[int, int]:
    """Return the peak of this process in KiB (bytes on macOS), before and after ranking."""
    arrays, embeddings = prepare()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rank(arrays, embeddings)
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    data_dir()
    print("ranking: 132 settings of XQuAD-R from vectors in memory / one float64 product of 13,090 x 384 x 13,014")
    # First of all, because a child's peak begins with the size of the process that started it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        before, after = (peak / (2**20 if sys.platform == "darwin" else 2**10) for peak in pool.submit(memory).result())
    arrays, embeddings = prepare()
    queries, documents = (
        np.concatenate([grid_cosine(embeddings.vectors(role, name)) for name in arrays.collection.languages])
        for role in ("query", "document")
    )
    block = np.empty((BLOCK, len(documents)))
    blas = max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
    print(f"  shape {len(queries):,} x {queries.shape[1]} x {len(documents):,}; threads: {cpu_count()}, product {blas}")
    work = partial(rank, arrays, embeddings), partial(multiply, queries, documents, block)
    work[1]()
    alternate(*work, ("ranking", "product"))
    print(f"  goal: at most {GOAL:g}")
    print(f"  peak memory: {before:.0f} MiB before, {after:.0f} MiB after ranking, goal under {GOAL_MIB}")


if __name__ == "__main__":
    main()
