"""Runs the workflows of docs/workflows step by step, as shell scripts in a folder of their own.

What a hosting service does around the scripts is told by the tests: what was checked out where, and the values behind
`${{ }}`. Actions are not run. Programs that would leave the machine are replaced by stubs that note how they were
called: `pip`, `gh` and `curl`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "docs" / "workflows"

_STUB = r"""
import json, pathlib, re, shutil, sys
here, (name, *arguments) = pathlib.Path(__file__).parent, sys.argv[1:]
sent = [found[1] for each in arguments if (found := re.fullmatch("body=?@(.+)", each))]
bodies = [pathlib.Path(path).read_text("utf-8") for path in sent]
with (here / "calls").open("a") as calls:
    calls.write(json.dumps({"program": name, "arguments": arguments, "bodies": bodies}) + "\n")
if arguments[:2] == ["run", "download"]:
    shutil.copytree(here / "download", arguments[arguments.index("--dir") + 1])
for pattern, answer in json.loads((here / "answers").read_text()):
    if re.search(pattern, " ".join([name, *arguments])):
        print(answer)
        break
"""


@dataclass(frozen=True)
class Call:
    """How a stub was called, and the content of the files that it would have sent."""

    program: str
    arguments: list[str]
    bodies: list[str]

    def __contains__(self, words: str) -> bool:
        return words in " ".join([self.program, *self.arguments])


@dataclass(frozen=True)
class Step:
    """A step that was reached: an action with its inputs, or a script with its exit code and what it printed."""

    name: str
    uses: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    printed: str = ""


@dataclass(frozen=True)
class Service:
    """A folder `workspace` where jobs run, with stubs beside it that answer as `answers` (pattern, text) say."""

    folder: Path
    answers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def stubs(self) -> Path:
        return self.folder / "stubs"

    def calls(self) -> list[Call]:
        file = self.stubs / "calls"
        return [Call(**json.loads(line)) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def environment(self, declared: Mapping[str, Any]) -> dict[str, str]:
        """Return what a script sees: little of this process, the stubs before every other program, and `declared`."""
        self.stubs.mkdir(exist_ok=True)
        (self.stubs / "stub.py").write_text(_STUB, encoding="utf-8")
        (self.stubs / "answers").write_text(json.dumps(self.answers), encoding="utf-8")
        for name in ("pip", "gh", "curl"):
            stub = self.stubs / name
            stub.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{self.stubs}/stub.py" {name} "$@"\n')
            stub.chmod(0o755)
        path = os.pathsep.join([str(self.stubs), str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        return {
            **kept,
            "CI": "true",
            "HOME": str(self.folder),
            "PATH": path,
            **{k: str(v) for k, v in declared.items()},
        }

    def run(self, command: list[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str]:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout


def load(name: str) -> dict[str, Any]:
    """Read a workflow; its triggers are under `on`, which YAML 1.1 takes for true."""
    document: dict[Any, Any] = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in document.items()}


def run_github(service: Service, workflow: str, job: str, context: Mapping[str, Any]) -> tuple[str, list[Step]]:
    """Run a job as GitHub does; returns how it ended, `success` or `failure`, and the steps that were reached.

    `context` is what `github` is in expressions, without what every job has.
    """
    document = load(workflow)
    declared = document["jobs"][job]
    assert declared["defaults"]["run"]["shell"] == "bash"
    return _run_steps(service, declared["steps"], {**document.get("env", {}), **declared.get("env", {})}, context, {})


def run_action(service: Service, context: Mapping[str, Any], inputs: Mapping[str, str]) -> tuple[str, list[Step]]:
    """Run the composite action at the root of the repository with inputs, as `run_github` runs a job."""
    document = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    values = {name: declared.get("default") for name, declared in document["inputs"].items()} | dict(inputs)
    steps = document["runs"]["steps"]
    assert all(step["shell"] == "bash" for step in steps if "run" in step)
    return _run_steps(service, steps, {}, {"action_path": str(ROOT), **context}, values)


def _run_steps(
    service: Service,
    steps: Sequence[Mapping[str, Any]],
    everywhere: Mapping[str, str],
    context: Mapping[str, Any],
    inputs: Mapping[str, str | None],
) -> tuple[str, list[Step]]:
    """Run steps in order, with the variables that they have `everywhere`."""
    known = {"workspace": str(service.workspace), "token": "a-token", "run_id": 7, "repository": "us/it", **context}
    spoken: dict[str, Any] = {"github": known, "steps": {}, "inputs": inputs}
    output, summary = service.folder / "output", service.folder / "summary"
    output.touch()
    summary.touch()
    files = {"GITHUB_OUTPUT": output, "GITHUB_STEP_SUMMARY": summary}
    failed, reached = False, []
    for step in steps:
        if not evaluate(str(step.get("if", "success()")), spoken, service.workspace, failed):
            continue
        variables = {**everywhere, **step.get("env", {})}
        variables = {name: _filled(str(value), spoken, service.workspace) for name, value in variables.items()}
        if "uses" in step:
            inputs = {
                name: _filled(str(value), spoken, service.workspace) for name, value in step.get("with", {}).items()
            }
            reached.append(Step(step["name"], step["uses"], inputs))
            continue
        script = service.folder / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        folder = service.workspace / step.get("working-directory", ".")
        code, printed = service.run(shell, service.environment({**files, **variables}), folder)
        reached.append(Step(step["name"], code=code, printed=printed))
        failed |= code != 0
        if "id" in step:
            pairs = [line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines()]
            spoken["steps"][step["id"]] = {"outputs": dict(pairs)}
    return "failure" if failed else "success", reached


def _filled(text: str, spoken: Mapping[str, Any], folder: Path) -> str:
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: str(evaluate(found[1], spoken, folder, False)), text)


def evaluate(expression: str, spoken: Mapping[str, Any], folder: Path, failed: bool) -> Any:
    """Return the value of an expression: names with dots, strings, ==, !=, &&, and the three functions that we use."""
    text = expression.removeprefix("${{ ").removesuffix(" }}").replace("&&", " and ")
    text = text.replace("!cancelled()", "True").replace("success()", str(not failed))
    text = re.sub(
        r"hashFiles\('([^']*)'\)", lambda found: repr("a digest" if (folder / found[1]).exists() else ""), text
    )
    text = re.sub(r"\b(?:github|inputs|steps)(?:\.\w+)+", lambda found: repr(_look_up(found[0], spoken)), text)
    return eval(text, {"__builtins__": {}})


def _look_up(name: str, spoken: Mapping[str, Any]) -> Any:
    value: Any = spoken
    for part in name.split("."):
        value = value[part]
    return value


def run_gitlab(
    service: Service, declared: Mapping[str, Any], parts: Sequence[str], variables: Mapping[str, str]
) -> tuple[int, str]:
    """Run parts of a job as GitLab does, in one shell; returns its exit code and what it printed.

    It runs `before_script` and `script` together, and then, whatever came, `after_script`.
    """
    known = {"CI_PROJECT_DIR": str(service.workspace), **variables}
    # As there, a variable may be made of others.
    known |= {name: _expanded(value, known) for name, value in declared["variables"].items()}
    script = service.folder / "job.sh"
    lines = [line for part in parts for line in declared[part]]
    script.write_text("\n".join(["set -eo pipefail", *lines, ""]), encoding="utf-8")
    return service.run(["bash", str(script)], service.environment(known), service.workspace)


def _expanded(value: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], value)


def checked_out(folder: Path, *, into: Path) -> None:
    """Put the files of a folder where a checkout would have put them."""
    shutil.copytree(folder, into, dirs_exist_ok=True)


def git(folder: Path, *arguments: str) -> str:
    """Run git without the settings of this machine's user."""
    identity = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        identity |= {f"GIT_{who}_NAME": "someone", f"GIT_{who}_EMAIL": "someone@example.org"}
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **identity}, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def commit(folder: Path, message: str) -> None:
    """Commit whatever lies in `folder`."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def every_step(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the steps of all jobs of a GitHub workflow."""
    for job in document["jobs"].values():
        yield from job["steps"]
