"""Spoils files by the thousand and gives them to mlbench, in one process with little memory and time.

    python -m tests.functional.mutations --cases 10000 --seed 0

Every case must end well or with a `UserError`. A case is named after its kind and number (`ranks-17`) and is the same
each time; `--only ranks-17` runs it alone and shows what went wrong.
"""

import argparse
import gzip
import hashlib
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from mlbench.errors import UserError
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import read_pair, verify
from mlbench.io.document import to_json
from mlbench.ranking.run_files import SaveRun
from mlbench.reports.documents.result import pools_report, results_report
from mlbench.reports.documents.topic import TopicAnswer, topic_report
from mlbench.reports.formats import FORMATS, render
from mlbench.results import read_result
from mlbench.statistics.pool import answer_pool
from mlbench.statistics.topic import WORST, find_topic, look_at
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

if __package__:
    from tests.functional import mutators
else:
    import mutators

SECONDS = 10
MOST_MEMORY = 3 * 2**30
MOST_MEMORY_OF_A_CASE = 2**30
LANGUAGES = ("de", "en", "th")
FEW = Options(resamples=20, settings={"dim": "32"})
TASK = """\
name = "own"
version = "1"
title = "Three languages"
reader = "parallel_jsonl"
document_text = "sentence"
languages = ["de", "en", "th"]
parallel = true
settings = ["monolingual", "cross_lingual", "multilingual"]
measures = ["AP", "R@1", "nDCG@10"]
primary_measure = "AP"
bias_scores = ["own_language_preference", "rank_distance", "language_share@10"]
licence = "CC0"
folder = "."
options = {cluster_unit = "topic"}
expected.queries = {de = 24, en = 24, th = 24}
expected.settings = {monolingual = 3}
"""


class TooSlow(BaseException):
    """A case that took too long; no error of mlbench's, so that nothing in it can catch it."""


@dataclass
class Tally:
    """How the cases of one kind went."""

    accepted: int = 0
    refused: int = 0
    longest: float = 0.0
    peak: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kind:
    """A kind of file: which ones are spoiled, how, and what is then done with them."""

    files: str
    mutators: tuple[mutators.Mutator, ...]
    use: Callable[[Path], object]


def use_task(folder: Path) -> None:
    load_collection(load_task(str(folder)))


def use_collection(folder: Path) -> None:
    evaluate("hashing", str(folder), options=FEW)


def use_run(folder: Path) -> None:
    evaluate(f"run:{folder / 'runs'}", str(folder / "own"), options=Options(resamples=20))


def use_vectors(folder: Path) -> None:
    evaluate(f"vectors:{folder / 'vectors'}", str(folder / "own"), options=Options(resamples=20))


def use_result(folder: Path) -> None:
    path = folder / "result.json"
    result = read_result(path)
    to_json(result).encode()
    for name in FORMATS:
        if name not in ("png", "junit"):
            render(name, results_report([result, result]))
    verify(path)
    use_pools(path)


def use_ranks(folder: Path) -> None:
    path = folder / "result.json"
    ranks = next(folder.glob("*.ranks.npz"))
    # The document names what lies beside it: a forger would see to that.
    digest = hashlib.sha256(ranks.read_bytes()).hexdigest()
    text = path.read_text(encoding="utf-8")
    old = read_result(path).ranks.sha256
    path.write_text(text.replace(old, digest), encoding="utf-8")
    verify(path)
    use_pools(path)


def use_pools(path: Path) -> None:
    result, ranks = read_pair(path)
    if len(ranks.topic_ids):
        for name in (WORST, str(ranks.topic_ids[0])):
            topic = look_at(result, ranks, find_topic(ranks, name))
            render("console", topic_report([TopicAnswer(result, topic, is_worst=True)]))
    answer = answer_pool(result, ranks, result.task.languages[:2], measure="R@1")
    for name in ("console", "markdown", "html", "csv", "latex", "json"):
        render(name, pools_report([result], [answer]))


def zipped_runs(content: bytes, draw: random.Random) -> bytes:
    """Spoil a compressed run file inside or outside."""
    inside = gzip.decompress(content)
    match draw.randrange(4):
        case 0:
            return gzip.compress(draw.choice((b" ", b"\n", b"x")) * 2**27, 1)
        case 1:
            return gzip.compress(draw.choice((mutators.lines, mutators.columns))(inside, draw), 1)
    return draw.choice(mutators.BYTES)(content, draw)


