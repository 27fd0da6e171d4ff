"""The measures of each query in each setting, which other tools test, plot and aggregate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import Setting
from mlbench.measures.ranked import parse
from mlbench.ranking.ranks import Ranks, setting_ranks
from mlbench.results import Result


@dataclass(frozen=True, eq=False)
class TopicScores:
    """One measure of the queries of one setting: `topics` and `clusters` int64 (n,) are indexes, `values` float64 (n,).

    `topics` index the topic ids of the ranks; only topics with a relevant document in the setting are there.
    """

    setting: Setting
    measure: str
    topics: NDArray[np.int64]
    clusters: NDArray[np.int64]
    values: NDArray[np.float64]


def per_topic(result: Result, ranks: Ranks, measures: Sequence[str] | None = None) -> Iterator[TopicScores]:
    """Yield the scores of each setting of a result in each measure, by default those of its task.

    `ranks` are those of the result, and what does not follow from them is left out. The mean of the values is the one
    that the result has of the setting. A setting without queries yields no values. Raises `UnknownName` for an unknown
    measure.
    """
    derived = [name for name in result.task.measures if name not in result.listed_measures]
    parsed = [parse(name) for name in measures or derived]
    for stated in result.settings:
        setting = Setting(stated.query_language, stated.document_languages)
        here = setting_ranks(ranks, setting)
        topics = ranks.query_topics[here.queries].astype(np.int64)
        clusters = ranks.topic_clusters[topics].astype(np.int64)
        for measure in parsed:
            yield TopicScores(setting, measure.name, topics, clusters, measure.values(here.relevant))
