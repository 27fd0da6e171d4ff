from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mlbench import entry_points
from mlbench.collection.records import Collection, Document, Judgment, Query
from mlbench.errors import DataError, UnknownName, UserError
from mlbench.protocols import ReadRequest, Silence
from mlbench.tasks import load
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import Task, load_task

FACTS = {
    "xquad-r": {
        "topics": 1190,
        "clusters": 48,
        "queries": 13_090,
        "documents": 13_014,
        "within": 13_005,
        "across": 13_000,
    },
    "mlqa-r": {
        "topics": 1148,
        "clusters": 520,
        "queries": 4_199,
        "documents": 20_534,
        "within": 20_522,
        "across": 20_496,
    },
}

MLQA_TOGETHER = """
      ar   de   en   es   hi   vi   zh
ar   517  207  517  161  186  163  188
de   207  512  512  196  163  182  190
en   517  512 1148  500  507  511  504
es   161  196  500  500  187  189  161
hi   186  163  507  187  507  177  189
vi   163  182  511  189  177  511  184
zh   188  190  504  161  189  184  504
"""


def own_task(folder: Path, toml: str = "", languages: tuple[str, ...] = ("de", "en")) -> Task:
    for language in languages:
        (folder / f"queries.{language}.jsonl").write_text('{"id": "t1", "text": "q"}\n')
        (folder / f"documents.{language}.jsonl").write_text('{"id": "d1", "text": "d"}\n{"id": "d2", "text": "e"}\n')
    (folder / "qrels.tsv").write_text("t1\t0\td1\t1\n")
    (folder / "task.toml").write_text('name = "own"\n' + toml)
    return load_task(str(folder))


def load_with(folder: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Collection], Collection]) -> Collection:
    """Load the small collection as a reader gives it that makes one mistake."""
    read = entry_points.load(entry_points.READERS, "parallel_jsonl")
    assert callable(read)

    def faulty(request: ReadRequest) -> Collection:
        return change(read(request))

    task = own_task(folder)
    with monkeypatch.context() as patched:
        patched.setattr(entry_points, "load", lambda group, name: faulty)
        return load_collection(task)


def test_a_plugin_that_is_no_reader_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = own_task(tmp_path)
    monkeypatch.setattr(entry_points, "load", lambda group, name: "no function")
    with pytest.raises(UserError, match="reader 'parallel_jsonl' of mlbench is no reader: it must be a function of"):
        load_collection(task)


def test_mini() -> None:
    collection = load_collection(load_task("mini"))
    assert len(collection.languages) == 11
    assert collection.parallel
    for language in collection.languages:
        present = {row.doc_id for row in collection.documents[language]}
        relevant = [row for rows in collection.judgments.values() for row in rows if row.language == language]
        assert len(relevant) == 24
        assert {row.doc_id for row in relevant} <= present


def test_languages_restrict_queries_documents_and_judgments() -> None:
    task = load_task("mini")
    collection = load_collection(task, languages=["th", "ar", "th"])
    assert collection.languages == ("ar", "th")
    assert set(collection.queries) == set(collection.documents) == {"ar", "th"}
    assert {row.language for rows in collection.judgments.values() for row in rows} == {"ar", "th"}
    whole = load_collection(task).fingerprints()
    assert collection.fingerprints() == {language: whole[language] for language in ("ar", "th")}


