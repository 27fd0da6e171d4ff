"""The HTML report in a real browser, opened from a file as a user opens it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from browser.conftest import DESKTOP, PHONE, OpenAddress, Opened
from unit.reports.conftest import make_result, spoil

from mlbench.reports.documents.result import results_report
from mlbench.reports.writers.html import write_html

Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report `one.html` and, with a result that is hostile beside it, `several.html`."""
    folder = tmp_path_factory.mktemp("reports")
    plain, hostile = make_result(), spoil(make_result(("de", "en", "th")))
    for name, results in (("one", [plain]), ("several", [plain, hostile])):
        (folder / f"{name}.html").write_text(write_html(results_report(results)), encoding="utf-8")
    return folder


@pytest.fixture
def open_page(open_address: OpenAddress, reports: Path) -> Open:
    def opened(*, scheme: str = "light", width: int = DESKTOP, several: bool = True) -> Opened:
        name = "several" if several else "one"
        return open_address((reports / f"{name}.html").as_uri(), scheme=scheme, width=width)

    return opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_says_nothing_and_asks_for_nothing(open_page: Open, scheme: str) -> None:
    opened = open_page(scheme=scheme)
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]


def test_is_light_or_dark_as_the_user_wants(open_page: Open) -> None:
    ink, paper = open_page(scheme="light").colours()
    assert paper - ink > 180
    ink, paper = open_page(scheme="dark").colours()
    assert ink - paper > 180


@pytest.mark.parametrize("width", [320, PHONE, DESKTOP])
@pytest.mark.parametrize("several", [False, True])
def test_does_not_scroll_sideways(open_page: Open, width: int, several: bool) -> None:
    page = open_page(width=width, several=several).page
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_wide_parts_scroll_within_by_keyboard(open_page: Open) -> None:
    page = open_page(width=PHONE, several=False).page
    region = page.get_by_role("region", name="Heat map")
    assert region.evaluate("each => each.scrollWidth > each.clientWidth")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.activeElement.scrollLeft > 0")


def test_details_open_by_keyboard(open_page: Open) -> None:
    page = open_page(several=False).page
    table = page.get_by_role("table", name="mAP: language of the query (rows) by language of the documents (columns)")
    assert not table.is_visible()
    summary = page.locator("summary").first
    for _ in range(20):
        page.keyboard.press("Tab")
        if summary.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    assert table.is_visible()
    assert table.get_by_role("row").count() == 1 + 11 + 1


def test_focus_can_be_seen(open_page: Open) -> None:
    page = open_page(several=False).page
    page.keyboard.press("Tab")
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_heat_map_tells_exact_numbers_and_itself_in_words(open_page: Open) -> None:
    page = open_page(several=False).page
    picture = page.get_by_role("img")
    assert (picture.get_attribute("aria-label") or "").startswith("Heat map of mAP by query language")
    titles = page.locator("svg g > title").all_text_contents()
    assert len(titles) == 11 * 12
    assert all(title.startswith(("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")) for title in titles)
    assert page.locator("svg text", has_text="pool").is_visible()


def test_links_lead_to_each_result(open_page: Open) -> None:
    page = open_page().page
    page.get_by_role("link").nth(1).click()
    assert page.url.endswith("#result-2")
    assert page.locator("#result-2").evaluate("each => Math.abs(each.getBoundingClientRect().top) < 800")


def test_hostile_names_are_text(open_page: Open) -> None:
    page = open_page().page
    assert page.locator("script, img, iframe, base, form").count() == 0
    assert "<script>alert(1)</script>" in page.locator("#result-2 h1").inner_text()
