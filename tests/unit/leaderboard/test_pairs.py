"""Evidence of entries, and every two of them compared."""

from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from unit.leaderboard.boards import honest
from unit.leaderboard.sites import BIAS_SCORES, COLLECTION, MEASURES, measured
from unit.statistics.cases import ListRanker, random_orders

from mlbench.collection.languages import Setting, settings_of
from mlbench.leaderboard import pairs, standings
from mlbench.leaderboard.columns import COLUMNS, FIRST, BoardColumn
from mlbench.leaderboard.columns import measured as number_of
from mlbench.leaderboard.evidence import Evidence, gather, kept_evidence
from mlbench.leaderboard.pairs import differing_settings, groups_of, near_pairs
from mlbench.leaderboard.standings import kept_ranks
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.paired_tests import PairedTests, compare_ranks

FLIPS = 499


@pytest.mark.parametrize("task", ["small", "sparse"])
def test_contributions_sum_to_the_numbers_of_the_result(task: str) -> None:
    result, ranks = measured(task)
    evidence = gather(result, ranks)
    assert set(evidence.columns) == {column for column in COLUMNS if number_of(result, column) is not None}
    for column, added in {**evidence.columns, **evidence.summary}.items():
        found = number_of(result, column)
        if found is not None:
            assert added.sum() == pytest.approx(column.loss(found.value))
    for setting, added in zip(result.settings, evidence.settings.T, strict=True):
        assert added.sum() == pytest.approx(setting.measures["AP"])


def shallow() -> Evidence:
    """Return the evidence of a ranker whose lists are cut."""
    arrays, settings = index_collection(COLLECTION), settings_of(COLLECTION.languages)
    ranker = ListRanker(COLLECTION, random_orders(COLLECTION, 0, skill=1.0), longest=5)
    ranks = to_ranks(arrays, rank_lists(arrays, ranker, settings, 20, Silence()))
    return gather(honest(ranks, COLLECTION, name="small", measures=MEASURES, bias_scores=BIAS_SCORES), ranks)


def test_bias_scores_of_cut_lists_are_left_out() -> None:
    whole, cut = gather(*measured("small")), shallow()
    scores = {BoardColumn("rank_distance"), BoardColumn("own_language_preference")}
    assert whole.columns.keys() - cut.columns.keys() == scores
    assert whole.summary.keys() - cut.summary.keys() == scores
    assert whole.shares.keys() == whole.summary.keys()


def three(task: str) -> dict[str, Evidence]:
    return {name: gather(*measured(task, seed=seed, skill=seed)) for seed, name in enumerate(("a", "b", "c"), 1)}


@pytest.mark.parametrize("task", ["small", "sparse"])
def test_settings_are_compared_as_the_command_line_does(task: str) -> None:
    found = differing_settings(task, three(task), flips=FLIPS)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    tests, settings = command_line(task)
    differs = []
    for setting in settings:
        line = tests.line("AP", setting.kind, setting.query_language, setting.document_languages)
        assert line is not None
        differs.append(line.adjusted is not None and line.adjusted.two_sided <= 0.05)
    assert found["a", "c"].tolist() == differs
    assert any(differs)


def command_line(task: str) -> tuple[PairedTests, tuple[Setting, ...]]:
    """Return how `mlbench compare` tests the first and the last of three systems."""
    (result, first), (_, second) = measured(task, seed=1, skill=1), measured(task, seed=3, skill=3)
    request = ScoreRequest(
        settings=settings_of(result.task.languages),
        measures=MEASURES,
        primary_measure="AP",
        bias_scores=BIAS_SCORES,
        parallel=True,
        resamples=result.statistics.resamples,
        seed=result.statistics.seed,
        confidence=result.statistics.confidence,
    )
    return compare_ranks([first], [second], request, flips=FLIPS), request.settings


def test_what_is_said_of_two_entries_depends_on_no_other() -> None:
    entries = {name: gather(*measured("small", seed=seed, skill=seed)) for seed, name in enumerate("abcd", 1)}
    whole = differing_settings("small", entries, flips=FLIPS)
    assert len(whole) == 6
    for pair, differs in whole.items():
        alone = differing_settings("small", {name: entries[name] for name in pair}, flips=FLIPS)[pair]
        assert differs.tolist() == alone.tolist()


def test_settings_without_topics_do_not_differ() -> None:
    one, other = (gather(*measured("small", seed=seed, skill=skill)) for seed, skill in ((0, 0.0), (1, 9.0)))
    for each in (one, other):
        each.settings[:, 3] = np.nan
    differs = differing_settings("small", {"one": one, "other": other}, flips=FLIPS)["one", "other"]
    assert not differs[3]
    assert differs.sum() > len(differs) / 2


@pytest.mark.parametrize("names", [(), ("alone",)])
def test_fewer_than_two_give_no_pair(names: tuple[str, ...]) -> None:
    assert differing_settings("small", {name: gather(*measured("small")) for name in names}) == {}


