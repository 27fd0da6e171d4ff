"""Which share of a cold run is not spent in forward passes: English, German and Spanish of XQuAD-R with MiniLM."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import mlbench
from mlbench.results import Cost
from tests.bench.material import data_dir, minilm
from tests.bench.timing import Forward, spread, took, watch_forward

LANGUAGES = ("de", "en", "es")
RUNS = 3
GOAL = 0.10


@dataclass(frozen=True)
class Run:
    """The seconds of one process, and what the result says of its steps."""

    loading: float
    evaluating: float
    forward: Forward
    cost: Cost


def run_cold() -> Run:
    start = perf_counter()
    with TemporaryDirectory() as cache:
        model = mlbench.open_retriever(minilm(), {}, mlbench.Runtime())
        options = mlbench.Options(cache=Path(cache))
        loaded = perf_counter()
        with watch_forward() as forward:
            result = mlbench.evaluate(
                model, "xquad-r", languages=LANGUAGES, data_dir=data_dir(), options=options
            ).result
        done = perf_counter()
    return Run(loaded - start, done - loaded, forward, result.cost)


def in_a_new_process() -> tuple[Run, float]:
    """Return a run, and the seconds from before its process starts to after it ends."""
    runs: list[Run] = []

    def work() -> None:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            runs.append(pool.submit(run_cold).result())

    whole = took(work).clock
    return runs[0], whole


def main() -> None:
    data_dir(), minilm()
    print("overhead: share of a cold run that is not forward passes, de, en and es of XQuAD-R with MiniLM-L6")
    print(
        "  run  whole    loading  evaluate  forward  read   encode  rank   score  texts   share  with start-up, loading"
    )
    shares = []
    for number in range(1, RUNS + 1):
        run, whole = in_a_new_process()
        shares.append(1 - run.forward.seconds / run.evaluating)
        cost = run.cost
        print(
            f"  {number:<3}  {whole:<7.2f}  {run.loading:<7.2f}  {run.evaluating:<8.2f}  {run.forward.seconds:<7.2f}"
            f"  {cost.read_seconds:<5.2f}  {cost.encode_seconds:<6.2f}  {cost.rank_seconds:<5.2f}"
            f"  {cost.score_seconds:<5.2f}  {run.forward.texts:<6,}  {shares[-1]:<5.1%}"
            f"  {1 - run.forward.seconds / whole:.1%}",
            flush=True,
        )
    print(f"  share without start-up and loading: {spread(shares, '.1%')}, goal at most {GOAL:.0%}")


if __name__ == "__main__":
    main()
