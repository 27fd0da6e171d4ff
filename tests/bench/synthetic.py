"""Compact ranks of many languages, drawn at random: what a run of FLORES-200 saves, without a model or data."""

import numpy as np

from mlbench.ranking.ranks import Ranks


def compact_ranks(n_languages: int, n_topics: int, seed: int = 0) -> Ranks:
    """Return the ranks of parallel sentences, each asked in every language, that leave their own lists.

    A relevant document stands at about the same rank for the queries of one topic. Ranks are drawn so that no two
    documents of one query have the same.
    """
    random = np.random.RandomState(seed)
    languages = np.array([f"{chr(97 + index // 26)}{chr(97 + index % 26)}" for index in range(n_languages)])
    pool = n_languages * n_topics
    queries = np.arange(pool, dtype=np.int32)
    query_topics, query_languages = queries % n_topics, queries // n_topics
    others = np.array([[c for c in range(n_languages) if c != a] for a in range(n_languages)], dtype=np.int32)
    row_languages = np.repeat(others, n_topics, axis=0).ravel()
    row_queries = np.repeat(queries, n_languages - 1)
    row_documents = row_languages * np.int32(n_topics) + query_topics[row_queries]
    ahead, quality = np.empty((len(row_queries), 2), dtype=np.int32), random.gamma(1, 1, n_topics)
    for first in range(0, pool, n_topics):
        rows = slice(first * (n_languages - 1), (first + n_topics) * (n_languages - 1))
        spread = quality[:, None] * random.gamma(0.5, 1, (n_topics, n_languages - 1))
        # One more for each better document keeps ranks apart.
        order = np.argsort(spread, axis=1)
        places = np.minimum(np.take_along_axis(spread, order, 1) * n_languages, pool - 2 * n_languages).astype(np.int32)
        np.put_along_axis(spread, order, places + np.arange(n_languages - 1), axis=1)
        ahead[rows, 1] = spread.ravel()
        ahead[rows, 0] = np.minimum(ahead[rows, 1] // n_languages, n_topics - 2)
    top = row_documents.reshape(pool, n_languages - 1)[:, :20]
    return Ranks(
        languages=languages,
        columns=np.array([*languages, "+".join(languages)]),
        column_sizes=np.array([n_topics] * n_languages + [pool], dtype=np.int32),
        topic_ids=np.array([f"t{topic}" for topic in range(n_topics)]),
        topic_clusters=np.arange(n_topics, dtype=np.int32),
        cluster_unit=np.array(["sentence"]),
        query_topics=query_topics,
        query_languages=query_languages,
        document_ids=np.array([f"{document:012x}" for document in range(pool)]),
        document_languages=query_languages,
        row_queries=row_queries,
        row_documents=row_documents,
        row_grades=np.ones(len(row_queries), dtype=np.int8),
        ahead=ahead,
        ties=np.zeros(ahead.shape, dtype=np.int8),
        top=np.ascontiguousarray(top),
        listed=np.broadcast_to(
            np.array([n_topics - 1] * n_languages + [pool - 1], dtype=np.int32), (pool, n_languages + 1)
        ),
    )
