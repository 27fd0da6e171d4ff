from collections.abc import Callable

import pytest
from mlbench.reports.result.tables import compare

from mlbench.results import Result

ResultOf = Callable[..., Result]


def changed(result: Result, **scores: float) -> Result:
    """The same result with other bias scores."""
    assert result.bias is not None
    found = tuple(s.model_copy(update={"value": scores.get(s.name, s.value)}) for s in result.bias.scores)
    return result.model_copy(update={"bias": result.bias.model_copy(update={"scores": found})})


def column(results: list[Result], group: str, title: str = "") -> list[tuple[str, bool]]:
    (found,) = [each for each in compare(results).columns if (each.group, each.title) == (group, title)]
    return [(cell.text, cell.best) for cell in found.cells]


def test_columns_are_those_people_compare(small: Result) -> None:
    assert [(each.group, each.title) for each in compare([small]).columns] == [
        ("mAP", "mono"),
        ("mAP", "cross"),
        ("mAP", "multi"),
        ("R@1", "mono"),
        ("R@1", "cross"),
        ("R@10", "multi"),
        ("own_language_preference", ""),
        ("rank_distance", "mean"),
        ("rank_distance", "median"),
    ]


def test_another_measure_stands_in_place_of_the_primary_one(small: Result) -> None:
    shown = [(each.group, each.title) for each in compare([small], measure="R@1").columns]
    assert shown[:3] == [("R@1", "mono"), ("R@1", "cross"), ("R@1", "multi")]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    ("name", "group", "title", "values", "best"),
    [
        ("own_language_preference", "own_language_preference", "", (0.9, 0.6), [False, True]),
        ("own_language_preference", "own_language_preference", "", (0.45, 0.6), [True, False]),
        ("own_language_preference", "own_language_preference", "", (0.6, 0.60001), [True, True]),
        ("rank_distance", "rank_distance", "mean", (100.0, 50.0), [False, True]),
        ("rank_distance_median", "rank_distance", "median", (20.0, 50.0), [True, False]),
    ],
)
def test_what_is_best(
    small: Result, name: str, group: str, title: str, values: tuple[float, float], best: list[bool]
) -> None:
    found = column([changed(small, **{name: value}) for value in values], group, title)
    assert [mark for _, mark in found] == best


def test_nothing_is_best_alone_or_beside_other_data(small: Result) -> None:
    other = small.model_copy(update={"task": small.task.model_copy(update={"fingerprint": "other"})})
    for results in ([small], [small, other]):
        assert not any(cell.best for each in compare(results).columns for cell in each.cells)


def test_distances_of_ranks_are_not_compared_across_depths(small: Result) -> None:
    setting = small.settings[0].model_copy(update={"unretrieved_share": 0.1})
    short = small.model_copy(update={"settings": (setting, *small.settings[1:])})
    results = [changed(small, rank_distance=5.0), short]
    assert [best for _, best in column(results, "rank_distance", "mean")] == [False, False]
    assert [best for _, best in column(results, "mAP", "mono")] == [True, True]


def test_what_nobody_has_is_no_column(result_of: ResultOf) -> None:
    alone = result_of(["bn", "sw"], kinds=["monolingual"])
    assert {each.title for each in compare([alone]).columns} == {"mono"}


def test_partial_tasks_are_named(small: Result) -> None:
    partial = small.model_copy(update={"task": small.task.model_copy(update={"partial": True})})
    assert compare([small, partial]).tasks == ("xquad-r", "xquad-r (de, en, th only)")
