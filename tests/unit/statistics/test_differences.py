"""Differences of two systems against documents, loops and systems that differ in one cluster alone."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from unit.statistics.cases import ListRanker, make_collection, random_orders, ranks_of, widened_percentiles

from mlbench.collection.languages import TEXT_KINDS, Setting, settings_of
from mlbench.errors import UserError
from mlbench.measures.bias import BIAS_SCORES, TESTED_BIAS_SCORES, summarise
from mlbench.measures.ranked import parse
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks, setting_ranks
from mlbench.statistics.bias import translation_pools
from mlbench.statistics.cluster_scores import ScoreRequest, sum_by_cluster
from mlbench.statistics.differences import find_differences
from mlbench.statistics.resampling import bootstrap_weights
from mlbench.statistics.score import score

COLLECTIONS = {
    "parallel": make_collection(seed=0, topics=12),
    "sparse": make_collection(seed=1, topics=12, sparse=True),
    "several": make_collection(seed=2, topics=12, sparse=True, several=True),
    "not parallel": make_collection(seed=3, topics=12, parallel=False, several=True),
}
MEASURES = ("RR", "AP", "R@5")
# Two base seeds and three candidate seeds of each collection.
RANKS = {
    name: [ranks_of(each, random_orders(each, seed, skill=skill)) for seed, skill in enumerate((1, 1, 1.5, 1.6, 1.4))]
    for name, each in COLLECTIONS.items()
}


def request_of(name: str, *, resamples: int = 40) -> ScoreRequest:
    return ScoreRequest(
        settings=settings_of(COLLECTIONS[name].languages),
        measures=MEASURES,
        primary_measure="AP",
        bias_scores=tuple(BIAS_SCORES),
        parallel=COLLECTIONS[name].parallel,
        resamples=resamples,
        seed=5,
    )


def contrasts_of(name: str, base: list[Ranks], candidate: list[Ranks]):
    request = request_of(name)
    return find_differences([sum_by_cluster(r, request) for r in base], [sum_by_cluster(r, request) for r in candidate])


FOUND = {name: contrasts_of(name, ranks[:2], ranks[2:]) for name, ranks in RANKS.items()}


@pytest.fixture(params=COLLECTIONS, name="name")
def each_collection(request: pytest.FixtureRequest) -> str:
    return request.param


def documented(name: str, ranks: Ranks) -> dict[tuple, float | None]:
    """Return the values of a result document by what they are about."""
    scores = score(ranks, request_of(name))
    values: dict[tuple, float | None] = {
        (measure, a.kind, a.query_language, None): value
        for a in scores.aggregates
        if a.aggregation == "macro"
        for measure, value in a.measures.items()
    }
    for s in scores.settings:
        values |= {(m, s.kind, s.query_language, s.document_languages): value for m, value in s.measures.items()}
    compared = {name for name, each in BIAS_SCORES.items() if each.contributions and not each.conditional}
    known = [bias for bias in scores.bias.scores if bias.name in compared] if scores.bias else []
    return values | {(bias.name, None, None, None): bias.value for bias in known}


def about(each) -> tuple:
    subject = each.subject
    return subject.name, subject.kind, subject.query_language, subject.document_languages


def test_values_are_those_of_the_documents_to_the_bit(name: str) -> None:
    documents = [documented(name, ranks) for ranks in RANKS[name]]
    assert [set(document) for document in documents] == [set(map(about, FOUND[name].each))] * 5
    for each in FOUND[name].each:
        stated = [document[about(each)] for document in documents]
        values = [None if np.isnan(value) else value for value in (*each.base, *each.candidate)]
        assert values == stated, about(each)
        if None not in stated:
            assert each.difference == pytest.approx(sum(stated[2:]) / 3 - sum(stated[:2]) / 2, abs=1e-12)


def test_all_measures_and_the_bias_scores_that_are_means_have_contributions(name: str) -> None:
    for each in FOUND[name].each:
        no_means = ("rank_distance_median", "language_prior", "language_exposure")
        wanted = each.subject.name not in no_means and each.n_topics > 0
        assert (each.contributions is not None) == wanted, about(each)
        if each.contributions is not None:
            assert each.contributions.added.sum() == pytest.approx(each.change, abs=1e-9)
            if each.subject.name in ("own_language_preference", "same_language_first", "removal_gap"):
                sides = [abs(side.mean() - each.ideal) for side in (each.base, each.candidate)]
                assert each.change == pytest.approx(sides[1] - sides[0])
            else:
                assert each.change == each.difference
            assert each.contributions.shares.sum() == pytest.approx(1)


def test_the_primary_measure_and_two_bias_scores_are_tested(name: str) -> None:
    tested = FOUND[name].tested
    assert {subject.name for subject in tested} == {"AP", *(TESTED_BIAS_SCORES if name != "not parallel" else ())}
    for each in FOUND[name].each:
        if each.subject in tested:
            assert tested[each.subject] is each.contributions
        else:
            assert each.subject.name not in ("AP", *TESTED_BIAS_SCORES) or each.n_topics == 0


@pytest.mark.parametrize("cluster", [0, 4])
def test_a_system_that_differs_in_one_cluster_differs_by_what_that_cluster_adds(name: str, cluster: int) -> None:
    base, candidate = RANKS[name][0], RANKS[name][2]
    own = base.topic_clusters[base.query_topics[base.row_queries]] == cluster
    mixed = replace(base, ahead=np.where(own[:, None], candidate.ahead, base.ahead))
    whole = {about(each): each for each in contrasts_of(name, [base], [candidate]).each}
    changed = 0
    for each in contrasts_of(name, [base], [mixed]).each:
        contributions = whole[about(each)].contributions
        # Distances from an ideal do not add up: one cluster may move a mean across it. The tops of lists are not mixed.
        if contributions is not None and each.target is None and each.subject.name != "list_agreement":
            assert each.difference == pytest.approx(contributions.added[cluster], abs=1e-9), about(each)
            changed += each.difference != 0
    assert changed > 5


def naive_values(ranks: Ranks, setting: Setting) -> np.ndarray:
    values = np.full(len(ranks.topic_ids), np.nan)
    here = setting_ranks(ranks, setting)
    values[ranks.query_topics[here.queries]] = parse("AP").values(here.relevant)
    return values


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_intervals_of_aggregates_equal_a_bootstrap_built_topic_by_topic(kind: str) -> None:
    ranks = RANKS["parallel"]
    settings = settings_of(COLLECTIONS["parallel"].languages, [kind])
    base, candidate = (
        np.mean([[naive_values(one, s) for s in settings] for one in system], axis=0)
        for system in (ranks[:2], ranks[2:])
    )
    clusters = ranks[0].topic_clusters
    replicates = [
        np.mean((candidate - base)[:, np.concatenate([np.flatnonzero(clusters == c) for c in np.repeat(range(6), w)])])
        for w in islice(bootstrap_weights(np.zeros(6, np.int64), 5), 40)
    ]
    found = next(each for each in FOUND["parallel"].each if about(each) == ("AP", kind, None, None))
    low, high = widened_percentiles(replicates, found.difference, 6)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-12)
    assert low < found.difference < high


@pytest.mark.parametrize("key", ["language_prior", "rank_distance", "own_language_preference", "rank_spread"])
def test_intervals_of_bias_scores_equal_a_bootstrap_built_topic_by_topic(key: str) -> None:
    ranks, bias = RANKS["parallel"], BIAS_SCORES[key]
    topicwise = [bias.contributions(translation_pools(r)[bias.compares]) for r in ranks]
    clusters = ranks[0].topic_clusters
    replicates = []
    for weights in islice(bootstrap_weights(np.zeros(6, np.int64), 5), 40):
        drawn = np.concatenate([np.flatnonzero(clusters == c) for c in np.repeat(range(6), weights)])
        values = [summarise(bias, each[drawn])[0] for each in topicwise]
        replicates.append(np.mean(values[2:]) - np.mean(values[:2]))
    found = next(each for each in FOUND["parallel"].each if each.subject.name == key)
    expected = widened_percentiles(replicates, found.difference, 6)
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=1e-9)


def test_topics_and_clusters_are_counted(name: str) -> None:
    ranks = RANKS[name][0]
    for each in FOUND[name].each:
        subject = each.subject
        if subject.kind is None:
            continue
        topics = {
            int(ranks.query_topics[query])
            for setting in settings_of(COLLECTIONS[name].languages, [subject.kind])
            if subject.query_language in (None, setting.query_language)
            and subject.document_languages in (None, setting.document_languages)
            for query in setting_ranks(ranks, setting).queries
        }
        assert each.n_topics == len(topics)
        assert each.n_clusters == len({int(ranks.topic_clusters[topic]) for topic in topics})
    scores = score(ranks, request_of(name)).bias
    counted = {each.subject.name: each.n_topics for each in FOUND[name].each if each.subject.kind is None}
    assert scores
    assert counted.get("rank_distance", 0) == scores.n_topics


def test_seeds_are_averaged_whatever_their_order() -> None:
    ranks = RANKS["sparse"]
    single = [contrasts_of("sparse", [base], ranks[2:3]).each for base in ranks[:2]]
    both, turned = (contrasts_of("sparse", base, ranks[2:3]).each for base in (ranks[:2], ranks[1::-1]))
    for one, other, mean, same in zip(*single, both, turned, strict=True):
        if mean.contributions is not None:
            halves = (one.contributions.added + other.contributions.added) / 2
            np.testing.assert_allclose(mean.contributions.added, halves, atol=1e-12)
            np.testing.assert_allclose(same.contributions.added, halves, atol=1e-12)
            assert mean.difference == pytest.approx((one.difference + other.difference) / 2)


def other_sizes(ranks: Ranks) -> Ranks:
    return replace(ranks, column_sizes=ranks.column_sizes + 1)


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda r: replace(r, topic_ids=np.array([f"{t}x" for t in r.topic_ids])), "topics"),
        (lambda r: replace(r, topic_clusters=np.arange(len(r.topic_ids), dtype=np.int32)), "clusters"),
        (lambda r: replace(r, cluster_unit=np.array(["topic"])), "clusters"),
        (lambda r: replace(r, row_grades=r.row_grades + 1), "relevant documents"),
        (lambda r: replace(r, row_documents=r.row_documents[::-1].copy()), "relevant documents"),
        (other_sizes, "numbers of documents"),
        (lambda r: other_sizes(replace(r, cluster_unit=np.array(["topic"]))), "clusters, numbers of documents"),
    ],
)
def test_other_data_is_refused_with_what_differs(change, differing: str) -> None:
    base = RANKS["parallel"][0]
    with pytest.raises(UserError) as raised:
        contrasts_of("parallel", [base], [base, change(base)])
    assert str(raised.value) == f"candidate 2 was measured on other data than base 1: they differ in {differing}"


def test_what_is_scored_otherwise_or_missing_is_refused() -> None:
    request = request_of("parallel")
    one, other = (
        sum_by_cluster(RANKS["parallel"][0], request),
        sum_by_cluster(RANKS["parallel"][0], replace(request, seed=6)),
    )
    with pytest.raises(UserError, match="base 2 and base 1 must be scored alike"):
        find_differences([one, other], [one])
    for base, candidate in (([], [one]), ([one], [])):
        with pytest.raises(UserError, match="at least one run"):
            find_differences(base, candidate)


def test_a_ranker_is_compared_with_an_encoder() -> None:
    collection, request = COLLECTIONS["several"], request_of("several")
    layout = index_collection(collection)
    ranker = ListRanker(collection, random_orders(collection, 0, skill=1), longest=9)
    lists = to_ranks(layout, rank_lists(layout, ranker, request.settings, 20, Silence()))
    found = contrasts_of("several", [lists], RANKS["several"][2:3])
    assert {each.subject.name for each in found.each} == set(request.measures)
    assert set(found.untested) == {
        name
        for name, score in BIAS_SCORES.items()
        if score.contributions and not score.conditional and score.suits(parallel=True, translated=True)
    }
    [reason] = set(found.untested.values())
    assert reason == "lists leave out 49.4% of the relevant documents, and at most 10% may be missing"
    whole = ListRanker(collection, random_orders(collection, 0, skill=1))
    complete = to_ranks(layout, rank_lists(layout, whole, request.settings, 99, Silence()))
    found = contrasts_of("several", [complete], RANKS["several"][2:3])
    assert {each.subject.name for each in found.each} == {each.subject.name for each in FOUND["several"].each}
    assert not found.untested
    without = replace(request, settings=settings_of(collection.languages, ["monolingual"]))
    alone = to_ranks(layout, rank_lists(layout, ranker, without.settings, 20, Silence()))
    assert sum_by_cluster(alone, without).bias_scores == {}
    no_pool = find_differences([sum_by_cluster(RANKS["several"][2], without)], [sum_by_cluster(alone, without)])
    assert {each.subject.kind for each in no_pool.each} == {"monolingual"}


def test_what_one_side_does_not_know_is_not_compared() -> None:
    """Ranks that were restricted to fewer languages have no lists."""
    base, candidate = RANKS["parallel"][0], RANKS["parallel"][2]
    bare = replace(candidate, top=candidate.top[:, :0])
    named = {each.subject.name for each in contrasts_of("parallel", [base], [bare]).each}
    assert named == {each.subject.name for each in FOUND["parallel"].each} - {"list_agreement"}
