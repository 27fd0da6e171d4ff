"""Corpora that stream by: memory, time, kill -9 and ranks, on synthetic ones of a quarter and of a whole million.

Each run is `mlbench run` in a process of its own, with a cache of its own. Needs Linux, whose /proc tells memory.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from mlbench.open_model import open_retriever
from mlbench.protocols import Runtime
from tests.bench.by_hand import differences, sample
from tests.bench.corpus import Size, write_corpus
from tests.bench.material import skip

TAGS = ("sw", "yo", "te")
RUNS, KILLS = 3, 3
EVERY = 0.05
MIB = 2**20
GOAL_MIB, GOAL_SHARE = 2048, 0.10
WORK = "streams"
"""Where a stream leaves what it has counted, in the cache folder."""


@dataclass(frozen=True)
class Run:
    """What a run took: seconds of clock and processors, and the most memory of all its processes, and of the first."""

    seconds: float
    processor: float
    together: int
    first: int
    document: dict[str, Any]
    ranks: bytes


@dataclass(frozen=True)
class Bench:
    """The command that is measured, and where its corpora lie."""

    folder: Path
    options: tuple[str, ...]
    model: str
    settings: tuple[str, ...]

    def start(self, corpus: Path, work: Path) -> subprocess.Popen[bytes]:
        """Start a run that keeps everything in `work`."""
        settings = [word for setting in self.settings for word in ("--set", setting)]
        command = ["run", "-q", "--task", str(corpus / "task.toml"), "--model", self.model, *settings, *self.options]
        work.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "mlbench", *command, "--out", "results"],
            cwd=work,
            env={**os.environ, "MLBENCH_CACHE": str(work / "cache")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(work / "errors").open("wb"),
            start_new_session=True,
        )

    def run(self, corpus: Path, work: Path) -> Run:
        """Run to the end, watching; ends the script where the run fails."""
        begin, before, together, first = time.perf_counter(), processor_seconds(), 0, 0
        process = self.start(corpus, work)
        while process.poll() is None:
            held = [resident(pid) for pid in family(process.pid)]
            together, first = max(together, sum(held)), max(first, *held[:1], 0)
            time.sleep(EVERY)
        seconds = time.perf_counter() - begin
        if process.returncode:
            raise SystemExit((work / "errors").read_text(encoding="utf-8"))
        (document,) = (work / "results").glob("*.json")
        return Run(
            seconds,
            processor_seconds() - before,
            together,
            first,
            json.loads(document.read_bytes()),
            document.with_suffix(".ranks.npz").read_bytes(),
        )


def processor_seconds() -> float:
    """Return the seconds that all ended processes of this one have kept processors busy."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def family(pid: int) -> list[int]:
    """Return a process and all that it started, itself first."""
    found, at = [pid], 0
    while at < len(found):
        try:
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # It has just ended.
            pass
        at += 1
    return found


def resident(pid: int) -> int:
    """Return the bytes in memory of a process, 0 of one that is gone; pages that processes share count in each."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return what must be equal in the documents of two runs of the same thing."""
    environment = {key: value for key, value in document["environment"].items() if key != "command"}
    return {**document, "environment": environment, "cost": None}


def time_and_memory(bench: Bench, corpora: Sequence[tuple[int, Path]], work: Path) -> list[list[Run]]:
    """Run each size by turns, print seconds and memory, and return the runs of each size."""
    runs: list[list[Run]] = [[] for _ in corpora]
    print("  run  documents  seconds  us/document  of processors  peak of all processes, of the first")
    for number in range(1, RUNS + 1):
        for (documents, corpus), done in zip(corpora, runs, strict=True):
            run = bench.run(corpus, work / f"run-{documents}-{number}")
            done.append(run)
            each, busy = (seconds / documents * 1e6 for seconds in (run.seconds, run.processor))
            print(
                f"  {number:<3}  {documents:>9,}  {run.seconds:>7.1f}  {each:>11.1f}  {busy:>13.1f}"
                f"  {run.together / MIB:>8,.0f} MiB, {run.first / MIB:,.0f} MiB",
                flush=True,
            )
            if plain(run.document) != plain(done[0].document) or run.ranks != done[0].ranks:
                raise SystemExit("  two runs of the same thing differ")
    sized = [(size, done) for (size, _), done in zip(corpora, runs, strict=True)]
    compare("time per document", [[run.seconds / size for run in done] for size, done in sized])
    compare("processor time per document", [[run.processor / size for run in done] for size, done in sized])
    compare("peak of all processes", [[run.together / MIB for run in done] for done in runs])
    most = max(run.together for each in runs for run in each) / MIB
    print(f"  the most at any size: {most:,.0f} MiB, goal under {GOAL_MIB:,}")
    return runs


