"""Exact lists that end where those of an index end, and how much of two lists is the same."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import InvalidResult
from mlbench.ranks import MISSING, UNKNOWN, UNLISTED, Ranks, pool_counts


def cut_lists(exact: Ranks, indexed: Ranks, lengths: Mapping[str, int]) -> Ranks:
    """Return the counts of `exact` as a ranker's whose lists end after `lengths` documents, by the names of columns.

    Pools and queries are those that `indexed` was asked for, each of whose columns has a length; both are of the same
    data. Raises `InvalidResult` where they are not.
    """
    if len(exact.row_queries) != len(indexed.row_queries) or len(exact.query_topics) != len(indexed.query_topics):
        raise InvalidResult("the exact result and that of an index have other queries or relevant documents")
    missing = (exact.ahead == MISSING).any(axis=1)
    ahead = np.full(indexed.ahead.shape, UNKNOWN, dtype=np.int32)
    ties = np.zeros_like(ahead)
    listed = np.full(indexed.listed.shape, -1, dtype=np.int32)
    for column, name in enumerate(indexed.columns.tolist()):
        languages = name.split("+")
        counts = pool_counts(exact, languages)
        inside = np.isin(exact.row_languages, [exact.language_index(language) for language in languages])
        asked = indexed.listed[:, column] >= 0
        rows = inside & asked[exact.row_queries] & ~missing
        ahead[rows, column] = np.where(counts.rank <= lengths[name], counts.rank - 1, UNLISTED)[rows]
        ties[rows, column] = counts.ties[rows]
        listed[asked, column] = min(lengths[name], counts.size)
    ahead[missing] = MISSING
    return replace(
        exact, columns=indexed.columns, column_sizes=indexed.column_sizes, ahead=ahead, ties=ties, listed=listed
    )


def overlaps(exact: Ranks, indexed: Ranks, cutoff: int) -> NDArray[np.float64]:
    """Return for each query which share of the first `cutoff` of its exact list the other list has so early.

    Float64 (queries,), of the pool of all languages; NaN for a query that was not asked there.
    """
    whole = indexed.column_of(indexed.languages.tolist())
    shares = np.full(len(exact.query_topics), np.nan)
    if whole is None:
        return shares
    numbers = {name: number for number, name in enumerate(exact.document_ids.tolist())}
    # What the exact list does not name is no document of it, whatever its number.
    renamed = np.array([numbers.get(name, -2) for name in indexed.document_ids.tolist()] + [-2], dtype=np.int64)
    best, found = exact.top[:, :cutoff], renamed[indexed.top[:, :cutoff]]
    for query in np.flatnonzero(indexed.listed[:, whole] >= 0):
        wanted = best[query][best[query] >= 0]
        if len(wanted):
            shares[query] = np.isin(wanted, found[query]).mean()
    return shares
