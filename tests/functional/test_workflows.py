"""The workflows of docs/workflows do what their pages say: their scripts are run in order, on good and bad material."""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml
from command_line import CommandLine
from safetensors.numpy import load_file, save_file
from workflows import (
    ROOT,
    WORKFLOWS,
    Call,
    Service,
    Step,
    checked_out,
    commit,
    every_step,
    git,
    load,
    run_action,
    run_github,
    run_gitlab,
)

from mlbench.version import __version__

MARKER = "<!-- mlbench -->\n"
GITHUB = [path.relative_to(WORKFLOWS).as_posix() for path in sorted(WORKFLOWS.glob("github/*.yml"))]
EVERY = [path.relative_to(WORKFLOWS).as_posix() for path in sorted(WORKFLOWS.rglob("*.yml"))]
GATE_FILE = 'rule = "significant"\n[drop.AP]\nmonolingual = 0.005\ncross_lingual = 0.005\nmultilingual = 0.005\n'
LENIENT = "[drop.AP]\nmonolingual = 1\n"
DEFAULT_MODEL = ROOT / "models" / "default"


def forget(checkpoint: Path, share: float) -> Path:
    """Copy the default model, with the vectors of a share of its subwords dealt out anew."""
    shutil.copytree(DEFAULT_MODEL, checkpoint)
    weights = load_file(checkpoint / "model.safetensors")
    table, draw = weights["embedding.weight"], np.random.RandomState(0)
    hit = draw.permutation(len(table))[: int(share * len(table))]
    table[hit] = table[draw.permutation(hit)]
    save_file(weights, checkpoint / "model.safetensors")
    return checkpoint


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `good` and `worse`, each with a `checkpoint`, and `target`, what is on the target branch."""
    folder = tmp_path_factory.mktemp("material")
    forget(folder / "good" / "checkpoint", 0)
    forget(folder / "worse" / "checkpoint", 0.3)
    mlbench = CommandLine(folder)
    done = mlbench("run", "--model", "good/checkpoint", "--out", "target/baseline")
    assert done.code == 0, done.err
    (folder / "target" / "gate.toml").write_text(GATE_FILE, encoding="utf-8")
    return folder


def pull_request(head: str = "us/it") -> dict[str, Any]:
    event = {"number": 12, "head": {"repo": {"full_name": head}}}
    return {"ref": "refs/pull/12/merge", "base_ref": "main", "event": {"pull_request": event}}


class TestGitHubGate:
    def gate(self, service: Service, merged: Path, target: Path, head: str = "us/it") -> tuple[str, dict[str, Step]]:
        """Run the gate on a pull request, with its files and those of its target branch."""
        checked_out(merged, into=service.workspace)
        checked_out(target, into=service.workspace / "target")
        ended, steps = run_github(service, "github/gate.yml", "gate", pull_request(head))
        return ended, {step.name: step for step in steps}

    def test_lets_a_good_checkpoint_through_and_changes_its_comment(self, tmp_path: Path, material: Path) -> None:
        service = Service(tmp_path, [("gh api --paginate", "345\n678")])
        ended, steps = self.gate(service, material / "good", material / "target")
        assert ended == "success", [step.printed for step in steps.values()]
        report = (service.workspace / "report.md").read_text(encoding="utf-8")
        assert (tmp_path / "summary").read_text(encoding="utf-8") == report
        assert json.loads((service.workspace / "comparison.json").read_bytes())["passed"] is True
        comment = posted(service)
        assert comment.bodies == [MARKER + report]
        assert "--method PATCH repos/us/it/issues/comments/345" in comment

    def test_stops_a_worse_one_and_still_tells_why(self, tmp_path: Path, material: Path) -> None:
        service = Service(tmp_path)
        # A gate that it brings is not looked at.
        service.workspace.mkdir()
        (service.workspace / "gate.toml").write_text(LENIENT, encoding="utf-8")
        ended, steps = self.gate(service, material / "worse", material / "target")
        assert ended == "failure"
        assert [(name, step.code) for name, step in steps.items() if step.code] == [("Compare it with the base", 1)]
        kept = steps["Keep result and report"].inputs["path"].split()
        assert all((service.workspace / name).exists() for name in kept)
        assert {"results", "report.md", "junit.xml", "comparison.json"} == set(kept)
        suites = ElementTree.parse(service.workspace / "junit.xml").getroot()
        assert suites.findall(".//failure")
        assert json.loads((service.workspace / "comparison.json").read_bytes())["passed"] is False
        report = (service.workspace / "report.md").read_text(encoding="utf-8")
        assert posted(service).bodies == [MARKER + report]
        assert "--method POST repos/us/it/issues/12/comments" in posted(service)
        assert (tmp_path / "summary").read_text(encoding="utf-8") == report
        # What was encoded is kept before the gate can fail.
        order = list(steps)
        assert order.index("Keep vectors and data") < order.index("Compare it with the base")
        assert any((service.workspace / steps["Keep vectors and data"].inputs["path"]).iterdir())

    def test_of_a_fork_compares_with_the_base_of_a_run_and_comments_nowhere(
        self, tmp_path: Path, material: Path
    ) -> None:
        service = Service(tmp_path, [("gh run list", "991")])
        checked_out(material / "target" / "baseline", into=service.stubs / "download")
        (tmp_path / "target").mkdir()
        shutil.copy(material / "target" / "gate.toml", tmp_path / "target")
        ended, steps = self.gate(service, material / "worse", tmp_path / "target", head="them/it")
        assert (ended, steps["Compare it with the base"].code) == ("failure", 1)
        _, listed, downloaded = service.calls()
        assert "gh run list --workflow base.yml --branch main --event push --status success" in listed
        assert "gh run download 991 --name mlbench-base" in downloaded
        assert (tmp_path / "summary").stat().st_size

    def test_says_where_there_is_no_base(self, tmp_path: Path, material: Path) -> None:
        service = Service(tmp_path)
        (tmp_path / "target").mkdir()
        ended, steps = self.gate(service, material / "good", tmp_path / "target")
        last = [step for step in steps.values() if step.code]
        assert (ended, [step.code for step in last]) == ("failure", [2])
        assert last[0].printed.startswith("::error::no base to compare with")
        assert [call.program for call in service.calls()] == ["pip", "gh"]

    def test_the_base_is_measured_as_the_candidate_is(self, tmp_path: Path, material: Path) -> None:
        service = Service(tmp_path)
        checked_out(material / "good", into=service.workspace)
        ended, steps = run_github(service, "github/base.yml", "base", {"ref": "refs/heads/main"})
        assert ended == "success"
        kept = {step.name: step for step in steps}["Keep the result"]
        assert kept.inputs["name"] == "mlbench-base"
        (made,) = (service.workspace / kept.inputs["path"]).glob("*.json")
        (base,) = (material / "target" / "baseline").glob("*.json")
        assert json.loads(made.read_bytes())["settings"] == json.loads(base.read_bytes())["settings"]
        measured = {
            step["run"]
            for name in ("gate", "base")
            for step in every_step(load(f"github/{name}.yml"))
            if step["name"] == "Measure the checkpoint"
        }
        assert len(measured) == 1


OPTIONS = "--languages=de,en\n--resamples=50"


@pytest.fixture(scope="module")
def small(material: Path) -> Path:
    """What is on the target branch for the action: a base in two languages."""
    target = material / "small"
    done = CommandLine(material)("run", "-q", "--model", "good/checkpoint", "--out", "small/baseline", *OPTIONS.split())
    assert done.code == 0, done.err
    (target / "gate.toml").write_text('rule = "point"\n[drop.AP]\ncross_lingual = 0.005\n', encoding="utf-8")
    return target


@pytest.mark.slow
class TestAction:
    def gate(self, service: Service, merged: Path, target: Path | None, **inputs: str) -> tuple[str, dict[str, Step]]:
        """Run the action on a pull request, or without a `target` on a push."""
        checked_out(merged, into=service.workspace)
        if target is not None:
            checked_out(target, into=service.workspace / ".mlbench" / "target")
        context = pull_request() if target is not None else {"ref": "refs/heads/main", "base_ref": ""}
        ended, steps = run_action(service, context, {"model": "./checkpoint", "options": OPTIONS, **inputs})
        return ended, {step.name: step for step in steps}

    def test_lets_a_good_checkpoint_through(self, tmp_path: Path, material: Path, small: Path) -> None:
        service = Service(tmp_path)
        ended, steps = self.gate(service, material / "good", small, extras="dense,bm25")
        assert ended == "success", [step.printed for step in steps.values()]
        (install,) = service.calls()
        assert install.arguments == ["install", f"{ROOT}[dense,bm25]"]
        report = (service.workspace / ".mlbench" / "report.md").read_text(encoding="utf-8")
        assert (tmp_path / "summary").read_text(encoding="utf-8") == report
        told = dict(line.split("=") for line in (tmp_path / "output").read_text(encoding="utf-8").splitlines())
        assert told.keys() == {"results", "report", "comparison"}
        assert all((service.workspace / path).exists() for path in told.values())
        assert any((service.workspace / steps["Keep vectors and data"].inputs["path"]).iterdir())

    def test_stops_a_worse_one_whatever_gate_it_brings(self, tmp_path: Path, material: Path, small: Path) -> None:
        service = Service(tmp_path)
        service.workspace.mkdir()
        (service.workspace / "gate.toml").write_text(LENIENT, encoding="utf-8")
        shutil.copytree(small / "baseline", service.workspace / "baseline")
        ended, steps = self.gate(service, material / "worse", small)
        assert ended == "failure"
        assert [(name, step.code) for name, step in steps.items() if step.code] == [("Compare with the base", 1)]
        assert (tmp_path / "summary").stat().st_size
        assert "report=" in (tmp_path / "output").read_text(encoding="utf-8")
        taken = steps["Check out base and gate of the target branch"].inputs
        assert taken["ref"] == "main"
        assert taken["sparse-checkout"].split() == ["/baseline", "/gate.toml"]

    def test_of_a_push_compares_with_what_is_checked_out(self, tmp_path: Path, material: Path, small: Path) -> None:
        service = Service(tmp_path)
        checked_out(small, into=service.workspace)
        ended, steps = self.gate(service, material / "good", None, options=f"{OPTIONS}\n\n--limit=5\n", task="mini")
        assert "Check out base and gate of the target branch" not in steps
        # The base is of the whole task.
        assert (ended, steps["Compare with the base"].code) == ("failure", 2)
        (made,) = (service.workspace / ".mlbench" / "results").glob("*.json")
        stated = json.loads(made.read_bytes())["task"]
        assert (stated["languages"], stated["limit"]) == (["de", "en"], 5)

    def test_says_where_there_is_no_base(self, tmp_path: Path, material: Path, small: Path) -> None:
        (tmp_path / "nothing").mkdir()
        ended, steps = self.gate(Service(tmp_path), material / "good", tmp_path / "nothing", base="there")
        assert (ended, steps["Compare with the base"].code) == ("failure", 2)
        assert "::error::no base to compare with: commit the folder there to the branch main" in (
            steps["Compare with the base"].printed
        )

    def test_has_only_keys_that_github_knows_and_pins_what_it_uses(self) -> None:
        text = (ROOT / "action.yml").read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        assert document.keys() == {"name", "description", "author", "branding", "inputs", "outputs", "runs"}
        assert document["runs"].keys() == {"using", "steps"}
        assert all(
            declared.keys() <= {"description", "required", "default"} for declared in document["inputs"].values()
        )
        for step in document["runs"]["steps"]:
            assert step.keys() <= {"name", "id", "if", "uses", "with", "run", "shell", "env"}
            # Text of a pull request that stands in a script would be run.
            assert "${{" not in step.get("run", "")
        assert set(re.findall(r"uses: (.+)", text)) <= PINS


def posted(service: Service) -> Call:
    """Return the one call that writes a comment."""
    (found,) = [call for call in service.calls() if call.bodies]
    return found


class TestGitLabGate:
    NOTES = "https://gitlab.example.org/api/v4/projects/34/merge_requests/5/notes"
    VARIABLES: ClassVar = {
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_PROJECT_ID": "34",
        "CI_MERGE_REQUEST_IID": "5",
        "CI_API_V4_URL": "https://gitlab.example.org/api/v4",
    }
    JOB = load("gitlab/gate.yml")["gate"]

    def gate(self, service: Service, material: Path, checkpoint: str) -> tuple[int, str]:
        """Run the gate in a clone of a merge request's branch, beside the repository it came from."""
        origin = service.folder / "origin"
        checked_out(material / "target", into=origin)
        git(origin, "init", "--quiet")
        commit(origin, "base and gate")
        git(service.folder, "clone", "--quiet", "--depth", "1", f"file://{origin}", str(service.workspace))
        checked_out(material / checkpoint, into=service.workspace)
        # They are on the branch, too, and not looked at there.
        (service.workspace / "gate.toml").write_text(LENIENT, encoding="utf-8")
        shutil.rmtree(service.workspace / "baseline")
        commit(service.workspace, "a checkpoint")
        return run_gitlab(service, self.JOB, ["before_script", "script"], self.VARIABLES)

    def comment(self, service: Service, token: str) -> None:
        """Run what follows the gate."""
        code, printed = run_gitlab(service, self.JOB, ["after_script"], {**self.VARIABLES, "GATE_TOKEN": token})
        assert code == 0, printed

    def test_lets_a_good_checkpoint_through(self, tmp_path: Path, material: Path) -> None:
        service = Service(tmp_path, [("per_page", "[]")])
        code, printed = self.gate(service, material, "good")
        assert code == 0, printed
        self.comment(service, token="")
        assert [call.program for call in service.calls()] == ["pip"]
        self.comment(service, token="a-token")
        report = (service.workspace / "report.md").read_text(encoding="utf-8")
        assert posted(service).bodies == [MARKER + report]
        assert "--request POST" in posted(service)
        assert posted(service).arguments[-1] == self.NOTES

    def test_stops_a_worse_one_and_still_tells_why(self, tmp_path: Path, material: Path) -> None:
        notes = [{"id": 8, "body": "Nice."}, {"id": 9, "body": f"{MARKER}An earlier report."}]
        service = Service(tmp_path, [("per_page", json.dumps(notes))])
        code, printed = self.gate(service, material, "worse")
        assert code == 1, printed
        artifacts = self.JOB["artifacts"]
        assert all((service.workspace / name).exists() for name in artifacts["paths"])
        assert artifacts["when"] == self.JOB["cache"]["when"] == "always"
        suites = ElementTree.parse(service.workspace / artifacts["reports"]["junit"]).getroot()
        assert suites.findall(".//failure")
        assert any((service.workspace / self.JOB["cache"]["paths"][0]).iterdir())
        self.comment(service, token="a-token")
        assert "--request PUT" in posted(service)
        assert posted(service).arguments[-1] == f"{self.NOTES}/9"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `origin`, a repository with a board and one entry, and `entry`, another that is not there yet."""
    folder = tmp_path_factory.mktemp("board")
    mlbench = CommandLine(folder)
    tasks = folder / "origin" / "leaderboard" / "tasks"
    tasks.mkdir(parents=True)
    shutil.copy(ROOT / "leaderboard" / "tasks" / "mini.json", tasks)
    for name, dim in (("there", "512"), ("new", "1024")):
        assert mlbench("run", "--model", "hashing", "--set", f"dim={dim}", "--out", name).code == 0
        done = mlbench("leaderboard", "add", name, "--name", name, "--title", name, "--board", "origin/leaderboard")
        assert done.code == 0, done.err
    (folder / "origin" / "leaderboard" / "entries" / "new").rename(folder / "entry")
    (folder / "origin" / "leaderboard" / "requirements.txt").touch()
    (folder / "origin" / "setup.py").write_text("raise SystemExit", encoding="utf-8")
    git(folder / "origin", "init", "--quiet")
    commit(folder / "origin", "a board")
    return folder


class TestSubmission:
    ENTRIES = Path("leaderboard") / "entries"

    def submit(self, service: Service, board: Path, change: Callable[[Path], object]) -> tuple[str, list[Step]]:
        """Run the check on a pull request with what `change` does to the board's repository."""
        origin = service.folder / "origin"
        shutil.copytree(board / "origin", origin, symlinks=True)
        git(origin, "checkout", "--quiet", "-b", "theirs")
        change(origin)
        commit(origin, "an entry")
        git(origin, "checkout", "--quiet", "-b", "merged", "main")
        git(origin, "merge", "--quiet", "--no-ff", "--message", "merged", "theirs")
        service.workspace.mkdir()
        for folder, branch, depth in (("board", "main", "1"), ("submission", "merged", "2")):
            clone = ("clone", "--quiet", "--depth", depth, "--branch", branch, f"file://{origin}", folder)
            git(service.workspace, *clone)
        return run_github(service, "github/submission.yml", "check", pull_request("them/it"))

    def put(self, board: Path, origin: Path, name: str = "new") -> Path:
        return Path(shutil.copytree(board / "entry", origin / self.ENTRIES / name))

    def test_takes_a_new_entry_and_builds_the_site_with_it(self, tmp_path: Path, board: Path) -> None:
        service = Service(tmp_path)
        ended, steps = self.submit(service, board, lambda origin: self.put(board, origin))
        assert ended == "success", [step.printed for step in steps]
        said = (tmp_path / "summary").read_text(encoding="utf-8")
        assert said.startswith("verified  new: mini: all ")
        site = service.workspace / steps[-1].inputs["path"]
        assert "new" in (site / "index.html").read_text(encoding="utf-8")
        assert (service.workspace / "board" / self.ENTRIES / "there").is_dir()
        # What is installed and run is the board's.
        assert [call.arguments for call in service.calls()] == [
            ["install", "--requirement", "leaderboard/requirements.txt"]
        ]

    def test_refuses_an_entry_with_a_changed_number(self, tmp_path: Path, board: Path) -> None:
        def change(origin: Path) -> None:
            document = self.put(board, origin) / "mini.json"
            text = document.read_text(encoding="utf-8")
            document.write_text(re.sub(r'"AP":( ?)0\.\d', r'"AP":\g<1>0.9', text, count=1), encoding="utf-8")

        ended, steps = self.submit(Service(tmp_path), board, change)
        assert ended == "failure"
        assert [(step.name, step.code) for step in steps if step.code] == [("Recompute its numbers", 1)]
        assert (tmp_path / "summary").read_text(encoding="utf-8").startswith("refused   new: ")

    @pytest.mark.parametrize(
        "case",
        [
            "a change elsewhere",
            "a record of an audit",
            "a link",
            "a program",
            "two entries",
            "a changed entry",
            "a file more",
            "a removed entry",
            "a folder inside",
            "an odd name",
        ],
    )
    def test_refuses_whatever_is_not_one_new_entry(self, tmp_path: Path, board: Path, case: str) -> None:
        ended, steps = self.submit(Service(tmp_path), board, lambda origin: self.spoil(origin, board, case))
        assert ended == "failure"
        assert (steps[-1].name, steps[-1].code) == ("Take the entry, which is all that the pull request may bring", 1)
        assert "::error::a submission " in steps[-1].printed

    def spoil(self, origin: Path, board: Path, case: str) -> None:
        there = origin / self.ENTRIES / "there"
        match case:
            case "a change elsewhere":
                self.put(board, origin)
                (origin / "setup.py").write_text("print('mine')", encoding="utf-8")
            case "a record of an audit":
                self.put(board, origin)
                (origin / "leaderboard" / "audits").mkdir(exist_ok=True)
                (origin / "leaderboard" / "audits" / "new.json").write_text('{"passed": true}', encoding="utf-8")
            case "a link":
                (self.put(board, origin) / "link").symlink_to("/etc/hostname")
            case "a program":
                (self.put(board, origin) / "mini.json").chmod(0o755)
            case "two entries":
                self.put(board, origin)
                self.put(board, origin, "newer")
            case "a changed entry" | "a file more":
                (there / ("mini.json" if case == "a changed entry" else "more.json")).write_text("{}", encoding="utf-8")
            case "a removed entry":
                shutil.rmtree(there)
            case "a folder inside":
                self.put(board, origin, "new/inside")
            case "an odd name":
                self.put(board, origin, "new\nleaderboard")

    def test_every_entry_is_checked_before_the_site_is_put_online(self, tmp_path: Path, board: Path) -> None:
        service = Service(tmp_path)
        shutil.copytree(board / "origin", service.workspace)
        ended, steps = run_github(service, "github/pages.yml", "build", {"ref": "refs/heads/main"})
        assert ended == "success", [step.printed for step in steps]
        assert (service.workspace / steps[-1].inputs["path"] / "index.html").is_file()
        (service.workspace / self.ENTRIES / "there" / "entry.json").write_text("{}", encoding="utf-8")
        ended, steps = run_github(service, "github/pages.yml", "build", {"ref": "refs/heads/main"})
        assert (ended, steps[-1].name, steps[-1].code) == ("failure", "Recompute every number", 1)


