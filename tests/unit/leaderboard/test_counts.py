"""Counts that follow from an order of documents, and counts that do not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import ListRanker, make_collection, random_orders, ranks_of

from mlbench.collection.languages import Kind, Setting, settings_of
from mlbench.collection.records import Collection
from mlbench.leaderboard.check_ranks import counts_fault
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import MISSING, UNKNOWN, UNLISTED, Ranks

COLLECTION = make_collection(seed=3, several=True)
SETTINGS = settings_of(COLLECTION.languages)
KINDS: tuple[Kind, ...] = ("monolingual", "cross_lingual", "multilingual")


def listed(collection: Collection, seed: int, longest: int | None, kinds: tuple[Kind, ...] = KINDS) -> Ranks:
    """Return the ranks of a ranker with random lists."""
    ranker = ListRanker(collection, random_orders(collection, seed, skill=2), longest)
    arrays = index_collection(collection)
    settings = settings_of(collection.languages, kinds)
    return to_ranks(arrays, rank_lists(arrays, ranker, settings, 20, Silence()))


ENCODER = ranks_of(COLLECTION, random_orders(COLLECTION, seed=1, skill=2))
RANKER = listed(COLLECTION, seed=1, longest=9)
# Of these rows, the documents are in the corpus.
PRESENT = np.flatnonzero((ENCODER.ahead != MISSING).all(axis=1))


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**16),
    shape=st.sampled_from(
        [{}, {"sparse": True}, {"several": True}, {"parallel": False}, {"documents": 3, "topics": 2}]
    ),
)
def test_the_counts_of_any_order_are_possible(seed: int, shape: dict[str, int]) -> None:
    collection = make_collection(seed, **shape)  # type: ignore[arg-type]
    ranks = ranks_of(collection, random_orders(collection, seed))
    assert counts_fault(ranks, "encoder", settings_of(collection.languages)) == ""
    pools = [collection.languages, collection.languages[:2], collection.languages[1:]]
    asked = [*settings_of(collection.languages), *(Setting("ar", pool) for pool in pools)]
    assert counts_fault(compact_of(ranks, sorted(pools, key=len)), "encoder", asked) == ""
    # The pool of all is ranked for the top, though no setting asks for it.
    assert counts_fault(compact_of(ranks), "encoder", settings_of(collection.languages, KINDS[:2])) == ""


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**16),
    longest=st.sampled_from([None, 0, 1, 7]),
    kinds=st.sampled_from([KINDS, KINDS[:1], KINDS[1:]]),
    several=st.booleans(),
)
def test_the_counts_of_any_lists_are_possible(
    seed: int, longest: int | None, kinds: tuple[Kind, ...], several: bool
) -> None:
    collection = make_collection(seed, several=several)
    ranks = listed(collection, seed, longest, kinds)
    assert counts_fault(ranks, "ranker", settings_of(collection.languages, kinds)) == ""
    assert counts_fault(compact_of(ranks), "ranker", settings_of(collection.languages, kinds)) == ""


def changed(ranks: Ranks, name: str, change: Callable[[np.ndarray], object]) -> Ranks:
    array = getattr(ranks, name).copy()
    new = change(array)
    return replace(ranks, **{name: array if new is None else new})


def in_top(ranks: Ranks) -> tuple[int, int]:
    """Return query and place of a document in a top that is not relevant, behind one that is."""
    for row in PRESENT:
        query = ranks.row_queries[row]
        place = ranks.ahead[row].sum()
        relevant = ranks.row_documents[ranks.row_queries == query]
        if 0 < place < 20 and ranks.top[query, place - 1] not in relevant:
            return int(query), int(place - 1)
    raise AssertionError("no such document")


def other_language(top: np.ndarray) -> None:
    query, place = in_top(ENCODER)
    was = ENCODER.document_languages[top[query, place]]
    free = np.setdiff1d(np.flatnonzero(ENCODER.document_languages != was), top[query])
    relevant = ENCODER.row_documents[ENCODER.row_queries == query]
    top[query, place] = np.setdiff1d(free, relevant)[0]


def exchange(top: np.ndarray) -> None:
    row = next(row for row in PRESENT if ENCODER.ahead[row].sum() < 19)
    query, place = ENCODER.row_queries[row], ENCODER.ahead[row].sum()
    top[query, [place, place + 1]] = top[query, [place + 1, place]]


def further_document(ranks: Ranks) -> Ranks:
    return replace(
        ranks,
        document_ids=np.append(ranks.document_ids, "000000000000-nowhere"),
        document_languages=np.append(ranks.document_languages, np.int32(0)),
    )


def set_at(index: object, value: int) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        assert (array[index] != value).any() if isinstance(index, np.ndarray) else array[index] != value
        array[index] = value

    return change


def add_at(row: int, column: int, value: int) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        array[row, column] += value

    return change


FAR = int(PRESENT[np.argmax(ENCODER.ahead[PRESENT].sum(axis=1))])
ENCODER_FAULTS = {
    "columns of another order": (
        changed(ENCODER, "columns", lambda columns: columns[::-1].copy()),
        "columns are not the task's languages",
    ),
    "a shorter list": (changed(ENCODER, "listed", add_at(0, 0, -1)), "listed is not the number of documents"),
    "a count left out": (changed(ENCODER, "ahead", set_at((int(PRESENT[0]), 0), UNKNOWN)), "ahead leaves out"),
    "ties that are not known": (changed(ENCODER, "ties", set_at((0, 0), UNKNOWN)), "ties leaves out"),
    "a document not listed": (changed(ENCODER, "ahead", set_at((FAR, 1), UNLISTED)), "ahead leaves out"),
    "none ahead of the last": (changed(ENCODER, "ahead", set_at((FAR, 2), 0)), "no order of documents"),
    "a document that stands nowhere": (further_document(ENCODER), "documents that stand nowhere"),
    "a document twice in the top": (changed(ENCODER, "top", lambda top: set_at((0, 1), top[0, 0])(top)), "twice"),
    "a shorter top": (changed(ENCODER, "top", set_at((0, 19), -1)), "longer or shorter"),
    "a hole in the top": (changed(ENCODER, "top", set_at((0, 3), -1)), "longer or shorter"),
    "neighbours exchanged": (changed(ENCODER, "top", exchange), "elsewhere than its counts"),
    "another language ahead": (changed(ENCODER, "top", other_language), "other languages ahead"),
    "ids in another order": (
        changed(ENCODER, "document_ids", lambda ids: ids[np.r_[1, 0, 2 : len(ids)]]),
        "not in the order of ids",
    ),
}


@pytest.mark.parametrize(("ranks", "said"), ENCODER_FAULTS.values(), ids=ENCODER_FAULTS)
def test_impossible_counts_of_an_encoder(ranks: Ranks, said: str) -> None:
    assert said in counts_fault(ranks, "encoder", SETTINGS)


@pytest.mark.slow
def test_any_single_count_of_a_relevant_document_hangs_on_the_others() -> None:
    caught = 0
    for row in PRESENT:
        for column in range(len(COLLECTION.languages)):
            ranks = changed(ENCODER, "ahead", add_at(int(row), column, 1))
            caught += counts_fault(ranks, "encoder", SETTINGS) != ""
    assert caught > 0.5 * PRESENT.size * len(COLLECTION.languages)


def asked_row(known: bool) -> tuple[int, int]:
    """Return row and column of a count that a setting asks for, or that none does."""
    found = (RANKER.ahead >= 0) if known else (RANKER.ahead == UNKNOWN)
    return tuple(np.argwhere(found)[0].tolist())  # type: ignore[return-value]


WHOLE = listed(COLLECTION, seed=1, longest=None)
RANKER_FAULTS = {
    "an encoder's columns": (ENCODER, "columns are not the pools"),
    "a list of nobody's": (changed(RANKER, "listed", set_at((0, 0), UNKNOWN)), "how long a list was"),
    "a list longer than its pool": (changed(RANKER, "listed", set_at((0, 0), 2**20)), "how long a list was"),
    "a count of nobody's": (changed(RANKER, "ahead", set_at(asked_row(known=False), 0)), "where a document stands"),
    "a count not given": (changed(RANKER, "ahead", set_at(asked_row(known=True), UNKNOWN)), "where a document stands"),
    "behind the end": (changed(RANKER, "ahead", set_at(asked_row(known=True), 9)), "behind the end"),
    "missing from a whole list": (
        changed(WHOLE, "ahead", set_at(asked_row(known=True), UNLISTED)),
        "lacks a relevant one",
    ),
    "ties of what is not listed": (changed(RANKER, "ties", set_at(asked_row(known=False), 1)), "more documents tie"),
    "ties with a whole list": (changed(RANKER, "ties", set_at(asked_row(known=True), 9)), "more documents tie"),
    "a shorter top": (changed(RANKER, "top", set_at((0, 8), -1)), "longer or shorter"),
}


@pytest.mark.parametrize(("ranks", "said"), RANKER_FAULTS.values(), ids=RANKER_FAULTS)
def test_impossible_counts_of_a_ranker(ranks: Ranks, said: str) -> None:
    assert said in counts_fault(ranks, "ranker", SETTINGS)


def test_a_top_that_nobody_asked_for() -> None:
    ranks = listed(COLLECTION, seed=1, longest=9, kinds=("monolingual",))
    asked = settings_of(COLLECTION.languages, ("monolingual",))
    assert counts_fault(ranks, "ranker", asked) == ""
    told = changed(ranks, "top", lambda top: set_at((0, 0), 0)(top))
    assert "not asked for" in counts_fault(told, "ranker", asked)


COMPACT = compact_of(ENCODER, [COLLECTION.languages])
LISTS = compact_of(RANKER)
POOL_OF_FAR = int(np.argmax(COMPACT.ahead[:, 1]))
IN_POOL = int(COMPACT.ahead[POOL_OF_FAR, 1])
COMPACT_FAULTS = {
    "a column less": (replace(COMPACT, columns=COMPACT.columns[:-1]), "columns are not the task's languages"),
    "a shorter list": (changed(COMPACT, "listed", add_at(0, 4, -1)), "listed is not the number of documents"),
    "a count left out": (changed(COMPACT, "ahead", set_at((POOL_OF_FAR, 0), UNKNOWN)), "ahead leaves out"),
    "a pool left out": (changed(COMPACT, "ahead", set_at((POOL_OF_FAR, 1), UNLISTED)), "ahead leaves out"),
    "ties that are not known": (changed(COMPACT, "ties", set_at((0, 1), UNKNOWN)), "ties leaves out"),
    "fewer in the pool than in the language": (
        changed(COMPACT, "ahead", set_at((POOL_OF_FAR, 0), IN_POOL + 1)),
        "no order of documents",
    ),
    "all others of the pool and none of the language": (
        changed(COMPACT, "ahead", set_at((POOL_OF_FAR, 0), 0)),
        "no order of documents",
    ),
    "another language ahead": (changed(COMPACT, "top", other_language), "other languages ahead"),
    "neighbours exchanged": (changed(COMPACT, "top", exchange), "elsewhere than its counts"),
    "a hole in the top": (changed(COMPACT, "top", set_at((0, 3), -1)), "longer or shorter"),
}


@pytest.mark.parametrize(("ranks", "said"), COMPACT_FAULTS.values(), ids=COMPACT_FAULTS)
def test_impossible_counts_of_an_encoder_that_kept_what_was_asked(ranks: Ranks, said: str) -> None:
    assert counts_fault(COMPACT, "encoder", SETTINGS) == ""
    assert said in counts_fault(ranks, "encoder", SETTINGS)


def test_an_impossible_top_of_an_encoder_whose_pool_nobody_asked_for() -> None:
    bare, asked = compact_of(ENCODER), settings_of(COLLECTION.languages, KINDS[:2])
    assert counts_fault(bare, "encoder", asked) == ""
    for place, document, said in ((3, -1, "longer or shorter"), (0, int(bare.top[0, 1]), "a document twice")):
        assert said in counts_fault(changed(bare, "top", set_at((0, place), document)), "encoder", asked)
    row = next(row for row in PRESENT if bare.ahead[row, 0] > 0 and ENCODER.ahead[row].sum() < 20)
    told = changed(bare, "ahead", set_at((row, 0), int(bare.ahead[row, 0]) - 1))
    assert "ahead" in counts_fault(told, "encoder", asked)


def test_any_single_count_in_language_or_pool_hangs_on_the_others() -> None:
    caught = 0
    for row in PRESENT[::4]:
        for place in (0, 1):
            ranks = changed(COMPACT, "ahead", add_at(int(row), place, 1))
            caught += counts_fault(ranks, "encoder", SETTINGS) != ""
    assert caught > 0.5 * 2 * len(PRESENT[::4])


def test_impossible_counts_of_a_ranker_in_its_pools() -> None:
    assert counts_fault(LISTS, "ranker", SETTINGS) == ""
    told = int(np.flatnonzero(LISTS.ahead[:, 1] >= 0)[0])
    for place in (0, 1):
        behind = changed(LISTS, "ahead", set_at((told, place), 9))
        assert "behind the end" in counts_fault(behind, "ranker", SETTINGS)
        nobodys = changed(LISTS, "ahead", set_at((told, place), UNKNOWN))
        assert "where a document stands" in counts_fault(nobodys, "ranker", SETTINGS)
    assert "more documents tie" in counts_fault(changed(LISTS, "ties", set_at((told, 1), 9)), "ranker", SETTINGS)
