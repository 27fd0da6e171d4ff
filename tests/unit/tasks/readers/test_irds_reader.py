import importlib
from pathlib import Path

import pytest
from local_irds import DOCS, QRELS, QUERIES, Notes, own_ids, read, register

from mlbench.collection.records import Judgment, document_id
from mlbench.errors import DataError, MissingExtra, UnknownName
from mlbench.tasks.readers.ir_datasets import reader
from mlbench.tasks.task import load_task

pytest.importorskip("ir_datasets")


def fault(tmp_path: Path, **changes: object) -> str:
    dataset_id = register(tmp_path / "faulty", **changes)  # type: ignore[arg-type]
    with pytest.raises(DataError) as caught:
        read({"en": dataset_id})
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(dataset_id, "ID")


class TestReading:
    def test_one_collection(self, tmp_path: Path) -> None:
        notes = Notes()
        collection = read({"en": register(tmp_path)}, progress=notes)
        assert {query.topic_id: query.text for query in collection.queries["en"]} == QUERIES
        names = {name: document_id("own", "en", "", name) for name in (*DOCS, "gone")}
        assert {document.doc_id: document.text for document in collection.documents["en"]} == {
            names[name]: text for name, text in DOCS.items()
        }
        # Zero and negative grades are judgments of what is not relevant.
        assert collection.judgments == {
            "q1": (Judgment("en", names["d1"], 2),),
            "q2": (Judgment("en", names["d2"], 1), Judgment("en", names["gone"], 1)),
            "q3": (),
        }
        assert collection.clusters == {topic: topic for topic in QUERIES}
        assert notes.lines == []

    def test_titles_stand_before_texts(self, tmp_path: Path) -> None:
        ir_datasets = importlib.import_module("ir_datasets")
        dataset_id = register(tmp_path)
        document = ir_datasets.formats.trec.TitleUrlTextDoc("d1", "Fox", "http://e.org", "runs")
        ir_datasets.load(dataset_id).docs_handler().docs_iter = lambda: iter([document])
        assert [row.text for row in read({"en": dataset_id}).documents["en"]] == ["Fox runs"]

    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        notes = Notes()
        dataset_id = register(
            tmp_path,
            docs=DOCS | {"d4": " "},
            queries=QUERIES | {"q4": ""},
            qrels=QRELS + "q4 0 d1 1\nq9 0 d1 1\nq9 0 d2 1\nq1 0 d1 3\n",
        )
        collection = read({"en": dataset_id}, progress=notes)
        assert own_ids(collection, "en") == list(DOCS)
        assert collection.judgments["q1"][0].grade == 3
        assert sorted(notes.lines) == [
            "own: documents with two grades for a topic, of which the higher one counts: 1",
            "own: documents without text, left out: 1",
            "own: judgments of topics without a query, left out: 3",
            "own: queries without text, left out: 1",
        ]

    def test_topics_that_are_not_parallel_are_named_by_their_language(self, tmp_path: Path) -> None:
        options = {tag: register(tmp_path / tag, languages=(tag, tag)) for tag in ("en", "th")}
        collection = read(dict(options), ("en", "th"), parallel=False)
        assert [query.topic_id for query in collection.queries["th"]] == ["th-q1", "th-q2", "th-q3"]
        assert {row.language for row in collection.judgments["th-q1"]} == {"th"}

    def test_parallel_topics_are_joined_by_id(self, tmp_path: Path) -> None:
        options = {tag: register(tmp_path / tag, languages=(tag, tag)) for tag in ("en", "th")}
        collection = read(dict(options), ("en", "th"))
        assert [(row.language, row.doc_id[13:]) for row in collection.judgments["q1"]] == [
            ("en", "en-d1"),
            ("th", "th-d1"),
        ]

    def test_queries_of_one_language_and_documents_of_others(self, tmp_path: Path) -> None:
        options = {f"en/{tag}": register(tmp_path / tag, languages=("en", tag)) for tag in ("fa", "zh")}
        collection = read(dict(options), ("en", "fa", "zh"))
        assert {tag: len(rows) for tag, rows in collection.queries.items()} == {"en": 3, "fa": 0, "zh": 0}
        assert {tag: len(rows) for tag, rows in collection.documents.items()} == {"en": 0, "fa": 3, "zh": 3}
        assert {row.language for row in collection.judgments["q1"]} == {"fa", "zh"}

    def test_queries_alone(self, tmp_path: Path) -> None:
        whole = register(tmp_path / "whole")
        bare = register(tmp_path / "bare", queries={"other": "text"}, languages=("en", "fa"))
        collection = read({"en/": whole, "en/fa": bare}, ("en", "fa"))
        assert {query.topic_id for query in collection.queries["en"]} == {*QUERIES, "other"}
        assert collection.documents["en"] == ()
        assert [row.doc_id[13:] for row in collection.judgments["q1"]] == ["fa-d1"]

    def test_a_field_of_the_queries(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path)
        assert read({"en": f"{dataset_id}#text"}) == read({"en": dataset_id})
        assert read({"en": f"{dataset_id}#query_id"}).queries["en"][0].text == "q1"

    def test_only_what_is_wanted_is_read(self, tmp_path: Path) -> None:
        options = {tag: register(tmp_path / tag, languages=(tag, tag)) for tag in ("de", "en")}
        (tmp_path / "de" / "docs.tsv").unlink()
        collection = read(dict(options), ("de", "en"), wanted=("en",))
        assert (collection.documents["de"], collection.queries["de"]) == ((), ())
        assert own_ids(collection, "en") == list(DOCS)

    def test_documents_that_parts_share_are_read_once(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path, languages=("en", "fa"))
        collection = read({"en/fa": dataset_id, "fa": f"{dataset_id}#query_id"}, ("en", "fa"))
        assert own_ids(collection, "fa") == list(DOCS)
        assert collection.queries["fa"][0].text == "q1"
        assert len(collection.judgments["q1"]) == 1


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"docs": "d1\tone\nd1\ttwo\n"}, "irds:ID: document 'd1' is there twice"),
            ({"queries": "q1\tone\nq1\ttwo\n"}, "irds:ID: query 'q1' is there twice"),
            ({"qrels": "q1 0 d1 0.5\n"}, "irds:ID cannot be read: ValueError: "),
            ({"docs": "d1\n"}, "irds:ID cannot be read: "),
        ],
    )
    def test_contents(self, tmp_path: Path, changes: dict[str, str], message: str) -> None:
        assert fault(tmp_path, **changes).startswith(message)

    def test_two_texts_of_a_topic(self, tmp_path: Path) -> None:
        options = {
            "en/fa": register(tmp_path / "fa", languages=("en", "fa")),
            "en/zh": register(tmp_path / "zh", queries={"q1": "other"}, languages=("en", "zh")),
        }
        with pytest.raises(DataError, match="own: topic 'q1' has two texts in en: 'red fox' and, in irds:"):
            read(dict(options), ("en", "fa", "zh"))

    def test_an_unknown_collection(self, tmp_path: Path) -> None:
        known = register(tmp_path)
        with pytest.raises(UnknownName, match=f"did you mean .*{known}"):
            read({"en": f"{known}s"})

    def test_a_collection_without_judgments(self) -> None:
        with pytest.raises(
            DataError, match=r"^irds:mr-tydi has no documents and no queries and no judgments: take one of"
        ):
            read({"en": "mr-tydi"})

    def test_an_unknown_field(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has no field 'ht_title': there are query_id, text"):
            read({"en": f"{register(tmp_path)}#ht_title"})

    def test_a_missing_file(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path)
        (tmp_path / "docs.tsv").unlink()
        with pytest.raises(DataError, match=r"cannot be read: FileNotFoundError: .*docs\.tsv"):
            read({"en": dataset_id})

    def test_a_changed_file(self, tmp_path: Path) -> None:
        dataset_id = register(tmp_path)
        read({"en": dataset_id})
        read({"en": dataset_id})
        (tmp_path / "docs.tsv").write_text("d1\tthe red fox rams\n")
        with pytest.raises(DataError, match=r"docs\.tsv has changed since its first use \(20 bytes instead of 64\)"):
            read({"en": dataset_id})

    def test_no_collection_is_named(self) -> None:
        with pytest.raises(DataError, match="own: no collection of ir_datasets is named in its options"):
            read({})

    def test_the_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(importlib.import_module("sys").modules, "ir_datasets", None)
        with pytest.raises(MissingExtra, match=r"^irds: tasks need: pip install 'mlbench\[ir-datasets\]'$"):
            load_task("irds:mr-tydi/th/test")

    def test_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLBENCH_OFFLINE", "1")
        with pytest.raises(DataError, match="irds:mr-tydi/th/test is not on this machine, and downloads are forbidden"):
            read({"th": "mr-tydi/th/test"}, ("th",))


class TestDeclaring:
    def test_languages_come_from_the_metadata(self, tmp_path: Path) -> None:
        one, two = register(tmp_path / "1"), register(tmp_path / "2", languages=("en", "fa"))
        task = load_task(f"irds:{one}")
        assert (task.languages, task.settings, task.reader) == (("en",), ("monolingual",), "irds")
        assert task.name == "irds-" + one.replace("/", "-")
        assert load_task(f"irds:{two}").options == {"en/fa": two}
        assert load_task(f"irds:{two}").settings == ("cross_lingual",)

    @pytest.mark.parametrize(
        ("told", "given", "options"),
        [
            ((None, None), ("th",), "th"),
            ((None, "fa"), ("en", "fa"), "en/fa"),
            ((None, "fa"), ("fa",), "fa"),
            (("en", "multiple"), ("en", "zh"), "en/zh"),
            (("EN", "en_US"), None, "en"),
        ],
    )
    def test_languages_that_are_given(
        self, tmp_path: Path, told: tuple[str | None, str | None], given: tuple[str, ...] | None, options: str
    ) -> None:
        dataset_id = register(tmp_path, languages=told)
        assert load_task(f"irds:{dataset_id}", languages=given).options == {options: dataset_id}

    @pytest.mark.parametrize(
        ("told", "given", "message"),
        [
            ((None, None), None, "of its queries and documents: add --languages TAG, or write a task file"),
            ((None, None), ("de", "en"), "of its queries and documents: add --languages TAG"),
            ((None, "fa"), None, "of its queries: add --languages fa,TAG with the other one"),
        ],
    )
    def test_languages_that_nobody_knows(
        self,
        tmp_path: Path,
        told: tuple[str | None, str | None],
        given: tuple[str, ...] | None,
        message: str,
    ) -> None:
        dataset_id = register(tmp_path, languages=told)
        with pytest.raises(DataError) as caught:
            load_task(f"irds:{dataset_id}", languages=given)
        assert f"ir_datasets does not know the language {message}" in str(caught.value)

    @pytest.mark.parametrize("locator", ["", " ", "#title"])
    def test_nothing_is_named(self, locator: str) -> None:
        with pytest.raises(DataError, match="needs the id of a collection of ir_datasets"):
            reader.declare(locator, None)
