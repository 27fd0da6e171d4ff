import json
import shutil
from pathlib import Path

import pytest

from mlbench.cli import call

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the result of a run, and with files that are none."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        arguments = ["--model", "hashing", "--task", "mini", "--resamples", "50", "--out", str(folder)]
        assert call(["run", "-q", *arguments]) == 0
    (folder / "package.json").write_text('{"name": "something else"}')
    (folder / "list.json").write_text("[1, 2]")
    return folder


@pytest.fixture
def document(measured: Path) -> Path:
    (path,) = measured.glob("mini*.json")
    return path


def error_of(capsys: Captured, *arguments: str) -> str:
    """Run a command that must fail with one line, and return that line."""
    assert call(["report", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


def test_shows_a_result(capsys: Captured, document: Path) -> None:
    assert call(["report", str(document)]) == 0
    shown = capsys.readouterr()
    lines = [line.rstrip() for line in shown.out.splitlines()]
    assert lines[0].startswith("hashing")
    assert lines[0].endswith("on mini (version 1)")
    assert any(line.startswith("multilingual (11)") for line in lines)
    assert any(line.startswith("bias mAP .") and "own_language_preference" in line for line in lines)
    assert "mAP: language of the query (rows) by language of the documents (columns)" in lines
    assert "\x1b" not in shown.out
    assert shown.err == ""


def test_fits_a_narrow_terminal(capsys: Captured, document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(["report", str(document)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_measure_is_that_of_the_heat_map(capsys: Captured, document: Path) -> None:
    assert call(["report", str(document), "--measure", "R@1"]) == 0
    assert "\nR@1: language of the query" in capsys.readouterr().out


def test_folder_stands_for_the_results_in_it(capsys: Captured, measured: Path, document: Path) -> None:
    assert call(["report", str(measured), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [json.loads(document.read_text(encoding="utf-8"))]
    assert call(["report", str(measured), str(document)]) == 0
    assert capsys.readouterr().out.count("on mini (version 1)") == 2


def test_pool_that_was_measured_has_the_numbers_of_the_result(capsys: Captured, document: Path) -> None:
    result = json.loads(document.read_text(encoding="utf-8"))
    pool = result["task"]["languages"]
    assert call(["report", str(document), "--pool", ",".join(pool), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)

    def numbers(settings: list[dict[str, object]]) -> dict[object, object]:
        return {s["query_language"]: (s["n_queries"], s["n_documents"], s["measures"]) for s in settings}

    assert numbers(answer["settings"]) == numbers([s for s in result["settings"] if s["kind"] == "multilingual"])
    means = [a for a in result["aggregates"] if a["kind"] == "multilingual" and a["query_language"] is None]
    assert [a["measures"] for a in answer["aggregates"]] == [a["measures"] for a in means]
    assert (answer["task"], answer["n_documents"]) == ("mini", result["bias"]["n_documents"])


def test_pool_that_was_not_measured(capsys: Captured, document: Path) -> None:
    assert call(["report", str(document), "--pool", "zh, ar,en", "--measure", "nDCG@5"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["pool", "ar,en,zh:", "144", "documents"]
    assert lines[2] == ["query", "language", "queries", "nDCG@5"]
    assert [line[:2] for line in lines[3:7]] == [["ar", "24"], ["en", "24"], ["zh", "24"], ["mean", "72"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pool", "en,xx"], "the result has no language 'xx'"),
        (["--pool", ""], "'' is not a language tag"),
        (["--pool", "en,ZH"], "'ZH' is not a language tag"),
        (["--measure", "AP@20"], "unknown measure of this result 'AP@20'"),
        (["--measure", "nonsense"], "unknown measure 'nonsense'"),
        (["--measure", "AP", "--json"], "leave out --measure, or add --pool"),
    ],
)
def test_wrong_options_are_one_line(capsys: Captured, document: Path, options: list[str], message: str) -> None:
    assert message in error_of(capsys, str(document), *options)


def test_what_is_no_result_is_one_line(capsys: Captured, measured: Path, tmp_path: Path) -> None:
    assert "cannot read" in error_of(capsys, str(tmp_path / "nothing.json"))
    assert "no result document in" in error_of(capsys, str(tmp_path))
    assert "is not a result document" in error_of(capsys, str(measured / "package.json"))
    (tmp_path / "torn.json").write_text('{"schema_version": 1, "task"')
    assert "torn.json is not JSON that can be used" in error_of(capsys, str(tmp_path))


def test_ranks_must_be_those_of_the_result(capsys: Captured, measured: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(measured, folder)
    (document,), (ranks,) = folder.glob("mini*.json"), folder.glob("*.ranks.npz")
    ranks.write_bytes(ranks.read_bytes() + b"\0")
    assert "is not the ranks file of" in error_of(capsys, str(document), "--pool", "ar,en")
    ranks.unlink()
    assert "cannot read" in error_of(capsys, str(document), "--pool", "ar,en")
    assert call(["report", str(document)]) == 0
