"""Tells from rows alone whether queries are documents themselves, which leave their own pool and judgments."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]


def is_left_out(
    query_topics: Integers, query_languages: Integers, row_queries: Integers, row_languages: Integers
) -> bool:
    """Say whether no query is judged for a document of its own language, though its translations are for that document.

    All are int32: `query_topics` and `query_languages` (queries,), `row_queries` and `row_languages` (rows,), the query
    of each judgment and the language of its document. Judgments belong to topics: what one query of a topic is judged
    for, the others are as well, unless it is the query itself. No rows give False.
    """
    if not len(row_queries) or (row_languages == query_languages[row_queries]).any():
        return False
    asked = query_topics.astype(np.int64) << 32 | query_languages
    judged = query_topics[row_queries].astype(np.int64) << 32 | row_languages
    return bool(np.isin(judged, asked).any())
