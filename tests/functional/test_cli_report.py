import json
import re
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


def test_ranks_files_among_the_names_are_passed_over(capsys: Captured, document: Path) -> None:
    ranks = document.with_suffix(".ranks.npz")
    assert call(["report", str(ranks), str(document)]) == 0
    assert "on mini (version 1)" in capsys.readouterr().out
    assert f"{ranks} is a ranks file: name the result document beside it" in error_of(capsys, str(ranks))


def test_measure_is_that_of_the_heat_map(capsys: Captured, document: Path) -> None:
    assert call(["report", str(document), "--measure", "R@1"]) == 0
    assert "\nR@1: language of the query" in capsys.readouterr().out


def test_folder_stands_for_the_results_in_it(capsys: Captured, measured: Path, document: Path) -> None:
    assert call(["report", str(measured), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [json.loads(document.read_text(encoding="utf-8"))]


def test_several_are_one_table_and_each_in_full_under_verbose(capsys: Captured, measured: Path, document: Path) -> None:
    assert call(["report", str(measured), str(document)]) == 0
    table = capsys.readouterr().out
    assert table.count("hashing") == 2
    assert "version 1" not in table
    assert call(["report", "-v", str(measured), str(document)]) == 0
    full = capsys.readouterr().out
    assert full.startswith(table)
    assert full.count("on mini (version 1)") == 2


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
        (["--pool", "en,jp"], "'jp' is not a language tag: did you mean ja?"),
        (["--measure", "bpref"], "Bpref does not follow from ranks"),
        (["--measure", "nonsense"], "unknown measure 'nonsense'"),
        (["--measure", "AP", "--json"], "leave out --measure, or add --pool"),
        (["--json", "--format", "csv"], "--json is a format of its own"),
        (["--format", "pdf"], "'pdf' is not one of 'console', 'markdown', 'html'"),
        (["--format", "csv", "--measure", "bpref"], "Bpref does not follow from ranks"),
        (["--format", "png", "--pool", "ar,en", "--output", "-"], "this one has none: choose another format"),
        (["--format", "model-card", "--measure", "AP"], "leave out --measure"),
        (["--output", "report.pdf"], "no format has the suffix of report.pdf"),
        (["--output", "nowhere/report.md"], "cannot write nowhere/report.md"),
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
    for arguments in (["--pool", "ar,en"], [], ["--json"], ["--format", "model-card"], ["--topic", "worst"]):
        assert "is not the ranks file of" in error_of(capsys, str(document), *arguments)
    ranks.unlink()
    assert "cannot read" in error_of(capsys, str(document), "--pool", "ar,en")
    assert call(["report", str(document)]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: ")
    assert told.err.endswith(f"its ranks file {ranks.name} is missing, so its numbers cannot be checked\n")
    assert "on mini (version 1)" in told.out


@pytest.fixture
def copied(measured: Path, tmp_path: Path) -> Path:
    """The result in a folder of its own, with its ranks."""
    for path in measured.glob("mini*"):
        shutil.copy(path, tmp_path)
    (path,) = tmp_path.glob("*.json")
    return path


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("markdown", "### `hashing` on mini (version 1)\n"),
        ("csv", "task,retriever,fingerprint,kind,"),
        ("latex", "% \\usepackage{booktabs}\n"),
        ("model-card", 'model-index:\n- name: "hashing"\n'),
    ],
)
def test_texts_go_to_stdout(capsys: Captured, copied: Path, name: str, begin: str) -> None:
    before = sorted(copied.parent.iterdir())
    assert call(["report", str(copied), "--format", name]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(begin)
    assert shown.err == ""
    assert sorted(copied.parent.iterdir()) == before


@pytest.mark.parametrize(("name", "magic"), [("html", b"<!DOCTYPE html>"), ("png", b"\x89PNG")])
def test_pages_and_figures_go_beside_the_result(capsys: Captured, copied: Path, name: str, magic: bytes) -> None:
    assert call(["report", str(copied), "--format", name]) == 0
    made = copied.with_suffix(f".{name}")
    assert capsys.readouterr().out == f"{made}\n"
    assert made.read_bytes().startswith(magic)


def test_several_are_one_page_or_a_figure_each(capsys: Captured, copied: Path) -> None:
    other = copied.with_name("other.json")
    shutil.copy(copied, other)
    assert call(["report", str(copied.parent), "--format", "html"]) == 0
    assert capsys.readouterr().out == f"{copied.with_name('report.html')}\n"
    assert call(["report", str(copied.parent), "--format", "png"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(copied.with_suffix(".png")), str(other.with_suffix(".png"))]
    assert "one result" in error_of(capsys, str(copied.parent), "--output", str(copied.with_name("all.png")))


def test_output_names_the_file_and_its_suffix_the_format(capsys: Captured, copied: Path) -> None:
    for suffix, begin in {".md": "###", ".html": "<!DOCTYPE", ".tex": "%", ".csv": "task,", ".txt": "hashing"}.items():
        path = copied.with_name(f"report{suffix}")
        assert call(["report", str(copied), "--output", str(path)]) == 0
        assert capsys.readouterr().out == ""
        assert path.read_text(encoding="utf-8").startswith(begin)
    assert call(["report", str(copied), "--format", "html", "--output", "-"]) == 0
    assert capsys.readouterr().out == copied.with_name("report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["as it is", "absolute", "with dots", "link"])
def test_a_result_is_never_overwritten(
    capsys: Captured, copied: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(copied.parent)
    before = copied.read_bytes()
    (copied.parent / "folder").mkdir()
    (copied.parent / "link").symlink_to(copied)
    names = {"as it is": copied.name, "absolute": str(copied), "with dots": f"folder/../{copied.name}", "link": "link"}
    assert "is a result" in error_of(capsys, copied.name, "--format", "csv", "--output", names[name])
    assert copied.read_bytes() == before


@pytest.mark.parametrize(("name", "begin"), [("markdown", "### `hashing`"), ("csv", "task,"), ("console", "hashing")])
def test_pools_have_formats_too(capsys: Captured, copied: Path, name: str, begin: str) -> None:
    path = copied.with_name("pool")
    arguments = ["--pool", "ar,en", "--format", name, "--output", str(path)]
    assert call(["report", str(copied), *arguments]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(begin)
    assert call(["report", str(copied), "--pool", "ar,en", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    value = answer["settings"][0]["measures"]["AP"]
    assert (str(value) if name == "csv" else f"{value:.3f}".lstrip("0")) in text


ENTRIES = Path(__file__).parents[2] / "leaderboard" / "entries"


def test_numbers_of_a_paper_stand_beside_those_of_the_same_tasks(capsys: Captured) -> None:
    entries = [ENTRIES / name for name in ("static-hybrid", "elmahdy-2024-xlm-r-hybrid", "elmahdy-2024-labse-x-y")]
    assert call(["report", *map(str, entries)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if re.search(r" (reported|measured here) +\.", line)]
    assert [(row[-9 if "reported" in row else -10], row[-7:]) for row in rows] == [
        ("mlqa-r", [".360", ".118", ".136", ".275", ".076", ".185", "5,341"]),
        ("mlqa-r", [".648", ".623", ".512", ".548", ".510", ".628", "227.1"]),
        ("mlqa-r", [".671", ".677", ".576", ".567", ".566", ".695", "198.3"]),
        ("xquad-r", [".609", ".197", ".153", ".516", ".126", ".154", "4,521"]),
        ("xquad-r", [".798", ".705", ".593", ".709", ".598", ".517", "286.6"]),
        ("xquad-r", [".801", ".762", ".679", ".712", ".665", ".595", "225.2"]),
    ]
    assert "reported: Elmahdy, Lin and Ahmad 2024, arXiv 2408.10536" in lines[-1]


def test_numbers_of_a_paper_on_other_tasks_are_all_shown(capsys: Captured, document: Path) -> None:
    assert call(["report", str(document), str(ENTRIES / "elmahdy-2024-xlm-r-x-y")]) == 0
    shown = capsys.readouterr().out
    assert [task in shown for task in ("mini", "xquad-r", "mlqa-r", "miracl-15")] == [True] * 4


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{}", "is no entry of a leaderboard, or cannot be read"),
        (None, "has no macro means that a paper reports: name the result documents of the entry"),
    ],
)
def test_what_is_no_entry_of_a_paper_is_told(capsys: Captured, tmp_path: Path, content: str | None, fault: str) -> None:
    path = tmp_path / "entry.json"
    verified = (ENTRIES / "static-hybrid" / "entry.json").read_text(encoding="utf-8")
    path.write_text(verified if content is None else content, encoding="utf-8")
    assert error_of(capsys, str(path)) == f"mlbench: error: {path} {fault}"
