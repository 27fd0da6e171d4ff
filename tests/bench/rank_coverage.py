"""How often rank intervals hold all true ranks: `python -m tests.bench.rank_coverage docs/figures/rank-coverage.json`.

Entries are simulated whose true numbers are known, and ranked as the leaderboard ranks them. A try counts where the
interval of every entry holds its true rank; where several entries are truly level, every rank that they share. That
should be 95 of 100 tries where all entries are level, and more where some are truly apart, since a test of these cannot
go wrong in the same way. The last world is real: entries of the leaderboard on xquad-r, whose articles are drawn with
replacement, with what they differ by taken out.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from zlib import crc32

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from mlbench.leaderboard.columns import BoardColumn
from mlbench.leaderboard.standings import RANK_FLIPS, rank_entries, rank_families
from mlbench.statistics.direction import loss_contributions
from tests.bench.gate import ENTRIES, TASK, limits, read_entry

Floats = NDArray[np.float64]
TRIES, ENTRIES_EACH = 2_000, 10
CLUSTERS = (10, 48, 240)


@dataclass(frozen=True)
class World:
    """Simulated entries: what is `true` of each, (entries,), and what clusters add to the number of each.

    `draw` takes random numbers and the number of clusters, and returns float64 (clusters, entries), whose expected sums
    are the true numbers. The numbers are those of `column`, which says which are better.
    """

    true: Floats
    draw: Callable[[RandomState, int], Floats]
    column: str = "AP"


def world(
    true: Floats,
    *,
    column: str = "AP",
    spread: Floats | float = 1.0,
    families: int = 0,
    skewed: bool = False,
    unequal: bool = False,
) -> World:
    """Return entries that share what is hard in a cluster and differ by noise of their own, in units of its spread.

    `true` is in those units over the root of the number of clusters. Entries of one of the `families` have most of
    their noise in common, `skewed` noise has a long tail, and `unequal` clusters differ in size as articles do.
    """
    n = len(true)

    def draw(random: RandomState, n_clusters: int) -> Floats:
        def noise(columns: int) -> Floats:
            drawn = random.standard_normal((n_clusters, columns))
            return np.exp(drawn) - np.exp(0.5) if skewed else drawn

        own = noise(n) * spread
        if families:
            own = 0.3 * own + noise(families)[:, np.arange(n) % families]
        values = 2 * noise(1) + own + true / np.sqrt(n_clusters)
        sizes = np.exp(random.standard_normal(n_clusters)) if unequal else np.ones(n_clusters)
        added: Floats = values * sizes[:, None] / sizes.sum()
        return added

    return World(true, draw, column)


def near_ideal(distances: Floats) -> World:
    """Return entries whose own_language_preference is so far from 1/2, every other one above and below."""
    sides = np.where(np.arange(len(distances)) % 2, 1.0, -1.0)

    def draw(random: RandomState, n_clusters: int) -> Floats:
        values = 0.5 + (sides * distances + random.standard_normal((n_clusters, len(sides)))) / np.sqrt(n_clusters)
        return values / n_clusters

    return World(distances, draw, "own_language_preference")


def two_tasks(true: Floats, disagreement: float = 0.0) -> World:
    """Return means over two tasks, the second with five times as many clusters, on which entries may differ."""
    turned = np.where(np.arange(len(true)) % 2, disagreement, -disagreement)
    # What a unit of `world` is depends on the number of clusters; over both tasks the entries are as `true` says.
    back = turned * np.sqrt(5)

    def draw(random: RandomState, n_clusters: int) -> Floats:
        tasks = [world(true + turned).draw(random, n_clusters), world(true - back).draw(random, 5 * n_clusters)]
        return np.concatenate(tasks) / 2

    return World(true, draw)


LEVEL_ENTRIES, LADDER = np.zeros(ENTRIES_EACH), np.arange(ENTRIES_EACH, dtype=np.float64)
GROUPS = np.repeat([0.0, 12.0], ENTRIES_EACH // 2)
WORLDS: Mapping[str, World] = {
    "all level": world(LEVEL_ENTRIES),
    "all level, lower is better": world(LEVEL_ENTRIES, column="rank_distance"),
    "all level, of three families": world(LEVEL_ENTRIES, families=3),
    "all level, unlike noise": world(LEVEL_ENTRIES, spread=np.geomspace(0.2, 5, ENTRIES_EACH)),
    "all level, clusters of unlike sizes": world(LEVEL_ENTRIES, unequal=True),
    "all level, skewed": world(LEVEL_ENTRIES, skewed=True),
    "all level over two tasks": two_tasks(LEVEL_ENTRIES),
    "two groups": world(GROUPS),
    "two groups, of three families": world(GROUPS, families=3),
    "a ladder of small steps": world(LADDER / 10),
    "a ladder": world(LADDER),
    "a ladder, lower is better": world(LADDER, column="rank_distance"),
    "a ladder, clusters of unlike sizes": world(LADDER, unequal=True),
    "all as far from 1/2": near_ideal(LEVEL_ENTRIES + 6),
    "all at 1/2": near_ideal(LEVEL_ENTRIES),
    "two tasks that disagree": two_tasks(LEVEL_ENTRIES, 3.0),
    "all level, skewed, unlike noise": world(LEVEL_ENTRIES, skewed=True, spread=np.geomspace(0.2, 5, ENTRIES_EACH)),
}
"""The first are the least favourable: any two entries that are told apart are told apart wrongly.

