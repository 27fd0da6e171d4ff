"""What is computed for many settings at once, in both layouts of ranks, against each setting and pool alone."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import list_ranks, make_collection, random_orders, ranks_of

from mlbench.collection.languages import TEXT_KINDS, Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.errors import UserError
from mlbench.measures import translations
from mlbench.measures.bias import BIAS_SCORES
from mlbench.measures.formulas import relevant_ranks
from mlbench.measures.translations import PoolRanks
from mlbench.ranking import ranks as ranks_module
from mlbench.ranking.ranks import UNKNOWN, Ranks, pool_counts, setting_blocks, setting_ranks
from mlbench.statistics import settings as settings_module
from mlbench.statistics.cluster_scores import ScoreRequest, describe_data, sum_by_cluster
from mlbench.statistics.differences import Differences, find_differences
from mlbench.statistics.paired_tests import compare
from mlbench.statistics.resampling import resample
from mlbench.statistics.score import Scores, score

COLLECTIONS: Mapping[str, Collection] = {
    "parallel": make_collection(seed=0),
    "sparse": make_collection(seed=1, sparse=True),
    "several": make_collection(seed=2, sparse=True, several=True),
    "not parallel": make_collection(seed=3, parallel=False, several=True),
}


def measured(seed: int) -> dict[str, Ranks]:
    """Return the ranks of vectors and of lists in random orders of each collection."""
    found = {}
    for name, collection in COLLECTIONS.items():
        orders = random_orders(collection, seed, skill=1.5)
        found[f"{name}, vectors"] = ranks_of(collection, orders)
        found[f"{name}, lists"] = list_ranks(collection, orders, longest=15, kinds=list(TEXT_KINDS))
    return found


RANKS, OTHERS = measured(9), measured(10)


SAME = {"family", "name", "kind", "query_language", "document_languages", "n_topics", "n_clusters", "raw", "adjusted"}


@pytest.fixture(params=RANKS)
def ranks(request: pytest.FixtureRequest) -> Ranks:
    return RANKS[request.param]


def compacted(ranks: Ranks) -> Ranks:
    return compact_of(ranks, [ranks.spoken_languages])


def request_of(ranks: Ranks, **changes: object) -> ScoreRequest:
    parallel = len(ranks.topic_ids) < len(ranks.query_topics)
    made = ScoreRequest(settings_of(ranks.spoken_languages), ("RR", "AP", "R@3"), "AP", tuple(BIAS_SCORES), parallel)
    return replace(made, resamples=40, seed=3, **changes)  # type: ignore[arg-type]


def assert_equal_settings(ranks: Ranks, settings: tuple[Setting, ...]) -> None:
    """Compare blocks of settings with what the counts of one pool say, setting by setting."""
    met = []
    for block in setting_blocks(ranks, settings):
        for place, index in enumerate(block.settings):
            setting, rows = settings[index], slice(*block.edges[place : place + 2])
            pool = pool_counts(ranks, setting.document_languages)
            inside = np.isin(ranks.languages[ranks.row_languages], setting.document_languages)
            own = inside & (ranks.languages[ranks.query_languages[ranks.row_queries]] == setting.query_language)
            queries, number = np.unique(ranks.row_queries[own], return_inverse=True)
            alone = relevant_ranks(number, pool.rank[own], ranks.grades[own], len(queries))
            width = alone.ranks.shape[1]
            np.testing.assert_array_equal(block.queries[rows], queries)
            np.testing.assert_array_equal(block.relevant.ranks[rows, :width], alone.ranks)
            np.testing.assert_array_equal(block.relevant.grades[rows, :width], alone.grades)
            np.testing.assert_array_equal(block.relevant.listed[rows], np.minimum(pool.listed[queries], pool.size))
            known = pool.ties[own][pool.ties[own] != UNKNOWN]
            for found, values in ((block.tied, known > 0), (block.unretrieved, pool.unlisted[own])):
                np.testing.assert_equal(found[place], values.mean() if len(values) else np.nan)
            assert block.pool_sizes[place] == pool.size
            met.append(index)
    assert sorted(met) == list(range(len(settings)))


def test_blocks_of_settings_equal_single_ones(ranks: Ranks) -> None:
    settings = settings_of(ranks.spoken_languages)
    assert_equal_settings(ranks, settings)
    assert_equal_settings(ranks, settings[::-3])
    assert_equal_settings(compacted(ranks), settings)


def test_a_query_language_without_queries_has_empty_settings() -> None:
    lonely = make_collection(seed=0, languages=("de", "en"), parallel=False)
    lonely = replace(lonely, queries={"de": lonely.queries["de"], "en": ()})
    found = setting_ranks(ranks_of(lonely, random_orders(lonely, 0)), Setting("en", ("de", "en")))
    assert (len(found.queries), found.pool_size) == (0, 25)


def test_queries_that_are_not_numbered_language_by_language_are_refused() -> None:
    ranks = RANKS["parallel, vectors"]
    mixed = replace(ranks, query_languages=ranks.query_languages[::-1].copy())
    mixed.query_languages[1] = ranks.query_languages[0]
    with pytest.raises(UserError, match="the queries in ar do not stand together"):
        setting_ranks(mixed, Setting("ar", ("de",)))


def test_scores_are_the_same_in_both_layouts(ranks: Ranks) -> None:
    assert score(compacted(ranks), request_of(ranks)) == score(ranks, request_of(ranks))


def differences(*systems: Ranks) -> Differences:
    return find_differences(*([sum_by_cluster(one, request_of(one))] for one in systems))


@pytest.mark.parametrize("name", RANKS)
def test_comparisons_are_the_same_in_both_layouts(name: str) -> None:
    one, other = RANKS[name], OTHERS[name]
    found = compare(differences(compacted(one), compacted(other)), flips=99)
    assert found == compare(differences(one, other), flips=99)


def numbers(scores: Scores) -> list[float]:
    """Return every value and end of an interval of the aggregates, and every end of a setting's interval."""
    bounds = [bounds for each in (*scores.aggregates, *scores.settings) for bounds in each.intervals.values()]
    ends = [end for each in bounds if each is not None for end in (each.low, each.high)]
    stated = [value for each in scores.aggregates for value in (*each.measures.values(), *each.ceilings.values())]
    return ends + [np.nan if value is None else value for value in stated]


