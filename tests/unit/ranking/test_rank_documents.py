from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from unit.statistics.cases import (
    LANGUAGES,
    ListRanker,
    Orders,
    ScoringRanker,
    TableEncoder,
    all_texts,
    count_orders,
    homes,
    make_collection,
    orders_by_score,
    random_orders,
    ranks_in_pool,
    ranks_of,
)

from mlbench.collection.languages import Kind, Setting, settings_of
from mlbench.collection.records import Collection, Document, Query
from mlbench.embeddings.encode import embed, texts_of
from mlbench.embeddings.exact import to_grid
from mlbench.errors import RetrieverError, UserError
from mlbench.protocols import RankedList, Silence, Similarity
from mlbench.ranking.count_ahead import Tiling
from mlbench.ranking.index_arrays import CountTable, IndexArrays, index_collection, to_ranks
from mlbench.ranking.rank_documents import rank_lists, rank_vectors
from mlbench.ranking.ranks import UNKNOWN, UNLISTED, Ranks, can_answer, pool_counts, setting_ranks

DEPTH = 20


def count_encoder(collection: Collection, encoder: TableEncoder) -> CountTable:
    texts = {
        (role, language): [row.text for row in rows[language]]
        for role, rows in (("query", collection.queries), ("document", collection.documents))
        for language in collection.languages
    }
    embeddings = embed(encoder, texts, None, Silence())
    return rank_vectors(index_collection(collection), embeddings, encoder.similarity, Tiling(DEPTH), Silence())


def make_encoder(collection: Collection, similarity: Similarity, distinct: int, seed: int = 0) -> TableEncoder:
    """Return an encoder of few distinct vectors of very different lengths, so that documents tie."""
    random = np.random.RandomState(seed)
    table = (random.standard_normal((distinct, 5)) * np.exp(random.standard_normal((distinct, 1)))).astype(np.float32)
    texts = all_texts(collection)
    return TableEncoder({text: table[random.randint(distinct)].tolist() for text in texts}, similarity)


