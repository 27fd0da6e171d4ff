"""What the overview says of a ranking: answers in sentences, benchmarks, and the data that its script draws from."""

import json
from base64 import b64decode

import numpy as np
import pytest
from unit.leaderboard.sites import audited, board, entry, renamed, reported, said, verified

from mlbench.leaderboard.benchmark_standings import benchmark_standings
from mlbench.leaderboard.columns import BoardColumn
from mlbench.leaderboard.overview import Ranking, by_language, overview
from mlbench.leaderboard.ranking_data import ranking_values
from mlbench.leaderboard.standings import BoardEntry, CheckedResult, standings
from mlbench.provenance import RegistryInfo
from mlbench.tasks.benchmark import Benchmark, BenchmarkTask

FLIPS = 199
ENTRIES = {each.name: each for each in board()}


def unpacked(text: str) -> list[float]:
    return [value / 10_000 for value in np.frombuffer(b64decode(text + "=" * (-len(text) % 4)), dtype="<i2").tolist()]


def rankings(*entries: BoardEntry) -> dict[str, Ranking]:
    by_name = {each.name: each for each in entries}
    return {each.task: overview(each, by_name) for each in standings(entries, flips=FLIPS)}


def over_both(*entries: BoardEntry) -> Ranking:
    both = Benchmark(
        name="both", title="Both: a mean", tasks=(BenchmarkTask(task="small"), BenchmarkTask(task="sparse"))
    )
    (found,) = benchmark_standings(entries, [both], flips=FLIPS)
    return overview(found, {each.name: each for each in entries})