@pytest.mark.parametrize("name", RANKS)
def test_sums_of_many_settings_give_the_same_means_and_intervals(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks, other = RANKS[name], OTHERS[name]
    few, tested = score(ranks, request_of(ranks)), compare(differences(ranks, other), flips=99)
    monkeypatch.setattr(settings_module, "MOST_SETTINGS", 0)
    many, again = score(ranks, request_of(ranks)), compare(differences(ranks, other), flips=99)
    assert not sum_by_cluster(ranks, request_of(ranks)).settings.has_single_cells
    np.testing.assert_allclose(numbers(many), numbers(few), rtol=1e-12)
    assert [each.measures for each in many.settings] == [each.measures for each in few.settings]
    # Single settings are compared by the primary measure alone, all else as with few settings.
    kept = [line for line in tested.lines if line.family != "settings" or line.name == "AP"]
    assert len(kept) < len(tested.lines)
    for line, expected in zip(again.lines, kept, strict=True):
        assert line.model_dump(include=SAME) == expected.model_dump(include=SAME)
        assert (line.interval is None) == (expected.interval is None)
        if line.interval and expected.interval:
            assert line.interval.low == pytest.approx(expected.interval.low, rel=1e-12, abs=1e-12)
            assert line.interval.high == pytest.approx(expected.interval.high, rel=1e-12, abs=1e-12)


def test_data_is_told_apart_by_what_it_is(ranks: Ranks) -> None:
    sizes = np.arange(3)
    data = describe_data(ranks, sizes)
    assert describe_data(compacted(ranks), sizes) == data
    narrow = replace(ranks, row_grades=ranks.row_grades.astype(np.int8), row_queries=ranks.row_queries.astype(np.int64))
    assert describe_data(narrow, sizes.astype(np.int16)) == data
    # Other documents in the top of the lists give the relevant ones other numbers.
    moved = replace(
        ranks,
        document_ids=np.array(["-", *ranks.document_ids.tolist()]),
        document_languages=np.concatenate([[0], ranks.document_languages]).astype(np.int32),
        row_documents=ranks.row_documents + 1,
    )
    assert describe_data(moved, sizes) == data
    renamed = replace(ranks, document_ids=np.array([f"{each}0" for each in ranks.document_ids.tolist()]))
    changes = {
        "topics": replace(ranks, topic_ids=np.array([f"{each}0" for each in ranks.topic_ids.tolist()])),
        "clusters": replace(ranks, cluster_unit=np.array(["another"])),
        "relevant documents": renamed,
    }
    for aspect, changed in changes.items():
        found = describe_data(changed, sizes)
        assert {name for name in data if data[name] != found[name]} == {aspect}


def test_scores_of_topics_do_not_depend_on_how_many_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    rank = np.array([[random.permutation(40)[:6] + 1.0 for _ in range(6)] for _ in range(7)])
    rank[random.uniform(size=rank.shape) < 0.2] = np.nan
    unlisted = (rank > 30) & (np.arange(7) < 4)[:, None, None]
    pool = PoolRanks(rank, 40, unlisted)
    names = ("own_language_preference", "language_prior", "removal_gap", "rank_spread", "same_language_first")
    whole = [getattr(translations, name)(pool) for name in names]
    monkeypatch.setattr(translations, "_CELLS", 80)
    for name, expected in zip(names, whole, strict=True):
        np.testing.assert_array_equal(getattr(translations, name)(pool), expected)


def test_whether_queries_are_documents_does_not_depend_on_how_many_rows_are_looked_at_once(
    ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ranks.row_languages == ranks.query_languages[ranks.row_queries]
    without = replace(
        ranks,
        **{
            name: getattr(ranks, name)[~own] for name in ("row_queries", "row_documents", "row_grades", "ahead", "ties")
        },
    )
    expected = [ranks.queries_are_documents, without.queries_are_documents]
    monkeypatch.setattr(ranks_module, "_ROWS", 1)
    assert [replace(each).queries_are_documents for each in (ranks, without)] == expected


def test_settings_with_topics_in_the_same_clusters_share_a_draw() -> None:
    everywhere, partly = np.ones((6, 3)), np.ones((6, 4))
    partly[:4, 1:] = 0
    once = resample(everywhere, resamples=50, seed=1)
    assert resample(2 * everywhere[:, :1], resamples=50, seed=1) is once
    found = resample(partly, resamples=50, seed=1)
    assert found.weights is not None
    assert found.redraws > 0
    assert (found.weights[:, 4:].sum(axis=1) > 0).all()