def exact_orders(collection: Collection, encoder: TableEncoder) -> Orders:
    """Multiply the grid vectors in whole numbers, pair by pair, and sort by score and id."""
    sides = {"query": collection.queries, "document": collection.documents}
    whole: dict[str, dict[str, list[int]]] = {}
    for role, rows in sides.items():
        texts = sorted({row.text for language in collection.languages for row in rows[language]})
        grid = to_grid(encoder.encode(texts, "query"), encoder.similarity)
        whole[role] = {text: [int(x * 2**70) for x in row] for text, row in zip(texts, grid.tolist(), strict=True)}
    documents = [document for language in collection.languages for document in collection.documents[language]]
    return orders_by_score(
        collection,
        {
            (language, query.topic_id, document.doc_id): sum(
                a * b for a, b in zip(whole["query"][query.text], whole["document"][document.text], strict=True)
            )
            for language in collection.languages
            for query in collection.queries[language]
            for document in documents
        },
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("distinct", [2, 6, 500])
@pytest.mark.parametrize("several", [False, True])
def test_vectors_are_counted_as_exact_scores_order_them(similarity: Similarity, distinct: int, several: bool) -> None:
    collection = make_collection(seed=distinct, sparse=True, several=several)
    encoder = make_encoder(collection, similarity, distinct)
    found, expected = count_encoder(collection, encoder), count_orders(collection, exact_orders(collection, encoder))
    assert found.columns == expected.columns
    assert (found.ahead == expected.ahead).all()
    assert (found.top == expected.top).all()
    assert (found.listed == expected.listed).all()
    assert found.ties.any() or distinct > 100


@pytest.mark.parametrize("seed", range(3))
def test_dot_products_order_documents_as_the_vectors_themselves_whatever_the_norms(seed: int) -> None:
    collection, random = make_collection(seed=seed, sparse=True), np.random.RandomState(seed)
    rows = random.randint(-3, 4, (40, 5)) + 4 * np.eye(1, 5)
    # Norms from 1e-7 to 1e7; equal products of different vectors stay equal.
    table = (rows * 2.0 ** random.randint(-24, 24, (40, 1))).astype(np.float32)
    assert np.log10(np.linalg.norm(table, axis=1)).round().astype(int).tolist().count(7)
    vectors = {text: table[random.randint(40)].tolist() for text in all_texts(collection)}
    exact = {text: [Fraction(x) for x in vector] for text, vector in vectors.items()}
    scores = {
        (language, query.topic_id, document.doc_id): sum(
            a * b for a, b in zip(exact[query.text], exact[document.text], strict=True)
        )
        for language in collection.languages
        for query in collection.queries[language]
        for own in collection.languages
        for document in collection.documents[own]
    }
    found = count_encoder(collection, TableEncoder(vectors, "dot"))
    expected = count_orders(collection, orders_by_score(collection, scores))
    assert (found.ahead == expected.ahead).all()
    assert (found.top == expected.top).all()
    assert found.ties.any()


def test_one_long_document_moves_no_other() -> None:
    collection, random = make_collection(seed=4), np.random.RandomState(4)
    table = random.standard_normal((len(all_texts(collection)), 8))
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    vectors = dict(zip(sorted(all_texts(collection)), table.astype(np.float32).tolist(), strict=True))
    plain = count_encoder(collection, TableEncoder(vectors, "dot"))
    long, arrays = collection.documents["en"][3], index_collection(collection)
    others = np.array([arrays.document_ids[document] != long.doc_id for document in arrays.row_documents])
    for norm in (1e7, 1e20):
        vectors[long.text] = (table[0] * norm).astype(np.float32).tolist()
        found = count_encoder(collection, TableEncoder(vectors, "dot"))
        moved = found.ahead - plain.ahead
        assert np.abs(moved[others]).max() == 1
        assert (np.delete(moved[others], collection.languages.index("en"), axis=1) == 0).all()


def test_ties_are_counted_by_language() -> None:
    collection = make_collection(seed=0, topics=2)
    table = {text: [1.0, 0.0] for text in all_texts(collection)}
    table["en document 3"] = [0.0, 1.0]
    ties = count_encoder(collection, TableEncoder(table)).ties
    sizes = [len(collection.documents[language]) for language in collection.languages]
    arrays = index_collection(collection)
    for row, document in enumerate(arrays.row_documents):
        own = arrays.document_languages[document]
        expected = [size - (place == own) - (collection.languages[place] == "en") for place, size in enumerate(sizes)]
        if arrays.document_ids[document] != collection.documents["en"][3].doc_id:
            expected[collection.languages.index("en")] = 13 - (collection.languages[own] == "en")
            assert ties[row].tolist() == expected
        else:
            assert ties[row].tolist() == [0, 0, 0, 0]


def look_up(collection: Collection, ranker: ListRanker, settings: Sequence[Setting] | None = None) -> Ranks:
    asked = settings_of(collection.languages) if settings is None else settings
    arrays = index_collection(collection)
    return to_ranks(arrays, rank_lists(arrays, ranker, asked, DEPTH, Silence()))


@pytest.mark.parametrize("seed", range(4))
def test_a_ranker_with_the_full_order_counts_as_an_encoder_does(seed: int) -> None:
    collection = make_collection(seed=seed, sparse=seed % 2 == 1, several=seed > 1)
    orders = random_orders(collection, seed, skill=1.0)
    by_lists, by_counts = look_up(collection, ListRanker(collection, orders)), ranks_of(collection, orders)
    for setting in settings_of(collection.languages):
        one, two = setting_ranks(by_lists, setting), setting_ranks(by_counts, setting)
        assert (one.queries == two.queries).all()
        assert (one.relevant.ranks == two.relevant.ranks).all()
        assert (one.relevant.grades == two.relevant.grades).all()
        assert one.pool_size == two.pool_size
    assert by_lists.document_ids[by_lists.top].tolist() == by_counts.document_ids[by_counts.top].tolist()
    whole = by_lists.column_of(collection.languages)
    assert (by_lists.listed[:, whole] == by_counts.listed.sum(axis=1)).all()


def test_each_setting_is_asked_once_with_its_pool() -> None:
    collection = make_collection(seed=0)
    ranker = ListRanker(collection, random_orders(collection, 0))
    look_up(collection, ranker)
    assert ranker.asked == list(settings_of(collection.languages))


def test_documents_beyond_the_end_of_a_list_are_unlisted() -> None:
    collection = make_collection(seed=0, several=True)
    orders = random_orders(collection, 0)
    ranks, home = look_up(collection, ListRanker(collection, orders, longest=5)), homes(collection)
    pool = tuple(collection.languages)
    counts = pool_counts(ranks, pool)
    assert set(counts.listed) == {5}
    places = [
        ranks_in_pool(
            collection,
            orders[collection.languages[ranks.query_languages[q]], ranks.topic_ids[ranks.query_topics[q]]],
            pool,
        )
        for q in range(len(ranks.query_topics))
    ]
    column = ranks.column_of(pool)
    for row, (query, document) in enumerate(
        zip(ranks.row_queries, ranks.document_ids[ranks.row_documents], strict=True)
    ):
        if document in home:
            place = places[query][document]
            assert ranks.ahead[row, column] == (place - 1 if place <= 5 else UNLISTED)
            assert counts.unlisted[row] == (place > 5)
        else:
            assert not counts.unlisted[row]
    assert ((ranks.top >= 0).sum(axis=1) == 5).all()
    setting = setting_ranks(ranks, Setting("en", pool))
    inside = ranks.query_languages[ranks.row_queries] == ranks.language_index("en")
    assert setting.unretrieved == counts.unlisted[inside].mean()


def test_an_empty_list_is_a_list() -> None:
    collection = make_collection(seed=0)
    ranks = look_up(collection, ListRanker(collection, random_orders(collection, 0), longest=0))
    assert (ranks.top == -1).all()
    assert setting_ranks(ranks, Setting("en", ("th",))).unretrieved == 1


def test_a_ranker_answers_only_the_pools_it_was_asked_for() -> None:
    collection = make_collection(seed=0)
    asked = [*settings_of(collection.languages, ["monolingual", "multilingual"]), Setting("en", ("th",))]
    ranks = look_up(collection, ListRanker(collection, random_orders(collection, 0)), asked)
    assert [name for name in ranks.columns if "+" in name] == ["ar+de+en+th"]
    assert can_answer(ranks, ["th"])
    assert not can_answer(ranks, ["en", "th"])
    with pytest.raises(UserError, match="en,th was not asked for"):
        setting_ranks(ranks, Setting("en", ("th", "en")))
    assert len(setting_ranks(ranks, Setting("en", ("th",))).queries) == 10
    with pytest.raises(UserError, match="de queries were not run against th"):
        setting_ranks(ranks, Setting("de", ("th",)))
    unknown = ranks.ahead[:, ranks.column_of(["th"])] == UNKNOWN
    languages = ranks.query_languages[ranks.row_queries[~unknown]]
    assert {ranks.languages[language] for language in languages} == {"en", "th"}


class Faulty(ListRanker):
    fault: Callable[[list[list[str]]], list[list[str]]]

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        return self.fault(super().search(setting, queries, documents, depth))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda lists: [[*found, found[0]] for found in lists], "listed a document twice in ar against ar"),
        (lambda lists: [["nowhere", *found] for found in lists], "listed 'nowhere' in ar against ar, which is not in"),
        (lambda lists: lists[1:], "gave 9 lists for 10 queries in ar against ar"),
        (lambda lists: [*lists, []], "gave 11 lists for 10 queries"),
    ],
    ids=["twice", "unknown", "too few", "too many"],
)
def test_wrong_lists_are_told(fault: Callable[[list[list[str]]], list[list[str]]], message: str) -> None:
    collection = make_collection(seed=0)
    ranker = Faulty(collection, random_orders(collection, 0))
    ranker.fault = fault
    with pytest.raises(RetrieverError, match=message):
        look_up(collection, ranker)