def test_languages_that_are_unknown_or_none() -> None:
    with pytest.raises(UnknownName, match="unknown language of mini 'fr'"):
        load_collection(load_task("mini"), languages=["ar", "fr"])
    with pytest.raises(DataError, match="no language is asked for"):
        load_collection(load_task("mini"), languages=[])


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[expected.queries]\nde = 2", "own: de has 1 queries, expected are 2"),
        ("[expected.documents]\nde = 2\nen = 1", "own: en has 2 documents, expected are 1"),
    ],
)
def test_a_wrong_count_names_language_expected_and_found(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_collection(own_task(tmp_path, toml))


def test_counts_are_those_before_restricting(tmp_path: Path) -> None:
    task = own_task(tmp_path, "[expected.documents]\nde = 2\nen = 1")
    with pytest.raises(DataError, match="en has 2 documents"):
        load_collection(task, languages=["de"])


def test_topics_of_a_task_that_is_not_parallel(tmp_path: Path) -> None:
    task = own_task(tmp_path, "parallel = false")
    with pytest.raises(DataError, match="topic 't1' is in de and in en, but the task says parallel = false"):
        load_collection(task)
    (tmp_path / "queries.en.jsonl").write_text('{"id": "t2", "text": "q"}\n')
    assert not load_collection(task).parallel


class Heard(Silence):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


EQUAL = "t1\t0\td1\t1\n"
UNEQUAL = EQUAL + "t1\t0\ten:d2\t1\n"
ELSEWHERE = "t1\t0\ten:d1\t1\nt1\t0\ten:d2\t1\n"


@pytest.mark.parametrize(
    ("toml", "judged", "translated", "said"),
    [
        ("", EQUAL, True, None),
        ("", UNEQUAL, False, "in en, 1 in de: they are not taken for translations of each other, and bias scores"),
        ("", ELSEWHERE, True, None),
        ('documents = "native"', EQUAL, False, None),
        ('documents = "native"', UNEQUAL, False, None),
        ('documents = "translations"', UNEQUAL, True, "in en, 1 in de: bias scores use one of them for each language"),
    ],
)
def test_relevant_documents_are_translations_or_not(
    tmp_path: Path, toml: str, judged: str, translated: bool, said: str | None
) -> None:
    task = own_task(tmp_path, toml)
    (tmp_path / "qrels.tsv").write_text(judged)
    heard = Heard()
    assert load_collection(task, progress=heard).translated == translated
    # What is decided of the whole task holds for a part of it.
    assert load_collection(task, languages=["de"]).translated == translated
    assert [
        note.partition("own: topic 't1' has 2 relevant documents ")[2][: len(said or "")] for note in heard.notes
    ] == ([said] if said else [])


@pytest.mark.parametrize(
    ("name", "documents"),
    [("xquad-r", "translations"), ("mlqa-r-context", "translations"), ("neuclir-2022", "native"), ("hc4", "native")],
)
def test_shipped_tasks_say_what_their_documents_are(name: str, documents: str) -> None:
    assert load_task(name).documents == documents


QUERY, DOCUMENT = Query("t1", "q"), Document("x", "d")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: replace(rows, languages=("en",)), "the reader gave the languages en"),
        (lambda rows: replace(rows, queries={**rows.queries, "de": (QUERY, QUERY)}), "de topic t1 is there twice"),
        (lambda rows: replace(rows, queries={**rows.queries, "de": (Query("t1", " "),)}), "de topic t1 has no text"),
        (
            lambda rows: replace(rows, documents={**rows.documents, "de": (DOCUMENT, DOCUMENT)}),
            "de document x is there twice",
        ),
        (lambda rows: replace(rows, documents={"de": (DOCUMENT,), "en": (DOCUMENT,)}), "x is in several languages"),
        (
            lambda rows: replace(rows, documents={**rows.documents, "en": (Document("x", ""),)}),
            "en document x has no text",
        ),
        (
            lambda rows: replace(rows, documents={**rows.documents, "en": (Document("x", "\ud800"),)}),
            "en document 'x' holds half of a surrogate pair",
        ),
        (lambda rows: replace(rows, clusters={}), "gave topic 't1' no cluster or no judgments"),
        (lambda rows: replace(rows, judgments={}), "gave topic 't1' no cluster or no judgments"),
        (
            lambda rows: replace(rows, judgments={"t1": (Judgment("fr", "x", 1),)}),
            "topic 't1' has a judgment in 'fr', which is no language of the task",
        ),
        (
            lambda rows: replace(rows, judgments={"t1": (Judgment("de", "x", 0),)}),
            "topic 't1' has a judgment of grade 0, relevant ones are 1 and more",
        ),
    ],
)
def test_a_faulty_reader_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Collection], Collection], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load_with(tmp_path, monkeypatch, change)


