"""How often intervals of few clusters hold the truth: `python -m tests.bench.intervals docs/figures/intervals.json`.

Two entries of the leaderboard on XQuAD-R are the population: 48 articles, of unequal sizes and with their skew. As few
of them are drawn as a small task has, with replacement, and the interval of their mean is made as mlbench makes it. It
should hold the mean of all articles in 95 of 100 tries.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench.statistics.clusters import ClusterSample
from mlbench.statistics.resampling import bootstrap, macro_contributions, percentile_bounds
from tests.bench.gate import RESAMPLES, TRIES, limits, read_entry

Floats = NDArray[np.float64]
CLUSTERS = (2, 5, 10, 24, 48)


def try_intervals(what: str, sums: Floats, counts: Floats, n_clusters: int, tries: int) -> dict[str, object]:
    """Return how often 95 % intervals of few clusters hold the mean of all, by percentiles alone and as mlbench does.

    `wrong` is how often a candidate that is worse by exactly the margin passes as non-inferior at 5 %.
    """
    total, n = sums.sum(axis=0), counts.sum(axis=0)
    truth = float((total / n).mean())
    held = {"percentiles": 0, "mlbench": 0}
    wrong = dict(held)
    random = np.random.RandomState(n_clusters)
    for number in range(tries):
        chosen = random.randint(len(sums), size=n_clusters)
        here = sums[chosen], counts[chosen]
        replicates = bootstrap(*here, resamples=RESAMPLES, seed=number).macro_mean()[:, None]
        estimate = np.array([macro_contributions(*here).sum()])
        for confidence, counted in ((0.95, held), (0.9, wrong)):
            sample = ClusterSample(np.arange(n_clusters), np.zeros(n_clusters, np.int64), RESAMPLES, 0, confidence)
            bounds = sample.bounds(estimate, replicates, here[1])[0]
            assert bounds is not None
            ends = {
                "percentiles": percentile_bounds(replicates, confidence)[:, 0],
                "mlbench": (bounds.low, bounds.high),
            }
            for how, (low, high) in ends.items():
                counted[how] += bool(low <= truth <= high if counted is held else low > truth)
    return {
        "what": what,
        "clusters": n_clusters,
        "tries": tries,
        "covered": {how: limits(count, tries) for how, count in held.items()},
        "wrongly_non_inferior": {how: limits(count, tries) for how, count in wrong.items()},
    }


def outcomes() -> Iterator[dict[str, object]]:
    """Yield the coverage of a mean and of a difference on XQuAD-R for each number of articles."""
    static, other = read_entry("static-hybrid", "xquad-r"), read_entry("static-x-y", "xquad-r")
    pool = [index for index, setting in enumerate(static.request.settings) if setting.kind == "multilingual"]
    counts = static.settings.counts[:, pool]
    values = static.settings.sums[:, pool, 0]
    difference = other.settings.sums[:, pool, 0] - values
    for n_clusters in CLUSTERS:
        yield try_intervals("mAP of the pool", values, counts, n_clusters, 2 * TRIES)
        yield try_intervals("difference of two systems", difference, counts, n_clusters, 2 * TRIES)


def main() -> None:
    """Run everything and write the figures."""
    found = []
    for outcome in outcomes():
        found.append(outcome)
        print(json.dumps(outcome), flush=True)
    Path(sys.argv[1]).write_text(
        json.dumps({"resamples": RESAMPLES, "outcomes": found}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
