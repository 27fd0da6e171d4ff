"""What comes after a run on captioned images, as the command line has it."""

import json
from pathlib import Path
from typing import Any

import pytest
from unit.seeing import LANGUAGES, ToyLister, ToySeer, measured, write_task

from mlbench.cli import call
from mlbench.ranking.run_files import SaveRun

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("tasks") / "pictures", 10, {"de": 1, "en": 2, "th": 1})


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    return measured(folder, out=folder / "results")


def printed(capsys: Captured, *arguments: str) -> str:
    assert call(list(arguments)) == 0
    return capsys.readouterr().out


def loaded(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("judge", "fault"),
    [
        ("hashing", "hashing encodes no images and cannot judge captions: name an image-text model with"),
        ("./nowhere", "nowhere"),
    ],
)
def test_a_judge_that_cannot_judge_is_one_line(
    capsys: Captured, folder: Path, tmp_path: Path, judge: str, fault: str
) -> None:
    asked = ["run", "--task", str(folder), "--model", "hashing", "--clipscore-model", judge]
    assert call([*asked, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert fault in captured.err
    assert not list(tmp_path.glob("out/*"))


class TestTopic:
    def test_shows_captions_and_names_of_images(self, capsys: Captured, folder: Path, path: Path) -> None:
        text = printed(capsys, "report", str(path), "--topic", "03.png", "--data-dir", str(folder))
        assert "03.png" in text
        assert "das Bild 3 (0)" in text
        text = printed(capsys, "report", str(path), "--topic", "03.png#2", "--data-dir", str(folder))
        assert "the picture 3 (1)" in text
        assert "pool image: 10 documents" in text

    def test_no_path_of_the_machine_is_told(self, capsys: Captured, folder: Path, path: Path) -> None:
        text = printed(capsys, "report", str(path), "--topic", "03.png#1", "--data-dir", str(folder), "--json")
        (topic,) = json.loads(text)
        assert topic["relevant"][0]["text"] == "03.png"
        assert str(folder) not in text
        assert "sha256:" not in text

    def test_a_page_has_the_images(self, capsys: Captured, folder: Path, path: Path, tmp_path: Path) -> None:
        page = tmp_path / "topic.html"
        arguments = ("report", str(path), "--topic", "03.png#1", "--data-dir", str(folder), "--format", "html")
        printed(capsys, *arguments, "--output", str(page))
        text = page.read_text(encoding="utf-8")
        assert text.count('<img src="data:image/png;base64,') == 1 + 3 * 5
        assert str(folder) not in text
        assert printed(capsys, *arguments) == text

    def test_without_an_image_the_ranks_are_still_shown(self, capsys: Captured, path: Path, tmp_path: Path) -> None:
        other = write_task(tmp_path / "pictures", 10, {"de": 1, "en": 2, "th": 1})
        (other / "images" / "03.png").unlink()
        text = printed(capsys, "report", str(path), "--topic", "03.png", "--data-dir", str(other))
        assert "no texts: pictures: 1 of 10 images are missing" in " ".join(text.split())
        assert "rank in the pool" in text


class TestPool:
    @pytest.mark.parametrize(("pool", "asked"), [("de,en", ["image"]), ("th", ["image"]), ("image", list(LANGUAGES))])
    def test_is_answered_from_the_counts(self, capsys: Captured, path: Path, pool: str, asked: list[str]) -> None:
        (answer,) = json.loads(printed(capsys, "report", str(path), "--pool", pool, "--json"))
        assert [each["query_language"] for each in answer["settings"]] == asked
        text = printed(capsys, "report", str(path), "--pool", pool, "--measure", "RR@10")
        assert f"pool {pool}: " in text

    def test_what_was_asked_is_the_same(self, capsys: Captured, path: Path) -> None:
        (answer,) = json.loads(printed(capsys, "report", str(path), "--pool", ",".join(LANGUAGES), "--json"))
        asked = [each for each in loaded(path)["settings"] if each["kind"] == "image_to_pool"]
        assert answer["settings"] == asked


def test_verify_recomputes_every_number(capsys: Captured, path: Path) -> None:
    assert "numbers follow from the ranks" in printed(capsys, "verify", str(path))


def test_history_has_both_directions(
    capsys: Captured, folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    measured(folder, ToySeer(5), out=folder / "results")
    text = printed(capsys, "history", str(folder / "results"))
    titles = " ".join(text.split())
    assert titles.count("Success@1") == 2 * 3
    found = json.loads(printed(capsys, "history", str(folder / "results"), "--json"))
    figures = found["series"][0]["checkpoints"][0]["figures"]
    known = {each["kind"] for each in figures if each["value"] is not None}
    assert known == {"text_to_image", "image_to_text", "image_to_pool", None}


def test_measures_explain_scores_of_captions(capsys: Captured) -> None:
    for name in ("r_mean", "clip_score", "ref_clip_score"):
        (row,) = json.loads(printed(capsys, "measures", name, "--json"))
        assert row["kind"] == "caption score"
        assert row["formula"]
    assert "Caption scores" in printed(capsys, "measures")


class TestSavedRuns:
    def test_have_a_file_for_each_direction(self, folder: Path, tmp_path: Path) -> None:
        measured(folder, out=tmp_path / "out", save_run=SaveRun(tmp_path / "runs", 100))
        stems = {path.name for path in (tmp_path / "runs").iterdir()}
        wanted = [f"{language}-image" for language in LANGUAGES] + [f"image-{language}" for language in LANGUAGES]
        wanted.append("image-de+en+th")
        assert stems == {f"{stem}.{suffix}" for stem in wanted for suffix in ("trec", "qrels")}
        judged = [line.split() for line in (tmp_path / "runs" / "image-en.qrels").read_text().splitlines()]
        assert len(judged) == 20
        assert {topic for topic, *_ in judged} == {f"{number:02}.png" for number in range(10)}
        found = [line.split() for line in (tmp_path / "runs" / "en-image.trec").read_text().splitlines()]
        assert len(found) == 20 * 10
        assert found[0][3:5] == ["1", "10"]

    def test_give_the_result_again(self, folder: Path, tmp_path: Path) -> None:
        first = measured(folder, out=tmp_path / "first", save_run=SaveRun(tmp_path / "runs", 100))
        again = measured(folder, f"run:{tmp_path / 'runs'}", out=tmp_path / "again")
        one, other = loaded(first), loaded(again)
        assert [each["measures"] for each in one["settings"]] == [each["measures"] for each in other["settings"]]
        means = [document["image_text"]["mean"] for document in (one, other)]
        assert means[0]["r_mean"] == means[1]["r_mean"]
        assert means[1]["clip_score"] is None

    def test_a_ranker_writes_its_own_lists(self, folder: Path, tmp_path: Path) -> None:
        measured(folder, ToyLister(4), out=tmp_path / "out", save_run=SaveRun(tmp_path / "runs", 100))
        lines = (tmp_path / "runs" / "image-de+en+th.trec").read_text().splitlines()
        assert len(lines) == 10 * 4
