import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from mlbench.reports.colours import contrast
from mlbench.reports.documents.result import pair_map
from mlbench.reports.grid import Grid, grid
from mlbench.reports.heat_map import heat_map_svg
from mlbench.results import Bounds, Result

SVG = "{http://www.w3.org/2000/svg}"
ResultOf = Callable[..., Result]


def svg_of(pairs: Grid) -> str:
    return heat_map_svg(pair_map(pairs))


def cells(svg: str) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    return {str(group.findtext(f"{SVG}title")): group for group in root.iter(f"{SVG}g")}


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def test_each_cell_has_its_value_and_the_exact_number(small: Result) -> None:
    found = cells(svg_of(grid(small, "AP")))
    assert len(found) == len(small.settings)
    for setting in small.settings:
        documents = "the pool" if setting.kind == "multilingual" else f"{setting.document_languages[0]} documents"
        value, bounds = setting.measures["AP"], setting.intervals["AP"]
        assert value is not None
        assert bounds is not None
        exact = [f"{number:.4f}".lstrip("0") for number in (value, bounds.low, bounds.high)]
        cell = found[f"{setting.query_language} queries, {documents}: mAP {exact[0]} [{exact[1]}, {exact[2]}]"]
        assert cell.findtext(f"{SVG}text") == f"{value:.2f}".lstrip("0")


def test_cells_stand_in_rows_and_columns_and_within_the_picture(result: Result) -> None:
    root = ElementTree.fromstring(svg_of(grid(result, "AP")))
    boxes = [group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g")]
    places = {(int(box.get("x", "")), int(box.get("y", ""))) for box in boxes if box is not None}
    assert len(places) == 11 * 12
    assert len({x for x, _ in places}) == 12
    assert len({y for _, y in places}) == 11
    assert max(x for x, _ in places) < int(root.get("width", ""))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"


def test_values_can_be_read_on_their_colours(result: Result) -> None:
    for cell in cells(svg_of(grid(result, "AP"))).values():
        box, text = cell.find(f"{SVG}rect"), cell.find(f"{SVG}text")
        assert box is not None
        assert text is not None
        assert contrast(rgb(box.get("fill", "")), rgb(text.get("fill", ""))) >= 4.5


def test_says_in_words_what_it_shows() -> None:
    shown = Grid("R@1", ("ar", "en"), {("ar", "ar"): 0.5, ("ar", "en"): 0.25, ("en", "ar"): 0.75}, {"en": 0.125})
    text = pair_map(shown).words
    assert "lowest .125 for en queries in the pool, highest .750 for en queries in ar documents" in text
    root = ElementTree.fromstring(svg_of(shown))
    assert (root.get("role"), root.get("aria-label")) == ("img", text)


def test_what_is_absent_has_no_colour() -> None:
    shown = Grid("AP", ("ar", "en"), {("ar", "en"): 0.25}, {}, {("ar", "en"): Bounds(low=0.125, high=0.5)})
    found = cells(svg_of(shown))
    assert set(found) >= {"ar queries, en documents: mAP .2500 [.1250, .5000]", "en queries, ar documents: no value"}
    box = found["en queries, ar documents: no value"].find(f"{SVG}rect")
    assert box is not None
    assert box.get("fill") == "none"
    assert pair_map(Grid("AP", ("ar",), {}, {})).words == "Heat map of mAP without values"


@pytest.mark.parametrize("name", ["<script>", '"onload="x', "a&b", "'"])
def test_names_are_escaped(name: str) -> None:
    svg = svg_of(Grid("AP", (name, "en"), {(name, "en"): 0.5, ("en", name): 0.1}, {}))
    root = ElementTree.fromstring(svg)
    assert {element.tag for element in root.iter()} == {f"{SVG}{tag}" for tag in ("svg", "g", "title", "rect", "text")}
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
    assert [text.text for text in root.iter(f"{SVG}text")].count(name) == 2


def test_needs_nothing_from_elsewhere(result_of: ResultOf) -> None:
    svg = svg_of(grid(result_of(), "AP"))
    assert not re.search(r"href|url\(|@import|<script|<style", svg)


def test_a_long_name_is_cut_in_the_labels_alone() -> None:
    name = "a-language-with-a-long-name"
    svg = svg_of(Grid("AP", (name, "en"), {(name, "en"): 0.5}, {}))
    root = ElementTree.fromstring(svg)
    assert [text.text for text in root.iter(f"{SVG}text")].count("a-language-wi…") == 2
    assert f"{name} queries, en documents: mAP .5000" in cells(svg)
    assert int(root.get("width", "")) < 500
