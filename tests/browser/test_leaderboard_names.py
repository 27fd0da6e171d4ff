"""Names that scripts could trip over: an entry and a task that are called as what every object has."""

from pathlib import Path

import pytest
from browser.conftest import OpenAddress
from playwright.sync_api import expect
from unit.leaderboard.sites import verified

from mlbench.leaderboard.site import build_site

NAME = "constructor"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with an entry and a task called `constructor`; `other` was not measured on that task."""
    folder = tmp_path_factory.mktemp("names") / "site"
    entries = [
        verified(NAME, seed=1, skill=2.0, tasks=(NAME, "small")),
        verified("ours", seed=2, tasks=(NAME, "small")),
        verified("other", seed=3),
    ]
    build_site(entries, folder, flips=199)
    return folder


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"index.html#task={NAME}", "CONSTRUCTOR"),
        (f"entries/{NAME}.html", "CONSTRUCTOR"),
        (f"entries/{NAME}.html#task={NAME}", "CONSTRUCTOR"),
        (f"entries/other.html#task={NAME}", "OTHER"),
        (f"compare.html#compare=ours,{NAME}&task={NAME}", "CONSTRUCTOR"),
        (f"compare.html#compare=other,{NAME}", "CONSTRUCTOR"),
    ],
)
def test_they_are_names_as_any_other(open_address: OpenAddress, site: Path, address: str, shown: str) -> None:
    opened = open_address(f"{site.as_uri()}/{address}")
    expect(opened.page.locator("main")).to_contain_text(shown)
    if not address.startswith("index"):
        expect(opened.page.locator("svg").first).to_be_visible()
    assert opened.messages == []


def test_a_task_that_one_entry_lacks_is_said(open_address: OpenAddress, site: Path) -> None:
    opened = open_address(f"{site.as_uri()}/compare.html#compare=other,{NAME}&task={NAME}")
    expect(opened.page.locator("main")).to_contain_text("OTHER was not measured on")
    assert opened.messages == []