class TestAnswers:
    def test_one_entry_is_best(self) -> None:
        answers = rankings(*board())["small"].answers
        assert answers is not None
        assert answers.first.title == "OURS"
        assert answers.best == "has the best mAP multi, .983. Every other entry is significantly worse."

    def test_several_tie(self) -> None:
        twins = [verified(f"twin{seed}", seed=seed) for seed in range(2, 8)]
        answers = rankings(*twins)["small"].answers
        assert answers is not None
        assert "but ties with " in answers.best
        assert answers.best.endswith("and 3 others: the data cannot tell which is best.")

    def test_one_entry_alone_is_not_called_best(self) -> None:
        answers = rankings(verified("ours", seed=1))["small"].answers
        assert answers is not None
        assert answers.best.endswith("No other entry was measured.")

    def test_too_few_topics_make_nobody_certainly_best(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mlbench.leaderboard.standings.can_tell", lambda *_, **__: False)
        answers = rankings(*board())["small"].answers
        assert answers is not None
        assert "The data cannot tell: no difference of 20 clusters of topics" in answers.best

    def test_the_number_is_told_beside_a_perfect_and_a_random_one(self) -> None:
        answers = rankings(*board())["small"].answers
        assert answers is not None
        assert answers.number.endswith("perfect is 1.000, a random order has .137.")

    def test_best_and_worst_language_are_named(self) -> None:
        answers = rankings(*board())["small"].answers
        result = board()[0].tasks["small"].result
        means = {tag: value for tag, (value, _) in by_language(result, "multilingual", "AP").items()}
        assert answers is not None
        assert f"{min(means.values()):.3f}"[1:] in answers.languages  # type: ignore[type-var]
        assert f"{max(means.values()):.3f}"[1:] in answers.languages  # type: ignore[type-var]
        assert "Thai" in answers.languages

    def test_preferences_are_told_and_drawn(self) -> None:
        ranking = rankings(*board())["small"]
        assert ranking.answers is not None
        assert len(ranking.answers.preferences) == 3
        assert ranking.answers.bias.endswith("Here: .521 to .544.")

    def test_statuses_are_counted(self) -> None:
        ours, other, twin = board()[:3]
        answers = rankings(audited(ours), audited(other, passed=False), twin)["small"].answers
        assert answers is not None
        assert answers.statuses == {"recomputed": 1, "audited": 1, "failed audit": 1}

    def test_where_only_a_paper_has_numbers_nothing_is_ranked(self) -> None:
        ranking = rankings(reported("paper", said("elsewhere")))["elsewhere"]
        assert (ranking.answers, ranking.rows) == (None, [])
        assert [row.entry.name for row in ranking.reported[0].rows] == ["paper"]

    def test_ways_to_train_are_explained_where_a_title_names_one(self) -> None:
        titled = BoardEntry(entry("paper", reported=(said(),), source="x", title="LaBSE, X-X-mono"), {})
        assert list(rankings(titled)["small"].terms) == ["X-X-mono"]
        assert rankings(*board())["small"].terms == {}


@pytest.mark.parametrize(
    ("trained_on", "seen", "told"),
    [
        ({"squad": "yes"}, ("squad",), "yes"),
        ({"squad": "no", "xquad": "no"}, (), "no"),
        ({"squad": "no"}, (), "unknown"),
        (None, (), "unknown"),
    ],
)
def test_training_data_are_told_as_far_as_they_are_known(
    trained_on: dict[str, str] | None, seen: tuple[str, ...], told: str
) -> None:
    made = verified("ours", seed=1)
    measured = made.tasks["small"]
    known = None if trained_on is None else RegistryInfo(name="our/model", trained_on=trained_on, seen=seen)
    retriever = measured.result.retriever.model_copy(update={"registry": known})
    result = measured.result.model_copy(update={"retriever": retriever})
    shown = BoardEntry(made.entry, {"small": CheckedResult(result, measured.evidence)})
    assert rankings(renamed(shown, "small", "xquad-r"))["xquad-r"].rows[0].seen == told


class TestBenchmark:
    def test_has_a_column_for_each_task(self) -> None:
        found = over_both(*board())
        assert [head.title for head in found.heads][-2:] == ["mAP multi on small", "mAP multi on sparse"]
        assert (found.name, found.title) == ("Both", "Both: a mean")
        for row in found.rows:
            values = [float(row.cells[key].text) for key in ("AP.multilingual", "small", "sparse")]
            assert values[0] == pytest.approx(np.mean(values[1:]), abs=0.001)

    def test_says_which_entry_lacks_a_task(self) -> None:
        found = over_both(*board())
        assert [row.entry.name for row in found.rows] == ["ours", "other"]
        assert found.facts == (
            "means over small and sparse, each task counting alike; not ranked, as a task is missing: twin (sparse)"
        )

    def test_its_data_have_no_languages(self) -> None:
        values = ranking_values(over_both(*board()), {each.name: each for each in board()})
        assert isinstance(values, dict)
        assert (values["languages"], values["rows"]) == ([], {})


class TestData:
    def values(self, task: str = "small") -> dict[str, list]:  # type: ignore[type-arg]
        found = ranking_values(rankings(*ENTRIES.values())[task], ENTRIES)
        assert isinstance(found, dict)
        assert json.loads(json.dumps(found))
        return found  # type: ignore[return-value]

    def test_cells_are_those_of_the_page(self) -> None:
        ranking, values = rankings(*ENTRIES.values())["small"], self.values()
        assert [each["key"] for each in values["columns"]] == [head.key for head in ranking.heads]
        for head, drawn in zip(ranking.heads, values["columns"], strict=True):
            cells = [row.cells[head.key] for row in ranking.rows]
            assert drawn["values"].split() == [cell.text for cell in cells]
            assert drawn["bounds"].replace(":", "–").split() == [cell.bounds or "·" for cell in cells]
            assert drawn["ranks"].replace(":", "–").split() == [cell.rank or "·" for cell in cells]
            assert drawn["groups"] == [cell.group for cell in cells]

    def test_orders_are_from_the_best(self) -> None:
        values = self.values()
        for column, order in zip(values["columns"], values["orders"], strict=True):
            name, _, kind = column["key"].partition(".")
            losses = [
                BoardColumn(name, kind or None).loss(  # type: ignore[arg-type]
                    ENTRIES[values["entries"][at]["name"]].tasks["small"].result.figure(name, kind or None)[0]
                )
                for at in order
            ]
            assert losses == sorted(losses)

    def test_means_by_language_are_those_of_the_result(self) -> None:
        values = self.values()
        for kind in ("monolingual", "cross_lingual", "multilingual"):
            assert list(values["rows"][kind]) == ["AP", "R@1", "R@10", "RR"]
            for measure, packed in values["rows"][kind].items():
                for at, each in enumerate(values["entries"]):
                    result = ENTRIES[each["name"]].tasks["small"].result
                    for (tag, _), value in zip(values["languages"], unpacked(packed[at]), strict=True):
                        mean = result.aggregate(kind, query_language=tag)
                        assert mean is not None
                        assert value == pytest.approx(mean.measures[measure], abs=1.01e-4)

    def test_many_entries_have_the_main_measure_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mlbench.leaderboard.ranking_data.MOST_IN_CELLS", 2)
        assert {tuple(each) for each in self.values()["rows"].values()} == {("AP",)}

    def test_many_languages_have_no_intervals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mlbench.leaderboard.ranking_data.MOST_IN_CELLS", 3)
        values = self.values()
        assert {tuple(each) for each in values["rows"].values()} == {("AP",)}
        assert values["limits"] == {}
        assert "R@1" in self.values("sparse")["rows"]["multilingual"]
