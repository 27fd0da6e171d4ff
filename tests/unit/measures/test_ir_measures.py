"""Every derived measure equals ir_measures, or the definition of its authors where ir_measures needs a package more."""

from collections.abc import Iterator
from random import Random

import ir_measures
import numpy as np
import pytest
from numpy.typing import NDArray

from mlbench.errors import UserError
from mlbench.measures.formulas import HORIZON, UNRETRIEVED, RelevantRanks, relevant_ranks
from mlbench.measures.ranked import EXAMPLES, FAMILIES, REFUSED, Measure, parse

Floats = NDArray[np.float64]
Qrels = dict[str, dict[str, int]]
Run = dict[str, dict[str, float]]

_BY_IR_MEASURES = """
AP AP@5 AP@100 AP@1000 AP(rel=2) AP(rel=3)@10 RR RR(rel=2) RR(rel=3) RR@1 RR@3 RR(rel=2)@10 R@1 R@5 R@10 R@100
R(rel=2)@10
P@1 P@3 P@5 P@10 P@100 P(rel=2)@5 P(rel=3)@10 nDCG nDCG@1 nDCG@3 nDCG@10 nDCG@100
nDCG(gains={2:3,3:7}) nDCG(gains={2:3,3:7})@5 nDCG(gains={1:0,2:1})@10 nDCG(gains={1:5})@20
nDCG(dcg='exp-log2')@1 nDCG(dcg='exp-log2')@5 nDCG(dcg='exp-log2')@10 nDCG(dcg='exp-log2')@100
Success@1 Success@3 Success@10 Success(rel=2)@5 Success(rel=3)@20 Rprec Rprec(rel=2) Rprec(rel=3)
IPrec@0.0 IPrec@0.1 IPrec@0.25 IPrec@0.5 IPrec@0.7 IPrec@1.0 IPrec(rel=2)@0.5 ERR@1 ERR@3 ERR@5 ERR@10 ERR@20 ERR@100
SetP SetP(rel=2) SetP(relative=True) SetP(rel=2,relative=True) SetR SetR(rel=2) SetF SetF(beta=0.5) SetF(beta=2.0)
SetF(rel=2) SetAP SetAP(rel=3) NumRel NumRet NumRet(rel=1) NumRet(rel=2)
Accuracy Accuracy@5 Accuracy(rel=2) Accuracy(rel=2)@10 Compat Compat(p=0.8) Compat(p=0.5,normalize=False) Compat(p=0.99)
"""
"""What ir_measures computes without another package."""

_BY_AUTHORS = """
RBP(rel=1) RBP(p=0.5,rel=1) RBP(p=0.95,rel=2) SDCG(max_rel=3)@5 SDCG(max_rel=3)@10 SDCG(min_rel=1,max_rel=2)@20
BPM(max_rel=3)@5 BPM(max_rel=3)@10 BPM(T=0.5,max_rel=3)@20 BPM(T=2.0,min_rel=1,max_rel=3)@10
INST(max_rel=3) INST(T=2.0,max_rel=3) INST(T=0.5,max_rel=2) INST(T=3.0,min_rel=1,max_rel=3)
INSQ(max_rel=3) INSQ(T=2.0,max_rel=3) INSQ(T=0.5,min_rel=1,max_rel=2)
NERR8(max_rel=3)@5 NERR8(max_rel=4)@10 NERR8(min_rel=1,max_rel=3)@20 NERR9(max_rel=3)@5 NERR9(max_rel=4)@100
NERR10(max_rel=3) NERR10(p=0.5,max_rel=3) NERR10(p=0.99,min_rel=1,max_rel=4) NERR11(max_rel=3) NERR11(T=2.0,max_rel=4)
"""
"""What it computes with cwl_eval, of which `continuation` holds the models."""


BY_IR_MEASURES, BY_AUTHORS = _BY_IR_MEASURES.split(), _BY_AUTHORS.split()


def draw(seed: int, *, topics: int = 60) -> tuple[Qrels, Run]:
    """Return graded judgments and lists without ties: short ones, long ones, and ones that miss relevant documents.

    One document of each list is not judged, so that not all that is listed is relevant.
    """
    chance = Random(seed)
    qrels: Qrels = {}
    run: Run = {}
    for topic in range(1, topics + 1):
        length = chance.choice([2, 3, 8, 25, 130])
        documents = [f"d{number}" for number in range(length)]
        chance.shuffle(documents)
        plain, *rest = documents
        judged = chance.sample([*rest, "absent1", "absent2", "absent3"], min(chance.randint(1, 9), len(rest) + 3))
        grades = {document: chance.choice([0, 1, 1, 2, 3]) for document in judged}
        grades[chance.choice(judged)] = chance.randint(1, 3)
        qrels[str(topic)] = grades
        listed = chance.sample([plain, *rest], length)
        run[str(topic)] = {document: float(length - place) for place, document in enumerate(listed)}
    return qrels, run


def ranks_of(qrels: Qrels, run: Run) -> RelevantRanks:
    rows = []
    for number, (topic, grades) in enumerate(qrels.items()):
        places = {document: place for place, document in enumerate(run[topic], 1)}
        rows += [(number, places.get(document, UNRETRIEVED), grade) for document, grade in grades.items() if grade]
    return relevant_ranks(*zip(*rows, strict=True), len(qrels), [len(listed) for listed in run.values()])


def by_ir_measures(name: str, qrels: Qrels, run: Run) -> dict[str, float]:
    found = ir_measures.iter_calc([ir_measures.parse_measure(name)], qrels, run)
    return {metric.query_id: float(metric.value) for metric in found}


