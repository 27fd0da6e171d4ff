"""Fairness on native documents: against the reference package, against loops, and against what chance gives."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from mlbench.measures.native import (
    RelevantDocuments,
    attention_weighted_rank_fairness,
    chi2_tail,
    language_exposure,
    mean_by_chance,
    own_language_exposure,
    peer,
    range_by_chance,
    relative_exposure,
)

LANGUAGES = ("fa", "ru", "zh")
SIZE = 60


def draw_rows(seed: int, *, topics: int = 12, most: int = 8, size: int = SIZE, grades: int = 3) -> RelevantDocuments:
    """Return topics with 0 to `most` relevant documents in each language, asked in all, at random ranks."""
    draw = np.random.RandomState(seed)
    rows = []
    for topic in range(topics):
        documents = [
            (topic * 1000 + 100 * language + number, language, int(draw.randint(1, grades + 1)))
            for language in range(len(LANGUAGES))
            for number in range(draw.randint(0, most + 1))
        ]
        for query in range(len(LANGUAGES)):
            ranks = draw.permutation(size)[: len(documents)] + 1
            rows += [(topic, query, *document, rank) for document, rank in zip(documents, ranks, strict=True)]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 6).T
    return RelevantDocuments(*columns[:5], columns[5].astype(np.float64), topics, len(LANGUAGES))


def of_query(rows: RelevantDocuments, topic: int, query: int) -> list[tuple[int, int, int, float]]:
    """Return document, language, grade and rank of each relevant document of a query."""
    chosen = (rows.topics == topic) & (rows.query_languages == query)
    columns = (rows.documents, rows.document_languages, rows.grades, rows.ranks)
    return list(zip(*(column[chosen].tolist() for column in columns), strict=True))


@pytest.mark.parametrize("cutoff", [4, 10, 20, SIZE])
@pytest.mark.parametrize("seed", range(4))
def test_peer_is_that_of_the_reference_package(seed: int, cutoff: int) -> None:
    peer_measure = pytest.importorskip("peer_measure")
    rows = draw_rows(seed)
    found, compared = peer(cutoff)(rows), 0
    for topic, query in np.ndindex(found.shape):
        here = of_query(rows, topic, query)
        # The package gives 1 to a grade that says nothing, and a smaller sum where a topic lacks a grade.
        telling = [
            grade
            for grade in {each[2] for each in here}
            if len({each[1] for each in here if each[2] == grade}) > 1
            and any(each[2] == grade and each[3] <= cutoff for each in here)
        ]
        if not telling:
            assert np.isnan(found[topic, query])
            continue
        languages = {str(document): LANGUAGES[language] for document, language, _, _ in here}
        list_of_all = {f"other{rank}": -float(rank) for rank in range(1, SIZE + 1)}
        for document, _, _, rank in here:
            del list_of_all[f"other{rank:.0f}"]
            list_of_all[str(document)] = -rank
        languages |= {name: "ru" for name in list_of_all if name.startswith("other")}
        weights = {grade: 1 / len(telling) for grade in telling}
        measure = peer_measure.PEER(weights=weights, lang_mapping=languages, cutoff=cutoff)
        qrels = {"q": {str(document): grade for document, _, grade, _ in here} | {"not relevant": 0}}
        # Its provider asks for what newer versions of ir_measures have elsewhere.
        reference = peer_measure.PEEREvaluator([measure], qrels, {0: [(cutoff, measure)]}, {0: languages})
        with np.errstate(invalid="ignore"):
            expected = next(reference._iter_calc({"q": list_of_all})).value
        if np.isfinite(expected):
            assert found[topic, query] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            compared += 1
    assert compared > 10


def test_peer_of_the_whole_ranking_is_the_test_of_scipy_on_ranks() -> None:
    rows = draw_rows(5, topics=1, most=6, size=18, grades=1)
    here = of_query(rows, 0, 0)
    places = stats.rankdata([each[3] for each in here])
    dense = replace(rows, ranks=np.tile(places, 3))
    by_language = [[place for place, each in zip(places, here, strict=True) if each[1] == c] for c in range(3)]
    expected = stats.kruskal(*[group for group in by_language if group]).pvalue
    assert peer()(dense)[0, 0] == pytest.approx(expected, rel=1e-12)


def test_a_list_without_relevant_documents_has_no_peer() -> None:
    rows = draw_rows(0)
    assert np.isnan(peer(5)(replace(rows, ranks=rows.ranks + 5))).all()


@pytest.mark.parametrize("freedom", [1, 2, 3, 8, 21])
def test_the_tail_is_that_of_scipy(freedom: int) -> None:
    x = np.linspace(0, 90, 181)
    assert chi2_tail(x, freedom) == pytest.approx(stats.chi2.sf(x, freedom), rel=1e-10, abs=1e-15)


def test_exposure_is_that_of_a_loop() -> None:
    rows = draw_rows(1)
    exposure, fairness = relative_exposure(rows), attention_weighted_rank_fairness(rows)
    for topic, query in np.ndindex(fairness.shape):
        here = of_query(rows, topic, query)
        if len({each[1] for each in here}) < 2:
            assert np.isnan(exposure[topic, query]).all()
            assert np.isnan(fairness[topic, query])
            continue
        attention = {document: 1 / np.log2(1 + rank) for document, _, _, rank in here}
        whole = sum(attention.values())
        got, due = [0.0] * 3, [0.0] * 3
        for document, language, grade, _ in here:
            alike = [each for each in here if each[2] == grade]
            got[language] += attention[document] / whole
            due[language] += sum(attention[each[0]] for each in alike) / len(alike) / whole
        expected = [a - b if b else np.nan for a, b in zip(got, due, strict=True)]
        assert exposure[topic, query] == pytest.approx(expected, abs=1e-12, nan_ok=True)
        divergence = jensenshannon(got, due, base=2) ** 2
        assert fairness[topic, query] == pytest.approx(1 - divergence, abs=1e-12)


def test_a_language_that_comes_first_has_more_than_its_due() -> None:
    rows = draw_rows(2, grades=1)
    biased = replace(rows, ranks=rows.ranks + SIZE * (rows.document_languages != 1))
    mean = np.nanmean(language_exposure(biased), axis=0)
    assert mean[1] > 0.05 > 0 > max(mean[0], mean[2])
    assert np.nanmean(peer()(biased)) < 0.1 < 0.3 < np.nanmean(peer()(rows))
    assert np.nanmean(attention_weighted_rank_fairness(biased)) < np.nanmean(attention_weighted_rank_fairness(rows))


def test_own_language_exposure_is_0_where_queries_do_not_matter() -> None:
    rows = draw_rows(3)
    # All queries of a topic give the ranks of its last.
    documents = list(zip(rows.topics, rows.documents, strict=True))
    same = dict(zip(documents, rows.ranks, strict=True))
    alike = replace(rows, ranks=np.array([same[document] for document in documents]))
    assert own_language_exposure(alike) == pytest.approx(np.zeros(rows.n_topics), abs=1e-12, nan_ok=True)
    own = rows.document_languages == rows.query_languages
    assert np.nanmean(own_language_exposure(replace(alike, ranks=alike.ranks + SIZE * ~own))) > 0.1


def test_chance_is_what_blind_systems_get() -> None:
    rows = draw_rows(4, topics=8)
    systems = [draw_ranks(rows, seed) for seed in range(400)]
    for score in (peer(), peer(20), attention_weighted_rank_fairness):
        found = [np.nanmean(score(system)) for system in systems]
        chances = [np.nanmean(mean_by_chance(score)(system)) for system in systems[:20]]
        assert np.mean(found) == pytest.approx(np.mean(chances), abs=4 * np.std(found) / 20 + 0.01)
    ranges = [np.ptp(np.nanmean(language_exposure(system), axis=0)) for system in systems]
    chances = [np.nanmean(range_by_chance(language_exposure)(system)) for system in systems[:20]]
    assert np.mean(ranges) == pytest.approx(np.mean(chances), rel=0.1)


def test_chance_is_the_same_in_every_run_and_there_where_the_score_is() -> None:
    rows = draw_rows(6)
    for score, chance in ((peer(20), mean_by_chance(peer(20))), (peer(), mean_by_chance(peer()))):
        assert (np.isfinite(score(rows)) == np.isfinite(chance(rows))).all()
        assert np.array_equal(chance(rows), chance(rows), equal_nan=True)


def test_no_documents_give_no_scores() -> None:
    rows = RelevantDocuments.none(4, 3)
    for score in (peer(), peer(20), attention_weighted_rank_fairness, mean_by_chance(peer())):
        assert np.isnan(score(rows)).all()
        assert score(rows).shape == (4, 3)
    for score in (own_language_exposure, range_by_chance(language_exposure)):
        assert np.isnan(score(rows)).all()
        assert score(rows).shape == (4,)
    assert np.isnan(language_exposure(rows)).all()


def draw_ranks(rows: RelevantDocuments, seed: int) -> RelevantDocuments:
    """Return the rows with other random ranks."""
    draw, ranks = np.random.RandomState(seed), rows.ranks.copy()
    for query in np.unique(rows.queries):
        chosen = rows.queries == query
        ranks[chosen] = draw.permutation(SIZE)[: chosen.sum()] + 1
    return replace(rows, ranks=ranks)
