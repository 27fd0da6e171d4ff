"""Counts of fewer languages than were measured, as if only those had been."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlbench.languages import IMAGE
from mlbench.ranks import Ranks


def restrict(ranks: Ranks, languages: Collection[str]) -> Ranks:
    """Return the counts of queries and documents in some of the languages; the top of the lists is left out.

    Topics, clusters and queries are numbered as in a run with these languages alone. A ranker's pools that hold another
    language are left out: what stands ahead in them is not known. Images stay with their captions, whose closest other
    caption is not known among fewer.
    """
    kept = np.flatnonzero(np.isin(ranks.languages, [*languages, IMAGE]))
    names = set(ranks.languages[kept].tolist())
    columns = [index for index, column in enumerate(ranks.columns) if names.issuperset(column.split("+"))]
    queries = np.flatnonzero(np.isin(ranks.query_languages, kept))
    rows = np.flatnonzero(np.isin(ranks.row_queries, queries) & np.isin(ranks.row_languages, kept))
    topics, query_topics = np.unique(ranks.query_topics[queries], return_inverse=True)
    clusters = np.unique(ranks.topic_clusters[topics], return_inverse=True)[1]
    documents, row_documents = np.unique(ranks.row_documents[rows], return_inverse=True)
    return replace(
        ranks,
        languages=ranks.languages[kept],
        columns=ranks.columns[columns],
        column_sizes=ranks.column_sizes[columns],
        topic_ids=ranks.topic_ids[topics],
        topic_clusters=clusters.astype(np.int32),
        query_topics=query_topics.astype(np.int32),
        query_languages=np.searchsorted(kept, ranks.query_languages[queries]).astype(np.int32),
        document_ids=ranks.document_ids[documents],
        document_languages=np.searchsorted(kept, ranks.document_languages[documents]).astype(np.int32),
        row_queries=np.searchsorted(queries, ranks.row_queries[rows]).astype(np.int32),
        row_documents=row_documents.astype(np.int32),
        row_grades=ranks.row_grades[rows],
        ahead=ranks.ahead[rows][:, columns],
        ties=ranks.ties[rows][:, columns],
        top=np.empty((len(queries), 0), dtype=np.int32),
        listed=ranks.listed[queries][:, columns],
        alignment=None if ranks.alignment is None else _without_others(ranks.alignment[rows]),
    )


def _without_others(alignment: NDArray[np.float32]) -> NDArray[np.float32]:
    found = alignment.copy()
    found[:, 1] = np.nan
    return found
