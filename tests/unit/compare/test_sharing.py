"""Counts of fewer languages against a run with these languages alone."""

from dataclasses import fields
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from unit.compare.cases import BIAS_SCORES, MEASURES, filtered
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import LANGUAGES, ListRanker, make_collection, random_orders, ranks_of

from mlbench.collection.languages import settings_of
from mlbench.collection.records import Collection
from mlbench.compare.pairing import restrict
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks, can_answer
from mlbench.ranking.ranks_file import read_ranks, write_ranks
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.score import score

COLLECTIONS = {
    "parallel": make_collection(seed=0),
    "sparse": make_collection(seed=1, sparse=True),
    "several": make_collection(seed=2, sparse=True, several=True),
    "not parallel": make_collection(seed=3, parallel=False, several=True),
}
ORDERS = {name: random_orders(each, 0, skill=1) for name, each in COLLECTIONS.items()}
RANKS = {name: ranks_of(each, ORDERS[name]) for name, each in COLLECTIONS.items()}
SOME = [tags for size in range(1, len(LANGUAGES) + 1) for tags in combinations(LANGUAGES, size)]


def scored(ranks: Ranks, collection: Collection, languages: tuple[str, ...]):
    return score(ranks, ScoreRequest(settings_of(languages), MEASURES, "AP", BIAS_SCORES, collection.parallel, 20))


@pytest.mark.parametrize("languages", SOME, ids="-".join)
@pytest.mark.parametrize("name", COLLECTIONS)
def test_counts_are_those_of_a_run_with_fewer_languages(name: str, languages: tuple[str, ...]) -> None:
    smaller = COLLECTIONS[name].restrict(languages)
    direct, restricted = ranks_of(smaller, filtered(ORDERS[name], smaller)), restrict(RANKS[name], languages)
    for field in fields(Ranks):
        if field.name not in ("document_ids", "document_languages", "row_documents", "top"):
            one, other = getattr(direct, field.name), getattr(restricted, field.name)
            np.testing.assert_array_equal(one, other, field.name)
            assert one is other is None or one.dtype.kind == other.dtype.kind
    for field in ("document_ids", "document_languages"):
        one, other = (getattr(ranks, field)[ranks.row_documents] for ranks in (direct, restricted))
        np.testing.assert_array_equal(one, other)
    assert scored(direct, smaller, languages) == scored(restricted, smaller, languages)


@pytest.mark.parametrize("languages", SOME, ids="-".join)
@pytest.mark.parametrize("name", COLLECTIONS)
def test_compact_counts_are_restricted_alike(name: str, languages: tuple[str, ...]) -> None:
    pools = [("ar", "de"), ("de", "th"), LANGUAGES]
    compact = restrict(compact_of(RANKS[name], pools), languages)
    kept = [pool for pool in pools if set(pool) <= set(languages)]
    expected = compact_of(restrict(RANKS[name], languages), kept)
    for field in fields(Ranks):
        np.testing.assert_array_equal(getattr(compact, field.name), getattr(expected, field.name), field.name)
    assert compact.is_compact == (len(languages) > 1)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_restricted_counts_are_a_sound_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "some.npz").write_bytes(write_ranks(restrict(RANKS[name], ("de", "th"))))
    assert read_ranks(tmp_path / "some.npz").languages.tolist() == ["de", "th"]


def test_all_languages_leave_the_counts_as_they_are() -> None:
    ranks = RANKS["several"]
    assert scored(restrict(ranks, LANGUAGES), COLLECTIONS["several"], LANGUAGES) == scored(
        ranks, COLLECTIONS["several"], LANGUAGES
    )


def test_the_pool_of_a_ranker_is_not_that_of_fewer_languages() -> None:
    collection, orders = COLLECTIONS["several"], ORDERS["several"]
    arrays = index_collection(collection)
    table = rank_lists(arrays, ListRanker(collection, orders, 9), settings_of(LANGUAGES), 20, Silence())
    restricted = restrict(to_ranks(arrays, table), ("ar", "de"))
    assert restricted.columns.tolist() == ["ar", "de"]
    assert can_answer(restricted, ["ar"])
    assert not can_answer(restricted, ["ar", "de"])
    settings = settings_of(("ar", "de"), ["monolingual", "cross_lingual"])
    request = ScoreRequest(settings, MEASURES, "AP", (), True, 20)
    smaller = collection.restrict(("ar", "de"))
    arrays = index_collection(smaller)
    ranker = ListRanker(smaller, filtered(orders, smaller), 9)
    direct = to_ranks(arrays, rank_lists(arrays, ranker, settings, 20, Silence()))
    assert score(restricted, request).settings == score(direct, request).settings
