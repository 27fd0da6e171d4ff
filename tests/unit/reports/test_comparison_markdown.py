import re
from html import unescape
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from unit.reports.comparison_cases import floor, make_comparison, make_task
from unit.reports.test_comparison_console import spoiled

from mlbench.reports.comparison.content import single_settings
from mlbench.reports.comparison.markdown import LONGEST, comparison_markdown

GOLDEN = Path(__file__).parents[2] / "golden" / "comparison.md"
READER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
GITHUB = 65_536


def rows(markdown: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", READER.render(markdown), re.DOTALL)
    return [[seen(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in found]


def seen(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def tags(markdown: str) -> list[str]:
    return [tag.lower() for tag in re.findall(r"<\s*(/?\s*\w+)", READER.render(markdown))]


def test_is_as_it_was_agreed_on(tmp_path: Path) -> None:
    # To agree on another: read what this leaves in `tmp_path`, and copy it.
    (tmp_path / GOLDEN.name).write_text(comparison_markdown(make_comparison()), encoding="utf-8")
    assert (tmp_path / GOLDEN.name).read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_begins_with_the_verdict() -> None:
    failed, passed = (comparison_markdown(make_comparison(fall=fall)) for fall in (1, 0))
    assert failed.startswith(
        "### Failed: `x-x-mono` against `hybrid`\n\n5 of 13 gate lines failed.\n\n- `xquad-r`: mAP cross"
    )
    assert passed.startswith("### Passed: `x-x-mono` against `hybrid`\n\n13 gate lines, none failed.\n\n####")


def test_tables_have_the_numbers_and_every_row_is_even() -> None:
    text = comparison_markdown(make_comparison())
    table = rows(text)
    assert ["mAP cross", ".200", ".170", "-.030 [-.034, -.026]", ".0003", "worse"] in table
    assert ["de", "+11", "-28*", "-26*", "-27", "-6"] in table
    settings = single_settings(make_comparison().tasks[0])
    worst = next(row for row in table if row[0] == "th → de")
    assert worst[3].startswith(settings[0].difference)
    for block in re.split(r"\n\n", text):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block.split("\n")}) == 1


def test_details_are_closed_and_come_after_the_summary() -> None:
    text = comparison_markdown(make_comparison(tasks=("xquad-r", "mlqa-r")))
    found = tags(text)
    assert found.count("details") == found.count("/details") == 2 * 6
    assert text.index("| mAP mono |") < text.index("<details>")


def test_a_small_p_value_is_no_markup() -> None:
    task = make_task("t", ("de", "en"))
    lines = tuple(
        line
        if line.adjusted is None
        else line.model_copy(update={"adjusted": line.adjusted.model_copy(update={"two_sided": 0.00001})})
        for line in task.tests.lines
    )
    task = task.model_copy(update={"tests": task.tests.model_copy(update={"lines": lines})})
    text = comparison_markdown(make_comparison().model_copy(update={"tasks": (task,)}))
    assert any("< .0001" in row for row in rows(text))
    assert "< .0001" not in text


class TestNames:
    text = comparison_markdown(spoiled())

    def test_are_no_markup(self) -> None:
        allowed = {"h3", "h4", "p", "ul", "li", "code", "strong", "table", "thead", "tbody", "tr", "th", "td"}
        allowed |= {"details", "summary"}
        assert {tag.strip("/ ") for tag in tags(self.text)} <= allowed

    def test_mention_nobody_and_act_nowhere_unseen(self) -> None:
        outside = re.sub(r"<code>.*?</code>", "", READER.render(self.text), flags=re.DOTALL)
        assert "@me" not in outside
        assert "onerror" not in outside
        assert "\x1b" not in self.text
        assert "\u202e" not in self.text

    def test_are_cut_where_they_are_too_long(self) -> None:
        comparison = make_comparison()
        task = comparison.tasks[0]
        task = task.model_copy(update={"base": task.base.model_copy(update={"spec": "long " * 100})})
        text = comparison_markdown(comparison.model_copy(update={"tasks": (task,)}))
        assert f"`{('long ' * 100)[:79]}…`" in text

    def test_of_a_task_make_no_list(self) -> None:
        comparison = make_comparison(tasks=("1. - one",))
        assert "<ol>" not in READER.render(comparison_markdown(comparison))


class TestLength:
    @pytest.mark.parametrize(("languages", "tasks"), [(11, 2), (11, 12), (26, 1), (26, 3), (50, 1), (2, 90)])
    def test_is_never_more_than_github_takes(self, languages: int, tasks: int) -> None:
        names = [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"][:languages]
        task = make_task("xquad-r", names)
        tasks_of = tuple(task.model_copy(update={"task": f"task-{number}"}) for number in range(tasks))
        text = comparison_markdown(make_comparison().model_copy(update={"tasks": tasks_of}))
        assert len(text.encode()) <= LONGEST < GITHUB
        assert text.startswith("### Failed")
        found = tags(text)
        assert found.count("details") == found.count("/details")
        assert found.count("table") == found.count("/table") > 0

    def test_what_found_no_room_is_named(self) -> None:
        names = [f"{a}{b}" for a in "abcdef" for b in "klmnop"]
        text = comparison_markdown(make_comparison(names, tasks=("one", "two")))
        assert (
            re.search(r"[\d,]+ more rows in the document", text) or "Left out, as a comment must not be longer" in text
        )
        everything = comparison_markdown(make_comparison())
        assert "Left out" not in everything
        assert "more row" not in everything
        many = comparison_markdown(make_comparison(("de", "en"), tasks=[f"t{number}" for number in range(100)]))
        assert re.search(r"Left out, as a comment must not be longer: .*, the summary of \d\d tasks\.\n", many)

    def test_many_and_long_reasons_leave_room_for_the_summary(self) -> None:
        floors = tuple(
            floor(0.1, 0.2, f"a{number}").model_copy(update={"reason": "a word and " * 60}) for number in range(2000)
        )
        text = comparison_markdown(make_comparison().model_copy(update={"checks": floors}))
        assert len(text.encode()) <= LONGEST
        assert "| mAP mono |" in text
        assert re.search(r"1,\d{3} more rows in the document", text)

    def test_names_of_any_length_do_no_harm(self) -> None:
        long = ["ä|`" * 30_000, "b" * 90_000]
        comparison = make_comparison(long, tasks=["c|" * 50_000])
        text = comparison_markdown(comparison)
        assert len(text.encode()) <= LONGEST
        assert text.startswith("### Failed")
