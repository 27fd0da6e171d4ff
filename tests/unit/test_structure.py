"""The figures on the layout of the source, against a small tree that can be counted by hand."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

# `python -m pytest` has the root on the path, `pytest` has not.
sys.path.append(str(Path(__file__).parents[2]))
structure = import_module("tests.bench.structure")

SIX = "".join(f"    step_{number} = {number}\n" for number in range(6))
FILES = {
    "mlbench/__init__.py": '"""Nothing more."""\n',
    "mlbench/top.py": "from mlbench.inner import first, second\n\n\nclass Row:\n    pass\n",
    "mlbench/inner/__init__.py": "",
    "mlbench/inner/first.py": f"from .second import go\n\n\nclass Row:\n    pass\n\n\ndef f():\n{SIX}    return go\n",
    "mlbench/inner/second.py": f"class _Row:\n    pass\n\n\ndef go():\n    import mlbench.inner.third\n\n{SIX}",
    "mlbench/inner/third.py": "A = 1\n",
    "setup.cfg": """
[importlinter:contract:a]
forbidden_modules =
    torch
ignore_imports =
    a -> torch
    b -> torch
[importlinter:contract:b]
ignore_imports =
    a -> b
""",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_figures(root: Path) -> None:
    figures = dict(structure.figures(structure.read_modules(root), root))
    assert list(figures.values()) == [4, 1, 35, 5, 15, 15, 2, 2, 1, 2, 3, 2, 1]


def test_importers_of_relative_absolute_and_late_imports(root: Path) -> None:
    modules = structure.read_modules(root)
    assert structure.one_importer(modules) == {
        "mlbench.inner.first": "mlbench.top",
        "mlbench.inner.third": "mlbench.inner.second",
    }
    assert structure.importers(modules)["mlbench.inner.second"] == {"mlbench.top", "mlbench.inner.first"}


def test_repetitions_say_where(root: Path) -> None:
    (found,) = structure.repetitions(structure.read_modules(root))
    assert found == structure.Repetition(6, "mlbench/inner/first.py:9", "mlbench/inner/second.py:8")
