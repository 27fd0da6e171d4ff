"""Trains the arms of a recipe on a GPU in at most 12 minutes: `python -m tests.bench.gpu_hybrid CHECKPOINT [options]`.

X-X-mono, hybrid and X-Y of e5-small-hybrid (or `--recipe`), 1,500 updates of 256 pairs, each measured on XQuAD-R and
MLQA-R. Seeds are added one by one, so that those which are done are complete when the time is over: the same command
goes on from there. The document of the sweep lies in `--out`. With `--device cpu`, everything is small, and a trial.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from time import monotonic

SEEDS = 3
LARGE = {"steps": 1500, "batches.size": 256}
SMALL = {"steps": 4, "batches.size": 8}


def arguments(given: argparse.Namespace, seeds: int) -> list[str]:
    """Return the command that trains and measures the arms with so many seeds."""
    changes = {"transformer.checkpoint": given.checkpoint} | (SMALL if given.device == "cpu" else LARGE)
    options = ["--over", "alpha=1,0.5,0", "--seeds", str(seeds), "--device", given.device, "--out", str(given.out)]
    # A third of a large GPU is enough for a small encoder, and three trainings wait for their texts by turns.
    options += ["--jobs", str(given.jobs), "--threads", "4", "--model-set", "dtype=bf16"]
    options += [each for task in given.task for each in ("--task", task)]
    options += [each for key, value in changes.items() for each in ("--set", f"{key}={value}")]
    options += ["--data-dir", str(given.data_dir)] if given.data_dir else []
    return [sys.executable, "-m", "mlbench", "sweep", given.recipe, *options]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--recipe", default="e5-small-hybrid")
    parser.add_argument("--task", action="append", default=[])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("sweeps/gpu-hybrid"))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12.0)
    given = parser.parse_args()
    given.task = given.task or ["xquad-r", "mlqa-r"]
    end = monotonic() + 60 * given.minutes
    for seeds in range(1, SEEDS + 1):
        begin = monotonic()
        try:
            subprocess.run(arguments(given, seeds), check=True, timeout=max(1.0, end - begin))
        except subprocess.TimeoutExpired:
            print(f"the time is over: {seeds - 1} of {SEEDS} seeds are done; the same command goes on")
            break
        print(f"{seeds} of {SEEDS} seeds: {monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