def compare(what: str, values: Sequence[Sequence[float]]) -> None:
    """Print how the medians of the last size are to those of the first."""
    low, high = median(values[0]), median(values[-1])
    print(f"  {what}, large / small: {high / low:.3f} (median of {RUNS}), goal within {GOAL_SHARE:.0%} of 1")


def parts(work: Path) -> int:
    """Return how many files a stream has left."""
    return sum(1 for _ in (work / "cache" / WORK).rglob("*.npz"))


def kill_and_finish(bench: Bench, corpus: Path, whole: Run, n_parts: int, work: Path) -> None:
    """Kill a run at random moments, run it to the end, and print whether the result is that of `whole`."""
    chance = random.Random(0)
    for target in sorted(chance.sample(range(n_parts), KILLS)):
        kill(bench.start(corpus, work), work, target, chance.uniform(0, whole.seconds / n_parts))
        print(f" with {parts(work)} of {n_parts} parts done", flush=True)
    run = bench.run(corpus, work)
    same = plain(run.document) == plain(whole.document) and run.ranks == whole.ranks
    encoded, texts = (run.document["cost"][name] for name in ("encoded_texts", "texts"))
    print(f"  then finished: {run.seconds:.1f} s, {encoded:,} of {texts:,} texts encoded")
    print(f"  result and ranks {'equal' if same else 'DIFFER FROM'} those of an uninterrupted run")


def kill(process: subprocess.Popen[bytes], work: Path, target: int, delay: float) -> None:
    """Kill a process `delay` seconds after `target` parts are done, and print how long its workers outlive it."""
    wait(lambda: process.poll() is not None or parts(work) >= target)
    time.sleep(delay)
    relatives = family(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    begin = time.perf_counter()
    wait(lambda: not any(map(resident, relatives)))
    print(f"  killed (exit {process.returncode}), its {len(relatives) - 1} workers gone ", end="")
    print(f"{time.perf_counter() - begin:.1f} s later,", end="")


def wait(condition: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("  waited in vain")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.streaming", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--documents", default="250000,1000000", help="the sizes, the largest last")
    parser.add_argument("--queries", type=int, default=1000, help="of all languages together")
    parser.add_argument(
        "--sample", type=int, default=20, help="queries of each language whose ranks are checked by hand"
    )
    parser.add_argument("--model", default="hashing")
    parser.add_argument(
        "--set", action="append", default=None, metavar="KEY=VALUE", help="default: dim=64, for hashing"
    )
    parser.add_argument("--folder", type=Path, help="where corpora are, or are written and kept")
    parser.add_argument("options", nargs="*", help="more options of mlbench run, after --")
    given = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        skip("needs /proc, which tells what memory processes hold")
    settings = given.set or (["dim=64"] if given.model == "hashing" else [])
    with TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        bench = Bench(folder, tuple(given.options), given.model, tuple(settings))
        what = " ".join([given.model, *settings, *given.options])
        print(f"streaming: {what}; {given.queries:,} queries in {len(TAGS)} languages")
        corpora = [(size, corpus_of(folder, size, given.queries)) for size in map(int, given.documents.split(","))]
        runs = time_and_memory(bench, corpora, Path(temporary))
        size, corpus = corpora[-1]
        finished = Path(temporary) / f"run-{size}-1"
        kill_and_finish(bench, corpus, runs[-1][0], parts(finished), Path(temporary) / "killed")
        by_hand(given.model, settings, corpus, finished, given.sample)


def corpus_of(folder: Path, documents: int, queries: int) -> Path:
    """Return the folder of a corpus, which is written where it is not there."""
    corpus = folder / f"corpus-{documents}-{queries}"
    if not (corpus / "task.toml").exists():
        write_corpus(corpus, TAGS, Size(documents, queries))
    return corpus


def by_hand(model: str, settings: Sequence[str], corpus: Path, finished: Path, n: int) -> None:
    """Print how many ranks of a sample of queries are those of whole lists."""
    encoder = open_retriever(model, dict(setting.split("=", 1) for setting in settings), Runtime())
    (ranks,) = (finished / "results").glob("*.ranks.npz")
    asked = sample(corpus, TAGS, n)
    compared, found = differences(corpus, TAGS, encoder, ranks, asked)  # type: ignore[arg-type]
    print(f"  by hand: {compared:,} ranks of {len(asked)} queries compared, {len(found)} queries differ")
    for line in found[:5]:
        print(f"    {line}")


if __name__ == "__main__":
    main()
