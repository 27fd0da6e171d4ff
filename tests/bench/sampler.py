"""Draws batches from 10 million rows, and makes rows ready: `python -m tests.bench.sampler [ROWS TO MAKE READY]`."""

import json
import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from mlbench.training.index import ABSENT, RowIndex
from mlbench.training.recipe_tables import Batches, DataSet
from mlbench.training.rows import prepare
from mlbench.training.sampler import BatchSampler
from mlbench.training.sources import find_source

ROWS = 10_000_000
LANGUAGES = 11
# One document for so many rows, as where questions share a paragraph.
SHARED = 3
KINDS: dict[str, dict[str, object]] = {
    "mono": {"alpha": 1.0, "monolingual": "mono"},
    "mixed": {"alpha": 1.0, "monolingual": "mixed"},
    "cross_example": {"alpha": 0.0, "cross_lingual": "cross_example"},
    "cross_batch": {"alpha": 0.0, "cross_lingual": "cross_batch"},
}
SECONDS, GOAL, GOAL_MIB = 2.0, 1_000, 1_024
READY = 1_000_000


def index_of(present: np.ndarray) -> RowIndex:
    """Return an index of random rows; `present`, bool (patterns, languages), says which texts those of each have."""
    random = np.random.RandomState(0)
    places = np.where(present, np.cumsum(present, axis=1) - 1, ABSENT).astype(np.int32)
    numbers = np.arange(ROWS, dtype=np.int32)
    none = np.zeros(0, np.int32)
    return RowIndex(
        query_places=places,
        document_places=places,
        is_text=np.ones(len(present), bool),
        pattern=random.randint(0, len(present), ROWS).astype(np.int32),
        topic=numbers,
        query_group=numbers,
        document_group=numbers // SHARED,
        first_text=np.arange(ROWS, dtype=np.int64) * LANGUAGES,
        first_negative=np.zeros(ROWS + 1, np.int64),
        negative_texts=none.astype(np.int64),
        negative_languages=none,
        negative_groups=none,
    )


def parallel() -> RowIndex:
    return index_of(np.ones((1, LANGUAGES), bool))


def patterned() -> RowIndex:
    """Every set of languages, each with as many rows as the others: 2,048 patterns."""
    return index_of((np.arange(2**LANGUAGES)[:, None] >> np.arange(LANGUAGES)) % 2 == 1)


def monolingual() -> RowIndex:
    return index_of(np.eye(LANGUAGES, dtype=bool))


DATA: dict[str, Callable[[], RowIndex]] = {
    "11-way parallel": parallel,
    "2,048 patterns": patterned,
    "monolingual": monolingual,
}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def draw(name: str) -> list[str]:
    """Return lines of a table: batches per second of one data set, by size and kind."""
    index = DATA[name]()
    before, start = peak_mib(), perf_counter()
    sampler, opened = BatchSampler([index], Batches(size=2, alpha=1.0)), perf_counter() - start
    lines = []
    for size in (100, 256):
        for kind, settings in KINDS.items():
            if name == "monolingual" and kind.startswith("cross"):
                continue
            sampler = BatchSampler([index], Batches.model_validate({"size": size, **settings}))
            done, start = 0, perf_counter()
            while perf_counter() - start < SECONDS:
                sampler.batch(done)
                done += 1
            lines.append(f"  {name:<16}  {size:<5}  {kind:<13}  {done / (perf_counter() - start):>7,.0f}")
    extra = peak_mib() - before
    return [*lines, f"  {name}: ready in {opened:.1f} s, {before:.0f} MiB with the index, {extra:.0f} MiB more"]


def write(path: Path, rows: int) -> None:
    """Write questions and documents in two languages, English text of about the usual length."""
    words = [f"{stem}{ending}" for stem in ("retriev", "languag", "train", "batch") for ending in ("e", "es", "ing")]
    random = np.random.RandomState(1)
    with path.open("w", encoding="utf-8") as lines:
        for start in range(0, rows, 10_000):
            for number, chosen in enumerate(random.randint(0, len(words), (min(10_000, rows - start), 24)), start):
                said = " ".join(words[word] for word in chosen)
                row = {
                    "id": str(number),
                    "queries": {"de": f"Frage {number} {said[:50]}", "en": f"question {number} {said[:50]}"},
                    "passages": {
                        "de": f"Antwort {number // SHARED}: {said}",
                        "en": f"answer {number // SHARED}: {said}",
                    },
                }
                lines.write(json.dumps(row) + "\n")


def make_ready(rows: int) -> str:
    with TemporaryDirectory() as folder:
        os.environ["MLBENCH_CACHE"] = f"{folder}/cache"
        path = Path(folder) / "rows.jsonl"
        write(path, rows)
        before = peak_mib()
        source = find_source(
            DataSet.model_validate({"name": "rows", "files": [{"path": path.name}]}), path.parent, None
        )
        start = perf_counter()
        prepare(source)
        took, peak, start = perf_counter() - start, peak_mib(), perf_counter()
        found = prepare(source)
        again = perf_counter() - start
        numbers = np.random.RandomState(2).randint(0, len(found.texts), (100, 512))
        start = perf_counter()
        for chosen in numbers:
            found.read(chosen)
        reading = (perf_counter() - start) / len(numbers)
        size = path.stat().st_size / 2**20
    return (
        f"  {rows:,} rows, {size:,.0f} MiB of JSON: {took:.0f} s ({rows / took:,.0f} rows/s), again {again:.2f} s;"
        f" peak memory {peak:.0f} MiB, {before:.0f} before; 512 texts at random in {reading * 1e3:.1f} ms"
    )


def alone(work: Callable[[object], object], argument: object) -> object:
    """Call in a new process, whose peak of memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, argument).result()


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else READY
    print(f"sampler: batches from {ROWS:,} rows, one process")
    print("  data              size   kind           batches/s")
    for name in DATA:
        print("\n".join(alone(draw, name)), flush=True)
    print(f"  goal: {GOAL:,} batches/s, under {GOAL_MIB} MiB more than the index")
    print("making rows ready: questions and documents in two languages")
    print(alone(make_ready, rows))


if __name__ == "__main__":
    main()