@pytest.mark.data
@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r", "xquad-r-context", "mlqa-r-context"])
def test_counts_of_the_real_data(data_dir: Path, name: str) -> None:
    task = load_task(name)
    collection = load_collection(task, data_dir=data_dir)
    facts = FACTS[name.removesuffix("-context")]
    assert len(collection.judgments) == len(collection.clusters) == facts["topics"]
    assert len(set(collection.clusters.values())) == facts["clusters"]
    assert collection.cluster_unit == "article"
    assert {tag: len(rows) for tag, rows in collection.queries.items()} == task.expected.queries
    assert {tag: len(rows) for tag, rows in collection.documents.items()} == task.expected.documents
    assert sum(len(rows) for rows in collection.queries.values()) == facts["queries"]
    assert sum(len(rows) for rows in collection.documents.values()) == facts["documents"]


@pytest.mark.data
@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_distinct_texts_of_the_real_data(data_dir: Path, name: str) -> None:
    collection = load_collection(load_task(name), data_dir=data_dir)
    texts = {language: {row.text for row in rows} for language, rows in collection.documents.items()}
    assert sum(len(rows) for rows in texts.values()) == FACTS[name]["within"]
    assert len(set.union(*texts.values())) == FACTS[name]["across"]


@pytest.mark.data
@pytest.mark.parametrize("name", ["xquad-r", "mlqa-r"])
def test_one_relevant_document_for_each_query_of_the_real_data(data_dir: Path, name: str) -> None:
    collection = load_collection(load_task(name), data_dir=data_dir)
    relevant = Counter((topic, row.language) for topic, rows in collection.judgments.items() for row in rows)
    asked = Counter((row.topic_id, language) for language, rows in collection.queries.items() for row in rows)
    assert relevant == asked
    assert set(relevant.values()) == {1}
    present = {row.doc_id for rows in collection.documents.values() for row in rows}
    assert all(row.doc_id in present for rows in collection.judgments.values() for row in rows)


@pytest.mark.data
def test_topics_shared_by_languages_in_mlqa_r(data_dir: Path) -> None:
    collection = load_collection(load_task("mlqa-r"), data_dir=data_dir)
    topics = {language: {row.topic_id for row in rows} for language, rows in collection.queries.items()}
    header, *rows = (line.split() for line in MLQA_TOGETHER.strip().splitlines())
    for row, *counts in rows:
        assert [len(topics[row] & topics[column]) for column in header] == [int(count) for count in counts]
    assert Counter(len(rows) for rows in collection.judgments.values()) == {2: 65, 3: 263, 4: 820}


@pytest.mark.data
def test_context_changes_texts_only(data_dir: Path) -> None:
    plain, context = (load_collection(load_task(name), data_dir=data_dir) for name in ("mlqa-r", "mlqa-r-context"))
    for language in plain.languages:
        assert plain.queries[language] == context.queries[language]
        for short, long in zip(plain.documents[language], context.documents[language], strict=True):
            sentence = short.text.replace("\n", "")
            assert long.text.startswith(sentence)
            assert sentence in long.text[len(sentence) :]
            assert "\n" not in long.text
    assert plain.clusters == context.clusters


