"""Pages about captioned images in a real browser: those of a leaderboard, and a report."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import PHONE, OpenAddress, Opened
from playwright.sync_api import Locator, Page, expect
from unit.leaderboard.image_sites import image_board
from unit.leaderboard.sites import verified

from mlbench.leaderboard.site import build_site, read_entries
from mlbench.reports.documents.result import results_report
from mlbench.reports.formats import render
from mlbench.results import read_result

PAGES = (
    "index.html#task=pictures",
    "entries/seer.html",
    "compare.html#compare=seer,better",
    "about.html",
    "report.html",
)
Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site with a task of images and one of texts, and of a report."""
    folder = tmp_path_factory.mktemp("pictures")
    board = image_board(folder)
    entries = [*read_entries(board), verified("texts", seed=1), verified("words", seed=2)]
    build_site(entries, folder / "site", flips=199)
    result = read_result(board.entry_folder("seer") / "pictures.json")
    (folder / "site" / "report.html").write_bytes(render("html", results_report([result])))
    return folder / "site"


@pytest.fixture
def open_page(open_address: OpenAddress, pictures: Path) -> Open:
    def opened(address: str, **options: object) -> Opened:
        return open_address(f"{pictures.as_uri()}/{address}", **options)

    return opened


def heads(page: Page, task: str) -> list[str]:
    shown = page.locator(f"section[data-task={task}] table.overview thead th")
    return [
        str(each)
        for each in shown.evaluate_all("all => all.map(th => (th.firstElementChild || th).childNodes[0].data)")
    ]


def choices(page: Page, label: str) -> list[str]:
    options: Locator = page.get_by_role("combobox", name=label, exact=True).locator("option:not([hidden])")
    return [str(option.get_attribute("value")) for option in options.all()]


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).select_option(value)


class TestEveryPage:
    @pytest.mark.parametrize("name", PAGES)
    def test_says_nothing(self, open_page: Open, name: str) -> None:
        opened = open_page(name)
        opened.page.wait_for_load_state("networkidle")
        assert opened.messages == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("name", PAGES)
    def test_has_no_serious_fault_that_axe_finds(self, open_page: Open, name: str, scheme: str) -> None:
        page = open_page(name, scheme=scheme).page
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        violations = Axe().run(page).response["violations"]
        grave = [
            (each["id"], [node["html"] for node in each["nodes"]][:3])
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]
        assert grave == []

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("name", PAGES)
    def test_fits_a_phone(self, open_page: Open, name: str, scheme: str) -> None:
        page = open_page(name, scheme=scheme, width=PHONE).page
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE


class TestOverview:
    def test_a_task_is_shown_by_its_own_measures(self, open_page: Open) -> None:
        page = open_page("index.html").page
        page.get_by_role("link", name="pictures").click()
        assert heads(page, "pictures")[2:6] == [
            "Success@1 to image",
            "Success@1 to text",
            "Success@1 to pool",
            "r_mean",
        ]
        assert choices(page, "Measure") == ["Success@1", "Success@5", "Success@10"]
        assert choices(page, "Columns") == ["", "text_to_image", "image_to_text"]
        page.get_by_role("link", name="small").click()
        assert heads(page, "small")[2:5] == ["mAP multi", "mAP mono", "mAP cross"]
        assert choices(page, "Measure") == ["AP", "R@1", "R@10", "RR"]

    def test_shows_another_measure(self, open_page: Open) -> None:
        page = open_page("index.html#task=pictures").page
        choose(page, "Measure", "Success@10")
        assert sorted(heads(page, "pictures")[2:5]) == [
            "Success@10 to image",
            "Success@10 to pool",
            "Success@10 to text",
        ]
        assert "Success%4010" not in page.url
        assert "measure=Success@10" in page.url

    def test_has_columns_by_language_of_the_captions(self, open_page: Open, pictures: Path) -> None:
        page = open_page("index.html#task=pictures&by=image_to_text").page
        assert heads(page, "pictures")[2:5] == ["German", "English", "Thai"]
        result = read_result(pictures.parent / "board" / "entries" / "better" / "pictures.json")
        german = next(each for each in result.settings if each.document_languages == ("de",))
        shown = page.locator("section[data-task=pictures] tr[data-name=better] td").nth(1)
        value = shown.evaluate("cell => Number(cell.childNodes[0].data)")
        assert value == pytest.approx(german.measures["Success@1"], abs=0.0006)

    def test_what_another_task_is_asked_for_is_not_heeded(self, open_page: Open) -> None:
        page = open_page("index.html#task=pictures&measure=R@1&by=monolingual").page
        assert heads(page, "pictures")[2] == "Success@1 to image"

    def test_the_best_stands_first(self, open_page: Open) -> None:
        page = open_page("index.html#task=pictures").page
        rows = page.locator("section[data-task=pictures] tbody tr th a").all_inner_texts()
        assert rows[0] == "Better"


class TestEntry:
    def test_captions_have_colours_that_can_be_read(self, open_page: Open) -> None:
        page = open_page("entries/seer.html").page
        cells = page.locator("table.captions td[data-v]")
        assert cells.count() == 3 * 9
        papers = {cell.evaluate("cell => cell.style.background") for cell in cells.all()}
        assert len(papers) > 3

    def test_the_map_tells_both_directions(self, open_page: Open) -> None:
        page = open_page("entries/seer.html").page
        page.locator("[data-cell='1']").hover()
        expect(page.locator(".readout")).to_contain_text("de captions asked for by images: Success@1")
        choose(page, "Measure", "Success@5")
        expect(page.locator(".figures h3").first).to_have_text("Success@5 in both directions")

    def test_reads_without_scripts(self, open_page: Open) -> None:
        page = open_page("entries/seer.html", java_script_enabled=False).page
        expect(page.locator("table.captions")).to_contain_text("RefCLIPScore")


class TestCompare:
    def test_tells_two_entries_apart_by_direction(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=seer,better").page
        rows = page.locator("#summary tbody th").all_inner_texts()
        assert [row.split("\n")[0] for row in rows[:3]] == [
            "Success@1 to image",
            "Success@1 to text",
            "Success@1 to pool",
        ]
        expect(page.locator("#grid")).to_have_text("Every caption language, in both directions")
        expect(page.locator("#counts")).to_contain_text("Of 6 settings, Better is significantly better")

    def test_the_legend_is_whole(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=seer,better").page
        inside = page.evaluate(
            """() => {
              const svg = document.querySelector("svg.map");
              const edge = svg.getBoundingClientRect().right;
              return [...svg.querySelectorAll("text")].every((text) => text.getBoundingClientRect().right <= edge + 1);
            }"""
        )
        assert inside

    def test_entries_of_other_tasks_cannot_be_compared(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=seer,texts").page
        expect(page.locator("#said")).to_contain_text("not measured on")
