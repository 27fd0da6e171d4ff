"""Arms against documents, loops and arms that are known to be better."""

from itertools import combinations, islice

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student_t
from unit.statistics.cases import make_collection, random_orders, ranks_of

from mlbench.collection.languages import TEXT_KINDS, settings_of
from mlbench.compare.sweep import BIAS_SCORES, TaskSweep, compare_arms
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import setting_ranks
from mlbench.results import TaskInfo
from mlbench.statistics.cluster_scores import ScoreRequest, sum_by_cluster
from mlbench.statistics.paired_tests import compare_ranks
from mlbench.statistics.resampling import bootstrap_weights
from mlbench.statistics.score import score

COLLECTION = make_collection(seed=0, topics=24)
SKILLS = {"one": 1.0, "two": 1.6, "three": 1.2}
RANKS = {
    arm: [ranks_of(COLLECTION, random_orders(COLLECTION, 10 * place + seed, skill=skill)) for seed in range(3)]
    for place, (arm, skill) in enumerate(SKILLS.items())
}
REQUEST = ScoreRequest(
    settings=settings_of(COLLECTION.languages),
    measures=("AP",),
    primary_measure="AP",
    bias_scores=BIAS_SCORES,
    parallel=True,
    resamples=60,
    seed=5,
)
TASK = TaskInfo(
    name="small",
    version="1",
    fingerprint="f" * 64,
    fingerprints={},
    languages=COLLECTION.languages,
    partial=False,
    parallel=True,
    document_text="sentence",
    measures=("AP",),
    primary_measure="AP",
    bias_scores=BIAS_SCORES,
)
FLIPS = 500


def swept(arms=RANKS, base: str = "one", request: ScoreRequest = REQUEST) -> TaskSweep:
    observed = {name: [sum_by_cluster(ranks, request) for ranks in seeds] for name, seeds in arms.items()}
    return compare_arms(TASK, observed, base, flips=FLIPS)


FOUND = swept()


@pytest.mark.parametrize("arm", SKILLS)
def test_values_of_seeds_are_those_of_documents(arm: str) -> None:
    documents = [score(ranks, REQUEST) for ranks in RANKS[arm]]
    row = FOUND.row(arm)
    for kind in TEXT_KINDS:
        aggregates = [
            next(a for a in d.aggregates if (a.kind, a.aggregation, a.query_language) == (kind, "macro", None))
            for d in documents
        ]
        figure = row.figure("AP", kind)
        assert figure is not None
        assert figure.values == pytest.approx([a.measures["AP"] for a in aggregates], abs=1e-12)
        assert figure.mean == pytest.approx(np.mean(figure.values), abs=1e-12)
        assert figure.spread is not None
        assert (figure.spread.low, figure.spread.high) == (min(figure.values), max(figure.values))
    for name in BIAS_SCORES:
        scores = [document.bias.score(name) for document in documents if document.bias]
        figure = row.figure(name)
        assert figure is not None
        assert figure.values == pytest.approx([s.value for s in scores if s], abs=1e-12)


def test_the_interval_of_one_seed_is_that_of_its_document() -> None:
    found = swept({name: ranks[:1] for name, ranks in RANKS.items()})
    document = score(RANKS["two"][0], REQUEST)
    for figure in found.row("two").figures:
        if figure.kind is None:
            assert document.bias is not None
            stated = document.bias.score(figure.name)
            assert stated is not None
            expected = stated.interval
        else:
            expected = next(
                a.intervals["AP"]
                for a in document.aggregates
                if (a.kind, a.aggregation, a.query_language) == (figure.kind, "macro", None)
            )
        assert (figure.interval is None) == (expected is None) == (figure.name == "rank_distance_median")
        if figure.interval and expected:
            assert (figure.interval.low, figure.interval.high) == pytest.approx((expected.low, expected.high))
        assert figure.spread is None


