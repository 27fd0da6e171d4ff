"""What every module keeps to, whoever writes it."""

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name

import pytest

import mlbench
from mlbench import plugin
from mlbench.version import __version__

ROOT = Path(__file__).parents[2]
# `python -m pytest` has the root on the path, `pytest` has not.
sys.path.append(str(ROOT))
structure = import_module("tests.bench.structure")
MODULES = structure.read_modules(ROOT)

FORBIDDEN_NAMES = {"util", "utils", "common", "helper", "helpers", "base", "misc"}
HEAVY = {"torch", "transformers", "sentence_transformers", "accelerate", "datasets", "ir_datasets", "ray"}
HEAVY |= {"click", "rich", "matplotlib", "pandas", "scipy", "jnius", "pyserini", "pythainlp", "faiss", "PIL"}
HEAVY |= {"bm25s", "Stemmer", "ir_measures"}
# Libraries whose classes are extended, or whose objects are looked into.
CLOSE = {"datasets", "faiss-cpu", "ir-datasets", "onnxruntime", "openvino", "pyjnius", "pyserini", "ray"}
CLOSE |= {"sentence-transformers", "torch", "transformers"}
# Extend classes of such libraries, and are imported late themselves.
EXTENDING = {"mlbench.tasks.ir_datasets_export", "mlbench.training.fusion", "mlbench.training.trainer"}
# A module below so many lines that only one other imports is a part of that one...
SMALL = 60
# ... but for these, each with its reason: a format among several, or what must load apart.
APART: dict[str, str] = {
    **{f"mlbench/reports/writers/{name}.py": "a format has a module of its own" for name in ("csv", "json")},
    "mlbench/cli/recorded.py": "the command line alone knows click",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def parameters(function: Function) -> list[str]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return [argument.arg for argument in every if argument and argument.arg not in ("self", "cls")]


def is_command(function: Function) -> bool:
    """Whether a decorator such as `@click.command()` or `@group.command("list")` makes it a command.

    `mlbench.evaluate` is one too: it is `mlbench run` in Python, and takes by name what the command has as options.
    """
    if function.name == mlbench.evaluate.__name__:
        return True
    called = [node.func if isinstance(node, ast.Call) else node for node in function.decorator_list]
    return any(isinstance(node, ast.Attribute) and node.attr in ("command", "group") for node in called)


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


def test_modules_are_named_for_what_they_hold() -> None:
    vague = [name for name in MODULES if FORBIDDEN_NAMES & set(name.split("."))]
    assert vague == []


def test_functions_have_at_most_six_parameters() -> None:
    many = [
        f"{name}: {function.name} has {len(parameters(function))}"
        for name, module in MODULES.items()
        for function in functions(module.tree)
        if len(parameters(function)) > 6 and not is_command(function)
    ]
    assert many == []


def test_no_complex_function_is_excused() -> None:
    excused = [name for name, module in MODULES.items() if re.search(r"noqa:.*(C901|PLR0915)", module.text)]
    assert excused == []


def test_whatever_is_public_has_a_docstring() -> None:
    silent = [name for name, module in MODULES.items() if module.tree.body and not ast.get_docstring(module.tree)]
    silent += [
        f"{name}: {within}"
        for name, module in MODULES.items()
        for within, node in public(module.tree.body)
        if not ast.get_docstring(node)
    ]
    assert silent == []


def test_few_modules_lie_beside_the_packages() -> None:
    top = structure.at_the_top(MODULES)
    assert len(top) <= 10, top


def test_no_small_module_serves_only_one_other() -> None:
    declared = set(re.findall(r"= (mlbench[\w.]+):", (ROOT / "setup.cfg").read_text(encoding="utf-8")))
    small = {
        MODULES[name].path: importer
        for name, importer in structure.one_importer(MODULES).items()
        if MODULES[name].lines < SMALL and name not in declared
    }
    merge = [f"{path}: belongs in {importer}, or has a reason" for path, importer in small.items() if path not in APART]
    assert merge == []
    assert [path for path in APART if path not in small] == [], "listed without need"


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
def test_the_core_brings_in_nothing_heavy() -> None:
    core = [name for name in MODULES if name.split(".")[1:2] not in (["cli"], ["__main__"], ["reports"])]
    core = sorted(set(core) - EXTENDING)
    loaded = loaded_by("\n".join(f"import {name}" for name in core))
    assert set(core) <= loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("code", ["import mlbench", "from mlbench import __version__"])
def test_the_package_is_light(code: str) -> None:
    assert loaded_by(code) & (HEAVY | {"numpy", "pydantic"}) == set()


def test_every_public_name_is_there() -> None:
    for name in mlbench.__all__:
        assert getattr(mlbench, name) is not None
        assert name in dir(mlbench)
    assert set(mlbench.__all__) == {"__version__", *mlbench._HOMES}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(mlbench, "nothing")  # noqa: B009


def test_the_help_is_light() -> None:
    loaded = loaded_by("from mlbench import cli\nassert cli.call(['--help']) == 0")
    assert "click" in loaded
    assert loaded & (HEAVY - {"click"} | {"numpy", "pydantic"}) == set()
    assert {name for name in loaded if name.startswith("mlbench.cli.")} == {"mlbench.cli.progress"}


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(["-m", "mlbench", "--help"], 0.3), (["-c", "import mlbench"], 0.2)],
    ids=["help", "import"],
)
def test_starts_at_once(arguments: list[str], seconds: float) -> None:
    # Processor time, and once of several tries, so that a busy machine fails no one.
    assert any(processor_seconds([sys.executable, *arguments]) < seconds for _ in range(7))


