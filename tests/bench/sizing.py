"""Measures what the page on sizing reckons with, and writes it to docs/figures/sizing.json.

Streams of two sizes, then the rate of each step on one processor: scanning, skipping, encoding, ranking, handing out.
What is given with `--only` is measured anew, the rest of the file stays. `python -m docs.generate` then makes the page.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from docs.sizing_page import FIGURES
from mlbench import Encoder, Runtime, load_collection, load_task, open_retriever
from mlbench.embeddings.encode import embed
from mlbench.embeddings.exact import grid_cosine
from mlbench.evaluation.distributed.local import open_local
from mlbench.evaluation.distributed.ray_cluster import open_cluster
from mlbench.evaluation.streaming.corpus import PART, FingerprintedShard, Scanner
from mlbench.evaluation.streaming.counts import PartCounts, TopDocuments
from mlbench.evaluation.streaming.resume import WorkFolder
from mlbench.protocols import Resources, Silence
from mlbench.ranking.count_ahead import Block, Targets, Tiling, count_ahead, exact_scores
from mlbench.tasks.readers.trec_files import CorpusFile
from tests.bench.engines import EMPTY
from tests.bench.engines import took as hand_out
from tests.bench.material import data_dir, minilm
from tests.bench.streaming import TAGS, WORK, Bench, corpus_of
from tests.bench.timing import took

RUNS = 3
QUERIES = 1000
RELEVANT = 2
DIMS = (384, 768, 1024)
SHARD = 50_000
TEXTS = 300


def typical(work: Callable[[], object]) -> float:
    """Return the seconds of a processor that some work takes, the median of several times."""
    return median(took(work).processor for _ in range(RUNS))


def streams(sizes: list[int], options: tuple[str, ...], folder: Path | None) -> list[dict[str, Any]]:
    """Run each size once, on hashed n-grams of 64 dimensions, and return what it took and left on disk."""
    found = []
    with TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), options, "hashing", ("dim=64",))
        for size in sizes:
            corpus = corpus_of(folder or Path(temporary), size, QUERIES)
            run = bench.run(corpus, Path(temporary) / str(size))
            cache = Path(temporary) / str(size) / "cache"
            found.append(
                {
                    "documents": size,
                    "queries": QUERIES,
                    "languages": len(TAGS),
                    "dim": 64,
                    "options": " ".join(options),
                    "parts": sum(-(-row["n_documents"] // PART) for row in shards_of(corpus)),
                    "seconds": round(run.seconds, 1),
                    "processor_seconds": round(run.processor, 1),
                    "peak_bytes": run.together,
                    "stream_bytes": weigh(cache / WORK),
                    "vector_bytes": weigh(cache / "embeddings"),
                }
            )
            print(json.dumps(found[-1]), flush=True)
    return found


def shards_of(corpus: Path) -> list[dict[str, int]]:
    """Return how many documents each shard of a corpus has."""
    task = load_task(str(corpus / "task.toml"))
    rows = []
    for language, total in task.expected.documents.items():
        rows += [{"n_documents": min(SHARD, total - first)} for first in range(0, total, SHARD)]
        assert language in TAGS
    return rows


def weigh(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def reading(folder: Path) -> dict[str, float]:
    """Return how many documents a second of a processor scans, and how many it unpacks and skips."""
    corpus = corpus_of(folder, SHARD * len(TAGS), QUERIES)
    shard = CorpusFile(corpus / f"corpus-{TAGS[0]}" / "docs-0.jsonl.gz", TAGS[0], "synthetic")
    scanner = Scanner("synthetic", {TAGS[0]: frozenset()}, frozenset(), frozenset())
    return {
        "scanned_per_second": round(SHARD / typical(lambda: scanner(FingerprintedShard(shard, "")))),
        "skipped_per_second": round(SHARD / typical(lambda: list(shard.documents(SHARD)))),
    }


def encoders() -> list[dict[str, Any]]:
    """Return how many real paragraphs, each behind its sentence, a second of one thread encodes."""
    collection = load_collection(load_task("xquad-r-context"), languages=["en"], data_dir=data_dir())
    texts = [row.text for row in collection.documents["en"][:: len(collection.documents["en"]) // TEXTS]][:TEXTS]
    models = {
        "hashing": ("hashing", {}),
        "static, the default model": ("static", {}),
        "MiniLM-L6, fp32": (minilm(), {"dtype": "fp32"}),
        "MiniLM-L6, bf16": (minilm(), {"dtype": "bf16"}),
    }
    found = []
    for name, (spec, settings) in models.items():
        encoder = open_retriever(spec, settings, Runtime(threads=1))
        assert isinstance(encoder, Encoder)
        work = partial(embed, encoder, {("document", "en"): texts}, None, Silence())
        work()
        rate = len(texts) / typical(work)
        characters = sum(map(len, texts)) / len(texts)
        row = {"name": name, "dim": encoder.dim, "texts_per_second": round(rate, 1), "characters": round(characters)}
        found.append(row)
        print(json.dumps(row), flush=True)
    return found


def ranking() -> list[dict[str, float]]:
    """Return how many operations of the products 2 n q d one thread does in a second, comparisons included."""
    chance = np.random.RandomState(0)
    found = []
    for dim in DIMS:
        queries, documents = (grid_cosine(chance.standard_normal((n, dim))) for n in (QUERIES, PART))
        query = np.repeat(np.arange(QUERIES), RELEVANT)
        document = chance.randint(PART, size=len(query))
        targets = Targets(query, exact_scores(queries, query, documents, document), document)
        blocks = [Block(documents, np.arange(PART))]
        seconds = typical(partial(count_ahead, queries, targets, blocks, tiling=Tiling(threads=1)))
        found.append({"dim": dim, "operations_per_second": round(2.0 * PART * QUERIES * dim / seconds)})
        print(json.dumps(found[-1]), flush=True)
    return found


def handing(folder: Path) -> dict[str, Any]:
    """Return what handing out work costs: by engine, and for the command itself with the counts of each part."""
    engines = {
        "two processes": open_local(Resources(workers=2, threads=1), Silence()),
        "two workers of Ray": open_cluster(Resources(workers=2), Silence()),
    }
    found = []
    for name, engine in engines.items():
        seconds = median(hand_out(engine, [0] * EMPTY).clock / EMPTY for _ in range(RUNS))
        found.append({"name": name, "seconds_for_an_item": round(seconds, 5)})
        print(json.dumps(found[-1]), flush=True)
    work_folder = WorkFolder(folder, "handing", None, Silence())
    sums, part = some_counts(0), some_counts(1)

    def take() -> None:
        sums.add(part)
        work_folder.save("part", part.arrays())

    return {"engines": found, "seconds_for_a_part": round(typical(take), 3), "queries": QUERIES}


def some_counts(seed: int) -> PartCounts:
    """Return counts as a part gives them, for all queries."""
    chance = np.random.RandomState(seed)
    depth = Tiling().depth
    numbers = chance.randint(10**7, size=(QUERIES, depth))
    tops = TopDocuments(
        -np.sort(-chance.random_sample((QUERIES, depth)), axis=1),
        np.array([[f"{number:012x}-en-{number}#{number % 9}" for number in line] for line in numbers.tolist()]),
    )
    ahead, ties = (chance.randint(PART, size=QUERIES * RELEVANT).astype(np.int32) for _ in range(2))
    return PartCounts(ahead, ties, tops)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--documents", default="250000,1000000", help="the sizes of the streams")
    parser.add_argument("--folder", type=Path, help="where corpora are, or are written and kept")
    parser.add_argument("--only", default="ranking,reading,encoders,handing,streams", help="what is measured anew")
    parser.add_argument("options", nargs="*", help="more options of mlbench run, after --")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    with TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        measures: dict[str, Callable[[], object]] = {
            "ranking": ranking,
            "reading": partial(reading, folder),
            "encoders": encoders,
            "handing": partial(handing, folder),
            "streams": partial(streams, [int(n) for n in given.documents.split(",")], tuple(given.options), folder),
        }
        for name in given.only.split(","):
            figures[name] = measures[name]()
            figures["machine"] = {"processors": os.cpu_count(), "platform": f"{platform.system()} {platform.machine()}"}
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
