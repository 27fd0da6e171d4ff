"""What one ranks file says of a system on a task, summed within clusters: all that comparisons need to know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from mlbench.bias import summarise
from mlbench.languages import Setting
from mlbench.ranks import Ranks
from mlbench.scoring import Request
from mlbench.scoring.bias import find_score, has_pool, sum_contributions, translation_pools
from mlbench.scoring.image_text import sum_captions
from mlbench.scoring.sample import Sample
from mlbench.scoring.settings import SettingSums, sum_settings
from mlbench.significance import macro_contributions

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """A score of one system: its value, and float64 (clusters, columns) sums and counts of its contributions.

    Columns are languages, or settings of each language.
    """

    value: float
    sums: Floats
    counts: Floats
    n_topics: int


@dataclass(frozen=True, eq=False)
class Observation:
    """What one ranks file says, summed within clusters; compared with others of the same `request` and `data`.

    `asked` bool (topics, settings) says which topics have a query and a relevant document in a setting. `data` names
    what was measured on, aspect by aspect, with its digest. `captions` are the scores of captioned images, which are
    means of their columns; empty for texts.
    """

    request: Request
    unit: str
    sample: Sample
    settings: SettingSums
    asked: NDArray[np.bool_]
    bias: Mapping[str, ScoreSums]
    captions: Mapping[str, ScoreSums]
    data: Mapping[str, str]


def observe(ranks: Ranks, request: Request) -> Observation:
    """Compute what comparisons of these ranks need; raises `UserError` for settings that they cannot answer."""
    sample = Sample.of(ranks, request.resamples, request.seed, request.confidence, request.parallel)
    settings = sum_settings(ranks, request.settings, request.measures, sample)
    return Observation(
        request=request,
        unit=str(ranks.cluster_unit[0]),
        sample=sample,
        settings=settings,
        asked=_asked(ranks, request.settings),
        bias=_bias_sums(ranks, request.bias_scores, sample) if has_pool(ranks, request.parallel) else {},
        captions=_caption_sums(ranks, request.settings, sample),
        data=describe_data(ranks, settings.pool_sizes),
    )


def _bias_sums(ranks: Ranks, names: Sequence[str], sample: Sample) -> dict[str, ScoreSums]:
    """Sum the bias scores that are computed topic by topic; those made of other numbers are left to their readers."""
    wanted = [*names, "rank_distance_log2"] if "rank_distance" in names else names
    pools = translation_pools(ranks)
    found = {}
    for name in dict.fromkeys(wanted):
        score = find_score(name)
        if score.contributions is None:
            continue
        contributions = score.contributions(pools[score.compares])
        value, _ = summarise(score, contributions)
        found[name] = ScoreSums(
            np.nan if value is None else value,
            *sum_contributions(contributions, sample),
            n_topics=int(np.isfinite(contributions.reshape(len(contributions), -1)).any(axis=1).sum()),
        )
    return found


def _caption_sums(ranks: Ranks, settings: Sequence[Setting], sample: Sample) -> dict[str, ScoreSums]:
    topics = np.unique(ranks.query_topics[ranks.row_queries])
    return {
        name: ScoreSums(float(macro_contributions(sums, counts).sum()), sums, counts, n_topics=len(topics))
        for name, (sums, counts) in sum_captions(ranks, settings, sample).items()
    }


def _asked(ranks: Ranks, settings: Sequence[Setting]) -> NDArray[np.bool_]:
    size = len(ranks.languages)
    pairs = np.zeros((len(ranks.topic_ids), size, size), dtype=np.bool_)
    queries = ranks.row_queries
    pairs[ranks.query_topics[queries], ranks.query_languages[queries], ranks.row_languages] = True
    asked = np.zeros((len(pairs), len(settings)), dtype=np.bool_)
    for index, setting in enumerate(settings):
        documents = [ranks.language_index(language) for language in setting.document_languages]
        asked[:, index] = pairs[:, ranks.language_index(setting.query_language), documents].any(axis=1)
    return asked


def describe_data(ranks: Ranks, pool_sizes: NDArray[np.int64]) -> dict[str, str]:
    """Return digests of what was measured on, aspect by aspect; `pool_sizes` (settings,) are numbers of documents."""
    documents = ranks.document_ids[ranks.row_documents]
    aspects = {
        "languages": (ranks.languages,),
        "topics": (ranks.topic_ids,),
        "clusters": (ranks.cluster_unit, ranks.topic_clusters),
        "queries": (ranks.query_topics, ranks.query_languages),
        "relevant documents": (ranks.row_queries, documents, ranks.row_languages, ranks.row_grades),
        "numbers of documents": (pool_sizes,),
    }
    return {
        aspect: sha256(repr([a.tolist() for a in arrays]).encode()).hexdigest() for aspect, arrays in aspects.items()
    }
