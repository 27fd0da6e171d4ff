from itertools import islice, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from mlbench.statistics import resampling
from mlbench.statistics.resampling import (
    benjamini_hochberg,
    bootstrap,
    bootstrap_weights,
    cluster_sums,
    contributions,
    critical_value,
    difference_p_values,
    macro_contributions,
    paired_randomization,
    percentile_bounds,
    smallest_p,
    student_quantile,
    widening,
)


def percentile_interval(replicates, confidence=0.95):
    low, high = percentile_bounds(replicates, confidence).tolist()
    return None if np.isnan(low) else (low, high)


def topics(n_clusters=12, size=5, settings=3, seed=0, effect=0.0):
    """Values (topics, settings) with an effect of the cluster, a third of them absent, and the clusters (topics,)."""
    random = np.random.RandomState(seed)
    clusters = np.repeat(np.arange(n_clusters), size)
    values = effect + random.standard_normal((n_clusters, 1))[clusters]
    values = values + random.standard_normal((len(clusters), settings))
    values[random.uniform(size=values.shape) < 1 / 3] = np.nan
    return values, clusters


def test_cluster_sums_agree_with_a_loop():
    values, clusters = topics()
    sums, counts = cluster_sums(values, clusters)
    for cluster, setting in product(range(12), range(3)):
        own = [v for v, c in zip(values[:, setting], clusters, strict=True) if c == cluster and not np.isnan(v)]
        assert sums[cluster, setting] == pytest.approx(sum(own))
        assert counts[cluster, setting] == len(own)


def test_cluster_sums_take_any_number_of_dimensions():
    assert [part.tolist() for part in cluster_sums(np.array([1.0, 2, np.nan]), np.array([0, 1, 1]))] == [[1, 2], [1, 1]]
    assert cluster_sums(np.ones((4, 2, 3)), np.array([0, 0, 2, 1]))[0].shape == (3, 2, 3)
    assert cluster_sums(np.ones((0, 2)), np.zeros(0, np.int64))[0].shape == (0, 2)


def test_weights_are_frozen():
    draws = bootstrap_weights(np.zeros(6, np.int64), seed=7)
    assert [row.tolist() for row in islice(draws, 3)] == [[0, 2, 0, 2, 2, 0], [2, 1, 2, 0, 1, 0], [2, 0, 1, 2, 1, 0]]


def test_weights_keep_the_size_of_each_stratum():
    strata = np.array([0, 1, 0, 2, 1, 1, 0])
    weights = np.array(list(islice(bootstrap_weights(strata, seed=0), 200)))
    for stratum in range(3):
        assert (weights[:, strata == stratum].sum(axis=1) == (strata == stratum).sum()).all()
    assert weights.std(axis=0)[strata != 2].min() > 0.3


def naive_replicates(values, clusters, resamples, seed):
    """The reference: build each resample topic by topic, and start again where a setting is empty."""
    n_clusters = clusters.max() + 1
    draws = bootstrap_weights(np.zeros(n_clusters, np.int64), seed)
    replicates, redraws = [], 0
    while len(replicates) < resamples:
        rows = np.repeat(np.arange(n_clusters), next(draws))
        resample = np.concatenate([values[clusters == cluster] for cluster in rows])
        if np.isnan(resample).all(axis=0).any():
            redraws += 1
        else:
            replicates.append(np.nanmean(resample, axis=0))
    return np.array(replicates), redraws


