"""The site of a leaderboard: what stands where, that names stay names, and that it comes whole or not at all."""

import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from unit.leaderboard.boards import forge, new_board, new_entry
from unit.leaderboard.sites import audited, board, entry, hostile, reported, said, verified
from unit.reports.conftest import LANGUAGES, TRAINING, make_result

from mlbench.cli import call
from mlbench.collection.languages import settings_of
from mlbench.errors import RefusedEntry, UserError
from mlbench.leaderboard import site
from mlbench.leaderboard.audit import STATUSES, TaskAudit
from mlbench.leaderboard.columns import COLUMNS, BoardColumn
from mlbench.leaderboard.entries import sealed
from mlbench.leaderboard.entry_page import entry_page
from mlbench.leaderboard.evidence import Evidence, summary_columns
from mlbench.leaderboard.findings import medians
from mlbench.leaderboard.repository import Change
from mlbench.leaderboard.site import build_site, pages, read_entries, shown
from mlbench.leaderboard.standings import BoardEntry, CheckedResult, standings
from mlbench.provenance import RegistryInfo
from mlbench.results import Result

FLIPS = 199
MEGABYTE = 1_000_000


class Page(HTMLParser):
    """What a page is made of: elements with attributes and the text of each, tables as rows of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.texts: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._cell:
            self.tables[-1][-1][-1] += f"{data} "

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> set[str | None]:
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "leaderboard"
    build_site([*board(), hostile()], folder, flips=FLIPS)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "leaderboard"
    build_site(board(), folder, flips=FLIPS)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def page(folder: Path, name: str) -> Page:
    return Page((folder / name).read_text(encoding="utf-8"))


def html(folder: Path) -> list[str]:
    return sorted(name for name in files(folder) if name.endswith(".html"))


class TestOverview:
    def test_verified_and_reported_numbers_stand_apart(self, plain: Path) -> None:
        small, reported_, micro = page(plain, "index.html").tables[:3]
        assert [row[1].split()[0] for row in small[1:]] == ["OURS", "TWIN", "OTHER"]
        assert [row[0].split()[0] for row in reported_[1:]] == ["PAPER"]
        assert [row[0].split()[0] for row in micro[1:]] == ["MICRO"]

    def test_reported_numbers_have_neither_rank_nor_interval(self, plain: Path) -> None:
        reported_ = page(plain, "index.html").tables[1]
        assert [cell.split() for cell in reported_[1][1:4]] == [[".500"]] * 3

    def test_the_main_measure_is_shown_with_intervals(self, plain: Path) -> None:
        table = page(plain, "index.html").tables[0]
        assert [head.split(" best")[0].split(" lower")[0].split(" param")[0].strip() for head in table[0]] == [
            "rank",
            "entry",
            "mAP multi",
            "mAP mono",
            "mAP cross",
            "own language preference",
            "rank distance",
            "size",
        ]
        for row in table[1:]:
            for cell in row[2:-1]:
                value, interval = cell.split()
                assert "–" in interval
                assert value

    def test_ranks_tell_what_the_data_can(self, plain: Path) -> None:
        table = page(plain, "index.html").tables[0]
        assert [row[0].strip() for row in table[1:]] == ["1", "2–3", "2–3"]

    def test_best_perfect_and_chance_are_told_of_each_column(self, plain: Path) -> None:
        heads = page(plain, "index.html").tables[0][0]
        multi, bias, distance = heads[2], heads[-3], heads[-2]
        assert multi.split() == ["mAP", "multi", "best", ".983", "perfect", "1.000", "chance", ".137"]
        assert "perfect .500 chance .500" in bias
        assert "lower is better" in distance
        assert "perfect 3 " in distance

    def test_tasks_with_more_languages_come_first(self, plain: Path) -> None:
        sections = [each["data-task"] for each in page(plain, "index.html").all("section")]
        assert sections == ["small", "sparse"]

    def test_tabs_lead_to_the_rankings_without_scripts(self, plain: Path) -> None:
        found = page(plain, "index.html")
        tabs = [link["href"] for link in found.all("a") if (link.get("href") or "").startswith("#ranking")]
        assert tabs == [f"#{each['id']}" for each in found.all("section")]

    def test_of_a_large_ranking_the_page_has_the_first_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(site, "MOST_ROWS", 2)
        build_site(board(), tmp_path / "site", flips=FLIPS)
        found = page(tmp_path / "site", "index.html")
        assert [row[1].split()[0] for row in found.tables[0][1:]] == ["OURS", "TWIN"]
        assert "These are the first 2 of 3 entries; scripts show the others." in found.text
        assert '"name":"other"' in (tmp_path / "site" / "rankings" / "small.js").read_text()

    def test_without_entries_it_says_so(self, tmp_path: Path) -> None:
        build_site([], tmp_path / "site")
        assert "no entries yet" in page(tmp_path / "site", "index.html").text
        assert "no two verified entries" in page(tmp_path / "site", "compare.html").text


class TestPages:
    def test_an_entry_says_how_it_was_made_and_how_to_check_it(self, built: Path) -> None:
        text = page(built, "entries/ours.html").text
        assert "mlbench leaderboard check ours" in text
        assert "mlbench run --model s1 --task small" in text
        assert "A retriever." in text

    def test_an_entry_says_what_it_is_good_and_bad_at(self, plain: Path) -> None:
        text = page(plain, "entries/ours.html").text
        assert "Of two translations of an answer, the one in the query's language comes first in" in text
        # On `small` there are three entries, on `sparse` there are two, which have no median.
        assert text.count("Against the median entry, mAP is higher") == 1

    def test_an_entry_names_the_nearest(self, plain: Path) -> None:
        text = " ".join(page(plain, "entries/twin.html").text.split())
        assert re.search(
            r"Nearest by mAP multi: (outside of the interval )?OTHER \(\.\d+\)[;,] (outside of the interval )?OURS \(",
            text,
        )
        assert "Nearest" not in page(plain, "entries/paper.html").text

    def test_an_entry_links_to_its_change_and_files(self) -> None:
        made = verified("ours", seed=1)
        web, commit = "https://github.com/a/b", "c" * 40
        change = Change(commit, "2026-11-30", f"{web}/commit/{commit}", f"{web}/blob/{commit}/entries/ours/")
        text = dict(pages([replace(made, change=change)], flips=19))["entries/ours.html"]
        links = [each.get("href") for each in Page(text).all("a")]
        assert change.url in links
        assert f"{change.files}small.json" in links
        assert f"{change.files}small.ranks.npz" in links
        assert ">2026-11-30<" in text

    @pytest.mark.parametrize("passed", [True, False])
    def test_an_entry_tells_of_its_audit(self, passed: bool) -> None:
        made = audited(verified("ours", seed=1), passed=passed)
        assert made.audit is not None
        faults = () if passed else ("40 of 200 vectors are off",)
        counted = {"n_texts": 1000, "n_drawn": 200, "n_topics": 20, "n_queries": 220, "share": 0.2}
        found = TaskAudit(**counted, largest_error=0.00312, mean_error=0.001, faults=faults)
        made = replace(made, audit=made.audit.model_copy(update={"tasks": {"small": found}}))
        text = Page(dict(pages([made], flips=19))["entries/ours.html"]).text
        status = "audited" if passed else "failed audit"
        assert f"OURS {status}" in text
        assert STATUSES[status] in text
        assert "by the maintainers, 2026-01-31, with static and mlbench 0.1.0" in text
        assert ". ".join(faults or [found.summary]) in text
        assert "fingerprint is not" not in text
        other = replace(made, audit=made.audit.model_copy(update={"same_fingerprint": False}))
        text = Page(dict(pages([other], flips=19))["entries/ours.html"]).text
        assert "with static (whose fingerprint is not the one that the entry states) and mlbench" in text

    def test_a_reported_entry_says_where_it_is_from_and_what_is_not_known(self, built: Path) -> None:
        text = page(built, "entries/paper.html").text
        assert "A paper, table 1" in text
        assert "The source does not state: ties, depth." in text
        assert "means over settings (macro)" in text
        assert "Reproduce" not in text
        assert "means over all queries (micro)" in page(built, "entries/micro.html").text

    def test_links_lead_somewhere(self, built: Path) -> None:
        known = {name: page(built, name).ids for name in html(built)}
        for name in known:
            for link in page(built, name).all("a"):
                target = urlsplit(link.get("href") or "")
                if target.scheme or not link.get("href"):
                    continue
                path = (Path(name).parent / target.path).as_posix() if target.path else name
                path = Path(path).resolve().relative_to(Path.cwd()).as_posix()
                assert path in known, (name, link)
                if target.fragment and "=" not in target.fragment:
                    assert unquote(target.fragment) in known[path], (name, link)

    def test_pages_take_nothing_from_elsewhere(self, built: Path) -> None:
        for name in html(built):
            found = page(built, name)
            policy = next(each for each in found.all("meta") if each.get("http-equiv") == "Content-Security-Policy")
            assert policy["content"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
                "form-action 'none'"
            )
            sources = [each["src"] for tag in ("script", "img", "iframe") for each in found.all(tag)]
            sources += [each["href"] for each in found.all("link")]
            for source in sources:
                assert source is not None
                assert ((built / name).parent / source).resolve().is_file(), source
            assert not found.all("style")
            assert all("style" not in attributes for _, attributes in found.elements)
            assert all(not key.startswith("on") for _, attributes in found.elements for key in attributes)

    def test_every_id_is_there_once(self, built: Path) -> None:
        for name in html(built):
            ids = [attributes["id"] for _, attributes in page(built, name).elements if "id" in attributes]
            assert len(ids) == len(set(ids)), name


class TestNames:
    """Texts of an entry and of its results stay texts, whatever they hold."""

    def test_make_no_element(self, built: Path) -> None:
        harmless, spoiled = page(built, "entries/twin.html"), page(built, "entries/hostile.html")
        assert {tag for tag, _ in spoiled.elements} <= {tag for tag, _ in harmless.elements} | {"a", "p"}
        assert len(spoiled.all("script")) == len(harmless.all("script"))
        assert not spoiled.all("img")

    def test_stand_on_the_page_as_they_are(self, built: Path) -> None:
        for name in ("index.html", "compare.html", "entries/hostile.html"):
            assert "</td></script><script>alert(1)</script>|*a*`b`[x](y)" in page(built, name).text

    def test_of_addresses_are_no_links_but_to_the_web(self, built: Path) -> None:
        for name in html(built):
            links = [each.get("href") or "" for each in page(built, name).all("a")]
            assert not [link for link in links if urlsplit(link).scheme not in ("", "https")]

    def test_leave_no_character_that_acts_unseen(self, built: Path) -> None:
        for name, content in files(built).items():
            text = content.decode()
            assert not {"\x1b", "\u202e", "\x00", "\u2028", "\u200b"} & set(text), name

    def test_end_no_data_file(self, built: Path) -> None:
        for name, content in files(built).items():
            if name.startswith("entries/") and name.endswith(".js"):
                assert b"<" not in content
                assert content.decode().replace("–", "").isascii()


class TestBuilding:
    @pytest.mark.slow
    def test_the_same_entries_give_the_same_bytes(self, tmp_path: Path) -> None:
        for name, entries in (("one", board()), ("two", board()[::-1])):
            build_site(entries, tmp_path / name, flips=FLIPS)
        assert files(tmp_path / "one") == files(tmp_path / "two")

    @pytest.mark.slow
    def test_takes_the_place_of_an_older_site(self, tmp_path: Path) -> None:
        build_site(board(), tmp_path / "site", flips=FLIPS)
        build_site([verified("new")], tmp_path / "site", flips=FLIPS)
        assert [name for name in html(tmp_path / "site") if name.startswith("entries/")] == ["entries/new.html"]
        assert [path.name for path in tmp_path.iterdir()] == ["site"]

    def test_leaves_the_older_site_after_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        build_site([verified("old")], tmp_path / "site", flips=FLIPS)
        before = files(tmp_path / "site")
        monkeypatch.setattr(site, "about", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_site(board(), tmp_path / "site", flips=FLIPS)
        assert files(tmp_path / "site") == before
        assert [path.name for path in tmp_path.iterdir()] == ["site"]

    def test_a_checkout_with_files_of_others_survives(self, tmp_path: Path) -> None:
        others = {"CNAME": b"board.example.org", ".git/config": b"[core]", "entries/notes.txt": b"mine"}
        for name, content in others.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        build_site([verified("old")], tmp_path, flips=FLIPS)
        build_site([verified("new")], tmp_path, flips=FLIPS)
        assert files(tmp_path).items() >= others.items()
        assert [name for name in html(tmp_path) if name.startswith("entries/")] == ["entries/new.html"]

    def test_replaces_no_page_of_others(self, tmp_path: Path) -> None:
        (tmp_path / "index.html").write_text("years of work")
        with pytest.raises(UserError, match=r"index.html is there, and mlbench did not write it"):
            build_site([], tmp_path)
        assert files(tmp_path) == {"index.html": b"years of work"}


class TestCommand:
    def test_builds_what_passes_the_check(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        new_entry(new_board(tmp_path))
        folder = tmp_path / "site"
        assert call(["leaderboard", "build", "--board", str(tmp_path / "board"), "--out", str(folder)]) == 0
        assert capsys.readouterr().out == f"{folder / 'index.html'}: 1 entry\n"
        assert "Ours" in page(folder, "index.html").tables[0][1][1]

    def test_writes_nothing_while_an_entry_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        new_board(tmp_path)
        accepted = new_board(tmp_path / "other")
        entry = new_entry(accepted)
        forge(entry / "small.json", "aggregates/0/measures/AP", 0.99)
        with pytest.raises(RefusedEntry, match="ours"):
            read_entries(accepted)
        command = ["leaderboard", "build", "--board", str(accepted.folder), "--out", str(tmp_path / "site")]
        assert call(command) == 2
        assert "ours" in capsys.readouterr().err
        assert not (tmp_path / "site").exists()

    @pytest.mark.parametrize("out", ["", "entries", "entries/ours", "tasks/../audits"])
    def test_does_not_mix_the_site_with_the_board(
        self, tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = new_board(tmp_path).folder
        before = files(folder)
        assert call(["leaderboard", "build", "--board", str(folder), "--out", str(folder / out)]) == 2
        assert "is where the board itself lies" in capsys.readouterr().err
        assert files(folder) == before

    def test_needs_a_board(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert call(["leaderboard", "build", "--board", str(tmp_path / "none")]) == 2
        assert "there is no leaderboard" in capsys.readouterr().err


@cache
def plain_result(languages: tuple[str, ...]) -> Result:
    return make_result(languages)


def large_result(languages: tuple[str, ...], seed: int) -> Result:
    """Return a result as large as a real one: with intervals of every mean, and all that is known of a run."""
    document = plain_result(languages).model_dump()
    random = np.random.RandomState(seed)
    for row in (*document["settings"], *document["aggregates"]):
        row["measures"] = {name: float(random.uniform()) for name in row["measures"]}
        bounds = {name: {"low": value - 0.0213, "high": value + 0.0217} for name, value in row["measures"].items()}
        row["intervals"] = bounds if "aggregation" in row else {"AP": bounds["AP"]}
    for score in document["bias"]["scores"]:
        score["interval"] = {"low": score["value"] * 0.93, "high": score["value"] * 1.07}
    document["retriever"] |= {
        "training": TRAINING.model_dump(),
        "parameters": {f"option{i}": "value" for i in range(8)},
    }
    document["environment"] |= {
        "libraries": {"numpy": "2.4.6", "tokenizers": "0.23.3", "torch": "2.13.0", "transformers": "5.0.0"},
        "command": "mlbench run --model checkpoints/model --task xquad-r --task mlqa-r --device cuda:0",
        "git_commit": "a" * 40,
    }
    return Result.model_validate(document)


def large_entry(number: int) -> BoardEntry:
    random = np.random.RandomState(number)
    name = f"organisation-model-large-{number:02}"
    tasks = {}
    for task, languages in (("xquad-r", LANGUAGES), ("mlqa-r", LANGUAGES[:7])):
        order, result = settings_of(languages), large_result(languages, number)

        def draws(columns: tuple[BoardColumn, ...], size: int) -> dict[BoardColumn, np.ndarray]:
            return {column: random.standard_normal(size) for column in columns}

        evidence = Evidence(
            data={},
            columns=draws(COLUMNS, 48),
            summary=draws(summary_columns(result), 48),
            shares=dict.fromkeys(summary_columns(result), np.full(48, 1 / 48)),
            replicates=draws(summary_columns(result), 100),
            settings=random.standard_normal((48, len(order))),
            confidence=0.95,
        )
        tasks[task] = CheckedResult(result, evidence)
    about = sealed(
        name=name,
        kind="verified",
        title=f"Organisation Model Large {number}",
        summary="A dual encoder with shared weights that was trained in two stages on pairs in ninety languages.",
        url=f"https://example.org/organisation/{name}",
        licence="Apache-2.0",
        parameters=560_142_336,
        tasks=("mlqa-r", "xquad-r"),
    )
    return BoardEntry(about, tasks)


@pytest.mark.slow
def test_fifty_entries_take_less_than_a_megabyte() -> None:
    entries = [large_entry(number) for number in range(50)]
    written = sum(len(text.encode()) for _, text in pages(entries, flips=19))
    assets = sum(path.stat().st_size for path in (Path(site.__file__).parent / "assets").iterdir())
    assert written + assets < MEGABYTE, f"{written:,} and {assets:,}"


def test_entries_of_other_data_are_not_ranked_together() -> None:
    one, other = verified("one"), verified("other")
    data = other.tasks["small"].evidence.data
    data["topics"] = "0" * 64  # type: ignore[index]
    with pytest.raises(UserError, match="other and one were measured on different data of small"):
        standings([one, other])


def test_a_reported_task_that_nobody_measured_has_a_table_of_its_own(tmp_path: Path) -> None:
    build_site([reported("paper", said("elsewhere"))], tmp_path / "site")
    assert [each["data-task"] for each in page(tmp_path / "site", "index.html").all("section")] == ["elsewhere"]


@pytest.mark.parametrize(("recorded", "of_all"), [((), False), (("small",), False), (("small", "sparse"), True)])
def test_commands_are_the_recorded_ones_where_every_run_has_one(recorded: tuple[str, ...], of_all: bool) -> None:
    made = verified("ours", seed=1, tasks=("small", "sparse"))
    tasks = {}
    for task, each in made.tasks.items():
        command = {"command": f"mlbench run --task {task}"} if task in recorded else {}
        environment = each.result.environment.model_copy(update=command)
        tasks[task] = CheckedResult(each.result.model_copy(update={"environment": environment}), each.evidence)
    made = BoardEntry(made.entry, tasks)
    making = entry_page(made, standings([made], flips=FLIPS), dict.fromkeys(tasks, medians([]))).making
    assert making is not None
    assert making.recorded == of_all


def test_an_entry_says_what_it_was_trained_on_of_a_task() -> None:
    made = verified("ours", seed=1)
    measured = made.tasks["small"]
    known = RegistryInfo(name="our/model", trained_on={"mlqa": "yes", "squad": "yes"}, seen=("mlqa", "squad"))
    retriever = measured.result.retriever.model_copy(update={"registry": known})
    told = CheckedResult(measured.result.model_copy(update={"retriever": retriever}), measured.evidence)
    both = (made, BoardEntry(made.entry, {"small": told}))
    parts = [entry_page(each, standings([each], flips=FLIPS), {"small": medians([])}).parts for each in both]
    added = [note for note in parts[1][0].notes if note not in parts[0][0].notes]
    assert added == ["trained on MLQA and SQuAD: not zero-shot"]


def test_what_acts_unseen_in_an_entry_is_shown() -> None:
    about = shown(entry("paper", reported=(said(),), title="a\u202eb", source="A paper"), {}).entry
    assert about.title == "a\\u202eb"
