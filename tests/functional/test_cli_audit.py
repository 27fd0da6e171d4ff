"""`mlbench leaderboard audit` on a board in git: an honest entry, a forged one, and what cannot be done."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine, Done
from functional.forging import read, reseal, write

from mlbench.leaderboard.audit import Audit, status_of
from mlbench.leaderboard.auditor import Auditor
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry

COMMITTED = Path(__file__).parents[2] / "leaderboard"


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout with a board, to which an honest entry and a stolen one came by merges, and one without vectors.

    `honest` is the model hashing; `stolen` has all that hashing with 64 dimensions gives, and names hashing.
    """
    folder = tmp_path_factory.mktemp("audits")
    run = CommandLine(folder)
    run.result("--model", "hashing", "--set", "dim=512", "--commit-vectors", "--out", "honest")
    run.result("--model", "hashing", "--set", "dim=64", "--commit-vectors", "--out", "stolen")
    run.result("--model", "bm25s", "--out", "lexical")
    shutil.copytree(COMMITTED / "tasks", folder / "leaderboard" / "tasks")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "leaderboard")
    git(folder, "commit", "-q", "-m", "A board")
    for name in ("honest", "stolen", "lexical"):
        git(folder, "switch", "-q", "-c", name)
        assert run("leaderboard", "add", name, "--name", name, "--title", name).code == 0
        if name == "stolen":
            pretend(folder / "leaderboard" / "entries")
        git(folder, "add", "leaderboard")
        git(folder, "commit", "-q", "-m", f"Add {name}")
        git(folder, "switch", "-q", "main")
        git(folder, "merge", "-q", "--no-ff", "-m", f"Merge {name}", name)
    return folder


def pretend(entries: Path) -> None:
    """Let the stolen entry name the model of the honest one."""
    document = read(entries / "stolen" / "mini.json")
    document["retriever"] = read(entries / "honest" / "mini.json")["retriever"]
    write(entries / "stolen" / "mini.json", document)
    reseal(entries / "stolen")


@pytest.fixture
def work(measured: Path, tmp_path: Path) -> Path:
    return shutil.copytree(measured, tmp_path / "work")


def audit(work: Path, *arguments: str) -> Done:
    return CommandLine(work)("leaderboard", "audit", *arguments)


def record(work: Path, name: str) -> Any:
    return read(work / "leaderboard" / "audits" / f"{name}.json")


def test_an_honest_entry_passes_and_the_merge_decides_what_is_drawn(work: Path) -> None:
    done = audit(work, "honest", "--by", "The maintainers")
    assert done.code == 0
    assert done.out.startswith("mini: 200 of 792 vectors (off by ")
    assert done.out.endswith("leaderboard/audits/honest.json: passed\n")
    found = record(work, "honest")
    merge = git(work, "log", "--format=%H", "--grep=Merge honest")
    assert (found["seed"], found["commit"], found["passed"]) == (merge, merge, True)
    assert (found["by"], found["model"], found["same_fingerprint"]) == ("The maintainers", "hashing", True)
    assert (found["tasks"]["mini"]["n_drawn"], found["tasks"]["mini"]["n_topics"]) == (200, 20)


def test_a_stolen_entry_fails(work: Path) -> None:
    assert CommandLine(work)("leaderboard", "check", "stolen").code == 0
    done = audit(work, "stolen", "--json")
    assert done.code == 1
    assert json.loads(done.out) == record(work, "stolen")
    faults = record(work, "stolen")["tasks"]["mini"]["faults"]
    assert "of 200 drawn vectors are not the model's" in faults[0]


def test_lists_of_a_ranker_are_made_again(work: Path) -> None:
    done = audit(work, "lexical")
    assert (done.code, record(work, "lexical")["tasks"]["mini"]["n_drawn"]) == (0, 0)
    assert 220 <= record(work, "lexical")["tasks"]["mini"]["n_queries"] <= 264
    assert audit(work, "lexical", "--set", "k1=2").code == 1


def test_what_the_entry_says_of_its_model_is_used(work: Path) -> None:
    done = audit(work, "honest")
    assert "hashing: dim='512', as in the entry" in done.err
    failed = audit(work, "honest", "--set", "dim=256")
    assert failed.code == 1


def test_a_model_that_breaks_keeps_no_other_waiting(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audited = Auditor.audit

    def audit(self: Auditor, board: Board, name: str) -> Audit:
        if name == "honest":
            raise RuntimeError("I do as I like")
        return audited(self, board, name)

    monkeypatch.setattr(Auditor, "audit", audit)
    monkeypatch.setattr("random.sample", lambda names, n: names[::-1])
    done = CommandLine(work)("leaderboard", "audit", "--json")
    assert done.code == 1
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(each["name"], each["passed"]) for each in found] == [("stolen", False), ("lexical", True)]
    assert "honest is left out: RuntimeError: I do as I like" in done.err
    assert {path.stem for path in (work / "leaderboard" / "audits").iterdir()} == {"lexical", "stolen"}


