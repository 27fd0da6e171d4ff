"""What two sides must share to be compared, and why they are refused where they do not."""

import pytest
from unit.compare.cases import COLLECTION, filtered, measured, skilled
from unit.statistics.cases import ListRanker, make_collection, random_orders, ranks_of

from mlbench.collection.languages import settings_of
from mlbench.collection.records import Collection
from mlbench.compare.compare import differences_of_pair
from mlbench.compare.gate import Gate
from mlbench.compare.judge import lines_of
from mlbench.compare.pairing import ResultWithRanks, pair_up
from mlbench.errors import UserError
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks
from mlbench.statistics.differences import Differences
from mlbench.statistics.paired_tests import compare

BASE = measured(skilled(), spec="base")
OTHER_DATA = make_collection(seed=9, topics=12)
FEWER = COLLECTION.restrict(("ar", "de", "en"))
ORDERS = random_orders(COLLECTION, 1, skill=1)


def in_fewer(collection: Collection = FEWER) -> Ranks:
    return ranks_of(collection, filtered(ORDERS, collection))


def test_two_on_the_same_data_are_paired_as_they_are() -> None:
    candidates = [measured(skilled(seed=seed), spec=f"seed{seed}") for seed in (1, 2)]
    pair = pair_up([BASE], candidates)
    assert (pair.base, pair.candidate) == ((BASE,), tuple(candidates))
    assert pair.ranks_of(BASE) is BASE.ranks
    assert pair.settings == settings_of(COLLECTION.languages)
    assert (pair.languages, pair.shared_only, pair.bias_scores) == (
        COLLECTION.languages,
        False,
        BASE.result.task.bias_scores,
    )
    assert vars(pair_up([BASE], candidates, shared_languages=True)) == vars(pair)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "2"}, "they are of versions 1 and 2 of the task"),
        ({"limit": 5}, "their limits are none and 5"),
        ({"primary_measure": "RR"}, "their primary measures are AP and RR"),
        ({"fingerprint": "0"}, "their data differs$"),
        ({"fingerprints": {**COLLECTION.fingerprints(), "de": "0"}}, "their data differs in de$"),
        ({"fingerprints": {}}, "their data differs in ar, de, en, th$"),
        ({"parallel": False}, "one has parallel topics, the other not"),
        ({"settings": settings_of(COLLECTION.languages, ["monolingual"])}, "they have different settings"),
    ],
)
def test_what_differs_is_refused_with_the_reason(changes: dict, reason: str) -> None:
    other = measured(skilled(seed=1), spec="other", **changes)
    for sides in (([BASE], [other]), ([BASE, other], [BASE])):
        with pytest.raises(UserError, match=reason) as raised:
            pair_up(*sides)
        assert str(raised.value).startswith("small: small.base.json and small.other.json cannot be compared: ")
        assert "\n" not in str(raised.value)


def test_other_data_in_the_same_languages_is_refused() -> None:
    other = measured(skilled(OTHER_DATA), OTHER_DATA)
    with pytest.raises(UserError, match="their data differs in ar, de, en, th"):
        pair_up([BASE], [other])


def test_other_languages_are_refused_unless_the_shared_ones_are_asked_for() -> None:
    partial = measured(in_fewer(), FEWER, partial=True)
    with pytest.raises(UserError, match="their languages are ar, de, en, th and ar, de, en; --shared-languages"):
        pair_up([BASE], [partial])
    for sides in (([BASE], [partial]), ([partial], [BASE])):
        pair = pair_up(*sides, shared_languages=True)
        assert (pair.languages, pair.shared_only) == (FEWER.languages, True)
        assert pair.settings == settings_of(FEWER.languages)
        assert [pair.ranks_of(one).languages.tolist() for one in (*pair.base, *pair.candidate)] == [
            ["ar", "de", "en"]
        ] * 2


