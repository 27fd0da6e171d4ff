"""`mlbench leaderboard`, as a submitter and a maintainer meet it."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from command_line import CommandLine, Done
from functional.forging import read, write

COMMITTED = Path(__file__).parents[2] / "leaderboard"
ENTRIES = sorted(path.parent.name for path in COMMITTED.glob("entries/*/entry.json"))
VERIFIED = {path.parent.name for path in COMMITTED.glob("entries/*/*.ranks.npz")}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a result of `mini`, and a board that accepts what the committed one does."""
    folder = tmp_path_factory.mktemp("leaderboard")
    CommandLine(folder).result("--model", "hashing")
    shutil.copytree(COMMITTED / "tasks", folder / "leaderboard" / "tasks")
    return folder


@pytest.fixture
def work(measured: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return shutil.copytree(measured, tmp_path / "work")


@pytest.fixture
def mlbench(work: Path) -> Callable[..., Done]:
    """`mlbench leaderboard` in that copy."""
    return partial(CommandLine(work), "leaderboard")


Mlbench = Callable[..., Done]


def test_a_result_becomes_an_entry_that_passes(work: Path) -> None:
    mlbench = CommandLine(work)
    said = ("--title", "Hashed n-grams", "--licence", "Apache-2.0", "--parameters", "0", "--url", "https://example.org")
    added = mlbench("leaderboard", "add", "results", "--name", "hashing", *said)
    assert (added.code, added.err) == (0, "")
    assert added.out.startswith("leaderboard/entries/hashing: mini: all 5,079 numbers follow from the ranks")
    checked = mlbench("leaderboard", "check")
    assert (checked.code, checked.out) == (0, "verified  hashing: mini: all 5,079 numbers follow from the ranks\n")
    entry = read(work / "leaderboard" / "entries" / "hashing" / "entry.json")
    assert (entry["title"], entry["parameters"], entry["tasks"]) == ("Hashed n-grams", 0, ["mini"])


def test_the_committed_board_accepts_what_a_run_gives_today(work: Path, mlbench: Mlbench) -> None:
    done = mlbench("accept", "results", "--board", "fresh")
    assert (done.code, done.out) == (0, "fresh/tasks/mini.json\n")
    assert (work / "fresh/tasks/mini.json").read_bytes() == (COMMITTED / "tasks/mini.json").read_bytes()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_committed_entry_passes(mlbench: Mlbench, name: str) -> None:
    done = mlbench("check", name, "--json", "--board", str(COMMITTED))
    assert done.code == 0, done.out
    (row,) = json.loads(done.out)
    assert (row["name"], row["refused"]) == (name, None)
    assert row["kind"] == ("verified" if name in VERIFIED else "reported")


def test_ten_committed_entries_are_reported_and_the_others_are_not() -> None:
    assert {path.name for path in (COMMITTED / "entries").iterdir()} == set(ENTRIES)
    assert len(VERIFIED) >= 6
    assert len(set(ENTRIES) - VERIFIED) == 10


def test_refused_entries_are_told_in_a_line_each(work: Path, mlbench: Mlbench) -> None:
    mlbench("add", "results", "--name", "one")
    entries = work / "leaderboard" / "entries"
    document = read(entries / "one" / "mini.json")
    document["aggregates"][0]["measures"]["AP"] += 0.01
    shutil.copytree(entries / "one", entries / "two")
    write(entries / "one" / "mini.json", document)
    (entries / "Notes").mkdir()
    done = mlbench("check")
    assert done.code == 1
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("refused   Notes: 'Notes' is no name for an entry")
    assert lines[1].startswith("refused   one: mini.json is not the file that entry.json names")
    assert lines[2].startswith("refused   two: entry.json is that of one")
    rows = json.loads(mlbench("check", "one", "--json").out)
    assert [(row["name"], row["tasks"], bool(row["refused"])) for row in rows] == [("one", [], True)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "results", "--name", "../up"], "is no name for an entry"),
        (["add", "results", "--name", "ours", "--title", "<b>"], "has markup"),
        (["add", "results", "--name", "ours", "--url", "http://example.org"], "no plain https address"),
        (["add", "results", "--name", "ours", "--board", "nowhere"], "there is no leaderboard in nowhere"),
        (["add", "nothing.json", "--name", "ours"], "cannot read nothing.json"),
        (["add", "--name", "ours"], "there is no entry ours to describe"),
        (["add", "results"], "Missing option '--name'"),
        (["check", "unknown"], "unknown entry 'unknown'"),
        (["check", "../tasks"], "unknown entry '../tasks'"),
        (["check", "--board", "nowhere"], "there is no leaderboard in nowhere"),
        (["accept", "nothing.json"], "cannot read nothing.json"),
    ],
)
def test_errors_are_one_line(work: Path, mlbench: Mlbench, arguments: list[str], said: str) -> None:
    done = mlbench(*arguments)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_an_entry_is_added_once_described_again_and_replaced_on_request(work: Path, mlbench: Mlbench) -> None:
    folder = work / "leaderboard" / "entries" / "ours"
    assert mlbench("add", "results", "--name", "ours").code == 0
    first = (folder / "entry.json").read_bytes()
    assert mlbench("add", "results", "--name", "ours").code == 0
    assert (folder / "entry.json").read_bytes() == first
    CommandLine(work).result("--model", "hashing", "--set", "dim=64", "--out", "more")
    refused = mlbench("add", "more", "--name", "ours")
    assert (refused.code, (folder / "entry.json").read_bytes()) == (2, first)
    assert "add --replace" in refused.err
    assert mlbench("add", "more", "--name", "ours", "--replace", "--title", "Ours").code == 0
    assert mlbench("add", "--name", "ours", "--summary", "With fewer numbers.").code == 0
    assert read(folder / "entry.json")["summary"] == "With fewer numbers."
    assert mlbench("check").code == 0


def test_a_quick_look_is_refused(work: Path, mlbench: Mlbench) -> None:
    CommandLine(work).result("--model", "hashing", "--limit", "5", "--out", "quick")
    added = mlbench("add", "quick", "--name", "ours")
    assert (added.code, "of a part of the task" in added.err) == (2, True)
    accepted = mlbench("accept", "quick")
    assert (accepted.code, "of a part of mini" in accepted.err) == (2, True)
