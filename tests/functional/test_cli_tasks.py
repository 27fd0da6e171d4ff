import json
from pathlib import Path

import pytest
from bench.corpus import Size, write_corpus

from mlbench.cli import call
from mlbench.tasks.task import load_task, task_names


def own_folder(folder: Path) -> Path:
    folder.mkdir()
    for language in ("de", "en"):
        (folder / f"queries.{language}.jsonl").write_text('{"id": "t1", "text": "q", "cluster": "c"}\n')
        (folder / f"documents.{language}.jsonl").write_text('{"id": "d1", "text": "d"}\n')
    (folder / "qrels.tsv").write_text("t1\t0\td1\t1\nt1\t0\tgone\t1\n")
    return folder


@pytest.mark.parametrize("arguments", [["tasks"], ["tasks", "list"]])
def test_list_is_a_table_of_all_tasks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "320")
    assert call(arguments) == 0
    shown = capsys.readouterr()
    header, *rows = shown.out.splitlines()
    assert header.split() == ["task", "title", "languages", "images", "queries", "documents", "licence"]
    assert [row.split()[0] for row in rows] == list(task_names())
    assert "13,090 13,014 CC BY-SA 4.0" in " ".join(shown.out.split())
    assert "\x1b" not in shown.out
    assert shown.err == ""


