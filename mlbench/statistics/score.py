"""From ranks to every number of a result document: shared by a run, its verification and other readers of ranks."""

from dataclasses import dataclass

from mlbench.collection.languages import Setting
from mlbench.ranking.ranks import Ranks
from mlbench.results import Aggregate, Bias, ImageText, SettingResult, Statistics
from mlbench.statistics.bias import has_pool, score_bias
from mlbench.statistics.captions import score_captions
from mlbench.statistics.settings import ClusterSample, SettingSums, aggregate, score_settings, sum_settings

__all__ = ["ScoreRequest", "Scores", "score"]


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What is to be computed from ranks, and how intervals are made."""

    settings: tuple[Setting, ...]
    measures: tuple[str, ...]
    primary_measure: str
    bias_scores: tuple[str, ...]
    parallel: bool
    resamples: int = 2000
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Scores:
    """The parts of a result document that follow from the ranks alone."""

    settings: tuple[SettingResult, ...]
    aggregates: tuple[Aggregate, ...]
    bias: Bias | None
    image_text: ImageText | None
    statistics: Statistics


def score(ranks: Ranks, request: ScoreRequest) -> Scores:
    """Compute every number that `request` asks for; the same ranks give the same numbers to the bit.

    The bias is None where topics are not parallel, with a single language, or where the pool of all languages was not
    ranked.
    """
    sample = ClusterSample.of(ranks, request.resamples, request.seed, request.confidence, request.parallel)
    sums: SettingSums = sum_settings(ranks, request.settings, request.measures, sample)
    drawn = sample.bootstrap(sums.sums, sums.counts)
    aggregates = aggregate(sums, drawn, sample)
    has_bias = has_pool(ranks, request.parallel)
    return Scores(
        settings=score_settings(sums, drawn, sample, request.primary_measure),
        aggregates=aggregates,
        bias=score_bias(ranks, request.bias_scores, aggregates, sample) if has_bias else None,
        image_text=score_captions(ranks, request.settings, sample),
        statistics=Statistics(
            clustered_by=str(ranks.cluster_unit[0]),
            n_clusters=sample.n_clusters,
            resamples=request.resamples,
            seed=request.seed,
            confidence=request.confidence,
            redraws=drawn.redraws,
        ),
    )
