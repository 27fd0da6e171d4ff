import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlbench.reports.result.pool import PoolTable
from rich.console import Console

from mlbench.errors import UserError
from mlbench.ranking.ranks import UNKNOWN, Ranks
from mlbench.results import Result
from mlbench.statistics.pool import PoolAnswer, answer_pool

LANGUAGES = ("de", "en", "th")
TOPICS, DOCUMENTS = 5, 8
ResultOf = Callable[..., Result]


class Small:
    """Five topics in three languages over eight documents each; topic n's document is number n, none in Thai for 0."""

    def __init__(self, seed: int = 0) -> None:
        self.scores = np.random.RandomState(seed).permutation(3 * TOPICS * 3 * DOCUMENTS)
        self.scores = self.scores.reshape(3, TOPICS, 3, DOCUMENTS)

    def rows(self) -> list[tuple[int, int, int]]:
        """Query language, topic and document language of each judgment."""
        return [(q, t, d) for q in range(3) for t in range(TOPICS) for d in range(3) if (t, d) != (0, 2)]

    def ahead(self, query: int, topic: int, document: int) -> list[int]:
        own = self.scores[query, topic, document, topic]
        return [int((self.scores[query, topic, block] > own).sum()) for block in range(3)]

    def ranks(self) -> Ranks:
        rows = self.rows()

        def integers(values: object) -> np.ndarray:
            return np.array(values, dtype=np.int32)

        return Ranks(
            languages=np.array(LANGUAGES),
            columns=np.array(LANGUAGES),
            column_sizes=integers([DOCUMENTS] * 3),
            topic_ids=np.array([f"t{topic}" for topic in range(TOPICS)]),
            topic_clusters=integers(range(TOPICS)),
            cluster_unit=np.array(["topic"]),
            query_topics=integers([topic for _ in range(3) for topic in range(TOPICS)]),
            query_languages=integers([query for query in range(3) for _ in range(TOPICS)]),
            document_ids=np.array([f"{a}-{topic}" for a in LANGUAGES for topic in range(TOPICS)]),
            document_languages=integers([language for language in range(3) for _ in range(TOPICS)]),
            row_queries=integers([q * TOPICS + t for q, t, _ in rows]),
            row_documents=integers([d * TOPICS + t for _, t, d in rows]),
            row_grades=integers([1] * len(rows)),
            ahead=integers([self.ahead(*row) for row in rows]),
            ties=integers([[0, 0, 0]] * len(rows)),
            top=integers(np.full((3 * TOPICS, 1), -1)),
            listed=integers(np.full((3 * TOPICS, 3), DOCUMENTS)),
        )

    def average_precision(self, query: int, pool: Sequence[int]) -> list[float]:
        """By sorting the whole pool and walking down the list, topics without a relevant document left out."""
        values = []
        for topic in range(TOPICS):
            listed = sorted(
                ((self.scores[query, topic, d, n], (d, n)) for d in pool for n in range(DOCUMENTS)), reverse=True
            )
            relevant = {(d, topic) for d in pool if (topic, d) != (0, 2)}
            found = [place for place, (_, document) in enumerate(listed, 1) if document in relevant]
            if relevant:
                values.append(sum(n / place for n, place in enumerate(found, 1)) / len(relevant))
        return values


@pytest.fixture(scope="module")
def small() -> Small:
    return Small()


@pytest.fixture(scope="module")
def three(result_of: ResultOf) -> Result:
    made = result_of(LANGUAGES)
    return made.model_copy(update={"statistics": made.statistics.model_copy(update={"resamples": 20})})


def means(answer: PoolAnswer, kind: str) -> dict[str, float | None]:
    return {a.aggregation: a.measures["AP"] for a in answer.aggregates if a.kind == kind}


@given(seed=st.integers(0, 2**31), pool=st.sets(st.integers(0, 2), min_size=1))
def test_agrees_with_whole_lists(three: Result, seed: int, pool: set[int]) -> None:
    small, indexes = Small(seed), sorted(pool)
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


def test_a_single_language_is_asked_by_all(small: Small, three: Result) -> None:
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


def test_order_and_repetition_of_languages_do_not_matter(small: Small, three: Result) -> None:
    first, second = (answer_pool(three, small.ranks(), pool) for pool in (["en", "de"], ["de", "en", "de"]))
    assert first == second
    assert first.n_documents == 2 * DOCUMENTS


def test_has_the_measures_of_the_task_or_the_one_asked_for(small: Small, three: Result) -> None:
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
def test_refuses_what_is_not_there(small: Small, three: Result, pool: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        answer_pool(three, small.ranks(), pool)


def test_refuses_a_pool_that_a_ranker_was_not_asked_for(small: Small, three: Result) -> None:
    encoder = small.ranks()
    ahead = np.where(np.arange(3) == encoder.row_languages[:, None], encoder.ahead, UNKNOWN).astype(np.int32)
    ranker = Ranks(**(vars(encoder) | {"ahead": ahead}))
    with pytest.raises(UserError, match="the pool de,en was not asked for in this run"):
        answer_pool(three, ranker, ["de", "en"])


def show(answer: PoolAnswer, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(PoolTable(answer))
    return [line.rstrip() for line in captured.get().splitlines()]


class TestTable:
    def test_of_a_pool(self, small: Small, three: Result) -> None:
        lines = show(answer_pool(three, small.ranks(), ["de", "th"]), 140)
        assert lines[0] == "pool de,th: 16 documents"
        assert lines[1].split()[:4] == ["query", "language", "queries", "mAP"]
        labels = [line[:16].strip() for line in lines[2:-1]]
        assert labels == ["de", "th", "mean", "ceiling"]
        # R@1 finds one of two, but in the topic that has one only.
        assert lines[5].split() == ["ceiling", ".600"]
        assert lines[-1] == "95 % intervals: 20 resamples of 5 clusters, clustered by topic, seed 0"

    def test_of_a_single_language_has_a_mean_of_each_kind(self, small: Small, three: Result) -> None:
        lines = show(answer_pool(three, small.ranks(), ["th"], measure="AP"), 80)
        assert [line[:18].strip() for line in lines[2:-1]] == [
            "de",
            "en",
            "th",
            "monolingual mean",
            "cross-lingual mean",
        ]

    def test_macro_and_micro_are_apart_where_they_differ(self, small: Small, three: Result) -> None:
        answer = answer_pool(three, small.ranks(), ["de", "th"])
        macro, micro = answer.aggregates
        micro = micro.model_copy(update={"measures": dict.fromkeys(micro.measures, 0.25)})
        lines = show(answer.model_copy(update={"aggregates": (macro, micro)}), 140)
        assert [line[:16].strip() for line in lines[4:-1]] == [
            "macro mean",
            "macro ceiling",
            "micro mean",
            "micro ceiling",
        ]

    @pytest.mark.parametrize("width", [50, 80, 140])
    def test_keeps_within_the_width(self, small: Small, three: Result, width: int) -> None:
        lines = show(answer_pool(three, small.ranks(), LANGUAGES), width)
        assert max(map(len, lines)) <= width
        assert any(line.startswith("no room for") for line in lines) == (width < 140)
