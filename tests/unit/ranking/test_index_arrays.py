from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import count_orders, homes, make_collection, random_orders

from mlbench.collection.records import Collection, Document, Judgment, Query, document_id
from mlbench.ranking.index_arrays import index_collection, to_ranks
from mlbench.ranking.ranks import MISSING
from mlbench.ranking.ranks_file import ARRAYS

COLLECTIONS = {
    "parallel": make_collection(seed=0),
    "sparse": make_collection(seed=1, sparse=True),
    "several": make_collection(seed=2, sparse=True, several=True),
    "not parallel": make_collection(seed=3, parallel=False, several=True),
}


@pytest.fixture(params=COLLECTIONS)
def collection(request: pytest.FixtureRequest) -> Collection:
    return COLLECTIONS[request.param]


def test_documents_are_numbered_in_the_order_of_ids_descending(collection: Collection) -> None:
    arrays, home = index_collection(collection), homes(collection)
    assert list(arrays.document_ids[: arrays.n_documents]) == sorted(home, reverse=True)
    for index, doc_id in enumerate(arrays.document_ids[: arrays.n_documents]):
        language = collection.languages[arrays.document_languages[index]]
        assert collection.documents[language][arrays.document_sources[index]].doc_id == doc_id
    for language, name in enumerate(collection.languages):
        assert [arrays.document_ids[place] for place in arrays.corpus(language)] == sorted(
            (document.doc_id for document in collection.documents[name]), reverse=True
        )


def test_each_query_has_a_row_for_each_of_its_relevant_documents(collection: Collection) -> None:
    arrays = index_collection(collection)
    queries = [
        (arrays.topic_ids[topic], collection.languages[language])
        for topic, language in zip(arrays.query_topics, arrays.query_languages, strict=True)
    ]
    assert queries == [
        (q.topic_id, language) for language in collection.languages for q in collection.queries[language]
    ]
    found = {
        (*queries[query], arrays.document_ids[document], int(grade))
        for query, document, grade in zip(arrays.row_queries, arrays.row_documents, arrays.row_grades, strict=True)
    }
    expected = {(*query, judged.doc_id, judged.grade) for query in queries for judged in collection.judgments[query[0]]}
    assert found == expected
    assert len(arrays.row_queries) == len(expected)
    assert (np.diff(arrays.row_queries) >= 0).all()


NAMES = st.sampled_from(["a", "b", "c", "d"])


@st.composite
def collections_with_own_documents(draw: st.DrawFn) -> Collection:
    """Draw a collection whose queries may be documents: by a rule of their own, by names, or not at all."""
    rule = draw(st.sampled_from(["queries_are_documents", "ignore_identical_ids", "none"]))
    parallel = rule == "queries_are_documents" or draw(st.booleans())
    asked = {language: sorted(draw(st.sets(NAMES))) for language in ("de", "en", "th")}
    corpora = {language: sorted(draw(st.sets(NAMES, min_size=1))) for language in asked}
    if rule == "queries_are_documents":
        corpora = {language: sorted({*corpora[language], *names}) for language, names in asked.items()}
    queries = {
        language: tuple(Query(name if parallel else f"{language}:{name}", "text") for name in names)
        for language, names in asked.items()
    }
    topics = sorted({query.topic_id for rows in queries.values() for query in rows})
    # Some names are of no document.
    judged = st.lists(st.tuples(st.sampled_from(["de", "en", "th"]), NAMES, st.integers(1, 200)), max_size=6)
    judgments = {
        topic: tuple(
            Judgment(language, document_id("own", language, "", name), grade)
            for (language, name), grade in {(row[0], row[1]): row[2] for row in draw(judged)}.items()
        )
        for topic in topics
    }
    if rule == "queries_are_documents":
        judgments = {
            topic: tuple(
                Judgment(language, document_id("own", language, "", topic), 1)
                for language, names in asked.items()
                if topic in names
            )
            for topic in topics
        }
    return Collection(
        languages=tuple(asked),
        queries=queries,
        documents={
            language: tuple(Document(document_id("own", language, "", name), "text") for name in names)
            for language, names in corpora.items()
        },
        judgments=judgments,
        clusters={topic: topic for topic in topics},
        parallel=parallel,
        queries_are_documents=rule == "queries_are_documents",
        ignore_identical_ids=rule == "ignore_identical_ids",
    )


@given(collections_with_own_documents())
def test_rows_and_own_documents_are_those_of_each_query_looked_at_alone(collection: Collection) -> None:
    arrays = index_collection(collection)
    queries = [
        (language, query.topic_id) for language in collection.languages for query in collection.queries[language]
    ]
    found = [
        (int(query), arrays.document_ids[document], int(grade))
        for query, document, grade in zip(arrays.row_queries, arrays.row_documents, arrays.row_grades, strict=True)
    ]
    assert found == [
        (number, row.doc_id, row.grade) for number, query in enumerate(queries) for row in collection.judged(*query)
    ]
    own = [[arrays.document_ids[index] for index in row if index >= 0] for row in arrays.own_documents]
    assert [sorted(row) for row in own] == [sorted(collection.itself(*query)) for query in queries]
    assert arrays.most_left_out == max(map(len, own), default=0)


