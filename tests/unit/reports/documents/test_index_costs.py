"""The tables, the charts and the records of what indexes cost."""

import re
from xml.etree import ElementTree

import pytest
from unit.compare.measured import costs
from unit.reports.documents.reading import Tags, cell, charts, labels, shown, tables, titles

from mlbench.compare.index_costs import IndexCosts
from mlbench.reports.chart import chart_svg
from mlbench.reports.documents.index_costs import _ticks, index_costs_report
from mlbench.reports.formats import render

pytest.importorskip("faiss")

NASTY = "<b>|*x*`\x1b[31m"


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
    speed, changes, languages, lines, pools = tables(index_costs_report(costs()))
    assert labels(speed) == names
    assert titles(speed) == [
        *("queries/s", "x flat", "build s", "MB", "overlap@10", "overlap@20"),
        *("unretrieved mono", "unretrieved cross", "unretrieved multi"),
    ]
    assert labels(changes) == ["exact", *(text for name in names for text in (name, ""))]
    assert labels(languages) == ["de", "en", "th"]
    assert titles(languages) == titles(lines) == ["exact", *names]
    assert {"mAP mono", "RR@10 multi", "own language preference", "rank distance"} <= set(labels(lines))
    assert len(pools.rows) == 4 * len(names)
    for table in (speed, changes, languages, lines, pools):
        assert all(len(row.cells) == len(table.columns) for row in table.rows)


def test_a_change_has_sign_and_interval() -> None:
    changes = tables(index_costs_report(costs()))[1]
    line = costs().indexes[-1].line("AP", "multilingual")
    assert line
    assert line.change.difference
    assert line.change.difference < 0
    assert cell(changes, "ivfpq:nprobe=1", "with").text == "index"
    found = cell(changes, "ivfpq:nprobe=1", "mAP multi")
    assert found.text == f"-{abs(line.change.difference):.3f}".replace("0.", ".")
    assert re.fullmatch(r"\[[+-]?\.\d{3}, [+-]?\.\d{3}\]", found.notes[0])
    assert cell(changes, "exact", "mAP multi").text == f"{line.exact:.3f}".removeprefix("0")


def test_changes_by_language_are_those_of_the_index_alone() -> None:
    languages, index = tables(index_costs_report(costs()))[2], "hnsw:m=4,ef_search=10"
    (line,) = (each.line("AP", "multilingual", "de") for each in costs().indexes if each.name == index)
    assert line
    assert line.own.difference is not None
    assert line.change.difference is not None
    assert line.own.difference > 0 > line.change.difference
    assert cell(languages, "de", index).text == f"+{line.own.difference:.3f}".replace("0.", ".")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_screen_keeps_its_width(width: int) -> None:
    text = shown(index_costs_report(costs()), width)
    assert max(map(len, text.splitlines())) <= width
    assert "queries/s" in text
    assert "own: minus exact lists of the same length" in " ".join(text.split())
    assert "Every pool" not in text


@pytest.mark.parametrize("found", [costs(), without_scores_and_pool()], ids=["all", "few"])
@pytest.mark.parametrize("name", ["console", "markdown", "html", "csv", "latex", "json"])
def test_every_format_has_every_index(found: IndexCosts, name: str) -> None:
    text = render(name, index_costs_report(found)).decode().replace("\\_", "_").replace("`", "")
    assert all(each.name in text for each in found.indexes)
    if name in ("markdown", "html", "csv"):
        assert ("overlap@10" in text) == bool(found.indexes[0].overlaps)


@pytest.mark.parametrize("name", ["console", "markdown", "html", "csv", "latex", "svg"])
def test_names_do_nothing(name: str) -> None:
    text = render(name, index_costs_report(nasty())).decode()
    assert "\x1b" not in text
    if name == "html":
        assert "<b>" not in text
    if name == "markdown":
        assert "<b>" not in re.sub(r"(`+).*?\1", "", text)


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = render("html", index_costs_report(costs())).decode()
    tags = Tags(page)
    assert set(tags.links) <= {"data:,"}
    assert page.count("<svg") == 2
    for title in ("What indexes cost", "Speed and size", "Every measure and bias score", "Every pool"):
        assert title in page


def test_charts_have_a_mark_for_each_index_and_a_line_for_each_kind() -> None:
    found = charts(index_costs_report(costs()))
    assert len(found) == 2
    for chart in found:
        marks = [mark for series in chart.series for mark in series.means]
        assert sorted(mark.exact.partition(": ")[0] for mark in marks if "hnsw" in mark.exact) == [
            "hnsw:depth=100,ef_search=200",
            "hnsw:m=4,ef_search=10",
        ]
        assert len(marks) == 4
        root = ElementTree.fromstring(chart_svg(chart))
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        assert {"flat", "ivfpq, by nprobe", "200", "10"} <= set(texts)
        # What is built in another way is another line.
        assert {"hnsw depth=100,m=32, by ef_search", "hnsw depth=1000,m=4, by ef_search"} <= set(texts)
    assert [mark.interval is None for series in found[1].series for mark in series.means] == [False] * 4
    assert len(charts(index_costs_report(without_scores_and_pool()))) == 1


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


def test_records_are_every_line_of_every_index_and_what_it_has_alone() -> None:
    found = costs()
    records = index_costs_report(found).records
    expected = [len(each.lines) + len(each.overlaps) + len(each.unretrieved) + 4 for each in found.indexes]
    assert len(records) == sum(expected)
    assert len({tuple(record) for record in records}) == 1
    each = found.indexes[-1]
    line = each.line("AP", "multilingual", "th")
    assert line
    assert line.own.interval
    wanted = {"index": each.name, "measure": "AP", "kind": "multilingual", "query_language": "th"}
    (record,) = (record for record in records if wanted.items() <= record.items())
    assert (record["exact"], record["cut"], record["value"]) == (line.exact, line.cut, line.value)
    assert (record["change"], record["own"]) == (line.change.difference, line.own.difference)
    assert (record["own_low"], record["own_high"]) == (line.own.interval.low, line.own.interval.high)
    alone = {r["measure"]: r["value"] for r in records if (r["index"], r["query_language"]) == (each.name, None)}
    assert alone["queries_per_second"] == each.speed.queries_per_second
    assert alone["overlap@10"] == each.overlap(10)
    assert alone["bytes"] == each.speed.bytes
