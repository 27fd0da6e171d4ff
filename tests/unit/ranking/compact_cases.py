"""Compact ranks of small collections, made of ranks that hold the counts in every column."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mlbench.measures.formulas import UNRETRIEVED
from mlbench.ranking.ranks import MISSING, UNKNOWN, UNLISTED, Ranks, pool_counts


def compact_of(ranks: Ranks, pools: Sequence[Sequence[str]] = ()) -> Ranks:
    """Return the same ranks with the counts in each document's own language and in pools alone.

    The pools are those of `ranks`, and `pools`, which single languages add up to.
    """
    order = np.lexsort((ranks.row_documents, ranks.row_queries))
    singles = [column for column, name in enumerate(ranks.columns.tolist()) if "+" not in name]
    names = [name for name in ranks.columns.tolist() if "+" in name]
    names += [name for pool in pools if (name := "+".join(sorted(pool))) not in names]
    n_rows, n_queries = len(ranks.row_queries), len(ranks.query_topics)
    missing = (ranks.ahead == MISSING).any(axis=1)
    ahead = np.full((n_rows, 1 + len(names)), UNKNOWN, dtype=np.int32)
    ties = np.full_like(ahead, UNKNOWN)
    listed = np.empty((n_queries, len(singles) + len(names)), dtype=np.int32)
    sizes = ranks.column_sizes[singles].tolist()
    for place, column in enumerate(singles):
        own = ranks.row_languages == ranks.language_index(str(ranks.columns[column]))
        ahead[own, 0], ties[own, 0] = ranks.ahead[own, column], ranks.ties[own, column]
        listed[:, place] = ranks.listed[:, column]
    for place, name in enumerate(names, 1):
        counts = pool_counts(ranks, name.split("+"))
        known = counts.rank != UNRETRIEVED
        ahead[:, place] = np.where(known, counts.rank - 1, np.where(counts.unlisted, UNLISTED, UNKNOWN))
        ties[:, place] = counts.ties
        listed[:, len(singles) + place - 1] = np.maximum(counts.listed, UNKNOWN)
        sizes.append(counts.size)
    ahead[missing], ties[missing] = MISSING, 0
    return replace(
        ranks,
        columns=np.array([*ranks.columns[singles].tolist(), *names], dtype=np.str_),
        column_sizes=np.array(sizes, dtype=np.int32),
        row_documents=ranks.row_documents[order],
        row_grades=ranks.row_grades[order],
        ahead=ahead[order],
        ties=ties[order],
        listed=listed,
        alignment=None if ranks.alignment is None else ranks.alignment[order],
    )
