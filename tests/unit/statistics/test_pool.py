from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.reports.conftest import make_result
from unit.statistics.pool_cases import DOCUMENTS, LANGUAGES, PoolCase

from mlbench.errors import UserError
from mlbench.ranking.ranks import UNKNOWN, Ranks
from mlbench.results import Result
from mlbench.statistics.pool import PoolAnswer, answer_pool


@pytest.fixture(scope="module")
def small() -> PoolCase:
    return PoolCase()


@pytest.fixture(scope="module")
def three() -> Result:
    made = make_result(LANGUAGES)
    return made.model_copy(update={"statistics": made.statistics.model_copy(update={"resamples": 20})})


def means(answer: PoolAnswer, kind: str) -> dict[str, float | None]:
    return {a.aggregation: a.measures["AP"] for a in answer.aggregates if a.kind == kind}


@pytest.mark.slow
@given(seed=st.integers(0, 2**31), pool=st.sets(st.integers(0, 2), min_size=1))
def test_agrees_with_whole_lists(three: Result, seed: int, pool: set[int]) -> None:
    small, indexes = PoolCase(seed), sorted(pool)
    answer = answer_pool(three, small.ranks(), [LANGUAGES[index] for index in indexes])
    asked = indexes if len(indexes) > 1 else [0, 1, 2]
    expected = {LANGUAGES[query]: small.average_precision(query, indexes) for query in asked}
    assert {s.query_language: s.measures["AP"] for s in answer.settings} == pytest.approx(
        {language: np.mean(values) for language, values in expected.items()}
    )
    assert [s.n_queries for s in answer.settings] == [len(values) for values in expected.values()]
    if len(indexes) > 1:
        assert means(answer, "multilingual")["macro"] == pytest.approx(
            np.mean([np.mean(values) for values in expected.values()])
        )
        assert means(answer, "multilingual")["micro"] == pytest.approx(np.mean(np.concatenate([*expected.values()])))


def test_a_single_language_is_asked_by_all(small: PoolCase, three: Result) -> None:
    answer = answer_pool(three, small.ranks(), ["th"])
    assert answer.document_languages == ("th",)
    assert answer.n_documents == DOCUMENTS
    assert [(s.query_language, s.kind, s.n_queries) for s in answer.settings] == [
        ("de", "cross_lingual", 4),
        ("en", "cross_lingual", 4),
        ("th", "monolingual", 4),
    ]
    assert [(a.kind, a.aggregation, a.n_settings, a.n_queries) for a in answer.aggregates] == [
        ("monolingual", "macro", 1, 4),
        ("monolingual", "micro", 1, 4),
        ("cross_lingual", "macro", 2, 8),
        ("cross_lingual", "micro", 2, 8),
    ]


def test_order_and_repetition_of_languages_do_not_matter(small: PoolCase, three: Result) -> None:
    first, second = (answer_pool(three, small.ranks(), pool) for pool in (["en", "de"], ["de", "en", "de"]))
    assert first == second
    assert first.n_documents == 2 * DOCUMENTS


def test_has_the_measures_of_the_task_or_the_one_asked_for(small: PoolCase, three: Result) -> None:
    answer = answer_pool(three, small.ranks(), ["de", "en"])
    assert set(answer.settings[0].measures) == set(three.task.measures)
    alone = answer_pool(three, small.ranks(), ["de", "en"], measure="P@2")
    assert (alone.primary_measure, set(alone.settings[0].measures)) == ("P@2", {"P@2"})
    assert alone.aggregates[0].ceilings == {"P@2": 1.0}


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (["de", "fr"], "no language 'fr': it has de, en, th"),
        ([], "at least one document language"),
        ("de", r"a list of tags, such as \['de'\]"),
    ],
)
def test_refuses_what_is_not_there(small: PoolCase, three: Result, pool: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        answer_pool(three, small.ranks(), pool)


def test_refuses_a_pool_that_a_ranker_was_not_asked_for(small: PoolCase, three: Result) -> None:
    encoder = small.ranks()
    ahead = np.where(np.arange(3) == encoder.row_languages[:, None], encoder.ahead, UNKNOWN).astype(np.int32)
    ranker = Ranks(**(vars(encoder) | {"ahead": ahead}))
    with pytest.raises(UserError, match="the pool de,en was not asked for in this run"):
        answer_pool(three, ranker, ["de", "en"])
