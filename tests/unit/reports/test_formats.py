import json
import os
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from mlbench.errors import UnknownName, UserError
from mlbench.reports.documents.result import results_report
from mlbench.reports.formats import FORMATS, check_files, format_of, render, save, write_files
from mlbench.reports.report import Report
from mlbench.results import Result

GOLDEN = Path(__file__).parents[2] / "golden"
# JUnit is of comparisons, and JSON is the document itself, whatever is in it.
TEXTS = [name for name in FORMATS if name not in ("png", "json", "junit")]
ResultOf = Callable[..., Result]


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in ("console", "svg")])
def test_is_as_it_was_agreed_on(small: Result, name: str, tmp_path: Path) -> None:
    # To agree on another: read what this leaves in `tmp_path`, and copy it.
    file = f"report{FORMATS[name].suffix}"
    (tmp_path / file).write_bytes(render(name, results_report([small])))
    assert (tmp_path / file).read_text(encoding="utf-8") == (GOLDEN / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("number", [1, 2])
def test_nothing_in_a_name_acts_unseen(hostile: Result, name: str, number: int) -> None:
    text = render(name, results_report([hostile] * number)).decode()
    assert {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs")} <= {"\n"}
    assert "\nnext" not in text


def test_refuses_a_measure_that_is_not_there(small: Result) -> None:
    with pytest.raises(UnknownName, match=r"unknown measure of (this result|these results) 'P@7'"):
        results_report([small], measure="P@7")


@pytest.mark.parametrize("name", ["latex", "svg", "png", "model-card", "junit"])
def test_refuses_what_it_has_nothing_for(name: str) -> None:
    with pytest.raises(UserError, match="choose another format"):
        render(name, Report("nothing", (), ()))


def test_several_are_a_table_and_each_in_full(small: Result) -> None:
    text = render("console", results_report([small, small])).decode()
    assert text.count("by language of the documents") == 2


@pytest.mark.parametrize("number", [1, 2])
def test_json_is_a_list_with_sorted_keys(small: Result, number: int) -> None:
    text = render("json", results_report([small] * number)).decode()
    documents = json.loads(text)
    assert [Result.model_validate(document) for document in documents] == [small] * number
    assert text == json.dumps(documents, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.md", "markdown"),
        ("a.HTML", "html"),
        ("b/a.tex", "latex"),
        ("a.txt", "console"),
        ("a.json", "json"),
        ("a.docx", None),
        ("a", None),
    ],
)
def test_format_follows_from_the_suffix(file: str, name: str | None) -> None:
    assert format_of(Path(file)) == name


class TestFiles:
    def test_are_written_each_in_its_format(self, small: Result, tmp_path: Path) -> None:
        paths = [tmp_path / "a.md", tmp_path / "a.csv"]
        check_files(paths, [], Result)
        write_files(results_report([small]), paths)
        assert [path.read_text()[:4] for path in paths] == ["### ", "task"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("a.docx", r"--write .*a\.docx: no format has this suffix: choose among \.txt, \.md, \.html"),
            ("a.xml", r"choose among .*\.png, \.yaml"),
            ("nowhere/a.md", "there is no folder"),
            ("result.json", "that is one of the results: name another file"),
        ],
    )
    def test_are_refused_before_the_work(self, tmp_path: Path, name: str, message: str) -> None:
        (tmp_path / "link.json").symlink_to(tmp_path / "result.json")
        with pytest.raises(UserError, match=message):
            check_files([tmp_path / name], [tmp_path / "link.json"], Result)

    def test_that_cannot_be_written_name_the_option(self, small: Result, tmp_path: Path) -> None:
        for option in ("--write", "--svg"):
            with pytest.raises(UserError, match=rf"cannot write .*; name another file with {option}"):
                write_files(results_report([small]), [tmp_path / "nowhere" / "a.md"], option=option)


class TestSave:
    def test_replaces_a_file_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "report.md"
        path.write_text("old")
        save(b"new", path)
        assert path.read_bytes() == b"new"
        assert list(tmp_path.iterdir()) == [path]
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def test_leaves_the_old_file_when_it_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "report.md"
        path.write_text("old")

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"cannot write .*report\.md: No space left on device"):
            save(b"new", path)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_follows_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "file")
        save(b"new", tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_bytes() == b"new"

    @pytest.mark.skipif(os.name == "nt", reason="pipes have no names there")
    def test_writes_to_a_pipe_and_leaves_it(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        save(b"new", pipe)
        assert os.read(reader, 10) == b"new"
        os.close(reader)
        assert pipe.is_fifo()

    def test_says_where_it_cannot_write(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "nowhere" / "a.md"):
            with pytest.raises(UserError, match=r"cannot write .*; name another file with --output"):
                save(b"new", path)
