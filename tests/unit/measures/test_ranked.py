from time import process_time
from typing import NamedTuple

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from mlbench.errors import UnknownName, UserError
from mlbench.measures.formulas import UNRETRIEVED, RelevantRanks, relevant_ranks
from mlbench.measures.ranked import EXAMPLES, parse

DERIVED = [name for name in EXAMPLES if parse(name).is_derived]
BOUNDED = [name for name in (*DERIVED, "nDCG(dcg='exp-log2')@10", "RBP(rel=1)", "P(rel=2)@5") if parse(name).most == 1]
NOT_AT_THE_TOP = ("INST", "BPM", "NERR8", "NERR9", "NERR10", "NERR11")
"""Readers who stop once they have enough gain something else of documents after that."""
MONOTONE = [name for name in BOUNDED if name.partition("(")[0] not in (*NOT_AT_THE_TOP, "Compat", "ERR")]


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


@pytest.mark.parametrize("name", DERIVED)
def test_a_query_without_relevant_documents_has_no_value(name: str) -> None:
    assert np.isnan(parse(name).values(relevant_ranks([1], [1], [1], 3))).tolist() == [True, False, True]
    assert np.isnan(parse(name).values(relevant_ranks([], [], [], 2))).all()
    assert parse(name).values(relevant_ranks([], [], [], 0)).shape == (0,)


def test_relevant_documents_are_gathered_in_any_order() -> None:
    gathered = relevant_ranks([2, 0, 2, 0], [7, 3, 1, UNRETRIEVED], [1, 2, 3, 1], 3)
    assert gathered.ranks.tolist() == [[3, UNRETRIEVED], [UNRETRIEVED, UNRETRIEVED], [1, 7]]
    assert gathered.grades.tolist() == [[2, 1], [0, 0], [3, 1]]
    assert gathered.n_relevant.tolist() == [2, 0, 2]


@given(st.lists(topics(st.integers(0, 9)), min_size=1, max_size=4), st.sampled_from(BOUNDED))
def test_nothing_beats_the_ideal_list(given_topics: list[Topic], name: str) -> None:
    relevant = ranks_of(given_topics)
    values, ceilings = parse(name).values(relevant), parse(name).values(relevant.ideal())
    assert ((values >= 0) & (values <= 1 + 1e-12) & (ceilings <= 1 + 1e-12)).all()
    if name.partition("(")[0] not in NOT_AT_THE_TOP:
        assert (values <= ceilings + 1e-12).all()


@given(topics(st.integers(0, 9)), st.sampled_from(MONOTONE), st.data())
def test_moving_a_relevant_document_up_never_lowers_a_measure(topic: Topic, name: str, data: st.DataObject) -> None:
    relevant = ranks_of([topic])
    found = [place for place, rank in enumerate(relevant.ranks[0].tolist()) if 1 < rank < UNRETRIEVED]
    if not found:
        return
    place = data.draw(st.sampled_from(found))
    above = set(relevant.ranks[0].tolist()) - {relevant.ranks[0, place]}
    free = [rank for rank in range(1, int(relevant.ranks[0, place])) if rank not in above]
    if not free:
        return
    ranks = relevant.ranks.copy()
    ranks[0, place] = data.draw(st.sampled_from(free))
    rows = [
        (0, rank, grade) for rank, grade in zip(ranks[0].tolist(), relevant.grades[0].tolist(), strict=True) if grade
    ]
    moved = relevant_ranks(*zip(*rows, strict=True), 1, relevant.listed)
    assert parse(name).values(moved)[0] >= parse(name).values(relevant)[0] - 1e-12


@pytest.mark.slow
def test_a_measure_of_many_queries_takes_no_loop_over_them() -> None:
    """13,090 queries of 11 relevant documents, as XQuAD-R has; a loop in Python would take minutes over all names."""
    draw = np.random.default_rng(0)
    ranks = np.sort(draw.permuted(np.tile(np.arange(1, 2001), (13_090, 1)), axis=1)[:, :11], axis=1)
    relevant = RelevantRanks(ranks, draw.integers(1, 4, ranks.shape).astype(np.float64), np.full(13_090, 2000))
    start = process_time()
    for name in DERIVED:
        assert np.isfinite(parse(name).values(relevant)).all()
    assert process_time() - start < 20


