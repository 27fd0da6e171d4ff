"""The first look at shards, and ids that are there twice."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.evaluation.streaming.shards_in_memory import ListShard, list_shard

from mlbench.collection.records import Document, LineDigest, document_line
from mlbench.errors import DataError
from mlbench.evaluation.streaming import corpus
from mlbench.evaluation.streaming.corpus import FingerprintedShard, Scan, Scanner, check_repeats, hash_id
from mlbench.evaluation.streaming.resume import WorkFolder
from mlbench.protocols import Silence


def scan(shard: ListShard, wanted: frozenset[str] = frozenset()) -> Scan:
    return Scanner("toy", {"sw": wanted}, frozenset(), frozenset())(FingerprintedShard(shard, shard.fingerprint()))


def test_a_scan_counts_digests_and_finds() -> None:
    shard = list_shard("one", ["b", "a", "c"])
    found = scan(shard, frozenset({"c", "elsewhere"}))
    digest = LineDigest()
    for document in reversed(shard.rows):
        digest.add(document_line(document))
    assert LineDigest(found.digest).hexdigest() == digest.hexdigest()
    assert (found.n_documents, found.relevant) == (3, (Document("c", "about c"),))
    assert found.ids.tolist() == sorted(map(hash_id, "abc"))
    again = Scan.of(found.arrays(), found.ids)
    assert again.relevant == found.relevant
    assert again.digest.tolist() == found.digest.tolist()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (Document("x", " \n"), "toy: sw document x has no text"),
        (Document("x", "half \ud800"), "toy: sw document 'x' holds half of a surrogate pair"),
        (Document("x\udc00", "text"), "holds half of a surrogate pair"),
    ],
)
def test_a_faulty_document_is_named(document: Document, message: str) -> None:
    with pytest.raises(DataError, match=message):
        scan(ListShard("sw", "one", [Document("a", "fine"), document]))


def check(*shards: ListShard) -> None:
    check_repeats("toy", shards, [scan(shard).ids for shard in shards])


@given(cuts=st.lists(st.integers(0, 30), max_size=4), at_once=st.sampled_from([1, 5, 1000]))
def test_distinct_ids_pass(cuts: list[int], at_once: int) -> None:
    edges = [0, *sorted(cuts), 30]
    shards = [list_shard(f"s{low}", [f"d{n}" for n in range(low, high)]) for low, high in pairwise(edges)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_AT_ONCE", at_once)
        check(*shards)
        assert all(len(shard.read) == 1 for shard in shards)
        twice = list_shard("twice", ["new", "d17"])
        with pytest.raises(DataError, match=r"document d17 is in s\d+ and in twice$"):
            check(*shards, twice)


def test_an_id_twice_in_one_shard_is_named() -> None:
    with pytest.raises(DataError, match=r"document b is there twice in one$"):
        check(list_shard("zero", ["z"]), list_shard("one", ["a", "b", "c", "b"]))


def test_a_shard_listed_twice_is_told() -> None:
    rows = [f"d{number}" for number in range(300)]
    with pytest.raises(DataError, match=r"document d\d+ is in docs-0 and in docs-1: one shard is listed twice$"):
        check(list_shard("docs-0", rows), list_shard("docs-1", rows))


def test_ids_that_only_look_alike_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "hash_id", lambda doc_id: 7)
    alike = [np.array([7], np.uint64), np.array([7], np.uint64)]
    check_repeats("toy", [list_shard("one", ["a"]), list_shard("two", ["b"])], alike)


def test_long_arrays_lie_on_disk(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path, "toy-scan", "anything", Silence())
    values = np.arange(9, dtype=np.uint64)
    assert folder.mapped("key") is None
    mapped = folder.map("key", values)
    assert isinstance(mapped, np.memmap)
    assert mapped.tolist() == values.tolist()
    assert isinstance(folder.mapped("key"), np.memmap)
    next(folder.folder.glob("*.npy")).write_bytes(b"\x93NUMPY broken")
    assert folder.mapped("key") is None
