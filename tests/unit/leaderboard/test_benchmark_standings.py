"""Ranks and means over a benchmark of tasks."""

from dataclasses import replace

import numpy as np
import pytest
from unit.leaderboard.sites import reported, verified

from mlbench.leaderboard.benchmark_standings import AVERAGED, benchmark_standings
from mlbench.leaderboard.columns import BoardColumn
from mlbench.leaderboard.standings import BoardEntry, CheckedResult, Standings, rank_entries, standings
from mlbench.results import Result
from mlbench.tasks.benchmark import Benchmark, BenchmarkTask

FLIPS = 999
BOTH = ("small", "sparse")
MULTI = BoardColumn("AP", "multilingual")
PREFERENCE = BoardColumn("own_language_preference")


def benchmark(*tasks: str) -> Benchmark:
    return Benchmark(name="both", title="Both tasks", tasks=tuple(BenchmarkTask(task=task) for task in tasks))


def over(*entries: BoardEntry, tasks: tuple[str, ...] = BOTH) -> Standings:
    (found,) = benchmark_standings(entries, [benchmark(*tasks)], flips=FLIPS)
    return found


BOARD = (
    verified("good", seed=1, skill=3.0, tasks=BOTH),
    verified("other", seed=2, tasks=BOTH),
    verified("third", seed=3, tasks=BOTH),
    verified("lacking", seed=4, tasks=("small",)),
    reported("paper"),
)


def test_the_number_is_the_mean_over_the_tasks() -> None:
    found = over(*BOARD)
    assert (found.task, found.result) == ("both", None)
    assert [row.entry.name for row in found.groups["verified"]] == ["good", "other", "third"]
    by_name = {each.name: each for each in BOARD}
    for row in found.groups["verified"]:
        results = [by_name[row.entry.name].tasks[task].result for task in BOTH]
        for column, score in row.scores.items():
            assert score.number.value == pytest.approx(
                np.mean([each.figure(*column_of(column))[0] for each in results])
            )


def column_of(column: BoardColumn) -> tuple[str, str | None]:
    return column.name, column.kind


def test_rank_distances_of_different_pools_have_no_mean() -> None:
    assert BoardColumn("rank_distance") not in AVERAGED
    assert PREFERENCE in over(*BOARD).groups["verified"][0].scores


def test_an_entry_that_lacks_a_task_is_told_and_not_ranked() -> None:
    found = over(*BOARD)
    assert found.benchmark is not None
    assert found.benchmark.title == "Both tasks"
    assert found.benchmark.tasks == BOTH
    assert found.benchmark.missing == {"lacking": ("sparse",)}


def test_without_an_entry_on_all_tasks_there_are_no_standings() -> None:
    assert benchmark_standings([BOARD[3], BOARD[4]], [benchmark(*BOTH)]) == []
    assert benchmark_standings(BOARD, [benchmark("small", "elsewhere")]) == []


def test_ranks_are_those_of_the_clusters_of_all_tasks() -> None:
    found = over(*BOARD)
    losses = []
    for each in BOARD[:3]:
        added = [each.tasks[task].evidence.columns[MULTI] / 2 for task in BOTH]
        losses.append(np.concatenate(added))
    expected = rank_entries(losses, flips=FLIPS)
    assert tuple(row.scores[MULTI].rank for row in found.groups["verified"]) == expected
    assert expected[0]
    assert (expected[0].low, expected[0].high) == (1, 1)


def test_over_one_task_everything_is_that_of_the_task() -> None:
    found = over(*BOARD[:3], tasks=("small",))
    single = next(each for each in standings(BOARD[:3], flips=FLIPS) if each.task == "small")
    for one, other in zip(found.groups["verified"], single.groups["verified"], strict=True):
        assert set(one.scores) == set(other.scores) - {BoardColumn("rank_distance")}
        for column, score in one.scores.items():
            assert score.rank == other.scores[column].rank
            assert score.number.value == pytest.approx(other.scores[column].number.value)
            if score.number.bounds:
                assert score.number.bounds == other.scores[column].number.bounds
    # A mean of a result has an interval in its primary measure, and so has that over tasks.
    assert found.groups["verified"][0].scores[MULTI].number.bounds


def test_intervals_are_those_of_independent_tasks() -> None:
    """The half width of the mean of two independent numbers is half the root of the sum of their squares."""
    row = over(*BOARD).groups["verified"][0]
    widths = []
    for task in BOTH:
        low, high = np.percentile(BOARD[0].tasks[task].evidence.replicates[MULTI], [2.5, 97.5])
        widths.append(high - low)
    bounds = row.scores[MULTI].number.bounds
    assert bounds
    assert bounds.high - bounds.low == pytest.approx(np.hypot(*widths) / 2, rel=0.1)


def preferring(name: str, **levels: float) -> BoardEntry:
    """Return an entry whose own_language_preference on each task is another one."""
    tasks = {}
    for task, level in levels.items():
        checked = verified(name, tasks=(task,)).tasks[task]
        n = len(checked.evidence.settings)
        noise = np.random.RandomState(len(name)).standard_normal(n) / n / 50
        losses = abs(level - 0.5) / n + noise - noise.mean()
        evidence = replace(checked.evidence, columns={PREFERENCE: losses}, replicates={})
        tasks[task] = CheckedResult(preference(checked.result, level), evidence)
    return BoardEntry(verified(name, tasks=tuple(levels)).entry, tasks)


def preference(result: Result, level: float) -> Result:
    assert result.bias
    scores = [
        each.model_copy(update={"value": level}) if each.name == PREFERENCE.name else each
        for each in result.bias.scores
    ]
    return result.model_copy(update={"bias": result.bias.model_copy(update={"scores": tuple(scores)})})


def test_a_mean_is_as_good_as_it_is_near_to_the_ideal() -> None:
    """What one task has above 1/2 and the other below is made up in the mean, which is what is shown and ranked."""
    found = over(
        preferring("balanced", small=0.9, sparse=0.12),
        preferring("above", small=0.6, sparse=0.7),
        preferring("below", small=0.1, sparse=0.3),
    )
    scores = {row.entry.name: row.scores[PREFERENCE] for row in found.groups["verified"]}
    assert {name: round(score.number.value, 2) for name, score in scores.items()} == {
        "balanced": 0.51,
        "above": 0.65,
        "below": 0.2,
    }
    assert {name: score.rank.rank for name, score in scores.items() if score.rank} == {
        "balanced": 1,
        "above": 2,
        "below": 3,
    }


def test_an_entry_without_a_number_on_one_task_has_none_in_that_column() -> None:
    cut = preferring("cut", small=0.6, sparse=0.6)
    cut.tasks["sparse"].evidence.columns.clear()  # type: ignore[attr-defined]
    found = over(cut, preferring("whole", small=0.7, sparse=0.7))
    ranks = [row.scores[PREFERENCE].rank for row in found.groups["verified"]]
    assert ranks[0] is None
    assert ranks[1]
    assert ranks[1].high == 1
