"""Runs into one folder whose data or model has changed under the same name."""

import json
from pathlib import Path

import pytest

from mlbench.cli import call

Captured = pytest.CaptureFixture[str]


def write_task(folder: Path, answers: list[str], version: str = "1") -> None:
    folder.mkdir(exist_ok=True)
    for tag in ("de", "en"):
        for name, prefix in (("queries", "t"), ("documents", tag)):
            rows = [{"id": f"{prefix}{number}", "text": answer} for number, answer in enumerate(answers)]
            (folder / f"{name}.{tag}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judgments = [f"t{number}\t0\t{tag}{number}\t1" for number in range(len(answers)) for tag in ("de", "en")]
    (folder / "qrels.tsv").write_text("\n".join(judgments))
    (folder / "task.toml").write_text(f'name = "mine"\nversion = "{version}"\n')


def run(folder: Path, *more: str) -> None:
    arguments = ["--model", "hashing", "--task", str(folder / "mine"), "--out", str(folder / "results")]
    assert call(["run", "-q", "--resamples", "20", *arguments, *more]) == 0


def documents(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_bytes())["task"] for path in sorted((folder / "results").glob("*.json"))]


def test_other_data_under_the_same_name_are_kept_beside(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    texts = ["a red house", "the blue sea", "some green grass", "an old man"]
    for answers in (texts, texts[:3], texts):
        write_task(tmp_path / "mine", answers)
        run(tmp_path)
    write_task(tmp_path / "mine", texts, version="2")
    run(tmp_path)
    run(tmp_path, "--limit", "2")
    run(tmp_path, "--languages", "en")
    found = documents(tmp_path)
    assert len(found) == 5
    assert len({(each["fingerprint"], each["version"]) for each in found}) == 5
    for path in (tmp_path / "results").glob("*.json"):
        assert call(["verify", "-q", str(path)]) == 0
    capsys.readouterr()
    assert call(["report", str(tmp_path / "results")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "warning: the results of mine are of 2 different data sets (" in told
    assert call(["compare", str(tmp_path / "results"), str(tmp_path / "results")]) == 2
    assert "5 results of mine that are not training seeds" in capsys.readouterr().err
