from xml.etree import ElementTree

import pytest
from unit.reports.sweep_cases import ALPHA, FRACTION, KIND, make_sweep

from mlbench.compare.sweep import Sweep, SweepAxis
from mlbench.reports.sweep.page import drawings

SVG = "{http://www.w3.org/2000/svg}"


def titles(sweep: Sweep) -> list[str]:
    return [drawing.title for drawing in drawings(sweep, sweep.tasks[0])]


def root(sweep: Sweep, title: str) -> ElementTree.Element:
    return ElementTree.fromstring(next(d.svg for d in drawings(sweep, sweep.tasks[0]) if d.title == title))


def marks(element: ElementTree.Element) -> list[str]:
    return [str(group.findtext(f"{SVG}title")) for group in element.iter(f"{SVG}g")]


def labels(element: ElementTree.Element) -> list[str]:
    return [str(text.text) for text in element.iter(f"{SVG}text")]


def test_a_sweep_of_alpha_has_three_figures() -> None:
    assert titles(make_sweep()) == [
        "Cross-lingual against monolingual mAP, by alpha",
        "Rank distance by alpha",
        "Own language preference by alpha",
    ]


def test_arms_are_joined_in_the_order_of_their_values_with_the_exact_numbers() -> None:
    found = root(make_sweep(seeds=1), "Rank distance by alpha")
    assert [mark.split(" [")[0] for mark in marks(found)] == ["alpha 0: 4,578", "alpha 0.5: 4,248", "alpha 1: 4,908"]
    assert found.attrib["aria-label"] == f"Rank distance by alpha: {'; '.join(marks(found))}"
    assert {"0", "0.5", "1", "alpha", "rank distance"} <= set(labels(found))


def test_single_seeds_are_shown_where_there_are_several() -> None:
    title = "Cross-lingual against monolingual mAP, by alpha"
    one, three = (root(make_sweep(seeds=seeds), title) for seeds in (1, 3))
    assert len(list(three.iter(f"{SVG}circle"))) == len(list(one.iter(f"{SVG}circle"))) + 9
    assert {"0", "0.5", "1"} <= set(labels(one))


@pytest.mark.parametrize("axes", [(ALPHA, FRACTION), (FRACTION, ALPHA)])
def test_data_fractions_give_scaling_on_a_logarithmic_axis(axes: tuple[SweepAxis, ...]) -> None:
    sweep = make_sweep(axes)
    assert {f"{kind} mAP by data fraction" for kind in ("Monolingual", "Cross-lingual", "Multilingual")} <= set(
        titles(sweep)
    )
    found = root(sweep, "Cross-lingual mAP by data fraction")
    assert {"data fraction, logarithmic", "alpha 0", "alpha 0.5", "alpha 1"} <= set(labels(found))
    assert len(marks(found)) == 6
    # Bias is shown by the first key, own-language preference by alpha wherever it stands.
    assert f"Rank distance by {'alpha' if axes[0] is ALPHA else 'data fraction'}" in titles(sweep)
    assert "Own language preference by alpha" in titles(sweep)


def test_values_that_are_no_numbers_stand_side_by_side() -> None:
    found = root(make_sweep((KIND,)), "Rank distance by monolingual")
    assert {"mono", "mixed"} <= set(labels(found))


def test_the_first_key_with_numbers_is_chosen() -> None:
    assert "Rank distance by alpha" in titles(make_sweep((KIND, ALPHA)))


def test_what_has_no_numbers_is_left_out() -> None:
    sweep = make_sweep()
    task = sweep.tasks[0]
    rows = tuple(
        row.model_copy(update={"figures": tuple(f for f in row.figures if f.kind == "monolingual")})
        for row in task.rows
    )
    assert drawings(sweep, task.model_copy(update={"rows": rows})) == []