def test_list_and_show_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mlqa-r"]["documents"] == 20_534
    assert rows["xquad-r"]["settings"] == {"monolingual": 11, "cross_lingual": 110, "multilingual": 11}
    assert call(["tasks", "show", "xquad-r", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["files"][0]["path"] == "xquad-r/ar.json"
    assert shown["licence"] == "CC BY-SA 4.0"


@pytest.mark.parametrize(
    "fact",
    [
        "xquad-r, version 1",
        "CC BY-SA 4.0 https://creativecommons.org/licenses/by-sa/4.0/legalcode",
        "@article{roy2020lareqa,",
        "11 monolingual, 110 cross_lingual, 11 multilingual",
        "13,014: ar 1,222",
        "AP RR RR@10 R@1 R@10 R@100 nDCG@10 Success@10",
        "own_language_preference",
        "2,234,875 bytes, sha256 c52922d3b8ac1ae03ed5ac38647ad59870dca3dda2beefe18ecdc30729acb69d",
    ],
)
def test_show_tells_all(capsys: pytest.CaptureFixture[str], fact: str) -> None:
    assert call(["tasks", "show", "xquad-r"]) == 0
    assert fact in capsys.readouterr().out


def test_check_counts_what_is_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(["tasks", "check", str(own_folder(tmp_path / "faq"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "faq is fine: 2 languages, 1 topic in 1 cluster (cluster)"
    assert [line.split() for line in lines[2:]] == [["de", "1", "1", "1", "1"], ["en", "1", "1", "1", "1"]]


def test_check_explains_every_fault_of_the_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "faq")
    (folder / "documents.de.jsonl").write_text('{"id": "d1"}\n{\n')
    (folder / "qrels.tsv").write_text("t1 0 d1 one\n")
    assert call(["tasks", "check", str(folder)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line.partition(": ")[0] for line in shown.err.splitlines()] == [
        "documents.de.jsonl line 1",
        "documents.de.jsonl line 2",
        "qrels.tsv line 1",
        "qrels.tsv",
        "mlbench",
    ]
    assert shown.err.endswith(f"mlbench: error: {folder} has 4 faults, listed above\n")


def test_check_explains_every_fault_of_a_task_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "faq")
    (folder / "task.toml").write_text('licens = "MIT"\nmeasures = ["MRR@1O"]\n')
    assert call(["tasks", "check", str(folder)]) == 2
    *faults, last = capsys.readouterr().err.splitlines()
    assert sorted(fault.partition(":")[0] for fault in faults) == ["licens", "measures[0]"]
    assert last == f"mlbench: error: {folder} has 2 faults, listed above"


def test_a_single_fault_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "faq")
    (folder / "queries.en.jsonl").write_text('{"id": "t1", "text": ""}\n')
    assert call(["tasks", "check", str(folder)]) == 2
    assert capsys.readouterr().err == "mlbench: error: queries.en.jsonl line 1: 'text' is empty\n"


def test_an_unknown_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks", "show", "xquad"]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("mlbench: error: unknown task 'xquad': did you mean xquad-r")
    assert shown.err.count("\n") == 1


def test_download_of_what_is_shipped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for extra in ([], ["--data-dir", str(tmp_path / "data")]):
        assert call(["tasks", "download", "mini", *extra]) == 0
        assert capsys.readouterr().out == "mini: nothing to download, its files came with it\n"
    assert not (tmp_path / "data").exists()


def test_download_offline_shows_licence_citation_and_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    assert call(["tasks", "download", "xquad-r", "--data-dir", str(tmp_path)]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert shown[0].startswith("xquad-r: licence CC BY-SA 4.0")
    assert shown[1].startswith("xquad-r: please cite @article{roy2020lareqa")
    assert "downloads are forbidden by MLBENCH_OFFLINE" in shown[-1]
    assert shown[-1].endswith("put it into a folder as DIR/xquad-r/ar.json and pass --data-dir DIR")


def test_download_of_some_languages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    monkeypatch.delenv("MLBENCH_DATA", raising=False)
    assert call(["tasks", "download", "xquad-r", "--languages", "th", "--data-dir", str(tmp_path)]) == 2
    assert "DIR/xquad-r/th.json" in capsys.readouterr().err
    assert call(["tasks", "download", "xquad-r", "--languages", "th,fi"]) == 2
    assert capsys.readouterr().err.startswith("mlbench: error: unknown language of xquad-r 'fi'")


def test_corpora_in_shards_are_checked_without_being_held(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    write_corpus(tmp_path / "corpus", ("sw", "yo"), Size(400, 12, per_shard=150))
    assert call(["tasks", "check", str(tmp_path / "corpus" / "task.toml")]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[2][:3] == ["sw", "6", "200"]
    assert lines[3][:3] == ["yo", "6", "200"]


@pytest.mark.data
def test_download_into_a_folder_copies_what_is_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_dir: Path
) -> None:
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    assert call(["tasks", "download", "mlqa-r", "--data-dir", str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out == f"mlqa-r: 7 files in {tmp_path / 'copy' / 'mlqa-r'}\n"
    monkeypatch.setenv("MLBENCH_DATA", str(tmp_path / "copy"))
    assert call(["tasks", "check", "mlqa-r"]) == 0
    assert "1,148 topics in 520 clusters (article)" in capsys.readouterr().out
    assert call(["tasks", "check", "xquad-r", "--data-dir", str(data_dir)]) == 0
    assert "1,190 topics in 48 clusters (article)" in capsys.readouterr().out


def test_data_that_do_not_say_their_language_are_checked_with_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "salt"}\n', encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "what is salt"}\n', encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n", encoding="utf-8")
    assert call(["tasks", "check", str(tmp_path)]) == 2
    assert "add --languages TAG" in capsys.readouterr().err
    assert call(["tasks", "check", str(tmp_path), "--languages", "en"]) == 0
    assert "1 language, 1 topic in 1 cluster" in capsys.readouterr().out
    assert call(["tasks", "show", str(tmp_path), "--languages", "en"]) == 0
    assert "\nlanguages      en\n" in capsys.readouterr().out


def test_alike_counts_of_many_languages_are_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tasks", "show", "flores-200"]) == 0
    assert "\nqueries        205,820: 1,004 in each language\n" in capsys.readouterr().out


def test_what_is_said_of_many_languages_fits_on_a_screen(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call(["tasks", "show", "flores-200"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) < 50
    assert shown[-1] == "               and 611 more, which --json lists"
    languages = load_task("flores-200").languages[:41]
    lines = [{"id": "s1", "texts": dict.fromkeys(languages, "a sentence")}]
    lines += [{"id": "s2", "texts": dict.fromkeys(languages[:-1], "another")}]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    toml = f'name = "many"\nreader = "parallel_texts"\nlanguages = {json.dumps(languages)}\n'
    toml += 'settings = ["cross_lingual"]\n[[files]]\npath = "lines.jsonl"\n'
    (tmp_path / "task.toml").write_text(toml, encoding="utf-8")
    assert call(["tasks", "check", str(tmp_path / "task.toml")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    assert rows == [
        ["ace", "ace-arab", "acm-arab", "acq-arab", "and", "36", "more", "2", "2", "2", "0"],
        [languages[-1], "1", "1", "1", "0"],
    ]
