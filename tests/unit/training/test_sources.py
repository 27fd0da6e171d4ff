"""Files and hub data sets as rows; what is missing or wrong is one line."""

import json
import socket
from hashlib import sha256
from pathlib import Path

import pytest
from unit.training.row_cases import RawRow, texts, write

from mlbench.errors import DataError, MissingExtra
from mlbench.training.recipe_tables import DataSet
from mlbench.training.sources import TrainingRow, find_source, read_rows

datasets = pytest.importorskip("datasets")

HUB_ROWS: list[RawRow] = [
    {"question": "who?", "context": "she", "tongue": "en", "wrong": ["he", "it"], "id": "x1"},
    {"question": "wer?", "context": "sie", "tongue": "de", "wrong": [], "id": "x1"},
    {"question": "quoi?", "context": "ceci", "tongue": "fr", "wrong": ["rien"], "id": "x2"},
]
COLUMNS = {"query": "question", "document": "context", "language": "tongue"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hub"))


def hub(folder: Path, kind: str, rows: list[RawRow] = HUB_ROWS) -> Path:
    """Write a data set as `load_dataset` finds it in a folder."""
    folder.mkdir(exist_ok=True)
    if kind == "parquet":
        datasets.Dataset.from_list([dict(row) for row in rows]).to_parquet(folder / "train.parquet")
    else:
        write(folder / "train.jsonl", rows)
    return folder


def declared(folder: Path | str, **others: object) -> DataSet:
    return DataSet.model_validate({"name": "own", "hub": str(folder), "columns": COLUMNS, **others})


def rows_of(data: DataSet, root: Path = Path()) -> list[TrainingRow]:
    return list(read_rows(find_source(data, root, None)))


class TestHub:
    @pytest.mark.parametrize("kind", ["parquet", "jsonl"])
    def test_rows_by_columns(self, tmp_path: Path, kind: str) -> None:
        data = declared(hub(tmp_path / "set", kind), columns={**COLUMNS, "negatives": "wrong"})
        assert rows_of(data) == [
            TrainingRow("x1", {"en": "who?"}, {"en": "she"}, False, (("en", "he"), ("en", "it")), "own:1"),
            TrainingRow("x1", {"de": "wer?"}, {"de": "sie"}, False, (), "own:2"),
            TrainingRow("x2", {"fr": "quoi?"}, {"fr": "ceci"}, False, (("fr", "rien"),), "own:3"),
        ]

    def test_one_language_for_all_and_no_ids(self, tmp_path: Path) -> None:
        rows = [{"question": f"q{i}", "context": f"c{i}"} for i in range(3)]
        columns = {"query": "question", "document": "context"}
        found = rows_of(declared(hub(tmp_path / "set", "jsonl", rows), columns=columns, language="th"))
        assert [(row.topic, row.queries) for row in found] == [(None, {"th": f"q{i}"}) for i in range(3)]

    def test_a_relative_copy_lies_beside_the_recipe(self, tmp_path: Path) -> None:
        hub(tmp_path / "set", "jsonl")
        assert len(rows_of(declared("set"), tmp_path)) == 3

    def test_a_missing_text_is_left_out_and_no_fault(self, tmp_path: Path) -> None:
        rows = [*HUB_ROWS, {**HUB_ROWS[0], "question": None}]
        assert rows_of(declared(hub(tmp_path / "set", "jsonl", rows)))[3].queries == {}

    def test_a_wrong_language_names_the_row(self, tmp_path: Path) -> None:
        rows = [HUB_ROWS[0], {**HUB_ROWS[1], "tongue": "German"}]
        with pytest.raises(DataError, match=r"\Aown:2: 'German' is not a language tag: [^\n]*\Z"):
            rows_of(declared(hub(tmp_path / "set", "jsonl", rows)))

    @pytest.mark.parametrize("column", COLUMNS)
    def test_a_missing_column(self, tmp_path: Path, column: str) -> None:
        folder = hub(tmp_path / "set", "jsonl")
        message = rf"\Aown: {folder} has no column nothing: it has question, context, tongue, wrong, id\Z"
        with pytest.raises(DataError, match=message):
            find_source(declared(folder, columns={**COLUMNS, column: "nothing"}), tmp_path, None)

    @pytest.mark.parametrize(
        ("others", "message"),
        [
            ({"split": "dev"}, r"own: .*set cannot be loaded: [^\n]*dev[^\n]*"),
            ({"hub": "set/empty"}, r"own: set/empty cannot be loaded: [^\n]*"),
        ],
    )
    def test_what_cannot_be_loaded(self, tmp_path: Path, others: dict[str, str], message: str) -> None:
        folder = hub(tmp_path / "set", "jsonl")
        (folder / "empty").mkdir()
        with pytest.raises(DataError, match=rf"\A{message}\Z"):
            find_source(declared(folder, **others), tmp_path, None)

    def test_the_fingerprint_follows_content_and_columns(self, tmp_path: Path) -> None:
        folder = hub(tmp_path / "set", "jsonl")
        first = find_source(declared(folder), tmp_path, None).fingerprint
        assert find_source(declared(folder), tmp_path, None).fingerprint == first
        swapped = {**COLUMNS, "query": "context", "document": "question"}
        assert find_source(declared(folder, columns=swapped), tmp_path, None).fingerprint != first
        hub(folder, "jsonl", HUB_ROWS[:2])
        assert find_source(declared(folder), tmp_path, None).fingerprint != first

    def test_without_the_library(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "datasets", None)
        with pytest.raises(MissingExtra, match=r"pip install 'mlbench\[train\]'\Z"):
            find_source(declared(tmp_path), tmp_path, None)


class TestFiles:
    def with_checksum(self, path: Path) -> dict[str, object]:
        content = path.read_bytes()
        return {"path": f"sets/{path.name}", "sha256": sha256(content).hexdigest(), "bytes": len(content)}

    def test_with_a_checksum_are_found_in_the_data_folder(self, tmp_path: Path) -> None:
        (tmp_path / "sets").mkdir()
        path = write(tmp_path / "sets" / "rows.jsonl", texts(2, ("en",)))
        data = DataSet.model_validate({"name": "own", "files": [self.with_checksum(path)]})
        source = find_source(data, tmp_path / "elsewhere", tmp_path)
        assert source.paths == (path,)
        assert len(list(read_rows(source))) == 2
        plain = DataSet.model_validate({"name": "own", "files": [{"path": "rows.jsonl"}]})
        assert find_source(plain, tmp_path / "sets", None).fingerprint == source.fingerprint

    def test_altered_ones_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "sets").mkdir()
        path = write(tmp_path / "sets" / "rows.jsonl", texts(2, ("en",)))
        data = DataSet.model_validate({"name": "own", "files": [self.with_checksum(path)]})
        path.write_bytes(path.read_bytes().replace(b"text 1", b"text 2"))
        with pytest.raises(DataError, match=r"rows.jsonl is altered: "):
            find_source(data, tmp_path, tmp_path)

    def test_missing_ones_are_named(self, tmp_path: Path) -> None:
        data = DataSet.model_validate({"name": "own", "files": [{"path": "rows.jsonl"}]})
        with pytest.raises(DataError, match=r"\A.*rows.jsonl is missing: [^\n]*\Z"):
            find_source(data, tmp_path, None)

    def test_rows_say_where_they_stand(self, tmp_path: Path) -> None:
        write(tmp_path / "b.jsonl", texts(2, ("en",)))
        write(tmp_path / "a.jsonl.gz", texts(1, ("en",)))
        data = DataSet.model_validate({"name": "own", "files": [{"path": "b.jsonl"}, {"path": "a.jsonl.gz"}]})
        assert [row.place for row in rows_of(data, tmp_path)] == ["b.jsonl:1", "b.jsonl:2", "a.jsonl.gz:1"]

    def test_the_fingerprint_follows_the_content_and_the_order(self, tmp_path: Path) -> None:
        write(tmp_path / "a.jsonl", texts(2, ("en",)))
        write(tmp_path / "b.jsonl", texts(3, ("en",)))
        (tmp_path / "c.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
        found = [
            find_source(
                DataSet.model_validate({"name": "own", "files": [{"path": f"{name}.jsonl"} for name in names]}),
                tmp_path,
                None,
            ).fingerprint
            for names in ("ab", "cb", "ba", "a")
        ]
        assert found[0] == found[1]
        assert len(set(found)) == 3

    def test_a_number_is_an_id(self, tmp_path: Path) -> None:
        rows = [{"id": 7, "texts": {"en": "a"}}, {"id": "7", "texts": {"en": "b"}}, {"id": 0, "texts": {"en": "c"}}]
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        data = DataSet.model_validate({"name": "own", "files": [{"path": "rows.jsonl"}]})
        assert [row.topic for row in rows_of(data, tmp_path)] == ["7", "7", "0"]


def test_offline_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def refuse(host: object, *_: object, **__: object) -> None:
        asked.append(host)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("MLBENCH_OFFLINE", "1")
    with pytest.raises(DataError, match=r"^own: somebody/something cannot be loaded: [^\n]*\Z"):
        find_source(declared(Path("somebody/something")), tmp_path, None)
    assert asked == []
