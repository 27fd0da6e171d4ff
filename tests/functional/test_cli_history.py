"""`mlbench history`: a folder of results as a user keeps one."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import CommandLine

from mlbench import cli

KINDS = ("monolingual", "cross_lingual", "multilingual")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of the results of two checkpoints on `mini`, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(folder / "cache"))
        for dim, out in (("64", folder / "results" / "first"), ("256", folder / "results")):
            options = ["--set", f"dim={dim}", "--resamples", "50", "--out", str(out)]
            assert cli.call(["run", "-q", "--model", "hashing", *options]) == 0
    return folder / "results"


@pytest.fixture
def kept(measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a copy of these results as the folder `results` of the working folder."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return Path(shutil.copytree(measured, tmp_path / "results"))


def test_a_document_beside_other_ranks_is_passed_over(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (of_first,), (of_second,) = kept.glob("first/*.ranks.npz"), kept.glob("*.ranks.npz")
    of_first.write_bytes(of_second.read_bytes())
    assert cli.call(["history", "results", "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"warning: {of_first.relative_to(kept.parent)} is not the ranks file of ")
    (series,) = json.loads(told.out)["series"]
    assert [checkpoint["file"].startswith("first/") for checkpoint in series["checkpoints"]] == [False]


def test_shows_plots_and_tells_the_numbers_of_the_documents(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.call(["history", "results", "--svg", "history.svg"]) == 0
    told = capsys.readouterr()
    assert "mini (version 1); 2 checkpoints by time" in told.out
    assert "Change from the checkpoint before" in told.out
    assert max(map(len, told.out.splitlines())) <= 140
    assert told.err == "saved history.svg\n"
    assert ElementTree.fromstring(Path("history.svg").read_bytes()).tag.endswith("svg")
    assert cli.call(["history", "results", "-q", "--write", "history.md", "--svg", "history.csv"]) == 0
    assert Path("history.md").read_text(encoding="utf-8").count("| hashing ") == 2 + 1
    assert len(Path("history.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 5
    capsys.readouterr()

    assert cli.call(["history", "results", "--json", "-q"]) == 0
    told = capsys.readouterr()
    (series,) = json.loads(told.out)["series"]
    assert told.err == ""
    assert [checkpoint["file"].startswith("first/") for checkpoint in series["checkpoints"]] == [True, False]
    for checkpoint in series["checkpoints"]:
        document = json.loads((kept / checkpoint["file"]).read_text(encoding="utf-8"))
        means = {
            each["kind"]: each
            for each in document["aggregates"]
            if each["aggregation"] == "macro" and each["query_language"] is None
        }
        figures = {figure["kind"]: figure for figure in checkpoint["figures"] if figure["kind"]}
        for kind in KINDS:
            assert figures[kind]["value"] == means[kind]["measures"]["AP"]
            assert figures[kind]["interval"] == means[kind]["intervals"]["AP"]


def test_damaged_documents_are_a_warning_each_and_other_files_are_passed_over(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = next(kept.glob("*.json")).read_bytes()
    (kept / "torn.json").write_bytes(document[: len(document) // 2])
    (kept / "empty.json").write_bytes(b"")
    (kept / "old.json").write_bytes(document.replace(b'"dim"', b'"width"', 1))
    (kept / "tokenizer.json").write_text('{"version": "1.0", "model": {"vocab": {}}}')
    (kept / "sweep.json").write_text('{"schema_version": 1, "arms": []}')
    (kept / ".hidden").mkdir()
    (kept / ".hidden" / "other.json").write_bytes(document)
    assert cli.call(["history", "results", "-q"]) == 0
    told = capsys.readouterr()
    warnings = told.err.splitlines()
    assert [line.split(":")[0] for line in warnings] == ["warning"] * 3
    assert [name in told.err for name in ("torn.json", "empty.json", "old.json")] == [True] * 3
    assert "2 checkpoints" in told.out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("nowhere",), "nowhere is not a folder: name one with results of mlbench run"),
        (("empty",), "no result document in empty can be used: make one with mlbench run --out empty"),
        (("damaged",), "no result document in damaged can be used: make one with mlbench run --out damaged"),
        (("results", "--task", "mimi"), "unknown task of these results 'mimi': did you mean mini?"),
        (("results", "--measure", "R@17"), "unknown measure of these results 'R@17'"),
        (("results", "--measure", "nonsense"), "unknown measure 'nonsense'"),
        (("results", "--by", "steps"), "does not say after how many steps it was saved: choose --by time or --by name"),
        (("results", "--by", "size"), "Invalid value for '--by'"),
        (("results", "--svg", "nowhere/history.svg"), "there is no folder nowhere"),
        (("results", "--write", "history.doc"), "no format has this suffix"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    kept: Path, arguments: tuple[str, ...], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("empty", "damaged"):
        (kept.parent / name).mkdir()
    (kept.parent / "damaged" / "torn.json").write_bytes(b'{"schema_version": 1, "retriever"')
    assert cli.call(["history", "-q", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    lines = [line for line in told.err.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1
    assert fault in lines[0]


def test_is_a_command_with_help(mlbench: CommandLine) -> None:
    done = mlbench("history", "--help")
    assert done.code == 0
    assert "mlbench history results" in done.out
    assert "--by [steps|time|name]" in done.out
