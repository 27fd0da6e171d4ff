"""Each bias score against a loop, against what chance gives, and against what a perfect retriever gives."""

from math import isfinite

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.measures import naive

from mlbench.measures.bias import BIAS_SCORES, BiasScore, summarise, topicwise
from mlbench.measures.translations import PoolRanks, complete_at

TAGS = ("ar", "de", "en", "th", "zh")


def to_pool(topics: list[naive.Topic], size: int, tags: tuple[str, ...] = TAGS) -> PoolRanks:
    """Return the ranks as an array, without the topics that have documents in fewer than two languages."""
    rank = np.full((len(topics), len(tags), len(tags)), np.nan)
    unlisted = np.zeros(rank.shape, dtype=bool)
    for row, topic in enumerate(topics):
        if len(naive.documents_of(topic)) >= 2:
            for a, ranks in topic.items():
                for c, value in ranks.items():
                    cell = row, tags.index(a), tags.index(c)
                    rank[cell], unlisted[cell] = value, isinstance(value, naive.Unlisted)
    return PoolRanks(rank, size, unlisted if unlisted.any() else None)


# Those of all relevant documents, and of the top of lists, have tests of their own.
OTHERS = {"list_agreement", "PEER", "PEER@20", "AWRF", "own_language_exposure", "language_exposure"}


def scores_of_pools() -> dict[str, BiasScore]:
    return {name: score for name, score in topicwise() if name not in OTHERS}


def values_of(pool: PoolRanks) -> dict[str, float | None]:
    scores = scores_of_pools().items()
    return {name: summarise(score, score.contributions(pool))[0] for name, score in scores if score.contributions}


def references_of(pool: PoolRanks) -> dict[tuple[str, str], float | None]:
    scores = scores_of_pools().items()
    # What stands beside a score, and does not follow from the ranks of translations, is tested with the lists.
    return {
        (name, key): value
        for name, score in scores
        for key, value in score.references(pool).items()
        if "relevant" not in key
    }