def test_judged_documents_that_are_missing_stand_at_the_end() -> None:
    collection = COLLECTIONS["several"]
    arrays, home = index_collection(collection), homes(collection)
    judged = {j.doc_id: j.language for rows in collection.judgments.values() for j in rows}
    missing = sorted((doc_id for doc_id in judged if doc_id not in home), reverse=True)
    assert missing
    assert list(arrays.document_ids[arrays.n_documents :]) == missing
    languages = [collection.languages[index] for index in arrays.document_languages[arrays.n_documents :]]
    assert languages == [judged[doc_id] for doc_id in missing]
    assert arrays.present.tolist() == [arrays.document_ids[index] in home for index in arrays.row_documents]
    assert len(arrays.document_sources) == arrays.n_documents == len(home)


def test_topics_and_clusters_are_numbered_without_gaps(collection: Collection) -> None:
    arrays = index_collection(collection)
    assert list(arrays.topic_ids) == sorted(collection.judgments)
    assert sorted(set(arrays.topic_clusters)) == list(range(len(set(collection.clusters.values()))))
    together = {}
    for topic, cluster in zip(arrays.topic_ids, arrays.topic_clusters, strict=True):
        assert together.setdefault(collection.clusters[topic], cluster) == cluster


def test_clusters_are_numbered_in_the_order_of_their_names() -> None:
    collection = COLLECTIONS["parallel"]
    topics = sorted(collection.clusters)
    clusters = {topic: f"c{len(topics) - number // 2:02}" for number, topic in enumerate(topics)}
    arrays = index_collection(replace(collection, clusters=clusters))
    names = sorted(set(clusters.values()))
    assert [names[cluster] for cluster in arrays.topic_clusters] == [clusters[topic] for topic in topics]


def test_the_ranks_name_only_the_documents_they_need() -> None:
    collection = COLLECTIONS["several"]
    arrays = index_collection(collection)
    table = count_orders(collection, random_orders(collection, 0), depth=2)
    ranks = to_ranks(arrays, table)
    named = {arrays.document_ids[index] for index in [*arrays.row_documents, *table.top.ravel()]}
    assert set(ranks.document_ids) == named
    assert len(ranks.document_ids) == len(named) < arrays.n_documents
    by_id = [ranks.document_ids[index] for index in ranks.row_documents]
    assert by_id == [arrays.document_ids[index] for index in arrays.row_documents]
    assert ranks.document_ids[ranks.top].tolist() == [[arrays.document_ids[i] for i in row] for row in table.top]
    assert (ranks.ahead[~arrays.present] == MISSING).all()
    assert (ranks.ahead[arrays.present] == table.ahead).all()
    assert ranks.cluster_unit.tolist() == ["article"]
    assert ranks.columns.tolist() == list(collection.languages)
    assert ranks.column_sizes.tolist() == [len(collection.documents[language]) for language in collection.languages]


def test_a_document_counts_where_it_lies_whatever_the_judgment_says() -> None:
    collection = make_collection(seed=0, topics=2)
    german = collection.documents["de"][0].doc_id
    moved = replace(collection, judgments={**collection.judgments, "t00": (Judgment("en", german, 1),)})
    arrays = index_collection(moved)
    row = int(np.flatnonzero(arrays.query_topics[arrays.row_queries] == 0)[0])
    assert collection.languages[arrays.document_languages[arrays.row_documents[row]]] == "de"


def test_a_collection_without_topics_or_documents() -> None:
    empty = Collection(("de", "en"), {"de": (), "en": ()}, {"de": (), "en": ()}, {}, {})
    arrays = index_collection(empty)
    assert arrays.n_documents == len(arrays.topic_ids) == len(arrays.row_queries) == 0
    assert arrays.corpus(0).shape == (0,)
    ranks = to_ranks(arrays, count_orders(empty, {}))
    assert ranks.ahead.shape == (0, 2)
    assert ranks.top.shape == (0, 20)


def test_the_same_collection_gets_the_same_numbers(collection: Collection) -> None:
    one, two = index_collection(collection), index_collection(collection)
    assert one.document_ids == two.document_ids
    assert (one.row_documents == two.row_documents).all()


def test_rows_of_compact_ranks_are_sorted_by_document(collection: Collection) -> None:
    arrays, table = index_collection(collection), count_orders(collection, random_orders(collection, 0))
    dense = to_ranks(arrays, table)
    own = arrays.document_languages[arrays.row_documents[arrays.present]]
    rows, pool = np.arange(len(own)), tuple(sorted(collection.languages))
    compact = replace(
        table,
        columns=(*table.columns, pool),
        sizes=(*table.sizes, sum(table.sizes)),
        ahead=np.stack((table.ahead[rows, own], table.ahead.sum(axis=1)), axis=1),
        ties=np.zeros((len(own), 2), dtype=np.int8),
        listed=np.append(table.listed, table.listed.sum(axis=1, keepdims=True), axis=1),
    )
    found, expected = to_ranks(arrays, compact), compact_of(dense, [pool])
    assert found.is_compact
    for name in (*ARRAYS,):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
