from typing import NamedTuple

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import UnknownName, UserError
from mlbench.measures.ranked import (
    EXAMPLES,
    EXPLANATIONS,
    UNRETRIEVED,
    Measure,
    RelevantRanks,
    parse,
    relevant_ranks,
)


class Topic(NamedTuple):
    """One query: the score of each retrieved document and the grade of each judged one, by document id."""

    scores: dict[str, int]
    grades: dict[str, int]


@st.composite
def topics(draw: st.DrawFn, scores: st.SearchStrategy[int]) -> Topic:
    size = draw(st.integers(1, 30))
    documents = draw(st.permutations([f"d{number:02}" for number in range(size)]))
    run = {document: draw(scores) for document in documents}
    judged = draw(st.sets(st.sampled_from([*documents, "absent1", "absent2", "absent3"]), min_size=1, max_size=12))
    # Grade 0 is judged and not relevant; it must change nothing.
    grades = {document: draw(st.integers(0, 3)) for document in sorted(judged)}
    grades[draw(st.sampled_from(sorted(judged)))] = draw(st.integers(1, 3))
    return Topic(run, grades)


def ranks_of(given_topics: list[Topic]) -> RelevantRanks:
    """Rank by score descending, then by id descending."""
    rows = []
    for number, topic in enumerate(given_topics):
        ordered = sorted(topic.scores, key=lambda document: (topic.scores[document], document), reverse=True)
        rank = {document: place for place, document in enumerate(ordered, 1)}
        rows += [(number, rank.get(name, UNRETRIEVED), grade) for name, grade in topic.grades.items() if grade > 0]
    return relevant_ranks(*zip(*rows, strict=True), len(given_topics))


def trec_eval(given_topics: list[Topic], cutoff: int) -> dict[str, list[float]]:
    keys = {
        "AP": "map",
        "RR": "recip_rank",
        "nDCG": "ndcg",
        f"AP@{cutoff}": f"map_cut_{cutoff}",
        f"R@{cutoff}": f"recall_{cutoff}",
        f"P@{cutoff}": f"P_{cutoff}",
        f"nDCG@{cutoff}": f"ndcg_cut_{cutoff}",
        f"Success@{cutoff}": f"success_{cutoff}",
    }
    wanted = {"map", "recip_rank", "ndcg"} | {
        f"{name}.{cutoff}" for name in ("map_cut", "recall", "P", "ndcg_cut", "success")
    }
    qrels = {str(number): dict(topic.grades) for number, topic in enumerate(given_topics)}
    run = {
        str(number): {name: float(s) for name, s in topic.scores.items()} for number, topic in enumerate(given_topics)
    }
    found = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
    rows = [found[str(number)] for number in range(len(given_topics))]
    values = {name: [row[key] for row in rows] for name, key in keys.items()}
    values[f"RR@{cutoff}"] = [rr if rr * cutoff >= 1 - 1e-9 else 0.0 for rr in values["RR"]]
    return values


def assert_equal_to_trec_eval(given_topics: list[Topic], cutoff: int) -> None:
    relevant = ranks_of(given_topics)
    for name, expected in trec_eval(given_topics, cutoff).items():
        np.testing.assert_allclose(parse(name).values(relevant), expected, rtol=0, atol=1e-9, err_msg=name)


@given(st.lists(topics(st.integers(0, 4)), min_size=1, max_size=4), st.integers(1, 35))
def test_measures_equal_trec_eval_where_scores_tie(given_topics: list[Topic], cutoff: int) -> None:
    assert_equal_to_trec_eval(given_topics, cutoff)


@given(st.lists(topics(st.just(0)), min_size=1, max_size=4), st.integers(1, 35))
def test_measures_equal_trec_eval_on_integer_scores_of_positions(given_topics: list[Topic], cutoff: int) -> None:
    listed = [
        Topic({name: len(scores) - position for position, name in enumerate(scores)}, grades)
        for scores, grades in given_topics
    ]
    assert_equal_to_trec_eval(listed, cutoff)


def test_every_family_is_compared() -> None:
    compared = {name.partition("@")[0] for name in trec_eval([Topic({"a": 1}, {"a": 1})], 3)}
    assert compared == {name.partition("@")[0] for name in EXPLANATIONS}