def assert_close(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        same = (
            found[name] is None
            if expected[name] is None
            else found[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-12)
        )
        assert same, (name, found[name], expected[name])


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[naive.Topic], int]:
    size = draw(st.integers(6, 60))
    topics = []
    for _ in range(draw(st.integers(0, 6))):
        asked = draw(st.sets(st.sampled_from(TAGS), min_size=1))
        found = sorted(draw(st.sets(st.sampled_from(TAGS), min_size=1)))
        places = st.lists(st.integers(1, size), min_size=len(found), max_size=len(found), unique=True)
        topic = {}
        for a in sorted(asked):
            cut = draw(st.sampled_from([size, size, size // 2, 0]))
            topic[a] = naive.spread(dict(zip(found, draw(places), strict=True)), cut, size)
        topics.append(topic)
    return topics, size


@given(pools())
def test_scores_equal_loops(drawn: tuple[list[naive.Topic], int]) -> None:
    topics, size = drawn
    pool = to_pool(topics, size)
    assert_close(values_of(pool), naive.all_scores(topics, size))
    references = references_of(pool)
    del references["language_prior", "chance"]
    assert_close(references, naive.all_references(topics, size))


@given(pools())
def test_rows_equal_loops(drawn: tuple[list[naive.Topic], int]) -> None:
    topics, size = drawn
    pool = to_pool(topics, size)
    kept = [topic for topic in topics if len(naive.documents_of(topic)) >= 2]
    expected = {
        "rank_distance": naive.rank_distance(kept),
        "max_rank_norm": naive.max_rank_norm(kept, size),
        "complete@m": naive.complete(kept, None),
        "language_prior": naive.language_prior(kept),
        "same_language_first": naive.same_language_first(kept),
        "removal_gap": naive.removal_gap(kept),
    }
    for name, rows in expected.items():
        score = BIAS_SCORES[name]
        assert score.contributions
        found = dict(zip(TAGS, summarise(score, score.contributions(pool))[1], strict=True))
        assert {tag for tag, value in found.items() if isfinite(value)} == set(rows), name
        for tag, values in rows.items():
            assert found[tag] == pytest.approx(np.mean(values), rel=1e-12, abs=1e-12), name


def test_queries_in_one_language_say_nothing_about_a_preference() -> None:
    """Without the query in c, the quality of c's documents does not cancel."""
    topic = {"en": {"en": 1, "de": 2, "th": 3}}
    assert values_of(to_pool([topic], 40))["own_language_preference"] is None
    both = {"en": {"en": 1, "de": 2, "th": 3}, "de": {"en": 1, "de": 2, "th": 3}}
    assert values_of(to_pool([both], 40))["own_language_preference"] == 0.5


@pytest.mark.parametrize(("cutoff", "expected"), [(2, np.nan), (3, 0.0), (4, 1.0), (None, 0.0)])
def test_a_cutoff_must_have_room_for_all_translations(cutoff: int | None, expected: float) -> None:
    pool = to_pool([{"en": {"de": 1, "en": 4, "th": 2}}], 40)
    assert complete_at(cutoff)(pool)[0, TAGS.index("en")] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("depth", [0, 10])
def test_finding_nothing_is_as_far_apart_as_chance(depth: int) -> None:
    topic = {a: naive.spread(dict.fromkeys(TAGS, np.inf), depth, 1000) for a in TAGS}
    pool = to_pool([topic], 1000)
    values, references = values_of(pool), references_of(pool)
    assert pool.unlisted_share == 1
    for name in ("rank_distance", "rank_distance_median", "max_rank"):
        floor = references["rank_distance", "chance"] if "distance" in name else references[name, "chance"]
        assert values[name] >= floor * (1 - depth / 1000) * (1 - 1e-12), name
    assert values["own_language_preference"] == 0.5
    assert values["same_language_first"] == pytest.approx(1 / 5)
    assert values["language_prior"] == values["removal_gap"] == 0
    assert values["complete@20"] == values["complete@100"] == 0
    assert values["max_rank_norm"] < 4
    assert values["rank_spread"] > 0.5


def test_the_order_of_languages_says_nothing_about_documents_that_nobody_found() -> None:
    """Names of languages turned around, the scores stay: no unlisted document is known to stand before another."""
    random = np.random.RandomState(4)
    topics = [
        {a: naive.spread(dict(zip(TAGS, (random.permutation(60)[:5] + 1).tolist(), strict=True)), 20, 60) for a in TAGS}
        for _ in range(12)
    ]
    turned = dict(zip(TAGS, TAGS[::-1], strict=True))
    other = [{turned[a]: {turned[c]: rank for c, rank in row.items()} for a, row in topic.items()} for topic in topics]
    respread = [
        {
            a: naive.spread({c: np.inf if isinstance(r, naive.Unlisted) else r for c, r in row.items()}, 20, 60)
            for a, row in topic.items()
        }
        for topic in other
    ]
    assert_close(values_of(to_pool(respread, 60)), values_of(to_pool(topics, 60)))


def random_topics(count: int, size: int, languages: tuple[str, ...], seed: int) -> list[naive.Topic]:
    random = np.random.RandomState(seed)
    return [
        {
            a: dict(zip(languages, (random.permutation(size)[: len(languages)] + 1).tolist(), strict=True))
            for a in languages
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize(("languages", "size"), [(TAGS, 100), (TAGS[:2], 50), (TAGS[:3], 400)])
def test_a_random_order_gives_the_chance_values(languages: tuple[str, ...], size: int) -> None:
    pool = to_pool(random_topics(1500, size, languages, 1), size)
    m = len(languages)
    chance = {name: value for (name, key), value in references_of(pool).items() if key == "chance"}
    assert chance["rank_distance"] == pytest.approx((size + 1) * (m - 1) / (m + 1))
    assert chance["same_language_first"] == pytest.approx(1 / m)
    values = values_of(pool)
    assert abs(values.pop("rank_distance_median") - chance["rank_distance_median"]) < 0.06 * size
    if m == 2:
        assert values["language_prior"] is chance["language_prior"] is None
    # Other tests are about the range over languages, which is no mean.
    del values["language_prior"]
    for name, value in values.items():
        contributions = BIAS_SCORES[name].contributions(pool)
        topics = contributions if contributions.ndim == 1 else contributions[np.isfinite(contributions)]
        error = np.nanstd(topics) / np.sqrt(min(len(topics), len(contributions)))
        slack = 5 / (len(contributions) * m) if name.startswith("complete") else 0
        assert abs(value - chance[name]) < 4 * error + slack + 1e-9, name
    assert values["same_language_first"] == pytest.approx(
        references_of(pool)["same_language_first", "other_languages"], abs=0.05
    )


@pytest.mark.parametrize(("languages", "count", "gap"), [(TAGS, 40, False), (TAGS, 12, True), (TAGS[:3], 30, False)])
def test_the_range_over_languages_is_above_zero_by_chance(languages: tuple[str, ...], count: int, gap: bool) -> None:
    """The simulated chance level is the mean of real random orders, with documents missing here and there."""
    found, pools = [], []
    for seed in range(300):
        topics = random_topics(count, 200, languages, seed)
        for place, topic in enumerate(topics if gap else []):
            for row in topic.values():
                del row[languages[place % (len(languages) - 1)]]
        pools.append(to_pool(topics, 200))
        found.append(values_of(pools[-1])["language_prior"])
    chance = references_of(pools[0])["language_prior", "chance"]
    assert chance > 0.02
    assert np.mean(found) == pytest.approx(chance, abs=4 * np.std(found) / np.sqrt(len(found)) + 0.01 * chance)


def test_a_perfect_retriever_gives_the_floors() -> None:
    random = np.random.RandomState(0)
    topics = [
        {a: dict(zip(TAGS, (random.permutation(5) + 1).tolist(), strict=True)) for a in TAGS} for _ in range(2000)
    ]
    pool = to_pool(topics, 1000)
    values = values_of(pool)
    assert values["rank_distance"] == values["rank_distance_median"] == 4
    assert values["rank_distance"] == references_of(pool)["rank_distance", "ideal"]
    assert values["max_rank"] == 5
    assert values["max_rank_norm"] == pytest.approx(100)
    assert values["complete@m"] == values["complete@20"] == values["complete@100"] == 1
    assert values["own_language_preference"] == pytest.approx(0.5, abs=0.02)


def test_total_preference_for_the_own_language() -> None:
    topics = [{a: {c: 1 if a == c else 10 + TAGS.index(c) for c in TAGS} for a in TAGS}] * 3
    pool = to_pool(topics, 1000)
    values, references = values_of(pool), references_of(pool)
    assert values["own_language_preference"] == values["same_language_first"] == 1
    assert references["same_language_first", "other_languages"] == 0
    assert values["removal_gap"] > 0.1
    assert values["rank_spread"] > 1


def test_no_topics_give_no_scores() -> None:
    pool = PoolRanks(np.full((3, 2, 2), np.nan), 10)
    assert set(values_of(pool).values()) == {None}
    assert set(references_of(pool).values()) == {None}
    assert set(values_of(PoolRanks(np.full((0, 2, 2), np.nan), 9)).values()) == {None}


def test_every_score_says_what_it_is() -> None:
    for name, score in BIAS_SCORES.items():
        assert score.summary.endswith("."), name
        assert score.formula, name
        assert score.source, name
    compared = set(naive.all_scores([], 10))
    assert compared == set(scores_of_pools())
