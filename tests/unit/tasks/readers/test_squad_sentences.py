import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.collection.records import Collection, document_id
from mlbench.errors import DataError
from mlbench.protocols import ReadRequest, SourceFile
from mlbench.tasks.readers.squad_sentences import connected_clusters, read

CONTEXT = "Ein Satz. Noch\neiner.  \ufeffEnde"
BREAKS = [[0, 9], [10, 21], [23, 28]]


def paragraph(**changes: Any) -> dict[str, Any]:
    question = {"id": "q1", "question": " Was? ", "answers": [{"text": "Noch", "answer_start": 10}]}
    return {"context": CONTEXT, "sentences": [], "sentence_breaks": BREAKS, "qas": [question]} | changes


def squad(*articles: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": "1.1", "data": [{"title": "T", "paragraphs": paragraphs} for paragraphs in articles]}


def read_all(folder: Path, document_text: str = "sentence", **contents: Any) -> Collection:
    sources = []
    for language, content in contents.items():
        path = folder / f"{language}.json"
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(raw)
        sources.append(SourceFile(path, language))
    return read(ReadRequest("t", tuple(contents), tuple(sources), document_text))


def outcome(folder: Path, content: Any) -> tuple[Collection | None, str]:
    """Return the collection, or the message of a DataError; no other exception is caught."""
    try:
        return read_all(folder, de=content), ""
    except DataError as error:
        return None, str(error)


def question(topic: str, start: int = 0) -> dict[str, Any]:
    return {"id": topic, "question": topic, "answers": [{"answer_start": start}]}


def test_sentences_are_slices_and_questions_are_stripped(tmp_path: Path) -> None:
    collection = read_all(tmp_path, de=squad([paragraph()]))
    assert [row.text for row in collection.documents["de"]] == ["Ein Satz.", "Noch\neiner.", "\ufeffEnde"]
    assert [row.text for row in collection.queries["de"]] == ["Was?"]
    (judgment,) = collection.judgments["q1"]
    assert (judgment.language, judgment.doc_id, judgment.grade) == ("de", document_id("t", "de", "0", "1"), 1)
    assert collection.cluster_unit == "article"
    assert collection.parallel


def test_a_sentence_in_context_stands_before_its_paragraph(tmp_path: Path) -> None:
    collection = read_all(tmp_path, "sentence_in_context", de=squad([paragraph()]))
    assert collection.documents["de"][1].text == "Nocheiner.Ein Satz. Nocheiner.  \ufeffEnde"
    plain = read_all(tmp_path, de=squad([paragraph()]))
    assert [row.doc_id for row in plain.documents["de"]] == [row.doc_id for row in collection.documents["de"]]
    assert plain.judgments == collection.judgments


@pytest.mark.parametrize(("start", "sentence"), [(0, 0), (8, 0), (10, 1), (20, 1), (23, 2), (27, 2)])
def test_the_end_of_a_sentence_is_exclusive(tmp_path: Path, start: int, sentence: int) -> None:
    collection = read_all(tmp_path, de=squad([paragraph(qas=[question("q", start)])]))
    assert collection.judgments["q"][0].doc_id == collection.documents["de"][sentence].doc_id


@pytest.mark.parametrize("start", [-1, 9, 21, 22, 28, 10**9])
def test_an_answer_between_sentences_is_a_fault(tmp_path: Path, start: int) -> None:
    with pytest.raises(DataError, match=rf"de\.json: data\[0\]\.paragraphs\[0\]\.qas\[0\]\.answers\[0\]: .*{start}"):
        read_all(tmp_path, de=squad([paragraph(qas=[question("q", start)])]))


def test_adjacent_sentences_share_no_character(tmp_path: Path) -> None:
    breaks = [[0, 9], [9, 21], [21, 28]]
    for start, sentence in ((8, 0), (9, 1), (20, 1), (21, 2)):
        collection = read_all(tmp_path, de=squad([paragraph(sentence_breaks=breaks, qas=[question("q", start)])]))
        assert collection.judgments["q"][0].doc_id == collection.documents["de"][sentence].doc_id


def test_offsets_are_code_points(tmp_path: Path) -> None:
    context = "𝒳e\u0301. ก็ดี"
    collection = read_all(
        tmp_path, th=squad([paragraph(context=context, sentence_breaks=[[0, 4], [5, 9]], qas=[question("q", 5)])])
    )
    assert [row.text for row in collection.documents["th"]] == ["𝒳e\u0301.", "ก็ดี"]


def test_several_answers_in_one_sentence_are_one_relevant_document(tmp_path: Path) -> None:
    several = {"id": "q", "question": "?", "answers": [{"answer_start": n} for n in (0, 3, 12)]}
    collection = read_all(tmp_path, de=squad([paragraph(qas=[several])]))
    assert [judgment.doc_id for judgment in collection.judgments["q"]] == [
        collection.documents["de"][sentence].doc_id for sentence in (0, 1)
    ]


def test_paragraphs_are_numbered_through_the_file_and_equal_sentences_stay(tmp_path: Path) -> None:
    plain = paragraph(qas=[])
    collection = read_all(tmp_path, de=squad([plain, plain], [paragraph()]))
    assert [row.doc_id for row in collection.documents["de"]] == [
        document_id("t", "de", str(number), str(sentence)) for number in range(3) for sentence in range(3)
    ]
    assert len({row.text for row in collection.documents["de"]}) == 3


def test_clusters_are_connected_over_languages(tmp_path: Path) -> None:
    def articles(*groups: str) -> dict[str, Any]:
        return squad(*([paragraph(qas=[question(topic) for topic in group])] for group in groups))

    collection = read_all(tmp_path, ar=articles("ab", "c", "d"), de=articles("d", "bc", "e"))
    clusters = collection.clusters
    assert clusters == {"a": "ar-0", "b": "ar-0", "c": "ar-0", "d": "ar-2", "e": "de-2"}


def test_no_topics_give_no_clusters() -> None:
    assert connected_clusters({}) == {}


@given(st.dictionaries(st.text("abcdefghij", min_size=1, max_size=1), st.lists(st.integers(0, 7), min_size=1)))
def test_clusters_agree_with_growing_sets(members: dict[str, list[int]]) -> None:
    clusters = connected_clusters({topic: [("en", n) for n in numbers] for topic, numbers in members.items()})
    for topic in members:
        reached: set[int] = set(members[topic])
        for _ in members:
            reached |= {n for numbers in members.values() if reached & set(numbers) for n in numbers}
        together = {other for other, numbers in members.items() if reached & set(numbers)}
        assert together == {other for other in members if clusters[other] == clusters[topic]}
        assert clusters[topic] == f"en-{min(reached)}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"context": 3}, r"paragraphs\[0\]\.context: must be a string"),
        ({"sentence_breaks": None}, r"sentence_breaks: must be a list"),
        ({"sentence_breaks": [[0, 99]]}, r"sentence_breaks\[0\]: \[0, 99\] is not"),
        ({"sentence_breaks": [[0, 9], [8, 12]]}, r"sentence_breaks\[1\]"),
        ({"sentence_breaks": [[0, 0]]}, r"sentence_breaks\[0\]"),
        ({"sentence_breaks": [[-4, 3]]}, r"sentence_breaks\[0\]"),
        ({"sentence_breaks": [[0, 9, 12]]}, r"sentence_breaks\[0\]"),
        ({"sentence_breaks": [["0", "9"]]}, r"sentence_breaks\[0\]"),
        ({"sentence_breaks": [[0.0, 9.0]]}, r"sentence_breaks\[0\]"),
        ({"qas": {}}, r"qas: must be a list"),
        ({"qas": ["q"]}, r"qas\[0\]: must be an object"),
        ({"qas": [question("q"), question("q")]}, r"qas\[1\]: question id 'q' is there twice"),
        ({"qas": [{"id": "q", "question": "?", "answers": []}]}, r"qas\[0\]: a question needs an answer"),
        ({"qas": [{"id": "q", "question": "?", "answers": [{}]}]}, r"answers\[0\]: key 'answer_start' is missing"),
        ({"qas": [{"id": "q", "question": "?", "answers": [{"answer_start": True}]}]}, r"must be an integer"),
        ({"qas": [{"id": 7, "question": "?", "answers": []}]}, r"qas\[0\]\.id: must be a string"),
        ({"qas": [{"id": "q", "answers": []}]}, r"qas\[0\]: key 'question' is missing"),
    ],
)
def test_a_fault_names_file_and_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=r"^de\.json: data\[0\].*" + said) as caught:
        read_all(tmp_path, de=squad([paragraph(**change)]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["context", "sentence_breaks", "qas"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    incomplete = paragraph()
    del incomplete[key]
    with pytest.raises(DataError, match=key):
        read_all(tmp_path, de=squad([incomplete]))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"data": NaN}', b'{"data": 3}', b"{}", b"[" * 99_999]
)
def test_what_is_no_such_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"^de\.json: ") as caught:
        read_all(tmp_path, de=content)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    marked = b"\xef\xbb\xbf" + json.dumps(squad([paragraph()])).encode()
    assert len(read_all(tmp_path, de=marked).documents["de"]) == 3


