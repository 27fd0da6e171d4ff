"""Fusion of scores against ranx, against sums in plain Python, and what must not change it."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.retrievers.pipelines.toys import ToyEncoder, ToyRanker

from mlbench import Options, evaluate
from mlbench.collection.languages import Setting
from mlbench.collection.records import Document, Query
from mlbench.errors import RetrieverError
from mlbench.open_model import LoadedModel
from mlbench.protocols import SILENCE, RankedList
from mlbench.ranking.count_ahead import by_id
from mlbench.retrievers.pipelines.declaration import Fusion, FusionMethod, Normalisation, Tuned, WeightedPart
from mlbench.retrievers.pipelines.fusion import FusionRanker, fuse_scores, normalise, query_digest
from mlbench.retrievers.pipelines.parts import OpenedPart

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "ranx_fusion.json").read_text(encoding="utf-8"))
IDS = [f"d{number:02}" for number in range(12)]
Scored = dict[str, float]


def fused(
    lists: Sequence[Scored], weights: Sequence[float], method: FusionMethod, how: Normalisation, depth: int = 20
) -> list[tuple[str, float]]:
    """Fuse the lists of one query."""
    names = [IDS[index] for index in by_id(IDS)]
    places = [
        [(np.array([names.index(name) for name in own], dtype=np.int64), normalise(np.array([*own.values()]), how))]
        for own in lists
    ]
    [(found, sums)] = fuse_scores(places, weights, len(IDS), method, depth=depth)
    assert (np.diff(sums) <= 0).all()
    return [(names[place], float(score)) for place, score in zip(found, sums, strict=True)]


def plain(lists: Sequence[Scored], weights: Sequence[float], method: str, how: str) -> Scored:
    """Fuse the lists of one query as the papers say, in plain Python."""
    sums: dict[str, list[float]] = {}
    for own, weight in zip(lists, weights, strict=True):
        values = [*own.values()]
        for name, score in own.items():
            if how == "min_max":
                score = (score - min(values)) / ((max(values) - min(values)) or 1)
            elif how == "sum":
                score = (score - min(values)) / (sum(value - min(values) for value in values) or 1)
            elif how == "z_score":
                score = (score - fmean(values)) / (pstdev(values) or 1)
            sums.setdefault(name, []).append(weight * score)
    factor = {"combsum": lambda n: 1.0, "combmnz": float, "combanz": lambda n: 1 / n}[method]
    return {name: sum(scores) * factor(len(scores)) for name, scores in sums.items()}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: "-".join(map(str, [*case.values()][:3])))
def test_scores_are_those_of_ranx(case: dict[str, Any]) -> None:
    for query, theirs in case["fused"].items():
        lists = [system[query] for system in GOLDEN["systems"]]
        found = dict(fused(lists, case["weights"] or [1, 1, 1], case["method"], case["normalisation"]))
        assert found == pytest.approx(theirs, abs=1e-9)


@st.composite
def scored_lists(draw: st.DrawFn) -> list[Scored]:
    scores = st.integers(-8, 8).map(lambda number: number / 4)
    one = st.dictionaries(st.sampled_from(IDS), scores, max_size=12)
    lists = draw(st.lists(one, min_size=1, max_size=4))
    return [dict(sorted(own.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)) for own in lists]


@settings(max_examples=40)
@given(scored_lists(), st.sampled_from(["combsum", "combmnz", "combanz"]), st.sampled_from(get_args(Normalisation)))
def test_as_the_formulas_say(lists: list[Scored], method: FusionMethod, how: Normalisation) -> None:
    weights = [0.5 + number for number in range(len(lists))]
    expected, found = plain(lists, weights, method, how), fused(lists, weights, method, how)
    assert dict(found) == pytest.approx(expected, abs=1e-9)
    assert found == sorted(found, key=lambda pair: (pair[1], pair[0]), reverse=True)
    assert fused(lists, weights, method, how, depth=3) == found[:3]
    # The order of the systems changes nothing, to the bit.
    assert fused(lists[::-1], weights[::-1], method, how) == found


def test_normalised_scores_by_hand() -> None:
    scores = np.array([4.0, 2.0, 0.0], dtype=np.float32)
    assert normalise(scores, "min_max").tolist() == [1, 0.5, 0]
    assert normalise(scores, "sum").tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert normalise(scores, "z_score").tolist() == pytest.approx([1.5**0.5, 0, -(1.5**0.5)])
    assert normalise(scores, "none").tolist() == [4, 2, 0]
    for how in get_args(Normalisation)[:3]:
        assert normalise(np.array([3.0, 3.0]), how).tolist() == [0, 0]
        assert normalise(np.empty(0), how).tolist() == []


def opened(*retrievers: object, **keys: Any) -> FusionRanker:
    parts = [OpenedPart.of(LoadedModel(retriever, f"part {n}")) for n, retriever in enumerate(retrievers)]  # type: ignore[arg-type]
    systems = tuple(WeightedPart(model=part.opened.spec) for part in parts)
    return FusionRanker(Fusion(kind="fusion", systems=systems, **keys), parts)


SETTING = Setting("en", ("en",))
QUERIES = [Query(str(number), f"query {number}") for number in range(3)]
DOCUMENTS = [Document(f"{number:03}", f"text {number}") for number in range(50)]


def test_a_list_is_the_beginning_of_any_deeper_one() -> None:
    ranker = opened(ToyEncoder(0), ToyEncoder(1), method="combsum", normalisation="z_score")
    whole = ranker.search_scored(SETTING, QUERIES, DOCUMENTS, 50)
    for depth in (1, 10, 49):
        for found, expected in zip(ranker.search_scored(SETTING, QUERIES, DOCUMENTS, depth), whole, strict=True):
            assert found.doc_ids == expected.doc_ids[:depth]
            assert found.scores is not None
            assert expected.scores is not None
            assert found.scores.tolist() == expected.scores.tolist()[:depth]


def test_ranks_without_scores_cannot_be_added() -> None:
    for method in ("combsum", "combmnz", "combanz"):
        with pytest.raises(RetrieverError) as raised:
            opened(ToyEncoder(0), ToyRanker(0), method=method).search(SETTING, QUERIES, DOCUMENTS, 9)
        assert str(raised.value) == (
            f'part 1 hands over ranks without scores, which {method} adds up: write method = "rrf"'
        )
    assert len(opened(ToyEncoder(0), ToyRanker(0)).search(SETTING, QUERIES, DOCUMENTS, 9)[0]) == 9


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_scores_that_are_no_numbers_cannot_be_added(score: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = opened(ToyEncoder(0), ToyRanker(0), method="combsum")
    lists = [RankedList(["001", "000"], np.array([1.0, score])) for _ in QUERIES]
    monkeypatch.setattr(ToyRanker, "search_scored", lambda *_: lists, raising=False)
    with pytest.raises(RetrieverError, match="part 1 hands over scores that are NaN or infinite"):
        ranker.search(SETTING, QUERIES, DOCUMENTS, 9)


def test_all_that_decides_the_lists_is_in_the_fingerprint() -> None:
    tuned = Tuned(task="mini", fingerprint="0" * 64, measure="monolingual AP", value=0.5, queries=("0" * 12,))
    ways: list[dict[str, Any]] = [{}, {"depth": 5}, {"method": "combsum"}, {"method": "combmnz"}, {"method": "combanz"}]
    ways += [{"method": "combsum", "normalisation": how} for how in get_args(Normalisation)[1:]]
    ways += [{"method": "combsum", "tuned": tuned}]
    rankers = [opened(ToyEncoder(0), ToyEncoder(1), **keys) for keys in ways]
    assert len({ranker.fingerprint() for ranker in rankers}) == len(ways)
    assert rankers[-1].parameters["tuned.task"] == "mini"
    # That of reciprocal rank fusion is what it was before there were other methods.
    assert rankers[0].declared == {"kind": "fusion", "k": 60.0, "depth": None} | {
        f"systems[{number}].weight": 1.0 for number in range(2)
    }


def test_weights_are_not_measured_on_queries_that_they_saw() -> None:
    seen = tuple(sorted(query_digest(f"query {number}") for number in range(2)))
    tuned = Tuned(task="own", fingerprint="0" * 64, measure="monolingual AP", value=0.5, queries=seen)
    ranker = opened(ToyEncoder(0), ToyEncoder(1), method="combsum", tuned=tuned)
    ranker.prepare({("query", "en"): ["another"], ("document", "en"): ["query 0"]}, None, SILENCE)
    with pytest.raises(RetrieverError, match=r"tuned on queries of this task \(1 of a sample of 2 from own\)"):
        ranker.prepare({("query", "de"): ["query 1"], ("document", "en"): ["text"]}, None, SILENCE)


def test_scores_of_a_system_file_are_fused_in_a_run(tmp_path: Path) -> None:
    """A system fused with itself has its own ranks, but for the ties that normalised scores may have."""
    file = tmp_path / "twice.toml"
    file.write_text('kind = "fusion"\nmethod = "combsum"\nsystems = ["hashing", "hashing"]\n', encoding="utf-8")
    options = Options(resamples=0, cache=tmp_path / "cache")
    twice, once = (evaluate(model, "mini", languages=("de", "en"), options=options) for model in (file, "hashing"))
    assert twice.result.retriever.parameters["method"] == "combsum"
    for one, other in zip(twice.result.settings, once.result.settings, strict=True):
        assert one.measures == pytest.approx(other.measures, abs=1e-9)
    assert twice.verify().differences == ()
