import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.statistics.cases import homes, make_collection, random_orders, ranks_in_pool, ranks_of

from mlbench.collection.languages import Setting, settings_of
from mlbench.errors import InvalidResult, UserError
from mlbench.measures.formulas import UNRETRIEVED
from mlbench.ranking.ranks import MISSING, UNKNOWN, Ranks, can_answer, pool_counts, setting_ranks
from mlbench.ranking.ranks_file import ARRAYS, read_ranks, write_ranks

COLLECTION = make_collection(seed=5, sparse=True, several=True)
ORDERS = random_orders(COLLECTION, 5)
RANKS = ranks_of(COLLECTION, ORDERS)
CONTENT = write_ranks(RANKS)


def read(content: bytes, folder: Path) -> Ranks:
    path = folder / "some.ranks.npz"
    path.write_bytes(content)
    return read_ranks(path)


def same(one: Ranks, two: Ranks) -> bool:
    pairs = [(getattr(one, name), getattr(two, name)) for name in ARRAYS]
    return all(a.dtype == b.dtype and a.shape == b.shape and (a == b).all() for a, b in pairs)


@pytest.mark.parametrize("pool", [("en",), ("de", "th"), ("ar", "en", "th"), ("ar", "de", "en", "th")])
def test_any_pool_is_answered_from_the_counts(pool: tuple[str, ...]) -> None:
    home = homes(COLLECTION)
    for language in COLLECTION.languages:
        found = setting_ranks(RANKS, Setting(language, pool))
        expected, missing = [], 0
        for topic, _ in COLLECTION.queries[language]:
            place = ranks_in_pool(COLLECTION, ORDERS[language, topic], pool)
            judged = [j for j in COLLECTION.judgments[topic] if j.language in pool]
            missing += sum(j.doc_id not in home for j in judged)
            if judged:
                expected.append(sorted((place.get(j.doc_id, UNRETRIEVED), -j.grade) for j in judged))
        assert missing or len(pool) < 3
        assert found.pool_size == sum(len(COLLECTION.documents[name]) for name in pool)
        assert len(found.queries) == len(expected) < 10
        for row, pairs in enumerate(expected):
            assert found.relevant.ranks[row, : len(pairs)].tolist() == [rank for rank, _ in pairs]
            assert found.relevant.grades[row, : len(pairs)].tolist() == [-grade for _, grade in pairs]
            assert not found.relevant.grades[row, len(pairs) :].any()


def test_ties_and_lists_add_up_over_a_pool() -> None:
    tied = replace(RANKS, ties=np.arange(RANKS.ties.size, dtype=np.int32).reshape(RANKS.ties.shape))
    counts = pool_counts(tied, ["de", "th"])
    columns = [tied.column_of(["de"]), tied.column_of(["th"])]
    ranked = counts.rank < UNRETRIEVED
    assert (counts.ties[ranked] == tied.ties[:, columns].sum(axis=1)[ranked]).all()
    assert (counts.ties[~ranked] == UNKNOWN).all()
    assert (counts.listed == counts.size).all()
    found = setting_ranks(tied, Setting("en", ("de",)))
    assert found.tied == 1
    assert setting_ranks(RANKS, Setting("en", ("de",))).tied == 0


def test_a_setting_without_queries_has_no_shares() -> None:
    lonely = make_collection(seed=0, languages=("de", "en"), topics=4, parallel=False)
    found = setting_ranks(ranks_of(lonely, random_orders(lonely, 0)), Setting("de", ("en",)))
    assert found.queries.shape == (0,)
    assert np.isnan([found.tied, found.unretrieved]).all()
    assert found.relevant.ranks.shape == (0, 0)


@pytest.mark.parametrize("languages", [["xx"], ["en", "xx"]])
def test_an_unknown_language_is_told(languages: list[str]) -> None:
    with pytest.raises(UserError, match="no language 'xx': it has ar, de, en, th"):
        pool_counts(RANKS, languages)
    with pytest.raises(UserError, match="no language 'xx'"):
        setting_ranks(RANKS, Setting("xx", ("en",)))
    assert not can_answer(RANKS, languages)


def test_ranks_survive_the_file_to_the_byte(tmp_path: Path) -> None:
    again = read(CONTENT, tmp_path)
    assert same(again, RANKS)
    assert write_ranks(again) == write_ranks(RANKS) == CONTENT