def test_the_interval_of_several_seeds_resamples_topics_averaged_over_seeds() -> None:
    ranks, kind = RANKS["one"], "cross_lingual"
    chosen = [setting for setting in REQUEST.settings if setting.kind == kind]
    clusters = ranks[0].topic_clusters.astype(np.int64)
    draws = islice(bootstrap_weights(np.zeros(clusters.max() + 1, np.int64), REQUEST.seed), REQUEST.resamples)
    measure = parse("AP")
    by_topic = np.full((3, len(chosen), len(clusters)), np.nan)
    for seed, one in enumerate(ranks):
        for number, setting in enumerate(chosen):
            here = setting_ranks(one, setting)
            by_topic[seed, number, one.query_topics[here.queries]] = measure.values(here.relevant)
    mean = by_topic.mean(axis=0)
    replicates = [np.mean([np.average(row, weights=weights[clusters]) for row in mean]) for weights in draws]
    figure = FOUND.row("one").figure("AP", kind)
    assert figure is not None
    assert figure.interval is not None
    n = clusters.max() + 1
    factor = np.sqrt(n / (n - 1)) * student_t.ppf(0.975, n - 1) / norm.ppf(0.975)
    ends = figure.mean + factor * (np.percentile(replicates, [2.5, 97.5]) - figure.mean)
    assert [figure.interval.low, figure.interval.high] == pytest.approx(ends)


def test_every_pair_is_compared_and_the_base_comes_first() -> None:
    found = swept(base="two")
    assert [(pair.base, pair.candidate) for pair in found.pairs] == list(combinations(("two", "one", "three"), 2))


def test_lines_are_those_of_a_comparison_of_the_two() -> None:
    for pair in FOUND.pairs:
        whole = compare_ranks(RANKS[pair.base], RANKS[pair.candidate], REQUEST, flips=FLIPS)
        expected = [line for line in whole.lines if line.family == "aggregates"]
        assert list(pair.lines) == expected
        line = pair.line("AP", "monolingual")
        assert line is not None
        assert line.adjusted is not None
        assert np.shape(line.seed_pairs) == (3, 3)


def test_the_best_arm_and_the_second_are_named_with_their_difference() -> None:
    for claim in FOUND.claims:
        means = {row.arm: figure.mean for row in FOUND.rows if (figure := row.figure(claim.name, claim.kind))}
        assert all(mean is not None for mean in means.values())
        order = sorted(means, key=means.__getitem__, reverse=not claim.name.startswith("rank_distance"))
        if claim.name == "own_language_preference":
            order = sorted(means, key={arm: abs(mean - 0.5) for arm, mean in means.items()}.__getitem__)
        assert (claim.best, claim.second) == tuple(order[:2])
        assert claim.difference == pytest.approx(means[claim.best] - means[claim.second])
        if claim.interval is not None:
            assert claim.interval.low <= claim.difference <= claim.interval.high
    assert {(claim.name, claim.kind) for claim in FOUND.claims} == {
        (figure.name, figure.kind) for figure in FOUND.rows[0].figures
    }


@pytest.mark.slow
def test_a_claim_does_not_depend_on_which_arm_is_the_base() -> None:
    for claim in FOUND.claims:
        other = swept(base="two").claim(claim.name, claim.kind)
        assert other is not None
        assert (other.best, other.second, other.significant) == (claim.best, claim.second, claim.significant)
        assert other.difference == pytest.approx(claim.difference)
        if claim.p is not None:
            assert other.p == pytest.approx(claim.p)


def test_an_arm_that_is_much_better_is_separable_and_an_equal_one_is_not() -> None:
    perfect = [ranks_of(COLLECTION, random_orders(COLLECTION, 90 + seed, skill=50.0)) for seed in range(2)]
    found = swept({"poor": RANKS["one"][:2], "perfect": perfect}, base="poor")
    claim = found.claim("AP", "cross_lingual")
    assert claim is not None
    assert (claim.best, claim.significant) == ("perfect", True)
    same = swept({"one": RANKS["one"], "twin": RANKS["one"]}).claim("AP", "cross_lingual")
    assert same is not None
    assert (same.difference, same.p, same.significant) == (0.0, 1.0, False)


def test_one_arm_alone_has_figures_and_no_claims() -> None:
    found = swept({"one": RANKS["one"]})
    assert (found.pairs, found.claims, found.flips) == ((), (), 0)
    assert len(found.rows[0].figures) == 3 + len(BIAS_SCORES)


def test_without_parallel_topics_there_are_no_bias_scores() -> None:
    collection = make_collection(seed=3, topics=12, parallel=False)
    ranks = [ranks_of(collection, random_orders(collection, seed, skill=1)) for seed in range(2)]
    request = ScoreRequest(settings_of(collection.languages), ("AP",), "AP", BIAS_SCORES, False, 20)
    found = swept({"one": ranks[:1], "two": ranks[1:]}, request=request)
    assert {figure.name for row in found.rows for figure in row.figures} == {"AP"}
