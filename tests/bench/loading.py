"""Measures what a run does before it ranks, step by step: processor time and memory, for growing numbers of languages.

Each number of languages has a process of its own. The exponent is that of a step's processor time between the first
number and the last: 1 where it grows with the texts, 2 where it grows with the pairs of languages. Real data are found
in $MLBENCH_DATA.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TypeVar

from mlbench import load_task
from mlbench.embeddings.encode import embed, texts_of
from mlbench.embeddings.store import VectorStore
from mlbench.evaluation.options import Options
from mlbench.protocols import SILENCE
from mlbench.ranking.index_arrays import index_collection
from mlbench.retrievers.static import StaticEncoder
from mlbench.tasks.load import load_collection

SIZES = (50, 100, 205)
Steps = dict[str, tuple[float, int]]
T = TypeVar("T")


def measure(task_name: str, size: int) -> Steps:
    """Return processor seconds of each step, and the largest memory in bytes so far."""
    task, steps = load_task(task_name), Steps()

    def clocked(step: str, work: Callable[[], T]) -> T:
        begin = process_time()
        done = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        steps[step] = round(process_time() - begin, 3), peak
        return done

    collection = clocked("read and check", lambda: load_collection(task, languages=task.languages[:size]))
    clocked("fingerprints", collection.fingerprints)
    arrays = clocked("index", lambda: index_collection(collection))
    texts, encoder = texts_of(collection), Options().open_model("static", None).retriever
    assert isinstance(encoder, StaticEncoder)
    with TemporaryDirectory() as folder:
        for step in ("encode", "read vectors"):
            clocked(step, lambda: embed(encoder, texts, VectorStore(Path(folder)), SILENCE))
    assert len(arrays.query_topics) == sum(map(len, collection.queries.values()))
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loading", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--task", default="flores-200", help="a task of many languages (default: flores-200)")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="the numbers of languages")
    parser.add_argument("--alone", type=int, metavar="N", help="measure one number of languages and print JSON")
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(measure(given.task, given.alone)))
        return
    sizes, found = [int(size) for size in given.sizes.split(",")], dict[int, Steps]()
    for size in sizes:
        command = [sys.executable, "-m", "tests.bench.loading", "--task", given.task, "--alone", str(size)]
        found[size] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    few, many = sizes[0], sizes[-1]
    print(f"  {'languages':<15}" + "".join(f"{size:>21}" for size in sizes) + "  exponent")
    for step in found[few]:
        row = "".join(f"{found[size][step][0]:>9.2f} s{found[size][step][1] / 2**20:>6.0f} MiB" for size in sizes)
        exponent = math.log(found[many][step][0] / found[few][step][0]) / math.log(many / few)
        print(f"  {step:<15}{row}  {exponent:>8.2f}")


if __name__ == "__main__":
    main()
