"""The plugins of own-retriever.md and own-format.md, as a reader would type them, and one of an older page."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
OPEN = """
import json, sys
from mlbench.members import is_encoder
from mlbench.open_model import open_retriever
from mlbench.plugin import Runtime
opened = open_retriever("letters:ab", {"power": "2"}, Runtime())
vectors = opened.encode(["abba", "", "b"], "query")
print(json.dumps([is_encoder(opened), opened.parameters, vectors.tolist(), str(vectors.dtype)]))
"""
# The page as it was before `mlbench.plugin`: what was written then still runs, unchanged.
OLD_PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "mlbench-letters"
version = "1.0"
dependencies = ["mlbench"]

[project.entry-points."mlbench.retrievers"]
letters = "mlbench_letters:Letters"

[tool.setuptools]
py-modules = ["mlbench_letters"]
"""
OLD_MODULE = '''
import numpy as np
from pydantic import BaseModel, Field


class Letters:
    """How often each letter occurs (locator: the letters to count)."""

    class Settings(BaseModel, extra="forbid"):
        power: float = Field(0.5, gt=0, description="exponent of each count")

    similarity = "cosine"

    def __init__(self, letters, settings):
        self.letters, self.power, self.dim = letters, settings.power, len(letters) + 1
        self.parameters = {"letters": letters, "power": settings.power}

    @staticmethod
    def open(locator, settings, runtime):
        return Letters(locator or "aeiou", settings)

    def fingerprint(self, role):
        return f"letters 1 {self.letters} {self.power}"

    def encode(self, texts, role):
        counts = [[text.count(letter) for letter in self.letters] + [1] for text in texts]
        return np.array(counts, dtype=np.float32).reshape(-1, self.dim) ** np.float32(self.power)
'''


def blocks(page: str, language: str) -> list[str]:
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def files(page: str) -> dict[str, str]:
    """Return the files of a page, by their names."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return dict(re.findall(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL | re.MULTILINE))


Install = Callable[[Mapping[str, str]], dict[str, str]]


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Install the package with such files; returns the environment that finds it."""

    def build(files: Mapping[str, str]) -> dict[str, str]:
        source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(content, encoding="utf-8")
        options = ["-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
        command = [sys.executable, "-m", "pip", "install", *options, str(source)]
        subprocess.run(command, check=True, timeout=120)
        return {**os.environ, "PYTHONPATH": str(target)}

    return build


@pytest.fixture(scope="module")
def environment(install: Install) -> dict[str, str]:
    return install(files("own-retriever.md"))


def run(environment: dict[str, str], *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_letters(environment: dict[str, str]) -> None:
    done = run(environment, "-c", OPEN)
    assert done.returncode == 0, done.stderr
    is_encoder, parameters, vectors, dtype = json.loads(done.stdout)
    assert is_encoder
    assert parameters == {"letters": "ab", "power": 2.0}
    np.testing.assert_array_equal(vectors, [[4, 4, 1], [0, 0, 1], [0, 1, 1]])
    assert dtype == "float32"


def test_installed_plugin_opens_and_encodes(environment: dict[str, str]) -> None:
    check_letters(environment)


def test_a_plugin_of_an_older_mlbench_runs_unchanged(install: Install, tmp_path: Path) -> None:
    old = install({"pyproject.toml": OLD_PROJECT, "mlbench_letters.py": OLD_MODULE})
    check_letters(old)
    arguments = ("--model", "letters:aeiou", "--task", "mini", "--languages", "de,en", "--resamples", "20", "--json")
    done = run({**old, "MLBENCH_CACHE": str(tmp_path)}, "-m", "mlbench", "run", "-q", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["retriever"]["parameters"] == {"letters": "aeiou", "power": 0.5}


def test_command_line_explains_the_plugin(environment: dict[str, str]) -> None:
    done = run(environment, "-m", "mlbench", "models", "show", "letters", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["package"], shown["installed"], shown["extra"]) == ("mlbench-letters", True, None)
    assert shown["example"] == "mlbench run --model letters:aeiou"
    assert shown["keys"] == [
        {
            "key": "power",
            "type": "float",
            "default": "0.5",
            "required": False,
            "description": "exponent of each count",
        }
    ]


def test_snippet_writes_every_text_of_the_task(environment: dict[str, str], tmp_path: Path) -> None:
    (snippet,) = (block for block in blocks("own-retriever.md", "python") if "load_collection" in block)
    (tmp_path / "write.py").write_text(snippet, encoding="utf-8")
    done = run(environment, "write.py", folder=tmp_path)
    assert done.returncode == 0
    for name in ("queries", "documents"):
        lines = (tmp_path / "vectors" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) > 11
        assert all(json.loads(line)["text"] for line in lines)


@pytest.fixture(scope="module")
def reading(install: Install) -> dict[str, str]:
    return install({name: content for name, content in files("own-format.md").items() if not name.startswith("my-faq")})


class TestAFormat:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, content in files("own-format.md").items():
            if name.startswith("my-faq"):
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path

    def test_a_folder_of_it_is_a_task(self, reading: dict[str, str], folder: Path) -> None:
        done = run(reading, "-m", "mlbench", "tasks", "check", "./my-faq", folder=folder)
        assert done.returncode == 0, done.stderr
        environment = {**reading, "MLBENCH_CACHE": str(folder / "cache")}
        arguments = ("--task", "./my-faq", "--resamples", "20", "--json")
        done = run(environment, "-m", "mlbench", "run", "-q", *arguments, folder=folder)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert (document["task"]["name"], document["task"]["languages"]) == ("my-faq", ["en", "th"])

    def test_a_task_file_names_its_reader(self, reading: dict[str, str], folder: Path) -> None:
        (task_file,) = (block for block in blocks("own-format.md", "toml") if "reader = " in block)
        (folder / "faq.toml").write_text(task_file, encoding="utf-8")
        done = run(reading, "-m", "mlbench", "tasks", "check", "faq.toml", folder=folder)
        assert done.returncode == 0, done.stderr

    def test_a_fault_is_told_with_its_line(self, reading: dict[str, str], folder: Path) -> None:
        (folder / "my-faq" / "faq.en.tsv").write_text("hours\tWhen are you open?\n", encoding="utf-8")
        done = run(reading, "-m", "mlbench", "tasks", "check", "./my-faq", folder=folder)
        assert done.returncode == 2
        assert "faq.en.tsv line 1: write topic, question and answer" in done.stderr

    def test_a_folder_of_two_formats_is_refused(self, reading: dict[str, str], folder: Path) -> None:
        (folder / "my-faq" / "queries.en.jsonl").touch()
        done = run(reading, "-m", "mlbench", "tasks", "check", "./my-faq", folder=folder)
        assert done.returncode == 2
        assert "has files for the readers faq and parallel_jsonl" in done.stderr
