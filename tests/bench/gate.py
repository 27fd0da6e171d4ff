"""How honest the gate is, on real results: `python -m tests.bench.gate docs/figures/gate.json`.

Two real systems on a task are the population: its clusters of topics, each with what the two differ by in every
setting. The real difference is taken out setting by setting and a drop put in, so that the true difference is known
while clusters keep their sizes, their skew and how settings move together. A try draws as many clusters with
replacement and judges them as `mlbench compare` does. The entries of the leaderboard are read, and the default model is
measured, which needs $MLBENCH_DATA.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from mlbench.compare.gate import DEFAULT, PRIMARY, Drops, Gate, Rule
from mlbench.compare.judge import GateLine, judge, lines_of
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import read_pair
from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds, Result
from mlbench.statistics.cluster_scores import ClusterScores, ScoreRequest, sum_by_cluster
from mlbench.statistics.clusters import ClusterSample
from mlbench.statistics.differences import Contributions, Difference, Differences, Subject, find_differences
from mlbench.statistics.paired_tests import compare
from mlbench.statistics.resampling import macro_contributions
from tests.bench.material import data_dir

Floats = NDArray[np.float64]
ENTRIES = Path("leaderboard") / "entries"
TASK = "xquad-r"
SHORT = "448 of its 512 dimensions"
PAIRS = {
    "a model and the same with fewer dimensions": ("mlbench-static", SHORT),
    "two training recipes": ("static-hybrid", "static-x-y"),
    "n-grams and a trained model": ("hashing", "mlbench-static"),
}
"""Systems that are more and more different."""
TRIES, FLIPS, RESAMPLES = 1_000, 499, 499
ALLOWED = 0.005
MEANS = Drops(monolingual=ALLOWED, cross_lingual=ALLOWED, multilingual=ALLOWED)
GATES = {"means": Gate(drop={PRIMARY: MEANS}), "default": DEFAULT}


@dataclass(frozen=True)
class Population:
    """Two systems on a task: sums of what they differ by, and counts, both float64 (clusters, columns), line by line.

    The sums are centred: the true difference is 0 in every column.
    """

    differences: Differences
    columns: Mapping[Subject, tuple[Floats, Floats]]

    @property
    def n_clusters(self) -> int:
        """How many clusters there are, and are drawn."""
        return self.differences.statistics.n_clusters


def read_entry(name: str, task: str) -> ClusterScores:
    """Return the cluster scores of an entry of the leaderboard."""
    return scores_of(*read_pair(ENTRIES / name / f"{task}.json"))


def measure_short(task: str) -> ClusterScores:
    """Measure the default model with fewer dimensions."""
    found = evaluate("static", task, data_dir=data_dir(), options=Options(settings={"truncate_dim": SHORT.split()[0]}))
    return scores_of(found.result, found.ranks)


def scores_of(result: Result, ranks: Ranks) -> ClusterScores:
    """Sum the primary measure, and what the default gate keeps from rising, within clusters."""
    request = replace(
        ScoreRequest.of_result(result),
        measures=(result.task.primary_measure,),
        bias_scores=tuple(DEFAULT.rise),
        resamples=2,
    )
    return sum_by_cluster(ranks, request)


def population_of(base: ClusterScores, candidate: ClusterScores) -> Population:
    """Return the lines of the default gate, centred."""
    found = find_differences([base], [candidate])
    lines = {line.subject for line in lines_of(DEFAULT, found, TASK)}
    columns = {}
    for subject in lines:
        sums, counts = columns_of(base, candidate, subject)
        columns[subject] = centred(sums, counts), counts
    return Population(replace(found, each=tuple(one for one in found.each if one.subject in lines)), columns)


def columns_of(base: ClusterScores, candidate: ClusterScores, subject: Subject) -> tuple[Floats, Floats]:
    """Return sums of differences and counts of what a line is the macro mean of."""
    if subject.kind is None:
        one, other = (each.bias_scores[subject.name] for each in (base, candidate))
        return other.sums - one.sums, one.counts
    chosen = [
        index
        for index, setting in enumerate(base.request.settings)
        if setting.kind == subject.kind and subject.query_language in (None, setting.query_language)
    ]
    change = candidate.settings.sums[:, chosen, 0] - base.settings.sums[:, chosen, 0]
    return change, base.settings.counts[:, chosen]


def centred(sums: Floats, counts: Floats) -> Floats:
    """Take the mean difference of each column out of every topic."""
    left: Floats = sums - counts * (sums.sum(axis=0) / counts.sum(axis=0))
    return left


def redrawn(random: np.random.RandomState, n_clusters: int) -> tuple[NDArray[np.int64], Floats]:
    """Draw clusters with replacement: other articles of the same kind, with their skew."""
    return random.randint(n_clusters, size=n_clusters), np.ones(n_clusters)


def swapped(random: np.random.RandomState, n_clusters: int) -> tuple[NDArray[np.int64], Floats]:
    """Keep the clusters and give each to one side or the other, which makes every difference symmetric."""
    return np.arange(n_clusters), random.choice([-1.0, 1.0], n_clusters)


@dataclass(frozen=True)
class Scenario:
    """A gate by its name and rule, the pair it is tried on, how clusters are drawn, and the true drop."""

    gate: str
    rule: Rule
    pair: str
    draw: str
    drop: float


def scenarios() -> Iterator[Scenario]:
    """Yield what is tried: a drop within the allowance, as large, and twice as large."""
    around = (0.8 * ALLOWED, ALLOWED, 2 * ALLOWED)
    for pair in PAIRS:
        for rule in ("significant", "point", "non_inferior"):
            for drop in around:
                yield Scenario("means", rule, pair, "redrawn", drop)
    for pair in PAIRS:
        for drop in around[1:]:
            yield Scenario("default", "significant", pair, "redrawn", drop)
        yield Scenario("default", "significant", pair, "swapped", ALLOWED)


def fires(scenario: Scenario, population: Population, lines: Sequence[GateLine], number: int) -> bool:
    """Say whether any line fires in one try. Worse is lower for a measure, and higher for a bias score."""
    random = np.random.RandomState(number)
    chosen, signs = {"redrawn": redrawn, "swapped": swapped}[scenario.draw](random, population.n_clusters)
    gate = GATES[scenario.gate].model_copy(update={"rule": scenario.rule})
    gated = {line.subject for line in lines}
    each = []
    for difference in population.differences.each:
        if difference.subject in gated:
            sums, counts = population.columns[difference.subject]
            drop = -scenario.drop if difference.subject.kind else scenario.drop
            here = counts[chosen]
            each.append(drawn(difference, sums[chosen] * signs[:, None] + drop * here, here, gate, number))
    statistics = population.differences.statistics.model_copy(update={"seed": number})
    found = replace(population.differences, each=tuple(each), statistics=statistics)
    return any(not check.passed for check in judge(found, lines, gate, task=TASK, flips=FLIPS))


def drawn(difference: Difference, sums: Floats, counts: Floats, gate: Gate, seed: int) -> Difference:
    """Return a difference that has these clusters, with its interval where the rule asks for one."""
    contributions = Contributions(macro_contributions(sums, counts), macro_contributions(counts, counts))
    interval = interval_of(sums, counts, gate.confidence, seed) if gate.rule == "non_inferior" else None
    candidate = difference.base.mean() + contributions.added.sum()
    return replace(difference, candidate=np.array([candidate]), interval=interval, contributions=contributions)


def interval_of(sums: Floats, counts: Floats, confidence: float, seed: int) -> Bounds | None:
    """Return the interval of a macro mean as mlbench makes it."""
    sample = ClusterSample(np.arange(len(sums)), np.zeros(len(sums), np.int64), RESAMPLES, seed, confidence)
    replicates = sample.bootstrap(sums, counts).macro_mean()[:, None]
    return sample.bounds(np.array([macro_contributions(sums, counts).sum()]), replicates, counts)[0]


def limits(count: int, tries: int) -> dict[str, float]:
    """Return a count as a share with its exact limits of 95 %."""
    ends = binomtest(count, tries).proportion_ci(0.95, "exact")
    return {"share": round(count / tries, 4), "low": round(ends.low, 4), "high": round(ends.high, 4)}


def try_gate(scenario: Scenario, population: Population) -> dict[str, object]:
    """Return how often any line fires."""
    gate = GATES[scenario.gate]
    lines = lines_of(gate, population.differences, TASK)
    fired = sum(fires(scenario, population, lines, number) for number in range(TRIES))
    return {**scenario.__dict__, "lines": len(lines), "clusters": population.n_clusters, **limits(fired, TRIES)}


def try_difference(population: Population) -> dict[str, object]:
    """Return how often redrawn means of kinds, of which none differs, are told to: the family of aggregates."""
    subjects = [one.subject for one in population.differences.each if one.subject.family == "aggregates"]
    told = 0
    for number in range(TRIES):
        chosen, _ = redrawn(np.random.RandomState(number), population.n_clusters)
        each = tuple(
            drawn(
                one, population.columns[one.subject][0][chosen], population.columns[one.subject][1][chosen], DEFAULT, 0
            )
            for one in population.differences.each
            if one.subject in subjects
        )
        tests = compare(replace(population.differences, each=each), flips=FLIPS)
        told += any(line.adjusted is not None and line.adjusted.two_sided <= 0.05 for line in tests.lines)
    return limits(told, TRIES)


def main() -> None:
    """Run everything and write the figures."""
    names = {name for pair in PAIRS.values() for name in pair} - {SHORT}
    scores = {name: read_entry(name, TASK) for name in sorted(names)} | {SHORT: measure_short(TASK)}
    populations = {pair: population_of(scores[base], scores[other]) for pair, (base, other) in PAIRS.items()}
    nulls, gates = [], []
    for pair, population in populations.items():
        nulls.append({"pair": pair, **try_difference(population)})
        print(json.dumps(nulls[-1]), flush=True)
    for scenario in scenarios():
        gates.append(try_gate(scenario, populations[scenario.pair]))
        print(json.dumps(gates[-1]), flush=True)
    document = {
        "task": TASK,
        "tries": TRIES,
        "flips": FLIPS,
        "allowed": ALLOWED,
        "level": DEFAULT.level,
        "pairs": PAIRS,
        "nulls": nulls,
        "gates": gates,
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
