"""A public board on a git server, from two pull requests to the site: one submitter is honest, the other is not."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from functional.forging import read, write
from workflows import ROOT, Service, Step, git, run_github

from mlbench import Options, load_collection, load_task
from mlbench.leaderboard.audit import Status, status_of
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import parse_entry

ENTRIES = Path("leaderboard") / "entries"
IMPROVED = "de"
"""The language in which the forger's queries find their answers."""


@dataclass(frozen=True)
class Server:
    """A bare repository, served as files: `origin` is its address."""

    folder: Path

    @property
    def origin(self) -> str:
        return f"file://{self.folder / 'board.git'}"

    def clone(self, where: Path, branch: str = "main", *more: str) -> Path:
        """Check a branch out, as a job or a contributor does."""
        git(self.folder, "clone", "--quiet", "--branch", branch, *more, self.origin, str(where))
        return where

    def propose(self, name: str, entry: Path) -> None:
        """Push a branch called `name` with one new entry: a pull request."""
        clone = self.clone(self.folder / f"submitter-of-{name}")
        git(clone, "checkout", "--quiet", "-b", name)
        shutil.copytree(entry, clone / ENTRIES / name)
        git(clone, "add", "--all")
        git(clone, "commit", "--quiet", "--message", f"Entry {name}")
        git(clone, "push", "--quiet", "origin", name)

    def merge(self, name: str) -> None:
        """Merge a pull request with a merge commit, as the board does."""
        clone = self.clone(self.folder / f"merge-of-{name}")
        git(clone, "merge", "--quiet", "--no-ff", "--message", f"Merge the entry {name}", f"origin/{name}")
        git(clone, "push", "--quiet", "origin", "main")


def measure(mlbench: CommandLine, model: str, out: str) -> Path:
    """Measure a model on `mini`, commit to its vectors, and return its result."""
    done = mlbench("run", "--quiet", "--model", model, "--commit-vectors", "--out", out)
    assert done.code == 0, done.err
    (result,) = (mlbench.folder / out).glob("*.json")
    return result


def improve(folder: Path) -> None:
    """Write the vectors of hashed n-grams, but for queries in one language, each of which lies among its answers."""
    encoder, collection = Options().open_model("hashing", None).retriever, load_collection(load_task("mini"))
    sides = {"queries": collection.queries, "documents": collection.documents}
    texts = {stem: list({row[1] for rows in side.values() for row in rows}) for stem, side in sides.items()}
    vectors = {
        "queries": dict(zip(texts["queries"], encoder.encode(texts["queries"], "query"), strict=True)),
        "documents": dict(zip(texts["documents"], encoder.encode(texts["documents"], "document"), strict=True)),
    }
    words = {document.doc_id: document.text for rows in collection.documents.values() for document in rows}
    for query in collection.queries[IMPROVED]:
        answers = [vectors["documents"][words[row.doc_id]] for row in collection.judgments[query.topic_id]]
        vectors["queries"][query.text] = np.mean(answers, axis=0)
    folder.mkdir()
    for stem, found in vectors.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in found)
        (folder / f"{stem}.jsonl").write_text(lines, encoding="utf-8")
        np.save(folder / f"{stem}.npy", np.array(list(found.values())))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A board that accepts `mini`, and two pull requests, `honest` and `forged`."""
    server = Server(tmp_path_factory.mktemp("server"))
    git(server.folder, "init", "--quiet", "--bare", "board.git")
    first = server.folder / "first"
    (first / "leaderboard" / "tasks").mkdir(parents=True)
    shutil.copy(ROOT / "leaderboard" / "tasks" / "mini.json", first / "leaderboard" / "tasks")
    (first / "leaderboard" / "requirements.txt").write_text("mlbench\n", encoding="utf-8")
    git(first, "init", "--quiet")
    git(first, "add", "--all")
    git(first, "commit", "--quiet", "--message", "A board")
    git(first, "push", "--quiet", server.origin, "main")
    mlbench = CommandLine(first)
    honest = measure(mlbench, "static", "honest")
    improve(first / "improved")
    forged, claimed = measure(mlbench, "vectors:improved", "forged"), measure(mlbench, "hashing", "claimed")
    write(forged, {**read(forged), **{part: read(claimed)[part] for part in ("retriever", "environment")}})
    for name, result in (("honest", honest), ("forged", forged)):
        done = mlbench("leaderboard", "add", str(result), "--name", name, "--title", name)
        assert done.code == 0, done.err
        server.propose(name, first / ENTRIES / name)
    return server


def run(service: Service, workflow: str, job: str) -> list[Step]:
    """Run a job on main; all of its steps must succeed."""
    ended, steps = run_github(service, f"github/{workflow}.yml", job, {"ref_name": "main", "base_ref": "main"})
    assert ended == "success", [step.printed for step in steps]
    return steps


def check(server: Server, folder: Path, name: str) -> str:
    """Run the check of a pull request, and return its summary."""
    service = Service(folder)
    merged = server.clone(service.workspace / "submission")
    git(merged, "merge", "--quiet", "--no-ff", "--message", "As it would be", f"origin/{name}")
    server.clone(service.workspace / "board")
    run(service, "submission", "check")
    return (folder / "summary").read_text(encoding="utf-8")


def audit(server: Server, folder: Path) -> bool:
    """Run the nightly workflow; return whether there were records to commit."""
    auditor = Service(folder / "auditor")
    server.clone(auditor.workspace)
    steps = run(auditor, "audit", "audit")
    found = dict(line.split("=") for line in (auditor.folder / "output").read_text(encoding="utf-8").splitlines())
    if found["found"] == "0":
        return False
    recorder = Service(folder / "recorder")
    server.clone(recorder.workspace)
    shutil.copytree(auditor.workspace / steps[-1].inputs["path"], recorder.workspace / "found")
    (recorder.workspace / "found" / "stranger.json").write_text("{}", encoding="utf-8")
    run(recorder, "audit", "record")
    assert [call.arguments[:3] for call in recorder.calls()] == [["workflow", "run", "pages.yml"]]
    return True


def statuses(board: Board) -> dict[str, Status]:
    entries = {name: parse_entry(board.entry_folder(name), name)[0] for name in board.entry_names()}
    return {name: status_of(entry, board.audit(name)) for name, entry in entries.items()}


@pytest.mark.slow
def test_an_honest_entry_becomes_audited_and_a_forged_one_fails(server: Server, tmp_path: Path) -> None:
    for name in ("honest", "forged"):
        # Nothing in its files gives a forger away.
        assert check(server, tmp_path / name, name).startswith(f"verified  {name}: mini: all ")
        server.merge(name)
    board = Board(server.clone(tmp_path / "before") / "leaderboard")
    assert statuses(board) == {"honest": "recomputed", "forged": "recomputed"}
    assert audit(server, tmp_path / "night")
    after = server.clone(tmp_path / "after")
    assert statuses(Board(after / "leaderboard")) == {"honest": "audited", "forged": "failed audit"}
    assert {path.stem for path in (after / "leaderboard" / "audits").iterdir()} == {"honest", "forged"}
    # Another night finds nothing to do.
    assert not audit(server, tmp_path / "next night")
    pages = Service(tmp_path / "pages")
    server.clone(pages.workspace)
    site = pages.workspace / run(pages, "pages", "build")[-1].inputs["path"]
    assert "audited" in (site / "badges" / "honest.svg").read_text(encoding="utf-8")
    assert "failed audit" in (site / "badges" / "forged.svg").read_text(encoding="utf-8")
    assert (site / "entries" / "forged.html").is_file()
