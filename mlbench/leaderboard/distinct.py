"""Whether two entries are systems of their own: by what their titles look like, and by what was counted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.ranking.ranks import Ranks

Digests = NDArray[np.uint64]
_NEARLY = 0.5
"""The share of queries with the same counts from which on a reader is told.

A query of XQuAD-R has 242 counts: who changes one count in a thousand leaves at least three in four queries as they
were. Different models have the same counts in fewer than one query in a hundred.
"""
_FACTOR = np.uint64(0xFF51AFD7ED558CCD)


@dataclass(frozen=True, eq=False)
class Identity:
    """What no other entry may have: what the title looks like, and the counts of each query, a digest each, by task."""

    name: str
    skeletons: frozenset[str]
    counts: Mapping[str, Digests]


def count_digests(ranks: Ranks) -> Digests:
    """Return a digest of the counts of each query, uint64 (queries,); no queries give an empty array.

    Equal counts give equal digests, however arrays are packed, and in whichever order relevant documents stand.
    """
    found = [_digests_of(part) for part in ranks.parts()]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)


def _digests_of(ranks: Ranks) -> Digests:
    draw = np.random.RandomState(0)
    rows = np.zeros(len(ranks.row_queries), dtype=np.uint64)
    for counts in (*ranks.ahead.T, *ranks.ties.T):
        # Counts begin at -3.
        rows += (counts.astype(np.int64) + 4).astype(np.uint64) * draw.randint(0, 2**63, dtype=np.uint64)
    # Each row is mixed, so that counts that change places between two rows change the sum (Appleby, MurmurHash3).
    rows = (rows ^ rows >> np.uint64(33)) * _FACTOR
    rows ^= rows >> np.uint64(33)
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(rows, dtype=np.uint64)])
    edges = np.searchsorted(ranks.row_queries, np.arange(len(ranks.query_topics) + 1))
    return np.diff(sums[edges])


def sameness_fault(one: Identity, other: Identity) -> str:
    """Say in what an entry is another one again, or nothing."""
    for task, share in _shares(one, other):
        if share == 1:
            return f"its ranks of {task} are those of {other.name}: every entry is a system of its own"
    if one.skeletons & other.skeletons:
        return f"its title looks like that of {other.name}: choose another with --title"
    return ""


def sameness_warnings(one: Identity, other: Identity) -> Iterator[str]:
    """Yield for each task what a reader must be told of two entries that are nearly the same."""
    for task, share in _shares(one, other):
        if share >= _NEARLY:
            yield f"{share:.1%} of its queries of {task} have the counts of {other.name}: is it the same system?"


def _shares(one: Identity, other: Identity) -> Iterator[tuple[str, float]]:
    """Yield the tasks that both have, and the share of the queries with the same counts."""
    for task, counts in one.counts.items():
        theirs = other.counts.get(task)
        if theirs is not None and len(counts) == len(theirs) > 0:
            yield task, np.count_nonzero(counts == theirs) / len(counts)
