import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console
from unit.statistics.pool_cases import LANGUAGES, PoolCase

from mlbench.errors import UnknownName
from mlbench.reports.documents.result import _warnings, across_table, pools_report, results_report
from mlbench.reports.formats import render
from mlbench.reports.writers.console import ConsoleReport
from mlbench.results import BiasResult, Result, TruncatedTexts
from mlbench.statistics.pool import PoolAnswer, answer_pool

GOLDEN = Path(__file__).parents[3] / "golden" / "console_report.txt"
ResultOf = Callable[..., Result]


def show(result: Result, width: int = 80, *, measure: str | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(ConsoleReport(results_report([result], measure=measure)))
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


def test_settings_without_a_value_are_not_counted(result_of: ResultOf) -> None:
    result = result_of(("de", "en", "th"))
    settings = [
        each.model_copy(update={"measures": dict.fromkeys(each.measures)}) if each.query_language == "th" else each
        for each in result.settings
    ]
    lines = show(result.model_copy(update={"settings": tuple(settings)}), 140)
    assert [line.partition(")")[0] for line in lines[4:7]] == ["monolingual (2", "cross-lingual (4", "multilingual (2"]
    card = render("model-card", results_report([result.model_copy(update={"settings": tuple(settings)})])).decode()
    assert "macro mean over 2 monolingual settings" in card


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
    assert "bias mAP · | no bias scores: no pool of several languages was measured" in show(apart)


def test_a_single_language_has_no_bias_line(result_of: ResultOf) -> None:
    assert "bias" not in show(result_of(["bn"], kinds=["monolingual"]))


def test_bias_line_keeps_its_place_for_what_was_not_asked_for(result: Result) -> None:
    assert result.bias is not None
    bias = result.bias.model_copy(update={"scores": (BiasResult(name="rank_distance", value=12.5),)})
    lines = show(result.model_copy(update={"bias": bias}))
    assert "bias mAP .569 [.556, .581] | own_language_preference · | rank_distance 12.5" in lines
    assert "  max_rank_norm ·" in lines
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


def changed(result: Result, **scores: float) -> Result:
    """The same result with other bias scores."""
    assert result.bias is not None
    found = tuple(s.model_copy(update={"value": scores.get(s.name, s.value)}) for s in result.bias.scores)
    return result.model_copy(update={"bias": result.bias.model_copy(update={"scores": found})})


def column(results: list[Result], group: str, title: str = "") -> list[tuple[str, bool]]:
    shown = across_table(results)
    (place,) = [at for at, each in enumerate(shown.columns) if (each.group, each.title) == (group, title)]
    return [(row.cells[place].text, row.cells[place].style == "strong") for row in shown.rows]


def test_columns_are_those_people_compare(small: Result) -> None:
    assert [(each.group, each.title) for each in across_table([small]).columns[1:]] == [
        ("mAP", "mono"),
        ("mAP", "cross"),
        ("mAP", "multi"),
        ("R@1", "mono"),
        ("R@1", "cross"),
        ("R@10", "multi"),
        ("own language preference", ""),
        ("rank distance", "mean"),
        ("rank distance", "median"),
    ]


def test_another_measure_stands_in_place_of_the_primary_one(small: Result) -> None:
    shown = [(each.group, each.title) for each in across_table([small], measure="R@1").columns[1:]]
    assert shown[:3] == [("R@1", "mono"), ("R@1", "cross"), ("R@1", "multi")]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    ("name", "group", "title", "values", "best"),
    [
        ("own_language_preference", "own language preference", "", (0.9, 0.6), [False, True]),
        ("own_language_preference", "own language preference", "", (0.45, 0.6), [True, False]),
        ("own_language_preference", "own language preference", "", (0.6, 0.60001), [True, True]),
        ("rank_distance", "rank distance", "mean", (100.0, 50.0), [False, True]),
        ("rank_distance_median", "rank distance", "median", (20.0, 50.0), [True, False]),
    ],
)
def test_what_is_best(
    small: Result, name: str, group: str, title: str, values: tuple[float, float], best: list[bool]
) -> None:
    found = column([changed(small, **{name: value}) for value in values], group, title)
    assert [mark for _, mark in found] == best


def test_nothing_is_best_alone_or_beside_other_data(small: Result) -> None:
    other = small.model_copy(update={"task": small.task.model_copy(update={"fingerprint": "other"})})
    for results in ([small], [small, other]):
        assert not any(cell.style == "strong" for row in across_table(results).rows for cell in row.cells)


def test_distances_of_ranks_are_not_compared_across_depths(small: Result) -> None:
    setting = small.settings[0].model_copy(update={"unretrieved_share": 0.1})
    short = small.model_copy(update={"settings": (setting, *small.settings[1:])})
    results = [changed(small, rank_distance=5.0), short]
    assert [best for _, best in column(results, "rank distance", "mean")] == [False, False]
    assert [best for _, best in column(results, "mAP", "mono")] == [True, True]


def test_what_nobody_has_is_no_column(result_of: ResultOf) -> None:
    alone = result_of(["bn", "sw"], kinds=["monolingual"])
    assert {each.title for each in across_table([alone]).columns[1:]} == {"mono"}


def test_partial_tasks_are_named(small: Result) -> None:
    partial = small.model_copy(update={"task": small.task.model_copy(update={"partial": True})})
    tasks = [row.cells[0].text for row in across_table([small, partial]).rows]
    assert tasks == ["xquad-r", "xquad-r (de, en, th only)"]


