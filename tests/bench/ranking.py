"""Ranks all 132 settings of XQuAD-R at 384 dims, against one float64 matrix product of the same shape.

Half a million documents are ranked for a tenth as many queries, and two hundred languages, each with its own counts and
a pool of all, for queries of one of them: `--only` names what is measured. The last is the memory of a run.
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from zlib import crc32

import numpy as np
from threadpoolctl import threadpool_info

from mlbench import load_collection, load_task
from mlbench.collection.records import Collection, Document, Judgment, Query
from mlbench.embeddings.encode import Embeddings, embed, texts_of
from mlbench.embeddings.exact import Grid, grid_cosine
from mlbench.io.threads import usable_threads
from mlbench.protocols import Parameter, Role, Silence, Similarity, Vectors
from mlbench.ranking.count_ahead import Block, Targets, Tiling, count_ahead
from mlbench.ranking.index_arrays import IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_vectors
from mlbench.ranking.ranks import Ranks
from tests.bench.material import data_dir
from tests.bench.timing import alternate

BLOCK, DOCUMENTS = 1024, 200_000
GOAL, GOAL_MEMORY = 1.5, 2.5


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


@dataclass(frozen=True)
class Shape:
    """A number of languages, documents and queries of each, and how many relevant documents a query has in each."""

    languages: int
    documents: int
    queries: int
    dim: int
    pools: bool = False


LARGE = Shape(languages=11, documents=45_455, queries=1_309, dim=384)
MANY = Shape(languages=205, documents=1_004, queries=2_048, dim=256, pools=True)


def synthetic(shape: Shape) -> tuple[Grid, Targets, list[Block]]:
    """Return random vectors of a shape; each query has a relevant document in every language."""
    random = np.random.default_rng(0)
    whole = shape.languages * shape.documents
    positions = np.sort(random.permutation(whole).reshape(shape.languages, -1), axis=1)
    blocks = [
        Block(Grid.of(random.standard_normal((shape.documents, shape.dim), dtype=np.float32), "cosine"), own)
        for own in positions
    ]
    queries = Grid.of(random.standard_normal((shape.queries, shape.dim), dtype=np.float32), "cosine")
    relevant = positions[:, random.integers(shape.documents, size=shape.queries)].T
    return queries, Targets(np.repeat(np.arange(shape.queries), shape.languages), None, relevant.ravel()), blocks


def compare(name: str, shape: Shape) -> None:
    """Time the ranking of a shape and one product, which converts no vectors."""
    queries, targets, blocks = synthetic(shape)
    pools = [range(shape.languages)] if shape.pools else None
    documents = np.concatenate([block.vectors[:] for block in blocks])
    block = np.empty((min(BLOCK, shape.queries), len(documents)))
    print(f"{name}: {shape.queries:,} queries x {len(documents):,} documents x {shape.dim}")
    work = partial(count_ahead, queries, targets, blocks, pools=pools), partial(multiply, queries[:], documents, block)
    work[1]()
    alternate(*work, ("ranking", "product"))


def memory(n_documents: int) -> tuple[float, float]:
    """Return in MiB what the vectors of a run take, and the peak of the run over the start, vectors included."""
    languages, topics = ("de", "en"), [f"t{number}" for number in range(1000)]
    ids = {
        name: [f"{crc32(f'{name} {n}'.encode()):08x}-{name}-{n}" for n in range(n_documents // 2)] for name in languages
    }
    collection = Collection(
        languages=languages,
        queries={name: tuple(Query(topic, f"{name} {topic}") for topic in topics) for name in languages},
        documents={name: tuple(Document(doc_id, doc_id) for doc_id in ids[name]) for name in languages},
        judgments={
            topic: tuple(Judgment(name, ids[name][number], 1) for name in languages)
            for number, topic in enumerate(topics)
        },
        clusters={topic: topic for topic in topics},
    )
    arrays, texts = index_collection(collection), texts_of(collection)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    embeddings = embed(Noise(), texts, None, Silence())
    rank(arrays, embeddings)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    held = {id(matrix): matrix.nbytes for matrix in embeddings.matrices.values()}
    return sum(held.values()) / 2**20, (after - before) / unit


def xquad_r() -> None:
    data_dir()
    print("ranking: 132 settings of XQuAD-R from vectors in memory / one float64 product of 13,090 x 384 x 13,014")
    arrays, embeddings = prepare()
    queries, documents = (
        np.concatenate([grid_cosine(embeddings.vectors(role, name)) for name in arrays.collection.languages])
        for role in ("query", "document")
    )
    block = np.empty((BLOCK, len(documents)))
    blas = max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
    print(f"  threads: {usable_threads()}, product {blas}")
    work = partial(rank, arrays, embeddings), partial(multiply, queries, documents, block)
    work[1]()
    alternate(*work, ("ranking", "product"))
    print(f"  goal: at most {GOAL:g}")


def peak() -> None:
    # In a process of its own, because a child's peak begins with the size of the process that started it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        vectors, most = pool.submit(memory, DOCUMENTS).result()
    print(f"peak memory of {DOCUMENTS:,} documents x 384: {most:.0f} MiB, {most / vectors:.2f} times the vectors")
    print(f"  goal: at most {GOAL_MEMORY:g}")


def main() -> None:
    measures = {
        "memory": peak,
        "xquad-r": xquad_r,
        "large": partial(compare, "half a million documents", LARGE),
        "many": partial(compare, "two hundred languages and their pool", MANY),
    }
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ranking", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default=",".join(measures), help="what is measured: %(default)s")
    for name in parser.parse_args().only.split(","):
        measures[name]()


if __name__ == "__main__":
    main()
