from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from mlbench.embeddings.exact import Grid, grid_cosine, grid_dot, to_grid
from mlbench.protocols import Similarity
from mlbench.ranking import count_ahead as counting
from mlbench.ranking.count_ahead import Block, Counts, Targets, Tiling, count_ahead, exact_scores
from mlbench.retrievers.hashing import Hashing, HashingEncoder

Matrix = np.ndarray


class Case(NamedTuple):
    """Grid vectors; `edges` cut the documents, whose positions are in `positions`, into blocks."""

    queries: Matrix
    documents: Matrix
    positions: Matrix
    edges: tuple[int, ...]
    targets: tuple[tuple[int, int], ...]

    def blocks(self, columns: Matrix | slice = slice(None)) -> list[Block]:
        return [
            Block(
                self.documents[low:high][np.argsort(self.positions[low:high])][:, columns],
                np.sort(self.positions[low:high]),
            )
            for low, high in pairwise(self.edges)
        ]


def units(vectors: Matrix) -> Matrix:
    """Return grid vectors as whole numbers of 2^-26."""
    whole = (vectors * 2.0**26).astype(np.int64)
    assert (whole == vectors * 2.0**26).all()
    return whole


def brute_force(case: Case, depth: int) -> Counts:
    """Sort all documents of each query as tuples of exact score and id; here an id is minus its position."""
    products = units(case.queries) @ units(case.documents).T
    block_of = np.searchsorted(case.edges, np.arange(len(case.documents)), side="right") - 1
    ahead = np.zeros((len(case.targets), len(case.edges) - 1), dtype=np.int32)
    ties, top = np.zeros_like(ahead), np.full((len(case.queries), depth), -1, dtype=np.int64)
    orders = [
        sorted(range(len(case.documents)), key=lambda d: (int(row[d]), -int(case.positions[d])), reverse=True)
        for row in products
    ]
    for query, order in enumerate(orders):
        found = case.positions[order[:depth]]
        top[query, : len(found)] = found
    for row, (query, document) in enumerate(case.targets):
        for other in orders[query][: orders[query].index(document)]:
            ahead[row, block_of[other]] += 1
        for other in range(len(case.documents)):
            ties[row, block_of[other]] += other != document and products[query, other] == products[query, document]
    return Counts(ahead, ties, top)


def count(
    case: Case,
    tiling: Tiling,
    columns: Matrix | slice = slice(None),
    *,
    pools: list[list[int]] | None = None,
    left_out: Matrix | None = None,
) -> Counts:
    query, document = (np.array([pair[side] for pair in case.targets], dtype=np.int64) for side in (0, 1))
    queries, documents = np.ascontiguousarray(case.queries[:, columns]), case.documents[:, columns]
    scores = exact_scores(queries, query, documents, document)
    found = [
        count_ahead(
            queries,
            Targets(query, given, case.positions[document], left_out),
            case.blocks(columns),
            pools=pools,
            tiling=tiling,
        )
        for given in (scores, None)
    ]
    assert_same(*found)
    return found[0]


def assert_same(found: Counts, expected: Counts) -> None:
    for name in ("ahead", "ties", "top"):
        one, two = getattr(found, name), getattr(expected, name)
        assert one.dtype == two.dtype
        assert one.shape == two.shape
        assert (one == two).all(), name


def make_case(queries: Matrix, documents: Matrix, *, blocks: int = 3, seed: int = 0, targets: int = 60) -> Case:
    random = np.random.RandomState(seed)
    inner = np.sort(random.randint(0, len(documents) + 1, size=blocks - 1)).tolist()
    pairs = {
        (int(q), int(d))
        for q, d in zip(
            random.randint(len(queries), size=targets), random.randint(len(documents), size=targets), strict=True
        )
    }
    edges = (0, *inner, len(documents))
    return Case(queries, documents, random.permutation(len(documents)), edges, tuple(sorted(pairs)))


def random_grid(rows: int, dim: int, seed: int) -> Matrix:
    return grid_cosine(np.random.RandomState(seed).standard_normal((rows, dim)).astype(np.float32))


def few_distinct(rows: int, dim: int, seed: int) -> Matrix:
    return random_grid(5, dim, seed)[np.random.RandomState(seed).randint(5, size=rows)]


def near_ties(rows: int, dim: int, seed: int) -> Matrix:
    """Vectors that differ by single steps of the grid, so that float32 cannot tell their scores apart."""
    steps = np.random.RandomState(seed).randint(-2, 3, size=(rows, dim))
    return random_grid(1, dim, 99) + steps * 2.0**-26


