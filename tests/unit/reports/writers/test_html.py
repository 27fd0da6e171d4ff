import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser

import pytest

from mlbench.collection.languages import TEXT_KINDS
from mlbench.reports.documents.result import results_report
from mlbench.reports.formatting import visible
from mlbench.reports.writers.html import write_html
from mlbench.results import Result

ResultOf = Callable[..., Result]
VOID = {"meta", "link", "br", "img", "input", "hr"}


def html_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    return write_html(results_report(results, measure=measure))


class Page(HTMLParser):
    """Elements with their attributes, tables as rows of texts, and all text; fails where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "small" and "table" in self._open:
            self.tables[-1][-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def test_tables_have_the_numbers(small: Result) -> None:
    means, scores, pairs, languages = Page(html_report([small])).tables
    mono = small.aggregate("monolingual")
    assert mono is not None
    bounds = mono.intervals["AP"]
    assert bounds is not None
    shown = [f"{value:.3f}".lstrip("0") for value in (mono.measures["AP"], bounds.low, bounds.high)]
    assert means[1][:2] == ["monolingual (3)", f"{shown[0]} [{shown[1]}, {shown[2]}]"]
    assert means[3][means[0].index("R@1")].endswith(" of .333")
    assert [row[0] for row in pairs] == ["queries", "de", "en", "th", "mean"]
    assert pairs[0][1:] == ["de", "en", "th", "mean", "pool"]
    values = {(s.query_language, s.document_languages): s.measures["AP"] for s in small.settings}
    assert pairs[1][2] == f"{values['de', ('en',)]:.2f}".lstrip("0")
    assert pairs[1][5] == f"{values['de', ('de', 'en', 'th')]:.2f}".lstrip("0")
    assert languages[2][0] == "en"
    assert languages[2][1].startswith(f"{values['en', ('en',)]:.3f}".lstrip("0"))
    assert ["removal_gap", ".091", "", "ideal and chance .000", "de .050, th .130"] in scores


def test_asks_for_nothing_and_runs_nothing(small: Result, hostile: Result) -> None:
    page = Page(html_report([small, hostile]))
    tags = {tag for tag, _ in page.elements}
    assert tags & {"script", "iframe", "img", "object", "embed", "form", "base", "foreignobject"} == set()
    assert page.attributes("src") == []
    assert set(page.attributes("href")) == {"data:,", "#result-1", "#result-2"}
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert not [style for style in page.attributes("style") if "url" in style]


def test_the_best_across_results_is_bold(small: Result) -> None:
    means = [
        mean.model_copy(update={"measures": {**mean.measures, "AP": mean.measures["AP"] / 2}})
        if mean.kind == "monolingual"
        else mean
        for mean in small.aggregates
    ]
    html = html_report([small.model_copy(update={"aggregates": tuple(means)}), small])
    groups, heads, *rows = Page(html).tables[0]
    assert (groups[2], heads[2]) == ("mAP", "mono")
    worse, better = (row[2] for row in rows)
    across = html.split("</table>")[0]
    assert f"<td><bdi>{worse}</bdi></td>" in across
    assert f"<td><strong>{better}</strong></td>" in across


def test_means_by_language_have_bars_of_their_length(small: Result) -> None:
    means = [small.aggregate(kind, query_language=language) for language in ("de", "en", "th") for kind in TEXT_KINDS]
    bars = [style for style in Page(html_report([small])).attributes("style") if style.startswith("--share")]
    assert bars == [f"--share:{mean.measures['AP']:.4f}" for mean in means if mean is not None]


def test_hostile_names_stay_names(hostile: Result) -> None:
    html = html_report([hostile])
    page = Page(html)
    assert "<script" not in html
    assert "49" not in hostile.retriever.spec
    assert page.text.count(visible(hostile.retriever.spec)) > 10
    assert "{{ 7*7 }}" in page.text


def test_names_are_kept_apart_from_the_direction_around_them(small: Result) -> None:
    arabic = small.model_copy(update={"retriever": small.retriever.model_copy(update={"spec": "نموذج"})})
    html = html_report([arabic, small])
    assert html.count("نموذج") == len(re.findall("<bdi>[^<]*نموذج[^<]*</bdi>", html)) == 4


def test_measure_is_that_of_map_and_languages(small: Result) -> None:
    page = Page(html_report([small], measure="nDCG@10"))
    assert "nDCG@10 by pair of languages" in page.text
    values = {(s.query_language, s.document_languages): s.measures["nDCG@10"] for s in small.settings}
    assert page.tables[2][1][2] == f"{values['de', ('en',)]:.2f}".lstrip("0")


def test_says_how_to_make_and_to_check_it_again(small: Result) -> None:
    page = Page(html_report([small]))
    assert "a command like" in page.text
    assert "mlbench run --model dense:intfloat/multilingual-e5-small --task xquad-r" in page.text
    assert "mlbench verify xquad-r.json" in page.text
    environment = small.environment.model_copy(update={"command": "mlbench run --limit 5"})
    recorded = Page(html_report([small.model_copy(update={"environment": environment})]))
    assert "It was made by" in recorded.text
    assert "mlbench run --limit 5" in recorded.text


def test_warning_partial_and_no_bias_are_said(result_of: ResultOf, small: Result) -> None:
    assert small.bias is not None
    bias = small.bias.model_copy(update={"warning": "1.1% tie"})
    task = small.task.model_copy(update={"partial": True})
    text = Page(html_report([small.model_copy(update={"bias": bias, "task": task})])).text
    assert "warning: 1.1% tie" in text
    assert "partial: de, en, th" in text
    alone = html_report([result_of(["bn", "sw"], kinds=["monolingual"])])
    assert "no bias scores: no pool of several languages was measured" in Page(alone).text
    assert "<svg" not in alone


@pytest.mark.parametrize("number", [1, 2])
def test_headings_and_titles(small: Result, number: int) -> None:
    page = Page(html_report([small] * number))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("title") == 1 + number * len(small.settings)
    assert tags.count("svg") == number
    assert [tag for tag in tags if tag in ("h1", "h2")].count("h1") == number + (number > 1)
    assert len(set(page.attributes("id"))) == len(page.attributes("id"))
