"""Index costs on the console, as Markdown, as a page and as figures."""

import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console
from unit.compare.measured import costs

from mlbench.compare.index_costs import IndexCosts
from mlbench.reports.index_costs.content import tables
from mlbench.reports.index_costs.render import (
    _ticks,
    index_console,
    index_drawings,
    index_markdown,
    index_page,
)

pytest.importorskip("faiss")

NASTY = "<b>|*x*`\x1b[31m"


def shown(found: IndexCosts, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(index_console(found))
    return captured.get()


def nasty() -> IndexCosts:
    document = costs().model_dump()
    document["exact"]["spec"] = document["indexes"][0]["name"] = NASTY
    return IndexCosts.model_validate(document)


def without_scores_and_pool() -> IndexCosts:
    """Return costs as a task without parallel topics and without a pool has them."""
    document = costs().model_dump()
    for each in document["indexes"]:
        each["lines"] = [line for line in each["lines"] if line["kind"] == "monolingual"]
        each["overlaps"], each["unretrieved"] = [], {"monolingual": 0.0}
    return IndexCosts.model_validate(document)


def test_tables_have_every_index_and_number() -> None:
    names = [each.name for each in costs().indexes]
    speed, changes, languages, lines, pools = tables(costs())
    assert [label for label, _ in speed.rows] == names
    assert speed.heads == (
        *("queries/s", "x flat", "build s", "MB", "overlap@10", "overlap@20"),
        *("unretrieved mono", "unretrieved cross", "unretrieved multi"),
    )
    assert [label for label, _ in changes.rows] == ["exact", *(text for name in names for text in (name, ""))]
    assert [label for label, _ in languages.rows] == ["de", "en", "th"]
    assert languages.heads == lines.heads == ("exact", *names)
    assert {"mAP mono", "RR@10 multi", "own language preference", "rank distance"} <= {label for label, _ in lines.rows}
    assert len(pools.rows) == 4 * len(names)
    for table in tables(costs()):
        assert all(len(cells) == len(table.heads) for _, cells in table.rows)


def test_a_change_has_sign_and_interval() -> None:
    changes = tables(costs())[1]
    at = changes.heads.index("mAP multi")
    by_row = {(label, cells[0].text): cells[at] for label, cells in changes.rows}
    line = costs().indexes[-1].line("AP", "multilingual")
    assert line
    assert line.change.difference
    assert line.change.difference < 0
    cell = by_row["ivfpq:nprobe=1", "index"]
    assert cell.text == f"-{abs(line.change.difference):.3f}".replace("0.", ".")
    assert re.fullmatch(r"\[[+-]?\.\d{3}, [+-]?\.\d{3}\]", cell.note)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_console_keeps_its_width(width: int) -> None:
    text = shown(costs(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "queries/s" in text
    assert "own: minus exact lists of the same length" in " ".join(text.split())


@pytest.mark.parametrize("found", [costs(), without_scores_and_pool()], ids=["all", "few"])
def test_every_format_has_every_index(found: IndexCosts) -> None:
    for text in (shown(found, 200), index_markdown(found), index_page(found)):
        assert all(each.name in text.replace("`", "") for each in found.indexes)
    assert ("overlap@10" in index_page(found)) == bool(found.indexes[0].overlaps)


def test_names_do_nothing() -> None:
    page, markdown = index_page(nasty()), index_markdown(nasty())
    assert "<b>" not in page
    assert "<b>" not in re.sub(r"(`+).*?\1", "", markdown)
    assert "\x1b" not in page + markdown + shown(nasty(), 100)


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = index_page(costs())
    opened: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "link", "br"):
                opened.append(tag)
            assert not [value for key, value in attrs if key in ("src", "href") and value != "data:,"]

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Check().feed(page)
    assert opened == []
    assert "<script" not in page
    assert page.count("<svg") == 3


def test_figures_have_a_mark_for_each_index_and_a_line_for_each_kind() -> None:
    overlap, quality, bias = (ElementTree.fromstring(drawing.svg) for drawing in index_drawings(costs()))
    for figure in (overlap, quality, bias):
        titles = [title.text or "" for title in figure.iter("{http://www.w3.org/2000/svg}title")]
        assert sorted(title.partition(": ")[0] for title in titles if "hnsw" in title) == [
            "hnsw:depth=100,ef_search=200",
            "hnsw:m=4,ef_search=10",
        ]
        assert len(titles) == 4
        texts = [text.text for text in figure.iter("{http://www.w3.org/2000/svg}text")]
        assert {"flat", "ivfpq, by nprobe", "200", "10"} <= set(texts)
        # What is built in another way is another line.
        assert {"hnsw depth=100,m=32, by ef_search", "hnsw depth=1000,m=4, by ef_search"} <= set(texts)
    assert len(index_drawings(without_scores_and_pool())) == 1


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (90, 1100, ["100", "200", "500", "1,000"]),
        (210, 220, ["200"]),
        (300, 300, ["200"]),
        (0.3, 3, ["0.5", "1", "2"]),
    ],
)
def test_ticks_are_round(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in _ticks(low, high)] == labels