def test_ceilings() -> None:
    relevant = relevant_ranks([0] * 11 + [1, 1], [*range(5, 16), UNRETRIEVED, 9], [1] * 11 + [1, 2], 2)
    ideal = relevant.ideal()
    assert ideal.ranks[1].tolist() == [1, 2] + [UNRETRIEVED] * 9
    assert ideal.grades[1].tolist() == [2, 1] + [0] * 9
    expected = {"AP": (1, 1), "AP@5": (5 / 11, 1), "R@10": (10 / 11, 1), "R@1": (1 / 11, 0.5), "P@10": (1, 0.2)}
    expected |= {"RR": (1, 1), "nDCG@5": (1, 1), "Success@1": (1, 1)}
    for name, ceiling in expected.items():
        assert parse(name).values(ideal).tolist() == pytest.approx(ceiling), name


@pytest.mark.parametrize("name", [*EXAMPLES, "P@3", "nDCG@1000", "AP@1", "AP(judged_only=True)@10"])
def test_names_mean_what_they_mean_in_ir_measures(name: str) -> None:
    measure = parse(name)
    assert measure.name == name
    assert str(ir_measures.parse_measure(name)) == name


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        *(
            (alias, "AP")
            for alias in ("MAP", "mAP", "map", "ap", "average precision", "AP(rel=1)", "AP( judged_only=False )")
        ),
        *(
            (alias, "RR@10")
            for alias in ("MRR@10", "mrr@10", "mrr_at_10", "recip_rank@10", "reciprocal-rank@10", "rr_10")
        ),
        *(
            (alias, "nDCG@10")
            for alias in ("NDCG@10", "ndcg_cut_10", "NDCG_cut_10", "ndcg_at_10", "ndcg_cut.10", "nDCG(cutoff=10)")
        ),
        *(
            (alias, "R@100")
            for alias in ("Recall@100", "recall@100", "recall_100", "recall.100", "recall_at_100", "r@100")
        ),
        *((alias, "P@5") for alias in ("Precision@5", "P_5", "P.5", "precision_at_5", "p @ 5", "P(rel=1)@5")),
        *((alias, "AP@10") for alias in ("map_cut_10", "map_at_10", "map@10")),
        *(
            (alias, "Success@1")
            for alias in ("hit rate@1", "hit_rate@1", "hit_rate_at_1", "success_1", "accuracy@1", "accuracy_at_1")
        ),
        ("Accuracy", "Accuracy"),
        ("Accuracy@5", "Accuracy@5"),
        ("r-precision", "Rprec"),
        ("RPrec", "Rprec"),
        ("iprec_at_recall_0.10", "IPrec@0.1"),
        ("IPrec@1", "IPrec@1.0"),
        ("set_F", "SetF"),
        ("set_map", "SetAP"),
        ("SetRelP", "SetP(relative=True)"),
        ("set_relative_P", "SetP(relative=True)"),
        ("num_rel_ret", "NumRet(rel=1)"),
        ("NumRelRet", "NumRet(rel=1)"),
        ("bpref", "Bpref"),
        ("ndcg_burges@10", "nDCG(dcg='exp-log2')@10"),
        ("nDCG(dcg=exp-log2)@10", "nDCG(dcg='exp-log2')@10"),
        ('nDCG(dcg="exp-log2", cutoff=10)', "nDCG(dcg='exp-log2')@10"),
        ("nDCG(gains={3:7, 2:3, 1:1})", "nDCG(gains={2:3,3:7})"),
        ("RBP(p=.9)", "RBP(p=0.9)"),
        ("rbp.95", "RBP(p=0.95)"),
        ("rbp", "RBP"),
        ("INST(max_rel=2, T=1)", "INST(max_rel=2)"),
    ],
)
def test_other_spellings_are_the_same_measure(alias: str, name: str) -> None:
    assert parse(alias).name == name


BAD_NAMES = (
    """Bref AP@@ AP@10@20 Compact(p=.9) __import__('os') P(rel=2 P(rel=2)) rel=2 P(((rel=2))) _ @10 (rel=2) 10 hits@3"""
)


