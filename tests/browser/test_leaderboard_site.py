"""The leaderboard's site in a real browser: opened from a file, and served from below another folder."""

import csv
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.conftest import DESKTOP, PHONE, OpenAddress, Opened
from playwright.sync_api import Locator, Page, expect
from unit.leaderboard.sites import as_control, audited, board, hostile, measured, renamed, reported, said

from mlbench.leaderboard.evidence import summary_columns
from mlbench.leaderboard.pairs import differing_settings
from mlbench.leaderboard.site import build_site
from mlbench.leaderboard.standings import BoardEntry
from mlbench.statistics.cluster_scores import ScoreRequest
from mlbench.statistics.paired_tests import compare_ranks

FLIPS = 199
PAGES = ("index.html", "about.html", "compare.html", "entries/ours.html", "entries/paper.html")
HOSTILE_PAGES = ("index.html", "about.html", "entries/hostile.html", "entries/hostile.html#measure=R@1")
SUB_FOLDER = "some/where"

CONTRASTS = """cells => {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const channels = { "#000": [0, 0, 0], "#fff": [255, 255, 255] };
  const light = (shape) => {
    const colour = shape.getAttribute("fill");
    const [r, g, b] = (channels[colour] || colour.match(/\\d+/g)).map((channel) => linear(channel / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  return cells.map((cell) => {
    const [paper, ink] = ["rect", "text"].map((name) => light(cell.querySelector(name)));
    return Math.max(paper, ink) / Math.min(paper, ink);
  });
}"""
"""The contrast ratio of number and colour of each cell (WCAG 2.2)."""

Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site that lies below others."""
    folder = tmp_path_factory.mktemp("served") / SUB_FOLDER
    folder.parent.mkdir(parents=True)
    build_site(board(), folder, flips=FLIPS)
    return folder


@pytest.fixture(scope="session")
def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site whose every name tries to be more than a name."""
    folder = tmp_path_factory.mktemp("hostile") / "site"
    twin = hostile()
    twin = BoardEntry(twin.entry.model_copy(update={"name": "worse"}), twin.tasks)
    build_site([hostile(), twin], folder, flips=FLIPS)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """The address of the site, below that of its server."""
    handler = partial(Quiet, directory=str(site.parents[1]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/{SUB_FOLDER}"
        running.shutdown()


@pytest.fixture
def open_page(open_address: OpenAddress, site: Path) -> Open:
    """Opens a page of the site from a file; `address` may end in what it is to show."""

    def opened(address: str = "index.html", **options: object) -> Opened:
        return open_address(f"{site.as_uri()}/{address}", **options)

    return opened


def table_of(page: Page, group: str = "ranking", task: str = "small") -> Locator:
    """Return the ranking of a task, or the table of a group of reported numbers."""
    section = page.locator(f"section[data-task={task}]")
    return section.locator("table.overview" if group == "ranking" else f"[data-group={group}] table")


def names(table: Locator) -> list[str]:
    return table.locator("tbody tr th a").all_inner_texts()


def heads(table: Locator) -> list[str]:
    texts = table.locator("thead th").evaluate_all(
        "all => all.map(th => (th.querySelector('button') || th).childNodes[0].data)"
    )
    return [str(text) for text in texts]


def column(table: Locator, head: str) -> list[float]:
    """Return the numbers in a column, from above."""
    place = heads(table).index(head)
    cells = table.locator("tbody tr").evaluate_all(f"rows => rows.map(row => row.cells[{place}].childNodes[0].data)")
    return [float(str(text).replace(",", "")) for text in cells]


def choose(page: Page, label: str, value: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).select_option(value)


class TestEveryPage:
    @pytest.mark.parametrize("name", PAGES)
    def test_says_nothing_and_asks_nobody_else(
        self, open_page: Open, server: str, open_address: OpenAddress, name: str
    ) -> None:
        from_file, served = open_page(name), open_address(f"{server}/{name}")
        for opened in (from_file, served):
            opened.page.wait_for_load_state("networkidle")
            assert opened.messages == []
        base = from_file.page.url.removesuffix(name)
        assert [url for url in from_file.requests if not url.startswith(base)] == []
        assert [url for url in served.requests if not url.startswith(server)] == []
        # The same in both places.
        assert served.page.inner_text("main") == from_file.page.inner_text("main")

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

    @pytest.mark.parametrize("width", [320, PHONE, 800])
    @pytest.mark.parametrize("name", PAGES)
    def test_does_not_scroll_sideways(self, open_page: Open, name: str, width: int) -> None:
        page = open_page(name, width=width).page
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    def test_is_light_or_dark_as_the_user_wants(self, open_page: Open) -> None:
        ink, paper = open_page(scheme="light").colours()
        assert paper - ink > 180
        ink, paper = open_page(scheme="dark").colours()
        assert ink - paper > 180

    def test_reads_without_scripts(self, open_page: Open) -> None:
        page = open_page(java_script_enabled=False).page
        assert page.locator("form.controls").is_hidden()
        assert len(heads(table_of(page))) == 2 + 3 + 2 + 1
        assert table_of(page, task="sparse").is_visible()
        entry = open_page("entries/ours.html", java_script_enabled=False).page
        assert entry.get_by_role("table", name="Means on small").is_visible()
        assert "mlbench compare" in open_page("compare.html", java_script_enabled=False).page.inner_text("main")

    def test_shows_where_the_focus_is(self, open_page: Open) -> None:
        page = open_page().page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert page.locator(".skip").bounding_box()["x"] >= 0  # type: ignore[index]
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") in ("solid", "auto")

    def test_prints_without_what_is_for_the_screen(self, open_page: Open) -> None:
        page = open_page().page
        page.emulate_media(media="print")
        assert page.locator("form.controls").is_hidden()
        assert page.get_by_role("navigation", name="Pages").is_hidden()
        assert page.get_by_role("navigation", name="Rankings").is_hidden()
        assert table_of(page).is_visible()

    @pytest.mark.parametrize("name", [*HOSTILE_PAGES, "compare.html#compare=worse,hostile"])
    def test_shows_hostile_names_as_text(self, open_address: OpenAddress, hostile_site: Path, name: str) -> None:
        opened = open_address(f"{hostile_site.as_uri()}/{name}")
        page = opened.page
        if "about" not in name:
            expect(page.locator("main")).to_contain_text("<script>alert(1)</script>")
            expect(page.locator("svg.map, table.overview").first).to_be_visible()
        assert page.locator("main img, main script, main iframe").count() == 0
        assert opened.messages == []
        assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP


class TestOverview:
    def test_the_script_shows_what_the_page_says_without_it(self, open_page: Open) -> None:
        said = table_of(open_page(java_script_enabled=False).page)
        shown = table_of(open_page().page)
        expect(shown.locator("input[type=checkbox]")).to_have_count(3)
        rows = [locator.locator("tr").all_inner_texts() for locator in (said, shown)]
        assert [row.split() for row in rows[0]] == [row.replace("▼", "").split() for row in rows[1]]

    def test_sorts_by_a_column_and_back(self, open_page: Open) -> None:
        page = open_page().page
        table = table_of(page)
        before = names(table)
        assert before[0] == "OURS"
        head = table.get_by_role("columnheader", name="mAP multi")
        assert head.get_attribute("aria-sort") == "descending"
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert names(table) == before[::-1]
        assert "order=turned" in page.url

    def test_sorts_what_is_better_when_lower_from_below(self, open_page: Open) -> None:
        page = open_page().page
        table = table_of(page)
        table.get_by_role("button", name="rank distance").click()
        shown = column(table, "rank distance")
        assert shown == sorted(shown)
        assert len(set(shown)) > 1

    def test_sorts_by_keyboard_and_keeps_the_focus(self, open_page: Open) -> None:
        page = open_page().page
        table = table_of(page)
        table.get_by_role("button", name="entry").focus()
        page.keyboard.press("Enter")
        assert names(table) == ["OTHER", "OURS", "TWIN"]
        page.keyboard.press("Space")
        assert names(table) == ["TWIN", "OURS", "OTHER"]

    def test_ranks_are_those_of_the_column_that_sorts(self, open_page: Open) -> None:
        page = open_page().page
        table = table_of(page)
        ranks = table.locator("tbody td:first-child")
        assert ranks.all_inner_texts() == ["1", "2–3", "2–3"]
        assert table.locator("tr.apart").count() == 1
        table.get_by_role("button", name="size").click()
        assert names(table) == ["OURS", "OTHER", "TWIN"]
        assert table.locator("tr.apart").count() == 0

    def test_tabs_change_the_ranking(self, open_page: Open) -> None:
        page = open_page().page
        assert not table_of(page, task="sparse").is_visible()
        page.get_by_role("link", name="sparse").click()
        assert table_of(page, task="sparse").is_visible()
        assert not table_of(page).is_visible()
        assert page.get_by_role("link", name="sparse").get_attribute("aria-current") == "true"
        assert page.url.endswith("#task=sparse")

    def test_shows_another_measure(self, open_page: Open) -> None:
        page = open_page().page
        table = table_of(page)
        bias = ["own language preference", "rank distance", "size"]
        assert heads(table) == ["rank", "entry", "mAP multi", "mAP mono", "mAP cross", *bias]
        choose(page, "Measure", "R@10")
        assert sorted(heads(table)[2:5]) == ["R@10 cross", "R@10 mono", "R@10 multi"]
        assert heads(table)[5:] == bias
        assert "measure=R@10" in page.url
        result = board()[0].tasks["small"].result
        multi = result.aggregate("multilingual")
        assert multi is not None
        assert column(table, "R@10 multi")[0] == pytest.approx(multi.measures["R@10"], abs=0.00051)

    def test_means_over_chosen_languages_are_those_of_the_results(self, open_page: Open) -> None:
        page = open_page().page
        page.locator("#languages summary").click()
        for name in ("German (de)", "Thai (th)"):
            page.get_by_label(name).check()
        assert "languages=de,th" in page.url
        expect(page.locator("#languages summary")).to_have_text("German, Thai")
        table, entries = table_of(page), {each.entry.title: each for each in board()}
        for head, kind in (("mAP mono", "monolingual"), ("mAP cross", "cross_lingual"), ("mAP multi", "multilingual")):
            for title, shown in zip(names(table), column(table, head), strict=True):
                result = entries[title].tasks["small"].result
                means = [result.aggregate(kind, query_language=tag) for tag in ("de", "th")]
                values = [mean.measures["AP"] for mean in means if mean]
                assert shown == pytest.approx(sum(filter(None, values)) / 2, abs=0.00061)
        shown = column(table, "mAP multi")
        assert shown == sorted(shown, reverse=True)
        page.get_by_role("button", name="All languages").click()
        assert "languages" not in page.url

    def test_the_answer_about_languages_ranks_by_one(self, open_page: Open) -> None:
        page = open_page().page
        page.get_by_role("combobox", name="Rank for queries in").select_option("th")
        table = table_of(page)
        result = board()[0].tasks["small"].result
        mean = result.aggregate("multilingual", query_language="th")
        assert mean is not None
        assert column(table, "mAP multi")[0] == pytest.approx(mean.measures["AP"], abs=0.00061)
        bounds = mean.intervals["AP"]
        assert bounds is not None
        low, high = table.locator("tbody tr").first.locator("small").nth(1).inner_text().split("–")
        assert (float(low), float(high)) == pytest.approx((bounds.low, bounds.high), abs=0.00061)

    def test_has_a_column_for_each_language(self, open_page: Open) -> None:
        page = open_page().page
        choose(page, "Columns", "cross_lingual")
        table = table_of(page)
        result = board()[0].tasks["small"].result
        assert len(heads(table)) == 2 + len(result.task.languages) + 1
        mean = result.aggregate("cross_lingual", query_language="de")
        assert mean is not None
        assert column(table, "German")[names(table).index("OURS")] == pytest.approx(mean.measures["AP"], abs=0.00061)
        choose(page, "Measure", "R@1")
        assert column(table, "German")[names(table).index("OURS")] == pytest.approx(mean.measures["R@1"], abs=0.00061)

    def test_filters_by_size(self, open_page: Open) -> None:
        page = open_page().page
        table = table_of(page)
        page.locator("#filters summary").click()
        for value, shown in (("10000000", ["OURS"]), ("150000000", ["OURS", "TWIN", "OTHER"]), ("unknown", [])):
            choose(page, "Size", value)
            assert sorted(names(table)) == sorted(shown)
        expect(page.get_by_text("0 of 3 entries shown")).to_be_visible()
        expect(page.locator("#filters summary")).to_have_text("filters (1)")

    def test_a_list_closes_by_escape_and_elsewhere(self, open_page: Open) -> None:
        page = open_page().page
        filters = page.locator("#filters")
        page.locator("#filters summary").click()
        page.get_by_role("combobox", name="Size").focus()
        page.keyboard.press("Escape")
        assert filters.get_attribute("open") is None
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
        page.locator("#filters summary").click()
        page.locator("h1").click()
        assert filters.get_attribute("open") is None

    def test_filters_by_name_and_resets(self, open_page: Open) -> None:
        page = open_page().page
        page.get_by_label("Search", exact=True).fill("tw")
        assert names(table_of(page)) == ["TWIN"]
        expect(page.get_by_text("1 of 3 entries shown")).to_be_visible()
        assert page.evaluate("document.activeElement.name") == "find"
        page.get_by_role("button", name="Reset").click()
        assert len(names(table_of(page))) == 3
        assert page.get_by_label("Search", exact=True).input_value() == ""
        assert "#" not in page.url

    def test_a_link_shows_what_it_says(self, open_page: Open) -> None:
        page = open_page("index.html#task=sparse&measure=R@1&sort=name&find=o&languages=en").page
        table = table_of(page, task="sparse")
        assert heads(table)[2:] == ["R@1 multi", "R@1 mono", "R@1 cross", "size"]
        assert names(table) == ["OTHER", "OURS"]

    def test_skipping_to_the_content_changes_nothing_else(self, open_page: Open) -> None:
        page = open_page("index.html#task=sparse").page
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        assert page.url.endswith("#task=sparse")
        assert table_of(page, task="sparse").is_visible()

    def test_follows_a_changed_address(self, open_page: Open) -> None:
        page = open_page().page
        page.evaluate("location.hash = 'task=sparse'")
        expect(table_of(page, task="sparse")).to_be_visible()
        page.go_back()
        expect(table_of(page)).to_be_visible()

    def test_passes_over_what_an_address_gets_wrong(self, open_page: Open) -> None:
        opened = open_page(
            "index.html#task=none&measure=%3Cb%3E&sort=x&order=y&compare=none,a,b&size=-1&by=x&languages=xx,constructor"
            "&__proto__=1&constructor=1"
        )
        expect(table_of(opened.page).locator("input[type=checkbox]")).to_have_count(3)
        assert len(names(table_of(opened.page))) == 3
        assert opened.messages == []

    def test_interval_pictures_lie_within_their_cells(self, open_page: Open) -> None:
        page = open_page().page
        marks = (
            table_of(page)
            .locator(".whisker rect")
            .evaluate_all("all => all.map(each => [+each.getAttribute('x'), +each.getAttribute('width')])")
        )
        assert len(marks) == 3 * 5 * 2
        assert all(x >= -2 and x + width <= 102 for x, width in marks)

    def test_two_entries_are_ticked_and_compared(self, open_page: Open) -> None:
        page = open_page().page
        link = page.locator("#compare")
        assert link.get_attribute("href") is None
        page.get_by_role("checkbox", name="Compare OURS").check()
        expect(link).to_have_text("Tick one more")
        page.get_by_role("checkbox", name="Compare TWIN").check()
        page.get_by_role("checkbox", name="Compare OTHER").check()
        # The last two that were ticked.
        assert not page.get_by_role("checkbox", name="Compare OURS").is_checked()
        assert "compare=twin,other" in page.url
        link.click()
        page.wait_for_selector("svg.map")
        assert page.locator("#first").input_value() == "twin"
        assert page.locator("#second").input_value() == "other"

    def test_the_sorted_column_is_in_view_on_a_phone(self, open_page: Open) -> None:
        page = open_page(width=PHONE).page
        box = table_of(page).locator("thead th.sorted").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE

    def test_points_of_plots_are_links_with_a_table_behind(self, open_page: Open) -> None:
        page = open_page().page
        plot = page.get_by_role("group", name="mAP multi against own language preference")
        links = plot.get_by_role("link")
        expect(links).to_have_count(3)
        links.first.focus()
        assert page.evaluate("document.activeElement.tagName") == "a"
        first = links.first.get_attribute("aria-label") or ""
        assert re.fullmatch(r"OURS: own language preference \.[0-9]+, mAP multi \.983", first)
        page.keyboard.press("Enter")
        page.wait_for_url("**/entries/ours.html")

    def test_plots_show_what_the_table_shows(self, open_page: Open) -> None:
        page = open_page("index.html#find=ou").page
        figure = page.locator(".plots figure").first
        expect(figure.get_by_role("link")).to_have_count(1)
        figure.get_by_text("The same numbers as a table").click()
        assert figure.locator("tbody tr").all_inner_texts() == ["OURS\t10 M\t.983"]

    def test_what_is_shown_is_downloaded(self, open_page: Open) -> None:
        page = open_page("index.html#find=o").page
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download CSV").click()
        rows = list(csv.DictReader(waiting.value.path().read_text(encoding="utf-8").splitlines()))
        assert [row["entry"] for row in rows] == ["ours", "other"]
        assert (rows[0]["rank"], rows[0]["AP.multilingual"], rows[0]["licence"]) == ("1", "0.983", "MIT")
        assert float(rows[0]["AP.multilingual low"]) <= 0.983 <= float(rows[0]["AP.multilingual high"])
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download JSON").click()
        found = json.loads(waiting.value.path().read_text(encoding="utf-8"))
        assert [row["entry"] for row in found["entries"]] == ["ours", "other"]
        assert found["entries"][0]["AP.multilingual"] == 0.983
        assert found["sorted_by"] == "AP.multilingual"

    def test_a_large_ranking_is_drawn_in_parts(self, open_page: Open) -> None:
        page = open_page().page
        made = """() => {
          const ours = { name: "e", title: "E", size: "1 k" };
          const cells = { values: Array(150).fill(".5").join(" "), bounds: Array(150).fill("·").join(" "),
            ranks: Array(150).fill("1:150").join(" "), groups: Array(150).fill(1) };
          const column = { key: "AP.multilingual", title: "mAP multi", better: "higher", notes: [],
            measure: "AP", kind: "multilingual" };
          board.knowRanking("sparse", { title: "many", columns: [{ ...column, ...cells }],
            orders: [[...Array(150).keys()]],
            entries: Array.from({ length: 150 }, (_, at) => ({ ...ours, name: `e${at}` })),
            languages: [], rows: {}, limits: {} });
        }"""
        page.evaluate(made)
        page.get_by_role("link", name="sparse").click()
        table = table_of(page, task="sparse")
        assert len(names(table)) == 100
        expect(page.get_by_text("100 of 150 entries shown; 50 more below them.")).to_be_visible()
        page.get_by_role("button", name="Show all 150 rows").click()
        assert len(names(table)) == 150

    def test_no_spreadsheet_computes_what_is_downloaded(self, open_page: Open) -> None:
        rows = "[{ a: '=1+1', b: -0.5, e: '＝2', c: 'x,\"y\"', d: null }]"
        assert open_page().page.evaluate(f"board.toCsv({rows})") == 'a,b,e,c,d\n\'=1+1,-0.5,\'＝2,"x,""y""",\n'


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site of a shipped task with a control and an audited entry."""
    folder = tmp_path_factory.mktemp("named") / "site"
    ours, other, twin = board()[:3]
    made = [audited(ours), as_control(other), twin, reported("paper", said("xquad-r"))]
    build_site([renamed(each, "small", "xquad-r") for each in made], folder, flips=FLIPS)
    return folder


class TestShippedTask:
    @pytest.mark.parametrize(("width", "height", "screens"), [(1280, 800, 1), (390, 844, 2)])
    def test_the_first_screen_answers_five_questions(
        self, named: Path, open_address: OpenAddress, width: int, height: int, screens: int
    ) -> None:
        page = open_address(f"{named.as_uri()}/index.html", width=width).page
        expect(page.locator(".answers h3")).to_have_count(5)
        page.wait_for_selector(".plots figure")
        for place in (*page.locator(".answers > div").all(), page.locator("table.overview tbody tr").first):
            box = place.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= screens * height

    def test_controls_fold_away(self, named: Path, open_address: OpenAddress) -> None:
        page = open_address(f"{named.as_uri()}/index.html").page
        table = table_of(page, task="xquad-r")
        expect(
            page.get_by_text("2 of 3 entries shown; 1 control is folded away, and takes part in the ranks.")
        ).to_be_visible()
        assert "OTHER" not in names(table)
        page.get_by_role("button", name="Show 1 control").click()
        assert "OTHER" in names(table)
        page.get_by_role("button", name="Fold controls away").click()
        assert "OTHER" not in names(table)

    def test_filters_by_status_licence_kind_and_training_data(self, named: Path, open_address: OpenAddress) -> None:
        for field, shown in (
            ("status=audited", ["OURS"]),
            ("status=recomputed", ["TWIN"]),
            ("licence=MIT", ["OURS", "TWIN"]),
            ("licence=unknown", []),
            ("kind=encoder", ["OURS", "TWIN"]),
            ("seen=unknown", ["OURS", "TWIN"]),
            ("seen=yes", []),
        ):
            page = open_address(f"{named.as_uri()}/index.html#{field}").page
            expect(page.locator(".plots figure").first).to_be_visible()
            assert names(table_of(page, task="xquad-r")) == shown

    def test_data_are_cited_to_be_copied(self, named: Path, open_address: OpenAddress) -> None:
        page = open_address(f"{named.as_uri()}/index.html").page
        page.get_by_text("Cite XQuAD-R").click()
        cite = page.locator("details.cite")
        expect(cite.locator("code")).to_contain_text("@software{mlbench,")
        expect(cite.locator("code")).to_contain_text("@article{roy2020lareqa,")
        cite.get_by_role("button", name="Copy").click()
        assert "roy2020lareqa" in page.evaluate("getSelection().toString()")


def grid_of(page: Page) -> Locator:
    return page.get_by_role("application")


class TestEntry:
    def test_a_cell_is_read_where_the_pointer_is(self, open_page: Open) -> None:
        page = open_page("entries/ours.html").page
        result = board()[0].tasks["small"].result
        setting = next(
            each for each in result.settings if (each.query_language, each.document_languages) == ("de", ("en",))
        )
        page.locator("svg.map g[data-cell='7']").hover()
        told = page.locator(".readout").inner_text()
        value = f"{setting.measures['AP']:.3f}".removeprefix("0")
        assert told.startswith(f"de queries, en documents: mAP {value}, interval ")
        assert told.endswith("; 40 queries")

    def test_a_cell_is_read_where_a_finger_is(self, open_page: Open) -> None:
        page = open_page("entries/ours.html", width=PHONE, has_touch=True, is_mobile=True).page
        page.locator("svg.map g[data-cell='4']").tap()
        assert page.locator(".readout").inner_text().startswith("ar queries, documents of all languages: mAP ")

    def test_cells_are_read_by_keyboard(self, open_page: Open) -> None:
        page = open_page("entries/ours.html").page
        grid, told = grid_of(page), page.locator(".readout")
        grid.focus()
        assert told.inner_text().startswith("ar queries, ar documents")
        for key, read in (
            ("ArrowRight", "ar queries, de documents"),
            ("ArrowDown", "de queries, de documents"),
            ("End", "de queries, documents of all languages"),
            ("ArrowRight", "de queries, documents of all languages"),
            ("Home", "de queries, ar documents"),
            ("ArrowLeft", "de queries, ar documents"),
            ("ArrowUp", "ar queries, ar documents"),
            ("ArrowUp", "ar queries, ar documents"),
        ):
            page.keyboard.press(key)
            assert told.inner_text().startswith(read)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"

    def test_the_table_says_what_the_picture_does(self, open_page: Open) -> None:
        page = open_page("entries/ours.html").page
        page.get_by_text("The same numbers as a table").click()
        table = page.locator("details[open] table")
        shown = page.locator("svg.map g[data-cell] text").all_text_contents()
        cells = table.locator("td").all_inner_texts()
        assert len(shown) == len(cells) == 4 * 5
        assert all(abs(float(a) - float(b)) <= 0.0051 for a, b in zip(shown, cells, strict=True))

    def test_numbers_are_easy_to_read_on_their_colours(self, open_page: Open) -> None:
        for address in ("entries/ours.html", "compare.html#compare=ours,twin"):
            page = open_page(address).page
            page.wait_for_selector("svg.map")
            contrasts = page.locator("svg.map g[data-cell]").evaluate_all(CONTRASTS)
            assert min(contrasts) >= 4.5

    def test_shows_another_measure_and_task(self, open_page: Open) -> None:
        page = open_page("entries/ours.html").page
        first = page.locator("svg.map g[data-cell] text").all_text_contents()
        choose(page, "Measure", "R@1")
        assert page.get_by_role("heading", name="R@1 of every pair of languages").is_visible()
        assert page.locator("svg.map g[data-cell] text").all_text_contents() != first
        assert page.get_by_role("columnheader", name="R@1 cross").is_visible()
        choose(page, "Task", "sparse")
        assert page.url.endswith("#measure=R@1&task=sparse") or page.url.endswith("#task=sparse&measure=R@1")
        assert page.locator("section:not([hidden]) svg.map g[data-cell]").count() == 3 * 4

    def test_every_query_language_has_bars_and_numbers(self, open_page: Open) -> None:
        page = open_page("entries/ours.html").page
        result = board()[0].tasks["small"].result
        table = page.get_by_role("table", name="mAP by language of the query")
        for language in result.task.languages:
            mean = result.aggregate("cross_lingual", query_language=language)
            assert mean is not None
            cell = table.locator("tbody tr", has=page.locator(f"th:text-is('{language}')")).locator("td").nth(1)
            assert float(cell.inner_text().split("\n")[0]) == pytest.approx(mean.measures["AP"], abs=0.0006)
            assert cell.locator("svg.bar rect").count() == 2

    def test_a_measure_by_language_is_the_mean_of_its_cells(self, open_page: Open) -> None:
        page = open_page("entries/ours.html#measure=R@10").page
        result = board()[0].tasks["small"].result
        mean = result.aggregate("cross_lingual", query_language="ar")
        assert mean is not None
        shown = page.get_by_role("table", name="R@10 by language of the query").locator("td").nth(1).inner_text()
        assert abs(float(shown) - (mean.measures["R@10"] or 0)) < 0.0011

    def test_bias_scores_have_references_and_are_explained(self, open_page: Open) -> None:
        page = open_page("entries/ours.html").page
        row = page.get_by_role("table", name="Language bias").locator("tr", has_text="own language preference")
        assert "chance .500" in row.inner_text()
        row.get_by_role("link").click()
        assert page.url.endswith("about.html#own_language_preference")
        assert page.locator("#own_language_preference").is_visible()

    def test_reported_numbers_are_drawn_by_language(self, open_page: Open) -> None:
        page = open_page("entries/paper.html").page
        table = page.get_by_role("table", name="mAP by language of the query")
        assert [text.split() for text in table.locator("tbody tr").all_inner_texts()] == [
            ["ar", ".000"],
            ["de", ".100"],
            ["en", ".200"],
        ]
        assert grid_of(page).count() == 0


class TestCompare:
    def test_tells_what_two_entries_differ_by(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=twin,ours").page
        row = page.locator("#summary tr", has_text="mAP multi")
        first, second, difference, interval, p, verdict = row.locator("td").all_inner_texts()
        assert float(second) - float(first) == pytest.approx(float(difference), abs=0.0011)
        low, high = map(float, interval.split(" to "))
        assert low <= high
        assert p
        assert verdict == "OURS is better"
        lower = page.locator("#summary tr", has_text="rank distance").first
        assert lower.locator("td").last.inner_text() == "OURS is better"

    @pytest.mark.parametrize(("first", "second"), [("ours", "twin"), ("other", "twin"), ("twin", "other")])
    def test_means_are_tested_as_the_command_line_does(self, open_page: Open, first: str, second: str) -> None:
        systems = {"ours": (1, 4.0), "other": (2, 1.0), "twin": (3, 1.0)}
        pair = [measured("small", seed=seed, skill=skill) for seed, skill in (systems[first], systems[second])]
        request = replace(ScoreRequest.of_result(pair[0][0]), resamples=2000)
        tests = compare_ranks([pair[0][1]], [pair[1][1]], request)
        page = open_page(f"compare.html#compare={first},{second}").page
        page.wait_for_selector("svg.map")
        found = page.evaluate(
            "names => board.testPair(board.tasks.small, ...names.map(name => board.entries[name].tasks.small))",
            [first, second],
        )
        columns = summary_columns(pair[0][0])
        assert len(found) == len(columns) == 5
        for column, row in zip(columns, found, strict=True):
            line = tests.line(column.name, column.kind)
            assert line is not None
            assert line.adjusted is not None
            assert line.interval is not None
            # Both draw 10,000 patterns of signs, of contributions that the page has in 8 bits.
            assert row["p"] == pytest.approx(line.adjusted.two_sided, abs=0.02 + 0.05 * line.adjusted.two_sided)
            width = line.interval.high - line.interval.low
            assert row["limits"] == pytest.approx([line.interval.low, line.interval.high], abs=0.2 * width)
            assert row["to"] - row["from"] == pytest.approx(line.difference)

    def test_few_groups_are_tested_by_all_patterns_of_signs(self, open_page: Open) -> None:
        page = open_page("compare.html").page
        task = {"summary": ["AP"], "better": ["higher"], "shares": [[0.25] * 4], "t": None}
        zero = [1, b64encode(bytes(4)).decode()]
        ahead = {"summary": [0.5], "tests": [zero]}
        behind = {"summary": [0.1], "tests": [zero]}
        (row,) = page.evaluate("parts => board.testPair(...parts)", [task, ahead, behind])
        # All four groups differ alike: of 16 patterns two are as extreme.
        assert row["p"] == 2 / 16
        assert row["limits"] is None
        (same,) = page.evaluate("parts => board.testPair(...parts)", [task, ahead, ahead])
        assert same["p"] == 1
        (lacking,) = page.evaluate(
            "parts => board.testPair(...parts)", [task, ahead, {"summary": [0.1], "tests": [None]}]
        )
        assert lacking["p"] is None

    def test_marks_the_settings_that_differ(self, open_page: Open) -> None:
        evidence = {each.name: each.tasks["small"].evidence for each in board() if "small" in each.tasks}
        differs = differing_settings("small", evidence, flips=FLIPS)["ours", "twin"]
        page = open_page("compare.html#compare=ours,twin").page
        marks = page.locator("svg.map g[data-cell] circle")
        expect(marks).to_have_count(int(differs.sum()))
        said = page.locator("#counts").inner_text()
        counts = [int(number) for number in re.findall(r"\d+", said)]
        assert counts[0] == len(differs)
        assert counts[1] + counts[2] == differs.sum()
        page.locator("svg.map g[data-cell]", has=page.locator("circle")).first.hover()
        assert page.locator(".readout").inner_text().endswith(", significant")

    def test_entries_far_from_each_other_have_no_marks(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=ours,twin").page
        page.wait_for_selector("svg.map")
        page.evaluate("board.entries.ours.tasks.small.differs = {}")
        page.get_by_role("button", name="Swap").click()
        expect(page.locator("#counts")).to_have_text(
            "Single settings are not tested here, since the two do not stand near each other: "
            "mlbench compare twin ours in a copy of the leaderboard tests them."
        )
        assert page.locator("svg.map g[data-cell] circle").count() == 0
        assert page.locator("#summary tr", has_text="mAP multi").locator("td").last.inner_text() == "OURS is better"

    def test_turned_round_everything_has_the_other_sign(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=ours,twin").page
        page.wait_for_selector("svg.map")

        def numbers(text: str) -> list[float]:
            return [float(each.replace(",", "")) for each in re.findall(r"[-+]?[\d,]*\.?\d+", text)]

        def seen() -> tuple[list[float], list[float], list[float]]:
            rows = page.locator("#summary tbody tr").all()
            differences = [numbers(row.locator("td").nth(2).inner_text())[0] for row in rows]
            limits = [numbers(row.locator("td").nth(3).inner_text()) for row in rows]
            cells = [float(text) for text in page.locator("svg.map g[data-cell] text").all_text_contents()]
            return differences, [each for pair in limits for each in pair], cells

        before = seen()
        page.get_by_role("button", name="Swap").click()
        expect(page.locator("#first")).to_have_value("twin")
        after = seen()
        assert [-value for value in before[0]] == after[0]
        assert sorted(-value for value in before[1]) == sorted(after[1])
        assert [-value for value in before[2]] == after[2]
        assert any(before[2])

    def test_the_address_names_what_is_compared(self, open_page: Open) -> None:
        page = open_page("compare.html").page
        page.locator("#first").select_option("twin")
        page.locator("#second").select_option("ours")
        assert "compare=twin,ours" in page.url
        choose(page, "Measure", "R@1")
        expect(page.locator("#counts")).to_contain_text("Single settings are tested by mAP")
        assert page.locator("svg.map g[data-cell] circle").count() == 0
        assert "measure=R@1" in page.url

    def test_says_what_cannot_be_compared(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=ours,ours").page
        expect(page.locator("#said")).to_have_text("Choose two different entries.")
        page.locator("#second").select_option("twin")
        expect(page.locator("#summary table")).to_be_visible()
        choose(page, "Task", "sparse")
        expect(page.locator("#said")).to_have_text("TWIN was not measured on sparse.")
        assert page.locator("#comparison").is_hidden()

    def test_a_comparison_is_read_by_keyboard(self, open_page: Open) -> None:
        page = open_page("compare.html#compare=ours,other&task=sparse").page
        page.wait_for_selector("svg.map")
        grid_of(page).focus()
        page.keyboard.press("ArrowRight")
        assert re.match(
            r"de queries, en documents: mAP [.\d]+ and [.\d]+, difference [-+]?[.\d]+, (not )?significant",
            page.locator(".readout").inner_text(),
        )

    @pytest.mark.parametrize("width", [PHONE, DESKTOP])
    def test_the_picture_fits(self, open_page: Open, width: int) -> None:
        page = open_page("compare.html#compare=ours,twin", width=width).page
        page.wait_for_selector("svg.map")
        box = page.locator("svg.map").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width
