"""Paired tests against scipy and loops, and how often they are wrong where there is nothing to find."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from unit.statistics.cases import make_collection, random_orders, ranks_of
from unit.statistics.test_differences import COLLECTIONS, RANKS, naive_values, request_of
from unit.statistics.test_resampling import naive_max_t

from mlbench.collection.languages import TEXT_KINDS, settings_of
from mlbench.errors import UserError
from mlbench.measures.bias import TESTED_BIAS_SCORES
from mlbench.ranking.ranks import Ranks
from mlbench.statistics.paired_tests import PairedTests, check_flips, compare_ranks

SIDES = (("two_sided", "two-sided"), ("greater", "greater"), ("less", "less"))


def compared(name: str, base: list[Ranks], candidate: list[Ranks], **options) -> PairedTests:
    return compare_ranks(base, candidate, request_of(name), **options)


@pytest.fixture(params=COLLECTIONS, name="name")
def each_collection(request: pytest.FixtureRequest) -> str:
    return request.param


def naive_columns(name: str, base: Ranks, candidate: Ranks, kind: str, languages: list[str]) -> np.ndarray:
    """Return u = sum over settings of d / (n S), topic by topic, one column for the settings of each query language."""
    columns = []
    for language in languages:
        settings = [s for s in settings_of(COLLECTIONS[name].languages, [kind]) if s.query_language == language]
        values = np.array([naive_values(candidate, s) - naive_values(base, s) for s in settings])
        values = values[~np.isnan(values).all(axis=1)]
        by_topic = np.nansum(values / (~np.isnan(values)).sum(axis=1, keepdims=True) / len(values), axis=0)
        columns.append(np.bincount(base.topic_clusters, weights=by_topic))
    return np.array(columns).T


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_p_values_of_rows_agree_with_scipy(name: str, kind: str) -> None:
    base, candidate = RANKS[name][0], RANKS[name][2]
    if name == "not parallel" and kind == "cross_lingual":
        return
    languages = list(COLLECTIONS[name].languages)
    tests = compared(name, [base], [candidate], flips=2**14 if name != "not parallel" else 20_000)
    tolerance = 1e-12 if tests.exact else 4 * np.sqrt(2 * 0.25 / 20_000)
    assert tests.exact == (name != "not parallel")
    columns = naive_columns(name, base, candidate, kind, languages)
    for language, column in zip(languages, columns.T, strict=True):
        line = tests.line("AP", kind, language)
        assert line.difference == pytest.approx(column.sum())
        for ours, theirs in SIDES:
            reference = stats.permutation_test(
                (column,),
                lambda x, axis: np.round(x.sum(axis=axis), 12),
                permutation_type="samples",
                n_resamples=np.inf if tests.exact else 20_000,
                alternative=theirs,
                vectorized=True,
                rng=np.random.RandomState(0),
            )
            assert getattr(line.raw, ours) == pytest.approx(reference.pvalue, abs=tolerance)


def test_rows_of_query_languages_are_one_family_adjusted_by_max_t() -> None:
    base, candidate = RANKS["sparse"][0], RANKS["sparse"][2]
    languages = list(COLLECTIONS["sparse"].languages)
    tests = compared("sparse", [base], [candidate])
    columns = np.hstack([naive_columns("sparse", base, candidate, kind, languages) for kind in TEXT_KINDS])
    expected = naive_max_t(columns, abs)
    found = [tests.line("AP", kind, language).adjusted.two_sided for kind in TEXT_KINDS for language in languages]
    assert found == pytest.approx(expected)
    assert len(set(found)) > 3


def test_what_is_tested_and_adjusted_together(name: str) -> None:
    tests = compared(name, RANKS[name][:1], RANKS[name][2:3], flips=200)
    tested = [line for line in tests.lines if line.raw is not None]
    assert {line.name for line in tested} == {"AP", *(TESTED_BIAS_SCORES if name != "not parallel" else ())}
    assert all(line.raw.two_sided <= line.adjusted.two_sided <= 1 for line in tested)
    assert all(line.raw is not None for line in tests.lines if line.name == "AP" and line.n_topics)
    sizes = {family: sum(line.family == family for line in tested) for family in ("aggregates", "settings")}
    assert sizes == ({"aggregates": 5, "settings": 20} if name != "not parallel" else {"aggregates": 2, "settings": 8})
    # Fewer settings leave the families of aggregates and of rows as they are.
    monolingual = replace(request_of(name), settings=settings_of(COLLECTIONS[name].languages, ["monolingual"]))
    fewer = compare_ranks(RANKS[name][:1], RANKS[name][2:3], monolingual, flips=200)
    one, other = (each.line("AP", "monolingual").raw for each in (tests, fewer))
    assert one == other


def test_a_setting_without_topics_is_null_and_changes_nothing() -> None:
    ranks = RANKS["not parallel"]
    tests = compared("not parallel", ranks[:1], ranks[2:3], flips=200)
    empty = tests.line("AP", "cross_lingual", "de", ["ar"])
    assert (empty.base, empty.candidate, empty.difference, empty.interval) == (None, None, None, None)
    assert (empty.raw, empty.adjusted, empty.n_topics, empty.n_clusters, empty.seed_pairs) == (None, None, 0, 0, ())
    known = replace(request_of("not parallel"), settings=settings_of(("ar", "de", "en", "th"), ["monolingual"]))
    alone = compare_ranks(ranks[:1], ranks[2:3], known, flips=200)
    assert alone.line("AP", "monolingual", "de") == tests.line("AP", "monolingual", "de").model_copy(
        update={"adjusted": alone.line("AP", "monolingual", "de").adjusted}
    )


def test_arms_may_be_swapped(name: str) -> None:
    one = compared(name, RANKS[name][:2], RANKS[name][2:])
    other = compared(name, RANKS[name][2:], RANKS[name][:2])
    for line, turned in zip(one.lines, other.lines, strict=True):
        if line.difference is not None:
            assert turned.difference == pytest.approx(-line.difference, abs=1e-12)
        if line.interval is not None:
            assert (turned.interval.low, turned.interval.high) == pytest.approx(
                (-line.interval.high, -line.interval.low)
            )
        for p, q in ((line.raw, turned.raw), (line.adjusted, turned.adjusted)):
            if p is not None:
                assert (p.two_sided, p.greater, p.less) == (q.two_sided, q.less, q.greater)


def test_clusters_may_come_in_any_order() -> None:
    order = np.array([3, 0, 5, 1, 4, 2], dtype=np.int32)
    renumbered = [replace(ranks, topic_clusters=order[ranks.topic_clusters]) for ranks in RANKS["sparse"]]
    one, other = (compared("sparse", ranks[:1], ranks[2:3]) for ranks in (RANKS["sparse"], renumbered))
    assert one.exact
    assert [(line.raw, line.adjusted) for line in one.lines] == [(line.raw, line.adjusted) for line in other.lines]


def test_a_system_does_not_differ_from_itself() -> None:
    tests = compared("parallel", RANKS["parallel"][:1], RANKS["parallel"][:1])
    for line in tests.lines:
        assert line.difference == 0
        assert line.interval is None or (line.interval.low, line.interval.high) == (0, 0)
        assert line.adjusted is None or set(line.adjusted.model_dump().values()) == {1.0}


@pytest.mark.parametrize("flips", [-1, 0, 20])
def test_fewer_flips_than_the_level_asks_for_are_refused(flips: int) -> None:
    with pytest.raises(UserError, match=r"sign flips are too few for a level of \.05: give at least 21"):
        compared("parallel", RANKS["parallel"][:1], RANKS["parallel"][:1], flips=flips)
    check_flips(21, 0.05)
    with pytest.raises(UserError, match=r"40 sign flips .* a level of \.05 shared by 2 tasks: .* 41"):
        check_flips(40, 0.05, n_tasks=2)
    check_flips(41, 0.05, n_tasks=2)


def test_every_pair_of_seeds_is_shown() -> None:
    tests = compared("parallel", RANKS["parallel"][:2], RANKS["parallel"][2:], flips=100)
    assert (tests.n_base, tests.n_candidate) == (2, 3)
    for line in tests.lines:
        if line.family != "aggregates":
            assert line.seed_pairs == ()
            continue
        pairs = np.array(line.seed_pairs)
        assert pairs.shape == (2, 3)
        assert pairs.mean() == pytest.approx(line.difference)
    single = compared("parallel", RANKS["parallel"][1:2], RANKS["parallel"][4:], flips=100)
    for kind in TEXT_KINDS:
        assert tests.line("AP", kind).seed_pairs[1][2] == single.line("AP", kind).difference


def test_the_outcome_says_how_it_was_made_and_is_json() -> None:
    ranks = RANKS["not parallel"]
    tests = compared("not parallel", ranks[:1], ranks[2:3], flips=300)
    assert (tests.flips, tests.exact, tests.primary_measure) == (300, False, "AP")
    assert (tests.statistics.seed, tests.statistics.resamples, tests.statistics.clustered_by) == (5, 40, "article")
    assert PairedTests.model_validate_json(tests.model_dump_json()) == tests
    assert compared("not parallel", ranks[:1], ranks[2:3], flips=300) == tests
    reseeded = compare_ranks(ranks[:1], ranks[2:3], replace(request_of("not parallel"), seed=6), flips=300)
    assert reseeded.line("AP", "monolingual").raw != tests.line("AP", "monolingual").raw
    assert reseeded.line("AP", "monolingual").difference == tests.line("AP", "monolingual").difference
    assert tests.line("AP", "monolingual", "xx") is None


SIMULATED = make_collection(seed=0, languages=("ar", "en"), topics=60, documents=40)
TEMPLATE = ranks_of(SIMULATED, random_orders(SIMULATED, 0))
REQUEST = replace(
    request_of("parallel", resamples=2),
    settings=settings_of(SIMULATED.languages),
    measures=("AP",),
    bias_scores=("own_language_preference", "rank_distance"),
)


def simulated(random: np.random.RandomState, *, skill: float = 0.0) -> Ranks:
    """Return ranks of a system that is good at some clusters and bad at others, by chance."""
    rows = TEMPLATE.query_topics[TEMPLATE.row_queries]
    by_cluster = random.standard_normal(30)[TEMPLATE.topic_clusters[rows], None]
    ease = by_cluster + 0.5 * random.standard_normal(TEMPLATE.ahead.shape) + skill
    share = stats.norm.sf(ease)
    return replace(TEMPLATE, ahead=np.floor(TEMPLATE.column_sizes * share**2).astype(np.int32))


@pytest.mark.slow
def test_nothing_is_found_where_there_is_nothing_but_clusters() -> None:
    random = np.random.RandomState(1)
    trials, raw, any_aggregate, by_topic = 300, [], [], []
    unbiased = replace(REQUEST, bias_scores=())
    for _ in range(trials):
        base, candidate = simulated(random), simulated(random)
        tests = compare_ranks([base], [candidate], REQUEST, flips=199)
        raw.append(tests.line("AP", "multilingual").raw.two_sided <= 0.05)
        lines = [line for line in tests.lines if line.family == "aggregates"]
        any_aggregate.append(min(line.adjusted.two_sided for line in lines) <= 0.05)
        each = np.arange(60, dtype=np.int32)
        alone = [replace(ranks, topic_clusters=each) for ranks in (base, candidate)]
        found = compare_ranks(alone[:1], alone[1:], unbiased, flips=199).line("AP", "multilingual")
        by_topic.append(found.raw.two_sided <= 0.05)
    error = np.sqrt(0.05 * 0.95 / trials)
    assert abs(np.mean(raw) - 0.05) <= 3 * error
    assert np.mean(any_aggregate) <= 0.05 + 3 * error
    # The same tests with topics as the unit are wrong far more often.
    assert np.mean(by_topic) > 0.05 + 5 * error


def test_a_plain_difference_is_found_in_every_family() -> None:
    random = np.random.RandomState(2)
    tests = compare_ranks([simulated(random)], [simulated(random, skill=2.0)], REQUEST, flips=999)
    for line in tests.lines:
        if line.name == "AP":
            assert line.adjusted.greater == 1 / 1000
            assert line.adjusted.less == 1
            assert line.interval is not None
            assert line.difference > 0.1
    assert tests.line("rank_distance").adjusted.less == 1 / 1000
