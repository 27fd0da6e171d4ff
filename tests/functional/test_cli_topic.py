"""`mlbench report --topic`: one topic with its texts, where they are to be had."""

import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from command_line import own_task
from unit.seeing import measured, write_task

from mlbench.cli import call

Captured = pytest.CaptureFixture[str]
RUN = ("run", "-q", "--model", "hashing", "--resamples", "2")


def measured_in(folder: Path, *options: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(folder / "cache"))
        with redirect_stdout(io.StringIO()):
            assert call([*RUN, "--out", str(folder), *options]) == 0
    (path,) = folder.glob("*.json")
    return path


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return measured_in(tmp_path_factory.mktemp("mini"))


def shown(capsys: Captured, *arguments: str) -> list[str]:
    assert call(["report", *map(str, arguments)]) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def plain(capsys: Captured, *arguments: str) -> list[dict[str, Any]]:
    assert call(["report", *map(str, arguments), "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def error_of(capsys: Captured, *arguments: str) -> str:
    assert call(["report", *map(str, arguments)]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    (line,) = seen.err.splitlines()
    return line


def test_shows_queries_ranks_and_what_stands_before(capsys: Captured, document: Path) -> None:
    lines = shown(capsys, document, "--topic", "t08")
    assert lines[0] == "hashing on mini (version 1)"
    assert lines[1].startswith("topic t08, mean AP in the pool .")
    assert any("How many moons does Mars have?" in line for line in lines)
    assert any("\u2068كم قمرًا للمريخ؟\u2069" in line for line in lines)
    heading = next(line for line in lines if line.startswith("rank in the pool"))
    grid = lines[lines.index(heading) + 1 :][:12]
    assert grid[0].split() == ["own", "ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"]
    assert all(1 <= int(cell) <= 528 for row in grid[1:] for cell in row.split()[1:])
    assert "Top of the pool, * is relevant" in lines
    assert "not shown here, see -v: Ranks of each relevant document" in lines
    assert "Ranks of each relevant document" in shown(capsys, document, "--topic", "t08", "-v")
    assert not any("lowest" in line for line in lines)


def test_the_ap_is_that_of_the_result(capsys: Captured, tmp_path: Path) -> None:
    document = measured_in(tmp_path, "--languages", "de,en,th")
    result = json.loads(document.read_text(encoding="utf-8"))
    ids = [f"t{n:02}" for n in range(1, 25)]
    topics = [plain(capsys, document, "--topic", name)[0] for name in ids]
    pool = [s for s in result["settings"] if s["kind"] == "multilingual"]
    for place, setting in enumerate(pool):
        values = [topic["queries"][place]["average_precision"] for topic in topics]
        assert setting["measures"]["AP"] == pytest.approx(sum(values) / len(values))
    worst = min(topics, key=lambda topic: topic["average_precision"])
    assert plain(capsys, document, "--topic", "worst") == [worst]
    lines = shown(capsys, document, "--topic", "worst")
    assert lines[1] == "partial: de, en, th"
    assert f"topic {worst['topic_id']}, mean AP in the pool" in lines[2]
    assert "the lowest of all topics" in " ".join(lines[2:4])


def test_is_written_in_the_formats_of_texts(capsys: Captured, document: Path, tmp_path: Path) -> None:
    (csv, *rest) = (tmp_path / f"topic{suffix}" for suffix in (".csv", ".md", ".html", ".tex", ".txt"))
    for path in (csv, *rest):
        assert shown(capsys, document, "--topic", "t08", "--output", path) == []
    assert all("How many moons does Mars have" in path.read_text(encoding="utf-8") for path in rest)
    titles, *rows = csv.read_text(encoding="utf-8").splitlines()
    assert titles.split(",")[-2:] == ["rank_in_pool", "rank_in_language"]
    assert len(rows) == 11 * 11
    assert shown(capsys, document, "--topic", "t08", "--format", "csv") == [titles, *rows]


def test_several_results_are_shown_one_after_the_other(capsys: Captured, document: Path, tmp_path: Path) -> None:
    other = measured_in(tmp_path, "--set", "dim=64", "--limit", "20")
    lines = shown(capsys, document, other, "--topic", "worst")
    assert [line for line in lines if line.startswith("hashing on mini")] == [
        "hashing on mini (version 1)",
        "hashing on mini (version 1)",
    ]
    assert lines.count("quick look: 20 topics, not comparable") == 1
    assert sum("lowest of all topics" in line for line in lines) == 2


def test_own_data_are_named_by_their_folder(capsys: Captured, tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    result = measured_in(tmp_path / "out", "--task", str(own))
    lines = shown(capsys, result, "--topic", "t0")
    assert "no texts: own is a task of your own; name its folder or file with --data-dir" in lines
    assert not any("wonders" in line for line in lines)
    assert any("wonders what item 0 is" in line for line in shown(capsys, result, "--topic", "t0", "--data-dir", own))
    documents = own / "documents.de.jsonl"
    documents.write_text(documents.read_text(encoding="utf-8").replace("thing", "think"), encoding="utf-8")
    assert "has other data here than the result" in error_of(capsys, result, "--topic", "t0", "--data-dir", own)


def test_own_data_are_named_by_the_file_of_their_task(capsys: Captured, tmp_path: Path) -> None:
    task = write_task(tmp_path / "pictures", 6) / "task.toml"
    task.write_text('name = "pictures"\n', encoding="utf-8")
    result = measured(task, out=tmp_path / "results")
    lines = shown(capsys, result, "--topic", "03.png", "--data-dir", task)
    assert any("das Bild 3 (0)" in line for line in lines)


def test_part_of_the_languages_and_topics(capsys: Captured, tmp_path: Path) -> None:
    result = measured_in(tmp_path, "--languages", "ar,th", "--limit", "4")
    (topic,) = plain(capsys, result, "--topic", "worst")
    assert topic["pool"] == ["ar", "th"]
    assert topic["n_documents"] == 2 * (4 + 40)
    assert all(query["text"] for query in topic["queries"])
    assert all(document["text"] for query in topic["queries"] for document in query["top"])


def test_data_that_are_not_there_are_not_downloaded(
    capsys: Captured, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbench.tasks.files.download", lambda *_, **__: pytest.fail("it downloads"))
    for path in (document, document.with_suffix(".ranks.npz")):
        shutil.copy(path, tmp_path)
    copy = tmp_path / document.name
    copy.write_text(document.read_text(encoding="utf-8").replace('"name": "mini",', '"name": "xquad-r",'))
    lines = shown(capsys, copy, "--topic", "t08")
    assert "no texts: mlbench tasks download xquad-r, or name a folder that has them with --data-dir" in lines
    assert any("-en-t08-answer" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topic", "t99"], "the result has no topic 't99': did you mean t"),
        (["--topic", "something"], "its ids are like t01 (--topic worst is the one of the lowest AP)"),
        (["--topic", "t01", "--pool", "ar,de"], "leave out --pool and --measure"),
        (["--topic", "t01", "--measure", "AP"], "leave out --pool and --measure"),
        (["--data-dir", "."], "add --topic ID, or --topic worst"),
    ],
)
def test_wrong_options_are_one_line(capsys: Captured, document: Path, options: list[str], message: str) -> None:
    assert message in error_of(capsys, document, *options)


def test_data_of_another_version_are_one_line(capsys: Captured, document: Path, tmp_path: Path) -> None:
    for path in (document, document.with_suffix(".ranks.npz")):
        shutil.copy(path, tmp_path)
    copy = tmp_path / document.name
    fingerprint = json.loads(document.read_text(encoding="utf-8"))["task"]["fingerprint"]
    copy.write_text(document.read_text(encoding="utf-8").replace(fingerprint, "0" * 64))
    assert "mini has other data here than the result was measured on" in error_of(capsys, copy, "--topic", "t01")


@pytest.mark.data
def test_real_data(capsys: Captured, data_dir: Path, tmp_path: Path) -> None:
    result = measured_in(tmp_path, "--task", "xquad-r", "--data-dir", str(data_dir), "--limit", "10")
    (topic,) = plain(capsys, result, "--topic", "worst", "--data-dir", data_dir)
    assert len(topic["queries"]) == len(topic["relevant"]) == 11
    assert all(query["text"] for query in topic["queries"])
    assert all(document["text"] for document in topic["relevant"])
