"""Parts of shards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.evaluation.streaming.shards_in_memory import list_shard

from mlbench.errors import DataError
from mlbench.evaluation.streaming.corpus import CorpusPart, PartReader, cut


@given(n_documents=st.integers(0, 50), size=st.integers(1, 20))
def test_the_parts_of_a_shard_are_its_documents_in_their_order(n_documents: int, size: int) -> None:
    shard = list_shard("one", [f"d{number}" for number in range(n_documents)])
    parts = cut(shard, shard.fingerprint(), n_documents, size)
    reader = PartReader()
    assert [document for part in parts for document in reader.read(part)] == shard.rows
    # The shard was opened once.
    assert len(shard.read) == min(n_documents, 1)
    assert all(part.n_documents == size for part in parts[:-1])
    assert len({part.key for part in parts}) == len(parts)


def test_a_part_is_named_for_people() -> None:
    assert str(CorpusPart(list_shard("docs-3.jsonl.gz", []), "digest", 16384, 100)) == (
        "documents 16,385 to 16,484 of docs-3.jsonl.gz"
    )


def test_a_shard_that_has_changed_is_refused() -> None:
    shard = list_shard("one", ["a", "b", "c", "d"])
    part = CorpusPart(shard, shard.fingerprint(), 3, 2)
    with pytest.raises(DataError, match="one has been changed while it was in use: it ends before documents 4 to 5"):
        PartReader().read(part)
    del shard.rows[1]
    with pytest.raises(DataError, match=r"one on \S+ is not the shard that was scanned: it must not change"):
        PartReader().read(part)


@given(order=st.permutations(range(6)), workers=st.integers(1, 3))
def test_parts_are_read_in_any_order(order: list[int], workers: int) -> None:
    shards = [list_shard(name, [f"{name}{number}" for number in range(11)]) for name in "ab"]
    parts = [part for shard in shards for part in cut(shard, shard.fingerprint(), 11, 4)]
    readers = [PartReader() for _ in range(workers)]
    for place, number in enumerate(order):
        part = parts[number]
        assert readers[place % workers].read(part) == part.shard.rows[part.first : part.first + part.n_documents]  # type: ignore[attr-defined]
