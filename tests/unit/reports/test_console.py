import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from mlbench.reports.result.console import console_report
from rich.console import Console

from mlbench.errors import UnknownName
from mlbench.results import BiasResult, Result

GOLDEN = Path(__file__).parents[2] / "golden" / "console_report.txt"
ResultOf = Callable[..., Result]


def show(result: Result, width: int = 80, *, measure: str | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(console_report(result, measure=measure))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_is_as_it_was_agreed_on(result: Result) -> None:
    # To agree on another: write what `show` returns into the file, and read it.
    assert show(result) == GOLDEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("width", [30, 60, 80, 100, 140, 200])
@pytest.mark.parametrize("number", [1, 2, 11, 30])
def test_keeps_within_the_width(result_of: ResultOf, width: int, number: int) -> None:
    languages = [f"{a}{b}" for a in "abc" for b in "klmnopqrst"][:number]
    kinds = ["monolingual", "cross_lingual", "multilingual"][: 3 if number > 1 else 1]
    assert max(map(len, show(result_of(languages, kinds=kinds), width))) <= width


@pytest.mark.parametrize(
    ("width", "missing"),
    [(80, {"RR", "RR@10", "R@100", "Success@10"}), (100, {"Success@10"}), (140, set())],
)
def test_measures_are_shown_as_far_as_they_fit_and_others_named(result: Result, width: int, missing: set[str]) -> None:
    lines = show(result, width)
    header = next(line for line in lines if line.startswith("settings"))
    every = {"mAP", "RR", "RR@10", "R@1", "R@10", "R@100", "nDCG@10", "Success@10"}
    assert set(header.split()) - {"settings"} == every - missing
    named = next((line for line in lines if line.startswith("no room for")), "no room for :")
    assert set(named.removeprefix("no room for ").partition(":")[0].split(", ")) - {""} == missing


def test_ceilings_stand_beside_what_they_limit_and_intervals_beside_the_primary_measure(result: Result) -> None:
    rows = {line.split(" (")[0]: line for line in show(result, 140)[3:7]}
    assert " of .909" in rows["multilingual"]
    assert " of .091" in rows["multilingual"]
    assert " of " not in rows["monolingual"] + rows["cross-lingual"]
    assert all(rows[kind].count("[") == 1 for kind in ("monolingual", "cross-lingual", "multilingual"))


def test_without_intervals_nothing_stands_in_their_place(result: Result) -> None:
    aggregates = tuple(a.model_copy(update={"intervals": {"AP": None}}) for a in result.aggregates)
    lines = show(result.model_copy(update={"aggregates": aggregates}), 140)
    assert not any("[" in line or "None" in line for line in lines[3:7])


def test_bias_line_stands_without_bias_scores_and_says_why(result_of: ResultOf) -> None:
    result = result_of(["bn", "sw"], kinds=["monolingual"])
    assert "bias mAP · | no bias scores: no pool of several languages was measured" in show(result)
    apart = result.model_copy(update={"task": result.task.model_copy(update={"parallel": False})})
    assert "bias mAP · | no bias scores: topics are not parallel" in show(apart)


def test_bias_line_keeps_its_place_for_what_was_not_asked_for(result: Result) -> None:
    assert result.bias is not None
    bias = result.bias.model_copy(update={"scores": (BiasResult(name="rank_distance", value=12.5),)})
    lines = show(result.model_copy(update={"bias": bias}))
    assert "bias mAP .569 | own_language_preference · | rank_distance 12.5 | max_rank_norm ·" in lines
    assert not any(line.startswith("bias score") for line in lines)
    assert ("", "") not in pairwise(lines)


def test_warning_and_partial_are_said(result: Result) -> None:
    assert result.bias is not None
    task = result.task.model_copy(update={"partial": True})
    bias = result.bias.model_copy(update={"warning": "2 % of the relevant documents tie"})
    text = "\n".join(show(result.model_copy(update={"task": task, "bias": bias}), 140))
    assert "partial: ar, de, el, en, es, hi, ru, th, tr, vi, zh" in text
    assert "\nwarning: 2 % of the relevant documents tie\n" in text


def test_ranker_has_no_dimensions_and_no_texts(result: Result) -> None:
    retriever = result.retriever.model_copy(update={"kind": "ranker", "dim": None, "similarity": None})
    cost = result.cost.model_copy(update={"texts": None, "encoded_texts": None})
    lines = show(result.model_copy(update={"retriever": retriever, "cost": cost}))
    assert lines[1].startswith("ranker, 11 languages, 13,090 queries")
    assert lines[-1] == "cost: encode 318.4 s, rank 4.1 s"


def test_redraws_are_counted(result: Result) -> None:
    statistics = result.statistics.model_copy(update={"redraws": 3})
    shown = " ".join("\n".join(show(result.model_copy(update={"statistics": statistics}))).split())
    assert "seed 0, 3 redraws" in shown


def test_another_measure_in_the_heat_map(result: Result) -> None:
    lines = show(result, measure="R@1")
    assert "R@1: language of the query (rows) by language of the documents (columns)" in lines
    with pytest.raises(UnknownName, match="did you mean R@100"):
        show(result, measure="R@1000")
