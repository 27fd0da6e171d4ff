import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.statistics.cases import make_collection

from mlbench.collection.records import (
    Collection,
    Document,
    Judgment,
    LineDigest,
    Query,
    document_id,
    document_line,
    fingerprint_of,
    fingerprints_of,
    judgment_line,
    query_line,
)

NAMES = st.text(min_size=1, max_size=8)


def shuffled(collection: Collection) -> Collection:
    return replace(
        collection,
        queries={language: rows[::-1] for language, rows in reversed(collection.queries.items())},
        documents={language: rows[::-1] for language, rows in reversed(collection.documents.items())},
        judgments={topic: rows[::-1] for topic, rows in reversed(collection.judgments.items())},
    )


def test_the_fingerprint_is_of_the_content_and_not_of_its_order() -> None:
    collection = make_collection(seed=0)
    assert shuffled(collection).fingerprints() == collection.fingerprints()
    assert shuffled(collection).fingerprint() == collection.fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", collection.fingerprint())
    assert set(collection.fingerprints()) == set(collection.languages)


def test_the_fingerprint_is_that_of_its_parts_added_up() -> None:
    collection = make_collection(seed=0)
    without = replace(collection, documents=dict.fromkeys(collection.languages, ()))
    digests = without.line_digests()
    assert fingerprints_of(digests) != collection.fingerprints()
    for language, rows in collection.documents.items():
        for part in (rows[5:], rows[:5]):
            digest = LineDigest()
            for document in part:
                digest.add(document_line(document))
            digests[language].merge(digest)
    assert fingerprints_of(digests) == collection.fingerprints()
    assert fingerprint_of(fingerprints_of(digests)) == collection.fingerprint()


def test_the_fingerprint_of_known_content_stays_what_it_is() -> None:
    # Results of earlier versions are compared by it: a new value here makes all of them incomparable.
    collection = Collection(
        languages=("en", "th"),
        queries={"en": (Query("t", "Who?"),), "th": ()},
        documents={"en": (Document("d-en", "She."),), "th": (Document("d-th", "เธอ"),)},
        judgments={"t": (Judgment("en", "d-en", 1), Judgment("th", "d-th", 2))},
        clusters={"t": "article"},
    )
    lines = {
        "en": ["query\x1ft\x1fWho?\x1farticle", "document\x1fd-en\x1fShe.", "judgment\x1ft\x1fd-en\x1f1"],
        "th": ["document\x1fd-th\x1fเธอ", "judgment\x1ft\x1fd-th\x1f2"],
    }
    assert lines["en"] == [
        query_line(collection.queries["en"][0], "article"),
        document_line(collection.documents["en"][0]),
        judgment_line("t", collection.judgments["t"][0]),
    ]
    for language, digest in collection.line_digests().items():
        known = LineDigest()
        for line in lines[language]:
            known.add(line)
        assert digest.hexdigest() == known.hexdigest() == collection.fingerprints()[language]
    assert collection.fingerprint() == "fec0d84ef381de4cc7959f614d9a9eb4f6af76ca908656392735528659b4166b"


def changed(collection: Collection, what: str) -> Collection:
    queries, documents = collection.queries["en"], collection.documents["en"]
    topic = queries[0].topic_id
    match what:
        case "query":
            return replace(collection, queries={**collection.queries, "en": (Query(topic, "new"), *queries[1:])})
        case "document":
            new = Document(documents[0].doc_id, "new")
            return replace(collection, documents={**collection.documents, "en": (new, *documents[1:])})
        case "grade":
            graded = tuple(j._replace(grade=j.grade + (j.language == "en")) for j in collection.judgments[topic])
            return replace(collection, judgments={**collection.judgments, topic: graded})
        case _:
            return replace(collection, clusters={**collection.clusters, topic: "elsewhere"})


@pytest.mark.parametrize("what", ["query", "document", "grade", "cluster"])
def test_any_change_shows_in_the_fingerprint_of_its_language(what: str) -> None:
    collection = make_collection(seed=0)
    before, after = collection.fingerprints(), changed(collection, what).fingerprints()
    assert before["en"] != after["en"]
    assert collection.fingerprint() != changed(collection, what).fingerprint()
    if what != "cluster":
        assert {language for language in before if before[language] != after[language]} == {"en"}


def test_restricting_leaves_the_content_of_the_kept_languages_as_it_is() -> None:
    collection = make_collection(seed=0)
    kept = collection.restrict(("en", "th"))
    assert kept.languages == tuple(kept.queries) == tuple(kept.documents) == ("en", "th")
    assert {j.language for rows in kept.judgments.values() for j in rows} == {"en", "th"}
    whole = collection.fingerprints()
    assert kept.fingerprints() == {language: whole[language] for language in ("en", "th")}
    assert kept.fingerprint() != collection.fingerprint()
    assert collection.restrict(collection.languages).fingerprint() == collection.fingerprint()


def test_restricting_drops_topics_that_nobody_asks() -> None:
    collection = make_collection(seed=1, sparse=True)
    kept = collection.restrict(("en",))
    asked = {query.topic_id for query in kept.queries["en"]}
    assert set(kept.judgments) == set(kept.clusters) == asked < set(collection.judgments)


def test_an_id_begins_with_a_hash_and_ends_readably() -> None:
    assert document_id("xquad-r", "th", "7", "2") == "be5ee4df90c8-th-7-2"
    assert document_id("own", "th", "", "d1").endswith("-th-d1")
    assert document_id("own", "th", "", "d1") != document_id("other", "th", "", "d1")


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=10, unique=True))
def test_different_documents_have_different_hashes(places: list[tuple[str, str]]) -> None:
    hashes = [document_id("own", "en", *place)[:12] for place in places if "\x1f" not in "".join(place)]
    assert len(set(hashes)) == len(hashes)


def test_the_order_of_ids_is_blind_to_language_and_to_translation() -> None:
    languages = ("ar", "en", "th", "zh")
    documents = [(language, number) for language in languages for number in range(500)]
    ordered = sorted(documents, key=lambda place: document_id("own", place[0], "1", str(place[1])), reverse=True)
    for language in languages:
        mean_place = sum(place for place, document in enumerate(ordered) if document[0] == language) / 500
        # Four standard errors of the mean of 500 places of 2,000.
        assert abs(mean_place - 999.5) < 4 * (2000 / 12**0.5) / 500**0.5
    neighbours = sum(one[1] == two[1] for one, two in pairwise(ordered))
    # 3 of 1,999 others are translations.
    assert neighbours < 3 + 4 * 3**0.5
