"""The total order of ranked lists: score descending, then document id descending, as trec_eval breaks ties."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def by_id(doc_ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the int64 (n,) positions of `doc_ids` in the order of ids, descending; no ids give shape (0,)."""
    return np.array(sorted(range(len(doc_ids)), key=lambda index: doc_ids[index], reverse=True), dtype=np.int64)


def best_columns(scores: NDArray[np.float64] | NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Return for each row of `scores` its `depth` best columns, (rows, columns) to int64 (rows, min(depth, columns)).

    Columns stand in the order of ids (see `by_id`), so that among equal scores the earlier column comes first.
    """
    order: NDArray[np.int64] = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    return order
