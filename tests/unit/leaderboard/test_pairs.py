"""Evidence of entries, and every two of them compared."""

import numpy as np
import pytest
from unit.leaderboard.boards import honest
from unit.leaderboard.sites import BIAS_SCORES, COLLECTION, MEASURES, measured
from unit.statistics.cases import ListRanker, random_orders

from mlbench.collection.languages import settings_of
from mlbench.leaderboard.columns import COLUMNS, BoardColumn
from mlbench.leaderboard.columns import measured as number_of
from mlbench.leaderboard.standings import Evidence, compare_pairs, gather
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.paired_tests import compare_ranks

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
    pair = compare_pairs({"whole": whole, "cut": cut}, flips=FLIPS)["whole", "cut"]
    assert pair.summary.keys() == cut.summary.keys()


@pytest.mark.parametrize("task", ["small", "sparse"])
def test_pairs_are_compared_as_the_command_line_does(task: str) -> None:
    systems = {name: measured(task, seed=seed, skill=seed) for seed, name in enumerate(("a", "b", "c"), 1)}
    found = compare_pairs({name: gather(*each) for name, each in systems.items()}, flips=FLIPS)
    assert list(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    (result, first), (_, second) = systems["a"], systems["c"]
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
    tests = compare_ranks([first], [second], request, flips=FLIPS)
    pair = found["a", "c"]
    assert len(pair.summary) == 5
    for column, difference in pair.summary.items():
        line = tests.line(column.name, column.kind)
        assert line is not None
        assert line.adjusted is not None
        assert line.interval is not None
        assert difference.interval is not None
        assert difference.p == line.adjusted.two_sided
        assert difference.interval.low == pytest.approx(line.interval.low)
        assert difference.interval.high == pytest.approx(line.interval.high)
    differs = []
    for setting in request.settings:
        line = tests.line("AP", setting.kind, setting.query_language, setting.document_languages)
        assert line is not None
        differs.append(line.adjusted is not None and line.adjusted.two_sided <= 0.05)
    assert pair.differs.tolist() == differs
    assert any(differs)


def test_what_is_said_of_two_entries_depends_on_no_other() -> None:
    entries = {name: gather(*measured("small", seed=seed, skill=seed)) for seed, name in enumerate("abcd", 1)}
    whole = compare_pairs(entries, flips=FLIPS)
    for (first, second), pair in whole.items():
        alone = compare_pairs({name: entries[name] for name in (first, second)}, flips=FLIPS)[first, second]
        assert pair.summary == alone.summary
        assert pair.differs.tolist() == alone.differs.tolist()


def test_settings_without_topics_do_not_differ() -> None:
    one, other = (gather(*measured("small", seed=seed, skill=skill)) for seed, skill in ((0, 0.0), (1, 9.0)))
    for each in (one, other):
        each.settings[:, 3] = np.nan
    pair = compare_pairs({"one": one, "other": other}, flips=FLIPS)["one", "other"]
    assert not pair.differs[3]
    assert pair.differs.sum() > len(pair.differs) / 2


@pytest.mark.parametrize("names", [(), ("alone",)])
def test_fewer_than_two_give_no_pair(names: tuple[str, ...]) -> None:
    assert compare_pairs({name: gather(*measured("small")) for name in names}) == {}
