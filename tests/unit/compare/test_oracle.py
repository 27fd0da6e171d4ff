"""No score, test, gate or board calls a random, empty, constant or one-sided system better than a perfect one."""

from collections.abc import Callable

import numpy as np
import pytest
from unit.compare.cases import gate, measured
from unit.statistics.cases import LANGUAGES, ListRanker, Orders, homes, make_collection, ranks_of

from mlbench.collection.languages import settings_of
from mlbench.collection.records import Collection
from mlbench.compare.compare import CompareOptions, compare_systems
from mlbench.compare.gate import BOUNDED, DEFAULT, RISING, Rule
from mlbench.compare.pairing import ResultWithRanks, Side
from mlbench.leaderboard.columns import COLUMNS
from mlbench.leaderboard.evidence import gather
from mlbench.leaderboard.standings import rank_entries
from mlbench.measures.bias import BIAS_SCORES
from mlbench.protocols import Silence
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists
from mlbench.ranking.ranks import Ranks
from mlbench.statistics.direction import direction_of, loss

# Every rotation of the languages is asked for equally often in each.
TOPICS = 6 * len(LANGUAGES)
COLLECTION = make_collection(seed=3, topics=TOPICS, documents=40)
HOME = homes(COLLECTION)


def orders(arrange: Callable[[str, int, list[str]], list[str]], collection: Collection = COLLECTION) -> Orders:
    """Return the order of all documents for each query, as `arrange` makes it of language, topic and documents."""
    return {
        (language, topic): arrange(language, number, sorted(HOME))
        for language in collection.languages
        for number, (topic, _) in enumerate(collection.queries[language])
    }


def relevant(number: int) -> list[str]:
    """Return the relevant documents of a topic in the order of languages."""
    topic = COLLECTION.queries["en"][number].topic_id
    return sorted((judged.doc_id for judged in COLLECTION.judgments[topic]), key=HOME.__getitem__)


def first(own: list[str], documents: list[str]) -> list[str]:
    return [*own, *(doc_id for doc_id in documents if doc_id not in own)]


def balanced(language: str, number: int, documents: list[str]) -> list[str]:
    """A perfect order in which each document stands at each place equally often."""
    own = relevant(number)
    shift = (number + LANGUAGES.index(language)) % len(own)
    return first(own[shift:] + own[:shift], documents)


def one_sided(place: int) -> Callable[[str, int, list[str]], list[str]]:
    """A perfect order but for the document in the query's own language, which is always the first (0) or last (-1)."""

    def arrange(language: str, number: int, documents: list[str]) -> list[str]:
        others = [doc_id for doc_id in relevant(number) if HOME[doc_id] != language]
        own = [doc_id for doc_id in relevant(number) if HOME[doc_id] == language]
        return first(own + others if place == 0 else others + own, documents)

    return arrange


def far_from_own(language: str, number: int, documents: list[str]) -> list[str]:
    """All documents in the query's own language stand behind all others."""
    return sorted(documents, key=lambda doc_id: (HOME[doc_id] == language, doc_id))


def by_language(language: str, number: int, documents: list[str]) -> list[str]:
    return sorted(documents, key=lambda doc_id: (HOME[doc_id], doc_id))


def at_random(language: str, number: int, documents: list[str]) -> list[str]:
    seed = number * len(LANGUAGES) + LANGUAGES.index(language)
    return [documents[index] for index in np.random.RandomState(seed).permutation(len(documents))]


def without_relevant() -> Ranks:
    arrays = index_collection(COLLECTION)
    found = orders(lambda _, number, documents: [each for each in documents if each not in relevant(number)])
    lists = rank_lists(
        arrays, ListRanker(COLLECTION, found, longest=10), settings_of(COLLECTION.languages), 10, Silence()
    )
    return to_ranks(arrays, lists)


def result(ranks: Ranks, spec: str) -> ResultWithRanks:
    return measured(ranks, COLLECTION, spec=spec, bias_scores=tuple(BIAS_SCORES))


SYSTEMS = {
    "random": ranks_of(COLLECTION, orders(at_random)),
    "empty": without_relevant(),
    "constant": ranks_of(COLLECTION, orders(lambda *asked: asked[2])),
    "one language first": ranks_of(COLLECTION, orders(by_language)),
    "own language last": ranks_of(COLLECTION, orders(far_from_own)),
    "perfect, own language last": ranks_of(COLLECTION, orders(one_sided(-1))),
    "perfect, own language first": ranks_of(COLLECTION, orders(one_sided(0))),
}
ORACLE = result(ranks_of(COLLECTION, orders(balanced)), "oracle")
OTHERS = {name: result(ranks, name) for name, ranks in SYSTEMS.items()}


