import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_irds import Notes, own_ids, read, register

from mlbench.errors import DataError
from mlbench.tasks.readers import ir_datasets as reading
from mlbench.tasks.readers.ir_datasets import free_bytes

ir_datasets = pytest.importorskip("ir_datasets")

MANY = {f"d{number}": f"text {number}" for number in range(1, 5001)}
FEW_TOPICS = {f"q{number}": f"question {number}" for number in range(6)}
FEW_QRELS = "".join(f"q{number} 0 d{100 + number} 1\nq{number} 0 d{4000 + number} 0\n" for number in range(6))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the documents that are read, in order."""
    ids: list[str] = []
    before = reading.text_of

    def text_of(row: object, dataset_id: str, *more: object) -> str:
        if not more:  # A query names its field.
            ids.append(row.doc_id)  # type: ignore[attr-defined]
        return before(row, dataset_id, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "text_of", text_of)
    return ids


class TestQuickLook:
    def test_reads_no_more_than_it_needs(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path, MANY, FEW_TOPICS, FEW_QRELS)
        docs, read_rows = ir_datasets.load(dataset_id).docs_handler(), list[str]()
        whole = docs.docs_iter()

        def counted() -> Iterator[object]:
            for row in whole:
                read_rows.append(row.doc_id)
                yield row

        docs.docs_iter = counted
        collection = read({"en": dataset_id}, limit=2)
        assert len(collection.queries["en"]) == 2
        relevant = {judgment.doc_id for rows in collection.judgments.values() for judgment in rows}
        assert len(relevant) == 2
        assert relevant <= {document.doc_id for document in collection.documents["en"]}
        assert own_ids(collection, "en")[:20] == list(MANY)[:20]
        assert len(collection.documents["en"]) == 22
        assert len(read_rows) <= 106

    def test_is_a_sample_already(self, tmp_path: Path) -> None:
        collection = read({"en": register(tmp_path, MANY, FEW_TOPICS, FEW_QRELS)}, limit=3)
        assert collection.sample(3) == collection

    def test_finds_documents_by_id_where_a_store_has_been_built(self, tmp_path: Path, seen: list[str]) -> None:
        dataset_id = register(tmp_path, MANY, FEW_TOPICS, FEW_QRELS.replace("d10", "d490"))
        plain = read({"en": dataset_id}, limit=1)
        ir_datasets.load(dataset_id).docs_store().build()
        seen.clear()
        stored = read({"en": dataset_id}, limit=1)
        assert set(stored.documents["en"]) == set(plain.documents["en"])
        assert len(seen) == 11

    def test_takes_no_topic_without_an_answer(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path, MANY, FEW_TOPICS, "q3 0 d7 1\nq4 0 d8 0\n")
        assert [query.topic_id for query in read({"en": dataset_id}, limit=4).queries["en"]] == ["q3"]

    def test_a_document_that_is_missing(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path, MANY, {"q1": "text"}, "q1 0 gone 1\n")
        assert len(read({"en": dataset_id}, limit=1).documents["en"]) == 10


class TestMemory:
    def test_a_corpus_that_does_not_fit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "free_bytes", lambda: 2.0**20)
        dataset_id = register(tmp_path, MANY, FEW_TOPICS, FEW_QRELS)
        with pytest.raises(DataError) as caught:
            read({"en": dataset_id})
        assert str(caught.value) == (
            f"irds:{dataset_id}: 2,000 documents need about 0.0 GiB, and 0.0 GiB of memory are free: "
            "take a larger machine, fewer --languages or --limit"
        )
        assert len(read({"en": dataset_id}, limit=1).documents["en"]) == 11

    def test_is_told_after_the_first_documents_where_their_number_is_known(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "free_bytes", lambda: 2.0**30)
        dataset_id = register(tmp_path, MANY, FEW_TOPICS, FEW_QRELS)
        ir_datasets.load(dataset_id).docs_handler().docs_count = lambda: 10**7
        with pytest.raises(
            DataError, match=r"10,000,000 documents need about 6\.\d GiB, and 1\.0 GiB of memory are free"
        ):
            read({"en": dataset_id})

    def test_free_bytes(self) -> None:
        assert 2**20 < free_bytes() <= math.inf


def test_a_file_that_is_cut_is_told(tmp_path: Path) -> None:
    dataset_id, notes = register(tmp_path), Notes()
    handler = ir_datasets.load(dataset_id)
    handler.docs_handler().docs_count = lambda: 4
    handler.queries_handler().queries_count = lambda: 5
    read({"en": dataset_id}, progress=notes)
    assert notes.lines == [
        f"warning: irds:{dataset_id} gave 3 queries, ir_datasets knows of 5",
        f"warning: irds:{dataset_id} gave 3 documents, ir_datasets knows of 4: is a file cut?",
    ]


def test_documents_of_two_collections_are_joined(tmp_path: Path) -> None:
    one = register(tmp_path / "1", languages=("en", "fa"))
    two = register(tmp_path / "2", {"d3": "green parrots talk", "d4": "more"}, {"q7": "seven"}, "q7 0 d4 1\n")
    collection = read({"en/fa": one, "fa": two}, ("en", "fa"))
    assert own_ids(collection, "fa") == ["d1", "d2", "d3", "d4"]
    three = register(tmp_path / "3", {"d3": "other"}, {"q7": "seven"}, "q7 0 d4 1\n")
    with pytest.raises(DataError, match="document 'd3' has another text elsewhere in the task"):
        read({"en/fa": one, "fa": three}, ("en", "fa"))