@pytest.mark.parametrize("seed", [0, 1])
def test_bootstrap_agrees_with_resamples_built_topic_by_topic(seed):
    values, clusters = topics()
    # The last setting has topics in two clusters only, so that resamples are redrawn.
    values[10:, 2] = np.nan
    expected, redraws = naive_replicates(values, clusters, 300, seed)
    sums, counts = cluster_sums(values, clusters)
    result = bootstrap(sums, counts, resamples=300, seed=seed)
    assert result.redraws == redraws > 0
    np.testing.assert_allclose(result.ratios, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(result.macro_mean(), expected.mean(axis=1))
    np.testing.assert_allclose(result.macro_mean([0, 2]), expected[:, [0, 2]].mean(axis=1))


def test_one_draw_serves_all_measures():
    values, clusters = topics()
    both = np.stack([values, values**2], axis=2)
    sums, counts = cluster_sums(both, clusters)
    result = bootstrap(sums, counts[:, :, 0], resamples=200)
    assert result.ratios.shape == (200, 3, 2)
    assert result.macro_mean().shape == (200, 2)
    for measure in range(2):
        alone = bootstrap(sums[:, :, measure], counts[:, :, measure], resamples=200)
        np.testing.assert_allclose(result.ratios[:, :, measure], alone.ratios)


@pytest.mark.parametrize("block_cells", [1, 50, 10**9])
def test_the_block_size_changes_nothing(monkeypatch, block_cells):
    values, clusters = topics()
    values[10:, 2] = np.nan
    sums, counts = cluster_sums(values, clusters)
    expected = bootstrap(sums, counts, resamples=100)
    flips = paired_randomization(contributions(*cluster_sums(values, clusters)), flips=500)
    monkeypatch.setattr("mlbench.statistics.resampling._BLOCK_CELLS", block_cells)
    result = bootstrap(sums, counts, resamples=100)
    np.testing.assert_allclose(result.ratios, expected.ratios)
    assert result.redraws == expected.redraws
    again = paired_randomization(contributions(*cluster_sums(values, clusters)), flips=500)
    assert (again.adjusted.two_sided == flips.adjusted.two_sided).all()


def test_intervals_agree_with_scipy():
    values, clusters = topics(n_clusters=30)
    sums, counts = cluster_sums(values, clusters)

    def macro_mean(drawn):
        return (sums[drawn].sum(axis=0) / counts[drawn].sum(axis=0)).mean()

    reference = stats.bootstrap(
        (np.arange(30),),
        macro_mean,
        n_resamples=20_000,
        vectorized=False,
        method="percentile",
        rng=np.random.RandomState(1),
    )
    interval = percentile_interval(bootstrap(sums, counts, resamples=20_000).macro_mean())
    # A 2.5 % quantile of 20,000 normal replicates has a standard error of .019 standard deviations; two differ by .027.
    tolerance = 3 * 0.027 * reference.standard_error
    assert interval[0] == pytest.approx(reference.confidence_interval[0], abs=tolerance)
    assert interval[1] == pytest.approx(reference.confidence_interval[1], abs=tolerance)
    assert reference.standard_error > 0.1


def test_percentiles_of_known_replicates():
    replicates = np.arange(101.0)
    assert percentile_interval(replicates, confidence=0.5) == (25.0, 75.0)
    assert percentile_bounds(np.stack([replicates, -replicates], axis=1), 0.5).tolist() == [[25, -75], [75, -25]]


def test_a_setting_without_topics_has_no_interval_and_does_not_count():
    values, clusters = topics()
    sums, counts = cluster_sums(np.column_stack([values, np.full(len(values), np.nan)]), clusters)
    result = bootstrap(sums, counts, resamples=100)
    assert percentile_interval(result.ratios[:, 3]) is None
    assert percentile_interval(result.ratios[:, 0]) is not None
    np.testing.assert_allclose(result.macro_mean(), bootstrap(sums[:, :3], counts[:, :3], resamples=100).macro_mean())
    assert percentile_interval(result.macro_mean([3])) is None


@pytest.mark.parametrize(
    ("sums", "counts"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2))),
        (np.ones((1, 2)), np.ones((1, 2))),
        (np.zeros((5, 2)), np.zeros((5, 2))),
        # Twenty settings, each with topics in a single cluster of its own: hardly any resample has them all.
        (np.eye(20), np.eye(20)),
    ],
    ids=["no cluster", "one cluster", "no topics", "always a setting empty"],
)
def test_no_interval_where_none_can_be_given(sums, counts):
    result = bootstrap(sums, counts, resamples=50)
    assert result.ratios.shape == (50, counts.shape[1])
    assert percentile_interval(result.macro_mean()) is None
    assert result.redraws <= 11 * 50
    assert percentile_interval(np.zeros(0)) is None


def test_contributions_sum_to_mean_differences():
    values, clusters = topics()
    values = np.column_stack([values, np.full(len(values), np.nan)])
    added = contributions(*cluster_sums(values, clusters))
    means = np.nanmean(values[:, :3], axis=0)
    np.testing.assert_allclose(added[:, :3].sum(axis=0), means)
    assert np.isnan(added[:, 3]).all()
    assert macro_contributions(*cluster_sums(values, clusters)).sum() == pytest.approx(means.mean())
    u = sum(
        values[t, s] / ((~np.isnan(values[:, s])).sum() * 3)
        for t in range(5)
        for s in range(3)
        if values[t, s] == values[t, s]
    )
    assert macro_contributions(*cluster_sums(values, clusters))[0] == pytest.approx(u)
    assert np.isnan(macro_contributions(*cluster_sums(values[:, 3:], clusters))).all()