class TestForm:
    @pytest.mark.parametrize("name", EVERY)
    def test_is_shown_on_a_page_as_it_is(self, name: str) -> None:
        text = (WORKFLOWS / name).read_text(encoding="utf-8")
        pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "how-to").glob("*.md")]
        assert sum(f"```yaml\n{text}```\n" in page for page in pages) == 1

    @pytest.mark.parametrize("name", EVERY)
    def test_installs_this_version(self, name: str) -> None:
        text = (WORKFLOWS / name).read_text(encoding="utf-8")
        assert set(re.findall(r"mlbench(?:\[\w+\])?==([\d.]+)", text)) <= {__version__}
        assert "pip install" in text

    @pytest.mark.parametrize("name", GITHUB)
    def test_has_only_keys_that_github_knows(self, name: str) -> None:
        document = load(name)
        assert document.keys() <= {"name", "on", "permissions", "concurrency", "jobs"}
        jobs = {"needs", "if", "runs-on", "timeout-minutes", "permissions", "environment"}
        jobs |= {"outputs", "defaults", "env", "steps"}
        steps = {"name", "id", "if", "uses", "with", "run", "env", "working-directory"}
        for job in document["jobs"].values():
            assert job.keys() <= jobs
            assert job["timeout-minutes"] <= 60
            assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"])
        for step in every_step(document):
            assert step.keys() <= steps
            assert ("uses" in step) != ("run" in step)

    @pytest.mark.parametrize("name", GITHUB)
    def test_pins_actions_by_commit(self, name: str) -> None:
        text = (WORKFLOWS / name).read_text(encoding="utf-8")
        used = re.findall(r"uses: (.+)", text)
        assert used
        for action in used:
            assert re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
            assert action in PINS

    @pytest.mark.parametrize("name", GITHUB)
    def test_gives_its_token_away_to_nothing(self, name: str) -> None:
        document = load(name)
        text = (WORKFLOWS / name).read_text(encoding="utf-8")
        triggers = {"pull_request", "push", "schedule", "workflow_dispatch"}
        assert set(document["on"] if isinstance(document["on"], dict) else [document["on"]]) <= triggers
        assert "secrets." not in text
        for step in every_step(document):
            # Text of a pull request that stands in a script would be run.
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False

    @pytest.mark.parametrize(
        ("name", "job", "permissions"),
        [
            ("gate", "gate", {"contents": "read", "actions": "read", "pull-requests": "write"}),
            ("base", "base", {"contents": "read"}),
            ("submission", "check", {"contents": "read"}),
            ("audit", "audit", {"contents": "read"}),
            ("audit", "record", {"contents": "write", "actions": "write"}),
            ("pages", "build", {"contents": "read"}),
            ("pages", "deploy", {"pages": "write", "id-token": "write"}),
        ],
    )
    def test_may_do_what_it_must(self, name: str, job: str, permissions: dict[str, str]) -> None:
        document = load(f"github/{name}.yml")
        assert document["permissions"] in ({}, {"contents": "read"})
        assert {**document["permissions"], **document["jobs"][job].get("permissions", {})} == permissions

    def test_the_gitlab_job_has_only_keys_that_gitlab_knows(self) -> None:
        jobs = load("gitlab/gate.yml")
        known = {"image", "timeout", "interruptible", "rules", "variables", "cache", "artifacts"}
        assert jobs["gate"].keys() == known | {"before_script", "script", "after_script"}
        assert jobs["gate"]["cache"].keys() == {"key", "paths", "when"}
        assert jobs["gate"]["artifacts"].keys() == {"when", "expire_in", "paths", "reports"}


PINS = {
    f"actions/{action}"
    for action in (
        "checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2",
        "setup-python@a309ff8b426b58ec0e2a45f0f869d46889d02405 # v6.2.0",
        "cache@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3",
        "cache/restore@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3",
        "cache/save@cdf6c1fa76f9f475f3d7449005a359c84ca0f306 # v5.0.3",
        "upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0",
        "download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131 # v7.0.0",
        "upload-pages-artifact@7b1f4a764d45c48632c6b24a0339c27f5614fb0b # v4.0.0",
        "deploy-pages@d6db90164ac5ed86f2b6aed7e0febac5b3c0c03e # v4.0.5",
    )
}
"""The releases that the workflows use, with their commits."""
