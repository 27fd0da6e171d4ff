"""Exact lists cut at a length against a ranker whose lists end there; overlaps against sets."""

from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import LANGUAGES, Orders, ScoringRanker, make_collection, random_orders, ranks_of

from mlbench.collection.languages import TEXT_KINDS, Kind, settings_of
from mlbench.collection.records import Collection
from mlbench.compare.index_costs import cut_lists, overlaps
from mlbench.errors import InvalidResult, UserError
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import UNKNOWN, Ranks


def listed(collection: Collection, orders: Orders, longest: int | None, kinds: tuple[Kind, ...] = TEXT_KINDS) -> Ranks:
    arrays = index_collection(collection)
    settings = settings_of(collection.languages, kinds)
    return to_ranks(arrays, rank_lists(arrays, ScoringRanker(collection, orders, longest), settings, 20, Silence()))


@pytest.mark.parametrize(("seed", "longest"), list(product(range(3), [1, 5, 13, 30, 1000])))
@pytest.mark.parametrize("kinds", [TEXT_KINDS, ("multilingual",), ("monolingual",)])
def test_cut_lists_are_those_of_a_ranker_that_stops_there(seed: int, longest: int, kinds: tuple[Kind, ...]) -> None:
    collection = make_collection(seed, several=True, sparse=seed == 1)
    orders = random_orders(collection, seed, skill=2.0)
    wanted = listed(collection, orders, longest, kinds)
    found = cut_lists(ranks_of(collection, orders), wanted, dict.fromkeys(wanted.columns.tolist(), longest))
    assert found.columns.tolist() == wanted.columns.tolist()
    for name in ("column_sizes", "ahead", "listed", "row_queries", "row_grades"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    # The ranker cannot know of ties beyond the ends of its lists.
    known = wanted.ties != UNKNOWN
    assert (found.ties[known] == wanted.ties[known]).all()
    assert ((found.ties == UNKNOWN) <= (wanted.ahead < 0)).all()


@pytest.mark.parametrize("kinds", [TEXT_KINDS, ("multilingual",), ("monolingual", "multilingual")])
def test_compact_lists_are_cut_alike(kinds: tuple[Kind, ...]) -> None:
    collection = make_collection(3, several=True, sparse=True)
    orders = random_orders(collection, 3, skill=2.0)
    exact, wanted = ranks_of(collection, orders), listed(collection, orders, 9, kinds)
    lengths = dict.fromkeys(wanted.columns.tolist(), 9)
    expected = compact_of(cut_lists(exact, wanted, lengths))
    found = cut_lists(compact_of(exact, [LANGUAGES]), compact_of(wanted), lengths)
    for field in fields(Ranks):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name), field.name)
    with pytest.raises(UserError, match="run both with --pools asked"):
        cut_lists(exact, compact_of(wanted), lengths)


def test_each_pool_has_a_length_of_its_own() -> None:
    collection = make_collection(0)
    orders = random_orders(collection, 0)
    lengths = {name: 3 + place for place, name in enumerate(listed(collection, orders, None).columns.tolist())}
    found = cut_lists(ranks_of(collection, orders), listed(collection, orders, None), lengths)
    for column, (name, length) in enumerate(lengths.items()):
        wanted = listed(collection, orders, length)
        assert (found.ahead[:, column] == wanted.ahead[:, wanted.columns.tolist().index(name)]).all()


def test_other_queries_are_told() -> None:
    ranks = [
        listed(make_collection(0, topics=topics), random_orders(make_collection(0, topics=topics), 0), 5)
        for topics in (8, 9)
    ]
    with pytest.raises(InvalidResult, match="have other queries or relevant documents"):
        cut_lists(ranks[0], ranks[1], dict.fromkeys(ranks[1].columns.tolist(), 5))


@pytest.mark.parametrize("cutoff", [1, 10, 20])
@pytest.mark.parametrize("longest", [4, 15, None])
def test_overlaps_are_those_of_sets(cutoff: int, longest: int | None) -> None:
    collection = make_collection(2)
    one, other = random_orders(collection, 1, skill=3), random_orders(collection, 2, skill=3)
    shares = overlaps(ranks_of(collection, one), listed(collection, other, longest), cutoff)
    queries = [(language, query.topic_id) for language in LANGUAGES for query in collection.queries[language]]
    wanted = [len({*one[q][:cutoff]} & {*other[q][:cutoff][:longest]}) / cutoff for q in queries]
    assert shares.tolist() == pytest.approx(wanted)
    assert 0 < shares.mean() < 1


def test_without_the_pool_of_all_languages_there_is_no_overlap() -> None:
    collection = make_collection(0)
    orders = random_orders(collection, 0)
    exact, mono = ranks_of(collection, orders), listed(collection, orders, 5, ("monolingual",))
    assert np.isnan(overlaps(exact, mono, 10)).all()
    assert (overlaps(exact, listed(collection, orders, None), 10) == 1).all()
    empty = replace(exact, top=np.full_like(exact.top, -1))
    assert np.isnan(overlaps(empty, listed(collection, orders, None), 10)).all()
