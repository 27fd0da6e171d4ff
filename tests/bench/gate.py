"""How honest the default gate is, on real seed pairs: `python -m tests.bench.gate RESULTS docs/figures/gate.json`.

RESULTS is the folder of results that `mlbench sweep` wrote, several seeds of each arm on one task or more. A try takes
two seeds of one arm and gives each cluster of topics to one or the other at random, so that there is no real
difference between base and candidate; to see what is found, a drop is then added to the candidate's topics.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, islice
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from mlbench.collection.languages import TEXT_KINDS, Setting
from mlbench.compare.gate import DEFAULT, PRIMARY, Drops, Gate
from mlbench.compare.judge import GateLine, judge, lines_of
from mlbench.evaluation.verify import read_pair
from mlbench.results import Bounds, Result
from mlbench.statistics.cluster_scores import ClusterScores, ScoreRequest, sum_by_cluster
from mlbench.statistics.differences import Contributions, Difference, Differences, Subject, find_differences
from mlbench.statistics.resampling import bootstrap_weights

TRIES, FLIPS, RESAMPLES = 1_000, 999, 1_000
DROP = 0.01
Drop = Callable[[Subject], float]


MARGIN = 0.02
GATES = {
    "significant": DEFAULT,
    "point": DEFAULT.model_copy(update={"rule": "point"}),
    "non_inferior": Gate(
        rule="non_inferior",
        drop={PRIMARY: Drops(monolingual=MARGIN, cross_lingual=MARGIN, multilingual=MARGIN)},
    ),
}


@dataclass(frozen=True)
class Pair:
    """Two seeds of one arm on every task: what they differ by, and the lines of the gates by rule and task."""

    differences: Mapping[str, Differences]
    lines: Mapping[tuple[str, str], tuple[GateLine, ...]]


@dataclass(frozen=True)
class Scenario:
    """A gate, and where the true drop is that is added: nowhere, in a language drawn for each try, or in all."""

    rule: str
    tasks: tuple[str, ...]
    where: str


def read_pairs(folder: Path) -> list[Pair]:
    """Read the results of every point, and pair the seeds of each arm."""
    arms: dict[str, list[dict[str, ClusterScores]]] = defaultdict(list)
    for point in sorted(folder.iterdir()):
        read = [read_pair(path) for path in sorted(point.glob("*.json"))]
        arms[point.name.split(".seed-")[0]].append(
            {result.task.name: sum_by_cluster(ranks, request_of(result)) for result, ranks in read}
        )
    return [pair_of(one, two) for seeds in arms.values() for one, two in combinations(seeds, 2)]


def request_of(result: Result) -> ScoreRequest:
    """Return what the gate needs of a result: the primary measure and one bias score, without intervals."""
    return ScoreRequest(
        settings=tuple(Setting(each.query_language, each.document_languages) for each in result.settings),
        measures=(result.task.primary_measure,),
        primary_measure=result.task.primary_measure,
        bias_scores=tuple(DEFAULT.rise),
        parallel=result.task.parallel,
        resamples=2,
        seed=0,
        confidence=result.statistics.confidence,
    )


def seeds_fire(pairs: list[Pair]) -> int:
    """Count the pairs of seeds, each in both orders and as they are, at which the default gate fires."""
    return sum(fires(pair, sign) for pair in pairs for sign in (1.0, -1.0))


def fires(pair: Pair, sign: float) -> bool:
    return any(
        not check.passed
        for task, differences in pair.differences.items()
        for check in judge(
            turned(differences, sign),
            pair.lines["significant", task],
            DEFAULT,
            task=task,
            n_tasks=len(pair.differences),
        )
    )


def turned(differences: Differences, sign: float) -> Differences:
    """Return the differences as they are, or with base and candidate exchanged as a whole."""
    every = np.full(differences.statistics.n_clusters, sign)
    return replace(differences, each=tuple(swapped(one, every, lambda _: 0.0, DEFAULT) for one in differences.each))


def pair_of(one: Mapping[str, ClusterScores], two: Mapping[str, ClusterScores]) -> Pair:
    differences = {task: find_differences([one[task]], [two[task]]) for task in one}
    lines = {
        (rule, task): lines_of(gate, found, task) for rule, gate in GATES.items() for task, found in differences.items()
    }
    gated = {task: {line.subject for rule in GATES for line in lines[rule, task]} for task in differences}
    kept = {t: replace(c, each=tuple(e for e in c.each if e.subject in gated[t])) for t, c in differences.items()}
    return Pair(kept, lines)


def tried(scenario: Scenario, pairs: list[Pair], number: int) -> list[bool]:
    """Return of each line of the gate, over all tasks, whether it fires in one try."""
    random = np.random.RandomState(number)
    pair, gate = pairs[random.randint(len(pairs))], GATES[scenario.rule]
    fired = []
    for task in scenario.tasks:
        differences, drop = pair.differences[task], drop_of(scenario, pair.differences[task], random)
        signs = random.choice([-1.0, 1.0], differences.statistics.n_clusters)
        each = tuple(swapped(one, signs, drop, gate) for one in differences.each)
        statistics = differences.statistics.model_copy(update={"seed": number})
        checks = judge(
            replace(differences, each=each, statistics=statistics),
            pair.lines[scenario.rule, task],
            gate,
            task=task,
            flips=FLIPS,
            n_tasks=len(scenario.tasks),
        )
        fired += [not check.passed for check in checks]
    return fired


def swapped(each: Difference, signs: np.ndarray, drop: Drop, gate: Gate) -> Difference:
    """Give each cluster to one system or the other, and add the drop to every topic of the candidate."""
    assert each.contributions is not None
    shares = each.contributions.shares
    added = signs * each.contributions.added - drop(each.subject) * shares
    candidate = each.base.mean() + added.sum()
    return replace(
        each,
        candidate=np.array([candidate]),
        interval=interval_of(added, shares, gate.confidence) if gate.rule == "non_inferior" else None,
        contributions=Contributions(added, shares),
    )


def interval_of(added: np.ndarray, shares: np.ndarray, confidence: float) -> Bounds:
    """Return the interval of the difference, from one draw of clusters for all tries."""
    weights = drawn(len(added))
    low, high = np.percentile(weights @ added / (weights @ shares), [50 * (1 - confidence), 50 * (1 + confidence)])
    return Bounds(low=float(low), high=float(high))


@cache
def drawn(n_clusters: int) -> np.ndarray:
    return np.stack(list(islice(bootstrap_weights(np.zeros(n_clusters, np.int64), 0), RESAMPLES))).astype(np.float64)


def drop_of(scenario: Scenario, differences: Differences, random: np.random.RandomState) -> Drop:
    """Return the drop of each line: that of its own rows, or its share of the one language that drops."""
    rows = {(e.subject.kind, e.subject.query_language) for e in differences.each if e.subject.query_language}
    languages = sorted({str(language) for _, language in rows})
    chosen = languages[random.randint(len(languages))]
    share = {kind: 1 / sum(of == kind for of, _ in rows) for kind in TEXT_KINDS}

    def drop(subject: Subject) -> float:
        if subject.kind is None or scenario.where == "nowhere":
            return 0.0
        if scenario.where == "all languages":
            return DROP
        if subject.query_language is None:
            return DROP * share[subject.kind]
        return DROP if subject.query_language == chosen else 0.0

    return drop


def scenarios(tasks: tuple[str, ...]) -> Iterator[Scenario]:
    every = [(task,) for task in tasks] + ([tasks] if len(tasks) > 1 else [])
    for chosen in every:
        for rule in GATES:
            for where in ("nowhere", "one language", "all languages"):
                yield Scenario(rule, chosen, where)


def run(scenario: Scenario, pairs: list[Pair]) -> dict[str, object]:
    """Return how often any line fired, and how often a mean of a kind did, in all tries."""
    outcomes = [tried(scenario, pairs, number) for number in range(TRIES)]
    fired = sum(any(outcome) for outcome in outcomes)
    limits = binomtest(fired, TRIES).proportion_ci(0.95, "exact")
    return {
        "rule": scenario.rule,
        "tasks": scenario.tasks,
        "drop": 0.0 if scenario.where == "nowhere" else DROP,
        "where": scenario.where,
        "lines": len(outcomes[0]),
        "fired": fired,
        "low": round(limits.low, 4),
        "high": round(limits.high, 4),
    }


def main() -> None:
    pairs = read_pairs(Path(sys.argv[1]))
    tasks = tuple(sorted(pairs[0].differences, reverse=True))
    found = []
    with ProcessPoolExecutor(2) as pool:
        for outcome in pool.map(run, every := list(scenarios(tasks)), [pairs] * len(every)):
            found.append(outcome)
            print(json.dumps(outcome), flush=True)
    document = {
        "pairs": len(pairs),
        "pairs_as_they_are": {"compared": 2 * len(pairs), "fired": seeds_fire(pairs)},
        "tries": TRIES,
        "flips": FLIPS,
        "level": DEFAULT.level,
        "margin": MARGIN,
        "clusters": {task: pairs[0].differences[task].statistics.n_clusters for task in tasks},
        "outcomes": found,
    }
    Path(sys.argv[2]).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
