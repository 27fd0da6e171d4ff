import json
import os
from pathlib import Path

import pytest
from local_irds import read, register

from mlbench.errors import DataError
from mlbench.tasks.readers.ir_datasets_files import Record, files_of, open_dataset


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record("x/y", tmp_path)


def written(folder: Path, name: str, content: bytes = b"content") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class TestFilesOf:
    def test_three_files(self, tmp_path: Path) -> None:
        dataset = open_dataset(register(tmp_path))
        assert [path.name for path in files_of(*dataset.handlers())] == ["docs.tsv", "qrels.txt", "queries.tsv"]

    def test_files_behind_archives_and_filters(self, tmp_path: Path) -> None:
        ir_datasets = pytest.importorskip("ir_datasets")
        util = ir_datasets.util
        here = util.LocalDownload(written(tmp_path, "a.gz"))
        folder = util.TarExtractAll(util.Download([], cache_path=str(tmp_path / "absent")), str(tmp_path / "tar"))
        there = util.RelativePath(folder, "b.tsv")
        written(tmp_path / "tar", "b.tsv")
        queries = ir_datasets.formats.TsvQueries(there)
        filtered = ir_datasets.datasets.base.FilteredQueries(queries, util.Lazy(set))
        docs = ir_datasets.formats.TsvDocs([util.GzipExtract(here), util.GzipExtract(here)])
        assert [path.name for path in files_of(docs, filtered, None)] == ["a.gz", "b.tsv"]

    def test_a_download_without_a_place_is_left_alone(self) -> None:
        util = pytest.importorskip("ir_datasets").util
        assert files_of(util.Download([util.RequestsDownload("https://e.org/x")])) == ()

    def test_a_store_that_has_been_built(self, tmp_path: Path) -> None:
        dataset = open_dataset(register(tmp_path))
        store = dataset.store()
        assert store is not None
        assert files_of(store) == ()
        assert [row.doc_id for row in store.get_many_iter(["d2"])] == ["d2"]
        assert [path.name for path in files_of(store)] == ["bin"]


class TestRecord:
    def test_the_first_use_is_recorded(self, record: Record, tmp_path: Path) -> None:
        path = written(tmp_path, "a/b.tsv")
        record.check([path])
        assert json.loads(record.path.read_text()) == {
            "a/b.tsv": {
                "bytes": 7,
                "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
            }
        }
        record.check([path])

    def test_files_elsewhere_have_their_whole_path(self, tmp_path: Path) -> None:
        record = Record("x/y", tmp_path / "home")
        path = written(tmp_path, "b.tsv")
        record.check([path])
        assert list(json.loads(record.path.read_text())) == [str(path)]

    @pytest.mark.parametrize(
        ("content", "how"),
        [
            (b"contents", "8 bytes instead of 7"),
            (b"CONTENT", "its SHA-256 is 65f23e22a9bf... instead of ed7002b439e9..."),
        ],
    )
    def test_a_change(self, record: Record, tmp_path: Path, content: bytes, how: str) -> None:
        path = written(tmp_path, "b.tsv")
        record.check([path])
        os.utime(path, ns=(0, 0))
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            record.check([path])
        assert str(caught.value) == (
            f"irds:x/y: {path} has changed since its first use ({how}): remove it, so that it is fetched again, "
            f"or remove {record.path} to take it as it is now"
        )
        record.path.unlink()
        record.check([path])

    def test_at_a_glance_only_sizes_are_compared(self, record: Record, tmp_path: Path) -> None:
        path = written(tmp_path, "b.tsv")
        record.check([path], at_a_glance=True)
        assert not record.path.exists()
        record.check([path])
        path.write_bytes(b"CONTENT")
        record.check([path], at_a_glance=True)
        path.write_bytes(b"C")
        with pytest.raises(DataError, match="1 bytes instead of 7"):
            record.check([path], at_a_glance=True)

    @pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"bytes": null, "sha256": ""}}', "\0"])
    def test_a_damaged_record(self, record: Record, tmp_path: Path, content: str) -> None:
        written(record.path.parent, record.path.name, content.encode())
        with pytest.raises(DataError, match="is damaged: remove it"):
            record.check([written(tmp_path, "b.tsv")])

    def test_a_record_that_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLBENCH_CACHE", str(written(tmp_path, "file")))
        with pytest.raises(DataError, match="cannot be written"):
            Record("x", tmp_path).check([written(tmp_path, "b.tsv")])

    def test_files_of_a_quick_look_are_not_read_whole(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path)
        read({"en": dataset_id}, limit=1)
        assert not Record(dataset_id, tmp_path).path.exists()