@pytest.mark.parametrize("name", [*BAD_NAMES.split(), "", " ", "AP RR", "AP\0", "(" * 300])
def test_what_is_no_measure_is_told_in_one_line(name: str) -> None:
    with pytest.raises(UnknownName, match="unknown measure") as raised:
        parse(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *(
            (name, f"needs a cutoff: write {family}@10")
            for name, family in (("R", "R"), ("precision", "P"), ("accuracy", "Success"))
        ),
        ("IPrec", "needs a level of recall: write IPrec@0.1"),
        ("INST", r"needs a max_rel: write INST\(max_rel=3\)"),
        *(
            (f"R@{cutoff}", "cutoff must be a whole number from 1 on")
            for cutoff in ("0", "-1", "1.5", "1e3", "True", "'10'", "x", "010", "9" * 20)
        ),
        *(
            (f"AP(rel={rel})", "rel must be a whole number from 1 on, since documents of lower grades")
            for rel in ("0", "-1", "1.5")
        ),
        ("P(rel=2,)@5", r"parameters are written as in P\(rel=2\)"),
        ("P(2)@5", r"parameters are written as in P\(rel=2\)"),
        ("P(rel=2,rel=3)@5", "two of rel"),
        ("P(cutoff=3)@5", "two of cutoff"),
        ("P(level=2)@5", "unknown parameter of P 'level': did you mean rel"),
        ("Rprec@5", "Rprec has no cutoff"),
        ("IPrec@1.5", "level of recall must be a number from 0 to 1"),
        ("RBP(p=1)", "p must be a number between 0 and 1"),
        ("RBP(p=nan)", "p must be a number between 0 and 1"),
        ("BPM(min_rel=3,max_rel=3)@5", "max_rel must be above min_rel"),
        ("nDCG(dcg=log10)", "dcg must be 'log2' or 'exp-log2'"),
        ("nDCG(gains={0:1})", "gains must be a map of grades from 1 on"),
        ("nDCG(dcg='exp-log2',gains={1:2})", "give gains or dcg"),
        ("NumQ", "is not computed: n_queries stands beside every mean"),
    ],
)
def test_what_is_wrong_with_a_measure_is_told_in_one_line(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        parse(name)
    assert "\n" not in str(raised.value)


def test_unknown_measures_raise_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean nDCG"):
        parse("ndgc")
    with pytest.raises(UnknownName, match="did you mean Rprec"):
        parse("R-prek")


@pytest.mark.parametrize("name", ["Bpref", "infAP", "Judged@10", "AP(judged_only=True)"])
def test_some_measures_do_not_follow_from_ranks(name: str) -> None:
    assert not parse(name).is_derived
    with pytest.raises(UserError, match="does not follow from ranks"):
        parse(name).values(relevant_ranks([0], [1], [1], 1))


@pytest.mark.parametrize(("name", "grade"), [("ERR@10", 5), ("nDCG(dcg='exp-log2')", 61)])
def test_grades_that_a_measure_is_not_defined_for_are_refused(name: str, grade: int) -> None:
    with pytest.raises(UserError, match=f"is defined for grades up to .*, and there is one of {grade}"):
        parse(name).values(relevant_ranks([0], [1], [grade], 1))


def test_grades_need_not_be_whole_numbers() -> None:
    relevant = relevant_ranks([0, 0], [1, 2], [0.5, 1.5], 1)
    best = 1.5 + 0.5 / np.log2(3)
    assert parse("nDCG").values(relevant).tolist() == pytest.approx([(0.5 + 1.5 / np.log2(3)) / best])
    assert parse("P(rel=1)@2").values(relevant).tolist() == [1.0]
    assert parse("P(rel=2)@2").values(relevant).tolist() == [0.0]


@given(st.text(max_size=20))
def test_any_text_is_a_measure_or_a_users_error(name: str) -> None:
    try:
        measure = parse(name)
    except UserError:
        return
    assert parse(measure.name) == measure


@given(st.floats(1e-99, 1, exclude_max=True), st.floats(1e-99, 2**53))
def test_any_number_in_a_name_is_read_again_from_the_canonical_one(p: float, beta: float) -> None:
    for measure in (parse(f"RBP(p={p!r})"), parse(f"SetF(beta={beta!r})")):
        assert parse(measure.name) == measure
    assert dict(parse(f"RBP(p={p:.17e})").parameters).get("p", 0.8) == p


@pytest.mark.parametrize("name", ["-" * 100_000 + "1", "(" * 100_000, "R@1" + " " * 100_000])
def test_a_name_without_end_is_unknown(name: str) -> None:
    with pytest.raises(UnknownName, match=r"unknown measure '.{97}\.\.\.'"):
        parse(name)