@pytest.mark.parametrize("place", [0, -1])
def test_a_document_of_another_pool_is_told(place: int) -> None:
    collection = make_collection(seed=0)
    ranker = Faulty(collection, random_orders(collection, 0))
    # The first and the last id of all have numbers that an index error would hit.
    outside = sorted(homes(collection), reverse=True)[place]
    ranker.fault = lambda lists: [[outside] for _ in lists]
    settings = [s for s in settings_of(collection.languages) if homes(collection)[outside] not in s.document_languages]
    with pytest.raises(RetrieverError, match=f"listed '{outside}'"):
        look_up(collection, ranker, settings)


@given(st.integers(0, 1000), st.integers(0, 60))
def test_lists_of_any_length_agree_with_the_order(seed: int, longest: int) -> None:
    collection = make_collection(seed=seed, topics=3, documents=6, sparse=True, several=True)
    orders = random_orders(collection, seed)
    ranks = look_up(collection, ListRanker(collection, orders, longest=longest))
    home = homes(collection)
    for column, name in enumerate(ranks.columns):
        pool = name.split("+")
        for row, query in enumerate(ranks.row_queries):
            document = ranks.document_ids[ranks.row_documents[row]]
            key = (collection.languages[ranks.query_languages[query]], ranks.topic_ids[ranks.query_topics[query]])
            if home.get(document) in pool:
                place = ranks_in_pool(collection, orders[key], pool)[document]
                assert ranks.ahead[row, column] == (place - 1 if place <= longest else UNLISTED)