def test_shared_languages_must_hold_the_same_data() -> None:
    data = FEWER.fingerprints()
    partial = measured(in_fewer(), FEWER, fingerprints={**data, "en": "0"})
    with pytest.raises(UserError, match=r"their data differs in en$"):
        pair_up([BASE], [partial], shared_languages=True)
    # What differs in a language that only one has does not matter.
    changed = measured(skilled(), fingerprints={**COLLECTION.fingerprints(), "th": "0"})
    assert pair_up([changed], [measured(in_fewer(), FEWER)], shared_languages=True).languages == FEWER.languages


def test_without_a_shared_language_there_is_nothing_to_compare() -> None:
    one, other = (COLLECTION.restrict(tags) for tags in (("ar", "de"), ("en", "th")))
    with pytest.raises(UserError, match="they share no language"):
        pair_up([measured(in_fewer(one), one)], [measured(in_fewer(other), other)], shared_languages=True)


def test_one_shared_language_leaves_monolingual_settings() -> None:
    one, other = (COLLECTION.restrict(tags) for tags in (("ar", "de"), ("de", "th")))
    pair = pair_up([measured(in_fewer(one), one)], [measured(in_fewer(other), other)], shared_languages=True)
    assert pair.settings == settings_of(("de",))


def test_pools_that_a_ranker_did_not_rank_are_left_out() -> None:
    arrays = index_collection(COLLECTION)
    lists = rank_lists(arrays, ListRanker(COLLECTION, ORDERS), settings_of(COLLECTION.languages), 20, Silence())
    ranker = measured(to_ranks(arrays, lists))
    assert pair_up([BASE], [ranker]).settings == settings_of(COLLECTION.languages)
    for sides in (([ranker], [measured(in_fewer(), FEWER)]), ([measured(in_fewer(), FEWER)], [ranker])):
        pair = pair_up(*sides, shared_languages=True)
        assert pair.settings == settings_of(FEWER.languages, ["monolingual", "cross_lingual"])


def test_bias_scores_are_those_that_both_have() -> None:
    pair = pair_up([BASE], [measured(skilled(), bias_scores=("max_rank", "rank_distance"))])
    assert pair.bias_scores == ("rank_distance", "max_rank")


def test_scores_of_ranks_are_compared_between_lists_of_one_depth() -> None:
    def ranker(longest: int | None) -> ResultWithRanks:
        arrays = index_collection(COLLECTION)
        lists = ListRanker(COLLECTION, ORDERS, longest)
        return measured(to_ranks(arrays, rank_lists(arrays, lists, settings_of(COLLECTION.languages), 99, Silence())))

    def differences(*sides: list[ResultWithRanks]) -> Differences:
        return differences_of_pair(pair_up(*sides), resamples=2, seed=0, confidence=0.95)

    whole, every = ranker(None), BASE.result.task.bias_scores
    found = differences([BASE], [whole])
    assert {each.subject.name for each in found.each if each.subject.kind is None} == set(every)
    assert not found.untested
    # Lists of 9 and of 40 of some 50 documents: what is missing of both, and of one.
    for sides in (([BASE], [ranker(9)]), ([ranker(9)], [ranker(9)]), ([whole], [whole, ranker(9)])):
        found = differences(*sides)
        assert not [each for each in found.each if each.subject.kind is None]
        assert set(found.untested) == set(every)
        assert all(reason.endswith("at most 10% may be missing") for reason in found.untested.values())
        with pytest.raises(UserError, match=r"has not: rank_distance \(lists leave out \d\d\.\d% of"):
            lines_of(Gate(ceiling={"rank_distance": 1}), found, "small")
        assert compare(found, flips=21).untested == dict(found.untested)
    deep = sum(map(len, COLLECTION.documents.values())) - 14
    assert not differences([ranker(deep)], [ranker(deep)]).untested
    found = differences([ranker(deep)], [ranker(deep - 1)])
    assert set(found.untested) == set(every)
    assert all(reason.startswith("lists are not equally long, and") for reason in found.untested.values())