The last breaks what sign flips take for granted, that a difference might as well have had the other sign.
"""


def real_entries() -> World:
    """Return the entries of the leaderboard as they are on a task, but for their mean: all are level."""
    names = sorted(path.parent.name for path in ENTRIES.glob(f"*/{TASK}.ranks.npz"))
    columns = []
    for name in names:
        scores = read_entry(name, TASK)
        chosen = [place for place, setting in enumerate(scores.request.settings) if setting.kind == "multilingual"]
        added, shares = scores.settings.contributions(chosen, 0)
        columns.append(added - added.sum() * shares)
    population = np.stack(columns, axis=1)

    def draw(random: RandomState, n_clusters: int) -> Floats:
        drawn: Floats = population[random.randint(len(population), size=n_clusters)]
        return drawn

    return World(np.zeros(len(names)), draw)


def true_ranks(found: World) -> tuple[Floats, Floats]:
    """Return the first and the last true rank of each entry, (entries,) both: entries that are level share theirs."""
    losses = found.true if found.column != "AP" else -found.true
    first = 1 + (losses[None, :] < losses[:, None]).sum(axis=1)
    last = len(losses) - (losses[None, :] > losses[:, None]).sum(axis=1)
    return first, last


def covers(found: World, n_clusters: int, seed: int) -> tuple[bool, float]:
    """Tell whether all intervals of one try hold the true ranks, and how many ranks they hold on average."""
    added = found.draw(RandomState([seed, crc32(found.column.encode())]), n_clusters)
    shares = np.full(len(added), 1 / len(added))
    losses = [loss_contributions(found.column, each, shares) for each in added.T]
    ranges = rank_entries([each for each in losses if each is not None])
    low, high = np.array([(each.low, each.high) for each in ranges if each]).T
    first, last = true_ranks(found)
    return bool((low <= first).all() and (high >= last).all()), float((high - low + 1).mean())


def coverage(found: World, n_clusters: int, tries: int = TRIES) -> tuple[int, float]:
    """Return in how many tries the intervals hold all true ranks, and how many ranks an interval has on average."""
    each = [covers(found, n_clusters, seed) for seed in range(tries)]
    return sum(held for held, _ in each), float(np.mean([width for _, width in each]))


def outcomes(tries: int) -> Iterator[dict[str, object]]:
    """Yield the coverage of each world for each number of clusters."""
    for name, each in {**WORLDS, f"entries on {TASK}, made level": real_entries()}.items():
        for n_clusters in CLUSTERS:
            held, width = coverage(each, n_clusters, tries)
            yield {"world": name, "clusters": n_clusters, "covered": limits(held, tries), "ranks": width}


def speed(n_entries: int = 100, n_tasks: int = 20, n_clusters: int = 48) -> dict[str, float]:
    """Return the processor seconds that it takes to rank so many entries on so many tasks, in 14 columns each."""
    random, columns = RandomState(0), [BoardColumn(str(number)) for number in range(14)]
    losses = random.standard_normal((len(columns), n_entries, n_clusters)) + np.linspace(0, 2, n_entries)[:, None]
    began = process_time()
    for _ in range(n_tasks):
        rank_families([list(each) for each in losses])
    return {"entries": n_entries, "tasks": n_tasks, "clusters": n_clusters, "seconds": process_time() - began}


def main() -> None:
    """Write all figures, and print the coverage as a Markdown table."""
    tries = int(sys.argv[2]) if len(sys.argv) > 2 else TRIES
    found = []
    for outcome in outcomes(tries):
        found.append(outcome)
        print(json.dumps(outcome), file=sys.stderr, flush=True)
    figures = {"tries": tries, "flips": RANK_FLIPS, "entries": ENTRIES_EACH, "outcomes": found, "speed": speed()}
    Path(sys.argv[1]).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"| world | {' | '.join(f'{number} clusters' for number in CLUSTERS)} |\n| --- |{' --: |' * len(CLUSTERS)}")
    for name in dict.fromkeys(str(outcome["world"]) for outcome in found):
        own = [outcome for outcome in found if outcome["world"] == name]
        cells = (f"{100 * outcome['covered']['share']:.1f} % ({outcome['ranks']:.1f})" for outcome in own)  # type: ignore[index]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
