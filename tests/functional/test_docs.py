"""The documentation does what it says.

On each page, and in the README, these are followed in order, as a reader would, in an empty folder:

- a block below a line that is only a file's name and a colon is written to that file;
- a `console` block is run and must end with exit code 0, a `python` block is executed in one session for the page;
  where it is nothing but commands of mlbench they are called in this process, else the block is a shell's;
- a `text` block shows what the last `console` block before it printed, in a wide terminal: its lines occur there in
  this order, `...` stands for any lines, and blanks at the end of lines do not count.

`<!-- not run: reason -->` above a block leaves it out, `<!-- data -->` runs it where there is real data. A page that
names `./checkpoint` finds a tiny one there, and for `./clip` a tiny CLIP.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from command_line import CommandLine, tiny_checkpoint
from unit.retrievers.image_text_checkpoints import save_clip

import mlbench
from mlbench import Setting, entry_points, provenance, results
from mlbench.cli import group
from mlbench.compare.document import Check, ComparedSystem, Comparison, TaskComparison
from mlbench.compare.gate import BOUNDED, Drops, Gate, Rule
from mlbench.io.document import DocumentPart
from mlbench.leaderboard.audit import Audit, TaskAudit
from mlbench.leaderboard.entries import Entry, ReportedTask, ReportedValue
from mlbench.open_model import load_scheme
from mlbench.protocols import IndexCost
from mlbench.ranking import ranks, ranks_file
from mlbench.reports.formatting import decimal, interval
from mlbench.results import Bounds
from mlbench.statistics.paired_tests import Line, PairedTests, Tails
from mlbench.tasks import task
from mlbench.training.recipe import key_path, load_recipe, table_or_key_path

ROOT = Path(__file__).parents[2]
# `python -m pytest` has the root on the path, `pytest` has not.
sys.path.append(str(ROOT))
draw, generate = import_module("docs.draw"), import_module("docs.generate")
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "PACKAGE.md", "CONTRIBUTING.md", "leaderboard/README.md")]
PAGES += sorted(DOCS.rglob("*.md"))
WRITTEN = [page for page in PAGES if page.name not in ("measures.md", "cli.md")]

FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^>]*?) -->\n+)?(?:^`(?P<file>[\w./-]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, with the comment or the file name above it."""

    page: Path
    line: int
    kind: str
    body: str
    file: str
    note: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}, line {self.line}"

    @property
    def left_out(self) -> bool:
        return self.note.startswith("not run: ") or (self.note == "data" and "MLBENCH_DATA" not in os.environ)


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found["kind"], found["body"], found["file"] or "", found["note"] or "")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


ON_DATA = [page for page in WRITTEN if any(block.note == "data" for block in blocks(page))]
# Where there are real data, such a page is followed on them, from its beginning to its end.
WITHOUT_DATA = [page for page in WRITTEN if page not in ON_DATA or "MLBENCH_DATA" not in os.environ]