def processor_seconds(command: list[str]) -> float:
    before = os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# Written with brackets, so that this file does not match itself.
ELSEWHERE = re.compile(
    r"[/](?:root|work|opt|home[/]\w+|Users[/]\w+)[/]"
    r"|py[p]i[.]org|pythonhosted[.]org|download[.]pytorch[.]org|anaconda[.]org|npmjs[.]com|index[-]url|find[-]links"
)


@pytest.mark.slow
def test_no_file_names_a_machine_or_a_registry() -> None:
    named = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        named += [f"{path.relative_to(ROOT)}: {match[0]}" for match in ELSEWHERE.finditer(text)]
    assert named == []


def test_no_tracked_file_is_large_but_the_default_model_and_the_evidence_of_entries() -> None:
    large = [path.relative_to(ROOT).as_posix() for path in tracked() if path.stat().st_size > 500_000]
    evidence = re.compile(r"leaderboard/entries/[^/]+/[^/]+[.](ranks|vectors)[.]npz")
    assert [name for name in large if not name.startswith("models/default/") and not evidence.fullmatch(name)] == []


class TestVersions:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")

    def requirements(self) -> list[str]:
        listed = [self.setup["options"]["install_requires"], *self.setup["options.extras_require"].values()]
        return [line for text in listed for line in text.split("\n") if line and not line.startswith("mlbench[")]

    def pins(self) -> dict[str, str]:
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        return dict(line.split("==") for line in lines if not line.startswith("#"))

    def test_every_requirement_is_pinned_within_its_range(self) -> None:
        pins = {canonical(name): version for name, version in self.pins().items()}
        for requirement in self.requirements():
            name, lowest, bound = parts(requirement)
            if name == "mteb":  # Measured beside us by hand, never installed by the checks.
                continue
            pinned = numbers(pins[canonical(name)])
            assert pinned >= numbers(lowest), requirement
            assert bound is None or pinned < numbers(bound), requirement

    def test_what_is_subclassed_or_looked_into_has_an_upper_bound(self) -> None:
        unbounded = {name for name, _, bound in map(parts, self.requirements()) if bound is None}
        assert unbounded & CLOSE == set()

    def test_pins_are_sorted_plain_and_without_a_build(self) -> None:
        names = [canonical(name) for name in self.pins()]
        assert all(before < after for before, after in pairwise(names))
        assert all(re.fullmatch(r"[0-9][0-9.]*", version) for version in self.pins().values())

    def test_all_has_every_extra_that_users_want(self) -> None:
        # OpenCLIP installs torchvision, which has to fit the torch that a user has chosen.
        left_out = ("all", "bench", "dev", "docs", "open-clip")
        extras = {name for name in self.setup["options.extras_require"] if name not in left_out}
        listed = set(re.findall(r"mlbench\[([a-z0-9-]+)\]", self.setup["options.extras_require"]["all"]))
        assert listed == extras

    def test_the_oldest_python_is_the_same_everywhere(self) -> None:
        oldest = self.setup["options"]["python_requires"].removeprefix(">=")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
        assert project["mypy"]["python_version"] == oldest
        assert project["ruff"]["target-version"] == "py" + oldest.replace(".", "")
        assert f"Programming Language :: Python :: {oldest}" in self.setup["metadata"]["classifiers"]

    def test_every_package_is_listed(self) -> None:
        folders = {name for name, module in MODULES.items() if module.path.endswith("__init__.py")}
        shipped = {"mlbench.benchmark_files", "mlbench.model_files", "mlbench.recipe_files", "mlbench.task_files"}
        assert set(self.setup["options"]["packages"].split()) == folders | shipped

    def test_the_version_is_the_same_everywhere(self) -> None:
        assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
        assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def parts(requirement: str) -> tuple[str, str, str | None]:
    """Return name, lowest version and the version before which it ends, None without such a bound."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)(?:,<([0-9.]+))?", requirement)
    assert match, requirement
    return match[1], match[2], match[3]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_test_modules_have_names_of_their_own() -> None:
    """Pytest would import one in place of another, and end."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def listed() -> set[str]:
    """Return the names of docs/reference/python.md."""
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    return set(re.findall(r"`(mlbench\.\w[\w.]*)", page))


def imported(code: str) -> Iterator[str]:
    """Yield the full names of what a block of Python imports of mlbench."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("mlbench."))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mlbench":
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_what_the_docs_import_is_public() -> None:
    public_names = listed() | {f"mlbench.plugin.{name}" for name in plugin.__all__}
    private = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        names = {name for block in blocks for name in imported(block)}
        private += [f"{page.relative_to(ROOT)}: {name}" for name in sorted(names - public_names)]
    assert private == []


def test_the_page_of_a_package_index_links_to_nothing_beside_it() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    page = ROOT / config["metadata"]["long_description"].removeprefix("file: ")
    text = page.read_text(encoding="utf-8")
    places = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)", text)
    assert places
    assert [place for place in places if not place.startswith("https://")] == []


def test_every_listed_name_is_there() -> None:
    for name in sorted(listed() - EXTENDING):
        assert resolve_name(name) is not None