def hashed(rows: int, dim: int, seed: int) -> Matrix:
    words = np.random.RandomState(seed).randint(20, size=(rows, 3))
    texts = [" ".join("abcdefghijklmnopqrst"[word] for word in row) for row in words]
    encoder = HashingEncoder(Hashing.Settings(dim=64, n_max=1))
    return grid_cosine(encoder.encode(texts, "query"))


def constant(rows: int, dim: int, seed: int) -> Matrix:
    return np.repeat(random_grid(1, dim, 7), rows, axis=0)


def zeros_and_opposites(rows: int, dim: int, seed: int) -> Matrix:
    return random_grid(1, dim, 3) * np.random.RandomState(seed).randint(-1, 2, size=(rows, 1))


KINDS = [random_grid, few_distinct, near_ties, hashed, constant, zeros_and_opposites]


@pytest.mark.parametrize("kind", KINDS)
def test_counts_equal_brute_force_however_the_work_is_cut(kind: Callable[[int, int, int], Matrix]) -> None:
    case = make_case(kind(65, 64, 1), kind(130, 64, 2), targets=300)
    expected = brute_force(case, depth=7)
    for rows, columns, width, threads in [
        (1, 64, 64, 1),
        (64, 90, 30, 2),
        (1000, 1000, 1000, 1),
        (1, 1000, 64, 2),
        (1000, 1, 1, 1),
    ]:
        assert_same(count(case, Tiling(7, rows, columns, width, threads)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_do_not_depend_on_the_order_of_dimensions(kind: Callable[[int, int, int], Matrix]) -> None:
    case = make_case(kind(30, 64, 3), kind(60, 64, 4), targets=200)
    expected = brute_force(case, depth=20)
    order = np.random.RandomState(0).permutation(64)
    assert_same(count(case, Tiling(20, 16, 33, 33, 1), order), expected)
    assert_same(count(case, Tiling(), order[::-1].copy()), expected)


def test_near_ties_are_decided_where_float32_cannot() -> None:
    case = make_case(near_ties(30, 64, 1), near_ties(60, 64, 2), targets=200)
    exact = case.queries @ case.documents.T
    assert len(np.unique(exact.astype(np.float32))) < len(np.unique(exact)) / 10
    assert_same(count(case, Tiling(20)), brute_force(case, 20))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    dim = draw(st.integers(1, 6))
    # Coordinates of the whole range of float32 beside a few that repeat.
    coordinates = st.sampled_from([-1.0, 0.0, 0.5, 1.0]) | st.floats(-(2.0**100), 2.0**100, width=32)
    matrix = st.integers(1, 25).flatmap(lambda rows: arrays(np.float32, (rows, dim), elements=coordinates))
    queries, documents = grid_cosine(draw(matrix)), grid_cosine(draw(matrix))
    positions = np.array(draw(st.permutations(range(len(documents)))), dtype=np.int64)
    inner = sorted(draw(st.lists(st.integers(0, len(documents)), max_size=3)))
    pairs = st.tuples(st.integers(0, len(queries) - 1), st.integers(0, len(documents) - 1))
    targets = draw(st.sets(pairs, max_size=30))
    return Case(queries, documents, positions, (0, *inner, len(documents)), tuple(sorted(targets)))


@given(cases(), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_counts_equal_brute_force_for_any_vectors(case: Case, depth: int, rows: int, columns: int, width: int) -> None:
    assert_same(count(case, Tiling(depth, rows, columns, width, 1)), brute_force(case, depth))


POOLS = [[[0, 1, 2]], [[0, 2], [0, 1, 2], [1]], []]


def compact(case: Case, whole: Counts, pools: list[list[int]]) -> Counts:
    """Return of the counts in every block those that pools ask for."""
    block = np.array([np.searchsorted(case.edges, d, side="right") - 1 for _, d in case.targets], dtype=np.int64)
    inside = [np.isin(block, pool) for pool in pools]

    def chosen(counts: Matrix) -> Matrix:
        own = counts[np.arange(len(block)), block]
        sums = [np.where(rows, counts[:, pool].sum(axis=1), -1) for rows, pool in zip(inside, pools, strict=True)]
        return np.stack([own, *sums], axis=1).astype(np.int32)

    return Counts(chosen(whole.ahead), chosen(whole.ties), whole.top)


@pytest.mark.parametrize("kind", KINDS)
def test_torch_counts_the_same(kind: Callable[[int, int, int], Matrix]) -> None:
    pytest.importorskip("torch")
    case, random = make_case(kind(65, 64, 1), kind(130, 64, 2), targets=300), np.random.RandomState(0)
    case = case._replace(targets=tuple(pair for pair in case.targets if pair[1] >= 10))
    left_out = np.where(random.randint(2, size=(65, 2)), case.positions[random.randint(10, size=(65, 2))], -1)
    for pools in (None, *POOLS):
        expected = count(case, Tiling(7), pools=pools, left_out=left_out)
        for tiling in (Tiling(7, device="cpu"), Tiling(200, 4, 3, 2, device="cpu")):
            found = count(case, tiling, pools=pools, left_out=left_out)
            same = replace(expected, top=expected.top if tiling.depth == 7 else found.top)
            assert_same(found, same)
            assert (found.top[:, :7] == expected.top).all()


def test_torch_keeps_vectors_whose_memory_is_used_again() -> None:
    pytest.importorskip("torch")
    case = make_case(random_grid(20, 8, 1), random_grid(50, 8, 2), targets=100)
    with mock.patch.object(counting, "_KEPT", 0):
        # Several tiles, and chunks that meet them again.
        assert_same(count(case, Tiling(5, 2, 1, 1, device="cpu")), count(case, Tiling(5)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", [40, 1000])
def test_pools_are_counted_as_the_sums_of_their_blocks(kind: Callable[[int, int, int], Matrix], targets: int) -> None:
    case = make_case(kind(30, 64, 1), kind(130, 64, 2), targets=targets)
    whole = brute_force(case, depth=7)
    for pools in POOLS:
        for rows, columns, width in [(10, 10, 7), (512, 512, 512), (3, 20, 1000)]:
            found = count(case, Tiling(7, rows, columns, width, 2), pools=pools)
            assert_same(found, compact(case, whole, pools))


@given(cases(), st.integers(1, 30), st.integers(1, 30), st.sampled_from(POOLS))
def test_pools_are_counted_for_any_vectors(case: Case, rows: int, columns: int, pools: list[list[int]]) -> None:
    n_blocks = len(case.edges) - 1
    pools = [[block for block in pool if block < n_blocks] for pool in pools]
    found = count(case, Tiling(5, rows, columns, columns, 1), pools=pools)
    assert_same(found, compact(case, brute_force(case, 5), pools))


@pytest.mark.parametrize("pools", [None, [[0, 1, 2]]])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [7, 70])
def test_documents_that_are_not_there_for_a_query_count_nothing(
    kind: Callable[[int, int, int], Matrix], pools: list[list[int]] | None, depth: int
) -> None:
    case, random = make_case(kind(20, 64, 1), kind(60, 64, 2), targets=300), np.random.RandomState(0)
    gone = np.array([[*random.permutation(60)[:2], -1, random.choice([-1, *range(58, 60)])] for _ in range(20)])
    case = case._replace(
        targets=tuple((query, document) for query, document in case.targets if document not in gone[query])
    )
    left_out = np.where(gone < 0, -1, case.positions[gone])
    found = count(case, Tiling(depth, 6, 10, 10, 2), pools=pools, left_out=left_out)
    for query in range(20):
        # As if the query were alone, and those documents had never been.
        kept = np.setdiff1d(np.arange(60), gone[query])
        edges = tuple(int((kept < edge).sum()) for edge in case.edges)
        targets = tuple((0, int(np.searchsorted(kept, d))) for q, d in case.targets if q == query)
        alone = Case(case.queries[query : query + 1], case.documents[kept], case.positions[kept], edges, targets)
        expected = brute_force(alone, depth)
        expected = expected if pools is None else compact(alone, expected, pools)
        rows = np.array([q for q, _ in case.targets]) == query
        assert_same(Counts(found.ahead[rows], found.ties[rows], found.top[query : query + 1]), expected)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_vectors_may_be_held_as_whole_numbers(similarity: Similarity) -> None:
    random = np.random.RandomState(0)
    queries, documents = (random.standard_normal((n, 16)).astype(np.float32) for n in (20, 50))
    case = make_case(to_grid(queries, similarity), to_grid(documents, similarity), targets=100)
    expected = count(case, Tiling(5))
    query, document = np.array(case.targets).T
    blocks = []
    for low, high in pairwise(case.edges):
        order = low + np.argsort(case.positions[low:high])
        blocks.append(Block(Grid.gathered([(documents, order)], similarity), case.positions[order]))
    targets = Targets(query, None, case.positions[document])
    with mock.patch.object(counting, "_KEPT", 0):
        assert_same(count_ahead(Grid.of(queries, similarity), targets, blocks, tiling=Tiling(5, 6, 20, 7)), expected)


def test_empty_blocks_count_nothing() -> None:
    case = make_case(random_grid(6, 8, 1), few_distinct(20, 8, 2))
    with_empty = case._replace(edges=(0, 0, 8, 8, 8, 20, 20))
    expected = brute_force(with_empty, 5)
    assert_same(count(with_empty, Tiling(5)), expected)
    assert (expected.ahead.sum(axis=0) == 0).tolist() == [True, False, True, True, False, True]


def test_blocks_add_up_to_any_cut_of_the_documents() -> None:
    case = make_case(few_distinct(20, 8, 1), few_distinct(50, 8, 2))
    whole = count(case._replace(edges=(0, 50)), Tiling())
    for edges in [(0, 25, 50), (0, 1, 2, 49, 50), (0, 10, 20, 30, 40, 50)]:
        parts = count(case._replace(edges=edges), Tiling())
        assert (parts.ahead.sum(axis=1) == whole.ahead[:, 0]).all()
        assert (parts.ties.sum(axis=1) == whole.ties[:, 0]).all()
        assert (parts.top == whole.top).all()


def test_some_queries_have_no_target_and_some_have_many() -> None:
    case = make_case(few_distinct(9, 8, 1), few_distinct(30, 8, 2))
    case = case._replace(targets=(*((query, document) for query in (2, 5) for document in range(30)), (8, 3)))
    for rows in (1, 2, 9):
        assert_same(count(case, Tiling(4, rows, 14, 7, 2)), brute_force(case, 4))


def test_a_document_may_be_relevant_for_every_query() -> None:
    case = make_case(random_grid(9, 8, 1), random_grid(30, 8, 2))
    case = case._replace(targets=tuple((query, 0) for query in range(9)))
    assert_same(count(case, Tiling()), brute_force(case, 20))


@pytest.mark.parametrize(("documents", "depth"), [(3, 20), (20, 20), (21, 20), (5, 1)])
def test_the_top_is_padded_where_there_are_fewer_documents(documents: int, depth: int) -> None:
    case = make_case(few_distinct(9, 8, 1), few_distinct(documents, 8, 2))
    found = count(case, Tiling(depth, 4, 4, 2, 1))
    assert_same(found, brute_force(case, depth))
    assert ((found.top >= 0).sum(axis=1) == min(documents, depth)).all()


def test_nothing_to_count() -> None:
    nothing = Targets(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
    vectors, block = random_grid(4, 8, 0), Block(random_grid(3, 8, 1), np.arange(3))
    no_targets = count_ahead(vectors, nothing, [block], tiling=Tiling(2))
    assert no_targets.ahead.shape == no_targets.ties.shape == (0, 1)
    assert (no_targets.top >= 0).all()
    no_blocks = count_ahead(vectors, nothing, [], tiling=Tiling(2))
    assert no_blocks.ahead.shape == (0, 0)
    assert (no_blocks.top == -1).all()
    no_queries = count_ahead(vectors[:0], nothing, [block], tiling=Tiling(2))
    assert no_queries.top.shape == (0, 2)
    assert exact_scores(vectors, nothing.query, vectors, nothing.query).shape == (0,)


def test_more_targets_than_one_batch_of_scores() -> None:
    queries, documents = few_distinct(50, 4, 1), few_distinct(200, 4, 2)
    query, document = (side.ravel() for side in np.divmod(np.arange(50 * 200), 200))
    assert (exact_scores(queries, query, documents, document) == (queries @ documents.T).ravel()).all()


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9),
        elements=st.floats(-1e3, 1e3, width=32),
    )
)
def test_dot_products_are_ordered_as_rational_numbers_are(vectors: Matrix) -> None:
    grid = grid_dot(vectors)
    rational = [[Fraction(float(x)) for x in row] for row in grid]
    exact = [[sum((a * b for a, b in zip(q, d, strict=True)), Fraction()) for d in rational] for q in rational]
    case = make_case(grid, grid, blocks=2)
    expected = [
        sorted(range(len(grid)), key=lambda d: (row[d], -int(case.positions[d])), reverse=True) for row in exact
    ]
    found = count(case, Tiling(len(grid), 2, 6, 3, 1))
    assert found.top.tolist() == [case.positions[order].tolist() for order in expected]
    for row, (query, document) in enumerate(case.targets):
        assert found.ahead[row].sum() == expected[query].index(document)