ALTERNATIVES = (("two_sided", "two-sided"), ("greater", "greater"), ("less", "less"))


@pytest.mark.parametrize("effect", [0.0, 0.4, -1.0])
@pytest.mark.parametrize(("n_clusters", "exact"), [(10, True), (40, False)])
def test_single_columns_agree_with_scipy(n_clusters, exact, effect):
    columns = effect + np.random.RandomState(3).standard_normal((n_clusters, 3))
    result = paired_randomization(columns, flips=5000)
    assert result.exact is exact
    assert result.flips == (2**10 if exact else 5000)
    np.testing.assert_allclose(result.totals, columns.sum(axis=0))
    for ours, theirs in ALTERNATIVES:
        reference = [
            stats.permutation_test(
                (column,),
                lambda x, axis: x.sum(axis=axis),
                permutation_type="samples",
                n_resamples=5000,
                alternative=theirs,
                vectorized=True,
                rng=np.random.RandomState(0),
            ).pvalue
            for column in columns.T
        ]
        # Four standard errors of the difference of two shares of 5,000.
        tolerance = 1e-12 if exact else 4 * np.sqrt(2 * 0.25 / 5000)
        np.testing.assert_allclose(getattr(result.raw, ours), reference, atol=tolerance, rtol=0)


def naive_max_t(columns, side):
    """The reference: step-down max-T over all sign patterns, with loops."""
    clusters, family = columns.shape
    z = [side(sum(columns[:, k]) / np.sqrt(sum(columns[:, k] ** 2))) for k in range(family)]
    order = sorted(range(family), key=lambda k: -z[k])
    adjusted, highest = [0.0] * family, 0.0
    for step, k in enumerate(order):
        reached = 0
        for signs in product((-1, 1), repeat=clusters):
            rivals = [
                side(sum(s * u for s, u in zip(signs, columns[:, j], strict=True)) / np.sqrt(sum(columns[:, j] ** 2)))
                for j in order[step:]
            ]
            reached += max(rivals) >= z[k] - 1e-9
        highest = max(highest, reached / 2**clusters)
        adjusted[k] = highest
    return adjusted


@pytest.mark.parametrize("seed", range(4))
def test_adjusted_p_values_agree_with_a_loop_over_all_patterns(seed):
    random = np.random.RandomState(seed)
    # Correlated columns, one a coarse grid full of ties.
    columns = random.standard_normal((7, 1)) + random.standard_normal((7, 4)) + [0.0, 0.5, 1.0, -0.5]
    columns[:, 3] = np.rint(columns[:, 3])
    result = paired_randomization(columns)
    sides = {"two_sided": abs, "greater": lambda x: x, "less": lambda x: -x}
    for name, side in sides.items():
        np.testing.assert_allclose(getattr(result.adjusted, name), naive_max_t(columns, side))


@given(
    arrays(np.float64, st.tuples(st.integers(1, 14), st.integers(1, 6)), elements=st.integers(-4, 4)),
    st.randoms(use_true_random=False),
)
def test_what_holds_for_all_families(columns, random):
    result = paired_randomization(columns, flips=300)
    observed = columns.sum(axis=0) / np.sqrt(np.maximum((columns**2).sum(axis=0), 1e-30))
    for name, side in (("two_sided", np.abs), ("greater", np.positive), ("less", np.negative)):
        raw, adjusted = getattr(result.raw, name), getattr(result.adjusted, name)
        assert ((raw > 0) & (raw <= adjusted) & (adjusted <= 1)).all()
        strength = side(observed)
        assert all(
            adjusted[a] <= adjusted[b]
            for a, b in product(range(len(raw)), repeat=2)
            if strength[a] > strength[b] + 1e-6
        )
        assert (raw[(columns == 0).all(axis=0)] == 1).all()
    order = list(range(columns.shape[1]))
    random.shuffle(order)
    shuffled = paired_randomization(columns[:, order], flips=300)
    assert (shuffled.raw.greater == result.raw.greater[order]).all()
    scaled = paired_randomization(columns * 2.0 ** np.arange(len(order)), flips=300)
    assert (scaled.adjusted.two_sided == result.adjusted.two_sided).all()
    alone = paired_randomization(columns[:, :1], flips=300)
    assert alone.raw.less == alone.adjusted.less == result.raw.less[0]