def test_the_file_holds_the_arrays_and_nothing_else() -> None:
    with zipfile.ZipFile(io.BytesIO(CONTENT)) as archive:
        assert archive.namelist() == [f"{name}.npy" for name in ARRAYS]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_empty_file_of_ranks_survives_too(tmp_path: Path) -> None:
    empty = make_collection(seed=0, topics=0)
    assert same(read(write_ranks(ranks_of(empty, {})), tmp_path), ranks_of(empty, {}))


Change = Callable[[Ranks], Ranks]


def put(name: str, value: int, index: tuple[int, ...] | int = 0) -> Change:
    def change(ranks: Ranks) -> Ranks:
        array = getattr(ranks, name).copy()
        array[index] = value
        return replace(ranks, **{name: array})

    return change


def swap(name: str, make: Callable[[np.ndarray], object]) -> Change:
    return lambda ranks: replace(ranks, **{name: make(getattr(ranks, name))})


def two_at_one_place(ranks: Ranks) -> Ranks:
    """Give two relevant documents of one query the same counts."""
    present = np.flatnonzero((ranks.ahead >= 0).all(axis=1))
    first, second = next((a, b) for a, b in pairwise(present) if ranks.row_queries[a] == ranks.row_queries[b])
    ahead = ranks.ahead.copy()
    ahead[first] = ahead[second]
    return replace(ranks, ahead=ahead)


CORRUPTIONS: dict[str, Change] = {
    **{f"{name} cut": swap(name, lambda array: array[:-1]) for name in ARRAYS if name != "languages"},
    **{f"{name} of floats": swap(name, lambda array: np.zeros(array.shape)) for name in ARRAYS},
    **{f"{name} of bytes": swap(name, lambda array: np.zeros(array.shape, "S3")) for name in ARRAYS},
    **{f"{name} one dimension more": swap(name, lambda array: array[..., None]) for name in ARRAYS},
    **{f"{name} a scalar": swap(name, lambda array: array.ravel()[0]) for name in ARRAYS},
    **{
        f"{name} negative": put(name, -9)
        for name in (
            "column_sizes",
            "topic_clusters",
            "query_topics",
            "query_languages",
            "document_languages",
            "row_queries",
            "row_documents",
        )
    },
    **{
        f"{name} too large": put(name, 10_000)
        for name in (
            "topic_clusters",
            "query_topics",
            "query_languages",
            "document_languages",
            "row_queries",
            "row_documents",
        )
    },
    "grade 0": put("row_grades", 0),
    "ahead below its codes": put("ahead", -4, (0, 0)),
    "ahead of all documents": put("ahead", 10_000, (0, 0)),
    "negative ties": put("ties", -2, (0, 0)),
    "ties with more documents than there are": put("ties", 10_000, (0, 0)),
    "a list longer than the pool": put("listed", 10_000, (0, 0)),
    "a negative list": put("listed", -2, (0, 0)),
    "top beyond the documents": put("top", 10_000, (0, 0)),
    "top below -1": put("top", -2, (0, 0)),
    "ahead without a column": swap("ahead", lambda array: array[:, :-1]),
    "ties without a column": swap("ties", lambda array: array[:, :-1]),
    "listed without a column": swap("listed", lambda array: array[:, :-1]),
    "no cluster unit": swap("cluster_unit", lambda array: array[:0]),
    "two cluster units": swap("cluster_unit", lambda array: np.array(["topic", "article"])),
    "a language twice": swap("languages", lambda array: np.array(["ar", "ar", "en", "th"])),
    "a column twice": swap("columns", lambda array: np.array(["ar", "ar", "en", "th"])),
    "a column of no language": swap("columns", lambda array: np.array(["ar", "de", "en", "xx"])),
    "languages of queries out of order": swap("query_languages", lambda array: array[::-1].copy()),
    "rows out of order": swap("row_queries", lambda array: array[::-1].copy()),
    "a document twice": swap("row_documents", lambda array: np.full_like(array, array[0])),
    "two documents at one place": two_at_one_place,
    "a gap between clusters": swap("topic_clusters", lambda array: array + 1),
}


def saved(ranks: Ranks) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: getattr(ranks, name) for name in ARRAYS})
    return buffer.getvalue()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_of_the_arrays_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match=r"some\.ranks\.npz") as raised:
        read(saved(CORRUPTIONS[name](RANKS)), tmp_path)
    assert "\n" not in str(raised.value)