def test_what_was_tested_is_kept_until_anything_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    tested: list[int] = []
    monkeypatch.setattr(pairs, "difference_p_values", lambda *_, **__: (tested.append(1), [np.zeros(16)] * 3)[1])
    entries = three("small")
    first = differing_settings("small", entries)
    again = differing_settings("small", entries)
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[pair], again[pair]) for pair in first)
    assert len(tested) == 1
    entries["b"].settings[0, 0] += 0.1
    differing_settings("small", entries)
    assert len(tested) == 2


def test_tasks_of_many_languages_have_no_single_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.leaderboard.evidence.MOST_IN_CELLS", 3)
    entries = three("small")
    assert entries["a"].settings.shape == (len(entries["a"].columns[FIRST]), 0)
    assert differing_settings("small", entries) == {}


class TestNearPairs:
    def evidence(self, losses: list[float]) -> dict[str, Evidence]:
        whole = gather(*measured("small"))
        n_clusters = len(whole.settings)
        return {
            name: replace(whole, columns={FIRST: np.full(n_clusters, loss / n_clusters)})
            for name, loss in zip("dabec", losses, strict=True)
        }

    def test_all_pairs_of_few_entries(self) -> None:
        found = near_pairs(self.evidence([5, 4, 3, 2, 1]), most=10)
        assert found == sorted(combinations("abcde", 2))

    @pytest.mark.parametrize("most", [0, 1, 5, 9])
    def test_neighbours_of_many(self, most: int) -> None:
        # By their losses: c e b a d.
        found = near_pairs(self.evidence([5, 4, 3, 2, 1]), most=most)
        assert found == [("a", "b"), ("a", "d"), ("b", "e"), ("c", "e")]

    def test_two_neighbours_of_more(self) -> None:
        assert len(near_pairs({str(n): each for n, each in enumerate([gather(*measured("small"))] * 30)}, 60)) == 57


class TestGroups:
    @pytest.mark.parametrize("most", [1, 3, 7, 40, 48])
    @pytest.mark.parametrize("task", ["small", "sparse"])
    def test_residuals_and_shares_give_the_losses_back(self, task: str, most: int) -> None:
        evidence = gather(*measured(task))
        for column, losses in evidence.summary.items():
            groups = groups_of(evidence, column, most)
            assert groups is not None
            assert len(groups.shares) == min(most, len(losses))
            assert groups.shares.sum() == pytest.approx(1)
            assert groups.residuals.sum() == pytest.approx(0, abs=1e-9 * max(1, abs(losses.sum())))
            whole = groups.residuals + groups.shares * losses.sum()
            assert whole == pytest.approx([losses[first::most].sum() for first in range(len(whole))])

    def test_a_number_that_is_not_there_has_none(self) -> None:
        assert groups_of(shallow(), BoardColumn("rank_distance")) is None


def test_kept_evidence_is_what_was_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    gathered = gather(*measured("small"))
    parts, times = [b"result", b"ranks"], []
    found = [kept_evidence("small", parts, lambda: (times.append(1), gathered)[1]) for _ in range(2)]
    assert len(times) == 1
    for field in fields(Evidence):
        first, again = (getattr(each, field.name) for each in (gathered, found[1]))
        if isinstance(first, np.ndarray):
            assert np.array_equal(first, again)
        elif isinstance(first, dict) and field.name != "data":
            assert list(first) == list(again)
            assert all(np.array_equal(first[column], again[column]) for column in first)
        else:
            assert first == again
    kept_evidence("small", [b"result", b"others"], lambda: (times.append(1), gathered)[1])
    assert len(times) == 2


def test_kept_evidence_may_lack_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    nothing = Evidence({}, {}, {}, {}, {}, np.empty((0, 0)), 0.95)
    for _ in range(2):
        found = kept_evidence("small", [], lambda: nothing)
    assert (found.data, found.columns, found.settings.shape) == ({}, {}, (0, 0))


def test_ranks_are_kept_until_anything_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path))
    times: list[int] = []
    rank = standings.rank_families
    monkeypatch.setattr(standings, "rank_families", lambda *a, **k: (times.append(1), rank(*a, **k))[1])
    random = np.random.RandomState(0)
    losses = [random.standard_normal(30) + shift for shift in (0, 0, 1, 5)]
    families = [losses, losses[:3], [losses[0], np.full(30, np.nan)], []]
    first = kept_ranks("a/b", families, flips=99)
    assert first == rank(families, flips=99)
    assert first[2][1] is None
    assert kept_ranks("a/b", families, flips=99) == first
    assert len(times) == 1
    losses[3][0] = 4.0
    kept_ranks("a/b", families, flips=99)
    kept_ranks("a/b", families, flips=98)
    assert len(times) == 3
