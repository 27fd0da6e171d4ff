import io
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console
from unit.reports.comparison_cases import floor, make_comparison, make_task
from unit.reports.conftest import HOSTILE, UNSEEN

from mlbench.compare.document import Comparison
from mlbench.reports.comparison.console import DifferenceMap, comparison_console, whole
from mlbench.reports.comparison.content import difference_grid

GOLDEN = Path(__file__).parents[2] / "golden" / "comparison.txt"


def show(comparison: Comparison, width: int = 80, *, every: bool = False, colour: bool = False) -> list[str]:
    system = "truecolor" if colour else None
    console = Console(
        file=io.StringIO(), width=width, color_system=system, force_terminal=colour, markup=False, highlight=False
    )
    with console.capture() as captured:
        console.print(comparison_console(comparison, every_setting=every))
    return [line.rstrip() for line in captured.get().splitlines()]


def spoiled() -> Comparison:
    """Return a comparison whose names would act in any format."""
    name = HOSTILE + UNSEEN
    comparison = make_comparison()
    task = make_task(name, ("de", name), fall=1)
    systems = {side: task.base.model_copy(update={"spec": name, "files": (name,)}) for side in ("base", "candidate")}
    checks = tuple(check.model_copy(update={"reason": name}) for check in task.checks)
    task = task.model_copy(update={**systems, "version": name, "shared_only": True, "checks": checks})
    return comparison.model_copy(update={"tasks": (task,), "uncompared": (name,)})


def test_is_as_it_was_agreed_on() -> None:
    # To agree on another: write what `show` returns into the file, and read it.
    assert show(make_comparison()) == GOLDEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("number", "every"), [(1, True), (2, False), (2, True), (11, False), (11, True), (30, False)])
def test_keeps_within_the_width(number: int, every: bool) -> None:
    languages = [f"{a}{b}" for a in "abc" for b in "klmnopqrst"][:number]
    comparison = make_comparison(languages)
    for width in (40, 60, 80, 100, 140, 200):
        assert max(map(len, show(comparison, width, every=every))) <= width


def test_begins_with_the_verdict_and_what_failed() -> None:
    lines = show(make_comparison(), 140)
    assert lines[0] == "failed: 5 of 13 gate lines; x-x-mono against hybrid"
    assert lines[1].startswith("- xquad-r: mAP cross fell by 0.0300")
    assert show(make_comparison(fall=0))[0].startswith("passed: 13 gate lines, none failed")


def test_many_failures_are_cut_unless_all_are_asked_for() -> None:
    floors = tuple(floor(0.1, 0.2, f"a{a}{b}") for a in "abcde" for b in "klmnop")
    comparison = make_comparison(fall=0).model_copy(update={"checks": floors})
    assert sum(line.startswith("- ") for line in show(comparison, 140)) == 20
    assert "and 10 more: see --all" in show(comparison)
    assert sum(line.startswith("- ") for line in show(comparison, 140, every=True)) == 30


def test_all_settings_measures_and_lines_are_there_on_request() -> None:
    languages = [f"a{letter}" for letter in "abcdef"]
    comparison = make_comparison(languages)
    short, long = ("\n".join(show(comparison, 140, every=every)) for every in (False, True))
    settings = [f"{a} → {b} " for a, b in product(languages, languages)] + [f"{a} → pool of 6" for a in languages]
    assert sum(setting in short for setting in settings) == 10
    assert all(setting in long for setting in settings)
    for part in ("R@1 cross", "removal gap", "mAP multi of af queries: no significant drop beyond .005"):
        assert part not in short
        assert part in long
    header = next(line for line in long.splitlines() if line.startswith("setting "))
    assert header.split() == ["setting", "base", "candidate", "difference", "p", "verdict", "R@1", "nDCG@10"]


