"""Measures how the cost of a run grows with the number of languages, and writes it to docs/figures/sizing.json.

Parallel texts of 30 topics, in 20, 50, 100 and 204 languages, with hashed character n-grams: each language asks each,
and the pool of all. With `--task` and real data, the same for the first languages of a task. The exponent is that of
processor time between the last number of languages and 50, without what a run of two languages takes.
"""

import argparse
import json
import math
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen
from tempfile import TemporaryDirectory

from docs.sizing_page import FIGURES
from mlbench import load_task

TOPICS = 30
SIZES = (20, 50, 100, 204)
RUNS = 3
FIRST = 50
"""The number of languages that exponents begin at: with fewer, what does not depend on them is most of the time."""


@dataclass(frozen=True)
class Run:
    """What one process took: seconds by the clock and of processors, its largest memory, its ranks file."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    ranks_bytes: int


def write_texts(folder: Path, languages: Sequence[str], topics: int = TOPICS) -> Path:
    """Write a folder of parallel texts: each topic has a few words of its own, of which each language changes some."""
    folder.mkdir(parents=True)
    for language in languages:
        chance = random.Random(language)
        for side in ("queries", "documents"):
            lines = []
            for topic in range(topics):
                shared = [f"word{topic}x{number}" for number in range(8)]
                words = [word if chance.random() < 0.5 else f"{language}{chance.randrange(99)}" for word in shared]
                name = f"t{topic}" if side == "queries" else f"d{topic}"
                lines.append(json.dumps({"id": name, "text": " ".join([*words, f"{side} {language} {topic}"])}))
            (folder / f"{side}.{language}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    judged = "".join(f"t{topic}\t0\td{topic}\t1\n" for topic in range(topics))
    (folder / "qrels.tsv").write_text(judged, encoding="utf-8")
    return folder


def measure(arguments: Sequence[str], folder: Path) -> Run:
    """Run `mlbench run` in a process of its own; ends the script where the run fails."""
    folder.mkdir(parents=True)
    environment = {**os.environ, "MLBENCH_CACHE": str(folder / "cache")}
    with (folder / "errors").open("wb") as errors:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "mlbench", "run", "-q", *arguments, "--out", str(folder / "results")]
        process = Popen(command, env=environment, stdin=DEVNULL, stdout=DEVNULL, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
    if status:
        raise SystemExit((folder / "errors").read_text(encoding="utf-8"))
    (ranks,) = (folder / "results").glob("*.ranks.npz")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, ranks.stat().st_size)


def growth(runs: Sequence[tuple[int, Run]], start: float) -> float:
    """Return the exponent of processor time in languages, beyond the `start` seconds of a run of two.

    NaN with fewer than two numbers of languages from 50 on.
    """
    times = {size: run.processor_seconds - start for size, run in runs if size >= FIRST}
    if len(times) < 2:
        return math.nan
    few, many = min(times), max(times)
    return math.log(times[many] / times[few]) / math.log(many / few)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.languages", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="the numbers of languages")
    parser.add_argument("--task", help="a task of real data in place of synthetic texts")
    parser.add_argument("--model", help="the model (default: hashing on synthetic texts, static on a task)")
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each is measured; medians are kept")
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    tags = load_task(given.task or "flores-200").languages
    model = given.model or ("static" if given.task else "hashing")
    rows, first = [], 0.0
    with TemporaryDirectory() as temporary:
        for size in (2, *sizes):
            folder = Path(temporary) / str(size)
            if given.task:
                arguments = ["--task", given.task, "--languages", ",".join(tags[:size])]
            else:
                arguments = ["--task", str(write_texts(folder / "texts", tags[:size]))]
            arguments += ["--model", model]
            found = [measure(arguments, folder / str(number)) for number in range(given.runs)]
            run = Run(
                median(each.seconds for each in found),
                median(each.processor_seconds for each in found),
                max(each.peak_bytes for each in found),
                found[0].ranks_bytes,
            )
            print(
                f"  {size:>4} languages  {run.seconds:>7.1f} s  processor {run.processor_seconds:>7.1f} s  "
                f"memory {run.peak_bytes / 2**20:>6.0f} MiB  ranks {run.ranks_bytes / 1e6:>6.1f} MB",
                flush=True,
            )
            if size == 2:
                first = run.processor_seconds
            else:
                rows.append((size, run))
    exponent = growth(rows, first)
    print(f"  exponent from {FIRST} languages on: {exponent:.2f}")
    if math.isnan(exponent):
        return
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    figures.setdefault("languages", {})[given.task or "synthetic"] = {
        "model": model,
        "start_seconds": round(first, 2),
        "exponent": round(exponent, 2),
        "rows": [
            {
                "languages": size,
                "seconds": round(run.seconds, 1),
                "processor_seconds": round(run.processor_seconds, 1),
                "peak_bytes": run.peak_bytes,
                "ranks_bytes": run.ranks_bytes,
            }
            for size, run in rows
        ],
    }
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
