"""A real browser, and what a page in it says and asks for."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PHONE, DESKTOP = 360, 1200
PATIENCE = 10_000
"""Milliseconds that anything may take to appear."""


def browser_path() -> str | None:
    return os.environ.get("MLBENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a file, as its event loop must not outlive them: later tests load other libraries."""
    path = browser_path()
    if path is None:
        # Where checks decide what is merged, a browser that is missing must not look like success.
        assert not os.environ.get("CI"), "no browser: install chromium"
        pytest.skip("no browser: install chromium, or name one in $MLBENCH_CHROMIUM")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


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


OpenAddress = Callable[..., Opened]


@pytest.fixture
def open_address(browser: Browser) -> Iterator[OpenAddress]:
    """Opens an address in a window of its own; `options` are those of a browser context."""
    contexts = []

    def opened(address: str, *, scheme: str = "light", width: int = DESKTOP, **options: object) -> Opened:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        made = Opened(context.new_page())
        made.page.on("console", lambda message: made.messages.append(message.text))
        made.page.on("pageerror", lambda error: made.messages.append(str(error)))
        made.page.on("dialog", lambda dialog: (made.messages.append(dialog.message), dialog.dismiss()))
        made.page.on("request", lambda request: made.requests.append(request.url))
        made.page.goto(address, wait_until="load")
        return made

    yield opened
    for context in contexts:
        context.close()
