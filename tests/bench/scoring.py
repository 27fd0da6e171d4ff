"""Measures how scoring and comparing grow with the number of languages: `python -m tests.bench.scoring`.

Ranks are drawn, 30 topics in 20, 50, 100 and 204 languages: each language asks each, and the pool of all. The exponent
is that of processor time between 50 languages and the last number. With `--topics 1004 --sizes 205`, ranks are as many
as those of FLORES-200.
"""

import argparse
import math
import resource
from collections.abc import Callable
from statistics import median

from mlbench.collection.languages import settings_of
from mlbench.ranking.ranks import Ranks
from mlbench.statistics.cluster_scores import ScoreRequest, sum_by_cluster
from mlbench.statistics.differences import find_differences
from mlbench.statistics.paired_tests import compare
from mlbench.statistics.score import score
from mlbench.tasks.task import load_task
from tests.bench.synthetic import compact_ranks
from tests.bench.timing import Took, took

TOPICS, SIZES, RUNS, FIRST = 30, (20, 50, 100, 204), 3, 50


def request_of(ranks: Ranks) -> ScoreRequest:
    """Return what a run of FLORES-200 asks for."""
    task = load_task("flores-200")
    return ScoreRequest(
        settings=settings_of(ranks.languages.tolist(), task.settings),
        measures=task.measures,
        primary_measure=task.primary_measure,
        bias_scores=task.bias_scores,
        parallel=True,
    )


def work_on(size: int, topics: int) -> dict[str, Callable[[], object]]:
    """Return what is measured with so many languages."""
    one = compact_ranks(size, topics)
    request = request_of(one)

    def compare_two() -> object:
        base = sum_by_cluster(one, request)
        candidate = sum_by_cluster(compact_ranks(size, topics, seed=1), request)
        return compare(find_differences([base], [candidate]))

    return {"score": lambda: score(one, request), "compare": compare_two}


def main() -> None:
    """Print what each number of languages takes, and the exponents."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scoring", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="the numbers of languages")
    parser.add_argument("--topics", type=int, default=TOPICS, help="the number of topics")
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each is measured; medians are kept")
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    seconds: dict[tuple[str, int], float] = {}
    for size in sizes:
        for name, work in work_on(size, given.topics).items():
            found: list[Took] = [took(work) for _ in range(given.runs)]
            seconds[name, size] = median(each.processor for each in found)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(
                f"  {size:>4} languages  {name:<7}  {median(each.clock for each in found):>6.1f} s  "
                f"processor {seconds[name, size]:>6.1f} s  memory so far {peak:.2f} GiB",
                flush=True,
            )
    if FIRST in sizes and sizes[-1] > FIRST:
        for name in ("score", "compare"):
            growth = math.log(seconds[name, sizes[-1]] / seconds[name, FIRST]) / math.log(sizes[-1] / FIRST)
            print(f"  exponent of {name} from {FIRST} languages on: {growth:.2f}")


if __name__ == "__main__":
    main()