@pytest.fixture(scope="module")
def three(result_of: ResultOf) -> Result:
    made = result_of(LANGUAGES)
    return made.model_copy(update={"statistics": made.statistics.model_copy(update={"resamples": 20})})


def show_pool(result: Result, answer: PoolAnswer, width: int) -> list[str]:
    """Return the lines below the title of the result."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(ConsoleReport(pools_report([result], [answer])))
    return [line.rstrip() for line in captured.get().splitlines()][2 if width < 66 else 1 :]


def before_notes(lines: list[str]) -> int:
    """Return where the table ends and it is said how intervals were made."""
    return next(place for place, line in enumerate(lines) if line.startswith("95 % intervals"))


class TestPool:
    def test_of_a_pool(self, three: Result) -> None:
        lines = show_pool(three, answer_pool(three, PoolCase().ranks(), ["de", "th"]), 140)
        assert lines[0] == "pool de,th: 16 documents"
        assert lines[1].split()[:4] == ["query", "language", "queries", "mAP"]
        labels = [line[:16].strip() for line in lines[2 : before_notes(lines)]]
        assert labels == ["de", "th", "mean", "ceiling"]
        # R@1 finds one of two, but in the topic that has one only.
        assert lines[5].split() == ["ceiling", ".600"]
        assert [line.strip() for line in lines[before_notes(lines) :]] == [
            "95 % intervals: 20 resamples of 5 clusters, clustered by topic, seed 0,",
            "warning: only 5 clusters of topics: intervals and tests are approximate",
        ]

    def test_screens_have_the_intervals_of_the_primary_measure_alone(self, three: Result) -> None:
        lines = show_pool(three, answer_pool(three, PoolCase().ranks(), ["de", "th"]), 140)
        assert [line.count("[") for line in lines[2:6]] == [1, 1, 1, 0]
        assert lines[2].split()[3].startswith("[")

    def test_of_a_single_language_has_a_mean_of_each_kind(self, three: Result) -> None:
        lines = show_pool(three, answer_pool(three, PoolCase().ranks(), ["th"], measure="AP"), 80)
        assert [line[:18].strip() for line in lines[2 : before_notes(lines)]] == [
            "de",
            "en",
            "th",
            "monolingual mean",
            "cross-lingual mean",
        ]

    def test_macro_and_micro_are_apart_where_they_differ(self, three: Result) -> None:
        answer = answer_pool(three, PoolCase().ranks(), ["de", "th"])
        macro, micro = answer.aggregates
        micro = micro.model_copy(update={"measures": dict.fromkeys(micro.measures, 0.25)})
        lines = show_pool(three, answer.model_copy(update={"aggregates": (macro, micro)}), 140)
        assert [line[:16].strip() for line in lines[4 : before_notes(lines)]] == [
            "macro mean",
            "macro ceiling",
            "micro mean",
            "micro ceiling",
        ]

    @pytest.mark.parametrize("width", [50, 80, 140])
    def test_keeps_within_the_width(self, three: Result, width: int) -> None:
        lines = show_pool(three, answer_pool(three, PoolCase().ranks(), LANGUAGES), width)
        assert max(map(len, lines)) <= width
        assert any(line.startswith("no room for") for line in lines) == (width < 140)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((None, None), "warning: it is unknown how many relevant documents tie with another document"),
        ((0.5, None), "warning: up to 50.0% of the relevant documents of a setting tie with another document"),
        ((0.01, 0.0), None),
    ],
)
def test_ties_are_told_without_bias_scores(small: Result, shares: tuple[float | None, ...], said: str | None) -> None:
    settings = [
        setting.model_copy(update={"tied_share": share, "unretrieved_share": 0.0, "n_queries": 3})
        for setting, share in zip(small.settings, shares, strict=False)
    ]
    # Nothing is known of the ties of what no list has.
    silent = settings[0].model_copy(update={"tied_share": None, "unretrieved_share": 1.0})
    result = small.model_copy(update={"bias": None, "settings": (*settings, silent)})
    assert [block.text for block in _warnings(result)] == ([] if said is None else [said])


def cut(role: str, language: str, n_texts: int, n_truncated: int) -> TruncatedTexts:
    row = {"role": role, "language": language, "n_texts": n_texts, "n_truncated": n_truncated, "max_length": 512}
    return TruncatedTexts.model_validate(row)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (None, None),
        ([cut("document", "ru", 37_000, 0), cut("document", "en", 10, 0), cut("query", "ru", 0, 0)], None),
        (
            [cut("document", "en", 10_000, 0), cut("document", "ru", 37_000, 1_204), cut("document", "th", 10_000, 10)],
            "warning: 3.3% of the documents in ru (1,204 of 37,000) were cut at 512 tokens; 0.0% to 0.1% in other "
            "languages: what is cut off may look like language bias",
        ),
        (
            [cut("query", "ru", 1_000, 5), cut("query", "en", 1_000, 1), cut("query", "th", 0, 0)],
            "0.5% of the queries in ru (5 of 1,000) were cut at 512 tokens; 0.1% in other languages",
        ),
        ([cut("pair", "ru", 8, 8)], "100.0% of the pairs with documents in ru (8 of 8) were cut at 512 tokens"),
    ],
)
def test_texts_that_were_cut_off_are_told(result: Result, rows: list[TruncatedTexts] | None, told: str | None) -> None:
    shown = result.model_copy(update={"truncated": rows and tuple(rows)})
    lines = [line for line in show(shown, 200) if "were cut at" in line]
    assert lines == ([] if told is None else [told])
    for name in ("markdown", "html"):
        assert (b"were cut at" in render(name, results_report([shown]))) == (told is not None)
