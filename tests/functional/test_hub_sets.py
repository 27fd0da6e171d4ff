"""Data sets on the hub as tasks: `--task hf://...`, task files that name a commit, and work without the hub."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from mlbench import evaluate
from mlbench.errors import DataError, InvalidTask, UserError
from mlbench.tasks.files import provide
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task
from tests.functional.command_line import CommandLine
from tests.hub_server import Hub, serving_hub

CARD = """---
language:
- eng
license: cc-by-4.0
configs:
- config_name: corpus
  data_files:
  - {split: corpus, path: docs/*.jsonl}
- config_name: queries
  data_files:
  - {split: queries, path: asked.jsonl}
- config_name: default
  data_files:
  - {split: dev, path: judged/first.tsv}
  - {split: test, path: judged/second.tsv}
---
# A data set
"""


def lines(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ENGLISH = {
    "README.md": CARD.encode(),
    "docs/a.jsonl": lines({"_id": "0", "title": "Rivers", "text": "They rise in the hills."}),
    "docs/b.jsonl": lines({"_id": "1", "title": "", "text": "Salt is won from the sea."}),
    "asked.jsonl": lines({"_id": "q0", "text": "where do rivers rise"}, {"_id": "q1", "text": "how is salt won"}),
    "judged/first.tsv": b"query-id\tcorpus-id\tscore\nq0\t0\t1\n",
    "judged/second.tsv": b"query-id\tcorpus-id\tscore\nq1\t1\t1\n",
    "set.py": b"raise SystemExit('code of a data set was run')\n",
}


def parquet(*rows: dict[str, object]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    buffer = BytesIO()
    write_table(pyarrow.Table.from_pylist(list(rows)), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def several() -> dict[str, bytes]:
    return {
        f"{tag}-{kind}/test-00000-of-00001.parquet": parquet(*rows)
        for tag in ("deu", "tha")
        for kind, rows in {
            "corpus": [{"id": str(n), "title": "", "text": f"{tag} document {n}"} for n in range(3)],
            "queries": [{"id": "q0", "text": f"{tag} question"}],
            "qrels": [{"query-id": "q0", "corpus-id": "1", "score": 1}],
        }.items()
    }


@pytest.fixture
def there(tmp_path: Path, several: dict[str, bytes]) -> Iterator[Hub]:
    with serving_hub({"org/english": ENGLISH, "org/several": several}, tmp_path / "hub") as server:
        yield server


def test_a_data_set_is_measured_at_the_commit_of_its_branch(there: Hub) -> None:
    result = evaluate("hashing", "hf://datasets/org/english").result
    commit = there.commit("org/english")
    assert (result.task.name, result.task.version) == ("org-english", commit)
    assert result.settings[0].n_documents == 2
    assert result.settings[0].measures["nDCG@10"] == 1.0
    # What is not asked for is not fetched: neither the other split nor code.
    fetched = {path.rpartition(f"{commit}/")[2] for path in there.asked if "/resolve/" in path}
    assert fetched == {"README.md", "docs/a.jsonl", "docs/b.jsonl", "asked.jsonl", "judged/second.tsv"}


def test_it_is_measured_again_without_the_hub(there: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("hf://datasets/org/english", there.address("org/english")):
        first = evaluate("hashing", address).result
        there.asked.clear()
        monkeypatch.setenv("MLBENCH_OFFLINE", "1")
        again = evaluate("hashing", address).result
        assert there.asked == []
        assert again.task.fingerprint == first.task.fingerprint
        monkeypatch.delenv("MLBENCH_OFFLINE")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"^hf://datasets/org/several: it has not been listed on this machine"):
        load_task("hf://datasets/org/several")


def test_a_split_and_a_language_can_be_chosen(there: Hub) -> None:
    task = load_task("hf://datasets/org/english#dev")
    assert task.name == "org-english-dev"
    assert set(load_collection(task).judgments) == {"q0"}
    task = load_task(there.address("org/several", "tha"))
    assert (task.name, task.languages) == ("org-several-tha", ("th",))
    assert [document.text for document in load_collection(task).documents["th"]][1] == "tha document 1"
    with pytest.raises(DataError, match="there is no 'fra' in it: deu, tha"):
        load_task(there.address("org/several", "fra"))
    with pytest.raises(DataError, match="no qrels of the split 'train', but of dev, test"):
        load_task("hf://datasets/org/english#train")


def test_languages_of_a_data_set_are_read_each_for_itself(there: Hub) -> None:
    task = load_task("hf://datasets/org/several")
    assert task.languages == ("de", "th")
    load_collection(task, languages=["th"])
    assert not any("/deu-" in path for path in there.asked if "/resolve/" in path)
    assert set(load_collection(task).judgments) == {"de:q0", "th:q0"}


def test_a_task_file_names_a_commit(there: Hub, tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f'name = "own"\nhub = "{there.address("org/several")}"\nparallel = true\n', "utf-8")
    task = load_task(str(file))
    assert task.name == "own"
    assert {row.language for row in load_collection(task).judgments["q0"]} == {"de", "th"}
    file.write_text(f'name = "own"\nhub = "{there.address("org/english")}"\n[options]\nsplit = "dev"', "utf-8")
    with pytest.raises(
        DataError, match=r"own: its files have no splits: leave out the option split, or add #dev to hf"
    ):
        load_collection(load_task(str(file)))
    file.write_text('name = "own"\nhub = "hf://datasets/org/several@main"\n', "utf-8")
    with pytest.raises(InvalidTask, match=r"hub: hf://datasets/org/several@main must name a commit"):
        load_task(str(file))


def test_files_are_carried_to_a_machine_without_the_hub(there: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    task = load_task(there.address("org/english"))
    paths = provide(task, folder)
    assert folder / "org/english/docs/a.jsonl" in paths
    assert load_collection(task, data_dir=folder).fingerprint() == load_collection(task).fingerprint()


def test_a_data_set_of_another_layout_is_told_apart(tmp_path: Path) -> None:
    with (
        serving_hub({"org/other": {"data/train.parquet": b"PAR1"}}, tmp_path / "hub"),
        pytest.raises(UserError, match="has no corpus, queries and qrels as mteb's retrieval tasks have"),
    ):
        load_task("hf://datasets/org/other")


def test_the_command_line_measures_a_data_set(there: Hub, mlbench: CommandLine) -> None:
    found = mlbench("run", "--model", "hashing", "--task", there.address("org/english"))
    assert (found.code, found.err.count("error")) == (0, 0)
    assert "hashing on org-english" in found.out
    shown = mlbench("tasks", "show", "hf://datasets/org/english")
    assert there.address("org/english", "asked.jsonl") in shown.out
    assert "licence        cc-by-4.0" in shown.out
    missing = mlbench("run", "--model", "hashing", "--task", "hf://datasets/org/nothing")
    assert missing.code == 2
    assert missing.err == (
        "mlbench: error: hf://datasets/org/nothing: there is no such data set on the hub: check the name, or set "
        "HF_TOKEN if it is private\n"
    )