def test_says_without_colour_all_that_it_says_with_it() -> None:
    plain = "\n".join(show(make_comparison(), 100))
    coloured = "\n".join(show(make_comparison(), 100, colour=True))
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    for word in ("failed", "worse", "not significant", "-.030*"):
        assert word in plain


def test_what_is_partial_or_not_compared_is_said() -> None:
    text = "\n".join(show(make_comparison(), 140))
    assert text.endswith("not compared, as only one side has it: mini")
    comparison = make_comparison()
    task = comparison.tasks[0].model_copy(update={"limit": 5, "shared_only": True})
    text = "\n".join(show(comparison.model_copy(update={"tasks": (task,)}), 140))
    assert "only the languages that both sides have: de, en, th; quick look: 5 topics, not comparable" in text


def test_sides_that_differ_by_task_are_named_there() -> None:
    comparison = make_comparison(tasks=("xquad-r", "mlqa-r"))
    one, other = comparison.tasks
    other = other.model_copy(update={"base": other.base.model_copy(update={"spec": "static"})})
    lines = show(comparison.model_copy(update={"tasks": (one, other)}), 140)
    assert lines[0] == "failed: 10 of 26 gate lines"
    assert "mlqa-r (version 1); x-x-mono against static" in lines


@pytest.mark.parametrize("every", [False, True])
def test_nothing_in_a_name_acts_unseen(every: bool) -> None:
    text = "\n".join(show(spoiled(), 140, every=every))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_task_without_cross_lingual_settings_has_no_map() -> None:
    task = make_task("t", ("de", "en"), kinds=["monolingual"])
    text = "\n".join(show(make_comparison().model_copy(update={"tasks": (task,)})))
    assert "heat map" not in text
    assert "thousandths" not in text


class TestMap:
    shown = difference_grid(make_task("t", ("de", "en", "th")))
    map = DifferenceMap(shown.grid, shown.significant)

    def draw(self, width: int, *, colour: bool = False, grid: DifferenceMap | None = None) -> list[str]:
        console = Console(
            file=io.StringIO(), width=width, color_system="truecolor" if colour else None, force_terminal=colour
        )
        with console.capture() as captured:
            console.print(grid or self.map)
        return captured.get().splitlines()

    def test_has_every_difference_with_sign_and_mark(self) -> None:
        lines = {line.split()[0]: line.split()[1:] for line in self.draw(80)[2:6]}
        for (row, column), value in self.shown.grid.cells.items():
            cell = lines[row][("de", "en", "th").index(column)]
            assert cell == whole(value) + ("*" if (row, column) in self.shown.significant else "")

    def test_colours_show_the_sign(self) -> None:
        line = next(line for line in self.draw(80, colour=True) if "de" in line and "-" in line)
        # A drop is redder than blue.
        drop = next(part for part in line.split("\x1b[") if "*" in part)
        red, _, blue = (int(number) for number in drop.split("48;2;")[1].split("m")[0].split(";")[:3])
        assert red > blue

    def test_is_coarser_where_that_makes_room(self) -> None:
        languages = [f"{a}{b}" for a in "a" for b in "klmnopqrstu"]
        shown = difference_grid(make_task("t", languages, fall=10))
        large = DifferenceMap(shown.grid, shown.significant)
        assert "in thousandths" in self.draw(120, grid=large)[0]
        narrow = self.draw(80, grid=large)
        assert "in hundredths" in narrow[0]
        assert not any("folded" in line for line in narrow)

    def test_without_room_there_is_a_line(self) -> None:
        languages = [f"{a}{b}" for a in "abcde" for b in "klmnopqrst"]
        shown = difference_grid(make_task("t", languages))
        assert self.draw(60, grid=DifferenceMap(shown.grid)) == ["the heat map of differences needs a wider terminal"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "·"), (0.0, "0"), (0.0004, "0"), (-0.0213, "-21"), (0.12, "+120"), (-0.0006, "-1")]
)
def test_whole_numbers(value: float | None, text: str) -> None:
    assert whole(value) == text
