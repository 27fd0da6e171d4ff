"""Encodes real documents by each backend and precision, and measures what each costs in ranks.

`python -m tests.bench.backends [FIGURES.json]`, with one thread. The ways take turns, so that a busy machine slows all.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from mlbench import (
    Encoder,
    Options,
    Result,
    Runtime,
    Setting,
    evaluate,
    load_collection,
    load_task,
    open_retriever,
)
from mlbench.embeddings.encode import embed
from mlbench.protocols import Silence
from mlbench.ranking.ranks import setting_ranks
from mlbench.ranking.ranks_file import read_ranks
from tests.bench.material import data_dir, minilm
from tests.bench.timing import Took, took

THREADS, ROUNDS, TEXTS = 1, 3, 1_100
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
RANKED = ("de", "en", "es")
THEIRS = "sentence-transformers"
WAYS: dict[str, dict[str, str]] = {
    "torch fp32": {},
    "torch bf16": {"dtype": "bf16"},
    "onnx fp32": {"backend": "onnx"},
    "openvino fp32": {"backend": "openvino"},
    "openvino bf16": {"backend": "openvino", "dtype": "bf16"},
}
RUNTIME = Runtime(device="cpu", threads=THREADS)


def choose() -> list[str]:
    """Return documents spread evenly over the languages and over each file."""
    documents = load_collection(load_task("xquad-r"), languages=LANGUAGES, data_dir=data_dir()).documents
    size = TEXTS // len(LANGUAGES)
    places = {name: np.linspace(0, len(rows) - 1, size).astype(int) for name, rows in documents.items()}
    return [documents[name][place].text for name, chosen in places.items() for place in chosen]


def library(folder: str, dtype: str) -> Callable[[list[str]], object]:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(THREADS)
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    return partial(model.encode, show_progress_bar=False)


def ours(folder: str, settings: dict[str, str]) -> Callable[[list[str]], object]:
    encoder = open_retriever(folder, settings, RUNTIME)
    assert isinstance(encoder, Encoder)
    return lambda texts: embed(encoder, {("document", "any"): texts}, None, Silence())


def speeds(folder: str) -> dict[str, object]:
    """Return texts per second of each way, and its ratios to the library's default in the same round."""
    texts, opening = choose(), {}
    encode = {THEIRS: library(folder, "float32"), f"{THEIRS} bf16": library(folder, "bfloat16")}
    for name, settings in WAYS.items():
        opening[name] = openings(folder, settings)
        encode[name] = ours(folder, settings)
    times: dict[str, list[Took]] = {name: [] for name in encode}
    for work in encode.values():
        work(texts[::50])
    for number in range(ROUNDS):
        for name, work in encode.items():
            times[name].append(took(partial(work, texts)))
            print(f"  round {number + 1}, {name}: {len(texts) / times[name][-1].clock:.0f} texts/s", flush=True)
    found: dict[str, object] = {}
    for name, taken in times.items():
        pairs = list(zip(times[THEIRS], taken, strict=True))
        found[name] = {
            "texts_per_second": summary([len(texts) / each.clock for each in taken], 1),
            "ratio": summary([theirs.clock / each.clock for theirs, each in pairs], 2),
            "processor_ratio": summary([theirs.processor / each.processor for theirs, each in pairs], 2),
        }
        if name in opening:
            found[name]["opening_seconds"] = [round(each, 1) for each in opening[name]]  # type: ignore[index]
    return found


def openings(folder: str, settings: dict[str, str]) -> list[float]:
    """Return the seconds that opening takes for the first time, with whatever must be made, and for the second."""
    taken = []
    with TemporaryDirectory() as cache:
        os.environ["MLBENCH_CACHE"] = cache
        for _ in range(2):
            start = perf_counter()
            ours(folder, settings)
            taken.append(perf_counter() - start)
    return taken


def summary(values: list[float], digits: int) -> dict[str, float]:
    return {
        name: round(chosen, digits)
        for name, chosen in (("median", median(values)), ("low", min(values)), ("high", max(values)))
    }


def costs(folder: str) -> dict[str, object]:
    """Return mAP of each way, and how the ranks of relevant documents in the pool differ from those of torch fp32."""
    found: dict[str, object] = {}
    first: np.ndarray | None = None
    with TemporaryDirectory() as temporary:
        for name, settings in WAYS.items():
            out = Path(temporary) / name.replace(" ", "-")
            os.environ["MLBENCH_CACHE"] = str(out / "cache")
            options = Options(runtime=RUNTIME, settings=settings, resamples=2)
            result = evaluate(folder, "xquad-r", languages=RANKED, data_dir=data_dir(), out=out, options=options).result
            ranks = pool_ranks(result, out)
            first = ranks if first is None else first
            change = np.abs(ranks - first)
            found[name] = {
                "map": {kind: primary(result, kind) for kind in ("monolingual", "cross_lingual", "multilingual")},
                "changed_share": round(float((change > 0).mean()), 4),
                "median_change": float(np.median(change[change > 0])) if change.any() else 0.0,
                "largest_change": int(change.max()),
                "relevant": ranks.size,
            }
            print(f"  {name}: {found[name]}", flush=True)
    return found


def primary(result: Result, kind: str) -> float:
    value = result.aggregate(kind).measures["AP"]  # type: ignore[arg-type]
    assert value is not None
    return round(value, 6)


def pool_ranks(result: Result, folder: Path) -> np.ndarray:
    counted = read_ranks(folder / result.ranks.name)
    return np.concatenate([setting_ranks(counted, Setting(name, RANKED)).relevant.ranks.ravel() for name in RANKED])


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def main() -> None:
    data_dir()
    folder = minilm()
    libraries = ("torch", "transformers", THEIRS, "onnxruntime", "openvino")
    print(f"backends: all-MiniLM-L6-v2, {THREADS} thread, {TEXTS:,} documents of XQuAD-R")
    document = {
        "model": "all-MiniLM-L6-v2",
        "processor": processor(),
        "threads": THREADS,
        "rounds": ROUNDS,
        "texts": TEXTS,
        "languages": LANGUAGES,
        "ranked_languages": RANKED,
        "versions": {name: version(name).partition("+")[0] for name in libraries},
        "costs": costs(folder),
        "speeds": speeds(folder),
    }
    text = json.dumps(document, indent=1) + "\n"
    print(text) if len(sys.argv) < 2 else Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