@pytest.mark.parametrize(
    ("name", "ranks", "grades", "value"),
    [
        ("AP", (2, 4), (1, 1), 0.5),
        ("AP@3", (2, 4), (1, 1), 0.25),
        ("AP@1", (2, 4), (1, 1), 0.0),
        ("AP", (1, UNRETRIEVED), (1, 1), 0.5),
        ("AP", (UNRETRIEVED, UNRETRIEVED), (1, 1), 0.0),
        ("RR", (4, 9), (1, 2), 0.25),
        ("RR@4", (4, 9), (1, 2), 0.25),
        ("RR@3", (4, 9), (1, 2), 0.0),
        ("RR", (UNRETRIEVED,), (1,), 0.0),
        # A pool of two documents still divides by ten.
        ("P@10", (1, 2), (1, 1), 0.2),
        ("P@1", (1, 2), (1, 1), 1.0),
        ("R@1", (1, 2), (1, 1), 0.5),
        ("R@10", tuple(range(1, 12)), (1,) * 11, 10 / 11),
        ("Success@1", (2,), (3,), 0.0),
        ("Success@2", (2,), (3,), 1.0),
        ("nDCG", (1, 2), (1, 3), (1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3))),
        ("nDCG@1", (1, 2), (1, 3), 1 / 3),
        ("nDCG", (UNRETRIEVED,), (1,), 0.0),
    ],
)
def test_known_values(name: str, ranks: tuple[int, ...], grades: tuple[int, ...], value: float) -> None:
    relevant = relevant_ranks([0] * len(ranks), ranks, grades, 1)
    assert parse(name).values(relevant).tolist() == pytest.approx([value], abs=1e-12)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_query_without_relevant_documents_has_no_value(name: str) -> None:
    assert np.isnan(parse(name).values(relevant_ranks([1], [1], [1], 3))).tolist() == [True, False, True]
    assert np.isnan(parse(name).values(relevant_ranks([], [], [], 2))).all()
    assert parse(name).values(relevant_ranks([], [], [], 0)).shape == (0,)


def test_relevant_documents_are_gathered_in_any_order() -> None:
    gathered = relevant_ranks([2, 0, 2, 0], [7, 3, 1, UNRETRIEVED], [1, 2, 3, 1], 3)
    assert gathered.ranks.tolist() == [[3, UNRETRIEVED], [UNRETRIEVED, UNRETRIEVED], [1, 7]]
    assert gathered.grades.tolist() == [[2, 1], [0, 0], [3, 1]]
    assert gathered.n_relevant.tolist() == [2, 0, 2]


@given(st.lists(topics(st.integers(0, 9)), min_size=1, max_size=4), st.sampled_from(EXAMPLES))
def test_nothing_beats_the_ideal_list(given_topics: list[Topic], name: str) -> None:
    relevant = ranks_of(given_topics)
    values, ceilings = parse(name).values(relevant), parse(name).values(relevant.ideal())
    assert ((values >= 0) & (values <= ceilings + 1e-12) & (ceilings <= 1 + 1e-12)).all()


def test_ceilings() -> None:
    relevant = relevant_ranks([0] * 11 + [1, 1], [*range(5, 16), UNRETRIEVED, 9], [1] * 11 + [1, 2], 2)
    ideal = relevant.ideal()
    assert ideal.ranks[1].tolist() == [1, 2] + [UNRETRIEVED] * 9
    assert ideal.grades[1].tolist() == [2, 1] + [0] * 9
    expected = {"AP": (1, 1), "AP@5": (5 / 11, 1), "R@10": (10 / 11, 1), "R@1": (1 / 11, 0.5), "P@10": (1, 0.2)}
    expected |= {"RR": (1, 1), "nDCG@5": (1, 1), "Success@1": (1, 1)}
    for name, ceiling in expected.items():
        assert parse(name).values(ideal).tolist() == pytest.approx(ceiling), name


@pytest.mark.parametrize("name", [*EXAMPLES, "P@3", "nDCG@1000", "AP@1"])
def test_names_mean_what_they_mean_in_ir_measures(name: str) -> None:
    measure = parse(name)
    assert measure.name == name
    assert str(ir_measures.parse_measure(name)) == name


@pytest.mark.parametrize(
    ("alias", "measure"),
    [
        ("MAP", Measure("AP")),
        ("MRR@10", Measure("RR", 10)),
        ("NDCG@10", Measure("nDCG", 10)),
        ("Recall@100", Measure("R", 100)),
        ("R @ 5", Measure("R", 5)),
    ],
)
def test_other_spellings_are_the_same_measure(alias: str, measure: Measure) -> None:
    assert parse(alias) == measure


BAD_NAMES = """bpref Judged@10 RPrec AP(rel=2) nDCG(dcg='exp-log2')@10 R@0 R@-1 R@1.5 R@1e3 R@True P@'10' R@x AP@@
AP@10@20 Accuracy ERR@10 Compat(p=.9) __import__('os') P@010 R@9223372036854775807 R@99999999999999999999999 ap"""


@pytest.mark.parametrize("name", [*BAD_NAMES.split(), "", " ", "AP RR", "AP\nRR", "AP\0", "(" * 300])
def test_what_is_no_measure_is_told_in_one_line(name: str) -> None:
    with pytest.raises(UnknownName, match="unknown measure") as raised:
        parse(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["R", "P", "Success"])
def test_some_measures_need_a_cutoff(name: str) -> None:
    with pytest.raises(UserError, match=f"write {name}@10"):
        parse(name)


@given(st.text(max_size=20))
def test_any_text_is_a_measure_or_a_users_error(name: str) -> None:
    try:
        measure = parse(name)
    except UserError:
        return
    assert parse(measure.name) == measure


@pytest.mark.parametrize("name", ["-" * 100_000 + "1", "(" * 100_000, "R@" + "1" * 100_000, "R@1" + " " * 100_000])
def test_a_name_without_end_is_unknown(name: str) -> None:
    with pytest.raises(UnknownName, match=r"unknown measure '.{97}\.\.\.'"):
        parse(name)