@pytest.mark.slow
def test_an_audit_gives_a_status_while_the_entry_is_as_it_was(work: Path) -> None:
    board = Board(work / "leaderboard")
    assert audit(work, "honest").code == 0
    assert audit(work, "stolen").code == 1
    statuses = {name: status_of(check_entry(board, name).entry, board.audit(name)) for name in board.entry_names()}
    assert statuses == {"honest": "audited", "stolen": "failed audit", "lexical": "recomputed"}
    CommandLine(work)("leaderboard", "add", "--name", "honest", "--summary", "Another word.")
    assert board.audit("honest") is None
    assert status_of(check_entry(board, "honest").entry, board.audit("honest")) == "recomputed"


def test_an_entry_without_vectors_is_audited_by_its_ranks(work: Path) -> None:
    CommandLine(work).result("--model", "hashing", "--out", "plain")
    CommandLine(work)("leaderboard", "add", "plain", "--name", "plain", "--title", "Plain")
    done = audit(work, "plain", "--seed", "0123456789abcdef")
    assert done.code == 0
    found = record(work, "plain")
    assert (found["commit"], found["seed"]) == (None, "0123456789abcdef")
    assert (found["tasks"]["mini"]["n_drawn"], found["tasks"]["mini"]["mean_error"]) == (0, None)


@pytest.mark.slow
def test_the_seed_is_the_first_commit_that_holds_the_entry_as_it_is(work: Path) -> None:
    entry = work / "leaderboard" / "entries" / "honest"
    merge = git(work, "log", "--format=%H", "--grep=Merge honest")
    assert audit(work, "honest").code == 0
    git(work, "add", "leaderboard")
    git(work, "commit", "-q", "-m", "An audit")
    assert audit(work, "honest").code == 0
    assert record(work, "honest")["seed"] == merge
    CommandLine(work)("leaderboard", "add", "--name", "honest", "--summary", "Another word.")
    refused = audit(work, "honest")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is not committed as it is" in refused.err
    git(work, "commit", "-q", "-m", "Other words", "--", str(entry))
    assert audit(work, "honest").code == 0
    assert record(work, "honest")["seed"] == git(work, "log", "--format=%H", "--grep=Other words")


def test_a_history_that_is_cut_off_decides_nothing(work: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", work.as_uri(), str(shallow)], check=True)
    done = audit(shallow, "honest")
    assert (done.code, "whole history" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "unknown entry 'nobody'"),
        (["honest", "--seed", "xyz"], "is no seed"),
        (["honest", "--by", ""], "is nobody's name"),
        (["honest", "--model", "nowhere/nothing"], "nothing"),
        (["honest", "--model", "bm25s"], "is no encoder"),
        (["lexical", "--model", "hashing"], "is no ranker"),
        (["honest", "--set", "dim"], "write KEY=VALUE"),
        (["honest", "--task", "nowhere.toml"], "nowhere.toml"),
        (["honest", "--board", "nowhere"], "there is no leaderboard in nowhere"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(work: Path, arguments: list[str], said: str) -> None:
    done = audit(work, *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]
    assert not (work / "leaderboard" / "audits").exists()


@pytest.mark.parametrize("spec", ["api:http://127.0.0.1:9/v1#model", "run:lists", "vectors:vectors"])
def test_no_entry_decides_which_server_gets_a_key(work: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_SECRET", "secret")
    entry = work / "leaderboard" / "entries" / "honest"
    document = read(entry / "mini.json")
    document["retriever"]["spec"] = spec
    document["retriever"]["parameters"]["key_variable"] = "OUR_SECRET"
    write(entry / "mini.json", document)
    reseal(entry)
    refused = audit(work, "honest", "--seed", "0123456789abcdef")
    assert (refused.code, "name with --model what to open" in refused.err) == (2, True)


def test_a_task_that_is_read_in_shards_cannot_be_audited(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.leaderboard.auditor.is_sharded", lambda task: True)
    done = audit(work, "honest")
    assert (done.code, "mini is read in shards" in done.err) == (2, True)


def test_reported_numbers_cannot_be_audited(work: Path) -> None:
    name = "roy-2020-mbert-x-y"
    shutil.copytree(COMMITTED / "entries" / name, work / "leaderboard" / "entries" / name)
    done = audit(work, name, "--seed", "0123456789abcdef")
    assert (done.code, "the numbers of a paper" in done.err) == (2, True)
