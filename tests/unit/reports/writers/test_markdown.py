import re
from collections.abc import Callable, Sequence
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlbench.reports.documents.result import results_report
from mlbench.reports.formatting import visible
from mlbench.reports.report import Report, Section, Sentence
from mlbench.reports.writers.markdown import markdown_code, markdown_text, write_markdown
from mlbench.results import Result

ResultOf = Callable[..., Result]
READER = MarkdownIt("commonmark").enable("table")
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"), include_characters=" "))


def markdown_report(results: Sequence[Result]) -> str:
    return write_markdown(results_report(results))


def seen(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@given(PRINTABLE.filter(lambda text: text.strip() == text and text))
def test_a_code_span_shows_what_is_in_it(text: str) -> None:
    html = READER.renderInline(markdown_code(text))
    assert html.startswith("<code>")
    assert seen(html) == visible(text)


@given(PRINTABLE.filter(lambda text: text.strip() == text and "  " not in text))
@pytest.mark.parametrize(
    "known", [None, "own_language_preference", "nDCG@10", "zh-hant", "_a_", "x*y*", "a|b", "@me", "a = b"]
)
def test_a_name_is_shown_as_it_is(known: str | None, text: str) -> None:
    wanted = text if known is None else known
    assert seen(READER.renderInline(markdown_text(wanted))) == visible(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "@someone",
        "www.example.org",
        "http://a",
        "a@b.cd",
        "#12",
        "=@me",
        "- a",
        "+ a",
        "1. a",
        "---",
        "user/repo@1234567",
        "![a](b)",
        "&lt;",
        "<b onclick=x>",
        "x_y_",
    ],
)
def test_what_would_act_is_code(text: str) -> None:
    assert markdown_text(text).startswith("`")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("< .0001", "&lt; .0001"),
        ("-.030*", r"-.030\*"),
        (".412 ~", r".412 \~"),
        ("<b>", "&lt;b&gt;"),
        ("*a*", r"\*a\*"),
    ],
)
def test_marks_and_comparisons_are_escaped(text: str, written: str) -> None:
    assert markdown_text(text) == written


@pytest.mark.parametrize(
    "text",
    [
        "[.401, .423]",
        "de → en",
        "AP",
        "nDCG@10",
        "complete@m",
        "rank_distance",
        "pt-br",
        "1.1% of them: a, b",
        "2.0",
        "(p = 0.02)",
    ],
)
def test_what_is_plain_stays_plain(text: str) -> None:
    assert markdown_text(text) == text


def rows(markdown: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", READER.render(markdown), re.DOTALL)
    return [[seen(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in found]


def test_tables_have_the_numbers(small: Result) -> None:
    table = rows(markdown_report([small]))
    (mono,) = (row for row in table if row[0] == "monolingual (3)")
    mean = small.aggregate("monolingual")
    assert mean is not None
    bounds = mean.intervals["AP"]
    assert bounds is not None
    shown = [f"{value:.3f}".lstrip("0") for value in (mean.measures["AP"], bounds.low, bounds.high)]
    assert mono[1] == f"{shown[0]} [{shown[1]}, {shown[2]}]"
    cells = {s.query_language: s.measures["AP"] for s in small.settings if s.document_languages == ("en",)}
    by_language = next(row for row in table if row[:3] == ["", "de", "en"])
    place = by_language.index("en")
    for language, value in cells.items():
        row = next(row for row in table[table.index(by_language) :] if row[0] == language)
        assert value is not None
        assert row[place] == f"{value:.2f}".lstrip("0")


def test_several_begin_with_a_table_across_them_and_fold_the_rest(small: Result) -> None:
    text = markdown_report([small, small])
    assert rows(text)[1][:2] == ["dense:intfloat/multilingual-e5-small", "xquad-r"]
    assert text.count("<details>") == text.count("</details>") == 4
    assert "<details>" not in markdown_report([small])


def test_hostile_names_stay_names(hostile: Result) -> None:
    text, name = markdown_report([hostile, hostile]), visible(hostile.retriever.spec)
    html = READER.render(text)
    tags = {tag.lower() for tag in re.findall(r"<\s*/?\s*(\w+)", html)}
    assert tags <= {"table", "thead", "tbody", "tr", "th", "td", "h3", "p", "code", "strong", "blockquote"} | {
        "details",
        "summary",
    }
    assert any(cell == name for row in rows(text) for cell in row)
    across = rows(text)[:3]
    assert {len(row) for row in across} == {len(across[0])}
    assert [row[:2] for row in across[1:]] == [
        [name, f"{name} ({', '.join(map(visible, hostile.task.languages))} only)"]
    ] * 2


def test_warning_partial_and_no_bias_are_said(result_of: ResultOf, small: Result) -> None:
    assert small.bias is not None
    warned = small.model_copy(update={"bias": small.bias.model_copy(update={"warning": "1.1% tie"})})
    assert "\n> Warning: 1.1% tie\n" in markdown_report([warned])
    partial = small.model_copy(update={"task": small.task.model_copy(update={"partial": True})})
    assert "> Partial: de, en, th; its means are not those of the whole task" in markdown_report([partial])
    alone = result_of(["bn", "sw"], kinds=["monolingual"])
    assert "no bias scores: no pool of several languages was measured" in markdown_report([alone])
    assert ["language", "monolingual"] in rows(markdown_report([alone]))


def test_a_title_to_unfold_is_text_and_mentions_nobody() -> None:
    folded = Section(("<b>", "@someone"), (Sentence(("what is in it",)),), "folded")
    text = write_markdown(Report("title", (folded,), ()))
    assert "<summary>&lt;b&gt; &#64;someone</summary>" in text


def test_what_is_within_a_section_is_no_more_urgent_than_it() -> None:
    inner = Section(("inner",), (Sentence(("word " * 200,)),), urgency=0)
    least = Section(("least",), (inner,), urgency=2)
    more = Section(("more",), (Sentence(("other " * 200,)),), urgency=1)
    text = write_markdown(Report("title", (least, more), (), longest=2000))
    assert "other" in text
    assert "Left out, as a comment must not be longer: inner (1)." in text
