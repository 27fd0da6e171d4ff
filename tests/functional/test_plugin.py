"""The plugin of docs/how-to/own-retriever.md, as a reader would type it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-retriever.md"
OPEN = """
import json, sys
from mlbench.protocols import Encoder, Runtime
from mlbench.open_model import open_retriever
opened = open_retriever("letters:ab", {"power": "2"}, Runtime())
vectors = opened.encode(["abba", "", "b"], "query")
print(json.dumps([isinstance(opened, Encoder), opened.parameters, vectors.tolist(), str(vectors.dtype)]))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    (source / "pyproject.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (source / "mlbench_letters.py").write_text(blocks("python")[0], encoding="utf-8")
    install = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=120)
    return {**os.environ, "PYTHONPATH": str(target)}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_installed_plugin_opens_and_encodes(environment: dict[str, str]) -> None:
    done = run(environment, "-c", OPEN)
    assert done.returncode == 0, done.stderr
    is_encoder, parameters, vectors, dtype = json.loads(done.stdout)
    assert is_encoder
    assert parameters == {"letters": "ab", "power": 2.0}
    np.testing.assert_array_equal(vectors, [[4, 4, 1], [0, 0, 1], [0, 1, 1]])
    assert dtype == "float32"


def test_command_line_explains_the_plugin(environment: dict[str, str]) -> None:
    done = run(environment, "-m", "mlbench", "models", "show", "letters", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["package"], shown["installed"]) == ("mlbench-letters", True)
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
    (snippet,) = (block for block in blocks("python") if "load_collection" in block)
    (tmp_path / "write.py").write_text(snippet, encoding="utf-8")
    done = subprocess.run([sys.executable, "write.py"], cwd=tmp_path, env=environment, timeout=120, check=False)
    assert done.returncode == 0
    for name in ("queries", "documents"):
        lines = (tmp_path / "vectors" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) > 11
        assert all(json.loads(line)["text"] for line in lines)
