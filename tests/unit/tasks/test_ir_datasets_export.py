from pathlib import Path

import pytest

from mlbench.errors import UserError
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task, task_names

ir_datasets = pytest.importorskip("ir_datasets")

from mlbench.tasks import ir_datasets_export  # noqa: E402

MINI = load_collection(load_task("mini"))


def test_one_language_against_another() -> None:
    dataset = ir_datasets.load("mlbench/mini/th/en")
    assert [tuple(query) for query in dataset.queries_iter()] == list(MINI.queries["th"])
    assert [(row.doc_id, row.text, row.lang) for row in dataset.docs_iter()] == [
        (*document, "en") for document in MINI.documents["en"]
    ]
    assert {(row.query_id, row.doc_id, row.relevance) for row in dataset.qrels_iter()} == {
        (topic, row.doc_id, row.grade) for topic, rows in MINI.judgments.items() for row in rows if row.language == "en"
    }
    assert (dataset.queries_lang(), dataset.docs_lang()) == ("th", "en")
    assert (dataset.docs_count(), dataset.queries_count(), dataset.qrels_count()) == (48, 24, 24)


def test_the_pool() -> None:
    dataset = ir_datasets.load("mlbench/mini/th/pool")
    assert dataset.docs_count() == 528
    assert dataset.docs_lang() is None
    assert {row.lang for row in dataset.docs_iter()} == set(MINI.languages)
    assert len(dataset.qrels_dict()["t01"]) == 11
    assert dataset.docs_namespace() == "mlbench/mini"


def test_documents_can_be_sliced_and_looked_up() -> None:
    dataset = ir_datasets.load("mlbench/mini/ar/de")
    rows = list(dataset.docs_iter())
    assert list(dataset.docs_iter()[1:3]) == rows[1:3]
    assert dataset.docs_iter()[-1] == rows[-1]
    assert len(dataset.docs_iter()) == 48
    store = dataset.docs_store()
    assert store.get(rows[5].doc_id) == rows[5]
    assert store.get_many([rows[0].doc_id, "absent"]) == {rows[0].doc_id: rows[0]}
    assert (store.built(), store.count()) == (True, 48)
    assert rows[5].default_text() == rows[5].text
    with pytest.raises(KeyError):
        store.get("absent")


def test_documentation() -> None:
    shown = ir_datasets.load("mlbench/xquad-r/th/en").documentation()
    assert shown["licence"] == "CC BY-SA 4.0"
    assert "roy2020lareqa" in shown["bibtex"]


@pytest.mark.parametrize(
    "name", ["mlbench/mini/th/xx", "mlbench/mini/pool/th", "mlbench/mini/th", "mlbench/none/th/en"]
)
def test_what_is_not_there(name: str) -> None:
    with pytest.raises(KeyError):
        ir_datasets.load(name)


def test_nothing_is_read_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    tasks = [load_task(name) for name in task_names()]
    for task in tasks:
        for documents in (task.languages[-1], "pool"):
            name = f"mlbench/{task.name}/{task.languages[0]}/{documents}"
            if task.kind == "text":
                assert ir_datasets.load(name).has("qrels")
            else:
                with pytest.raises(KeyError):
                    ir_datasets.load(name)


def test_tasks_with_images_are_not_for_tools_of_texts() -> None:
    with pytest.raises(UserError, match="mini-images has images"):
        ir_datasets_export.register("mini-images")


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    for language, text in (("de", "Antwort"), ("en", "answer")):
        (tmp_path / f"queries.{language}.jsonl").write_text('{"id": "q1", "text": "what"}\n')
        (tmp_path / f"documents.{language}.jsonl").write_text(f'{{"id": "d1", "text": "{text}"}}\n')
    (tmp_path / "qrels.tsv").write_text("q1\t0\td1\t2\n")
    name = ir_datasets_export.register(str(tmp_path))
    assert ir_datasets_export.register(str(tmp_path)) == name
    dataset = ir_datasets.load(f"mlbench/{name}/de/en")
    assert [row.text for row in dataset.docs_iter()] == ["answer"]
    assert [row.relevance for row in dataset.qrels_iter()] == [2]
