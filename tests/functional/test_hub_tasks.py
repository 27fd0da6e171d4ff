"""Task files that name a data set on the hub: its files are listed when its data are asked for, and not before."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbench import evaluate
from mlbench.errors import DataError, InvalidTask
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task
from tests.functional.command_line import CommandLine
from tests.hub_server import Hub, serving_hub


def lines(*rows: dict[str, object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parallel(tag: str) -> dict[str, bytes]:
    """Return the files of one language, in mteb's layout."""
    return {
        f"{tag}-corpus/test.jsonl": lines(*({"_id": f"d{n}", "title": "", "text": f"{tag} {n}"} for n in range(3))),
        f"{tag}-queries/test.jsonl": lines({"_id": "q0", "text": f"{tag} 1"}),
        f"{tag}-qrels/test.jsonl": lines({"query-id": "q0", "corpus-id": "d1", "score": 1}),
    }


SET = {path: content for tag in ("de", "en", "fr") for path, content in parallel(tag).items()}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Hub]:
    codes = {path: content for tag in ("deu", "eng") for path, content in parallel(tag).items()}
    with serving_hub({"org/law": SET, "org/codes": codes}, tmp_path / "hub") as server:
        yield server


def written(folder: Path, address: str, *more: str) -> str:
    """Write a task file for German and English."""
    text = ['name = "law"', 'reader = "beir"', f'hub = "{address}"', 'languages = ["de", "en"]', *more]
    (folder / "law.toml").write_text("\n".join(text), encoding="utf-8")
    return str(folder / "law.toml")


def test_nothing_is_asked_of_the_hub_before_data_are(there: Hub, tmp_path: Path) -> None:
    task = load_task(written(tmp_path, there.address("org/law"), "expected = { queries = { de = 1 } }"))
    assert (task.files, there.asked) == ((), [])
    collection = load_collection(task)
    assert {row.language for row in collection.judgments["q0"]} == {"de", "en"}
    assert [row.text for row in collection.documents["de"]] == ["de 0", "de 1", "de 2"]
    # Other languages of the data set are left where they are.
    assert not any("/fr-" in path for path in there.asked if "/resolve/" in path)


def test_topics_that_are_not_parallel_are_fetched_for_the_languages_asked_for(there: Hub, tmp_path: Path) -> None:
    task = load_task(written(tmp_path, there.address("org/law"), "parallel = false", 'settings = ["monolingual"]'))
    assert set(load_collection(task, languages=["en"]).judgments) == {"en:q0"}
    assert not any("/de-" in path for path in there.asked if "/resolve/" in path)
    result = evaluate("hashing", str(tmp_path / "law.toml")).result
    assert [(row.query_language, row.measures["nDCG@10"]) for row in result.settings] == [("de", 1.0), ("en", 1.0)]


def test_names_of_subsets_may_be_other_codes_of_the_languages(there: Hub, tmp_path: Path) -> None:
    collection = load_collection(load_task(written(tmp_path, there.address("org/codes"))))
    assert [row.text for row in collection.documents["de"]] == ["deu 0", "deu 1", "deu 2"]
    assert [row.text for row in collection.queries["en"]] == ["eng 1"]


def test_its_files_are_downloaded_and_shown(there: Hub, tmp_path: Path, mlbench: CommandLine) -> None:
    file = written(tmp_path, there.address("org/law"))
    shown = mlbench("tasks", "show", file)
    assert f"source         {there.address('org/law')}" in shown.out
    done = mlbench("tasks", "download", file, "--data-dir", str(tmp_path / "data"))
    assert done.out.startswith("law: 6 files in ")
    assert (tmp_path / "data/org/law/de-corpus/test.jsonl").read_bytes() == SET["de-corpus/test.jsonl"]


@pytest.mark.parametrize(
    ("address", "more", "fault"),
    [
        ("hf://datasets/org/law", (), "hub: must name a commit"),
        ("https://e.org/law", (), "hub: https://e.org/law is no address of a data set"),
        (
            f"hf://datasets/org/law@{'0' * 40}",
            ('files = [{ path = "a" }]',),
            "files: are those of the data set that hub",
        ),
    ],
)
def test_faults_of_a_declaration(tmp_path: Path, address: str, more: tuple[str, ...], fault: str) -> None:
    with pytest.raises(InvalidTask, match=fault):
        load_task(written(tmp_path, address, *more))


def test_without_the_hub_it_says_what_is_missing(there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task(written(tmp_path, there.address("org/law")))
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    with pytest.raises(DataError, match="it has not been listed on this machine"):
        load_collection(task)
