"""Tasks as data to train on: their rows, and the shipped training sets from the layouts of their publishers."""

import json
from pathlib import Path

import pytest
from http_servers import serving_files
from published_files import ROWS, publish

from mlbench import recipe_files
from mlbench.errors import DataError, UnknownName
from mlbench.protocols import Progress
from mlbench.training import sources
from mlbench.training.recipe_tables import DataSet
from mlbench.training.sources import (
    DataSource,
    find_source,
    load_training_set,
    read_rows,
    training_set_names,
)

SHIPPED = Path(recipe_files.__path__[0], "data")
TOPICS = {"iapp-wiki-qa": ROWS, "squadshifts": 4 * ROWS, "tico-19": ROWS, "xnli-entailment": ROWS} | {
    "arcd": ROWS,
    "cmrc2018": 2 * ROWS,
    "tydiqa": 6 * ROWS,
    "tydiqa-part": 4 * ROWS,
}


class Heard(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def start(self, what: str, total: int) -> None: ...

    def advance(self, steps: int) -> None: ...

    def finish(self) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


def own_task(folder: Path) -> Path:
    """Write a folder with two parallel topics, one of which has two German documents, and return it."""
    place = folder / "own"
    place.mkdir()
    rows = {
        "queries.de": [{"id": "t1", "text": "Wer?"}, {"id": "t2", "text": "Wann?"}],
        "queries.en": [{"id": "t1", "text": "Who?"}],
        "documents.de": [{"id": f"d{n}", "text": f"Satz {n}"} for n in range(3)],
        "documents.en": [{"id": "e0", "text": "Sentence 0"}],
    }
    for file, content in rows.items():
        (place / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
    judged = ["t1\tde\td0\t1", "t1\tde\td1\t1", "t1\ten\te0\t1", "t2\tde\td2\t1"]
    (place / "qrels.tsv").write_text("".join(f"{line}\n" for line in judged), encoding="utf-8")
    return place


def found(*tasks: str, root: Path = Path(), languages: tuple[str, ...] | None = None) -> DataSource:
    return find_source(DataSet(name="own", tasks=tasks), root, None, languages=languages)


class TestRows:
    def test_queries_and_their_relevant_documents(self, tmp_path: Path) -> None:
        own_task(tmp_path)
        rows = [(row.topic, row.queries, row.documents, row.is_text) for row in read_rows(found("own", root=tmp_path))]
        assert rows == [
            ("own:t1", {"de": "Wer?", "en": "Who?"}, {"de": "Satz 0", "en": "Sentence 0"}, False),
            ("own:t1", {"de": "Wer?", "en": "Who?"}, {"de": "Satz 1"}, False),
            ("own:t2", {"de": "Wann?"}, {"de": "Satz 2"}, False),
        ]

    def test_only_of_the_languages_that_are_asked_for(self, tmp_path: Path) -> None:
        own_task(tmp_path)
        rows = list(read_rows(found("own", root=tmp_path, languages=("en", "th"))))
        assert [(row.queries, row.documents) for row in rows] == [({"en": "Who?"}, {"en": "Sentence 0"})]
        with pytest.raises(DataError, match=r"own has none of the languages of the recipe: it has de, en"):
            found("own", root=tmp_path, languages=("th",))

    def test_the_fingerprint_follows_the_files_and_the_languages(self, tmp_path: Path) -> None:
        place = own_task(tmp_path)
        first = found("own", root=tmp_path)
        assert found("own", root=tmp_path).fingerprint == first.fingerprint
        assert found("own", root=tmp_path, languages=("de",)).fingerprint != first.fingerprint
        (place / "documents.en.jsonl").write_text('{"id": "e0", "text": "Another"}\n', encoding="utf-8")
        assert found("own", root=tmp_path).fingerprint != first.fingerprint
        names = {"documents.de.jsonl", "documents.en.jsonl", "qrels.tsv", "queries.de.jsonl", "queries.en.jsonl"}
        assert {path for path, _ in first.files} == names

    def test_the_fingerprint_follows_the_version_as_readers_may_change(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own_task(tmp_path)
        first = found("own", root=tmp_path)
        monkeypatch.setattr(sources, "__version__", "99")
        assert found("own", root=tmp_path).fingerprint != first.fingerprint

    def test_the_fingerprint_does_not_follow_what_a_task_says_of_itself(self, tmp_path: Path) -> None:
        place = own_task(tmp_path)
        (place / "task.toml").write_text('name = "own"\n', encoding="utf-8")
        first = found("own", root=tmp_path).fingerprint
        described = 'name = "own"\ntitle = "Ours"\nlicence = "CC0 1.0"\nmeasures = ["RR"]\nprimary_measure = "RR"\n'
        (place / "task.toml").write_text(described, encoding="utf-8")
        assert found("own", root=tmp_path).fingerprint == first
        (place / "task.toml").write_text('name = "other"\n', encoding="utf-8")
        assert found("own", root=tmp_path).fingerprint != first

    def test_shipped_tasks_are_data_as_well(self) -> None:
        rows = list(read_rows(found("mini", languages=("en", "th"))))
        assert {tuple(sorted(row.queries)) for row in rows} == {("en", "th")}

    def test_a_name_that_nothing_has(self) -> None:
        with pytest.raises(UnknownName, match=r"unknown task or training set 'tydi-qa': did you mean .*tydiqa"):
            found("tydi-qa")

    def test_images_are_for_captions(self) -> None:
        with pytest.raises(DataError, match=r"mini-images is a task of captioned images: name their folder"):
            found("mini-images")


def test_all_training_sets_are_tried() -> None:
    assert training_set_names() == tuple(sorted(TOPICS))


@pytest.mark.parametrize("name", training_set_names())
def test_a_training_set_is_downloaded_and_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MLBENCH_DATA", raising=False)
    task, heard = load_training_set(name), Heard()
    with serving_files(tmp_path) as (address, asked):
        own = publish(task, SHIPPED / f"{name}.toml", tmp_path, address)
        data = DataSet(name="own", tasks=(own.name,))
        source = find_source(data, tmp_path, None, heard)
        rows = list(read_rows(source))
    assert len({row.topic for row in rows}) == len(rows) == TOPICS[name]
    assert {tag for row in rows for tag in row.queries} <= set(task.languages)
    assert all(row.is_text == (name == "tico-19") for row in rows)
    assert sorted(set(asked)) == sorted({f"/{Path(str(file.url)).name}" for file in task.files})
    assert [note for note in heard.notes if "licence" in note] == [f"{name}: licence {task.licence} {task.licence_url}"]
    assert source.credits["licence"] == f"{name}: {task.licence}"
    # What is in the cache is not asked for again.
    assert list(read_rows(find_source(data, tmp_path, None))) == rows
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "empty"))
    with pytest.raises(
        DataError, match=r"\A[^\n]* cannot be downloaded from http[^\n]*\(downloads are forbidden[^\n]*\Z"
    ):
        find_source(data, tmp_path, None)


@pytest.mark.parametrize("name", training_set_names())
def test_every_file_has_an_address_and_a_checksum(name: str) -> None:
    task = load_training_set(name)
    assert task.name == name
    assert all(file.downloadable and file.sha256 for file in task.files)
    assert task.licence != "not stated"
    assert task.homepage
    assert task.citation
