"""The multilingual pool of one system beyond the best rank of each language: all relevant documents, and the top."""

import numpy as np

from mlbench.measures.native import RelevantRanks
from mlbench.measures.ranked import UNRETRIEVED
from mlbench.measures.top_lists import TopLists
from mlbench.ranking.ranks import Ranks, pool_counts


def relevant_in_pool(ranks: Ranks) -> RelevantRanks:
    """Return where all relevant documents stand in the pool of all languages; raises as `pool_counts` does.

    Of h listed documents out of N and u relevant ones that are not listed, the i-th of the latter stands at
    h + i (N - h + 1) / (u + 1). Their order is random, so that it is blind to language, and the same in every run.
    """
    counts = pool_counts(ranks, ranks.spoken_languages)
    spoken = [ranks.language_index(language) for language in ranks.spoken_languages]
    position = counts.rank.astype(np.float64)
    shuffled = np.random.RandomState(0).permutation(len(ranks.document_ids))[ranks.row_documents]
    rest = np.flatnonzero(counts.unlisted)
    rest = rest[np.lexsort((shuffled[rest], ranks.row_queries[rest]))]
    _, first, number = np.unique(ranks.row_queries[rest], return_index=True, return_counts=True)
    place = np.arange(len(rest)) - np.repeat(first, number) + 1
    listed = counts.listed[ranks.row_queries[rest]]
    position[rest] = listed + place * (counts.size - listed + 1) / (np.repeat(number, number) + 1)
    rows = np.flatnonzero(np.isin(ranks.row_languages, spoken) & (counts.unlisted | (counts.rank != UNRETRIEVED)))
    queries = ranks.row_queries[rows]
    return RelevantRanks(
        topics=ranks.query_topics[queries].astype(np.int64),
        query_languages=ranks.query_languages[queries].astype(np.int64),
        documents=ranks.row_documents[rows].astype(np.int64),
        document_languages=ranks.row_languages[rows].astype(np.int64),
        grades=ranks.row_grades[rows].astype(np.int64),
        ranks=position[rows],
        n_topics=len(ranks.topic_ids),
        n_languages=len(ranks.languages),
    )


def top_of_pool(ranks: Ranks) -> TopLists:
    """Return the top of each list over the pool of all languages; raises as `pool_counts` does."""
    counts = pool_counts(ranks, ranks.spoken_languages)
    size, depth = len(ranks.languages), ranks.top.shape[1]
    documents = np.full((len(ranks.topic_ids), size, depth), -1, dtype=np.int64)
    documents[ranks.query_topics, ranks.query_languages] = ranks.top
    asked = np.zeros(documents.shape[:2], dtype=np.bool_)
    asked[ranks.query_topics, ranks.query_languages] = True
    first = np.zeros(documents.shape[:2], dtype=np.bool_)
    best = ranks.row_queries[counts.rank == 1]
    first[ranks.query_topics[best], ranks.query_languages[best]] = True
    return TopLists(
        documents=documents,
        languages=np.where(documents >= 0, ranks.document_languages[documents], -1).astype(np.int64),
        asked=asked,
        relevant_first=first,
        n_documents=counts.size - ranks.queries_are_documents,
    )