class Scored(ScoringRanker):
    """A ranker with the scores that it is given, by place in each list."""

    scores: Callable[[int], NDArray[np.float32]]

    def search_scored(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[RankedList]:
        lists = super().search_scored(setting, queries, documents, depth)
        return [RankedList(found.doc_ids, self.scores(len(found.doc_ids))) for found in lists]


def scored(scores: Callable[[int], NDArray[np.float32]], longest: int | None = None) -> Ranks:
    collection = make_collection(seed=0, sparse=True, several=True)
    ranker = Scored(collection, random_orders(collection, 0), longest)
    ranker.scores = scores
    return look_up(collection, ranker)


@given(st.lists(st.integers(0, 3), min_size=60, max_size=60), st.sampled_from([None, 1, 5]))
def test_ties_of_a_list_are_counted(drawn: list[int], longest: int | None) -> None:
    levels = sorted(drawn, reverse=True)
    ranks = scored(lambda n: np.array(levels[:n], dtype=np.float32), longest)
    for row, column in np.argwhere(ranks.ahead >= 0):
        place, n = ranks.ahead[row, column], ranks.listed[ranks.row_queries[row], column]
        others = levels[:n].count(levels[place]) - 1
        cut = n < ranks.column_sizes[column]
        assert ranks.ties[row, column] == (UNKNOWN if cut and place == n - 1 and not others else others)
    assert (ranks.ties[ranks.ahead == UNKNOWN] == UNKNOWN).all()
    assert (ranks.ties[ranks.ahead == UNLISTED] == UNKNOWN).all()
    shares = [setting_ranks(ranks, setting).tied for setting in settings_of(LANGUAGES)]
    assert all(np.isnan(share) or 0 <= share <= 1 for share in shares)


def test_ties_without_scores_are_unknown() -> None:
    collection = make_collection(seed=0, sparse=True, several=True)
    ranks = look_up(collection, ListRanker(collection, random_orders(collection, 0)))
    assert (ranks.ties[(ranks.ahead >= 0)] == UNKNOWN).all()
    assert np.isnan([setting_ranks(ranks, setting).tied for setting in settings_of(LANGUAGES)]).all()
    assert not ranks.is_collapsed


@pytest.mark.parametrize("longest", [None, 7, 2])
def test_lists_of_one_score_are_a_collapsed_model(longest: int | None) -> None:
    ranks = scored(lambda n: np.zeros(n, dtype=np.float32), longest)
    assert ranks.is_collapsed
    assert {setting_ranks(ranks, setting).tied for setting in settings_of(LANGUAGES)} - {np.nan} >= {1.0}
    assert not scored(lambda n: -np.arange(n, dtype=np.float32), longest).is_collapsed
    assert not scored(lambda n: -np.minimum(np.arange(n), 1).astype(np.float32), longest).is_collapsed


def test_scores_may_be_whole_numbers_in_a_list() -> None:
    ranks = scored(lambda n: [0] * n)  # type: ignore[arg-type, return-value]
    assert ranks.is_collapsed


def test_lists_of_one_document_are_no_collapsed_model() -> None:
    assert not scored(lambda n: np.zeros(n, dtype=np.float32), 1).is_collapsed


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda n: np.arange(n, dtype=np.float32), "in ar against ar whose scores rise"),
        (lambda n: np.zeros(n + 1, dtype=np.float32), "whose documents have not one score each"),
        (lambda n: np.full(n, np.nan, dtype=np.float32), "whose documents have not one score each"),
        (lambda n: np.full(n, "high"), "whose documents have not one score each"),
    ],
)
def test_wrong_scores_are_told(scores: Callable[[int], NDArray[np.float32]], message: str) -> None:
    with pytest.raises(RetrieverError, match=message):
        scored(scores)