@pytest.mark.parametrize("page", WITHOUT_DATA, ids=name_of)
def test_what_a_page_shows_works(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(page, tmp_path, monkeypatch)


@pytest.mark.data
@pytest.mark.parametrize("page", ON_DATA, ids=name_of)
def test_what_a_page_shows_works_on_real_data(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(page, tmp_path, monkeypatch)


def follow(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLBENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "160")
    found = list(blocks(page))
    if any("./checkpoint" in block.body for block in found if not block.left_out):
        tiny_checkpoint(folder / "checkpoint")
    if any("./clip" in block.body for block in found if not block.left_out):
        save_clip(folder / "clip")
    session: dict[str, object] = {"__name__": "__main__"}
    printed: str | None = None
    for block in found:
        if block.left_out:
            printed = None
        elif block.file:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        elif block.kind == "console":
            printed = run(block, folder)
        elif block.kind == "python":
            exec(compile(block.body, block.place, "exec"), session)
        elif block.kind == "text" and printed is not None:
            check_output(block, printed)


# Commands of mlbench without anything that a shell reads but quotes and comments; a Ray needs a process of its own.
PLAIN = re.compile(r"(mlbench (?!.*--engine ray)[^|&;<>$(){}`*\\\n]*\n)+")


def run(block: Block, folder: Path) -> str:
    if PLAIN.fullmatch(block.body):
        called = [CommandLine(folder)(*words(line)[1:]) for line in block.body.splitlines()]
        assert [done.code for done in called] == [0] * len(called), f"{block.place}\n{called}"
        return "".join(done.out for done in called)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.body],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{block.place}\n{done.stdout}{done.stderr}"
    return done.stdout


def check_output(block: Block, printed: str) -> None:
    lines = iter([line.rstrip() for line in printed.splitlines()])
    for wanted in (line.rstrip() for line in block.body.splitlines()):
        assert wanted == "..." or wanted in lines, f"{block.place}: not printed, or not in this order: {wanted}"


@pytest.mark.parametrize("name", generate.GENERATED)
def test_generated_files_are_up_to_date(name: str) -> None:
    made = generate.GENERATED[name]()
    assert (DOCS / name).read_text(encoding="utf-8") == made, "run: python -m docs.generate"


def test_the_picture_of_counts_shows_what_a_run_counts(tmp_path: Path) -> None:
    languages = ("de", "en", "es", "tr")
    lists = draw.rank_one_query("t08", "en", languages)
    result = mlbench.evaluate("hashing", "mini", languages=languages, out=tmp_path).result
    counted = ranks_file.read_ranks(tmp_path / result.ranks.name)
    for document in languages:
        for pool in ((document,), languages, tuple(sorted({"de", document}))):
            found = ranks.setting_ranks(counted, Setting("en", pool))
            topics = counted.topic_ids[counted.query_topics[found.queries]].tolist()
            rank = 1 + sum(lists.ahead(document)[language] for language in pool)
            assert rank in found.relevant.ranks[topics.index("t08")]


def test_the_encoder_of_colours_is_as_its_pages_say() -> None:
    made = [block.body for block in blocks(DOCS / "how-to" / "own-retriever.md") if "class Colours" in block.body]
    session: dict[str, Any] = {}
    exec(compile(made[0], "own-retriever.md", "exec"), session)
    said = (DOCS / "explanation" / "image-text.md").read_text(encoding="utf-8")
    for scores in session["result"].image_text.languages:
        assert decimal(scores.clip_score, 2) in said
        assert decimal(scores.r_mean) in said


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*")}
    assert {"index.html", "reference/measures.html", "reference/result.schema.json", "figures/heat-map.svg"} <= built
    # What a page loads comes with it: it is read without a network.
    for path in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="(https?:[^"]*)"', path.read_text("utf-8"))
        assert loaded == [], path.name


LINK = re.compile(r"\]\(([^)\s]+)\)")
# Its certificate is that of another host, so that its own page links it without.
WITHOUT_TLS = "http://images.cocodataset.org/"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?://", target):
            secure = target.replace(WITHOUT_TLS, "https://images.cocodataset.org/")
            assert re.fullmatch(r"https://[\w.-]+\.[a-z]+(/[\w./#%?=-]*)?", secure), target
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every `mlbench ...` on a page, in blocks and between backquotes."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found["kind"] == "console":
            for line in found["body"].splitlines():
                yield from (words(part) for part in re.split(r" [|>] |; | \(", line))
    for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text)):
        yield words(span)


def words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_command_and_option_exists(page: Path) -> None:
    every = {option for command in known_commands(group) for option in options_of(command)}
    foreign = {"--strict", "--example", "--help"}
    for found in commands(page):
        if found[:1] == ["mlbench"]:
            check_command(found[1:], page)
        elif found and found[0].startswith("--"):
            assert found[0].partition("=")[0] in every | foreign, f"{name_of(page)}: {found[0]}"


def check_command(arguments: list[str], page: Path) -> None:
    command: click.Command = group
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        child = command.get_command(click.Context(command), arguments[0])
        assert child is not None, f"{name_of(page)}: mlbench {' '.join(arguments)}"
        command, arguments = child, arguments[1:]
    for argument in arguments:
        if argument.startswith("-"):
            known = options_of(command) | {"--help", "-h"}
            assert argument.partition("=")[0] in known, f"{name_of(page)}: {command.name} {argument}"


def known_commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from known_commands(child)


