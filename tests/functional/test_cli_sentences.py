"""Parallel sentences, and MIRACL in its own format, on the command line."""

import json
from pathlib import Path

import pytest
from unit.tasks.readers.shards import a_row, task_file, write_shard

from mlbench.cli import call

Captured = pytest.CaptureFixture[str]
RUN = ("run", "--model", "hashing", "--resamples", "20", "--json")
SENTENCES = """
name = "sentences"
reader = "parallel_texts"
languages = ["de", "en", "es"]
settings = ["cross_lingual", "multilingual"]
[[files]]
path = "lines.jsonl"
"""


def test_saved_runs_of_sentences_give_the_same_measures(capsys: Captured, tmp_path: Path) -> None:
    lines = [{"id": f"t{n}", "texts": {tag: f"{tag} word{n % 5} {n}" for tag in ("de", "en", "es")}} for n in range(12)]
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "task.toml").write_text(SENTENCES)
    task, out, runs = str(tmp_path / "task.toml"), tmp_path / "out", tmp_path / "runs"
    assert call([*RUN, "-q", "--task", task, "--out", str(out), "--save-run", str(runs), "--depth", "36"]) == 0
    encoded = json.loads(capsys.readouterr().out)
    (path,) = out.glob("*.json")
    assert call(["verify", str(path)]) == 0
    capsys.readouterr()
    assert call([*RUN[:1], "--model", f"run:{runs}", *RUN[3:], "-q", "--task", task, "--out", str(tmp_path / "b")]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [setting["measures"] for setting in listed["settings"]] == [row["measures"] for row in encoded["settings"]]
    assert {row["n_documents"] for row in encoded["settings"]} == {12, 35}
    scores = {row["name"]: row["value"] for row in encoded["bias"]["scores"]}
    assert scores == pytest.approx({row["name"]: row["value"] for row in listed["bias"]["scores"]} | scores)
    assert scores["own_language_preference"] is None
    assert scores["rank_distance"] is not None


def test_miracl_says_what_is_missing(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "topics.tsv").write_text("1\tbandari kubwa\n2\tmji mkuu\n")
    (tmp_path / "qrels.tsv").write_text("1\tQ0\ta#0\t1\n1\tQ0\tgone#0\t1\n2\tQ0\tb#0\t0\n")
    write_shard(tmp_path / "docs-0.jsonl.gz", [a_row("a#0", "bandari kubwa"), a_row("b#0", "mji mkuu")])
    names = {"queries": "topics.tsv", "qrels": "qrels.tsv", "documents": "docs-0.jsonl.gz"}
    task = str(task_file(tmp_path, ["sw"], [("sw", role, tmp_path / name) for role, name in names.items()]))
    assert call([*RUN, "--task", task, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    (setting,) = json.loads(shown.out)["settings"]
    assert (setting["n_queries"], setting["n_documents"]) == (1, 2)
    assert setting["measures"]["R@100"] == 0.5
    assert "planted: 1 topic has no relevant document and is left out" in shown.err
    assert "planted: 1 relevant document is in no corpus and counts as never found" in shown.err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([a_row("a#0"), a_row("a#0")], "is there twice"),
        ([a_row("a #0")], "docs-0.jsonl.gz line 1: docid 'a #0' is empty or holds white space"),
        ([{"docid": "a#0"}], "docs-0.jsonl.gz line 1: must be an object with the strings"),
    ],
)
def test_miracl_faults_are_one_line(
    capsys: Captured, tmp_path: Path, rows: list[dict[str, object]], message: str
) -> None:
    (tmp_path / "topics.tsv").write_text("1\tbandari kubwa\n")
    (tmp_path / "qrels.tsv").write_text("1\tQ0\ta#0\t1\n")
    write_shard(tmp_path / "docs-0.jsonl.gz", rows)
    names = {"queries": "topics.tsv", "qrels": "qrels.tsv", "documents": "docs-0.jsonl.gz"}
    task = str(task_file(tmp_path, ["sw"], [("sw", role, tmp_path / name) for role, name in names.items()]))
    assert call(["run", "-q", "--model", "hashing", "--task", task, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("mlbench: error: ")
    assert message in error
    assert "\n" not in error


def test_language_tags_of_any_form_in_names_of_files_and_options(capsys: Captured, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    judged = []
    for tag in ("arb_Arab", "zh-CN", "zho_Hant", "eng"):
        rows = [json.dumps({"id": f"t{n}", "text": f"{tag} word {n}"}) for n in range(4)]
        (folder / f"queries.{tag}.jsonl").write_text("\n".join(rows))
        (folder / f"documents.{tag}.jsonl").write_text("\n".join(rows))
        judged += [f"t{n}\t0\t{tag}:t{n}\t1\n" for n in range(4)]
    (folder / "task.toml").write_text('[expected.queries]\nzho_Hans = 4\n"*" = 4\n')
    (folder / "qrels.tsv").write_text("".join(judged).replace("arb_Arab:", "ar:").replace("eng:", "EN:"))
    out = tmp_path / "out"
    command = [*RUN, "-q", "--task", str(folder), "--out", str(out), "--languages", "zh_Hans,ara,en-US"]
    assert call(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["task"]["languages"] == ["ar", "en", "zh"]
    assert {row["n_queries"] for row in result["settings"]} == {4}
    (path,) = out.glob("*.json")
    assert call(["report", str(path), "--pool", "arb,cmn", "--format", "csv", "-q"]) == 0
    assert "ar,zh" in capsys.readouterr().out.replace("+", ",").replace(" ", ",")
    assert call([*command[:-1], "zh-TW,jp"]) == 2
    assert "'jp' is not a language tag: did you mean ja?" in capsys.readouterr().err