@given(
    arrays(np.float64, st.tuples(st.integers(1, 14), st.just(5)), elements=st.integers(-4, 4)),
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6), max_size=3),
    st.booleans(),
)
def test_families_of_differences_agree_with_single_tests(columns, pairs, lacking):
    if lacking:
        columns[0, 0] = np.nan
    families = [tuple(np.array(each).T) for each in pairs]
    found = difference_p_values(columns, families, flips=300, seed=1)
    assert len(found) == len(families)
    for (first, second), p in zip(families, found, strict=True):
        alone = paired_randomization(columns[:, second] - columns[:, first], flips=300, seed=1)
        np.testing.assert_array_equal(p, alone.adjusted.two_sided)


def test_families_of_differences_do_not_depend_on_the_block_size(monkeypatch):
    columns = np.random.RandomState(0).standard_normal((40, 6))
    families = [(np.array([0, 1]), np.array([2, 3])), (np.array([4]), np.array([5]))]
    whole = difference_p_values(columns, families, flips=99)
    monkeypatch.setattr(resampling, "_BLOCK_CELLS", 170)
    for one, other in zip(whole, difference_p_values(columns, families, flips=99), strict=True):
        assert (one == other).all()


def test_opposite_differences_have_opposite_tails():
    columns = np.random.RandomState(0).standard_normal((10, 3)) + 0.5
    one, other = paired_randomization(columns), paired_randomization(-columns)
    assert (one.adjusted.greater == other.adjusted.less).all()
    assert (one.adjusted.two_sided == other.adjusted.two_sided).all()


def test_zeros_nan_and_no_clusters():
    columns = np.random.RandomState(0).standard_normal((30, 2)) + 1
    plain = paired_randomization(columns, flips=500)
    with_nan = paired_randomization(np.column_stack([columns, np.full(30, np.nan), np.zeros(30)]), flips=500)
    assert (with_nan.adjusted.two_sided[:2] == plain.adjusted.two_sided).all()
    assert np.isnan(with_nan.raw.two_sided[2])
    assert with_nan.adjusted.two_sided[3] == with_nan.raw.greater[3] == with_nan.raw.less[3] == 1
    assert paired_randomization(np.zeros((0, 2))).raw.two_sided.tolist() == [1, 1]
    assert paired_randomization(np.zeros((5, 0))).raw.two_sided.shape == (0,)


def test_the_smallest_p_value_of_random_flips_counts_the_observed_one():
    result = paired_randomization(np.full((40, 1), 1.0), flips=199)
    assert result.raw.greater.tolist() == [1 / 200]
    assert result.raw.less.tolist() == [1.0]


def test_the_seed_decides_the_flips():
    columns = np.random.RandomState(0).standard_normal((40, 3)) + 0.2
    first, same, other = (paired_randomization(columns, flips=999, seed=seed).raw.greater for seed in (1, 1, 2))
    assert (first == same).all()
    assert (first != other).any()
    assert (first * 1000).round().astype(int).tolist() == [20, 3, 269]


@given(
    arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.floats(-1, 1, width=16)),
    st.sampled_from([0.01, 0.05, 0.1, 0.3]),
    st.integers(5, 5000),
)
def test_what_exceeds_the_critical_value_is_what_is_rejected(columns, level, flips):
    found = paired_randomization(columns, flips=flips, seed=3)
    critical = critical_value(columns, level, flips=flips, seed=3)
    scale = np.sqrt((columns**2).sum(axis=0))
    largest = (found.totals / np.where(scale > 0, scale, 1)).max()
    rejected = found.adjusted.greater.min() <= level
    assert rejected == (largest > critical + 1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 23, 47, 519, 13_494])
@pytest.mark.parametrize("q", [0.9, 0.95, 0.975, 0.995])
def test_quantiles_of_student_are_those_of_scipy(q, freedom):
    assert student_quantile(q, freedom) == pytest.approx(stats.t.ppf(q, freedom), rel=1e-9)


def test_intervals_are_widened_by_the_number_of_clusters_and_of_strata():
    assert widening(0.95, 2) == pytest.approx(np.sqrt(2) * 12.706204736 / 1.959963985)
    assert widening(0.9, 5) == pytest.approx(np.sqrt(5 / 4) * stats.t.ppf(0.95, 4) / stats.norm.ppf(0.95))
    assert widening(0.95, 12, 3) == pytest.approx(np.sqrt(12 / 9) * stats.t.ppf(0.975, 9) / stats.norm.ppf(0.975))
    assert widening(0.95, 100_000) == pytest.approx(1, abs=1e-4)
    assert np.isnan([widening(0.95, 1), widening(0.95, 0, 0), widening(0.95, 3, 3)]).all()


