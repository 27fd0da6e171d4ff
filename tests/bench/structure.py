"""Prints how the source of mlbench is laid out: the size of its modules, who imports them, and what it says twice.

`python -m tests.bench.structure [--root DIR]` takes any checkout, also one from before a move: it reads the source as
text and imports none of it.
"""

import argparse
import ast
import configparser
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import ceil
from pathlib import Path

PACKAGE = "mlbench"
SHORT = 70
RUN = 6
# A window of lines that stands in more places than this is a habit of the language, not a copy.
PLACES = 8


@dataclass(frozen=True)
class Module:
    """One file of the package, and the part of it that is code."""

    name: str
    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def has_content(self) -> bool:
        """Whether there is more in it than a docstring."""
        return len(self.tree.body) > (ast.get_docstring(self.tree) is not None)


@dataclass(frozen=True)
class Repetition:
    """Equal lines in two places of the package."""

    lines: int
    first: str
    second: str


def main() -> None:
    """Print the figures of a checkout, and with `--list` the modules and places behind them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2], help="the checkout (default: this one)")
    parser.add_argument("--list", action="store_true", help="also list what is behind the figures")
    options = parser.parse_args()
    modules = read_modules(options.root)
    for label, figure in figures(modules, options.root):
        print(f"{label:<48} {figure:>7,}")
    if options.list:
        for line in details(modules):
            print(line)


def read_modules(root: Path) -> dict[str, Module]:
    """Return the modules of the package below `root` by their dotted names."""
    modules = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        relative = path.relative_to(root)
        name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        modules[name] = Module(name, relative.as_posix(), text, ast.parse(text))
    return modules


def figures(modules: Mapping[str, Module], root: Path) -> Iterator[tuple[str, int]]:
    """Yield each figure with its label."""
    full = [module for module in modules.values() if module.has_content]
    lengths = sorted(module.lines for module in full)
    alone = one_importer(modules)
    settings = contracts(root)
    heavy = [options for options in settings if "torch" in options.get("forbidden_modules", "").split()]
    yield "modules with content", len(full)
    yield "modules at the top of the package", len(at_the_top(modules))
    yield "lines of all modules", sum(module.lines for module in modules.values())
    yield "lines of a module: median", quantile(lengths, 0.5)
    yield "lines of a module: 90th percentile", quantile(lengths, 0.9)
    yield "lines of a module: longest", lengths[-1]
    yield "modules that exactly one other imports", len(alone)
    yield f"- of these below {SHORT} lines", sum(modules[name].lines < SHORT for name in alone)
    yield "public class names used in several modules", len(shared_class_names(modules))
    yield "import contracts", len(settings)
    yield "lines of ignore_imports in all contracts", sum(ignored(options) for options in settings)
    yield "- of these for heavy libraries", sum(ignored(options) for options in heavy)
    yield f"runs of {RUN} or more equal lines", len(repetitions(modules))


def details(modules: Mapping[str, Module]) -> Iterator[str]:
    """Yield the one-importer modules, the class names and the runs of equal lines, a line each."""
    for name, importer in sorted(one_importer(modules).items()):
        yield f"one importer: {modules[name].path} ({modules[name].lines} lines) <- {importer}"
    for name, homes in sorted(shared_class_names(modules).items()):
        yield f"class name: {name} in {', '.join(homes)}"
    for found in sorted(repetitions(modules), key=lambda found: (-found.lines, found.first)):
        yield f"equal lines: {found.lines} at {found.first} ~ {found.second}"


def at_the_top(modules: Mapping[str, Module]) -> list[str]:
    """Return the paths of the modules that lie beside the packages."""
    beside = (module for module in modules.values() if module.path.count("/") == 1)
    return [module.path for module in beside if not module.path.endswith("__init__.py")]


def importers(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """Return for each module the others that import it, anywhere in their code."""
    found: dict[str, set[str]] = {name: set() for name in modules}
    for module in modules.values():
        for target in _imported(module, modules):
            if target != module.name:
                found[target].add(module.name)
    return found


def one_importer(modules: Mapping[str, Module]) -> dict[str, str]:
    """Return the modules with content that exactly one other imports, each with that one."""
    found = importers(modules)
    return {name: min(by) for name, by in found.items() if len(by) == 1 and modules[name].has_content}


def _imported(module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    package = module.name if module.path.endswith("__init__.py") else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from package import module` means the module, any other name what `package` itself holds.
                inner = f"{source}.{alias.name}"
                if inner in modules:
                    yield inner
                elif source in modules:
                    yield source


def shared_class_names(modules: Mapping[str, Module]) -> dict[str, list[str]]:
    """Return the names of public classes that several modules define, each with these modules."""
    homes: dict[str, list[str]] = defaultdict(list)
    for module in modules.values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(module.name)
    return {name: where for name, where in homes.items() if len(where) > 1}


def contracts(root: Path) -> list[dict[str, str]]:
    """Return the options of each import contract in `setup.cfg`."""
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg", encoding="utf-8")
    return [dict(setup[name]) for name in setup.sections() if name.startswith("importlinter:contract:")]


def ignored(contract: Mapping[str, str]) -> int:
    """Return how many imports a contract lists as exceptions."""
    return len(contract.get("ignore_imports", "").split("\n")) - 1 if "ignore_imports" in contract else 0


def repetitions(modules: Mapping[str, Module]) -> list[Repetition]:
    """Return the longest runs of at least six equal lines, for each two places that share one.

    Empty lines, comments, imports and lines of punctuation alone are passed over; white space is folded.
    """
    code = {module.path: list(_code_lines(module)) for module in modules.values()}
    windows: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for path, lines in code.items():
        for start in range(len(lines) - RUN + 1):
            windows[tuple(text for _, text in lines[start : start + RUN])].append((path, start))
    shared: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for places in windows.values():
        if len(places) <= PLACES:
            for (first, start), (second, other) in combinations(places, 2):
                shared[first, second, other - start].append(start)
    found = []
    for (first, second, offset), starts in shared.items():
        for start, length in _runs(starts):
            if first == second and length > offset:
                continue  # The run overlaps itself: a list of equal lines.
            lines = [code[path][at][0] for path, at in ((first, start), (second, start + offset))]
            found.append(Repetition(length, f"{first}:{lines[0]}", f"{second}:{lines[1]}"))
    return found


def _code_lines(module: Module) -> Iterator[tuple[int, str]]:
    imports = {
        number
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    for number, line in enumerate(module.text.splitlines(), start=1):
        text = " ".join(line.split())
        if number not in imports and not text.startswith("#") and any(character.isalnum() for character in text):
            yield number, text


def _runs(starts: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield the first line and the number of lines of each run of windows that follow each other."""
    groups = Counter[int]()
    for position, start in enumerate(sorted(starts)):
        groups[start - position] += 1
    first = 0
    ordered = sorted(starts)
    for count in groups.values():
        yield ordered[first], count + RUN - 1
        first += count


def quantile(ordered: list[int], share: float) -> int:
    """Return the nearest-rank quantile of values in ascending order."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


if __name__ == "__main__":
    main()
