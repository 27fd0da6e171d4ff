"""`mlbench run --save-run`: the files give the result again, here and in trec_eval."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval

from mlbench.cli import call

NAMES = {
    "AP": "map",
    "RR": "recip_rank",
    "R@10": "recall_10",
    "R@100": "recall_100",
    "nDCG@10": "ndcg_cut_10",
    "Success@10": "success_10",
}
Captured = pytest.CaptureFixture[str]
HASHING = ("--model", "hashing")


def measured(capsys: Captured, *arguments: str) -> dict[str, Any]:
    assert call(["run", "-q", "--resamples", "2", "--json", *arguments]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_runs_give_the_result_again(capsys: Captured, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", ("--out", str(tmp_path))
    first = measured(capsys, *out, *HASHING, "--save-run", str(runs), "--depth", "600")
    again = measured(capsys, *out, "--model", f"run:{runs}")
    assert [s["measures"] for s in again["settings"]] == [s["measures"] for s in first["settings"]]
    scores = {score["name"]: score["value"] for score in first["bias"]["scores"]}
    assert len([value for value in scores.values() if value is not None]) > 10
    known = {score["name"]: score["value"] for score in again["bias"]["scores"] if score["value"] is not None}
    # What a ranker cannot answer without asking again.
    assert set(scores) - set(known) <= {"removal_gap"}
    assert known == {name: scores[name] for name in known}
    assert again["bias"]["language_shares"] == first["bias"]["language_shares"]


def test_short_lists_give_the_measures_up_to_their_depth(capsys: Captured, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", ("--out", str(tmp_path))
    first = measured(capsys, *out, *HASHING, "--languages", "ar,en,th", "--save-run", str(runs), "--depth", "10")
    lines = Counter(line.split()[0] for line in (runs / "th-ar+en+th.trec").read_text().splitlines())
    assert set(lines.values()) == {10}
    again = measured(capsys, *out, "--languages", "ar,en,th", "--model", f"run:{runs}")
    for one, other in zip(first["settings"], again["settings"], strict=True):
        for name in ("RR@10", "R@1", "R@10", "nDCG@10", "Success@10"):
            assert one["measures"][name] == other["measures"][name]


def test_a_ranker_writes_what_it_read(capsys: Captured, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path), "--languages", "de,en")
    measured(capsys, *out, *HASHING, "--save-run", str(tmp_path / "a"), "--depth", "30")
    measured(capsys, *out, "--model", f"run:{tmp_path / 'a'}", "--save-run", str(tmp_path / "b"), "--depth", "30")
    written = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab"]
    assert written[0] == written[1]


def test_trec_eval_agrees(capsys: Captured, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = measured(capsys, "--out", str(tmp_path), "--save-run", str(runs), "--depth", "1000")
    for setting in result["settings"]:
        stem = f"{setting['query_language']}-{'+'.join(setting['document_languages'])}"
        with (runs / f"{stem}.qrels").open(encoding="utf-8") as lines:
            qrels = pytrec_eval.parse_qrel(lines)
        with (runs / f"{stem}.trec").open(encoding="utf-8") as lines:
            run = pytrec_eval.parse_run(lines)
        wanted = {"map", "recip_rank", "recall.10,100", "ndcg_cut.10", "success.10"}
        found = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
        assert len(found) == setting["n_queries"]
        for name, theirs in NAMES.items():
            mean = sum(values[theirs] for values in found.values()) / len(found)
            assert setting["measures"][name] == pytest.approx(mean, abs=1e-6), (stem, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "hashing", "--model", "hashing", "--save-run", "runs"], "takes one model and one task"),
        (["--depth", "10"], "add --save-run DIR"),
        (["--save-run", "runs", "--depth", "16777217"], "16777216"),
        (["--save-run", "file"], "cannot write run files to file"),
        (["--save-run", "full"], "full holds en-de.trec of another run"),
    ],
)
def test_what_cannot_be_saved_is_one_line(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "en-de.trec").touch()
    assert call(["run", "-q", "--languages", "ar", *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]