def rezip(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(CONTENT)) as archive:
        entries = change({name: archive.read(name) for name in archive.namelist()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def huge() -> bytes:
    """An array whose header promises far more than there is."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<i4", "fortran_order": False, "shape": (1 << 44,)})
    return buffer.getvalue()


def lone_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    return buffer.getvalue()


FILES = {
    "empty": b"",
    "text": b"not an archive",
    "one array": lone_array(),
    "cut": CONTENT[: len(CONTENT) // 2],
    "no arrays": rezip(lambda entries: {}),
    "an array missing": rezip(lambda entries: {k: v for k, v in entries.items() if k != "top.npy"}),
    "an array more": rezip(lambda entries: {**entries, "more.npy": entries["top.npy"]}),
    "no npy inside": rezip(lambda entries: {**entries, "top.npy": b"text"}),
    "bytes in place of an array": rezip(lambda e: {**{k: v for k, v in e.items() if k != "top.npy"}, "top": b"text"}),
    "an empty array file": rezip(lambda entries: {**entries, "top.npy": b""}),
    "a pickle": rezip(lambda entries: {**entries, "top.npy": pickled()}),
    "a huge array": rezip(lambda entries: {**entries, "top.npy": huge()}),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_ranks_file_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match=r"some\.ranks\.npz") as raised:
        read(FILES[name], tmp_path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidResult, match="is missing: the ranks file must lie beside its result"):
        read_ranks(tmp_path / "none.npz")
    with pytest.raises(InvalidResult):
        read_ranks(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_flipped_bytes_end_in_the_same_ranks_or_an_error(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for place, value in flips:
        content[place] = value
    try:
        found = read(bytes(content), tmp_path)
    except InvalidResult:
        return
    # A date or a comment of the archive is nothing of ours.
    assert same(found, RANKS)


def test_parts_of_ranks_whose_queries_are_numbered_in_few_bits() -> None:
    collection = make_collection(seed=0, topics=32)
    ranks = ranks_of(collection, random_orders(collection, seed=0))
    assert len(ranks.query_topics) == 128
    narrow = replace(ranks, row_queries=ranks.row_queries.astype(np.int8))
    for part, expected in zip(narrow.parts(), ranks.parts(), strict=True):
        assert (part.row_queries == expected.row_queries).all()
        assert (part.row_documents == expected.row_documents).all()


def test_codes_of_ahead_are_told_apart() -> None:
    assert (RANKS.ahead == MISSING).any()
    assert not (RANKS.ahead == UNKNOWN).any()
    settings = settings_of(COLLECTION.languages)
    assert all(can_answer(RANKS, setting.document_languages) for setting in settings)


@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["languages", "columns", "topic_ids", "document_ids", "cluster_unit"])
def test_numbers_that_are_no_characters_are_no_text(tmp_path: Path, name: str, order: str, code: int) -> None:
    words = getattr(RANKS, name)
    codes = words.astype(words.dtype.newbyteorder(order)).view(f"{order}u4").copy()
    codes[0] = code
    spoiled = replace(RANKS, **{name: codes.view(words.dtype.newbyteorder(order))})
    with pytest.raises(InvalidResult, match=f"not a sound ranks file: {name} has what is no text"):
        read(write_ranks(spoiled), tmp_path)


def test_counts_too_large_for_a_file_are_told() -> None:
    rows = np.broadcast_to(np.int32(0), (2**28, len(RANKS.columns)))
    with pytest.raises(UserError, match="measure fewer languages at once"):
        write_ranks(replace(RANKS, ahead=rows))


SCALED = replace(RANKS, grade_scale=np.array([4], dtype=np.int32))


def test_the_scale_of_grades_is_kept_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "scaled.npz").write_bytes(write_ranks(SCALED))
    found = read_ranks(tmp_path / "scaled.npz")
    assert found.grades.tolist() == [grade / 4 for grade in RANKS.row_grades.tolist()]
    assert RANKS.grades.tolist() == RANKS.row_grades.tolist()
    assert b"grade_scale" in write_ranks(SCALED)
    assert b"grade_scale" not in write_ranks(RANKS)


@pytest.mark.parametrize("scale", [[1], [0], [-2], [2, 2], [2**30], [2.0], 2])
def test_a_scale_that_no_grades_have_is_refused(tmp_path: Path, scale: object) -> None:
    (tmp_path / "forged.npz").write_bytes(write_ranks(replace(RANKS, grade_scale=np.array(scale))))
    with pytest.raises(InvalidResult, match="grade_scale is "):
        read_ranks(tmp_path / "forged.npz")
