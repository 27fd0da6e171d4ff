import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.synthetic import compact_ranks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.ranking.compact_cases import compact_of
from unit.statistics.cases import list_ranks, make_collection, random_orders, ranks_of

from mlbench.collection.languages import TEXT_KINDS, Setting, settings_of
from mlbench.errors import InvalidResult, UserError
from mlbench.ranking import packed_ranks
from mlbench.ranking.packed_ranks import PACKED, pack, unpack
from mlbench.ranking.ranks import Ranks, can_answer, setting_ranks
from mlbench.ranking.ranks_file import ARRAYS, read_ranks, write_ranks

COLLECTION = make_collection(seed=5, sparse=True, several=True)
POOLS = [("ar", "de", "en", "th"), ("de", "th")]
DENSE = ranks_of(COLLECTION, random_orders(COLLECTION, 5))
RANKS = compact_of(DENSE, POOLS)
LISTS = compact_of(list_ranks(COLLECTION, random_orders(COLLECTION, 5), longest=9, kinds=list(TEXT_KINDS)))
CONTENT = write_ranks(RANKS)


def read(content: bytes, folder: Path) -> Ranks:
    path = folder / "some.ranks.npz"
    path.write_bytes(content)
    return read_ranks(path)


def same(one: Ranks, two: Ranks) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ARRAYS)


@pytest.mark.parametrize("ranks", [RANKS, LISTS, compact_of(DENSE)], ids=["encoder", "ranker", "no pools"])
def test_compact_ranks_survive_the_file_to_the_byte(ranks: Ranks, tmp_path: Path) -> None:
    content = write_ranks(ranks)
    found = read(content, tmp_path)
    assert found.is_compact
    assert same(found, ranks)
    assert write_ranks(found) == content
    assert all(array.flags.c_contiguous for array in pack(found).values())


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    sparse=st.booleans(),
    several=st.booleans(),
    parallel=st.booleans(),
    at_once=st.sampled_from([1, 7, 1 << 20]),
)
def test_whatever_the_judgments_and_however_cut(
    seed: int, sparse: bool, several: bool, parallel: bool, at_once: int
) -> None:
    collection = make_collection(seed, sparse=sparse, several=several, parallel=parallel, topics=6)
    ranks = compact_of(ranks_of(collection, random_orders(collection, seed)), POOLS)
    whole = pack(ranks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed_ranks, "_AT_ONCE", at_once)
        arrays = pack(ranks)
        found = unpack(arrays, 2**31)
    assert same(found, ranks)
    assert all(np.array_equal(arrays[name], whole[name]) for name in PACKED)


def test_settings_have_the_same_ranks_in_both_layouts(tmp_path: Path) -> None:
    found = read(CONTENT, tmp_path)
    asked = [*settings_of(COLLECTION.languages), Setting("ar", ("de", "th"))]
    for setting in asked:
        one, two = setting_ranks(DENSE, setting), setting_ranks(found, setting)
        assert one.queries.tolist() == two.queries.tolist()
        assert np.array_equal(one.relevant.ranks, two.relevant.ranks)
        assert np.array_equal(one.relevant.grades, two.relevant.grades)
        assert (one.tied, one.unretrieved, one.pool_size) == (two.tied, two.unretrieved, two.pool_size)
    assert can_answer(DENSE, ("ar", "en"))
    assert not can_answer(found, ("ar", "en"))


def test_alike_lists_are_kept_once() -> None:
    assert pack(RANKS)["planes_of_listed"].shape == (1, 1, 6)
    lists = compact_of(list_ranks(COLLECTION, random_orders(COLLECTION, 5), kinds=["monolingual", "multilingual"]))
    assert pack(lists)["planes_of_listed"].shape == (1, len(lists.query_topics), 5)


def test_rows_in_another_order_are_not_packed() -> None:
    turned = replace(RANKS, row_documents=RANKS.row_documents[::-1], row_grades=RANKS.row_grades[::-1])
    with pytest.raises(ValueError, match="rows are not sorted"):
        pack(turned)


Change = Callable[[dict[str, np.ndarray]], None]


def put(name: str, value: int, index: object = 0) -> Change:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value

    return change


def swap(name: str, make: Callable[[np.ndarray], object]) -> Change:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = np.asarray(make(arrays[name]))

    return change