def test_a_language_without_file_and_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file for language 'fr'"):
        read(ReadRequest("t", ("fr",), ()))
    with pytest.raises(DataError, match="cannot be read"):
        read(ReadRequest("t", ("fr",), (SourceFile(tmp_path / "fr.json", "fr"),)))


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, inner in steps for place in places(inner, (*path, step)))]


GOOD = squad([paragraph(), paragraph(qas=[question("q2")])], [paragraph(qas=[question("q3", 23)])])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "data", "context"]), inner),
    max_leaves=5,
)


@given(place=st.sampled_from(places(GOOD)[1:]), value=JSON)
def test_one_value_replaced_reads_or_is_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str | int, ...], value: Any
) -> None:
    content = copy.deepcopy(GOOD)
    owner: Any = content
    for step in place[:-1]:
        owner = owner[step]
    owner[place[-1]] = value
    collection, fault = outcome(tmp_path_factory.getbasetemp(), content)
    if collection is None:
        assert fault.startswith("de.json: ")
    else:
        assert set(collection.judgments) == {query.topic_id for query in collection.queries["de"]}


@given(cut=st.integers(0, len(json.dumps(GOOD))), junk=st.binary(max_size=4))
def test_a_damaged_file_reads_or_is_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    raw = json.dumps(GOOD).encode()
    collection, fault = outcome(tmp_path_factory.getbasetemp(), raw[:cut] + junk + raw[cut + len(junk) :])
    assert collection is not None or fault.startswith("de.json: ")
    assert "\n" not in fault