def vectors(content: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.2:
        return mutators.zipped({"queries.npy": content}, draw)
    return mutators.npy(np.frombuffer(content[128:], np.float32).reshape(-1, 4), draw)


TEXT = (*mutators.BYTES, mutators.lines)
KINDS = {
    "task": Kind("own/task.toml", (*TEXT, *[mutators.toml_value] * 7), lambda folder: use_task(folder / "own")),
    "json lines": Kind(
        "own/*.jsonl", (*TEXT, *[mutators.json_value] * 7), lambda folder: use_collection(folder / "own")
    ),
    "qrels": Kind("own/qrels.tsv", (*TEXT, *[mutators.columns] * 7), lambda folder: use_collection(folder / "own")),
    "run": Kind("runs/*.trec", (*TEXT, *[mutators.columns] * 5), use_run),
    "run.gz": Kind("runs/*.trec.gz", (zipped_runs,), use_run),
    "vectors": Kind("vectors/*.npy", (*mutators.BYTES, *[vectors] * 6), use_vectors),
    "vectors' texts": Kind("vectors/*.jsonl", (*TEXT, *[mutators.json_value] * 7), use_vectors),
    "result": Kind("results/result.json", (*TEXT, *[mutators.json_value] * 20), lambda f: use_result(f / "results")),
    "ranks": Kind("results/*.npz", (*mutators.BYTES, *[mutators.npz] * 12), lambda f: use_ranks(f / "results")),
}
SWAPPED = "swapped"


def write_material(folder: Path) -> None:
    """Write one good file, or more, of every kind below `folder`."""
    own, runs, tables = folder / "own", folder / "runs", folder / "vectors"
    own.mkdir(parents=True)
    tables.mkdir()
    mini = load_task("mini").root / "mini"
    for path in [mini / "qrels.tsv", *(p for tag in LANGUAGES for p in mini.glob(f"*.{tag}.jsonl"))]:
        shutil.copy(path, own)
    (own / "task.toml").write_text(TASK, encoding="utf-8")
    evaluate("hashing", str(own), out=folder / "results", options=Options(resamples=20, save_run=SaveRun(runs, 20)))
    next((folder / "results").glob("*.json")).rename(folder / "results" / "result.json")
    for name in ("de-all.trec", "de-de.trec"):
        packed = gzip.compress((runs / name.replace("all", "de+en+th")).read_bytes(), 1)
        (runs / f"{name}.gz").write_bytes(packed)
    (runs / "de-de.trec").unlink()
    (runs / "de-de+en+th.trec").unlink()
    for stem in ("queries", "documents"):
        rows = b"".join(path.read_bytes() for path in sorted(own.glob(f"{stem}.*")))
        (tables / f"{stem}.jsonl").write_bytes(rows)
        table = np.random.RandomState(0).normal(size=(rows.count(b"\n"), 4)).astype(np.float32)
        (tables / f"{stem}.npy").write_bytes(mutators.plain_npy(table))


def spoil(folder: Path, kind: str, draw: random.Random) -> Callable[[Path], object]:
    """Spoil one file below `folder`; returns what to do with it."""
    name = draw.choice(list(KINDS)) if kind == SWAPPED else kind
    path = draw.choice(sorted(folder.glob(KINDS[name].files)))
    if kind == SWAPPED:
        others = sorted(other for other in folder.rglob("*") if other.is_file() and other.suffix != path.suffix)
        content = draw.choice(others).read_bytes()
    else:
        content = path.read_bytes()
        for _ in range(draw.choice((1, 1, 1, 2))):
            mutate = draw.choice(KINDS[name].mutators)
            try:
                content = mutate(content, draw)
            except Exception:  # What is spoiled already may be too broken for a second, careful change.
                content = mutators.flip(content, draw)
    path.write_bytes(content)
    return KINDS[name].use


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooSlow(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def resident(name: str) -> int:
    """Return `VmRSS` or `VmHWM` of this process in bytes."""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith(f"{name}:"))


def try_case(material: Path, kind: str, number: int, seed: int, tally: Tally) -> BaseException | None:
    """Run one case; returns what should not have been raised."""
    draw = random.Random(f"{seed}-{kind}-{number}")
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        folder = Path(place) / "case"
        shutil.copytree(material, folder)
        use = spoil(folder, kind, draw)
        # Writing "5" makes the high-water mark of memory begin anew.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before, begin = resident("VmRSS"), time.perf_counter()
        found: BaseException | None = None
        try:
            with limited(SECONDS):
                use(folder)
            tally.accepted += 1
        except UserError as error:
            tally.refused += 1
            found = error if len(f"{error}") > 20_000 else None
        except (Exception, TooSlow) as error:
            found = error
        tally.longest = max(tally.longest, time.perf_counter() - begin)
        peak = max(0, resident("VmHWM") - before)
        tally.peak = max(tally.peak, peak)
        if found is None and peak > MOST_MEMORY_OF_A_CASE:
            found = MemoryError(f"{peak >> 20} MiB")
    if found is not None:
        tally.faults.append(f"{kind}-{number}: {type(found).__name__}: {str(found)[:200]!r}")
    return found


def run(cases: int, seed: int, *, of: str | None = None, only: str | None = None) -> dict[str, Tally]:
    """Run so many cases, the same number of each kind, and return how they went."""
    tallies = {kind: Tally() for kind in (*KINDS, SWAPPED)}
    with tempfile.TemporaryDirectory(prefix="mutations-") as place:
        os.environ.update(MLBENCH_CACHE=str(Path(place) / "cache"), MLBENCH_OFFLINE="1")
        material = Path(place) / "material"
        write_material(material)
        kinds = tallies if of is None else [of]
        every = ((kind, number) for number in range(-(-cases // len(kinds))) for kind in kinds)
        if only is not None:
            kind, _, digits = only.rpartition("-")
            every = iter([(kind, int(digits))])
        for kind, number in islice(every, cases):
            found = try_case(material, kind, number, seed, tallies[kind])
            if found is not None and only is not None:
                traceback.print_exception(found)
    return tallies


def table(tallies: dict[str, Tally]) -> Iterator[str]:
    names = ("cases", "accepted", "refused", "faults", "longest ms", "peak MiB")
    yield f"{'kind of file':<16}" + "".join(f"{name:>12}" for name in names)
    for kind, tally in tallies.items():
        cases = tally.accepted + tally.refused + len(tally.faults)
        figures = (cases, tally.accepted, tally.refused, len(tally.faults), round(tally.longest * 1000))
        yield f"{kind:<16}" + "".join(f"{figure:>12,}" for figure in (*figures, tally.peak >> 20))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="KIND-NUMBER", help="one case, with the traceback of what went wrong")
    parser.add_argument("--kind", choices=[*KINDS, SWAPPED], help="this kind alone")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    tallies = run(chosen.cases, chosen.seed, of=chosen.kind, only=chosen.only)
    print(*table(tallies), sep="\n")
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
