"""The HTML report in a real browser, opened from a file as a user opens it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mlbench.report.html_page import html_report
from mlbench.results import Result

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PHONE, DESKTOP = 360, 1200


def browser_path() -> str | None:
    return os.environ.get("MLBENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = browser_path()
    if path is None:
        # Where checks decide what is merged, a browser that is missing must not look like success.
        assert not os.environ.get("CI"), "no browser: install chromium"
        pytest.skip("no browser: install chromium, or name one in $MLBENCH_CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


def _made() -> tuple[Result, Result]:
    """Results made by the unit tests' own hands, the second with hostile names."""
    source = Path(__file__).parents[1] / "unit" / "report" / "conftest.py"
    spec = util.spec_from_file_location("made_results", source)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["made_results"] = module
    spec.loader.exec_module(module)
    return module.make_result(), module.spoil(module.make_result(("de", "en", "th")))


@dataclass
class Opened:
    """A page, and all that it said or asked for."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def colours(self) -> tuple[float, float]:
        """Return the lightness (0 to 255) of text and paper."""
        found = self.page.evaluate(
            "() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor] }"
        )
        levels = [[int(part) for part in colour.strip("rgb()").split(",")] for colour in found]
        return sum(levels[0]) / 3, sum(levels[1]) / 3


Open = Callable[..., Opened]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    contexts = []

    def opened(*, scheme: str = "light", width: int = DESKTOP, several: bool = True) -> Opened:
        plain, hostile = _made()
        path = tmp_path / "report.html"
        path.write_text(html_report([plain, hostile] if several else [plain]), encoding="utf-8")
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
        contexts.append(context)
        made = Opened(context.new_page())
        made.page.on("console", lambda message: made.messages.append(message.text))
        made.page.on("pageerror", lambda error: made.messages.append(str(error)))
        made.page.on("dialog", lambda dialog: (made.messages.append(dialog.message), dialog.dismiss()))
        made.page.on("request", lambda request: made.requests.append(request.url))
        made.page.goto(path.as_uri(), wait_until="load")
        return made

    yield opened
    for context in contexts:
        context.close()


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
    table = page.get_by_role("table", name="mAP by query language (rows) and document language (columns)")
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