def test_the_perfect_system_has_the_ideal_of_every_score() -> None:
    assert ORACLE.result.bias
    for score in ORACLE.result.bias.scores:
        assert set(score.references) >= {"ideal", "chance"}, score.name
        # These are what they are with perfect lists that hold more than the relevant documents.
        if score.name in ("language_share@10", "language_share@20"):
            continue
        if direction_of(score.name) is not None:
            assert score.value == pytest.approx(score.references["ideal"], abs=1e-12), score.name


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_score_is_better_than_that_of_the_perfect_system(name: str) -> None:
    assert ORACLE.result.bias
    bias = OTHERS[name].result.bias
    assert bias
    worse = 0
    for best, found in zip(ORACLE.result.bias.scores, bias.scores, strict=True):
        if direction_of(found.name) is None or found.name.startswith("language_share"):
            continue
        # A conditional score is not there where nothing was found.
        if BIAS_SCORES[found.name].conditional and found.value is None:
            continue
        lost = [
            loss(each.name, each.value, each.references["ideal"]) for each in (best, found) if each.value is not None
        ]
        assert lost[0] <= lost[1] + 1e-12, found.name
        worse += lost[0] < lost[1] - 1e-6
    assert worse >= 2


@pytest.mark.parametrize("rule", ["point", "significant", "non_inferior"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_no_test_or_gate_prefers_it(name: str, rule: Rule) -> None:
    def side(found: ResultWithRanks) -> Side:
        return Side(found.result.retriever.spec, {"small": (found,)})

    options = CompareOptions(flips=500, resamples=100)
    for base, candidate, unwanted in ((ORACLE, OTHERS[name], "better"), (OTHERS[name], ORACLE, "worse")):
        compared = compare_systems(side(base), side(candidate), DEFAULT.model_copy(update={"rule": rule}), options)
        assert unwanted not in compared.tasks[0].verdicts
        assert compared.passed == (candidate is ORACLE)


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "empty"])
def test_what_the_perfect_system_fails_no_other_passes(name: str) -> None:
    """Rises and ceilings of every score that can be bounded, at values between both systems."""
    oracle, other = ORACLE.result.bias, OTHERS[name].result.bias
    assert oracle
    assert other
    ceilings = {}
    bounded = [name for name in BOUNDED if BIAS_SCORES[name].needs != "native"]
    for score in bounded:
        best, found = oracle.score(score), other.score(score)
        assert best
        assert found
        assert best.value is not None
        assert found.value is not None
        ceilings[score] = (best.value + found.value) / 2
    options = CompareOptions(flips=200, resamples=50)
    rules = gate(rise=dict.fromkeys((name for name in RISING if name in bounded), 0.0), ceiling=ceilings, rule="point")
    sides = [Side(one.result.retriever.spec, {"small": (one,)}) for one in (ORACLE, OTHERS[name])]
    checks = compare_systems(sides[1], sides[0], rules, options).tasks[0].checks
    assert [check for check in checks if not check.passed] == []
    turned = compare_systems(sides[0], sides[1], rules, options).tasks[0].checks
    failed = {(check.rule, check.subject.name) for check in turned if not check.passed and check.subject}
    assert {
        ("ceiling", score) for score, bound in ceilings.items() if abs(bound - oracle.score(score).value) > 1e-9
    } == {each for each in failed if each[0] == "ceiling"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_column_of_a_board_ranks_it_before_the_perfect_system(name: str) -> None:
    best, found = (gather(each.result, each.ranks) for each in (ORACLE, OTHERS[name]))
    for column in COLUMNS:
        if column in best.columns and column in found.columns:
            ranks = rank_entries([best.columns[column], found.columns[column]], flips=200)
            assert ranks[0]
            assert ranks[0].low == 1
    if name == "empty":
        assert not [column for column in found.columns if column.kind is None]


def test_as_far_from_the_ideal_on_the_other_side_is_no_better() -> None:
    """A preference of 1 and one of 0 differ by all that is possible, and both are as far from 1/2."""
    one, other = OTHERS["perfect, own language last"], OTHERS["perfect, own language first"]
    sides = [Side(each.result.retriever.spec, {"small": (each,)}) for each in (one, other)]
    for base, candidate in (sides, sides[::-1]):
        task = compare_systems(base, candidate, DEFAULT, CompareOptions(flips=200, resamples=50)).tasks[0]
        line = task.tests.line("own_language_preference")
        assert line
        assert line.adjusted
        assert (abs(line.difference or 0), line.adjusted.two_sided) == (1.0, 1.0)
        assert task.verdicts[task.tests.lines.index(line)] == "not_significant"
        assert all(check.passed for check in task.checks)