def continuation(measure: Measure, gains: Floats) -> Floats:
    """Return the probability to go on from each rank, as the authors of C/W/L measures define their models."""
    given = dict(measure.parameters)
    rank, total = np.arange(1.0, len(gains) + 1), np.cumsum(gains)
    wanted = float(given.get("T", 1.0))
    inside = rank < (measure.cutoff or np.inf)
    match measure.family:
        case "RBP":
            return np.full(len(gains), float(given.get("p", 0.8)))
        case "SDCG":
            return np.where(inside, np.log2(rank + 1) / np.log2(rank + 2), 0)
        case "BPM":
            return np.where(inside & (total < wanted), 1.0, 0.0)
        case "INST":
            return ((rank + 2 * wanted - total - 1) / (rank + 2 * wanted - total)) ** 2
        case "INSQ":
            return ((rank + 2 * wanted - 1) / (rank + 2 * wanted)) ** 2
        case "NERR8":
            return np.where(inside, 1 - gains, 0)
        case "NERR9":
            return np.where(inside, (1 - gains) * rank / (rank + 1), 0)
        case "NERR10":
            return (1 - gains) * float(given.get("p", 0.9))
        case "NERR11":
            return (1 - gains) * ((rank + 2 * wanted - 1) / (rank + 2 * wanted)) ** 2
    raise ValueError(measure.family)


def by_authors(measure: Measure, qrels: Qrels, run: Run) -> Iterator[float]:
    """Yield the expected rate of gain of each query (Moffat, Bailey, Scholer & Thomas 2017), rank by rank."""
    given = dict(measure.parameters)
    low, high = (int(given.get("rel", given.get(key, usual))) for key, usual in (("min_rel", 0), ("max_rel", 1)))
    for topic, listed in run.items():
        gains = np.zeros(HORIZON)
        for place, document in enumerate(listed):
            grade = qrels[topic].get(document, 0)
            gains[place] = grade >= low if "rel" in given else (min(max(grade, low), high) - low) / (high - low)
        looked_at = np.concatenate(([1.0], np.cumprod(continuation(measure, gains)[:-1])))
        yield float(looked_at @ gains / looked_at.sum())


def has_provider(name: str) -> bool:
    measure = ir_measures.parse_measure(name)
    return any(p.is_available() and p.supports(measure) for p in ir_measures.providers.registry.values())


@pytest.mark.parametrize("name", [*BY_IR_MEASURES, *BY_AUTHORS])
def test_equal_to_ir_measures(name: str) -> None:
    qrels, run = draw(7)
    measure = parse(name)
    assert str(ir_measures.parse_measure(name)) == measure.name == name
    values = dict(zip(qrels, measure.values(ranks_of(qrels, run)).tolist(), strict=True))
    if name in BY_AUTHORS:
        assert list(by_authors(measure, qrels, run)) == pytest.approx(list(values.values()), abs=1e-9)
    if not has_provider(name):
        assert name in BY_AUTHORS
        return
    expected = by_ir_measures(name, qrels, run)
    if measure.family == "Accuracy":
        # It has no value for a query without a relevant document in the list.
        expected = dict.fromkeys(qrels, 0.0) | expected
    # gdeval prints five decimals.
    rounded = measure.family == "ERR" or "exp-log2" in name
    assert values == pytest.approx(expected, abs=5.1e-6 if rounded else 1e-6)
    assert len(set(values.values())) > 1


@pytest.mark.parametrize("cutoff", [1, 5, 10, 100])
def test_exponential_gain_is_the_map_of_its_gains(cutoff: int) -> None:
    """What gdeval rounds is compared in full: pytrec_eval takes the gains as grades."""
    qrels, run = draw(11)
    values = parse(f"nDCG(dcg='exp-log2')@{cutoff}").values(ranks_of(qrels, run))
    expected = by_ir_measures(f"nDCG(gains={{2:3,3:7}})@{cutoff}", qrels, run)
    assert values.tolist() == pytest.approx([expected[topic] for topic in qrels], abs=1e-9)


def test_expected_reciprocal_rank_reader_by_reader() -> None:
    qrels, run = draw(12)
    values = []
    for topic, listed in run.items():
        value, going_on = 0.0, 1.0
        for place, document in enumerate(list(listed)[:20], 1):
            satisfied = (2 ** qrels[topic].get(document, 0) - 1) / 16
            value, going_on = value + going_on * satisfied / place, going_on * (1 - satisfied)
        values.append(value)
    assert parse("ERR@20").values(ranks_of(qrels, run)).tolist() == pytest.approx(values, abs=1e-12)


def test_every_derived_family_is_compared() -> None:
    compared = {parse(name).family for name in (*BY_IR_MEASURES, *BY_AUTHORS)}
    assert compared == {name for name, family in FAMILIES.items() if family.formula is not None}
    assert len(BY_IR_MEASURES) >= 60


def test_every_parameter_is_one_of_ir_measures() -> None:
    for name, family in FAMILIES.items():
        supported = ir_measures.measures.registry[name].SUPPORTED_PARAMS
        assert set(family.parameters) == set(supported), name
        for key, usual in family.parameters.items():
            default = supported[key].default
            known = usual if usual not in (None, ()) else None
            assert known == (default if isinstance(default, int | float | str) else None), (name, key)


def test_every_name_of_ir_measures_is_known_or_refused_with_a_reason() -> None:
    for name in ir_measures.measures.registry:
        if name in REFUSED:
            with pytest.raises(UserError, match=f"measure '{name}' is not computed: "):
                parse(name)
        elif name in FAMILIES:
            assert name in {parse(example).family for example in EXAMPLES}
        else:
            needs_cutoff = name in ("Precision", "Recall", "α_DCG", "α_nDCG")
            assert parse(f"{name}@3" if needs_cutoff else name).family in FAMILIES
