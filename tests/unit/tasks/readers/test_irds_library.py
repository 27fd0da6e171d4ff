import logging
from pathlib import Path
from typing import NamedTuple

import pytest
from local_irds import register

from mlbench.errors import DataError, UnknownName
from mlbench.tasks.readers.ir_datasets_files import guarded, home, library, open_dataset, text_of

ir_datasets = pytest.importorskip("ir_datasets")


class Plain(NamedTuple):
    doc_id: str
    title: str
    text: str | None


class Described(NamedTuple):
    query_id: str
    title: str
    narrative: dict[str, str]

    def default_text(self) -> str:
        return f"default {self.title}"


class Scanned(NamedTuple):
    doc_id: str
    image: bytes
    phash: str


class Trial(NamedTuple):
    doc_id: str
    title: str
    summary: str
    criteria: str
    pages: list[str]
    source_id: str
    url: str


class Linked(NamedTuple):
    query_id: str
    doc_id: str


class Titled(NamedTuple):
    query_id: str
    title: str
    narrative: str


class TestText:
    def test_the_default_text(self) -> None:
        assert text_of(Described("q", "title", {}), "x") == "default title"  # type: ignore[arg-type]

    def test_a_named_field(self) -> None:
        assert text_of(Described("q", "title", {}), "x", "title") == "title"  # type: ignore[arg-type]

    def test_the_text_where_there_is_no_default(self) -> None:
        assert text_of(Plain("d", "title", "text"), "x") == "text"  # type: ignore[arg-type]
        assert text_of(Plain("d", "title", None), "x") == ""  # type: ignore[arg-type]

    def test_the_title_of_a_query(self) -> None:
        assert text_of(Titled("q", "title", "narrative"), "x") == "title"  # type: ignore[arg-type]

    def test_all_texts_of_a_document(self) -> None:
        trial = Trial("d", "title", "", "adults", ["page"], "s1", "http://e.org")
        assert text_of(trial, "x") == "title adults"  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("row", "field", "message"),
        [
            (
                Scanned("d", b"", "0f"),
                "",
                "irds:x has no text: there are doc_id, image, phash; the text of queries may",
            ),
            (Linked("q", "d"), "", "irds:x has no text: there are query_id, doc_id; the text of queries may be named"),
            (Described("q", "title", {}), "narrative", "irds:x has no text in narrative: there are query_id, title,"),
            (Described("q", "title", {}), "body", "irds:x has no field 'body': there are query_id, title, narrative"),
        ],
    )
    def test_no_text(self, row: object, field: str, message: str) -> None:
        with pytest.raises(DataError) as caught:
            text_of(row, "x", field)  # type: ignore[arg-type]
        assert str(caught.value).startswith(message)


class TestGuarded:
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (OSError("one\n\n two"), "irds:x cannot be read: OSError: one two"),
            (KeyError("x"), "irds:x cannot be read: KeyError: 'x'"),
            (RuntimeError("a" * 999), "irds:x cannot be read: RuntimeError: " + "a" * 200),
            (DataError("ours"), "ours"),
        ],
    )
    def test_errors_are_one_line(self, error: Exception, message: str) -> None:
        with pytest.raises(DataError) as caught, guarded("x"):
            raise error
        assert str(caught.value) == message

    def test_an_interrupt_passes(self) -> None:
        with pytest.raises(KeyboardInterrupt), guarded("x"):
            raise KeyboardInterrupt

    def test_nothing_is_downloaded_offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        requests = ir_datasets.lazy_libs.requests
        download = ir_datasets.util.Download(
            [ir_datasets.util.RequestsDownload("http://127.0.0.1:9/x") for _ in range(2)],
            cache_path=str(tmp_path / "x"),
        )
        monkeypatch.setenv("MLBENCH_OFFLINE", "1")
        with pytest.raises(DataError, match="downloads are forbidden by MLBENCH_OFFLINE"), guarded("x"):
            download.path()
        assert ir_datasets.lazy_libs.requests is requests
        assert not logging.getLogger("ir_datasets").disabled
        assert list(tmp_path.iterdir()) == []


class TestOpening:
    def test_what_it_has(self, tmp_path: Path) -> None:
        dataset = open_dataset(register(tmp_path))
        assert len(dataset.handlers()) == 3
        assert dataset.count("docs") is None
        assert dataset.store() is not None

    @pytest.mark.parametrize(
        ("name", "meant"),
        [("mr-tydi/thai/test", "mr-tydi/th"), ("msmarco-pasage", "msmarco-passage"), ("mr-tidy", "mr-tydi")],
    )
    def test_the_nearest_names(self, name: str, meant: str) -> None:
        with pytest.raises(UnknownName, match=f"did you mean .*{meant}"):
            open_dataset(name)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("mr-tydi/th/dev", None),
            (
                "neuclir/1/fa",
                "has no queries and no judgments: take one of neuclir/1/fa/hc4-filtered, neuclir/1/fa/trec",
            ),
            ("clueweb09/fr", "has no queries and no judgments, so it makes no task"),
        ],
    )
    def test_what_makes_a_task(self, name: str, message: str | None) -> None:
        if message is None:
            assert open_dataset(name).dataset_id == name
        else:
            with pytest.raises(DataError, match=f"irds:{name} {message}"):
                open_dataset(name)


def test_the_home_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "own"))
    assert home() == tmp_path / "own"
    assert library() is ir_datasets
