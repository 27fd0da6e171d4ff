"""The map of many languages in a real browser: found, zoomed, sorted, grouped, opened, read and saved."""

import csv
import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import DESKTOP, PHONE, OpenAddress, Opened
from playwright.sync_api import Locator, Page, expect
from unit.compare.cases import skilled
from unit.leaderboard.boards import honest
from unit.reports.comparison_cases import make_comparison
from unit.reports.many_languages import flores_result
from unit.statistics.cases import make_collection

from mlbench.collection.language_info import language_info
from mlbench.leaderboard.entries import sealed
from mlbench.leaderboard.site import build_site, shown
from mlbench.reports.documents.comparison import comparison_report
from mlbench.reports.documents.result import results_report
from mlbench.reports.writers.html import write_html
from mlbench.results import Result

N_LANGUAGES, N_LARGE, N_COMPARED = 90, 205, 40
MOST_BYTES = 3_000_000
RESULT = flores_result(n_languages=N_LANGUAGES)
Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pages of results of 90 and of 205 languages, and of a comparison of 40."""
    folder = tmp_path_factory.mktemp("many")
    for name, result in (("result", RESULT), ("large", flores_result(n_languages=N_LARGE))):
        (folder / f"{name}.html").write_text(write_html(results_report([result])), encoding="utf-8")
    languages = RESULT.task.languages[:N_COMPARED]
    compared = comparison_report(make_comparison(languages, tasks=("flores-200",)))
    (folder / "comparison.html").write_text(write_html(compared), encoding="utf-8")
    return folder


@pytest.fixture
def open_page(open_address: OpenAddress, reports: Path) -> Open:
    def opened(name: str = "result", *, scheme: str = "light", width: int = DESKTOP, **options: object) -> Opened:
        return open_address((reports / f"{name}.html").as_uri(), scheme=scheme, width=width, **options)

    return opened


def shown_map(page: Page) -> Locator:
    return page.locator("div.language-map")


def view(page: Page) -> Locator:
    return shown_map(page).get_by_role("application")


def readout(page: Page) -> Locator:
    return shown_map(page).locator(".readout")


def order(page: Page) -> list[str]:
    """Return the tags of the rows, as the table behind the map has them."""
    shown_map(page).locator("details.numbers").evaluate("each => { each.open = true }")
    heads = shown_map(page).locator("details.numbers tbody th")
    expect(heads.first).to_be_visible()
    return heads.all_text_contents()


def cell_size(page: Page) -> float:
    return float(view(page).evaluate("each => each.firstElementChild.clientWidth - 112")) / N_LANGUAGES


def colours(page: Page) -> int:
    """Return how many colours the middle of the picture has."""
    return int(
        view(page)
        .locator("canvas")
        .evaluate(
            """canvas => {
              const { data } = canvas.getContext("2d").getImageData(canvas.width / 4, canvas.height / 4, 300, 300);
              return new Set(new Uint32Array(data.buffer)).size;
            }"""
        )
    )


@pytest.mark.parametrize("name", ["large", "comparison"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_says_nothing_asks_for_nothing_and_draws(open_page: Open, name: str, scheme: str) -> None:
    opened = open_page(name, scheme=scheme)
    assert colours(opened.page) > 20
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]


def test_is_small(reports: Path) -> None:
    assert (reports / "large.html").stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", ["result", "comparison"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_has_no_serious_fault_that_axe_finds(open_page: Open, name: str, scheme: str) -> None:
    page = open_page(name, scheme=scheme).page
    view(page).focus()
    page.keyboard.press("Enter")
    violations = Axe().run(page).response["violations"]
    grave = [
        (each["id"], [node["html"] for node in each["nodes"]][:3])
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []


@pytest.mark.parametrize("width", [320, PHONE, DESKTOP])
@pytest.mark.parametrize("name", ["large", "comparison"])
def test_does_not_scroll_sideways(open_page: Open, name: str, width: int) -> None:
    page = open_page(name, width=width).page
    view(page).focus()
    page.keyboard.press("Enter")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The whole map fits its place.
    assert view(page).evaluate("each => each.scrollWidth <= each.clientWidth + 1")


def test_the_pair_under_the_pointer_is_told(open_page: Open) -> None:
    page = open_page().page
    tags = order(page)
    # The cell of the third row and the fifth column.
    size = cell_size(page)
    view(page).hover(position={"x": 112 + 4.5 * size, "y": 112 + 2.5 * size})
    expect(readout(page)).to_contain_text(f"({tags[2]}) queries, ")
    expect(readout(page)).to_contain_text(f"({tags[4]}) documents: mAP ")


def test_keys_move_zoom_open_and_close(open_page: Open) -> None:
    page = open_page().page
    first, second, third = order(page)[:3]
    view(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(readout(page)).to_contain_text(f"({first}) queries, ")
    expect(readout(page)).to_contain_text(f"({third}) documents: mAP ")
    page.keyboard.press("ArrowDown")
    expect(readout(page)).to_contain_text(f"({second}) queries, ")
    before = cell_size(page)
    for _ in range(12):
        page.keyboard.press("+")
    assert cell_size(page) == pytest.approx(44)
    page.keyboard.press("End")
    assert view(page).evaluate("each => each.scrollLeft") > 2000
    for _ in range(12):
        page.keyboard.press("-")
    assert cell_size(page) == pytest.approx(before)
    page.keyboard.press("Enter")
    opened = shown_map(page).get_by_role("heading", level=4)
    expect(opened).to_be_focused()
    expect(opened).to_contain_text(f"({second})")
    page.keyboard.press("Escape")
    expect(opened).to_be_hidden()
    expect(view(page)).to_be_focused()


@pytest.mark.parametrize(
    ("asked", "tag"), [("fr", "fr"), ("guaran", "gn"), ("ქართული", "ka"), ("FRANCAIS", "fr"), ("asturianu", "ast")]
)
def test_a_language_is_found_by_tag_and_by_both_names(open_page: Open, asked: str, tag: str) -> None:
    page = open_page().page
    field = shown_map(page).get_by_label("Find a language")
    field.fill(asked)
    expect(shown_map(page).locator(".hits button").first).to_have_text(f"{language_info(tag).name} ({tag})")
    field.press("Enter")
    expect(shown_map(page).get_by_role("heading", level=4)).to_have_text(f"{language_info(tag).name} ({tag})")


def test_what_is_no_language_is_said(open_page: Open) -> None:
    page = open_page().page
    shown_map(page).get_by_label("Find a language").fill("klingon")
    expect(shown_map(page).locator(".hits")).to_have_text("No such language.")


def test_groups_stand_together(open_page: Open) -> None:
    page = open_page().page
    for label, of in (("family", "family"), ("script", "script"), ("level of resources", "resources")):
        shown_map(page).get_by_label("Group by").select_option(label)
        groups = [getattr(language_info(tag), of) for tag in order(page)]
        assert len(groups) == N_LANGUAGES
        changes = 1 + sum(one != other for one, other in pairwise(groups))
        assert changes == len(set(groups))
    assert list(dict.fromkeys(groups)) == ["high", "medium", "low"]


def test_rows_are_sorted_by_mean_name_and_tag(open_page: Open) -> None:
    page = open_page().page
    shown_map(page).get_by_label("Group by").select_option("nothing")
    for key, expected in (
        ("tag", sorted(RESULT.task.languages)),
        ("name", sorted(RESULT.task.languages, key=lambda tag: language_info(tag).name)),
    ):
        shown_map(page).get_by_label("Sort by").select_option(key)
        found = order(page)
        # Names with accents stand where readers look for them, which is not where their code points are.
        assert found == expected if key == "tag" else found[:20] == expected[:20]
    shown_map(page).get_by_label("Sort by").select_option("mean")
    best, *_, worst = order(page)
    level = {
        tag: [
            each.measures["AP"] or 0.0
            for each in RESULT.settings
            if tag in (each.query_language, *each.document_languages[:1]) and each.kind == "cross_lingual"
        ]
        for tag in (best, worst, "fr")
    }
    means = {tag: sum(values) / len(values) for tag, values in level.items()}
    assert means[best] > means["fr"] > means[worst]


def test_a_click_opens_the_language_as_a_list_that_can_be_sorted(open_page: Open) -> None:
    page = open_page().page
    view(page).click(position={"x": 300, "y": 300})
    panel = shown_map(page).locator("section.list")
    expect(panel.locator("tbody tr")).to_have_count(N_LANGUAGES - 1)
    values = [float(text) for text in panel.locator("tbody td:nth-child(2)").all_text_contents()]
    assert values == sorted(values, reverse=True)
    panel.get_by_role("button", name="Sort by other language").click()
    names = panel.locator("tbody th").all_text_contents()
    assert names[0].startswith("Acehnese")
    panel.get_by_role("button", name="Close the list").click()
    expect(panel).to_be_hidden()


def test_another_measure_is_shown(open_page: Open) -> None:
    page = open_page().page
    view(page).focus()
    expect(readout(page)).to_contain_text("mAP")
    before = readout(page).inner_text()
    shown_map(page).get_by_label("Shown").select_option("R@1")
    expect(readout(page)).to_contain_text("R@1")
    assert readout(page).inner_text() != before


def test_numbers_are_saved_as_csv(open_page: Open) -> None:
    page = open_page().page
    with page.expect_download() as waiting:
        shown_map(page).get_by_text("Save as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text(encoding="utf-8"))))
    assert len(rows) == N_LANGUAGES * N_LANGUAGES
    found = {(row["query_language"], row["document_language"]): float(row["mAP"]) for row in rows}
    for setting in RESULT.settings[::997]:
        document = setting.document_languages[0] if setting.kind == "cross_lingual" else "pool"
        assert found[setting.query_language, document] == pytest.approx(setting.measures["AP"], abs=0.0006)


def test_differences_have_signs_and_marks(open_page: Open) -> None:
    page = open_page("comparison").page
    view(page).focus()
    page.keyboard.press("ArrowRight")
    expect(readout(page)).to_contain_text("difference of mAP -")
    expect(readout(page)).to_contain_text(", significant")
    shown_map(page).get_by_label("Shown").select_option("mAP of the base")
    expect(readout(page)).to_contain_text("mAP of the base .")


def test_without_scripts_the_page_says_where_the_numbers_are(open_page: Open) -> None:
    page = open_page(java_script_enabled=False).page
    expect(shown_map(page)).to_contain_text("A script draws the map here")
    expect(page.get_by_role("table").first).to_be_visible()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A site with two entries measured in 31 languages, and the result of the first."""
    folder = tmp_path_factory.mktemp("board")
    collection = make_collection(seed=3, topics=6, languages=RESULT.task.languages[:31])
    entries = []
    for name, seed in (("one", 1), ("two", 2)):
        ranks = skilled(collection, seed=seed, skill=2.0 * seed)
        result = honest(ranks, collection, spec=name, name="many", measures=("AP", "R@1"), bias_scores=())
        about = sealed(name=name, kind="verified", title=name, tasks=("many",))
        entries.append(shown(about, {"many": (result, ranks)}))
    build_site(entries, folder / "site", flips=19)
    return folder / "site", entries[0].tasks["many"].result