CORRUPTIONS: dict[str, Change] = {
    **{
        f"{name} cut": swap(name, lambda array: array[..., :-1])
        for name in PACKED
        if name not in ("languages", "planes_of_top")
    },
    **{f"{name} of floats": swap(name, lambda array: np.zeros(array.shape)) for name in PACKED},
    **{f"{name} of 64 bits": swap(name, lambda array: np.zeros(array.shape, np.int64)) for name in PACKED},
    **{f"{name} one dimension more": swap(name, lambda array: array[..., None]) for name in PACKED},
    **{f"{name} a scalar": swap(name, lambda array: array.ravel()[0]) for name in PACKED},
    **{
        f"{name} {what}": put(name, value)
        for what, value in (("negative", -9), ("too large", 10_000))
        for name in ("query_topics", "query_languages", "document_languages", "topic_clusters")
    },
    **{
        f"{name} {what}": put(name, value, index)
        for what, value, index in (("negative", -1, 0), ("too large", 10_000, -1))
        for name in ("judgment_topics", "judgment_documents")
    },
    "a negative size": put("column_sizes", -1),
    "grade 0": put("judgment_grades", 0),
    "a judgment twice": lambda arrays: put("judgment_documents", arrays["judgment_documents"][1], 0)(arrays),
    "a row more": swap("asked", lambda array: np.full_like(array, 255)),
    "no planes": swap("own_ahead", lambda array: array[:0]),
    "five planes": swap("own_ahead", lambda array: np.repeat(array, 5, axis=0)),
    "32 bits": swap("own_ahead", lambda array: np.repeat(array, 4, axis=0) | 0x80),
    "more than a corpus ahead": put("own_ahead", 255),
    "more than a pool ahead": put("pools_ahead", 255),
    "more ties than documents": put("planes_of_ties", 255),
    "two at one place": put("pools_ahead", 3, (slice(None), 0)),
    "two at one place of their language": put("own_ahead", 3, slice(None)),
    "top beyond the documents": put("planes_of_top", 255),
    "a list longer than the pool": put("planes_of_listed", 255),
    "tops of fewer queries": swap("planes_of_top", lambda array: array[:, :-1]),
    "a list of another column": swap("planes_of_listed", lambda array: array[:, :, :-1]),
    "a pool less": lambda arrays: [
        swap("pools_ahead", lambda array: array[:, :-1])(arrays),
        swap("planes_of_ties", lambda array: array[:, :-1])(arrays),
        None,
    ][-1],
    "a pool in front": swap("columns", lambda array: array[::-1]),
    "a column of no language": swap("columns", lambda array: np.where(array == "de", "xx", array)),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_of_the_arrays_is_told(name: str, tmp_path: Path) -> None:
    arrays = dict(pack(RANKS))
    CORRUPTIONS[name](arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with pytest.raises(InvalidResult, match=r"some\.ranks\.npz") as raised:
        read(buffer.getvalue(), tmp_path)
    assert "\n" not in str(raised.value)


def test_ranks_larger_than_allowed_are_refused() -> None:
    size = 4 * (RANKS.ahead.size * 2 + len(RANKS.row_queries) * 3)
    with pytest.raises(ValueError, match="its ranks would take"):
        unpack(pack(RANKS), size)
    assert same(unpack(pack(RANKS), 2 * size), RANKS)


def test_lengths_of_lists_that_stand_once_count_for_every_query() -> None:
    arrays = dict(pack(replace(RANKS, listed=np.broadcast_to(RANKS.listed[:1], RANKS.listed.shape))))
    # Queries of a topic that nothing is judged for have no rows.
    arrays["topic_ids"] = np.append(arrays["topic_ids"], "zz")
    added = np.full(10_000, len(arrays["topic_ids"]) - 1, dtype=np.int32)
    arrays["query_topics"] = np.append(arrays["query_topics"], added)
    size = 4 * len(added) * len(RANKS.columns)
    with pytest.raises(ValueError, match="its ranks would take"):
        unpack(arrays, size)
    assert unpack(arrays, 2 * size).listed.shape == (len(arrays["query_topics"]), len(RANKS.columns))


def test_a_file_with_arrays_of_both_layouts_is_none(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **pack(RANKS), ahead=RANKS.ahead)
    with pytest.raises(InvalidResult, match="its arrays are"):
        read(buffer.getvalue(), tmp_path)


def test_dense_counts_in_fewer_columns_are_no_compact_ranks(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: getattr(RANKS, name) for name in ARRAYS})
    with pytest.raises(InvalidResult, match="differ in shape"):
        read(buffer.getvalue(), tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_flipped_bytes_end_in_the_same_ranks_or_an_error(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for place, value in flips:
        content[place] = value
    try:
        found = read(bytes(content), tmp_path)
    except InvalidResult:
        return
    assert same(found, RANKS)


def test_a_pool_that_was_not_asked_for_is_told() -> None:
    with pytest.raises(UserError, match="was not asked for"):
        setting_ranks(RANKS, Setting("ar", ("ar", "en")))


def test_counts_take_little_more_than_they_tell() -> None:
    """Ranks of a retriever that draws: the share of the pool ahead is anything, that of the own language near it."""
    ranks = compact_ranks(30, 100)
    random = np.random.RandomState(0)
    ahead = random.randint(0, 3000, ranks.ahead.shape)
    ahead[:, 0] = random.binomial(99, ahead[:, 1] / 3000)
    drawn = replace(ranks, ahead=ahead.astype(np.int32), top=ranks.top[:, :0])
    share = ahead[:, 1] / 3000
    of_language = 0.5 * np.log2(2 * np.pi * np.e * np.maximum(99 * share * (1 - share), 0.05)).mean()
    bits = 8 * len(write_ranks(drawn)) / len(ahead)
    assert bits < 1.25 * (np.log2(3000) + of_language)
    plain = {name: getattr(drawn, name) for name in ("row_queries", "row_documents", "row_grades", "ahead", "ties")}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **plain)
    assert len(buffer.getvalue()) > 1.5 * len(write_ranks(drawn))