@given(arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1)), st.integers(0, 3))
def test_false_discovery_rates_are_those_of_scipy(p, lacking):
    with_nan = np.concatenate([np.full(lacking, np.nan), p])
    found = benjamini_hochberg(with_nan)
    assert np.isnan(found[:lacking]).all()
    np.testing.assert_allclose(found[lacking:], stats.false_discovery_control(p) if len(p) else p, rtol=1e-12)


@given(st.integers(1, 12), st.integers(1, 5000))
def test_no_p_value_is_smaller_than_the_smallest(n_clusters, flips):
    constant = paired_randomization(np.full((n_clusters, 1), -0.3), flips=flips)
    exact, _ = resampling.count_patterns(n_clusters, flips)
    smallest = [smallest_p(n_clusters, flips, two_sided=two_sided) for two_sided in (True, False)]
    found = [constant.raw.two_sided[0], constant.raw.less[0]]
    assert all(p >= least - 1e-12 for p, least in zip(found, smallest, strict=True))
    if exact:
        assert found == smallest


def test_the_critical_value_is_a_quantile_of_the_largest_sum():
    random = np.random.RandomState(0)
    single = critical_value(random.standard_normal((500, 1)), 0.05, flips=20_000)
    assert single == pytest.approx(stats.norm.isf(0.05), abs=0.03)
    several = critical_value(random.standard_normal((500, 10)), 0.05, flips=20_000)
    assert several == pytest.approx(stats.norm.isf(1 - 0.95**0.1), abs=0.04)
    assert critical_value(np.full((4, 1), np.nan), 0.05) == np.inf
    assert critical_value(np.ones((4, 0)), 0.05) == np.inf
    assert critical_value(np.ones((4, 1)), 0.05) == np.inf
    assert critical_value(np.ones((5, 1)), 0.05) == pytest.approx(3 / np.sqrt(5))


def test_few_families_of_nulls_are_rejected_after_adjustment():
    random = np.random.RandomState(0)
    raw, adjusted = [], []
    for seed in range(400):
        columns = random.standard_normal((40, 1)) + random.standard_normal((40, 12))
        columns[:, 0] += 2  # one real difference, which must not let the others through
        result = paired_randomization(columns, flips=199, seed=seed)
        raw.append(result.raw.two_sided[1:].min() <= 0.05)
        adjusted.append(result.adjusted.two_sided[1:].min() <= 0.05)
    # .05 and three standard errors of 400 trials; without adjustment it is several times as many.
    assert np.mean(adjusted) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.mean(raw) > 0.15


def covers(values, clusters, truth, seed):
    interval = percentile_interval(bootstrap(*cluster_sums(values, clusters), resamples=300, seed=seed).macro_mean())
    return interval[0] <= truth <= interval[1]


@pytest.mark.slow
def test_intervals_cover_when_clusters_are_drawn_and_not_when_topics_are():
    by_cluster, by_topic = [], []
    for seed in range(200):
        values, clusters = topics(n_clusters=48, size=5, settings=2, seed=seed, effect=0.3)
        by_cluster.append(covers(values, clusters, 0.3, seed))
        by_topic.append(covers(values, np.arange(len(values)), 0.3, seed))
    assert 0.90 <= np.mean(by_cluster) <= 0.98
    assert np.mean(by_topic) < 0.82


@pytest.mark.parametrize("n_columns", [0, 1, 2, 3, 5, 17, 101])
def test_step_down_counts_of_any_number_of_columns_agree_with_a_running_maximum(n_columns):
    random = np.random.RandomState(n_columns)
    observed, flipped = random.standard_normal(n_columns), random.standard_normal((n_columns, 30))
    rising = np.argsort(observed)
    largest = np.maximum.accumulate(flipped[rising], axis=0) if n_columns else flipped
    found = resampling._count_exceeding(observed, flipped)
    np.testing.assert_array_equal(found[0, rising], (flipped >= observed[:, None]).sum(axis=1)[rising])
    np.testing.assert_array_equal(found[1, rising], (largest >= observed[rising, None]).sum(axis=1))