def compact_of(
    arrays: IndexArrays, table: CountTable, pools: Sequence[tuple[str, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return `ahead` and `ties` of a compact table, from those in every column."""
    languages = arrays.collection.languages
    rows = [languages[arrays.document_languages[d]] for d in arrays.row_documents[arrays.present]]
    found = []
    for counts in (table.ahead, table.ties):
        lines = []
        for language, line in zip(rows, counts.tolist(), strict=True):
            by_column = dict(zip(table.columns, line, strict=True))
            sums = [by_column[pool] if pool in by_column else sum(by_column[a,] for a in pool) for pool in pools]
            kept = [count if language in pool else UNKNOWN for count, pool in zip(sums, pools, strict=True)]
            lines.append([by_column.get((language,), UNKNOWN), *kept])
        found.append(np.array(lines, dtype=np.int32))
    return found


@pytest.mark.parametrize("distinct", [2, 6, 500])
@pytest.mark.parametrize("pools", [[LANGUAGES], [("ar", "th"), LANGUAGES], []])
@pytest.mark.parametrize("queries_are_documents", [False, True])
def test_compact_counts_of_vectors_are_sums_of_all(
    distinct: int, pools: list[tuple[str, ...]], queries_are_documents: bool
) -> None:
    collection = make_collection(seed=distinct, sparse=True, several=not queries_are_documents)
    collection = replace(collection, queries_are_documents=queries_are_documents)
    arrays, encoder = index_collection(collection), make_encoder(collection, "cosine", distinct)
    embeddings = embed(encoder, texts_of(collection), None, Silence())
    whole = rank_vectors(arrays, embeddings, "cosine", Tiling(DEPTH), Silence())
    found = rank_vectors(arrays, embeddings, "cosine", Tiling(DEPTH), Silence(), pools)
    ahead, ties = compact_of(arrays, whole, pools)
    assert (found.ahead == ahead).all()
    assert (found.ties == ties).all()
    assert (found.top == whole.top).all()
    assert found.columns == (*whole.columns, *pools)
    ranks, other = to_ranks(arrays, found), to_ranks(arrays, whole)
    for pool in [*((language,) for language in LANGUAGES), *pools]:
        one, two = setting_ranks(ranks, Setting("en", pool)), setting_ranks(other, Setting("en", pool))
        assert (one.queries == two.queries).all()
        assert sorted(one.relevant.ranks.tolist()) == sorted(two.relevant.ranks.tolist())
        assert one.pool_size == two.pool_size
        assert np.array_equal(one.tied, two.tied, equal_nan=True)


@pytest.mark.parametrize("longest", [None, 5])
@pytest.mark.parametrize("kinds", [["monolingual", "cross_lingual", "multilingual"], ["multilingual"], ["monolingual"]])
def test_compact_counts_of_lists_are_those_of_each_column(longest: int | None, kinds: list[Kind]) -> None:
    collection = make_collection(seed=1, sparse=True, several=True)
    arrays, asked = index_collection(collection), settings_of(collection.languages, kinds)
    ranker = ScoringRanker(collection, random_orders(collection, 0), longest)
    whole = rank_lists(arrays, ranker, asked, DEPTH, Silence())
    found = rank_lists(arrays, ranker, asked, DEPTH, Silence(), compact=True)
    pools = [column for column in whole.columns if len(column) > 1]
    ahead, ties = compact_of(arrays, whole, pools)
    assert (found.ahead == ahead).all()
    assert (found.ties == ties).all()
    assert (found.top == whole.top).all()
    assert (found.listed == whole.listed).all()
    assert found.columns == whole.columns
