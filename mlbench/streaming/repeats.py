"""Finds ids that several documents have, in little memory: hashes first, then the few documents that look alike."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import DataError
from mlbench.protocols import Shard
from mlbench.streaming.scanning import hash_id

_AT_ONCE = 4_000_000
_LOOKED_AT = 100


def check_repeats(task: str, shards: Sequence[Shard], ids: Sequence[NDArray[np.uint64]]) -> None:
    """Raise `DataError` where two documents have one id; `ids` are the sorted hashes of each shard, maybe on disk.

    Memory is that of four million hashes, however many there are. Only shards that hold a hash twice are read again.
    """
    found = _repeated(ids)
    if not len(found):
        return
    suspects = {int(value) for value in found[:_LOOKED_AT]}
    places: dict[str, str] = {}
    for shard, hashes in zip(shards, ids, strict=True):
        if not np.isin(found[:_LOOKED_AT], hashes).any():
            continue
        here: set[str] = set()
        for document in shard.documents(0):
            if hash_id(document.doc_id) not in suspects:
                continue
            if document.doc_id in here:
                raise DataError(f"{task}: document {document.doc_id} is there twice in {shard.name}")
            here.add(document.doc_id)
            if document.doc_id in places:
                before = places[document.doc_id]
                hint = ": one shard is listed twice" if len(found) >= len(hashes) else ""
                raise DataError(f"{task}: document {document.doc_id} is in {before} and in {shard.name}{hint}")
        places.update(dict.fromkeys(here, shard.name))


def _repeated(ids: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return hashes that are there more than once, range by range so that few are held."""
    total = sum(len(each) for each in ids)
    n_ranges = max(1, -(-total // _AT_ONCE))
    edges = [2**64 * number // n_ranges for number in range(n_ranges + 1)]
    found = []
    for low, high in pairwise(edges):
        slices = [_between(each, low, high) for each in ids]
        values = np.sort(np.concatenate([*slices, np.empty(0, np.uint64)]))
        found.append(np.unique(values[1:][values[1:] == values[:-1]]))
    return np.concatenate(found)


def _between(values: NDArray[np.uint64], low: int, high: int) -> NDArray[np.uint64]:
    first = np.searchsorted(values, np.uint64(low))
    last = len(values) if high >= 2**64 else np.searchsorted(values, np.uint64(high))
    return values[first:last]
