"""`mlbench run --model bm25s`: no Java is started, every fault is one line, and results verify."""

import json

import pytest
from command_line import CommandLine
from functional.test_cli_bm25 import write_task

pytest.importorskip("bm25s")
pytest.importorskip("Stemmer")
pytest.importorskip("pythainlp")

BM25S = ("run", "--model", "bm25s", "--resamples", "2")


@pytest.mark.slow
def test_runs_without_a_java_and_verifies(mlbench: CommandLine) -> None:
    done = mlbench.process(*BM25S, "--json", environment={"JAVA_HOME": "", "PATH": ""})
    assert done.code == 0, done.err
    # The library says nothing of its own.
    assert {line.partition(":")[0].partition(" ")[0] for line in done.err.splitlines()} == {
        "analyse",
        "search",
        "saved",
    }
    result = json.loads(done.out)
    assert result["retriever"]["parameters"]["analyzer.ru"] == "words, stop words (russian), Snowball (russian)"
    assert len(result["settings"]) == 11 + 110 + 11
    again = mlbench.result("--model", "bm25s", "--resamples", "2", "--out", "again")
    assert again["ranks"]["sha256"] == result["ranks"]["sha256"]
    assert mlbench("verify", str(next((mlbench.folder / "results").glob("mini.bm25s*.json")))).code == 0


def test_what_is_not_as_in_lucene_is_said_even_where_results_alone_are_wanted(mlbench: CommandLine) -> None:
    write_task(mlbench.folder / "own", ("bn", "en", "ja"))
    done = mlbench(*BM25S, "-q", "--task", "own")
    assert done.code == 0
    first, second = done.err.splitlines()
    assert first.startswith("warning: bm25s has no stemmer for bn")
    assert second.startswith("warning: ja is cut into pairs of characters")


def test_keys_that_it_has_not_are_one_line(mlbench: CommandLine) -> None:
    done = mlbench(*BM25S, "--set", "heap=4g")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "unknown key 'heap': known are b, k1" in done.err