def test_files_of_other_languages_are_left_alone_where_nothing_depends_on_them(tmp_path: Path) -> None:
    files = ""
    for language in ("de", "en"):
        (tmp_path / f"topics.{language}").write_text("1\tquestion\n")
        (tmp_path / f"qrels.{language}").write_text("1\tQ0\ta\t1\n")
        (tmp_path / language).mkdir()
        (tmp_path / language / "docs-0.jsonl").write_text('{"docid": "a", "title": "", "text": "x"}\n')
        for role, path in (("queries", f"topics.{language}"), ("qrels", f"qrels.{language}")):
            files += f'[[files]]\nlanguage = "{language}"\nrole = "{role}"\npath = "{path}"\n'
        files += f'[[files]]\nlanguage = "{language}"\nrole = "documents"\npath = "{language}/docs-0.jsonl"\n'
    path = tmp_path / "own.toml"
    head = 'name = "own"\nreader = "miracl"\nlanguages = ["de", "en"]\n'
    path.write_text(f"{head}parallel = false\n{files}")
    whole = load_collection(load_task(str(path)))
    assert set(whole.judgments) == {"de:1", "en:1"}
    (tmp_path / "en" / "docs-0.jsonl").unlink()
    assert (
        load_collection(load_task(str(path)), languages=["de"]).fingerprint() == whole.restrict(("de",)).fingerprint()
    )
    with pytest.raises(DataError, match=r"docs-0\.jsonl is missing"):
        load_collection(load_task(str(path)))
    path.write_text(f"{head}{files}")
    with pytest.raises(DataError, match=r"docs-0\.jsonl is missing"):
        load_collection(load_task(str(path)), languages=["de"])


def test_queries_that_are_documents_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_with(
        tmp_path, monkeypatch, lambda read: replace(read, queries_are_documents=True)
    ).queries_are_documents
    for judgments in ((), (Judgment("de", "gone", 1), Judgment("en", "gone", 1))):

        def change(read: Collection, judgments: tuple[Judgment, ...] = judgments) -> Collection:
            return replace(read, queries_are_documents=True, judgments={"t1": judgments})

        with pytest.raises(DataError, match=r"says that queries are documents, but topic 't1' has [01] relevant"):
            load_with(tmp_path, monkeypatch, change)


class Told(Silence):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def with_checksums(task: Task) -> Task:
    """Return the task as if its files, which lie beside it, were published with their checksums."""
    files = tuple(
        file.model_copy(update={"sha256": sha256((task.root / file.path).read_bytes()).hexdigest()})
        for file in task.files
    )
    return task.model_copy(update={"files": files})


def test_a_verified_collection_is_read_once_and_tells_the_same_again(tmp_path: Path) -> None:
    own = own_task(tmp_path)
    (tmp_path / "qrels.tsv").write_text("t1\t0\td1\t1\nt1\t0\tlost\t1\n")
    task, first, second = with_checksums(own), Told(), Told()
    collection = load_collection(task, progress=first)
    assert load_collection(task, progress=second) is collection
    assert first.notes == second.notes
    assert first.notes
    for other in (load_collection(task, languages=["de"]), load_collection(task, limit=1)):
        assert other is not collection
    assert load_collection(task.model_copy(update={"document_text": "sentence+context"})) is not collection
    (tmp_path / "qrels.tsv").write_text("t1\t0\td2\t1\n")
    with pytest.raises(DataError, match="is altered"):
        load_collection(task)
    assert load_collection(with_checksums(own)).judgments != collection.judgments


def test_files_without_checksums_are_read_again(tmp_path: Path) -> None:
    task = own_task(tmp_path)
    first = load_collection(task)
    (tmp_path / "qrels.tsv").write_text("t1\t0\td2\t1\n")
    assert load_collection(task).judgments != first.judgments


def test_collections_used_longest_ago_make_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each of the collections has six texts.
    monkeypatch.setattr(load, "MOST_KEPT", 14)
    one, two, three = (
        with_checksums(own_task(tmp_path)).model_copy(update={"version": version}) for version in ("1", "2", "3")
    )
    kept, gone = load_collection(one), load_collection(two)
    assert load_collection(one) is kept
    load_collection(three)
    assert load_collection(one) is kept
    assert load_collection(two) is not gone
    monkeypatch.setattr(load, "MOST_KEPT", 5)
    assert load_collection(three) is not load_collection(three)