class TestLeaderboard:
    """The same map on the pages of a leaderboard, from the packed data of its entries."""

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_the_page_of_an_entry_tells_its_values(
        self, open_address: OpenAddress, site: tuple[Path, Result], scheme: str
    ) -> None:
        folder, result = site
        opened = open_address((folder / "entries/one.html").as_uri(), scheme=scheme)
        page = opened.page
        row, column = order(page)[:2]
        view(page).focus()
        value, bounds = next(
            (each.measures["AP"], each.intervals["AP"])
            for each in result.settings
            if (each.query_language, each.document_languages) == (row, (column,))
        )
        assert value is not None
        assert bounds is not None
        low, high = (f"{end:.3f}".removeprefix("0") for end in (bounds.low, bounds.high))
        expect(readout(page)).to_contain_text(f"mAP {f'{value:.3f}'.removeprefix('0')} [{low}, {high}]; pool ")
        assert opened.messages == []

    def test_two_entries_are_compared(self, open_address: OpenAddress, site: tuple[Path, Result]) -> None:
        opened = open_address(f"{(site[0] / 'compare.html').as_uri()}#compare=one,two")
        view(opened.page).focus()
        expect(readout(opened.page)).to_contain_text("difference of mAP +")
        expect(opened.page.locator("#counts")).to_contain_text("not tested here, since there are too many")
        expect(opened.page.get_by_role("table", name="one and two on many")).to_be_visible()
        assert opened.messages == []