def options_of(command: click.Command) -> set[str]:
    spelled = (option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts))
    return {option for option in spelled if option.startswith("-")}


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_key_of_a_model_exists(page: Path) -> None:
    brought = ("power",) if page.name == "own-retriever.md" else ()
    known = {
        key for name in entry_points.names(entry_points.RETRIEVERS) for key in load_scheme(name).Settings.model_fields
    }
    text = page.read_text(encoding="utf-8")
    models = {*re.findall(r"--model ([a-z]+)(?:=| )", text)}
    for name in re.findall(r"--(?:set|over|base) '?([a-z_.]+)=", text):
        # Of one model of several, as in `--set small.dim=64`.
        key = name.partition(".")[2] if name.partition(".")[0] in models else name
        # Several models have some keys, such as that of the checkpoint.
        assert key in known or key in brought or key_path(key, "transformer"), name
    for name in re.findall(r"--unset ([a-z_.]+)", text):
        assert table_or_key_path(name, "transformer"), name


def test_every_part_of_a_recipe_is_one(tmp_path: Path) -> None:
    parts = [block for block in blocks(DOCS / "how-to" / "train.md") if block.kind == "toml" and not block.file]
    for block in parts:
        path = tmp_path / "part.toml"
        path.write_text(f'extends = "static-hybrid"\nname = "part"\n{block.body}', encoding="utf-8")
        assert load_recipe(str(path)).name == "part"
    assert parts


def test_every_environment_variable_is_read() -> None:
    paths = [*(ROOT / "mlbench").rglob("*.py"), ROOT / "tests" / "conftest.py"]
    sources = "".join(path.read_text(encoding="utf-8") for path in paths)
    for page in PAGES:
        for name in re.findall(r"MLBENCH_[A-Z_]+", page.read_text(encoding="utf-8")):
            assert name in sources, f"{name_of(page)}: {name}"


NAMED = {
    "reference/task-file.md": [
        *task.Task.model_fields,
        *task.DeclaredFile.model_fields,
        *task.DeclaredImages.model_fields,
        *task.DeclaredArchive.model_fields,
        *task.Expected.model_fields,
        "extends",
        "folder",
    ],
    "reference/result.md": sorted(
        {
            name
            for part in [*vars(results).values(), *vars(provenance).values(), IndexCost]
            if isinstance(part, type) and issubclass(part, DocumentPart)
            for name in part.model_fields
        }
    ),
    "reference/comparison.md": sorted(
        {
            name
            for part in (Comparison, TaskComparison, ComparedSystem, Check, PairedTests, Line, Tails)
            for name in part.model_fields
        }
    ),
    "reference/gate-file.md": [*Gate.model_fields, *Drops.model_fields, *BOUNDED, *get_args(Rule)],
    "reference/leaderboard-entry.md": sorted(
        {name for part in (Entry, ReportedTask, ReportedValue, Audit, TaskAudit) for name in part.model_fields}
    ),
    "reference/ranks.md": sorted(ranks.Ranks.__dataclass_fields__),
    "reference/python.md": [name for name in mlbench.__all__ if name != "__version__"],
}


@pytest.mark.parametrize("page", NAMED)
def test_a_reference_names_everything(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    missing = [name for name in NAMED[page] if not re.search(rf"`(?:mlbench\.)?{re.escape(name)}\b", text)]
    assert missing == []


def test_the_python_page_names_every_option() -> None:
    text = (DOCS / "reference/python.md").read_text(encoding="utf-8")
    for options in (mlbench.Options, mlbench.Runtime):
        assert [name for name in options.__dataclass_fields__ if f"`{name}`" not in text] == []


def test_the_defaults_of_task_files_are_as_documented() -> None:
    text = (DOCS / "reference/task-file.md").read_text(encoding="utf-8")
    assert ", ".join(task.DEFAULT_MEASURES) in text


def test_the_example_is_as_its_pages_say() -> None:
    example = json.loads(generate.EXAMPLE.read_text(encoding="utf-8"))
    bias = example["bias"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for value, low, high in (example["aggregates"][kind] for kind in generate.KINDS):
        assert f"{decimal(value)} {interval(Bounds(low=low, high=high))}" in readme
    assert decimal(bias["own_language_preference"]) in readme
    for number in (bias["rank_distance"], bias["rank_distance_median"], example["random_rank_distance"]):
        assert decimal(number, 0) in readme
