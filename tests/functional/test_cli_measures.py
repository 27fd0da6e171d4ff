"""Measures by name: asked for at run time, answered afterwards, and verified as far as ranks tell."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

RUN = ("-q", "run", "--model", "hashing", "--set", "dim=64", "--languages", "de,en", "--resamples", "20")
ASKED = ("ERR@20", "nDCG(dcg='exp-log2')@10", "bpref")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mlbench = CommandLine(tmp_path_factory.mktemp("measured"))
    done = mlbench(*RUN, *(part for name in ASKED for part in ("--measure", name)))
    assert done.code == 0, done.err
    return next((mlbench.folder / "results").glob("*.json"))


def test_a_run_computes_them_beside_those_of_its_task(mlbench: CommandLine, result: Path) -> None:
    document = json.loads(result.read_text(encoding="utf-8"))
    added = ["ERR@20", "nDCG(dcg='exp-log2')@10", "Bpref"]
    assert document["task"]["measures"][:3] == added
    assert all(set(added) < set(setting["measures"]) for setting in document["settings"])
    assert document["list_measures"]["names"] == ["Bpref"]
    done = mlbench("verify", str(result))
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("numbers follow from the ranks; Bpref cannot be recomputed from ranks\n")


@pytest.mark.parametrize("more", [(), ("--pool", "de,en")])
def test_a_report_answers_what_the_run_was_not_asked(mlbench: CommandLine, result: Path, more: tuple[str, ...]) -> None:
    done = mlbench("report", str(result), "--measure", "RBP(p=.9, rel=1)", "--format", "csv", *more)
    assert done.code == 0, done.err
    assert "RBP(p=0.9,rel=1)" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("report", "RESULT", "--measure", "infAP"), "infAP does not follow from ranks: measure it with mlbench run"),
        (("report", "RESULT", "--measure", "ndgc"), "unknown measure 'ndgc': did you mean nDCG"),
        ((*RUN, "--measure", "P(rel=0)@5"), "rel must be a whole number from 1 on"),
        ((*RUN, "--measure", "alpha_nDCG@10"), "needs judgments by subtopic"),
    ],
)
def test_what_cannot_be_computed_is_one_line(
    mlbench: CommandLine, result: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = mlbench(*(str(result) if part == "RESULT" else part for part in arguments))
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("format_name", ["csv", "markdown", "latex", "html", "svg", "model-card", "parquet"])
def test_every_format_shows_a_result_that_has_one(mlbench: CommandLine, result: Path, format_name: str) -> None:
    done = mlbench("report", str(result), "--format", format_name, "--output", "report.out")
    assert done.code == 0, done.err
    content = (mlbench.folder / "report.out").read_bytes()
    assert (b"Bpref" in content) == (format_name not in ("latex", "svg", "parquet"))


def test_a_result_that_has_one_is_compared_without_it(mlbench: CommandLine, result: Path) -> None:
    done = mlbench("compare", str(result), str(result), "--write", "compared.json")
    assert done.code == 0, done.err
    text = (mlbench.folder / "compared.json").read_text(encoding="utf-8")
    assert '"ERR@20"' in text
    assert '"name": "Bpref"' not in text
